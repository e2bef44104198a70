/** The page's state as signals, and the verbs that change it. The map and the panels read it; nothing else is shared. */

import { batch, computed, effect, signal } from "@preact/signals";

import { api, Fault, onSignedOut } from "./api.ts";
import { NO_FILTERS, type Filters, type Look, type Place, type Route, formatRoute, itemQuery, parseRoute } from "./route.ts";
import { bandsShown, rangesShown } from "./stretch.ts";
import type { Area, Box, Config, Detail, Facets, PointValues, SceneFeature, Session } from "./types.ts";

const POLL_MS = 10_000;
const PAGE = 200;
const WRITE_MS = 250;

export type Loaded<T> = { state: "loading" } | { state: "failed"; fault: Fault } | { state: "ready"; value: T };

export interface ClipArea {
  how: "drawn" | "uploaded" | "typed" | "view" | "scene";
  area: Area;
}

export interface Sample {
  lon: number;
  lat: number;
  values: Loaded<PointValues>;
}

export interface Scenes {
  features: SceneFeature[];
  matched: number;
  facets: Facets;
}

export const route = signal<Route>(parseRoute(location.hash));
export const session = signal<Loaded<Session>>({ state: "loading" });
export const config = signal<Config | null>(null);
export const scenes = signal<Loaded<Scenes>>({ state: "loading" });
export const stale = signal(false);
export const fresh = signal<ReadonlySet<string>>(new Set());
export const limit = signal(PAGE);
export const detail = signal<Loaded<Detail>>({ state: "loading" });
export const hovered = signal<string | null>(null);
export const view = signal<Box | null>(null);
export const sample = signal<Sample | null>(null);
export const clipArea = signal<ClipArea | null>(null);
export const drawing = signal<"polygon" | "box" | null>(null);
export const signingIn = signal(false);
export const spoken = signal("");
export const sheet = signal<"low" | "half" | "full">("half");

export const sceneId = computed(() => route.value.scene);
export const current = computed(() => (detail.value.state === "ready" ? detail.value.value : null));
export const shownBands = computed(() => {
  const scene = current.value;
  return scene ? bandsShown(route.value.look, scene.bands, scene.presets) : [];
});
export const shownRanges = computed(() => {
  const scene = current.value;
  return scene ? rangesShown(route.value.look, shownBands.value, scene.bands) : [];
});

/** Say something to people who listen to the page instead of looking at it. */
export function say(text: string): void {
  spoken.value = text;
}

// --- the address ------------------------------------------------------------------------------------------------

export function go(change: Partial<Route>, how: "push" | "replace" = "replace"): void {
  if (how === "push") settle();
  route.value = { ...route.peek(), ...change };
  if (how === "push") history.pushState(null, "", formatRoute(route.peek()));
  else writing ??= setTimeout(settle, WRITE_MS);
}

/** Browsers allow only so many changes of the address: those of a drag are written when it rests. */
let writing: ReturnType<typeof setTimeout> | undefined;

function settle(): void {
  clearTimeout(writing);
  writing = undefined;
  const hash = formatRoute(route.peek());
  if (hash !== location.hash && !(hash === "#/" && location.hash === "")) history.replaceState(null, "", hash);
}

export function filter(change: Partial<Filters>): void {
  go({ filters: { ...route.peek().filters, ...change } });
  limit.value = PAGE;
}

export function clearFilters(): void {
  filter(NO_FILTERS);
}

export function look(change: Partial<Look>): void {
  go({ look: { ...route.peek().look, ...change } });
}

let left: Place | null = null;

export function openScene(id: string): void {
  const { filters, place, scene } = route.peek();
  if (!scene) left = place;
  go({ ...parseRoute(""), filters, scene: id, place: null }, "push");
}

export function closeScene(): void {
  go({ scene: null, tab: "look", place: left }, "push");
}

export function moreScenes(): void {
  limit.value += PAGE;
}

// --- loading ----------------------------------------------------------------------------------------------------

const asFault = (fault: unknown) => (fault instanceof Fault ? fault : new Fault("page", String(fault), 0));
const aborted = (fault: unknown) => fault instanceof DOMException && fault.name === "AbortError";

export async function start(): Promise<void> {
  onSignedOut.run = () => {
    session.value = { state: "ready", value: { required: true, authenticated: false, user: null } };
  };
  const follow = () => {
    clearTimeout(writing);
    writing = undefined;
    if (location.hash !== formatRoute(route.peek())) route.value = parseRoute(location.hash);
  };
  addEventListener("popstate", follow);
  addEventListener("hashchange", follow);
  await loadSession();
  effect(() => void (signedIn.value && loadConfig()));
  effect(watchScenes);
  effect(watchDetail);
  setInterval(() => void (document.hidden || poll()), POLL_MS);
  document.addEventListener("visibilitychange", () => void (document.hidden || poll()));
}

