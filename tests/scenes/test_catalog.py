"""The index finds what a plain walk over the items finds, fast; rights, schemas and the words of an item."""

from __future__ import annotations

import json
import random
import shutil
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geofuse.archive import catalog
from geofuse.archive.catalog_index import INDEX, CatalogEntry, Query, item_files, seconds
from geofuse.archive.footprints import area_of, stac_bbox
from geofuse.archive.rights import ACCESS, rights_from_json, rights_of, rights_to_json, with_wishes
from geofuse.archive.stac_item import acquired_span, checked_item_id, item_id_of
from geofuse.archive.stac_schemas import EXTENSIONS, schema_cache, schema_problems
from geofuse.errors import UsageError, VerifyError
from geofuse.scenes.sensors.table import SENSORS

ROOT = {"type": "Catalog", "stac_version": "1.1.0", "id": "c", "description": "A test.", "links": []}


def item(
    item_id: str, west: float, south: float, size: float, *, moment: str, clouds: float | None
) -> dict[str, Any]:
    """Return a small valid item, a square that may cross the antimeridian."""
    spans = [(west, min(west + size, 180.0))] + (
        [(-180.0, west + size - 360.0)] if west + size > 180.0 else []
    )
    north = south + size
    rings = [[[w, south], [e, south], [e, north], [w, north], [w, south]] for w, e in spans]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [EXTENSIONS["eo"], EXTENSIONS["version"]],
        "id": item_id,
        "collection": "landsat8",
        "geometry": {"type": "MultiPolygon", "coordinates": [[ring] for ring in rings]},
        "bbox": stac_bbox((west, south, west + size, south + size)),
        "properties": {
            "datetime": moment,
            "geofuse:access": "open",
            "license": "other",
            "version": "1",
            **({} if clouds is None else {"eo:cloud_cover": clouds}),
        },
        "links": [{"rel": "collection", "href": "../collection.json"}],
        "assets": {},
    }


def put(folder: Path, value: dict[str, Any]) -> Path:
    """Write an item where it belongs."""
    path = folder / value["collection"] / value["id"] / f"{value['id']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def scattered(folder: Path, count: int, *, seed: int) -> list[dict[str, Any]]:
    """Write a catalogue of items all over the world, days and clouds."""
    rng = random.Random(seed)
    (folder / "landsat8").mkdir(parents=True)
    (folder / "catalog.json").write_text(json.dumps(ROOT))
    items = [
        item(
            f"S{number:05d}",
            rng.uniform(-180.0, 180.0),
            rng.uniform(-80.0, 78.0),
            rng.choice((0.3, 2.0)),
            moment=f"{rng.randint(2013, 2024)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}T10:00:00Z",
            clouds=None if rng.random() < 0.1 else round(rng.uniform(0.0, 100.0), 1),
        )
        for number in range(count)
    ]
    for value in items:
        put(folder, value)
    return items


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 items."""
    folder = tmp_path_factory.mktemp("world")
    scattered(folder, 300, seed=1)
    return folder


@cache
def items_in(folder: Path) -> list[dict[str, Any]]:
    """Read all items, by a plain walk."""
    return [json.loads(path.read_text()) for path in folder.glob("*/*/*.json")]


@settings(deadline=None)
@given(
    west=st.floats(-180.0, 179.0),
    south=st.floats(-90.0, 60.0),
    width=st.floats(1.0, 170.0),
    height=st.floats(1.0, 29.0),
    years=st.none() | st.tuples(st.integers(2012, 2020), st.integers(0, 6)),
    clouds=st.none() | st.floats(0.0, 100.0),
)
def test_the_index_finds_what_a_walk_finds(
    world: Path,
    west: float,
    south: float,
    width: float,
    height: float,
    years: tuple[int, int] | None,
    clouds: float | None,
) -> None:
    east = west + width if west + width <= 180.0 else west + width - 360.0
    span = (f"{years[0]}-01-01T00:00:00Z", f"{years[0] + years[1]}-12-31T00:00:00Z") if years else None

    def wanted(value: dict[str, Any]) -> bool:
        said = value["properties"]
        boxes = [shapely.box(w, south, w + width, south + height) for w in (west - 360.0, west, west + 360.0)]
        shape = shapely.geometry.shape(value["geometry"])
        return (
            any(shape.intersects(box) for box in boxes)
            and (span is None or span[0] <= said["datetime"] <= span[1])
            and (clouds is None or said.get("eo:cloud_cover", 1000.0) <= clouds)
        )

    query = Query(
        area=area_of(bbox=(west, south, east, south + height)),
        start=seconds(span[0]) if span else None,
        stop=seconds(span[1]) if span else None,
        cloud_cover_max=clouds,
    )
    found = catalog.find(world, query)
    assert sorted(entry.id for entry in found) == sorted(
        value["id"] for value in items_in(world) if wanted(value)
    )
    assert [entry.start for entry in found] == sorted(entry.start for entry in found)


def test_ten_thousand_items_are_searched_in_a_second(tmp_path: Path) -> None:
    items = scattered(tmp_path, 10_000, seed=2)
    assert len(catalog.find(tmp_path)) == 10_000  # makes the index
    area, world = (area_of(bbox=box) for box in ((5.0, 40.0, 25.0, 60.0), (-180.0, -90.0, 180.0, 90.0)))

    def took(query: Query) -> float:
        begun = time.perf_counter()
        assert catalog.find(tmp_path, query)
        return time.perf_counter() - begun

    # the best of three: a search takes what it takes where nobody else is at work
    assert min(took(Query(area=area, cloud_cover_max=50.0)) for _ in range(3)) < 1.0
    assert min(took(Query(area=world, start=seconds("2020-01-01"))) for _ in range(3)) < 1.0
    fresh = []
    for clouds in (12.34, 23.45, 34.56):
        put(tmp_path, {**items[0], "properties": {**items[0]["properties"], "eo:cloud_cover": clouds}})
        fresh.append(took(Query(cloud_cover_max=clouds, area=shapely.geometry.shape(items[0]["geometry"]))))
    assert min(fresh) < 1.0


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Five items."""
    scattered(tmp_path / "c", 5, seed=3)
    assert len(catalog.find(tmp_path / "c")) == 5
    return tmp_path / "c"


