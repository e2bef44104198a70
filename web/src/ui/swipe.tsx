/** The handle between the fused image and the unsharpened input. */

import { useRef } from "preact/hooks";

import { metres } from "../format.ts";
import { current, go, route } from "../store.ts";
import { Icon } from "./icons.tsx";

export function Swipe() {
  const bar = useRef<HTMLDivElement>(null);
  const scene = current.value;
  const at = route.value.swipe;
  if (!scene?.has_input || at === null) return null;

  const to = (share: number) => go({ swipe: Math.min(1, Math.max(0, share)) });
  const drag = (event: PointerEvent) => {
    const handle = event.currentTarget as HTMLElement;
    const box = bar.current?.parentElement?.getBoundingClientRect();
    if (!box || event.button > 0) return;
    event.preventDefault();
    handle.focus();
    handle.setPointerCapture(event.pointerId);
    const held = event.clientX - (box.left + at * box.width);
    const move = (next: PointerEvent) => to((next.clientX - held - box.left) / box.width);
    const end = () => {
      handle.removeEventListener("pointermove", move);
      handle.removeEventListener("pointerup", end);
      handle.removeEventListener("pointercancel", end);
    };
    handle.addEventListener("pointermove", move);
    handle.addEventListener("pointerup", end);
    handle.addEventListener("pointercancel", end);
  };
  const keys = (event: KeyboardEvent) => {
    const step = event.shiftKey ? 0.1 : 0.02;
    const next: Record<string, number> = {
      ArrowLeft: at - step, ArrowDown: at - step, ArrowRight: at + step, ArrowUp: at + step,
      PageDown: at - 0.1, PageUp: at + 0.1, Home: 0, End: 1,
    };
    const value = next[event.key];
    if (value === undefined) return;
    event.preventDefault();
    to(value);
  };
  const percent = Math.round(at * 100);
  return (
    <div class="swipe" ref={bar} style={{ left: `${(at * 100).toFixed(3)}%` }}>
      <span class="tag left" aria-hidden="true">Fused <b>{metres(scene.gsd_m)}</b></span>
      <span class="tag right" aria-hidden="true">Input <b>{metres(scene.input?.gsd_m)}</b></span>
      <div
        class="knob" role="slider" tabIndex={0} aria-label="Swipe: fused image on the left, unsharpened input on the right"
        aria-valuemin={0} aria-valuemax={100} aria-valuenow={percent} aria-valuetext={`${percent} % fused`} aria-orientation="horizontal"
        onPointerDown={drag} onKeyDown={keys}
      >
        <i class="grab"><Icon name="swipe" /></i>
      </div>
    </div>
  );
}
