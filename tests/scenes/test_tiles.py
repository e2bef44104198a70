"""Plans: cores that tile the output once, JSON both ways, and a fingerprint of all that makes the pixels."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasters import landsat_folder, mtl_collection1, pair

from geofuse.errors import UsageError
from geofuse.nets.choice import NetworkChoice
from geofuse.run.plans.memory import BASE_BYTES, run_bytes, task_bytes
from geofuse.run.plans.plan import (
    COLLECT_PX,
    Plan,
    collect_blocks,
    fingerprint,
    plan_from_json,
    plan_tiles,
    plan_to_json,
)
from geofuse.run.plans.planning import make_plan
from geofuse.run.plans.request import make_request
from geofuse.run.plans.tiles import Tile, checked_tile_px, tiles_of
from geofuse.scenes.opening import open_pair, open_scene
from geofuse.tables import Plugin

SCENE_ID = "LC80200392015216LGN00"


@given(height=st.integers(1, 90), width=st.integers(1, 90), side=st.integers(1, 100))
def test_cores_tile_the_output_exactly_once_in_row_major_order(height: int, width: int, side: int) -> None:
    times = np.zeros((height, width), int)
    tiles = tiles_of(height, width, side)
    for tile in tiles:
        row0, row1, col0, col1 = tile.core
        assert (row0, col0) == (tile.row * side, tile.col * side)
        assert 0 < row1 - row0 <= side
        assert 0 < col1 - col0 <= side
        times[row0:row1, col0:col1] += 1
    assert (times == 1).all()
    assert [tile.index for tile in tiles] == list(range(len(tiles)))
    assert [(tile.row, tile.col) for tile in tiles] == sorted((tile.row, tile.col) for tile in tiles)


def test_a_tile_says_where_it_lies() -> None:
    assert str(tiles_of(1000, 1500, 512)[4]) == "tile 4 (rows 512..999, columns 512..1023)"


@pytest.mark.parametrize("side", [512, 1024, 2048, 4096, 8192, 65536])
def test_sides_that_are_allowed(side: int) -> None:
    assert checked_tile_px(side) == side


@pytest.mark.parametrize(
    ("side", "near"),
    [
        (-512, 512),
        (0, 512),
        (1, 512),
        (511, 512),
        (513, 512),
        (700, 512),
        (800, 1024),
        (1536, 2048),
        (1000, 1024),
    ],
)
def test_other_sides_are_refused_and_the_nearest_is_named(side: int, near: int) -> None:
    with pytest.raises(UsageError, match=f"--tile {near}$"):
        checked_tile_px(side)


def test_memory_grows_with_all_that_takes_it() -> None:
    base = {"tile_px": 512, "bands": 4, "itemsize": 2, "reach": (20, 6), "ratio": 4.0, "lows": 1}
    more = {"tile_px": 1024, "bands": 8, "itemsize": 4, "reach": (40, 12), "lows": 3}
    for name, value in more.items():
        assert task_bytes(**{**base, name: value}) > task_bytes(**base), name
    assert task_bytes(**{**base, "ratio": 2.0}) > task_bytes(**base), "more MS pixels under a tile"
    # never less than what surely is there at one time: patch, result and stored pixels
    assert task_bytes(**base) > 512 * 512 * (4 + 4 * 4 + 4 * 2)


def planned(folder: Path, **request: Any) -> Plan:
    """Plan a small pair."""
    pan, ms = folder / "pan.tif", folder / "ms.tif"
    if not pan.exists():
        pair(folder, nodata=0)
    return make_plan(open_pair(str(pan), [str(ms)]), make_request(**request))


def landsat_plan(folder: Path) -> Plan:
    mtl = mtl_collection1(SCENE_ID)
    return make_plan(open_scene(str(landsat_folder(folder / SCENE_ID, SCENE_ID, mtl=mtl))), make_request())


@pytest.mark.parametrize("kind", ["pair", "landsat", "area", "nan"])
def test_json_both_ways(tmp_path: Path, kind: str) -> None:
    if kind == "landsat":
        plan = landsat_plan(tmp_path)
        assert plan.mask is not None
        assert plan.scene.find("quality") is not None
    else:
        plan = planned(tmp_path, **({"bbox": (8.9, 48.7, 9.1, 48.8)} if kind == "area" else {}))
    if kind == "nan":
        plan = replace(plan, spec=replace(plan.spec, dtype="float32", nodata=math.nan))
    again = plan_from_json(json.loads(json.dumps(plan_to_json(plan))))
    assert repr(again) == repr(plan)
    if kind != "nan":
        assert again == plan
    assert fingerprint(again, "1") == fingerprint(plan, "1")
    assert asdict(again).keys() == asdict(plan).keys()
    assert plan_tiles(again) == plan_tiles(plan)


def test_the_fingerprint_holds_what_makes_the_pixels(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    first = fingerprint(plan, "1")
    others = {
        "the version": fingerprint(plan, "2"),
        "the method": fingerprint(planned(tmp_path, method="gsa"), "1"),
        "fewer bands": fingerprint(planned(tmp_path, bands=["1", "2", "3"]), "1"),
        "their order": fingerprint(planned(tmp_path, bands=["2", "1", "3", "4"]), "1"),
        "the area": fingerprint(planned(tmp_path, window=(0, 0, 20, 48)), "1"),
        "its place": fingerprint(planned(tmp_path, window=(20, 0, 20, 48)), "1"),
        "nodata": fingerprint(planned(tmp_path, nodata=7), "1"),
        "weights": fingerprint(planned(tmp_path, method="brovey", weights=(1.0, 1.0, 1.0, 2.0)), "1"),
        "the codec": fingerprint(planned(tmp_path, compress="deflate"), "1"),
        "its level": fingerprint(planned(tmp_path, level=3), "1"),
    }
    assert len({first, *others.values()}) == len(others) + 1
    facts = os.stat(tmp_path / "ms.tif")
    os.utime(tmp_path / "ms.tif", ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    assert fingerprint(planned(tmp_path), "1") not in {first, *others.values()}, "an input that changed"


def test_the_fingerprint_holds_every_field_but_those_of_the_work(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    first = fingerprint(plan, "1")
    work = {
        "tile_px": 2048,
        "workers": 17,
        "bytes_per_task": 5,
        "notes": ("something noticed",),
        "reach": (99, 99),
        "margin_px": 61,
        "sample_bytes": 7,
    }
    assert {fingerprint(replace(plan, **{name: value}), "1") for name, value in work.items()} == {first}
    pair = plan.pair
    of_pair = {
        "guide": replace(pair.guide, role="raster"),
        "guide_bands": (0, 0),
        "target": replace(pair.target, warped=True),
        "bands": (1, 0, 2, 3),
        "origin": (1, 0),
        "axis_y": replace(pair.axis_y, offset=0.0),
        "axis_x": replace(pair.axis_x, scale=0.26),
        "observation": replace(pair.observation, shift_px=(0.1, 0.0)),
    }
    assert set(of_pair) == {field.name for field in fields(pair)}
    pairs = {name: (replace(pair, **{name: value}),) for name, value in of_pair.items()}
    told = {fingerprint(replace(plan, pairs=value), "1") for value in (*pairs.values(), (pair, pair))}
    assert len(told | {first}) == len(of_pair) + 2
    changed = {
        "pairs": (pair, pair),
        "grid": replace(plan.grid, height=39),
        "method": "exp",
        "plugins": (Plugin("methods", "exp", "other", "2"),),
        "options": replace(plan.options, ratio=4.1),
        "spec": replace(plan.spec, nodata=None),
        "mask": plan.spec,
        "area": {"type": "Polygon"},
        "inputs": plan.inputs[:1],
        "scene": replace(plan.scene, scene_id="another"),
        "shares": (1.0, 1.0, 0.5, 0.0),
        "rounds": 3,
        "sample": ((0, 8, 0, 8),),
        "calibration": {"confidence": 0.9},
    }
    assert set(asdict(plan)) == {*work, *changed}, "a new field belongs to one of them"
    found = {name: fingerprint(replace(plan, **{name: value}), "1") for name, value in changed.items()}
    assert len({first, *found.values()}) == len(changed) + 1


def test_what_is_not_read_is_no_part_of_the_fingerprint(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    first, pair = fingerprint(plan, "1"), plan.pair
    more = replace(pair.target, role="swir")
    scene = replace(plan.scene, images=(*plan.scene.images, more), warnings=("noticed on opening",))
    assert fingerprint(replace(plan, scene=scene), "1") == first
    wider = replace(pair.target, bands=(*pair.target.bands, replace(pair.target.bands[0], name="unused")))
    assert fingerprint(replace(plan, pairs=(replace(pair, target=wider),)), "1") == first
    network = NetworkChoice("a", "/here", "f" * 64, 2, 4, "cpu", "float32", "this", 256)
    told = [
        fingerprint(replace(plan, options=replace(plan.options, network=one)), "1")
        for one in (network, replace(network, path="/there"), replace(network, sha256="0" * 64))
    ]
    assert told[0] == told[1] != told[2]


def test_asking_for_the_same_with_other_work_is_the_same_product(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    for request in ({"tile_px": 2048}, {"workers": 1}, {"memory": 2**40}):
        assert fingerprint(planned(tmp_path, **request), "1") == fingerprint(plan, "1")


def test_blocks_of_the_first_pass_do_not_depend_on_the_tiles(tmp_path: Path) -> None:
    plan = replace(planned(tmp_path), grid=replace(planned(tmp_path).grid, height=2500, width=1025))
    blocks = collect_blocks(plan)
    assert blocks == collect_blocks(replace(plan, tile_px=4096))
    assert blocks[0] == Tile(0, 0, 0, (0, COLLECT_PX, 0, COLLECT_PX))
    assert blocks[-1].core == (2048, 2500, 1024, 1025)
    assert len(plan_tiles(replace(plan, tile_px=512))) == 15
    assert run_bytes(replace(plan, workers=3, bytes_per_task=7, sample_bytes=4)) == BASE_BYTES + 25
