import assert from "node:assert/strict";
import { test } from "node:test";

import { countFilters, FIRST_LOOK, formatRoute, itemQuery, NO_FILTERS, parseRoute, type Route, START } from "../src/route.ts";

test("an address says what is shown, and comes back the same", () => {
  const route: Route = {
    scene: "LC8 2015/216 ä",
    tab: "get",
    filters: { q: "coast & bay", sensor: "landsat8", verdict: "good", cloudMax: 20, from: "2015-01-01", to: "2015-12-31", inView: true },
    look: { bands: ["nir", "red", "green"], clip: [0.5, 99.5], ranges: [[1, 2.5], [-3, 4], [5, 6000]], gamma: 1.4 },
    swipe: 0.25,
    place: { lon: -87.4, lat: 30.7, zoom: 11.5 },
  };
  assert.deepEqual(parseRoute(formatRoute(route)), route);
});

test("the first view has the shortest address", () => {
  assert.equal(formatRoute(START), "#/");
  assert.deepEqual(parseRoute(""), START);
  assert.equal(formatRoute({ ...START, scene: "a", swipe: null }), "#/scene/a?swipe=off");
});

test("what an address says wrongly is the default, never a fault", () => {
  const odd = "#/scene/%E0%A4%A?tab=no&bands=red,nir&clip=9,2&range=1;2&gamma=99&swipe=7&at=1,200,3&cloud=x&from=yesterday";
  const route = parseRoute(odd);
  assert.equal(route.scene, null);
  assert.deepEqual(route.look, FIRST_LOOK);
  assert.deepEqual(route.filters, NO_FILTERS);
  assert.equal(route.swipe, 0.5);
  assert.equal(route.place, null);
});

test("filters become the server's query, whole days", () => {
  const filters = { ...NO_FILTERS, q: " bay ", cloudMax: 0, from: "2015-08-04", inView: true };
  const query = new URLSearchParams(itemQuery(filters, [-1, 2, 3, 4], 50));
  assert.equal(query.get("q"), "bay");
  assert.equal(query.get("cloud_max"), "0");
  assert.equal(query.get("datetime"), "2015-08-04T00:00:00Z/..");
  assert.equal(query.get("bbox"), "-1.00000,2.00000,3.00000,4.00000");
  assert.equal(query.get("limit"), "50");
  assert.equal(countFilters(filters), 4);
  assert.equal(itemQuery(NO_FILTERS, [-1, 2, 3, 4], 50), "limit=50");
});