def test_the_index_follows_the_items(small: Path) -> None:
    put(small, item("new", 1.0, 1.0, 1.0, moment="1999-01-01T00:00:00Z", clouds=3.0))
    assert catalog.find(small)[0].id == "new"
    put(small, item("new", 1.0, 1.0, 1.0, moment="2099-01-01T00:00:00Z", clouds=4.0))
    assert catalog.find(small)[-1].cloud_cover == 4.0
    shutil.rmtree(small / "landsat8" / "S00001")
    shutil.copytree(small / "landsat8" / "S00002", small / "landsat8" / "copy")  # no copy/copy.json
    assert sorted(entry.id for entry in catalog.find(small)) == [
        "S00000",
        "S00002",
        "S00003",
        "S00004",
        "new",
    ]


def test_the_index_is_never_the_truth(small: Path) -> None:
    wanted = catalog.find(small)
    path = small / INDEX
    whole = path.read_bytes()
    for damage in (
        b"",
        b"not a database at all" * 50,
        whole[: len(whole) // 2],
        whole[:100] + b"\xff" * 4000,
    ):
        path.write_bytes(damage)
        assert catalog.find(small) == wanted
    path.unlink()
    assert catalog.find(small) == wanted
    path.unlink()
    path.mkdir()  # where it cannot be written it is made in memory
    assert catalog.find(small) == wanted


def test_what_is_no_item_is_left_out_and_said(small: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = small / "landsat8" / "S00003" / "S00003.json"
    for text in (
        "{",
        "[]",
        "{}",
        json.dumps({**json.loads(path.read_text()), "geometry": {"type": "Point"}}),
    ):
        path.write_text(text)
        assert len(catalog.find(small)) == 4
        assert "S00003.json: no item" in caplog.text
        caplog.clear()


def test_items_by_name(small: Path) -> None:
    entry = catalog.find_item(small, "S00002")
    assert isinstance(entry, CatalogEntry)
    assert catalog.load(small, entry)["id"] == "S00002"
    with pytest.raises(UsageError, match="did you mean S00002"):
        catalog.find_item(small, "S0002")
    with pytest.raises(UsageError, match="catalog list"):
        catalog.find_item(small, "zebra")
    (small / entry.href).unlink()
    with pytest.raises(UsageError, match="gone"):
        catalog.load(small, entry)


def test_titles_somebody_gave_stay(small: Path) -> None:
    value = {**ROOT, "title": "Our images", "description": "Of the county."}
    (small / "catalog.json").write_text(json.dumps(value))
    assert catalog.rebuild(small) == 5
    made = json.loads((small / "catalog.json").read_text())
    assert (made["title"], made["description"], made["id"]) == ("Our images", "Of the county.", "c")
    assert schema_problems(made) == []
    collection = json.loads((small / "landsat8" / "collection.json").read_text())
    assert schema_problems(collection) == []
    assert [link["rel"] for link in collection["links"]].count("item") == 5
    assert {href for href, _ in item_files(small)} == {f"landsat8/S0000{n}/S0000{n}.json" for n in range(5)}


def test_settling_writes_nothing_that_is_up_to_date(small: Path) -> None:
    catalog.rebuild(small)
    before = {path: path.stat().st_mtime_ns for path in small.rglob("*") if path.is_file()}
    with catalog.held(small):
        catalog.bring_up_to_date(small)
    assert {path: path.stat().st_mtime_ns for path in small.rglob("*") if path.is_file()} == before


def test_a_damaged_item_is_told_from_none(small: Path) -> None:
    assert catalog.read_item(small, "landsat8", "none") is None
    (small / "landsat8" / "S00000" / "S00000.json").write_text('{"type": "Feature"}')
    with pytest.raises(VerifyError, match="damaged"):
        catalog.read_item(small, "landsat8", "S00000")


@pytest.mark.parametrize("sensor", [*SENSORS.names(), "never heard of"])
def test_every_sensor_has_rights(sensor: str) -> None:
    rights = rights_of(sensor)
    assert rights.access in ACCESS
    assert rights.license == "other"
    assert (rights.terms_url is not None) == (rights.access == "open")
    assert rights_from_json(json.loads(json.dumps(rights_to_json(rights)))) == rights


def test_wishes_change_only_what_they_say() -> None:
    rights = rights_of("landsat8")
    assert with_wishes(rights) == rights
    assert with_wishes(rights, license_id="other") == rights
    wished = with_wishes(rights, access="internal", license_id="MIT", attribution="")
    assert (wished.access, wished.license, wished.terms, wished.attribution) == ("internal", "MIT", "MIT", "")
    assert wished.provider == rights.provider
    for wrong in ({"access": "all"}, {"license_id": "a b"}, {"license_id": ""}):
        with pytest.raises(UsageError):
            with_wishes(rights, **wrong)


def test_the_schemas_are_whole_and_find_faults() -> None:
    assert set(EXTENSIONS.values()) <= schema_cache().keys()
    value = item("a", 0.0, 0.0, 1.0, moment="2020-01-01T00:00:00Z", clouds=5.0)
    assert schema_problems(value) == []
    said = value["properties"]
    for change, place in (
        ({"properties": {**said, "eo:cloud_cover": 105.0}}, "eo:cloud_cover"),
        ({"properties": {**said, "datetime": None}}, "item.json"),
        ({"properties": {**said, "version": 1}}, "version"),
        ({"bbox": [1.0, 2.0]}, "bbox"),
        ({"assets": {"data": {"roles": ["data"]}}}, "href"),
        ({"stac_extensions": ["https://example.org/unknown.json"]}, "unknown.json"),
        ({"stac_version": "1.0.0"}, "1.0.0"),
    ):
        assert any(place in problem for problem in schema_problems({**value, **change})), change
    crs = {**said, "proj:projjson": {"type": "ProjectedCRS"}}
    wrong = {**value, "properties": crs, "stac_extensions": [EXTENSIONS["projection"]]}
    assert any("proj:projjson" in problem for problem in schema_problems(wrong))


def test_names_of_items() -> None:
    def named(scene: str, area: Any = None) -> str:
        return item_id_of({"scene": {"id": scene}, "parameters": {"area": area}})

    assert named("LC81930242024133LGN00") == "LC81930242024133LGN00-fused"
    awkward = [named(text) for text in ("a b", "a/b", "../a b", "ä", "", "x" * 300, "x" * 301)]
    assert len(set(awkward)) == len(awkward)
    for text in awkward:
        assert checked_item_id(text) == text
    part = named("a", {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]})
    assert part.startswith("a-fused-")
    assert part != named("a")
    for wrong in ("", ".a", "a/b", "-a", "ä", "a" * 152, "a\n"):
        with pytest.raises(UsageError):
            checked_item_id(wrong)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2024-05-12T10:00:00.5+02:00", "2024-05-12T08:00:00.500000Z", "2024-05-12T08:00:00.500000Z"),
        ("2024-05-12 10:00", "2024-05-12T10:00:00Z", "2024-05-12T10:00:00Z"),
        ("2024-02-29", "2024-02-29T00:00:00Z", "2024-02-29T23:59:59.999999Z"),
    ],
)
def test_times_are_understood(text: str, first: str, last: str) -> None:
    assert acquired_span(text) == (first, last)
