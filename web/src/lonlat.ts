/** Boxes of degrees on a round earth: east may be less than west, as STAC writes what crosses the antimeridian. Pure. */

import type { Box } from "./types.ts";

const TURN = 360;

/** The same box with east at or above west, beyond 180 where it must be. */
export function unwrapped([west, south, east, north]: Box): Box {
  return [west, south, east < west ? east + TURN : east, north];
}

/** The same box as STAC writes it: both ends within 180 degrees, the whole turn where it is all round. */
export function wrapped(box: Box): Box {
  const [west, south, east, north] = unwrapped(box);
  if (east - west >= TURN) return [-180, south, 180, north];
  const home = (lon: number) => ((((lon + 180) % TURN) + TURN) % TURN) - 180;
  const [from, to] = [home(west), home(east)];
  return [from, south, to === -180 ? 180 : to, north];
}

/** The smallest box around others: it leaves out the widest gap between them, wherever on the turn that is. */
export function around(boxes: readonly Box[]): Box {
  const spans = boxes.map((box) => unwrapped(wrapped(box))).sort((a, b) => a[0] - b[0]);
  const first = spans[0] ?? [-180, -90, 180, 90];
  let [west, reach, widest] = [first[0], first[2], 0];
  let before = first[0];
  for (const [from, , to] of spans) {
    if (from - reach > widest) [widest, west, before] = [from - reach, from, reach];
    reach = Math.max(reach, to);
  }
  const closing = first[0] + TURN - reach;
  const east = closing >= widest ? reach : before + TURN;
  if (closing >= widest) west = first[0];
  return [west, Math.min(...spans.map((box) => box[1])), Math.min(east, west + TURN), Math.max(...spans.map((box) => box[3]))];
}

/** `x0, x1` moved by whole turns of `width`, so that their middle is as near as can be to `centre`. */
export function turned([x0, y0, x1, y1]: Box, centre: number, width: number): Box {
  const by = Math.round((centre - (x0 + x1) / 2) / width) * width;
  return [x0 + by, y0, x1 + by, y1];
}

/** What two boxes share, in the turn of the first; null where they do not meet. */
export function shared(one: Box, other: Box): Box | null {
  const a = unwrapped(one);
  const plain = unwrapped(other);
  for (const by of [0, TURN, -TURN]) {
    const box: Box = [Math.max(a[0], plain[0] + by), Math.max(a[1], plain[1]), Math.min(a[2], plain[2] + by), Math.min(a[3], plain[3])];
    if (box[0] < box[2] && box[1] < box[3]) return box;
  }
  return null;
}
