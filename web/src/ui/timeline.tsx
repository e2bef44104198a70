/** Time: how many scenes when, and two handles that choose from when to when. */

import { useState } from "preact/hooks";

import { day } from "../format.ts";
import { filter, route, scenes } from "../store.ts";
import { type Bars, barsOf, dayOf, isoOf } from "../time.ts";
import { DoubleRange } from "./controls.tsx";

const BINS = 48;
let before: Bars | null = null;

/** The bars do not shrink to what is chosen: they are of everything, or of what was there before a choice. */
function bars(): Bars | null {
  const said = scenes.value;
  if (said.state !== "ready") return before;
  const { facets, features } = said.value;
  const chosen = route.value.filters.from ?? route.value.filters.to;
  if (!chosen || facets.histogram || !before) before = barsOf(facets, features.map((one) => one.properties.datetime), BINS);
  return before;
}

export function Timeline() {
  const [held, setHeld] = useState<[number, number] | null>(null);
  const shown = bars();
  if (!shown) return null;
  const { from, to } = route.value.filters;
  const { first, last } = shown.span;
  const low = held?.[0] ?? (from ? Math.max(first, dayOf(from)) : first);
  const high = held?.[1] ?? (to ? Math.min(last, dayOf(to)) : last);
  const top = Math.max(...shown.counts, 1);
  const commit = (a: number, b: number) => {
    setHeld(null);
    filter({ from: a <= first ? null : isoOf(a), to: b >= last ? null : isoOf(b) });
  };
  const width = (last + 1 - first) / BINS;
  return (
    <div class="timeline">
      <div class="dates">
        <b>{from || to || held ? `${day(isoOf(low))} – ${day(isoOf(high))}` : "All dates"}</b>
        <span class="ends">{day(isoOf(first))} to {day(isoOf(last))}</span>
        <button type="button" class="textbutton" disabled={!from && !to} onClick={() => filter({ from: null, to: null })}>All</button>
      </div>
      <DoubleRange
        label="Acquired" min={first} max={last} low={low} high={high} step={1} format={(at) => day(isoOf(at))}
        onInput={(a, b) => setHeld([a, b])} onCommit={commit}
      >
        <div class="bars" aria-hidden="true">
          {shown.counts.map((count, bin) => {
            const middle = first + (bin + 0.5) * width;
            const share = count ? Math.max(0.14, Math.sqrt(count / top)) : 0;
            return <i key={bin} class={middle >= low && middle <= high + 1 ? "in" : ""} style={{ height: `${(share * 100).toFixed(1)}%` }} />;
          })}
        </div>
      </DoubleRange>
    </div>
  );
}
