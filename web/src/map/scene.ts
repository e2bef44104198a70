/** One scene on the map: the fused image left of the swipe's handle, the unsharpened input right of it. */

import { effect } from "@preact/signals";
import Feature from "ol/Feature.js";
import type OlMap from "ol/Map.js";
import Point from "ol/geom/Point.js";
import type TileLayer from "ol/layer/Tile.js";
import VectorLayer from "ol/layer/Vector.js";
import { fromLonLat, toLonLat } from "ol/proj.js";
import { getRenderPixel } from "ol/render.js";
import type RenderEvent from "ol/render/Event.js";
import VectorSource from "ol/source/Vector.js";
import type XYZ from "ol/source/XYZ.js";
import CircleStyle from "ol/style/Circle.js";
import Stroke from "ol/style/Stroke.js";
import Style from "ol/style/Style.js";

import { tileTemplate, type TileLook } from "../api.ts";
import { phone } from "../media.ts";
import { current, drawing, route, sample, samplePixel, sceneId, sheet, shownBands, shownRanges } from "../store.ts";
import { rangeText } from "../stretch.ts";
import type { Detail } from "../types.ts";
import { palette } from "./palette.ts";
import { inTurn, mercator, sceneLayer, sceneSource } from "./tiles.ts";


interface Shown {
  id: string;
  fused: TileLayer<XYZ>;
  input: TileLayer<XYZ> | null;
}

export function sceneOnMap(map: OlMap): void {
  let shown: Shown | null = null;

  effect(() => {
    const scene = current.value;
    if (shown && shown.id !== scene?.item.id) {
      for (const layer of [shown.fused, shown.input]) if (layer) map.removeLayer(layer);
      shown = null;
    }
    if (!scene) return;
    const look = tileLook("fused");
    if (!shown) {
      shown = lay(map, scene, look);
      return;
    }
    for (const [layer, name] of [[shown.fused, "fused"], [shown.input, "input"]] as const) {
      const url = tileTemplate(scene.item.id, String(scene.version ?? "1"), { ...look, layer: name });
      const source = layer?.getSource();
      if (source && source.getUrls()?.[0] !== url) source.setUrl(url);
    }
  });
  effect(() => {
    void route.value.swipe;
    shown?.input?.setVisible(route.value.swipe !== null);
    map.render();
  });
  marker(map);
  sampling(map);
}

function tileLook(layer: "fused" | "input"): TileLook {
  const { look } = route.value;
  return { layer, bands: shownBands.value, range: rangeText(look, shownRanges.value), gamma: look.gamma };
}

function lay(map: OlMap, scene: Detail, look: TileLook): Shown {
  const id = scene.item.id;
  const zooms: [number, number] = [scene.min_zoom, scene.max_zoom];
  const version = String(scene.version ?? "1");
  const make = (name: "fused" | "input", zIndex: number) => {
    const layer = sceneLayer(map, sceneSource(id, version, { ...look, layer: name }, zooms), scene.bounds_3857 ?? mercator(scene.bounds_lonlat), zIndex);
    layer.on("prerender", (event) => clip(map, event as RenderEvent, name));
    layer.on("postrender", (event) => ((event as RenderEvent).context as CanvasRenderingContext2D).restore());
    map.addLayer(layer);
    return layer;
  };
  const input = scene.has_input ? make("input", 11) : null;
  input?.setVisible(route.peek().swipe !== null);
  return { id, fused: make("fused", 12), input };
}

/** Keep a layer to its side of the handle. */
function clip(map: OlMap, event: RenderEvent, side: "fused" | "input"): void {
  const context = event.context as CanvasRenderingContext2D;
  const [width = 0, height = 0] = map.getSize() ?? [];
  const at = current.peek()?.has_input ? (route.peek().swipe ?? 1) * width : width;
  const [left, right] = side === "fused" ? [0, at] : [at, width];
  context.save();
  context.beginPath();
  [[left, 0], [right, 0], [right, height], [left, height]].forEach((corner, place) => {
    const [x = 0, y = 0] = getRenderPixel(event, corner);
    if (place === 0) context.moveTo(x, y);
    else context.lineTo(x, y);
  });
  context.closePath();
  context.clip();
}

function marker(map: OlMap): void {
  const source = new VectorSource();
  const ring = (colour: string, width: number) =>
    new Style({ image: new CircleStyle({ radius: 7, stroke: new Stroke({ color: colour, width }) }) });
  const layer = new VectorLayer({ source, zIndex: 40, style: () => [ring("rgba(0,0,0,.55)", 4.5), ring("#fff", 2)] });
  map.addLayer(layer);
  effect(() => {
    void palette.value;
    const at = sample.value;
    source.clear();
    if (!at) return;
    const [x = 0, y = 0] = fromLonLat([at.lon, at.lat]);
    const [turnedX] = inTurn(map, [x, y, x, y]);
    source.addFeature(new Feature(new Point([turnedX, y])));
  });
}

/** A click, or Enter on the focused map, asks for the pixel's values. */
function sampling(map: OlMap): void {
  const ask = (coordinate: number[]) => {
    const [lon = 0, lat = 0] = toLonLat(coordinate);
    if (phone.peek()) sheet.value = "low";
    void samplePixel(lon, lat);
  };
  map.on("click", (event) => {
    if (sceneId.peek() && !drawing.peek()) ask(event.coordinate);
  });
  map.getTargetElement()?.addEventListener("keydown", (event) => {
    const centre = map.getView().getCenter();
    if (event.key !== "Enter" || !sceneId.peek() || drawing.peek() || !centre) return;
    event.preventDefault();
    ask(centre);
  });
}
