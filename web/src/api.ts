/** The server, typed. Every fault is a Fault with the server's own line. */

import type { Area, Box, ClipRequest, Config, Detail, Estimate, Job, Pair, PointValues, SceneList, Session } from "./types.ts";

export class Fault extends Error {
  readonly code: string;
  readonly status: number;

  constructor(code: string, message: string, status: number) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

/** Called when the server asks for a token. */
export const onSignedOut: { run: () => void } = { run: () => undefined };

export function address(path: string): string {
  return new URL(path.replace(/^\//, ""), document.baseURI).toString();
}

async function call(path: string, init: RequestInit = {}): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(address(path), { credentials: "same-origin", ...init });
  } catch (fault) {
    if (fault instanceof DOMException && fault.name === "AbortError") throw fault;
    throw new Fault("network", "The server does not answer. It may be restarting, or you are offline.", 0);
  }
  if (answer.ok || answer.status === 304) return answer;
  if (answer.status === 401 && path !== "api/session") onSignedOut.run();
  throw await faultOf(answer);
}

async function faultOf(answer: Response): Promise<Fault> {
  const said = (await answer.json().catch(() => null)) as { code?: string; message?: string } | null;
  const wait = answer.headers.get("Retry-After");
  const busy = answer.status === 503 ? `The server is busy${wait ? `; try again in ${wait} s` : ""}.` : null;
  const message = said?.message ?? busy ?? `The server answered ${answer.status}.`;
  return new Fault(said?.code ?? "http", message, answer.status);
}

async function json<T>(path: string, init?: RequestInit): Promise<T> {
  return (await (await call(path, init)).json()) as T;
}

function post<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  const headers = { "Content-Type": "application/json" };
  return json<T>(path, { method: "POST", headers, body: JSON.stringify(body), signal: signal ?? null });
}

const item = (id: string) => `api/items/${encodeURIComponent(id)}`;

export const api = {
  session: () => json<Session>("api/session"),
  signIn: (token: string) => post<Session>("api/session", { token }),
  signOut: async () => void (await call("api/session", { method: "DELETE" })),
  config: () => json<Config>("api/config"),
  detail: (id: string, signal?: AbortSignal) => json<Detail>(item(id), { signal: signal ?? null }),
  provenance: (url: string) => json<Record<string, unknown>>(url),
  point: (id: string, lon: number, lat: number, signal?: AbortSignal) =>
    json<PointValues>(`${item(id)}/point?lon=${lon.toFixed(7)}&lat=${lat.toFixed(7)}`, { signal: signal ?? null }),
  ranges: (id: string, box: Box, bands: string[], [low, high]: Pair) =>
    json<{ bands: string[]; ranges: Pair[] }>(`${item(id)}/ranges?${new URLSearchParams({ bbox: box.map((part) => part.toFixed(6)).join(","), bands: bands.join(","), low: String(low), high: String(high) })}`),
  estimate: (body: ClipRequest, signal?: AbortSignal) => post<Estimate>("api/clips/estimate", body, signal),
  clip: (body: ClipRequest) => post<Job>("api/clips", body),
  job: (id: string) => json<Job>(`api/clips/${encodeURIComponent(id)}`),
  cancel: async (id: string) => void (await call(`api/clips/${encodeURIComponent(id)}`, { method: "DELETE" })),

  upload(file: File): Promise<Area> {
    const body = new FormData();
    body.append("file", file);
    return json<Area>("api/uploads", { method: "POST", body });
  },

  /** The scenes of a query; null where nothing changed since `etag`. */
  async items(query: string, etag: string | null, signal?: AbortSignal): Promise<{ list: SceneList; etag: string | null } | null> {
    const headers: Record<string, string> = etag ? { "If-None-Match": etag } : {};
    const answer = await call(`api/items?${query}`, { headers, cache: "no-store", signal: signal ?? null });
    if (answer.status === 304) return null;
    return { list: (await answer.json()) as SceneList, etag: answer.headers.get("ETag") };
  },
};

export interface TileLook {
  layer: "fused" | "input";
  bands: string[];
  range: string | null;
  gamma: number;
}

/** The address of a scene's tiles, with {z}, {x} and {y} left open. */
export function tileTemplate(id: string, version: string, look: TileLook): string {
  const query = new URLSearchParams({ layer: look.layer, bands: look.bands.join(",") });
  if (look.range) query.set("range", look.range);
  if (look.gamma !== 1) query.set("gamma", String(look.gamma));
  query.set("size", "512");
  query.set("v", version);
  return `${address(item(id))}/tiles/{z}/{x}/{y}.png?${query.toString()}`;
}
