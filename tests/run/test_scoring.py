"""Scores of products whose scores are known: the truth, plain upsampling, a wave; nodata, windows, radiometry."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from geofuse.geometry import AxisMap
from geofuse.methods.observation import Observation
from geofuse.metrics import reference as metrics
from geofuse.metrics.metric import grows
from geofuse.metrics.rows import BUILT_IN
from geofuse.metrics.table import find
from geofuse.quality.scoring import (
    REFLECTANCE,
    UNKNOWN,
    Ground,
    error_percent,
    ground_of,
    mtf_filtered,
    physical,
    read_raster,
    score,
)
from geofuse.quality.simulate_from_image import Viewing, simulate_from_fine
from geofuse.run.plans.planning import make_plan
from geofuse.run.plans.request import make_request
from geofuse.scenes.opening import open_pair
from tests.run.scenery import landscape, north_up, write

IMAGES = [metric for metric in BUILT_IN if not metric.of_product]


@pytest.fixture(scope="module", params=[4.0, 2.0 / 0.498])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair without shift or noise, in the model that is the prior."""
    folder = tmp_path_factory.mktemp("pair")
    planes = (landscape(np.random.default_rng(8), 4, 301) * 3000.0 + 200.0).astype(np.float32)
    source = str(write(folder / "fine.tif", planes, north_up(1.0)))
    simulate_from_fine(source, Viewing(ratio=request.param), folder)
    return folder


def ground_at(
    folder: Path, window: tuple[int, ...] | None = None
) -> tuple[Ground, NDArray, NDArray[np.bool_]]:
    """Return the ground of a window, and the truth over it."""
    scene = open_pair(str(folder / "pan.tif"), [str(folder / "ms.tif")])
    plan = make_plan(scene, make_request(method="exp", window=window))
    ground = ground_of(plan)
    top, left = plan.pair.origin
    truth, valid = read_raster(
        folder / "reference.tif", (top, top + plan.grid.height, left, left + plan.grid.width)
    )
    return ground, physical(truth, ground), valid


@pytest.mark.parametrize("window", [None, (37, 50, 201, 190)])
def test_the_truth_has_no_error_and_degrades_to_the_ms(pair: Path, window: tuple[int, ...] | None) -> None:
    ground, truth, valid = ground_at(pair, window)
    found = score(ground, truth, valid, reference=truth)
    assert tuple(found) == tuple(metric.key for metric in IMAGES)
    assert found["ergas"] == found["sam"] == 0.0
    assert found["psnr"] is None, "infinite"
    for name in ("q2n", "q", "scc", "ssim"):
        assert found[name] == pytest.approx(1.0, abs=1e-9)
    assert found["r_ergas"] < 1e-3
    assert found["r_sam"] < 1e-3
    assert found["r_q2n"] == pytest.approx(1.0, abs=1e-5)
    assert min(ground.seen_valid.shape) > 40 if window is None else min(ground.seen_valid.shape) > 25


def test_what_is_seen_moves_with_the_model(pair: Path) -> None:
    """A shifted truth is inconsistent with the MS: the comparison is made at the registered phase."""
    ground, truth, valid = ground_at(pair)
    moved = np.roll(truth, 1, axis=2)
    assert score(ground, moved, valid)["r_ergas"] > 100.0 * score(ground, truth, valid)["r_ergas"]


def test_plain_upsampling_keeps_the_relations_of_the_bands(pair: Path) -> None:
    ground, truth, valid = ground_at(pair)
    found = score(ground, ground.upsampled, valid, reference=truth)
    assert found["d_lambda"] == 0.0
    assert found["d_s"] == pytest.approx(
        metrics.d_s(
            ground.upsampled, ground.pan, upsampled=ground.upsampled, pan_low=ground.pan_low, valid=valid
        )
    )
    assert found["hqnr"] == pytest.approx((1.0 - found["d_lambda_k"]) * (1.0 - found["d_s"]))
    assert found["d_rho"] > score(ground, truth, valid)["d_rho"]
    assert found["ergas"] > 0.5


def test_better_is_on_the_side_that_is_said(pair: Path) -> None:
    """Between the truth and the truth blurred by half, every metric with a reference falls or rises as its row says."""
    ground, truth, valid = ground_at(pair)
    near, far = (
        score(ground, t * ground.upsampled + (1 - t) * truth, valid, reference=truth) for t in (0.2, 0.9)
    )
    referenced = [metric.key for metric in IMAGES if metric.referenced]
    for name in (*referenced, "d_s", "d_rho", "r_ergas", "r_sam", "r_q2n", "d_lambda_k", "hqnr"):
        assert (near[name] > far[name]) == grows(find(name)), name


def test_invalid_pixels_do_not_count(pair: Path) -> None:
    ground, truth, valid = ground_at(pair)
    some = valid.copy()
    some[90:150, 120:170] = False
    spoilt = truth + 5.0
    clean = score(ground, np.where(some, spoilt, 0.0), some, reference=truth)
    spoilt[:, ~some] = 1e6
    assert score(ground, spoilt, some, reference=truth) == clean


def test_the_mtf_filter_damps_a_wave_by_its_gain() -> None:
    axes = AxisMap(0.25, -0.375), AxisMap(0.5, -0.25)
    y, x = np.mgrid[:160, :160]
    cycles = 0.05
    planes = np.stack([10.0 + np.cos(2 * math.pi * cycles * y), 10.0 + np.cos(2 * math.pi * cycles * x)])
    valid = np.ones((160, 160), bool)
    low = mtf_filtered(planes, valid, axes, Observation((0.3, 0.2)))[:, 30:-30, 30:-30] - 10.0
    assert np.abs(low[0]).max() == pytest.approx(0.3 ** ((cycles * 8.0) ** 2), rel=2e-3)
    assert np.abs(low[1]).max() == pytest.approx(0.2 ** ((cycles * 4.0) ** 2), rel=2e-3)
    valid[:70] = False
    flat = np.where(valid, 7.0, 0.0)[None].repeat(2, axis=0)
    assert mtf_filtered(flat, valid, axes, Observation((0.3, 0.2)))[:, valid] == pytest.approx(7.0)


def test_reflectance_needs_the_coefficients_of_all_bands(tmp_path: Path) -> None:
    planes = np.rint(landscape(np.random.default_rng(8), 3, 200) * 3000.0 + 5000.0).astype(np.uint16)
    source = str(write(tmp_path / "a.tif", planes, north_up(1.0), scales=((2e-5,) * 3, (-0.1,) * 3)))
    simulate_from_fine(source, Viewing(ratio=2.0), tmp_path / "a")
    ground, truth, valid = ground_at(tmp_path / "a")
    assert ground.units == REFLECTANCE
    np.testing.assert_allclose(truth, planes * 2e-5 - 0.1, atol=1e-12)
    assert ground.pan.mean() == pytest.approx(float((planes * 2e-5 - 0.1).mean()), abs=1e-5)
    assert error_percent(1.1 * truth, truth, valid) == pytest.approx(
        [10.0 * math.sqrt(float((band**2).mean())) / float(band.mean()) for band in truth]
    )
    bare = str(write(tmp_path / "b.tif", planes, north_up(1.0)))
    simulate_from_fine(bare, Viewing(ratio=2.0), tmp_path / "b")
    ground, truth, _ = ground_at(tmp_path / "b")
    assert ground.units == UNKNOWN
    np.testing.assert_array_equal(truth, planes)
