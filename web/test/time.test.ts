import assert from "node:assert/strict";
import { test } from "node:test";

import * as format from "../src/format.ts";
import { barsOf, dayOf, isoOf, spanOf } from "../src/time.ts";

test("days there and back", () => {
  assert.equal(isoOf(dayOf("2015-08-04T23:59:59Z")), "2015-08-04");
  assert.equal(spanOf({}, ["no date"]), null);
  const told = { datetime: ["2015-01-01T10:00:00Z", "2015-12-31T23:00:00Z"] as [string, string] };
  const span = spanOf(told, []);
  assert.deepEqual(span && [span.first, span.last].map(isoOf), ["2015-01-01", "2015-12-31"], "the ends are those of the data");
});

test("every scene falls into one bar, the first and the last too", () => {
  const times = ["2015-01-01T10:00:00Z", "2015-06-01T10:00:00Z", "2015-12-31T23:00:00Z"];
  const bars = barsOf({ datetime: [times[0]!, times[2]!] }, times, 20);
  assert.equal(bars?.counts.reduce((sum, count) => sum + count, 0), 3);
  const alone = barsOf({}, [times[0]!], 20);
  assert.equal(alone?.counts.filter((count) => count === 1).length, 1);
});

test("the server's counts are used where it gives them", () => {
  const histogram = { edges: ["2015-01-01T00:00:00Z", "2015-02-01T00:00:00Z", "2015-03-01T00:00:00Z"], counts: [7, 2] };
  const bars = barsOf({ datetime: ["2015-01-01T00:00:00Z", "2015-03-01T00:00:00Z"], histogram }, [], 10);
  assert.equal(bars?.counts.reduce((sum, count) => sum + count, 0), 9);
});

test("numbers as people read them", () => {
  assert.equal(format.bytes(999), "999\u202fB");
  assert.equal(format.bytes(12_150_584), "12.2\u202fMB");
  assert.equal(format.bytes(999_900), "1.00\u202fMB");
  assert.equal(format.grouped(1234567), "1\u202f234\u202f567");
  assert.equal(format.position(-87.4, 30.7), "30.7000°\u202fN 87.4000°\u202fW");
  assert.equal(format.position(190, 0, 0), "0°\u202fN 170°\u202fW");
  assert.equal(format.significant(0.0000012), "1.20e-6");
  assert.equal(format.significant(-0.5), "\u22120.5");
  assert.equal(format.significant(null), "–");
  assert.equal(format.clock("2015-08-04T16:19:21Z"), "16:19 UTC");
  assert.equal(format.clock("2026-06-01T00:00:00Z"), "");
  assert.equal(format.day(null), "date unknown");
});

test("a metric's row is found by its name and by one it had, and its marks are set", () => {
  const row = { name: "r_sam", label: "R-SAM", unit: "°", best: "0", direction: "less" as const, phrase: "", variant: "", also: ["r_sam_deg"], package: "geofuse", version: "1" };
  assert.equal(format.metricOf([row], "r_sam_deg"), row);
  assert.equal(format.metricOf([row], "sam"), undefined);
  assert.deepEqual(format.marked("D_λ^K"), [{ text: "D", place: "" }, { text: "λ", place: "sub" }, { text: "K", place: "sup" }]);
  assert.deepEqual(format.marked("plain"), [{ text: "plain", place: "" }]);
  assert.equal(format.unmarked("Q2^n of D_λ^K"), "Q2n of D_λᴷ");
});

test("many bands are folded into a few words", () => {
  assert.equal(format.bandWords(["pan"]), "1 band: pan");
  assert.equal(format.bandWords(["blue", "green", "red"]), "3 bands: blue, green, red");
  const many = Array.from({ length: 66 }, (_, at) => String(at + 1));
  assert.equal(format.bandWords(many), "66 bands: 1, 2, 3 … 66");
});
