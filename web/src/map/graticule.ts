/** Meridians and parallels with their degrees: the map's ground where no base map is configured. */

import Graticule from "ol/layer/Graticule.js";
import Fill from "ol/style/Fill.js";
import Stroke from "ol/style/Stroke.js";
import Text from "ol/style/Text.js";

import type { Palette } from "./palette.ts";

const FONT = "11px system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif";
const INTERVALS = [90, 45, 30, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001];

function degrees(value: number, plus: string, minus: string): string {
  const size = Math.abs(value);
  const text = `${Number(size.toFixed(3))}°`;
  return size < 1e-9 ? text : `${text} ${value < 0 ? minus : plus}`;
}

export function graticule(colours: Palette): Graticule {
  const label = (align: "center" | "end", baseline: "bottom" | "middle") =>
    new Text({
      font: FONT,
      fill: new Fill({ color: colours.soft }),
      stroke: new Stroke({ color: colours.paper, width: 3 }),
      textAlign: align,
      textBaseline: baseline,
      offsetX: align === "end" ? -8 : 0,
      offsetY: baseline === "bottom" ? -30 : 0,
    });
  return new Graticule({
    strokeStyle: new Stroke({ color: colours.grid, width: 1 }),
    showLabels: true,
    wrapX: true,
    targetSize: 130,
    intervals: INTERVALS,
    lonLabelFormatter: (value) => degrees(value, "E", "W"),
    latLabelFormatter: (value) => degrees(value, "N", "S"),
    lonLabelPosition: 0,
    latLabelPosition: 1,
    lonLabelStyle: label("center", "bottom"),
    latLabelStyle: label("end", "middle"),
    zIndex: 1,
  });
}
