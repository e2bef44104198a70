/** From numbers to grey levels: percentiles of a histogram, and what the tiles are asked for. Pure. */

import type { Band, Histogram, Pair } from "./types.ts";
import type { Look } from "./route.ts";

/** The value below which `percent` of the counted pixels lie, linear within a bin. */
export function percentile(histogram: Histogram, percent: number): number {
  const { counts, edges } = histogram;
  const total = counts.reduce((sum, count) => sum + count, 0);
  const first = edges[0] ?? 0;
  if (total === 0) return first;
  const wanted = (Math.min(Math.max(percent, 0), 100) / 100) * total;
  let below = 0;
  for (let bin = 0; bin < counts.length; bin++) {
    const count = counts[bin] ?? 0;
    const low = edges[bin] ?? first;
    const high = edges[bin + 1] ?? low;
    if (count > 0 && below + count >= wanted) return low + ((wanted - below) / count) * (high - low);
    below += count;
  }
  return edges[edges.length - 1] ?? first;
}

/** Black and white of one band by percentile; the server's own 2 and 98 where they are asked for. */
export function rangeOf(band: Band, clip: Pair): Pair {
  const exact: Record<number, number> = { 0: band.stats.min, 2: band.stats.p2, 98: band.stats.p98, 100: band.stats.max };
  const low = exact[clip[0]] ?? percentile(band.stats.histogram, clip[0]);
  const high = exact[clip[1]] ?? percentile(band.stats.histogram, clip[1]);
  return high > low ? [low, high] : [low, low + 1];
}

/** The bands shown: those asked for where the scene has them, else true colour, else the first one or three. */
export function bandsShown(look: Look, bands: Band[], presets: { id: string; bands: string[] }[]): string[] {
  const names = new Set(bands.map((band) => band.name));
  if (look.bands?.every((name) => names.has(name))) return look.bands;
  const preset = presets.find((one) => one.id === "true") ?? presets[0];
  if (preset?.bands.every((name) => names.has(name))) return preset.bands;
  const first = bands.map((band) => band.name);
  return first.length >= 3 ? first.slice(0, 3) : first.slice(0, 1);
}

/** The ranges of the bands shown, in DN. */
export function rangesShown(look: Look, shown: string[], bands: Band[]): Pair[] {
  if (look.ranges?.length === shown.length) return look.ranges;
  return shown.map((name) => {
    const band = bands.find((one) => one.name === name);
    return band ? rangeOf(band, look.clip) : [0, 1];
  });
}

/** The `range` of a tile's address; null where the server's own default is meant. */
export function rangeText(look: Look, ranges: Pair[]): string | null {
  if (!look.ranges && look.clip[0] === 2 && look.clip[1] === 98) return null;
  return ranges.map((range) => range.map(plain).join(",")).join(";");
}

/** At most seven significant digits, no exponent for everyday numbers. */
export function plain(value: number): string {
  return String(Number(value.toPrecision(7)));
}

/** A histogram as an outline in a box of 1 x 1: x left to right over `span`, y up, square-root scaled so tails show. */
export function outline(histogram: Histogram, span: Pair, bins: number): number[] {
  const { counts, edges } = histogram;
  const heights = new Array<number>(bins).fill(0);
  const width = (span[1] - span[0]) / bins;
  counts.forEach((count, bin) => {
    const low = edges[bin] ?? 0;
    const high = edges[bin + 1] ?? low;
    const from = Math.max(0, Math.floor((low - span[0]) / width));
    const to = Math.min(bins - 1, Math.ceil((high - span[0]) / width) - 1);
    for (let at = from; at <= to; at++) {
      const left = span[0] + at * width;
      const share = Math.max(0, Math.min(high, left + width) - Math.max(low, left)) / (high - low || 1);
      heights[at] = (heights[at] ?? 0) + count * share;
    }
  });
  const top = Math.max(...heights, 1e-9);
  return heights.map((height) => Math.sqrt(height / top));
}
