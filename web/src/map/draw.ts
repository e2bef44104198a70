/** Drawing the area to clip: a polygon or a box, kept in lon/lat. */

import { effect } from "@preact/signals";
import Feature from "ol/Feature.js";
import type OlMap from "ol/Map.js";
import GeoJSON from "ol/format/GeoJSON.js";
import type Geometry from "ol/geom/Geometry.js";
import Draw, { createBox } from "ol/interaction/Draw.js";
import VectorLayer from "ol/layer/Vector.js";
import VectorSource from "ol/source/Vector.js";
import { getArea } from "ol/sphere.js";
import CircleStyle from "ol/style/Circle.js";
import Fill from "ol/style/Fill.js";
import Stroke from "ol/style/Stroke.js";
import Style from "ol/style/Style.js";

import { unwrapped } from "../lonlat.ts";
import { type ClipArea, clipArea, drawing, say } from "../store.ts";
import type { Box, Geometry as Plain } from "../types.ts";
import { palette } from "./palette.ts";

const FORMAT = new GeoJSON({ dataProjection: "EPSG:4326", featureProjection: "EPSG:3857" });

function style(): Style[] {
  const colour = palette.peek().accent2;
  return [
    new Style({ stroke: new Stroke({ color: "rgba(255,255,255,.9)", width: 4 }), zIndex: 0 }),
    new Style({
      stroke: new Stroke({ color: colour, width: 2, lineDash: [7, 5] }),
      fill: new Fill({ color: "rgba(255,255,255,.08)" }),
      image: new CircleStyle({ radius: 5, fill: new Fill({ color: colour }), stroke: new Stroke({ color: "#fff", width: 2 }) }),
      zIndex: 1,
    }),
  ];
}

export function drawingOnMap(map: OlMap): void {
  const source = new VectorSource();
  map.addLayer(new VectorLayer({ source, style, zIndex: 30 }));

  effect(() => {
    const area = clipArea.value;
    source.clear();
    const shape = area && area.how !== "scene" ? FORMAT.readGeometry(area.area.geometry) : null;
    if (shape) source.addFeature(new Feature(shape));
  });

  effect(() => {
    const shape = drawing.value;
    if (!shape) return undefined;
    const draw =
      shape === "box"
        ? new Draw({ source, type: "Circle", geometryFunction: createBox(), freehand: true, style })
        : new Draw({ source, type: "Polygon", style });
    draw.on("drawstart", () => source.clear());
    draw.on("drawend", (event) => {
      const geometry = event.feature.getGeometry();
      setTimeout(() => {
        if (geometry) clipArea.value = measured("drawn", shape === "box" ? "Box" : "Polygon", geometry);
        drawing.value = null;
      });
    });
    const keys = (event: KeyboardEvent) => {
      if (event.key === "Escape") drawing.value = null;
      if (event.key === "Enter" && shape === "polygon") draw.finishDrawing();
    };
    addEventListener("keydown", keys);
    map.addInteraction(draw);
    map.getTargetElement()?.classList.add("drawing");
    say(shape === "box" ? "Drag a box on the map" : "Click the corners on the map; double-click to finish");
    return () => {
      removeEventListener("keydown", keys);
      map.removeInteraction(draw);
      map.getTargetElement()?.classList.remove("drawing");
    };
  });
}

function measured(how: ClipArea["how"], name: string, geometry: Geometry): ClipArea {
  const plain = FORMAT.writeGeometryObject(geometry, { decimals: 8 }) as Plain;
  return { how, area: { name, features: 1, geometry: plain, area_km2: getArea(geometry) / 1e6 } };
}

/** An area of a box in degrees. */
export function boxArea(how: ClipArea["how"], name: string, box: Box): ClipArea {
  const [west, south, east, north] = unwrapped(box);
  const ring = [[west, south], [east, south], [east, north], [west, north], [west, south]];
  return measured(how, name, FORMAT.readGeometry({ type: "Polygon", coordinates: [ring] }) as Geometry);
}
