import assert from "node:assert/strict";
import { test } from "node:test";

import { cutLine, cutPolygon, cutRing, type Place } from "../src/antimeridian.ts";

const area = (ring: Place[]) => Math.abs(ring.slice(1).reduce((sum, [x, y], at) => sum + (ring[at]![0] * y - x * ring[at]![1]) / 2, 0));
const longest = (ring: Place[]) => Math.max(...ring.slice(1).map(([x], at) => Math.abs(x - ring[at]![0])));

const cape: Place[] = [[170, 60], [-170, 62], [-170, 68], [170, 70], [170, 60]];

test("a ring over the antimeridian becomes two, with its area and without a band around the earth", () => {
  const parts = cutRing(cape);
  assert.equal(parts.length, 2);
  assert.equal(parts.reduce((sum, part) => sum + area(part), 0), 160);
  for (const part of parts) {
    assert.ok(longest(part) <= 10);
    assert.deepEqual(part[0], part[part.length - 1]);
    assert.ok(part.every(([lon]) => Math.abs(lon) <= 180));
  }
});

test("a ring elsewhere stays as it is", () => {
  const plain: Place[] = [[0, 0], [10, 0], [10, 10], [0, 0]];
  assert.deepEqual(cutRing(plain), [plain]);
  assert.deepEqual(cutLine(plain), [plain]);
});

test("a ring round the pole is closed along it", () => {
  const ring: Place[] = [[-180, -70], [-90, -72], [0, -70], [90, -72], [179, -71], [-180, -70]];
  const parts = cutRing(ring);
  assert.equal(parts.length, 1);
  assert.ok(parts[0]!.some(([, lat]) => lat === -90));
  assert.equal(Math.round(area(parts[0]!)), Math.round(3 * 90 * 19 + 89 * 18.5 + 19.5));
});

test("its line ends at the antimeridian and does not run along it", () => {
  const lines = cutLine(cape);
  assert.ok(lines.every((line) => longest(line) <= 20));
  assert.equal(lines.flat().filter(([lon]) => Math.abs(lon) === 180).length, 4);
  const cut: Place[] = [[-180, 71], [-180, 70], [-178, 70], [-177, 71], [-180, 71]];
  assert.deepEqual(cutLine(cut), [cut.slice(1)]);
});

test("a hole stays in the part that it is in", () => {
  const lake: Place[] = [[172, 64], [173, 64], [173, 65], [172, 64]];
  const parts = cutPolygon([cape, lake]);
  assert.deepEqual(parts.map((part) => part.length), [2, 1]);
  assert.ok(parts[0]![0]!.every(([lon]) => lon > 0));
});
