/** The panel: a column beside the map, on a phone a sheet over its foot that is dragged or stepped up and down. */

import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";

import { sheet } from "../store.ts";

const STEPS = ["low", "half", "full"] as const;
const SHARES = { low: 0.2, half: 0.52, full: 0.94 };
const WORDS = { low: "small", half: "half", full: "tall" };

export function Sheet({ children }: { children: ComponentChildren }) {
  const panel = useRef<HTMLElement>(null);
  const [height, setHeight] = useState<number | null>(null);

  const drag = (event: PointerEvent) => {
    const grip = event.currentTarget as HTMLElement;
    const room = panel.current?.parentElement?.clientHeight ?? innerHeight;
    const from = panel.current?.clientHeight ?? 0;
    grip.setPointerCapture(event.pointerId);
    let to = from;
    const move = (next: PointerEvent) => {
      to = Math.min(room * SHARES.full, Math.max(80, from - (next.clientY - event.clientY)));
      setHeight(to);
    };
    const end = () => {
      grip.removeEventListener("pointermove", move);
      grip.removeEventListener("pointerup", end);
      grip.removeEventListener("pointercancel", end);
      setHeight(null);
      if (Math.abs(to - from) < 6) return step(1);
      const share = to / room;
      sheet.value = STEPS.reduce((a, b) => (Math.abs(SHARES[b] - share) < Math.abs(SHARES[a] - share) ? b : a));
    };
    grip.addEventListener("pointermove", move);
    grip.addEventListener("pointerup", end);
    grip.addEventListener("pointercancel", end);
  };
  const step = (by: number) => {
    const at = STEPS.indexOf(sheet.peek());
    sheet.value = STEPS[(at + by + STEPS.length) % STEPS.length] ?? "half";
  };
  const keys = (event: KeyboardEvent) => {
    const at = STEPS.indexOf(sheet.peek());
    if (event.key === "ArrowUp") sheet.value = STEPS[Math.min(2, at + 1)] ?? "full";
    else if (event.key === "ArrowDown") sheet.value = STEPS[Math.max(0, at - 1)] ?? "low";
    else if (event.key === "Enter" || event.key === " ") step(1);
    else return;
    event.preventDefault();
  };
  return (
    <section id="panel" class="panel" ref={panel} tabIndex={-1} aria-label="Scenes" style={height === null ? {} : { height: `${height}px`, transition: "none" }}>
      <button type="button" class="grip" aria-label={`Height of the panel: ${WORDS[sheet.value]}`} onPointerDown={drag} onKeyDown={keys}><i /></button>
      {children}
    </section>
  );
}
