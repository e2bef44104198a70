/** What the page shows, as its address says it: `#/?q=...` the catalogue, `#/scene/ID?...` one scene. Pure. */

export type Tab = "look" | "quality" | "get" | "about";
const TABS: readonly Tab[] = ["look", "quality", "get", "about"];

export interface Filters {
  q: string;
  sensor: string | null;
  verdict: string | null;
  cloudMax: number | null;
  from: string | null;
  to: string | null;
  inView: boolean;
}

export interface Look {
  bands: string[] | null;
  /** Percentiles that become black and white. */
  clip: [number, number];
  /** Fixed ranges in DN, one for each band shown; null: by percentile. */
  ranges: [number, number][] | null;
  gamma: number;
}

export interface Place {
  lon: number;
  lat: number;
  zoom: number;
}

export interface Route {
  scene: string | null;
  tab: Tab;
  filters: Filters;
  look: Look;
  swipe: number | null;
  place: Place | null;
}

export const NO_FILTERS: Filters = {
  q: "",
  sensor: null,
  verdict: null,
  cloudMax: null,
  from: null,
  to: null,
  inView: false,
};
export const FIRST_LOOK: Look = { bands: null, clip: [2, 98], ranges: null, gamma: 1 };
export const START: Route = { scene: null, tab: "look", filters: NO_FILTERS, look: FIRST_LOOK, swipe: 0.5, place: null };

const DAY = /^\d{4}-\d{2}-\d{2}$/;

/** Read a hash; what it does not say, or says wrongly, is the default. */
export function parseRoute(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const said = new URLSearchParams(query);
  const named = /^scene\/(.+)$/.exec(path);
  const scene = named?.[1] ? decode(named[1]) : null;
  const tab = TABS.find((one) => one === said.get("tab")) ?? "look";
  const swipe = said.get("swipe") === "off" ? null : (number(said.get("swipe"), 0, 1) ?? 0.5);
  return { scene, tab, filters: parseFilters(said), look: parseLook(said), swipe, place: parsePlace(said.get("at")) };
}

function parseFilters(said: URLSearchParams): Filters {
  const day = (name: string) => (DAY.test(said.get(name) ?? "") ? said.get(name) : null);
  return {
    q: said.get("q") ?? "",
    sensor: said.get("sensor"),
    verdict: said.get("verdict"),
    cloudMax: number(said.get("cloud"), 0, 100),
    from: day("from"),
    to: day("to"),
    inView: said.get("view") === "1",
  };
}

function parseLook(said: URLSearchParams): Look {
  const bands = said.get("bands")?.split(",").filter(Boolean) ?? [];
  const clip = pair(said.get("clip"));
  const ranges = said.get("range")?.split(";").map(pair) ?? [];
  return {
    bands: bands.length === 1 || bands.length === 3 ? bands : null,
    clip: clip && clip[0] >= 0 && clip[1] <= 100 ? clip : FIRST_LOOK.clip,
    ranges: ranges.length > 0 && ranges.every((one) => one !== null) ? (ranges as [number, number][]) : null,
    gamma: number(said.get("gamma"), 0.2, 5) ?? 1,
  };
}

function parsePlace(text: string | null): Place | null {
  const parts = text?.split(",").map(Number) ?? [];
  const [lon, lat, zoom] = parts;
  if (parts.length !== 3 || parts.some((part) => !Number.isFinite(part))) return null;
  if (lon === undefined || lat === undefined || zoom === undefined || Math.abs(lat) > 90 || zoom < 0) return null;
  return { lon, lat, zoom };
}

/** Write the hash of a route; defaults are left out, so an address stays short. */
export function formatRoute(route: Route): string {
  const said: [string, string][] = [];
  const say = (name: string, value: string | number | null | false) => {
    if (value !== null && value !== false && value !== "") said.push([name, String(value)]);
  };
  if (route.scene) {
    say("tab", route.tab !== "look" && route.tab);
    say("bands", route.look.bands?.join(",") ?? null);
    say("clip", route.look.clip.join() !== FIRST_LOOK.clip.join() && route.look.clip.join(","));
    say("range", route.look.ranges?.map((one) => one.join(",")).join(";") ?? null);
    say("gamma", route.look.gamma !== 1 && route.look.gamma);
    say("swipe", route.swipe === null ? "off" : route.swipe !== 0.5 && route.swipe.toFixed(3));
  }
  const filters = route.filters;
  say("q", filters.q);
  say("sensor", filters.sensor);
  say("verdict", filters.verdict);
  say("cloud", filters.cloudMax);
  say("from", filters.from);
  say("to", filters.to);
  say("view", filters.inView && "1");
  const place = route.place;
  say("at", place && `${place.lon.toFixed(5)},${place.lat.toFixed(5)},${place.zoom.toFixed(2)}`);
  const query = said.map(([name, value]) => `${name}=${encodeURIComponent(value).replace(/%2C/g, ",").replace(/%3B/g, ";")}`);
  const path = route.scene ? `#/scene/${encodeURIComponent(route.scene)}` : "#/";
  return path + (query.length ? `?${query.join("&")}` : "");
}

/** The query of `/api/items` for these filters. */
export function itemQuery(filters: Filters, view: number[] | null, limit: number): string {
  const query = new URLSearchParams();
  const q = filters.q.trim();
  if (q) query.set("q", q);
  if (filters.sensor) query.set("sensor", filters.sensor);
  if (filters.verdict) query.set("verdict", filters.verdict);
  if (filters.cloudMax !== null) query.set("cloud_max", String(filters.cloudMax));
  if (filters.from || filters.to) {
    const from = filters.from ? `${filters.from}T00:00:00Z` : "..";
    query.set("datetime", `${from}/${filters.to ? `${filters.to}T23:59:59.999Z` : ".."}`);
  }
  if (filters.inView && view) query.set("bbox", view.map((part) => part.toFixed(5)).join(","));
  query.set("limit", String(limit));
  return query.toString();
}

/** How many filters narrow the list. */
export function countFilters(filters: Filters): number {
  const set = [filters.q.trim(), filters.sensor, filters.verdict, filters.from ?? filters.to, filters.inView];
  return set.filter(Boolean).length + (filters.cloudMax === null ? 0 : 1);
}

function number(text: string | null, low: number, high: number): number | null {
  if (text === null || text.trim() === "") return null;
  const value = Number(text);
  return Number.isFinite(value) && value >= low && value <= high ? value : null;
}

function pair(text: string | null): [number, number] | null {
  const parts = (text ?? "").split(",");
  const [low, high] = parts.map(Number);
  if (parts.length !== 2 || low === undefined || high === undefined) return null;
  return Number.isFinite(low) && Number.isFinite(high) && low < high ? [low, high] : null;
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
