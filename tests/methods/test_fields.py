"""Drifting shifts: a pair whose MS was sampled along a known field, made by other means than the product's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from geofuse.geometry import gaussian_sigma_px
from geofuse.methods.calibrate import Estimate, calibrate
from geofuse.methods.observation import ShiftField
from geofuse.methods.registration import calibration_reach
from geofuse.methods.shift_field import field_at
from tests.methods.test_calibrate import patch_of, sentinel

SIDE, RATIO, GAIN = 600, 2, 0.3


def departure(rows: NDArray, cols: NDArray, strength: float) -> tuple[NDArray, NDArray]:
    """A drift, other in rows than in columns, on top of (0.4, -0.2)."""
    y, x = rows / SIDE * 2.0 - 1.0, cols / SIDE * 2.0 - 1.0
    return 0.4 + strength * y, -0.2 + strength * (0.5 * x + 0.2 * y)


def pair(data_dir: Path, strength: float) -> tuple[NDArray, NDArray]:
    """PAN and MS of the real 10 m bands; the MS sampled by splines where the field leads."""
    image = sentinel(data_dir)["im10"]
    centre = (np.arange(SIDE // RATIO) + 0.5) * RATIO - 0.5
    rows, cols = np.meshgrid(centre, centre, indexing="ij")
    dy, dx = departure(rows, cols, strength)
    sigma = gaussian_sigma_px(GAIN, float(RATIO))
    ms = [
        map_coordinates(
            gaussian_filter(band.astype(np.float64), sigma), [rows - dy, cols - dx], mode="mirror"
        )
        for band in image
    ]
    pan = np.tensordot(np.array([0.3, 0.3, 0.3, 0.1]), image.astype(np.float64), 1)[None]
    return pan.astype(np.float32), np.stack(ms).astype(np.float32)


def estimate(pan: NDArray, ms: NDArray, *, spoil: bool = False) -> Estimate:
    """Calibrate on nine windows; `spoil`: one of them shows something else in MS."""
    whole = patch_of(pan, ms, RATIO)
    coarse_cpx = calibration_reach(float(RATIO))[1]
    if spoil:
        whole.target.values[:, coarse_cpx : coarse_cpx + 100, coarse_cpx : coarse_cpx + 100] = np.roll(
            whole.target.values[:, coarse_cpx + 150 : coarse_cpx + 250, coarse_cpx + 150 : coarse_cpx + 250],
            5,
            axis=2,
        )
    patches = []
    for row in range(0, SIDE, 200):
        for col in range(0, SIDE, 200):
            patches.append(replace(whole, core=(row, row + 200, col, col + 200)))
    usable = [np.ones(whole.target.valid.shape, np.bool_)] * len(patches)
    return calibrate(patches, usable, prior_gain=(0.3,) * 4, origin=(70, 90), size=(SIDE, SIDE))


def worst(found: Estimate, strength: float) -> float:
    """The largest error of the whole shift over the inner scene."""
    assert found.field is not None
    errors = []
    for row in range(60, SIDE, 80):
        for col in range(60, SIDE, 80):
            dy, dx = departure(np.array(float(row)), np.array(float(col)), strength)
            own = field_at(found.field, row, col)
            errors += [abs(found.shift_px[0] + own[0] - dy), abs(found.shift_px[1] + own[1] - dx)]
    return float(max(errors))


def test_a_drift_is_found(data_dir: Path) -> None:
    found = estimate(*pair(data_dir, 1.0))
    assert worst(found, 1.0) < 0.05
    assert found.shift_px == pytest.approx((0.4, -0.2), abs=0.1)


def test_a_window_that_shows_something_else_does_not_bend_it(data_dir: Path) -> None:
    assert worst(estimate(*pair(data_dir, 1.0), spoil=True), 1.0) < 0.15


def test_a_constant_stays_a_constant(data_dir: Path) -> None:
    found = estimate(*pair(data_dir, 0.0))
    assert found.field is None
    assert found.shift_px == pytest.approx((0.4, -0.2), abs=0.03)


def test_the_lattice_is_fixed_to_the_scene(data_dir: Path) -> None:
    field = estimate(*pair(data_dir, 1.0)).field
    assert field is not None
    assert all(
        (first + start) % field.step_px == 0 for first, start in zip(field.first_px, (70, 90), strict=True)
    )


def test_field_at_is_bilinear_and_ends_at_its_border() -> None:
    field = ShiftField((-10, 20), 40, ((0.0, 1.0), (2.0, 5.0)), ((0.0, 0.0), (4.0, 4.0)))
    assert field_at(field, -10, 20) == (0.0, 0.0)
    assert field_at(field, 10, 40) == pytest.approx((2.0, 2.0))
    assert field_at(field, 500, 500) == (5.0, 4.0)
    assert field_at(field, -500, 60) == (1.0, 0.0)
