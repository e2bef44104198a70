/** Numbers, sizes, times and places as people read them. Pure. */

import type { Metric } from "./types.ts";

const THIN = "\u202f";

export function bytes(count: number | null | undefined): string {
  if (count === null || count === undefined) return "size unknown";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toPrecision(3)}${THIN}${units[unit]}`;
}

export function grouped(count: number): string {
  return Math.round(count)
    .toString()
    .replace(/\B(?=(\d{3})+(?!\d))/g, THIN);
}

export function megapixels(count: number): string {
  return count < 1e5 ? `${grouped(count)}${THIN}px` : `${(count / 1e6).toPrecision(3)}${THIN}Mpx`;
}

/** 4 August 2015 */
export function day(iso: string | null | undefined): string {
  const time = iso ? new Date(iso) : null;
  if (!time || Number.isNaN(time.getTime())) return "date unknown";
  return new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" }).format(time);
}

/** 16:19 UTC; empty where only a day is known */
export function clock(iso: string | null | undefined): string {
  const time = iso?.slice(11, 16);
  return !time || time === "00:00" ? "" : `${time} UTC`;
}

/** How long ago, in the coarsest unit that says something. */
export function ago(iso: string, now: number): string {
  const seconds = (now - Date.parse(iso)) / 1000;
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 90) return "just now";
  const steps: [number, string][] = [[60, "min"], [3600, "h"], [86400, "d"]];
  const [length, unit] = steps.findLast(([size]) => seconds >= size) ?? [60, "min"];
  return `${Math.floor(seconds / length)}${THIN}${unit} ago`;
}

export function metres(value: number | null | undefined): string {
  if (value === null || value === undefined) return "";
  return value >= 1000 ? `${(value / 1000).toPrecision(3)}${THIN}km` : `${Number(value.toPrecision(3))}${THIN}m`;
}

export function percent(value: number | null | undefined): string {
  return value === null || value === undefined ? "unknown" : `${Number(value.toFixed(value < 10 ? 1 : 0))}${THIN}%`;
}

/** 30.7312° N 87.4012° W */
export function position(lon: number, lat: number, digits = 4): string {
  const wrapped = ((((lon + 180) % 360) + 360) % 360) - 180;
  const part = (value: number, plus: string, minus: string) => `${Math.abs(value).toFixed(digits)}°${THIN}${value < 0 ? minus : plus}`;
  return `${part(lat, "N", "S")} ${part(wrapped, "E", "W")}`;
}

export function significant(value: number | null | undefined, digits = 4): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value !== 0 && (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e7)) return value.toExponential(digits - 2);
  return String(Number(value.toPrecision(digits))).replace("-", "\u2212");
}

/** "4 bands: blue, green, red, nir"; of many the first three and the last. */
export function bandWords(names: readonly string[]): string {
  const few = names.length <= FEW_BANDS ? names.join(", ") : `${names.slice(0, 3).join(", ")} … ${names[names.length - 1]}`;
  return `${names.length === 1 ? "1 band" : `${names.length} bands`}: ${few}`;
}

/** As many bands as can be read at a glance; more are folded. */
export const FEW_BANDS = 12;

const SENSORS: Record<string, string> = {
  landsat8: "Landsat 8",
  landsat9: "Landsat 9",
  "landsat8-9": "Landsat 8/9",
  worldview2: "WorldView-2",
  worldview3: "WorldView-3",
  pleiades: "Pléiades",
  sentinel2: "Sentinel-2",
  generic: "Other sensors",
};

export function sensorName(id: string | null | undefined): string {
  if (!id) return "unknown sensor";
  return SENSORS[id] ?? id.charAt(0).toUpperCase() + id.slice(1);
}

/** A metric's row by what an item calls it: by its name, or one it had. */
export function metricOf(rows: readonly Metric[], name: string): Metric | undefined {
  return rows.find((row) => row.name === name || row.also.includes(name));
}

/** D_λ^K in parts: what is beside, below, above. */
export function marked(text: string): { text: string; place: "" | "sub" | "sup" }[] {
  return text
    .split(/([_^][\p{L}\p{N}])/u)
    .filter(Boolean)
    .map((part) => (/^[_^]./u.test(part) ? { text: part.slice(1), place: part[0] === "_" ? ("sub" as const) : ("sup" as const) } : { text: part, place: "" as const }));
}

/** The same on one line, for a tip. */
export function unmarked(text: string): string {
  return text.replaceAll("^K", "ᴷ").replaceAll("^", "");
}
