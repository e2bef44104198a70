import assert from "node:assert/strict";
import { test } from "node:test";

import { around, shared, turned, unwrapped, wrapped } from "../src/lonlat.ts";
import type { Box } from "../src/types.ts";

const fiji: Box = [177, -19, -178, -16];

test("a box over the antimeridian is as wide as it is, there and back", () => {
  assert.deepEqual(unwrapped(fiji), [177, -19, 182, -16]);
  assert.deepEqual(wrapped([177, -19, 182, -16]), fiji);
  assert.deepEqual(wrapped([-183, -19, -178, -16]), fiji);
  assert.deepEqual(wrapped([-200, 0, 200, 1]), [-180, 0, 180, 1]);
  assert.deepEqual(wrapped([170, 0, 180, 1]), [170, 0, 180, 1]);
});

test("around others: the widest gap is left out, wherever it is", () => {
  assert.deepEqual(around([fiji]), [177, -19, 182, -16]);
  assert.deepEqual(around([fiji, [-175, 0, -170, 1]]), [177, -19, 190, 1]);
  assert.deepEqual(around([[-175, 0, -170, 1], fiji, [160, 0, 165, 1]]), [160, -19, 190, 1]);
  assert.deepEqual(around([[-10, 0, 5, 1], [20, 2, 30, 3]]), [-10, 0, 30, 3]);
  assert.deepEqual(around([[-180, -90, 180, 90], fiji]).slice(0, 1), [-180]);
});

test("the turn nearest to where one looks", () => {
  assert.deepEqual(turned([177, 0, 182, 1], -179, 360), [-183, 0, -178, 1]);
  assert.deepEqual(turned([177, 0, 182, 1], 170, 360), [177, 0, 182, 1]);
});

test("what two boxes share, over the antimeridian too", () => {
  assert.deepEqual(shared(fiji, [-180, -18, -179, -17]), [180, -18, 181, -17]);
  assert.deepEqual(shared(fiji, [178, -18, 179, -17]), [178, -18, 179, -17]);
  assert.equal(shared(fiji, [0, -18, 10, -17]), null);
});
