"""Guides of several bands, and several pairs: read, fused and told band by band, or refused by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geofuse.errors import MethodError
from geofuse.methods import table
from geofuse.quality.simulated_pair import SimulatedPair
from geofuse.run.calibrating import calibrated_plan
from geofuse.run.executors import Executor, Serial, Threads
from geofuse.run.fuse import fuse_to_cog
from geofuse.run.patch_reading import job_of, read_patch
from geofuse.run.plans.memory import task_bytes_of
from geofuse.run.plans.plan import Plan, fingerprint, plan_from_json, plan_to_json
from geofuse.run.plans.planning import make_plan
from geofuse.run.plans.request import make_request
from geofuse.run.records.product_files import verify
from geofuse.scenes.opening import open_pair
from geofuse.scenes.scene import Scene
from geofuse.tables import Row, Table

AREA = (100, 100, 1100, 700)


@pytest.fixture
def two_bands(pair: SimulatedPair, tmp_path: Path) -> Scene:
    """The pair with a second fine band: the first one mirrored, in a file of its own."""
    other = tmp_path / "other.tif"
    with rasterio.open(pair.pan) as pan:
        profile, pixels = pan.profile, pan.read()
    profile.pop("blockxsize", None)
    with rasterio.open(other, "w", **profile) as written:
        written.write(pixels[:, :, ::-1] // 2 + 50)
    scene = open_pair(str(pair.pan), [str(pair.ms)])
    second = open_pair(str(other), [str(pair.ms)]).image("pan")
    first = scene.image("pan")
    both = replace(
        first,
        bands=(*first.bands, replace(second.bands[0], name="2")),
        drivers={**first.drivers, **second.drivers},
    )
    return replace(scene, images=(both, scene.image("ms")))


def with_row(monkeypatch: pytest.MonkeyPatch, row: Row) -> str:
    own = table.METHODS
    grown = Table(own.group, (*own.own, row), noun=own.noun, fault=own.fault, wants=own.wants)
    monkeypatch.setattr(table, "METHODS", grown)
    return row.name


@pytest.fixture
def method(monkeypatch: pytest.MonkeyPatch) -> str:
    """A method of two guide bands, as a row of the table."""
    return with_row(monkeypatch, Row("two-guides", "tests.run.two_guides:TWO_GUIDES"))


def test_two_guide_bands_are_fused_alike_in_any_tiles(two_bands: Scene, method: str, tmp_path: Path) -> None:
    asked = {"method": method, "calibrate": False, "back_projections": 2, "window": AREA}
    plans = [make_plan(two_bands, make_request(**asked, tile_px=side, workers=2)) for side in (512, 2048)]
    assert plans[0].pair.guide_bands == (0, 1)
    assert fingerprint(plans[0], "1") == fingerprint(plans[1], "1")
    assert plan_from_json(json.loads(json.dumps(plan_to_json(plans[0])))) == plans[0]
    outs = [tmp_path / "tiled.tif", tmp_path / "whole.tif"]
    records = [
        fuse_to_cog(plan, out, runner=runner)
        for plan, out, runner in zip(plans, outs, (Threads(2), Serial()), strict=True)
    ]
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert {Path(item["path"]).name for item in records[0]["inputs"]} == {"pan.tif", "other.tif", "ms.tif"}
    job = job_of(plans[0])
    patch = read_patch(plans[0], (0, 200, 0, 300), job.pedestal)
    assert patch.guides.shape[0] == 2
    with rasterio.open(two_bands.image("pan").bands[1].path) as other:
        top, left = (AREA[0] + patch.guides_origin[0], AREA[1] + patch.guides_origin[1])
        stored = other.read(1)[top : top + patch.guides.shape[1], left : left + patch.guides.shape[2]]
    assert np.array_equal(np.where(patch.guides_valid, stored, 0), patch.guides[1])
    one = replace(plans[0].pair, guide_bands=(0,))
    less = replace(plans[0], pairs=(one,))
    assert fingerprint(less, "1") != fingerprint(plans[0], "1")
    assert task_bytes_of(less, 512) < task_bytes_of(plans[0], 512)


def test_more_guide_bands_than_a_method_takes_are_refused_by_name(two_bands: Scene, method: str) -> None:
    with pytest.raises(MethodError, match="gsa with guides of 2 bands") as fault:
        make_plan(two_bands, make_request(method="gsa", calibrate=False))
    assert fault.value.do == "choose exp or two-guides"
    one = replace(two_bands.image("pan"), bands=two_bands.image("pan").bands[:1])
    alone = replace(two_bands, images=(one, two_bands.image("ms")))
    with pytest.raises(MethodError, match="two-guides with guides of 1 bands"):
        make_plan(alone, make_request(method=method, calibrate=False))


def test_a_plan_of_two_pairs_is_held_read_and_refused_by_a_method_of_one(
    pair: SimulatedPair, tmp_path: Path
) -> None:
    scene = open_pair(str(pair.pan), [str(pair.ms)])
    plan = make_plan(scene, make_request(method="exp", calibrate=False, window=AREA))
    halves = (replace(plan.pair, bands=plan.pair.bands[:1]), replace(plan.pair, bands=plan.pair.bands[1:]))
    two = replace(plan, pairs=halves)
    assert fingerprint(two, "1") != fingerprint(plan, "1")
    assert plan_from_json(json.loads(json.dumps(plan_to_json(two)))) == two
    whole = read_patch(plan, (0, 64, 0, 64), job_of(plan).pedestal)
    parts = read_patch(two, (0, 64, 0, 64), job_of(two).pedestal)
    assert [len(target.values) for target in parts.targets] == [1, len(plan.pair.bands) - 1]
    assert np.array_equal(np.concatenate([target.values for target in parts.targets]), whole.target.values)
    assert np.array_equal(parts.valid, whole.valid)
    with pytest.raises(MethodError, match="exp with guides of 1 bands and 2 groups") as fault:
        fuse_to_cog(two, tmp_path / "x.tif", runner=Serial())
    assert fault.value.do == "no method that is installed takes it"
    assert not (tmp_path / "x.tif").exists()


def test_two_pairs_are_fused_each_by_its_own_observation(
    pair: SimulatedPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pair cut in two gives what the whole pair gives; a shift of the second pair moves its bands alone."""
    scene = open_pair(str(pair.pan), [str(pair.ms)])
    asked = {"method": "exp", "calibrate": False, "back_projections": 0, "window": AREA, "tile_px": 512}
    plan = make_plan(scene, make_request(**asked))
    name = with_row(monkeypatch, Row("two-targets", "tests.run.two_targets:TWO_TARGETS"))
    gains = plan.pair.observation.mtf_gain
    halves = tuple(
        replace(
            plan.pair,
            bands=plan.pair.bands[part],
            observation=replace(plan.pair.observation, mtf_gain=gains[part]),
        )
        for part in (slice(0, 2), slice(2, None))
    )
    moved = replace(halves[1], observation=replace(halves[1].observation, shift_px=(1.5, 0.0)))

    def pixels(of: Plan, out: str, runner: Executor) -> np.ndarray:
        fuse_to_cog(of, tmp_path / out, runner=runner)
        assert verify(tmp_path / out)
        with rasterio.open(tmp_path / out) as product:
            return np.asarray(product.read())

    whole = pixels(plan, "whole.tif", Serial())
    two = pixels(replace(plan, method=name, pairs=halves), "two.tif", Threads(2))
    assert np.array_equal(two, whole)
    told, alone = ((tmp_path / name).read_text() for name in ("two.json", "whole.json"))
    assert [len(each["mtf_gain"]) for each in json.loads(told)["observations"]] == [2, len(gains) - 2]
    assert json.loads(told)["radiometry"] == json.loads(alone)["radiometry"]
    assert "observations" not in json.loads(alone)
    shifted = pixels(replace(plan, method=name, pairs=(halves[0], moved)), "moved.tif", Serial())
    assert np.array_equal(shifted[:2], whole[:2])
    assert not np.array_equal(shifted[2:], whole[2:])


def test_two_guide_bands_are_calibrated_held_out_and_fused(
    two_bands: Scene, method: str, tmp_path: Path
) -> None:
    """Registered by the mean of the guides, held out with both."""
    plan = calibrated_plan(two_bands, make_request(method=method, window=AREA, force=True))
    assert plan.calibration is not None
    assert set(plan.calibration["hold_out"]) == {method}
    record = fuse_to_cog(plan, tmp_path / "x.tif", runner=Serial())
    assert len(record["radiometry"]["guides"]) == 2
    assert verify(tmp_path / "x.tif") == record
