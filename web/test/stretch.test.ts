import assert from "node:assert/strict";
import { test } from "node:test";

import { FIRST_LOOK } from "../src/route.ts";
import { bandsShown, outline, percentile, plain, rangeOf, rangesShown, rangeText } from "../src/stretch.ts";
import type { Band } from "../src/types.ts";

const flat = { counts: [10, 10, 10, 10], edges: [0, 1, 2, 3, 4] };
const band = (name: string): Band => ({
  name, index: 1, nm: null, dtype: "uint16", nodata: 0, scale: null, offset: null, unit: null,
  stats: { min: 0.1, max: 3.9, p2: 0.11, p98: 3.88, mean: 2, histogram: flat },
});
const presets = [{ id: "true", bands: ["red", "green", "blue"] }];

test("percentiles of a flat histogram are linear; empty bins hold nothing", () => {
  assert.equal(percentile(flat, 50), 2);
  assert.equal(percentile(flat, 12.5), 0.5);
  assert.equal(percentile(flat, 100), 4);
  const gap = { counts: [5, 0, 0, 5], edges: [0, 1, 2, 3, 4] };
  assert.equal(percentile(gap, 50), 1);
  assert.equal(percentile(gap, 75), 3.5);
  assert.equal(percentile({ counts: [0, 0], edges: [7, 8, 9] }, 50), 7);
});

test("2 and 98 are the server's own, others come from the histogram, and white is above black", () => {
  assert.deepEqual(rangeOf(band("red"), [2, 98]), [0.11, 3.88]);
  assert.deepEqual(rangeOf(band("red"), [0, 100]), [0.1, 3.9]);
  assert.deepEqual(rangeOf(band("red"), [25, 75]), [1, 3]);
  const one = band("red");
  one.stats = { ...one.stats, min: 5, max: 5, p2: 5, p98: 5 };
  assert.deepEqual(rangeOf(one, [2, 98]), [5, 6]);
});

test("bands: asked for where the scene has them, else true colour, else the first", () => {
  const bands = ["blue", "green", "red", "nir"].map(band);
  assert.deepEqual(bandsShown({ ...FIRST_LOOK, bands: ["nir", "red", "green"] }, bands, presets), ["nir", "red", "green"]);
  assert.deepEqual(bandsShown({ ...FIRST_LOOK, bands: ["swir", "red", "green"] }, bands, presets), ["red", "green", "blue"]);
  assert.deepEqual(bandsShown(FIRST_LOOK, ["a", "b"].map(band), presets), ["a"]);
  assert.deepEqual(bandsShown(FIRST_LOOK, ["a", "b", "c", "d"].map(band), []), ["a", "b", "c"]);
});

test("the tiles are asked for ranges only where they differ from the server's default", () => {
  const bands = ["red"].map(band);
  const ranges = rangesShown(FIRST_LOOK, ["red"], bands);
  assert.equal(rangeText(FIRST_LOOK, ranges), null);
  assert.equal(rangeText({ ...FIRST_LOOK, clip: [25, 75] }, [[1, 3]]), "1,3");
  assert.deepEqual(rangesShown({ ...FIRST_LOOK, ranges: [[7, 9]] }, ["red"], bands), [[7, 9]]);
  assert.deepEqual(rangesShown({ ...FIRST_LOOK, ranges: [[7, 9]] }, ["red", "red", "red"], bands).length, 3);
  assert.equal(plain(0.1 + 0.2), "0.3");
});

test("an outline keeps the mass where it is", () => {
  const heights = outline({ counts: [0, 4, 0, 1], edges: [0, 1, 2, 3, 4] }, [0, 4], 4);
  assert.deepEqual(heights, [0, 1, 0, 0.5]);
  const halves = outline({ counts: [8], edges: [0, 4] }, [0, 4], 4);
  assert.deepEqual(halves, [1, 1, 1, 1]);
});
