/** How the scene is shown: bands, stretch, gamma, histograms. Both sides of the swipe are shown alike. */

import { useState } from "preact/hooks";

import { api } from "../api.ts";
import { significant } from "../format.ts";
import { FIRST_LOOK } from "../route.ts";
import { look, route, shownBands, shownRanges, view } from "../store.ts";
import { outline, percentile } from "../stretch.ts";
import type { Band, Detail, Pair } from "../types.ts";
import { Choice, DoubleRange, Field, Section } from "./controls.tsx";

const CHANNELS = ["Red", "Green", "Blue"];
const CLIPS: { id: string; label: string; title: string }[] = [
  { id: "0,100", label: "Min–max", title: "The whole range of values" },
  { id: "0.5,99.5", label: "0.5 %", title: "0.5 to 99.5 percent" },
  { id: "2,98", label: "2 %", title: "2 to 98 percent" },
  { id: "5,95", label: "5 %", title: "5 to 95 percent" },
];

export function RenderingPanel({ scene }: { scene: Detail }) {
  const now = route.value.look;
  const shown = shownBands.value;
  const changed = now.bands !== null || now.ranges !== null || now.gamma !== 1 || now.clip.join() !== FIRST_LOOK.clip.join();
  return (
    <>
      <Section title="Bands" aside={<button type="button" class="textbutton" disabled={!changed} onClick={() => look(FIRST_LOOK)}>Reset</button>}>
        <Bands scene={scene} shown={shown} />
      </Section>
      <Section title="Stretch">
        <Choice label="Percentile" options={CLIPS} value={now.ranges ? null : now.clip.join(",")} onChange={(id) => look({ clip: id.split(",").map(Number) as Pair, ranges: null })} />
        <Percentiles />
        <InView scene={scene} />
        <Gamma />
      </Section>
      <Section title="Histogram" aside={<span class="quiet">{now.ranges ? "black and white by hand" : "black and white by percentile"}</span>}>
        {shown.map((name, place) => {
          const band = scene.bands.find((one) => one.name === name);
          return band && <BandRange key={`${place}${name}`} band={band} channel={shown.length === 3 ? place : null} place={place} />;
        })}
        <p class="quiet">Drag the ends: left of the first is black, right of the second white. Fused and input are shown alike.</p>
      </Section>
    </>
  );
}

function Bands({ scene, shown }: { scene: Detail; shown: string[] }) {
  const single = shown.length === 1;
  const id = scene.presets.find((one) => one.bands.join() === shown.join())?.id ?? (single ? "one" : "own");
  const presets = scene.presets.map((one) => ({ id: one.id, label: one.label, title: one.bands.join(", ") }));
  const own = [...(single ? [] : id === "own" ? [{ id: "own", label: "Own" }] : []), { id: "one", label: "One band" }];
  const pick = (next: string) => {
    const preset = scene.presets.find((one) => one.id === next);
    if (preset) look({ bands: preset.bands, ranges: null });
    else if (next === "one") look({ bands: [shown[0] ?? scene.bands[0]?.name ?? ""], ranges: null });
  };
  const set = (place: number, name: string) => look({ bands: shown.map((old, at) => (at === place ? name : old)), ranges: null });
  return (
    <>
      <Choice label="Band combination" options={[...presets, ...own]} value={id} onChange={pick} />
      <div class="channels">
        {shown.map((name, place) => (
          <label key={place} class={single ? "grey" : `c${place}`}>
            <span>{single ? "Grey" : CHANNELS[place]}<em>{wavelength(scene, name)}</em></span>
            <select value={name} onChange={(event) => set(place, event.currentTarget.value)}>
              {scene.bands.map((band) => <option key={band.name} value={band.name}>{band.name}</option>)}
            </select>
          </label>
        ))}
      </div>
    </>
  );
}

function wavelength(scene: Detail, name: string): string {
  const nm = scene.bands.find((band) => band.name === name)?.nm;
  return nm ? `${Math.round(nm)}\u202fnm` : "";
}

function Percentiles() {
  const [low, high] = route.value.look.clip;
  const set = (place: 0 | 1) => (text: string) => {
    const value = Number(text.replace(",", "."));
    const next: Pair = place === 0 ? [value, high] : [low, value];
    if (text !== "" && next[0] >= 0 && next[1] <= 100 && next[0] < next[1]) look({ clip: next, ranges: null });
  };
  return (
    <div class="row"><span>Percentiles</span>
      <span class="pair">
        <Field label="Black at percentile" class="number" value={String(low)} onCommit={set(0)} />
        <i>to</i>
        <Field label="White at percentile" class="number" value={String(high)} onCommit={set(1)} />
      </span>
    </div>
  );
}

