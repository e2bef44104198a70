"""Resampling, normalised convolution and filling against dense matrices and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from geofuse.geometry import AxisMap, Taps, cubic_taps, gaussian_taps, moved, reach_coarse
from geofuse.kernels.resample import fill, resample, resample_valid
from tests.methods.reference import both, cubic_matrix, filled, gaussian_matrix, normalised

AXES = [
    (AxisMap(0.5, -0.5), AxisMap(0.5, -0.25)),
    (AxisMap(1 / 3, -1 / 3), AxisMap(0.249, -0.3755)),
    (AxisMap(1.0, 0.3), AxisMap(0.125, -0.4375)),
]
DTYPES = [("float32", 3e-7), ("float64", 1e-7)]


def image(size: tuple[int, ...], dtype: str = "float64", seed: int = 0) -> NDArray:
    """Eleven-bit noise."""
    return np.random.default_rng(seed).integers(0, 2048, size).astype(dtype)


def shape_matrix(taps: Taps, first: int, size: int) -> NDArray:
    """The table as a dense matrix over the inputs first, first + 1, ..."""
    dense = np.zeros((taps.first.size, size))
    for row, (start, weights) in enumerate(zip(taps.first - first, taps.weights, strict=True)):
        dense[row, start : start + weights.size] = weights
    return dense


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize(("dtype", "precision"), DTYPES)
def test_cubic_equals_its_formula(axes: tuple[AxisMap, AxisMap], dtype: str, precision: float) -> None:
    coarse = image((2, 40, 50), dtype)
    rows, cols = cubic_taps(axes[0], 7, 31), cubic_taps(axes[1], 9, 40)
    found = resample(coarse, rows, cols, (-5, -6))
    matrices = [
        cubic_matrix((axis.scale, axis.offset), stop, -pad, size)[start:]
        for axis, start, stop, pad, size in ((axes[0], 7, 31, 5, 40), (axes[1], 9, 40, 6, 50))
    ]
    truth = both(matrices[0], coarse.astype(np.float64), matrices[1])
    assert found.dtype == dtype
    assert found.shape == (2, 24, 31)
    assert np.abs(found - truth).max() < 4 * precision * 2048


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize(("dtype", "precision"), DTYPES)
def test_gaussian_equals_its_formula(axes: tuple[AxisMap, AxisMap], dtype: str, precision: float) -> None:
    fine = image((1, 150, 190), dtype)
    rows, cols = gaussian_taps(axes[0], 0.3, 1, 12), gaussian_taps(axes[1], 0.2, 2, 14)
    found = resample(fine, rows, cols, (-20, -31))
    truth = both(
        gaussian_matrix((axes[0].scale, axes[0].offset), 0.3, (1, 12), -20, 150),
        fine.astype(np.float64),
        gaussian_matrix((axes[1].scale, axes[1].offset), 0.2, (2, 14), -31, 190),
    )
    assert np.abs(found - truth).max() < 4 * precision * 2048


@settings(deadline=None, max_examples=40)
@given(
    st.floats(1.0, 8.0),
    st.floats(-1.0, 1.0),
    st.tuples(st.integers(0, 40), st.integers(1, 60)),
    st.integers(0, 5),
    st.booleans(),
)
def test_a_window_has_the_bits_of_the_whole(
    ratio: float, offset: float, window: tuple[int, int], spare: int, holes: bool
) -> None:
    axis = AxisMap(1.0 / ratio, offset)
    whole = cubic_taps(axis, 0, 100)
    first, stop = reach_coarse(whole)
    coarse = image((2, stop - first, stop - first), "float32")
    valid = np.random.default_rng(1).random(coarse.shape[1:]) > (0.2 if holes else -1.0)
    coarse *= valid
    low, high = window[0], sum(window)
    part = cubic_taps(axis, low, high)
    near, far = reach_coarse(part)
    near, far = max(near - spare, first), min(far + spare, stop)
    cut = slice(near - first, far - first)
    full, full_valid = resample_valid(coarse, valid, whole, whole, (first, first))
    some, some_valid = resample_valid(coarse[:, cut, cut], valid[cut, cut], part, part, (near, near))
    assert np.array_equal(full[:, low:high, low:high], some)
    assert np.array_equal(full_valid[low:high, low:high], some_valid)


@pytest.mark.parametrize("move", [-1, 1])
def test_taps_outside_the_source_are_refused(move: int) -> None:
    taps = cubic_taps(AxisMap(0.5, 0.0), 4, 20)
    first, stop = reach_coarse(taps)
    source = image((1, stop - first, stop - first))
    assert resample(source, taps, taps, (first, first)).shape == (1, 16, 16)
    for origin in ((first + move, first), (first, first + move)):
        with pytest.raises(IndexError, match="leave a source of"):
            resample(source, taps, taps, origin)


def test_nothing_asked_nothing_given() -> None:
    source = image((2, 9, 9))
    none, some = gaussian_taps(AxisMap(0.5, 0.0), 0.3, 3, 3), cubic_taps(AxisMap(0.5, 0.0), 2, 5)
    assert resample(source, none, some, (0, 0)).shape == (2, 0, 3)
    values, valid = resample_valid(source, source[0] > 1000.0, some, none, (0, 0))
    assert values.shape == (2, 3, 0)
    assert valid.shape == (3, 0)


@pytest.mark.parametrize("minimum", [1e-3, 0.3, 0.5, 0.65])
@pytest.mark.parametrize(("dtype", "precision"), DTYPES)
def test_normalised_convolution(minimum: float, dtype: str, precision: float) -> None:
    rng = np.random.default_rng(3)
    valid = rng.random((80, 90)) > 0.35
    valid[20:50, 30:70] = False
    fine = image((2, 80, 90), dtype) * valid
    axis = AxisMap(0.25, -0.375)
    rows, cols = gaussian_taps(axis, 0.3, 2, 18), gaussian_taps(axis, 0.3, 3, 19)
    found, known = resample_valid(fine, valid, rows, cols, (0, 0), minimum=minimum)
    matrices = shape_matrix(rows, 0, 80), shape_matrix(cols, 0, 90)
    assert 0 < known.sum() < known.size
    for plane, result in zip(fine, found, strict=True):
        truth, truth_known = normalised(
            plane, valid, lambda field: both(matrices[0], field, matrices[1]), minimum
        )
        assert np.array_equal(known, truth_known)
        assert (result[~known] == 0.0).all()
        assert np.abs(result - truth).max() < 40 * precision * 2048


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_constant_stays_itself_around_holes(dtype: str) -> None:
    rng = np.random.default_rng(4)
    valid = rng.random((80, 90)) > 0.4
    fine = np.where(valid, 1234.5, 0.0).astype(dtype)[None]
    taps = gaussian_taps(AxisMap(0.25, -0.375), 0.2, 4, 15)
    found, known = resample_valid(fine, valid, taps, taps, (0, 0), minimum=0.1)
    assert known.all()
    assert np.allclose(found, 1234.5, rtol=1e-6)


def test_one_invalid_pixel_touches_only_what_sees_it() -> None:
    fine = image((1, 60, 60), "float32")
    taps = gaussian_taps(AxisMap(0.5, -0.25), 0.3, 4, 25)
    whole = resample(fine, taps, taps, (0, 0))
    valid = np.ones((60, 60), np.bool_)
    valid[30, 31] = False
    holed, known = resample_valid(np.where(valid, fine, np.float32(0.0)), valid, taps, taps, (0, 0))
    sees_row = (taps.first <= 30) & (taps.first + taps.weights.shape[1] > 30)
    sees_col = (taps.first <= 31) & (taps.first + taps.weights.shape[1] > 31)
    sees = np.outer(sees_row, sees_col)
    assert known.all()
    assert np.array_equal(holed[0] != whole[0], sees)


@settings(deadline=None, max_examples=40)
@given(st.floats(0.0, 1.0), st.integers(0, 4), st.integers(0, 2**32 - 1), st.sampled_from(DTYPES))
def test_fill_equals_means_of_neighbours(
    share: float, reach: int, seed: int, kind: tuple[str, float]
) -> None:
    valid = np.random.default_rng(seed).random((12, 17)) < share
    values = image((2, 12, 17), kind[0], seed) * valid
    before = values.copy()
    found = fill(values, valid, reach)
    assert np.array_equal(values, before)
    for plane, result in zip(before.astype(np.float64), found, strict=True):
        assert np.abs(result - filled(plane, valid, reach)).max() < 4 * kind[1] * 2048
    assert np.array_equal(found[:, valid], before[:, valid])


def test_fill_gives_back_what_is_whole() -> None:
    values = image((2, 5, 6))
    assert fill(values, np.ones((5, 6), np.bool_), 3) is values


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_fill_looks_no_further_than_its_reach(reach: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    valid = rng.random((30, 30)) < 0.15
    values = image((1, 30, 30), "float32", seed) * valid
    whole = fill(values, valid, reach)
    cut, inner = slice(8, 24), slice(8 + reach, 24 - reach)
    part = fill(values[:, cut, cut], valid[cut, cut], reach)
    assert np.array_equal(whole[:, inner, inner], part[:, reach:-reach, reach:-reach])


def test_moved_axis_moves_the_window() -> None:
    coarse = image((1, 40, 40), "float32")
    axis = AxisMap(0.25, 1.0)
    rows = cubic_taps(axis, 32, 64)
    there = cubic_taps(moved(axis, 32), 0, 32)
    assert np.array_equal(resample(coarse, rows, rows, (0, 0)), resample(coarse, there, there, (0, 0)))
