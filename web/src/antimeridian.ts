/** Rings that go over the antimeridian, cut there: a plane map would draw them as bands from one end to the other. Pure. */

export type Place = [lon: number, lat: number];

const POLE = 90;
const turnOf = (lon: number) => Math.floor((lon + 180) / 360);

/** The places of a ring with longitudes that run on without a jump. */
function runningOn(ring: readonly Place[]): Place[] {
  let by = 0;
  return ring.map(([lon, lat], at) => {
    const step = at === 0 ? 0 : lon - (ring[at - 1]?.[0] ?? lon);
    if (step > 180) by -= 360;
    if (step < -180) by += 360;
    return [lon + by, lat];
  });
}

/** The parts of a closed ring, each within 180 degrees; one that goes round a pole is closed along it. */
export function cutRing(ring: readonly Place[]): Place[][] {
  let places = runningOn(ring);
  const [first, last] = [places[0], places[places.length - 1]];
  if (!first || !last) return [];
  if (Math.abs(last[0] - first[0]) > 180) {
    const pole = places.reduce((sum, [, lat]) => sum + lat, 0) < 0 ? -POLE : POLE;
    places = [...places, [last[0], pole], [first[0], pole], first];
  }
  const turns = places.map(([lon]) => turnOf(lon));
  const parts: Place[][] = [];
  for (let turn = Math.min(...turns); turn <= Math.max(...turns); turn++) {
    const [west, east] = [turn * 360 - 180, turn * 360 + 180];
    const part = half(half(places, west, (lon) => lon >= west), east, (lon) => lon <= east);
    if (new Set(part.map(([lon]) => lon)).size > 1) parts.push(part.map(([lon, lat]) => [lon - turn * 360, lat]));
  }
  return parts;
}

/** The parts of a polygon, outer ring first; a hole goes to the part that it lies in. */
export function cutPolygon([outer = [], ...holes]: readonly Place[][]): Place[][][] {
  const parts = cutRing(outer).map((ring) => [ring]);
  for (const hole of holes.flatMap(cutRing)) {
    const lons = hole.map(([lon]) => lon);
    const within = ([ring = []]: Place[][]) => ring.some(([lon]) => lon <= Math.min(...lons)) && ring.some(([lon]) => lon >= Math.max(...lons));
    parts.find(within)?.push(hole);
  }
  return parts;
}

/** What of a ring is on one side of a meridian (Sutherland and Hodgman, 1974). */
function half(ring: readonly Place[], meridian: number, inside: (lon: number) => boolean): Place[] {
  const kept: Place[] = [];
  for (let at = 1; at < ring.length; at++) {
    const [from, to] = [ring[at - 1]!, ring[at]!];
    if (at === 1 && inside(from[0])) kept.push(from);
    if (inside(from[0]) !== inside(to[0])) kept.push([meridian, latAt(from, to, meridian)]);
    if (inside(to[0])) kept.push(to);
  }
  const start = kept[0];
  const end = kept[kept.length - 1];
  if (start && end && (start[0] !== end[0] || start[1] !== end[1])) kept.push(start);
  return kept;
}

/** The line along a ring, in pieces within 180 degrees, without what runs along the antimeridian itself. */
export function cutLine(ring: readonly Place[]): Place[][] {
  const lines: Place[][] = [];
  let line: Place[] = [];
  let turn = Number.NaN;
  const add = (from: Place, to: Place) => {
    const at = turnOf((from[0] + to[0]) / 2);
    if (at !== turn || line.length === 0) lines.push((line = [[from[0] - at * 360, from[1]]]));
    turn = at;
    line.push([to[0] - at * 360, to[1]]);
  };
  const places = runningOn(ring);
  for (let at = 1; at < places.length; at++) {
    const [from, to] = [places[at - 1]!, places[at]!];
    const edge = (lon: number) => (lon + 180) % 360 === 0;
    if (edge(from[0]) && from[0] === to[0]) {
      line = [];
      continue;
    }
    const meridian = turnOf(Math.max(from[0], to[0])) * 360 - 180;
    if (meridian > Math.min(from[0], to[0]) && meridian < Math.max(from[0], to[0])) {
      const crossing: Place = [meridian, latAt(from, to, meridian)];
      add(from, crossing);
      add(crossing, to);
    } else add(from, to);
  }
  return lines;
}

const latAt = (from: Place, to: Place, lon: number) => from[1] + ((lon - from[0]) / (to[0] - from[0])) * (to[1] - from[1]);
