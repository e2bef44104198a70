/** The catalogue on the map: where scenes are, and, where there is room, what they look like. */

import { effect } from "@preact/signals";
import type Feature from "ol/Feature.js";
import type { FeatureLike } from "ol/Feature.js";
import type OlMap from "ol/Map.js";
import { distance, wrapX } from "ol/coordinate.js";
import { getCenter, getHeight, getWidth } from "ol/extent.js";
import GeoJSON from "ol/format/GeoJSON.js";
import Point from "ol/geom/Point.js";
import LayerGroup from "ol/layer/Group.js";
import type TileLayer from "ol/layer/Tile.js";
import VectorLayer from "ol/layer/Vector.js";
import { get as getProjection } from "ol/proj.js";
import type Projection from "ol/proj/Projection.js";
import type XYZ from "ol/source/XYZ.js";
import VectorSource from "ol/source/Vector.js";
import CircleStyle from "ol/style/Circle.js";
import Fill from "ol/style/Fill.js";
import Stroke from "ol/style/Stroke.js";
import Style from "ol/style/Style.js";

import { hovered, openScene, sceneId, scenes } from "../store.ts";
import type { Box, SceneFeature } from "../types.ts";
import { palette } from "./palette.ts";
import { inTurn, mercator, nativeZoom, sceneLayer, sceneSource } from "./tiles.ts";

const PICTURES = 10;
const ROOM_PX = 44;

function shade(colour: string, alpha: number): string {
  const parts = /^#(..)(..)(..)$/.exec(colour);
  return parts ? `rgba(${parts.slice(1).map((part) => parseInt(part, 16)).join(",")},${alpha})` : colour;
}

const DOT_PX = 16;

function style(feature: FeatureLike, resolution: number): Style[] {
  const id = feature.getId();
  const lit = id === hovered.peek();
  const open = sceneId.peek();
  const colours = palette.peek();
  if (open && id !== open) return [];
  const width = open ? 1.25 : lit ? 3 : 1.75;
  const colour = lit && !open ? colours.accent2 : colours.accent;
  const extent = boxOf(feature);
  if (Math.max(getWidth(extent), getHeight(extent)) < DOT_PX * resolution) return [dot(extent, colour, colours.paper, lit)];
  if (open) return [new Style({ stroke: new Stroke({ color: colour, width }) })];
  return [
    new Style({ stroke: new Stroke({ color: colours.paper, width: width + 2 }), zIndex: lit ? 2 : 0 }),
    new Style({
      stroke: new Stroke({ color: colour, width }),
      fill: new Fill({ color: shade(colour, lit ? 0.16 : 0.1) }),
      zIndex: lit ? 3 : 1,
    }),
  ];
}

/** A scene's box in metres: what crosses the antimeridian is drawn in two parts, and is small all the same. */
const boxOf = (feature: FeatureLike): Box => mercator(feature.get("box") as Box);

/** A scene too small on the screen to be outlined. */
function dot(extent: Box, colour: string, rim: string, lit: boolean): Style {
  return new Style({
    geometry: new Point(getCenter(extent)),
    image: new CircleStyle({ radius: lit ? 9 : 7, fill: new Fill({ color: colour }), stroke: new Stroke({ color: rim, width: 2.5 }) }),
    zIndex: lit ? 5 : 4,
  });
}

