"""The hold-out one scale down: it knows a helpful method from a harmful one, band by band."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from geofuse.landscape.camera import Camera, observe
from geofuse.methods.base import Options
from geofuse.methods.hold_out import Reduced, Trial, best_of, reduce_window, reduced_observation, try_methods
from geofuse.methods.observation import Observation
from tests.methods.test_calibrate import patch_of, sentinel

CAMERA = Camera((0.3,) * 4, (0.4, 0.3, 0.3, 0.0), ratio=2.0, shift_px=(0.5, -0.3), noise_sigma=2.0)
MODEL = Observation((0.3,) * 4, (0.5, -0.3))
OPTIONS = Options(("red", "green", "blue", "nir"), 2.0)


def windows_of(image: NDArray) -> list[Reduced]:
    """Four windows of a simulated pair whose PAN holds nothing of the last band."""
    found = []
    for row in (0, 200):
        for col in (0, 200):
            part = image[:, row : row + 200, col : col + 200]
            pan, ms = observe(part, CAMERA, rng=np.random.default_rng(row + col))
            patch = patch_of(pan, ms, 2)
            one = reduce_window(patch, np.ones(patch.target.valid.shape, np.bool_), MODEL)
            assert one is not None
            found.append(one)
    return found


def try_method(
    name: str, windows: list[Reduced], model: Observation, *, options: Options, rounds: int
) -> Trial | None:
    return try_methods((name,), windows, model, options=options, rounds=rounds)[name]


@pytest.fixture(scope="module")
def windows(data_dir: Path) -> list[Reduced]:
    return windows_of(sentinel(data_dir)["im10"])


def test_detail_that_helps_stays_and_detail_that_harms_goes(windows: list[Reduced]) -> None:
    trial = try_method("mtf-glp-hpm", windows, MODEL, options=OPTIONS, rounds=0)
    assert trial is not None
    assert trial.shares[:3] == (1.0, 1.0, 1.0)
    assert trial.shares[3] < 0.5
    assert trial.rmse[3] <= trial.upsampled_rmse[3]
    assert all(
        mine < 0.9 * plain for mine, plain in zip(trial.rmse[:3], trial.upsampled_rmse[:3], strict=True)
    )


@pytest.mark.parametrize("rounds", [0, 3])
@pytest.mark.parametrize("name", ["brovey", "gsa", "sfim", "mtf-glp-hpm-r"])
def test_no_band_is_worse_than_upsampling(windows: list[Reduced], name: str, rounds: int) -> None:
    trial = try_method(name, windows, MODEL, options=OPTIONS, rounds=rounds)
    assert trial is not None
    assert all(mine <= plain for mine, plain in zip(trial.rmse, trial.upsampled_rmse, strict=True))
    assert all(0.0 <= share <= 1.0 for share in trial.shares)


def test_upsampling_has_no_detail_to_share(windows: list[Reduced]) -> None:
    trial = try_method("exp", windows, MODEL, options=OPTIONS, rounds=0)
    assert trial is not None
    assert trial.rmse == trial.upsampled_rmse


def test_back_projection_lowers_the_error(windows: list[Reduced]) -> None:
    trials = [try_method("gsa", windows, MODEL, options=OPTIONS, rounds=rounds) for rounds in (0, 3)]
    assert trials[0] is not None
    assert trials[1] is not None
    assert trials[1].ergas < trials[0].ergas


def test_the_best_is_the_one_with_the_least_error(windows: list[Reduced]) -> None:
    names = ("brovey", "gsa", "mtf-glp-hpm-r")
    trials = try_methods(names, windows, MODEL, options=OPTIONS, rounds=0)
    for name in names:
        assert try_method(name, windows, MODEL, options=OPTIONS, rounds=0) == trials[name]
    best = best_of(trials)
    assert best is not None
    assert best != "brovey"
    known = [trial.ergas for trial in trials.values() if trial is not None]
    assert trials[best] is not None
    assert trials[best].ergas == min(known)
    assert best_of({"gsa": None}) is None


def test_too_small_a_window_is_none(data_dir: Path) -> None:
    part = sentinel(data_dir)["im10"][:, :40, :40]
    patch = patch_of(*observe(part, CAMERA, rng=np.random.default_rng(0)), 2)
    assert reduce_window(patch, np.ones(patch.target.valid.shape, np.bool_), MODEL) is None


def test_masked_pixels_are_not_judged(data_dir: Path) -> None:
    part = sentinel(data_dir)["im10"][:, :200, :200]
    patch = patch_of(*observe(part, CAMERA, rng=np.random.default_rng(0)), 2)
    usable = np.ones(patch.target.valid.shape, np.bool_)
    usable[:, : usable.shape[1] // 2] = False
    one = reduce_window(patch, usable, MODEL)
    assert one is not None
    assert 0.45 < one.judged.mean() < 0.55


def test_bands_apart_stay_apart_one_scale_down() -> None:
    """A band 1.2 px from PAN on the fine grid is .3 px from it where PAN lies on the coarse grid."""
    model = Observation((0.3, 0.3), (0.4, 0.0), ((0.4, 0.0), (1.6, -0.8)))
    axes = patch_of(np.zeros((1, 400, 400), np.float32), np.zeros((2, 100, 100), np.float32), 4)
    reduced = reduced_observation(model, (axes.target.axis_y, axes.target.axis_x))
    assert reduced.shift_px == (0.0, 0.0)
    assert reduced.band_shift_px[0] == (0.0, 0.0)
    assert reduced.band_shift_px[1] == pytest.approx((0.3, -0.2))