export const signedIn = computed(() => {
  const said = session.value;
  return said.state === "ready" && (!said.value.required || said.value.authenticated);
});

export async function loadSession(): Promise<void> {
  try {
    session.value = { state: "ready", value: await api.session() };
  } catch (fault) {
    session.value = { state: "failed", fault: asFault(fault) };
  }
}

export async function signIn(token: string): Promise<void> {
  session.value = { state: "ready", value: await api.signIn(token) };
  if (!signedIn.peek()) throw new Fault("token", "The token was not accepted.", 401);
  signingIn.value = false;
  await loadScenes();
}

export async function signOut(): Promise<void> {
  await api.signOut();
  batch(() => {
    scenes.value = { state: "loading" };
    detail.value = { state: "loading" };
    sample.value = null;
    clipArea.value = null;
  });
  await loadSession();
}

async function loadConfig(): Promise<void> {
  try {
    config.value = await api.config();
    document.title = config.value.title || "geofuse";
  } catch {
    config.value = null;
  }
}

const query = computed(() => {
  const filters = route.value.filters;
  return itemQuery(filters, filters.inView ? view.value : null, limit.value);
});

let etag: string | null = null;
let asking: AbortController | null = null;
let known: { query: string; ids: Set<string> } = { query: "", ids: new Set() };

function watchScenes(): (() => void) | undefined {
  const wanted = query.value;
  if (!signedIn.value) return undefined;
  etag = null;
  const wait = setTimeout(() => void loadScenes(wanted), scenes.peek().state === "ready" ? 180 : 0);
  return () => clearTimeout(wait);
}

export async function loadScenes(wanted: string = query.peek()): Promise<void> {
  asking?.abort();
  asking = new AbortController();
  stale.value = true;
  try {
    const answer = await api.items(wanted, null, asking.signal);
    if (answer) take(wanted, answer);
  } catch (fault) {
    if (aborted(fault)) return;
    scenes.value = { state: "failed", fault: asFault(fault) };
  }
  stale.value = false;
}

async function poll(): Promise<void> {
  const wanted = query.peek();
  if (!signedIn.peek() || stale.peek()) return;
  try {
    const answer = await api.items(wanted, etag);
    if (answer && wanted === query.peek()) take(wanted, answer);
  } catch {
    // The next poll may find the server again; what is shown stays.
  }
}

function take(wanted: string, answer: NonNullable<Awaited<ReturnType<typeof api.items>>>): void {
  const { features, numberMatched, facets } = answer.list;
  const arrived = features.filter((one) => !known.ids.has(one.id));
  if (known.query === wanted && arrived.length > 0) {
    fresh.value = new Set([...fresh.peek(), ...arrived.map((one) => one.id)]);
    say(arrived.length === 1 ? `New scene: ${arrived[0]?.properties.title}` : `${arrived.length} new scenes`);
  }
  known = { query: wanted, ids: new Set(features.map((one) => one.id)) };
  etag = answer.etag;
  scenes.value = { state: "ready", value: { features, matched: numberMatched, facets: facets ?? {} } };
}

function watchDetail(): (() => void) | undefined {
  const id = sceneId.value;
  batch(() => {
    sample.value = null;
    clipArea.value = null;
    drawing.value = null;
    detail.value = { state: "loading" };
  });
  if (!id || !signedIn.value) return undefined;
  const asked = new AbortController();
  void loadDetail(id, asked.signal);
  return () => asked.abort();
}

export async function loadDetail(id: string, signal?: AbortSignal): Promise<void> {
  try {
    const value = await api.detail(id, signal);
    detail.value = { state: "ready", value };
    say(`Scene ${value.title} opened`);
  } catch (fault) {
    if (!aborted(fault)) detail.value = { state: "failed", fault: asFault(fault) };
  }
}

let sampling: AbortController | null = null;

/** Ask for the values of the pixel at a place. */
export async function samplePixel(lon: number, lat: number): Promise<void> {
  const id = sceneId.peek();
  if (!id) return;
  sampling?.abort();
  sampling = new AbortController();
  const before = sample.peek();
  sample.value = { lon, lat, values: before?.values.state === "ready" ? before.values : { state: "loading" } };
  try {
    const value = await api.point(id, lon, lat, sampling.signal);
    sample.value = { lon, lat, values: { state: "ready", value } };
    const told = value.bands.map((band) => `${band.name} ${band.dn}`).join(", ");
    say(value.valid ? `Pixel row ${value.row}, column ${value.col}: ${told}` : "No data here");
  } catch (fault) {
    if (!aborted(fault)) sample.value = { lon, lat, values: { state: "failed", fault: asFault(fault) } };
  }
}
