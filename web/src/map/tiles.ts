/** Layers of map tiles: one scene's, bounded to its extent, or the base map. */

import type OlMap from "ol/Map.js";
import TileLayer from "ol/layer/Tile.js";
import { transformExtent } from "ol/proj.js";
import XYZ from "ol/source/XYZ.js";
import { createXYZ } from "ol/tilegrid.js";

import { type TileLook, tileTemplate } from "../api.ts";
import { turned, unwrapped } from "../lonlat.ts";
import type { Box, Config } from "../types.ts";

const RETRIES = 4;

export const SHARP = devicePixelRatio >= 1.5;

/** A source of 512-px tiles: as they are on plain screens, at half size on sharp ones. */
export function sceneSource(id: string, version: string, look: TileLook, zooms: [number, number]): XYZ {
  const tileSize = SHARP ? 256 : 512;
  const [low, high] = SHARP ? zooms : [zooms[0] - 1, zooms[1] - 1];
  const source = new XYZ({
    url: tileTemplate(id, version, look),
    tileGrid: createXYZ({ minZoom: Math.max(0, low), maxZoom: Math.max(0, high), tileSize }),
    tilePixelRatio: SHARP ? 2 : 1,
    transition: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 200,
  });
  tryAgain(source);
  return source;
}

/** A server with much to do refuses tiles for a moment: ask again, later each time. */
function tryAgain(source: XYZ): void {
  const tried = new WeakMap<object, number>();
  source.on("tileloaderror", ({ tile }) => {
    const count = tried.get(tile) ?? 0;
    tried.set(tile, count + 1);
    if (count < RETRIES) setTimeout(() => tile.load(), 400 * 2 ** count + Math.random() * 200);
  });
}

/** A scene's layer, in the turn of the earth that the map looks at. */
export function sceneLayer(map: OlMap, source: XYZ, home: Box, zIndex: number): TileLayer<XYZ> {
  return new TileLayer({ source, extent: inTurn(map, home), zIndex, preload: 1, properties: { home } });
}

/** Scenes go along when the map is moved around the earth. */
export function turnWithView(map: OlMap): void {
  map.getView().on("change:center", () => {
    for (const layer of map.getAllLayers()) {
      const home = layer.get("home") as Box | undefined;
      const extent = home && inTurn(map, home);
      if (extent && extent[0] !== layer.getExtent()?.[0]) layer.setExtent(extent);
    }
  });
}

const WORLD_M = 2 * 20_037_508.342789244;

/** A box of metres in that turn which is nearest to the map's centre. */
export function inTurn(map: OlMap, box: Box): Box {
  return turned(box, map.getView().getCenter()?.[0] ?? 0, WORLD_M);
}

/** A box of degrees in metres; over the antimeridian it goes on beyond 180 degrees. */
export function mercator(box: Box): Box {
  const [west, south, east, north] = unwrapped(box);
  return transformExtent([west, Math.max(south, -85.05), east, Math.min(north, 85.05)], "EPSG:4326", "EPSG:3857") as Box;
}

/** The deepest zoom (of 256-px tiles) that still shows new pixels. */
export function nativeZoom(gsd: number | null, box: Box): number {
  const across = 156_543.03 * Math.cos((((box[1] + box[3]) / 2) * Math.PI) / 180);
  return gsd ? Math.min(22, Math.max(1, Math.ceil(Math.log2(across / gsd)))) : 14;
}

export function baseLayer(basemap: NonNullable<Config["basemap"]>): TileLayer<XYZ> {
  const source = new XYZ({ url: basemap.url, maxZoom: basemap.max_zoom });
  return new TileLayer({ source, zIndex: 0 });
}
