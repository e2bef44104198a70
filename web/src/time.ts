/** Days on a line: the span of the catalogue and how many scenes fall into each part of it. Pure. */

import type { Facets } from "./types.ts";

export const DAY_MS = 86_400_000;

export interface Span {
  first: number;
  last: number;
}

export interface Bars {
  span: Span;
  counts: number[];
}

export const dayOf = (iso: string | null): number => Math.floor(Date.parse(iso ?? "") / DAY_MS);
export const isoOf = (day: number): string => new Date(day * DAY_MS).toISOString().slice(0, 10);

/** The whole days from first to last; null where nothing has a date. */
export function spanOf(facets: Facets, times: (string | null)[]): Span | null {
  const days = [...(facets.datetime ?? []), ...times].map(dayOf).filter(Number.isFinite);
  if (days.length === 0) return null;
  return { first: Math.min(...days), last: Math.max(...days) };
}

/** Scenes by time: the server's counts where it gives them, else those of the scenes at hand. */
export function barsOf(facets: Facets, times: (string | null)[], bins: number): Bars | null {
  const span = spanOf(facets, times);
  if (!span) return null;
  const counts = new Array<number>(bins).fill(0);
  const width = (span.last + 1 - span.first) / bins;
  const put = (day: number, count: number) => {
    const bin = Math.floor((day - span.first) / width);
    if (bin >= 0 && bin < bins) counts[bin] = (counts[bin] ?? 0) + count;
  };
  const given = facets.histogram;
  if (given) {
    given.counts.forEach((count, bin) => {
      const [from, to] = [given.edges[bin], given.edges[bin + 1]].map((edge) => Date.parse(edge ?? "") / DAY_MS);
      if (count > 0 && from !== undefined && to !== undefined) put((from + to) / 2, count);
    });
  } else times.forEach((time) => put(dayOf(time), 1));
  return { span, counts };
}
