"""Nouns as JSON and back: every kind of field, and what is refused, by its place."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Literal

import pytest

from geofuse.errors import UsageError
from geofuse.nouns import from_json, to_json
from geofuse.rasters.image import Band, Grid, Image, Piece
from geofuse.scenes.readers.landsat import QUALITY_LAYOUTS
from geofuse.scenes.scene import Given, Scene


@dataclass(frozen=True, slots=True)
class Inner:
    at: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Outer:
    name: str
    inner: tuple[Inner, ...]
    one: Inner | None = None
    table: dict[str, float] = field(default_factory=dict)


def scene() -> Scene:
    tiles = (Piece("a.tif", window=(0, 2, 0, 3)), Piece("b.tif", 2, "/HDF/pan", (2, 4, 0, 3)))
    grid = Grid("WKT", (0.5, 0.0, 1.0, 0.0, -0.5, 2.0), 4, 3)
    pan = Image(
        "pan", (Band("pan", tiles, "uint16", ("8",), gain=2e-5),), grid, {"a.tif": "GTiff"}, rpcs={"A": "1"}
    )
    quality = Image(
        "quality",
        (Band("quality", (Piece("q.tif"),), "uint16"),),
        grid,
        {},
        bit_layout=QUALITY_LAYOUTS["landsat-c2"],
    )
    return Scene(
        "x", "landsat9", (pan, quality), "landsat", (Given("", "folder"),), None, {"sun": 4.5, "row": 3}
    )


def test_a_scene_survives_the_trip_through_json_text() -> None:
    assert from_json(Scene, json.loads(json.dumps(to_json(scene())))) == scene()


def test_a_field_with_a_default_may_be_absent() -> None:
    assert from_json(Outer, {"name": "a", "inner": []}) == Outer("a", ())


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ([], "Outer: .*wanted the fields of a Outer"),
        ({"name": "a"}, "Outer: no field inner"),
        ({"name": "a", "inner": [], "nmae": 1}, "Outer: unknown field nmae"),
        ({"name": 3, "inner": []}, r"Outer\.name: 3; wanted str"),
        ({"name": "a", "inner": "no"}, r"Outer\.inner: 'no'"),
        ({"name": "a", "inner": [{"at": [1]}]}, r"Outer\.inner\[0\]\.at: 1 values; wanted 2"),
        ({"name": "a", "inner": [{"at": [1, 2.5]}]}, r"Outer\.inner\[0\]\.at\[1\]: 2\.5; wanted int"),
        ({"name": "a", "inner": [{"at": [1, True]}]}, r"at\[1\]: True; wanted int"),
        ({"name": "a", "inner": [], "one": {"at": 4}}, r"Outer\.one\.at: 4"),
        ({"name": "a", "inner": [], "table": {"x": "y"}}, r"Outer\.table\.x: 'y'; wanted float"),
    ],
)
def test_what_does_not_fit_is_named_by_its_place(value: object, match: str) -> None:
    with pytest.raises(UsageError, match=match) as caught:
        from_json(Outer, value)
    assert len(str(caught.value).splitlines()) == 1


def test_what_json_has_no_word_for_is_refused() -> None:
    with pytest.raises(UsageError, match="a set"):
        to_json({1, 2})


def test_words_to_choose_from_are_held_to() -> None:
    assert from_json(Chosen, {"how": "fast"}) == Chosen("fast")
    with pytest.raises(UsageError, match=r"Chosen\.how: 'slow'"):
        from_json(Chosen, {"how": "slow"})


@dataclass(frozen=True, slots=True)
class Chosen:
    how: Literal["fast", "sure"]
