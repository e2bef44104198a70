/** The map's ground: meridians and parallels with their degrees, and, from afar, where land is. */

import Feature from "ol/Feature.js";
import TopoJSON from "ol/format/TopoJSON.js";
import MultiLineString from "ol/geom/MultiLineString.js";
import MultiPolygon from "ol/geom/MultiPolygon.js";
import Graticule from "ol/layer/Graticule.js";
import VectorLayer from "ol/layer/Vector.js";
import VectorSource from "ol/source/Vector.js";
import Fill from "ol/style/Fill.js";
import Stroke from "ol/style/Stroke.js";
import Style from "ol/style/Style.js";
import Text from "ol/style/Text.js";
import outlines from "world-atlas/land-110m.json?url";

import { cutLine, cutPolygon, type Place } from "../antimeridian.ts";
import type { Palette } from "./palette.ts";

const FONT = "11px Inter, system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif";
const INTERVALS = [90, 45, 30, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001];

function degrees(value: number, plus: string, minus: string): string {
  const size = Math.abs(value);
  const text = `${Number(size.toFixed(3))}°`;
  return size < 1e-9 ? text : `${text} ${value < 0 ? minus : plus}`;
}

export function graticule(colours: Palette): Graticule {
  const label = (align: "center" | "start", baseline: "top" | "middle") =>
    new Text({
      font: FONT,
      fill: new Fill({ color: colours.soft }),
      stroke: new Stroke({ color: colours.map, width: 3 }),
      textAlign: align,
      textBaseline: baseline,
      offsetX: align === "start" ? 8 : 0,
      offsetY: baseline === "top" ? 8 : 0,
    });
  return new Graticule({
    strokeStyle: new Stroke({ color: colours.grid, width: 1 }),
    showLabels: true,
    wrapX: true,
    targetSize: 130,
    intervals: INTERVALS,
    lonLabelFormatter: (value) => degrees(value, "E", "W"),
    latLabelFormatter: (value) => degrees(value, "N", "S"),
    lonLabelPosition: 1,
    latLabelPosition: 0,
    lonLabelStyle: label("center", "top"),
    latLabelStyle: label("start", "middle"),
    zIndex: 1,
  });
}

/** A pole lies beyond every mercator map. */
const inMercator = (ring: Place[]): Place[] => ring.map(([lon, lat]) => [lon, Math.max(-85.6, lat)]);

/** Land and its coast from Natural Earth's outlines, which go over the antimeridian without a cut. */
function landFeatures(text: string): Feature[] {
  const plain = new TopoJSON().readFeatures(text, { dataProjection: "EPSG:4326", featureProjection: "EPSG:4326" }) as Feature[];
  const polygons = plain.flatMap((one) => {
    const shape = one.getGeometry();
    return shape instanceof MultiPolygon ? (shape.getCoordinates() as Place[][][]) : [];
  });
  const made = [new MultiPolygon(polygons.flatMap(cutPolygon).map((rings) => rings.map(inMercator))), new MultiLineString(polygons.flat().flatMap(cutLine))];
  return made.map((shape) => new Feature(shape.transform("EPSG:4326", "EPSG:3857")));
}

/** Natural Earth's land at 1:110 million: orientation from afar, gone before its coarseness could mislead. */
export function land(colours: Palette): VectorLayer {
  const source = new VectorSource();
  const load = async () => source.addFeatures(landFeatures(await (await fetch(outlines)).text()));
  void load().catch(() => undefined); // orientation only: the map is whole without it
  return new VectorLayer({
    source,
    style: new Style({ fill: new Fill({ color: colours.land }), stroke: new Stroke({ color: colours.coast, width: 0.75 }) }),
    minResolution: 1200,
    zIndex: 0,
  });
}