/** Black and white by the cloudless pixels that the map shows. */
function InView({ scene }: { scene: Detail }) {
  const [trouble, setTrouble] = useState("");
  const measure = () => {
    const box = view.peek();
    const shown = shownBands.peek();
    if (!box) return;
    setTrouble("");
    api.ranges(scene.item.id, box, shown, route.peek().look.clip).then(
      (found) => look({ ranges: shown.map((name) => found.ranges[found.bands.indexOf(name)] ?? [0, 1]) }),
      (fault: Error) => setTrouble(fault.message),
    );
  };
  return (
    <>
      <button type="button" class="button small" onClick={measure}>Stretch to what is in view</button>
      {trouble && <p class="wrong" role="alert">{trouble}</p>}
    </>
  );
}

function Gamma() {
  const [held, setHeld] = useState<number | null>(null);
  const gamma = held ?? route.value.look.gamma;
  return (
    <label class="row"><span>Gamma</span>
      <span class="slide">
        <input
          type="range" min="0.4" max="2.5" step="0.05" value={gamma} aria-label="Gamma"
          onInput={(event) => setHeld(Number(event.currentTarget.value))}
          onChange={(event) => { setHeld(null); look({ gamma: Number(event.currentTarget.value) }); }}
        />
        <output>{gamma.toFixed(2)}</output>
      </span>
    </label>
  );
}

/** One band's histogram with its black and white point. */
function BandRange({ band, channel, place }: { band: Band; channel: number | null; place: number }) {
  const [held, setHeld] = useState<Pair | null>(null);
  const ranges = shownRanges.value;
  const [low, high] = held ?? ranges[place] ?? [0, 1];
  const { histogram } = band.stats;
  const span = spanShown(band, ranges[place] ?? [0, 1]);
  const bins = 96;
  const heights = outline(histogram, span, bins);
  const shape = `M0,1 ${heights.map((height, at) => `L${at / bins},${(1 - height).toFixed(4)} L${(at + 1) / bins},${(1 - height).toFixed(4)}`).join(" ")} L1,1Z`;
  const whole = /int/.test(band.dtype);
  const step = whole ? 1 : (span[1] - span[0]) / 500;
  const commit = (a: number, b: number) => {
    setHeld(null);
    look({ ranges: ranges.map((range, at): Pair => (at === place ? [a, b] : range)) });
  };
  const physical = (value: number) => (known(band) && band.scale ? ` (${significant(value * band.scale + (band.offset ?? 0), 3)})` : "");
  const type = (which: 0 | 1) => (text: string) => {
    const value = Number(text);
    if (text !== "" && Number.isFinite(value) && (which === 0 ? value < high : value > low)) commit(...((which === 0 ? [value, high] : [low, value]) as Pair));
  };
  const shownAs = (value: number) => String(whole ? Math.round(value) : Number(value.toPrecision(5)));
  return (
    <div class={`bandrange ${channel === null ? "grey" : `c${channel}`}`}>
      <div class="bandhead">
        <b>{band.name}</b>
        <span class="pair">
          <Field label={`Black of ${band.name}`} class="number" value={shownAs(low)} onCommit={type(0)} />
          <i>–</i>
          <Field label={`White of ${band.name}`} class="number" value={shownAs(high)} onCommit={type(1)} />
        </span>
      </div>
      <DoubleRange
        label={`${band.name}: black and white`} min={whole ? Math.floor(span[0]) : span[0]} max={whole ? Math.ceil(span[1]) : span[1]} low={low} high={high} step={step}
        format={(value) => `${significant(value, 6)}${physical(value)}`} onInput={(a, b) => setHeld([a, b])} onCommit={commit}
      >
        <svg class="histogram" viewBox="0 0 1 1" preserveAspectRatio="none" aria-hidden="true"><path d={shape} /></svg>
      </DoubleRange>
    </div>
  );
}

/** Whether stored values are known to mean something physical. */
export const known = (band: Band): boolean => band.scale !== null && band.unit !== "DN";

/** The values worth showing: the bulk of the histogram and the range in use, not a lone outlier. */
function spanShown(band: Band, range: Pair): Pair {
  const { histogram, min, max } = band.stats;
  const bulk: Pair = [percentile(histogram, 0.05), percentile(histogram, 99.7)];
  const room = (bulk[1] - bulk[0]) * 0.04;
  return [Math.max(min, Math.min(bulk[0] - room, range[0])), Math.min(max, Math.max(bulk[1] + room, range[1])) || 1];
}
