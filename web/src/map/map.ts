/** The map itself: ground, layers, where it looks, and the little instruments on it. */

import { batch, effect, signal } from "@preact/signals";
import OlMap from "ol/Map.js";
import View from "ol/View.js";
import ScaleLine from "ol/control/ScaleLine.js";
import { isEmpty } from "ol/extent.js";
import { defaults } from "ol/interaction/defaults.js";
import { fromLonLat, toLonLat, transformExtent } from "ol/proj.js";

import { around, wrapped } from "../lonlat.ts";
import { phone } from "../media.ts";
import { config, current, go, route, sceneId, scenes, sheet, view } from "../store.ts";
import type { Box } from "../types.ts";
import { drawingOnMap } from "./draw.ts";
import { footprints } from "./footprints.ts";
import { graticule, land } from "./graticule.ts";
import { palette } from "./palette.ts";
import { sceneOnMap } from "./scene.ts";
import { baseLayer, inTurn, mercator, turnWithView } from "./tiles.ts";

const WORLD: Box = [-170, -58, 170, 74];
const LABELS = {
  catalog: "Map of the scenes. Arrows move, plus and minus zoom. The list has the same scenes.",
  scene: "Map of the scene. Arrows move, plus and minus zoom, Enter reads the pixel at the centre.",
};

/** Whether tiles of what is shown are still on their way. */
export const loading = signal(false);

export const pointer = signal<[number, number] | null>(null);

/** The map lives in its own elements, which outlive the panels around them: a sign-in does not make a second one. */
const target = document.createElement("div");
const scale = document.createElement("div");
let map: OlMap | null = null;

/** Put the map and its scale where they belong; it is made the first time. */
export function placeMap(mapInto: HTMLElement, scaleInto: HTMLElement): void {
  mapInto.append(target);
  scaleInto.append(scale);
  if (!map) createMap();
}

function createMap(): void {
  const centre = fromLonLat([0, 20]);
  target.className = "map";
  target.tabIndex = 0;
  target.setAttribute("role", "application");
  target.setAttribute("aria-roledescription", "map");
  effect(() => target.setAttribute("aria-label", sceneId.value === null ? LABELS.catalog : LABELS.scene));
  map = new OlMap({
    target,
    controls: [new ScaleLine({ target: scale, minWidth: 70 })],
    // by itself a map that the keyboard can reach hears wheel and drag only when it has the focus
    interactions: defaults({ onFocusOnly: false }),
    view: new View({ center: centre, zoom: 2, minZoom: 1, maxZoom: 23, constrainRotation: 0, enableRotation: false }),
    moveTolerance: 4,
    maxTilesLoading: 8,
  });
  effect(() => target.setAttribute("aria-busy", String(loading.value)));
  map.on("loadstart", () => (loading.value = true));
  map.on("loadend", () => (loading.value = false));
  turnWithView(map);
  ground(map);
  footprints(map);
  sceneOnMap(map);
  drawingOnMap(map);
  looking(map);
  map.on("pointermove", (event) => {
    if (!event.dragging) pointer.value = toLonLat(event.coordinate) as [number, number];
  });
  target.addEventListener("pointerleave", () => (pointer.value = null));
}

function ground(map: OlMap): void {
  effect(() => {
    const layers = [land(palette.value), graticule(palette.value)];
    for (const layer of layers) map.addLayer(layer);
    return () => layers.forEach((layer) => map.removeLayer(layer));
  });
  effect(() => {
    const basemap = config.value?.basemap;
    if (!basemap) return undefined;
    const layer = baseLayer(basemap);
    map.addLayer(layer);
    return () => map.removeLayer(layer);
  });
}

/** Keep address and view in step, and look where something is to be seen. */
function looking(map: OlMap): void {
  let placed = false;
  const place = route.peek().place;
  if (place) {
    jump(map, place);
    placed = true;
  }
  map.on("moveend", () => {
    const size = map.getSize();
    const centre = map.getView().getCenter();
    const zoom = map.getView().getZoom();
    if (!size || !centre || zoom === undefined) return;
    const [lon = 0, lat = 0] = toLonLat(centre);
    batch(() => {
      view.value = seen(map, size);
      if (placed) go({ place: { lon, lat, zoom } });
    });
  });
  effect(() => {
    const wanted = route.value.place;
    if (wanted && placed) jump(map, wanted);
  });
  effect(() => {
    const said = scenes.value;
    if (placed || sceneId.peek() || said.state !== "ready") return;
    const boxes = said.value.features.map((scene) => scene.bbox);
    fit(boxes.length ? around(boxes) : WORLD, false);
    placed = true;
  });
  effect(() => {
    const scene = current.value;
    if (!scene || route.peek().place) return;
    fit(scene.bounds_lonlat, placed);
    placed = true;
  });
  effect(() => {
    if (sceneId.value === null && route.peek().place === null && placed) fitAll(true);
  });
}

/** What can be seen, in degrees: on a phone the part above the sheet. */
function seen(map: OlMap, [width = 0, height = 0]: number[]): Box {
  const hidden = phone.peek() ? { low: 0.2, half: 0.52, full: 0.52 }[sheet.peek()] : 0;
  const corners = [[0, height * (1 - hidden)], [width, 0]].map((pixel) => map.getCoordinateFromPixel(pixel) ?? [0, 0]);
  return wrapped(transformExtent(corners.flat(), "EPSG:3857", "EPSG:4326") as Box);
}

function jump(map: OlMap, place: { lon: number; lat: number; zoom: number }): void {
  const now = map.getView();
  const [lon = 0, lat = 0] = toLonLat(now.getCenter() ?? [0, 0]);
  const near = Math.abs(lon - place.lon) < 1e-4 && Math.abs(lat - place.lat) < 1e-4;
  if (near && Math.abs((now.getZoom() ?? 0) - place.zoom) < 0.01) return;
  now.setCenter(fromLonLat([place.lon, place.lat]));
  now.setZoom(place.zoom);
}

/** Show a box of degrees with room around it; on a phone, above the sheet. */
export function fit(box: Box, move = true): void {
  if (!map) return;
  const extent = inTurn(map, mercator(box));
  if (isEmpty(extent)) return;
  map.updateSize();
  const [width = 0, height = 0] = map.getSize() ?? [];
  const room = Math.min(width, height) * 0.07;
  const below = phone.peek() ? height * 0.52 : 0;
  const side = phone.peek() ? 58 : room;
  const padding = [room + (phone.peek() ? 12 : 16), side, room + below + (sceneId.peek() || phone.peek() ? 12 : 110), phone.peek() ? 24 : side];
  const duration = move && !matchMedia("(prefers-reduced-motion: reduce)").matches ? 380 : 0;
  map.getView().fit(extent, { padding, duration, maxZoom: 18 });
}

export function fitAll(move = true): void {
  const said = scenes.peek();
  const boxes = said.state === "ready" ? said.value.features.map((scene) => scene.bbox) : [];
  fit(boxes.length ? around(boxes) : WORLD, move);
}

export function zoomBy(steps: number): void {
  const seen = map?.getView();
  seen?.animate({ zoom: (seen.getZoom() ?? 2) + steps, duration: 180 });
}
