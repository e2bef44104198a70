/** Small parts every panel uses. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import type { Fault } from "../api.ts";
import { say } from "../store.ts";
import { Icon, type IconName } from "./icons.tsx";

export function IconButton({ icon, label, pressed, onClick, class: kind = "" }: {
  icon: IconName;
  label: string;
  pressed?: boolean;
  onClick: () => void;
  class?: string;
}) {
  return (
    <button type="button" class={`iconbutton ${kind}`} aria-label={label} title={label} aria-pressed={pressed} onClick={onClick}>
      <Icon name={icon} />
    </button>
  );
}

/** "PASS", "pass": Pass */
export function sentence(word: string): string {
  const plain = word.toLowerCase().replace(/[-_]/g, " ");
  return plain.charAt(0).toUpperCase() + plain.slice(1);
}

export function Verdict({ verdict }: { verdict: string | null | undefined }) {
  if (!verdict) return null;
  const tone = /^(good|pass|ok|accept)/i.test(verdict) ? "good" : /^(bad|fail|reject|poor)/i.test(verdict) ? "bad" : "fair";
  return <span class={`pill ${tone}`}>{sentence(verdict)}</span>;
}

export function Trouble({ fault, retry, retryLabel = "Try again" }: { fault: Fault; retry?: (() => void) | undefined; retryLabel?: string }) {
  return (
    <div class="trouble" role="alert">
      <Icon name="alert" />
      <div>
        <p>{fault.message}</p>
        {retry && <button type="button" class="button small" onClick={retry}>{retryLabel}</button>}
      </div>
    </div>
  );
}

export function Copy({ text, label }: { text: string; label: string }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await toClipboard(text);
    setDone(true);
    say(`${label} copied`);
    setTimeout(() => setDone(false), 1600);
  };
  return (
    <button type="button" class={`copy ${done ? "done" : ""}`} aria-label={`Copy ${label}`} title={`Copy ${label}`} onClick={() => void copy()}>
      <Icon name={done ? "check" : "copy"} size={16} />
      <span>{done ? "Copied" : "Copy"}</span>
    </button>
  );
}

/** The clipboard's own door where the page is served securely, else a selection. */
async function toClipboard(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "aside";
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
}

export function Section({ title, children, aside }: { title: string; children: ComponentChildren; aside?: ComponentChildren }) {
  return (
    <section class="section">
      <div class="sectionhead"><h2>{title}</h2>{aside}</div>
      {children}
    </section>
  );
}

export function Choice<T extends string>({ label, options, value, onChange }: {
  label: string;
  options: { id: T; label: string; title?: string }[];
  value: T | null;
  onChange: (id: T) => void;
}) {
  return (
    <div class="choice" role="group" aria-label={label}>
      {options.map((one) => (
        <button key={one.id} type="button" aria-pressed={one.id === value} title={one.title} onClick={() => onChange(one.id)}>{one.label}</button>
      ))}
    </div>
  );
}

/** A text or number field that tells its value when it is left or Enter is pressed. */
export function Field({ label, value, onCommit, class: kind }: { label: string; value: string; onCommit: (text: string) => void; class?: string }) {
  const ref = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (ref.current && document.activeElement !== ref.current) ref.current.value = value;
  }, [value]);
  const commit = () => {
    const said = ref.current?.value.trim() ?? "";
    if (said !== value) onCommit(said);
    if (ref.current) ref.current.value = said === "" ? "" : said;
  };
  return (
    <input ref={ref} class={kind} inputMode="decimal" aria-label={label} defaultValue={value} onBlur={commit} onKeyDown={(event) => event.key === "Enter" && commit()} />
  );
}

interface RangeProps {
  label: string;
  min: number;
  max: number;
  low: number;
  high: number;
  step: number;
  format: (value: number) => string;
  onInput?: (low: number, high: number) => void;
  onCommit: (low: number, high: number) => void;
  children?: ComponentChildren;
}

/** Two handles on a track, by pointer and by keyboard; tells as it moves and when it rests. */
export function DoubleRange(props: RangeProps) {
  const { min, max, step, format, label } = props;
  const track = useRef<HTMLDivElement>(null);
  const [held, setHeld] = useState<[number, number] | null>(null);
  const [low, high] = held ?? [props.low, props.high];
  const span = max - min || 1;
  const share = (value: number) => `${(Math.min(1, Math.max(0, (value - min) / span)) * 100).toFixed(3)}%`;
  const snap = (value: number) => Math.min(max, Math.max(min, min + Math.round((value - min) / step) * step));

  const moved = (which: 0 | 1, value: number): [number, number] => {
    const at = snap(value);
    return which === 0 ? [Math.min(at, high - step), high] : [low, Math.max(at, low + step)];
  };
  const drag = (which: 0 | 1) => (event: PointerEvent) => {
    const handle = event.currentTarget as HTMLElement;
    const box = track.current?.getBoundingClientRect();
    if (!box) return;
    event.preventDefault();
    handle.focus();
    handle.setPointerCapture(event.pointerId);
    let last: [number, number] = [low, high];
    const move = (next: PointerEvent) => {
      last = moved(which, min + ((next.clientX - box.left) / box.width) * span);
      setHeld(last);
      props.onInput?.(...last);
    };
    const end = () => {
      handle.removeEventListener("pointermove", move);
      handle.removeEventListener("pointerup", end);
      handle.removeEventListener("pointercancel", end);
      setHeld(null);
      props.onCommit(...last);
    };
    handle.addEventListener("pointermove", move);
    handle.addEventListener("pointerup", end);
    handle.addEventListener("pointercancel", end);
  };
  const keys = (which: 0 | 1) => (event: KeyboardEvent) => {
    const value = which === 0 ? low : high;
    const coarse = Math.max(step, snap(min + span / 20) - min);
    const steps: Record<string, number> = {
      ArrowLeft: value - step, ArrowDown: value - step, ArrowRight: value + step, ArrowUp: value + step,
      PageDown: value - coarse, PageUp: value + coarse, Home: min, End: max,
    };
    const next = steps[event.key];
    if (next === undefined) return;
    event.preventDefault();
    props.onCommit(...moved(which, next));
  };
  const handle = (which: 0 | 1) => {
    const value = which === 0 ? low : high;
    return (
      <div
        class={`handle ${which === 0 ? "first" : "last"}`} role="slider" tabIndex={0} style={{ left: share(value) }}
        aria-label={`${label}, ${which === 0 ? "from" : "to"}`} aria-valuemin={min} aria-valuemax={max} aria-valuenow={value}
        aria-valuetext={format(value)} onPointerDown={drag(which)} onKeyDown={keys(which)}
      />
    );
  };
  return (
    <div class="doublerange" ref={track}>
      {props.children}
      <div class="track"><i style={{ left: share(low), right: `calc(100% - ${share(high)})` }} /></div>
      {handle(0)}
      {handle(1)}
    </div>
  );
}