export function footprints(map: OlMap): void {
  const source = new VectorSource();
  const layer = new VectorLayer({ source, style, zIndex: 20, updateWhileAnimating: true, updateWhileInteracting: true });
  const pictures = new LayerGroup({ zIndex: 10 });
  map.addLayer(pictures);
  map.addLayer(layer);
  const shown = new globalThis.Map<string, TileLayer<XYZ>>();
  const format = new GeoJSON({ dataProjection: "EPSG:4326", featureProjection: "EPSG:3857" });

  effect(() => {
    const said = scenes.value;
    if (said.state !== "ready") return;
    const plain = said.value.features.map(({ id, geometry, bbox }) => ({ type: "Feature", id, geometry, properties: { box: bbox } }));
    source.clear(true);
    source.addFeatures(format.readFeatures({ type: "FeatureCollection", features: plain }) as Feature[]);
    refresh();
  });
  effect(() => {
    void [hovered.value, palette.value, sceneId.value];
    layer.changed();
  });
  effect(() => pictures.setVisible(sceneId.value === null));
  map.on("moveend", refresh);

  function refresh(): void {
    const said = scenes.peek();
    const wanted = said.state === "ready" && !sceneId.peek() ? roomy(map, said.value.features) : [];
    const ids = new Set(wanted.map(key));
    for (const [id, old] of shown) {
      if (ids.has(id)) continue;
      pictures.getLayers().remove(old);
      shown.delete(id);
    }
    wanted.forEach((scene, place) => {
      const before = shown.get(key(scene));
      if (before) return before.setZIndex(10 - place / PICTURES);
      const made = picture(map, scene, 10 - place / PICTURES);
      shown.set(key(scene), made);
      pictures.getLayers().push(made);
    });
  }

  pointing(map, source);
}

const key = (scene: SceneFeature) => `${scene.id} ${scene.properties.version}`;

/** The first scenes of the list that take enough room on the screen to be worth a picture. */
function roomy(map: OlMap, features: SceneFeature[]): SceneFeature[] {
  const size = map.getSize();
  const resolution = map.getView().getResolution();
  if (!size || !resolution) return [];
  const [west = 0, south = 0, east = 0, north = 0] = map.getView().calculateExtent(size);
  const here = features.filter((scene) => {
    const box = inTurn(map, mercator(scene.bbox));
    const inside = box[0] < east && box[2] > west && box[1] < north && box[3] > south;
    return inside && Math.max(box[2] - box[0], box[3] - box[1]) / resolution > ROOM_PX;
  });
  return here.slice(0, PICTURES);
}

function picture(map: OlMap, scene: SceneFeature, zIndex: number): TileLayer<XYZ> {
  const { bands, gsd_m, version, max_zoom } = scene.properties;
  const rgb = ["red", "green", "blue"].every((name) => bands.includes(name));
  const look = { layer: "fused" as const, bands: rgb ? ["red", "green", "blue"] : bands.slice(0, bands.length < 3 ? 1 : 3) };
  const deepest = max_zoom ?? nativeZoom(gsd_m, scene.bbox);
  const source = sceneSource(scene.id, String(version), { ...look, range: null, gamma: 1 }, [0, deepest]);
  return sceneLayer(map, source, mercator(scene.bbox), zIndex);
}

const NEAR_PX = 4;
const PROJECTION = getProjection("EPSG:3857") as Projection;

/** The scene at a place on the map: a dot before an outline, a small one before a large one. */
function sceneAt(map: OlMap, source: VectorSource, [x = 0, y = 0]: number[]): string | undefined {
  const resolution = map.getView().getResolution() ?? 1;
  let best: { id: string; size: number } | null = null;
  for (const feature of source.getFeatures()) {
    const [west, south, east, north] = inTurn(map, boxOf(feature));
    const size = Math.max(east - west, north - south);
    const reach = (size < DOT_PX * resolution ? DOT_PX / 2 + NEAR_PX : NEAR_PX) * resolution;
    if (x < west - reach || x > east + reach || y < south - reach || y > north + reach) continue;
    const geometry = feature.getGeometry();
    const plain = wrapX([x, y], PROJECTION);
    const near = geometry?.intersectsCoordinate(plain) ? plain : (geometry?.getClosestPoint(plain) ?? plain);
    if (distance(near, plain) <= reach && (!best || size < best.size)) best = { id: String(feature.getId()), size };
  }
  return best?.id;
}

function pointing(map: OlMap, source: VectorSource): void {
  const at = (place: number[]) => sceneAt(map, source, place);
  map.on("pointermove", (event) => {
    if (event.dragging || sceneId.peek()) return;
    const id = at(event.coordinate) ?? null;
    if (hovered.peek() !== id) hovered.value = id;
    map.getTargetElement()?.classList.toggle("pointing", id !== null);
  });
  map.on("click", (event) => {
    const id = sceneId.peek() ? undefined : at(event.coordinate);
    if (id) openScene(id);
  });
}
