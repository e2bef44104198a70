"""Axis maps, and tap tables against what their papers promise."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geofuse.geometry import (
    AxisMap,
    Taps,
    axis_from_grids,
    covered,
    cubic_taps,
    gaussian_reach_px,
    gaussian_sigma_px,
    gaussian_taps,
    moved,
    nearest,
    reach_coarse,
    shifted,
)

LANDSAT = AxisMap(0.5, -0.5)
RATIOS = st.floats(1.0, 8.0) | st.sampled_from([1.0, 2.0, 3.0, 4.0, 2.0 / 0.498, 8.0])
AXES = st.builds(lambda ratio, offset: AxisMap(1.0 / ratio, offset), RATIOS, st.floats(-3.0, 3.0))
STARTS = st.integers(-50, 20000)
LENGTHS = st.integers(1, 200)


def places(taps: Taps) -> np.ndarray:
    """Input index under each weight (n, taps)."""
    return taps.first[:, None] + np.arange(taps.weights.shape[1])


def moment(taps: Taps, power: int) -> np.ndarray:
    """Each output's value where the inputs are index ** power, in float64."""
    return (taps.weights.astype(np.float64) * places(taps).astype(np.float64) ** power).sum(axis=1)


def test_landsat_begins_half_a_pan_pixel_outside() -> None:
    axis = axis_from_grids(228285.0 - 7.5, 15.0, 228285.0, 30.0)
    assert axis == LANDSAT
    assert covered(axis, 15481, 7741) == (0, 15481)
    assert nearest(axis, 0, 6, 7741).tolist() == [0, 0, 1, 1, 2, 2]
    assert nearest(axis, 15478, 15481, 7741).tolist() == [7739, 7739, 7740]
    taps = cubic_taps(axis, 0, 3)
    assert taps.first.tolist() == [-2, -1, -1]
    assert taps.weights.tolist() == [
        [-0.0625, 0.5625, 0.5625, -0.0625],
        [0.0, 1.0, 0.0, 0.0],
        [-0.0625, 0.5625, 0.5625, -0.0625],
    ]


def test_aligned_corners_at_ratio_four() -> None:
    axis = axis_from_grids(500000.0, 0.5, 500000.0, 2.0)
    assert axis == AxisMap(0.25, -0.375)
    assert covered(axis, 4000, 1000) == (0, 4000)
    assert nearest(axis, 0, 9, 1000).tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2]


def test_a_ratio_that_is_not_whole() -> None:
    axis = axis_from_grids(0.0, 0.498, 0.0, 2.0)
    assert axis.scale == pytest.approx(0.249, rel=1e-15)
    assert axis.offset == pytest.approx(-0.3755, rel=1e-12)
    assert covered(axis, 5000, 1000) == (0, 4016)  # 1000 x 2 m hold the centres of 4016 x 0.498 m
    under = nearest(axis, 0, 4016, 1000)
    assert under[[0, 3, 4, 4015]].tolist() == [0, 0, 1, 999]
    assert np.bincount(under).tolist().count(5) == 16  # 16 of 1000 hold five centres, all others four


def test_descending_grids_of_both_images() -> None:
    assert axis_from_grids(4900007.5, -15.0, 4900000.0, -30.0) == LANDSAT


@given(AXES, st.integers(0, 3000), st.integers(0, 3000), st.floats(-5.0, 5.0))
def test_moving_and_shifting_agree(axis: AxisMap, first: int, second: int, shift: float) -> None:
    twice, once = moved(moved(axis, first), second), moved(axis, first + second)
    assert twice.scale == once.scale
    assert twice.offset == pytest.approx(once.offset, abs=1e-9)
    assert shifted(axis, float(first)) == moved(axis, first)
    there = shifted(axis, shift)
    assert there.scale * second + there.offset == pytest.approx(
        axis.scale * (second + shift) + axis.offset, abs=1e-9
    )


@given(AXES, st.integers(1, 400), st.integers(1, 300))
def test_covered_pixels_are_those_with_their_centre_inside(axis: AxisMap, fine: int, coarse: int) -> None:
    start, stop = covered(axis, fine, coarse)
    assert 0 <= start <= stop
    centres = axis.scale * np.arange(fine) + axis.offset
    inside = (centres >= -0.5 - 2e-6) & (centres <= coarse - 0.5 + 2e-6)
    surely = (centres >= -0.5) & (centres <= coarse - 0.5)
    assert set(np.flatnonzero(surely)) <= set(range(start, stop)) <= set(np.flatnonzero(inside))


@given(AXES, st.integers(1, 400), st.integers(1, 300))
def test_nearest_lies_inside_and_within_half_a_pixel(axis: AxisMap, fine: int, coarse: int) -> None:
    start, stop = covered(axis, fine, coarse)
    under = nearest(axis, start, stop, coarse)
    assert under.shape == (stop - start,)
    assert ((under >= 0) & (under < coarse)).all()
    assert (np.diff(under) >= 0).all()
    distance = np.abs(axis.scale * np.arange(start, stop) + axis.offset - under)
    assert (distance <= 0.5 + 3e-6).all()


def test_halfway_belongs_to_the_later_pixel_but_at_the_far_border() -> None:
    assert nearest(AxisMap(0.5, 0.0), 0, 6, 9).tolist() == [0, 1, 1, 2, 2, 3]
    assert nearest(AxisMap(0.5, 0.0), 4, 6, 3).tolist() == [2, 2]
    assert nearest(AxisMap(0.5, 0.0), 6, 8, 3).tolist() == [3, 4]  # beyond the border: not inside


@given(AXES, STARTS, LENGTHS)
def test_cubic_reproduces_parabolas(axis: AxisMap, start: int, length: int) -> None:
    """Keys 1981: with a = -1/2 the interpolation is exact for polynomials of degree 2."""
    local = moved(axis, start)  # near 0, where squares keep their digits
    local = AxisMap(local.scale, local.offset - math.floor(local.offset))
    taps = cubic_taps(local, 0, length)
    at = local.scale * np.arange(length) + local.offset
    far = np.maximum(np.abs(at), 1.0)
    assert np.allclose(moment(taps, 0), 1.0, atol=3e-7)
    assert (np.abs(moment(taps, 1) - at) < 4e-7 * far).all()
    assert (np.abs(moment(taps, 2) - at**2) < 2e-6 * far**2).all()


@given(AXES, STARTS, LENGTHS)
def test_cubic_taps_surround_the_centre(axis: AxisMap, start: int, length: int) -> None:
    taps = cubic_taps(axis, start, start + length)
    at = axis.scale * np.arange(start, start + length) + axis.offset
    assert taps.start == start
    assert taps.weights.shape == (length, 4)
    assert (np.floor(at) == taps.first + 1).all()
    assert reach_coarse(taps) == (taps.first.min(), taps.first.max() + 4)
    inner = nearest(axis, start, start + length, 10**9)
    assert (taps.first >= inner - 2).all()
    assert (taps.first + 3 <= inner + 2).all()


@given(AXES, STARTS, LENGTHS, st.data())
def test_a_part_of_a_table_is_the_table_of_a_part(
    axis: AxisMap, start: int, length: int, data: st.DataObject
) -> None:
    """The ground of tiled equals untiled: weights do not depend on where a window begins."""
    low = data.draw(st.integers(0, length - 1))
    high = data.draw(st.integers(low + 1, length))
    whole, part = cubic_taps(axis, start, start + length), cubic_taps(axis, start + low, start + high)
    assert np.array_equal(whole.first[low:high], part.first)
    assert np.array_equal(whole.weights[low:high], part.weights)
    whole = gaussian_taps(axis, 0.3, start, start + length)
    part = gaussian_taps(axis, 0.3, start + low, start + high)
    assert np.array_equal(whole.first[low:high], part.first)
    assert np.array_equal(whole.weights[low:high], part.weights)


@given(AXES, st.floats(0.1, 0.6), STARTS, LENGTHS)
def test_gaussian_is_a_centred_mean(axis: AxisMap, gain: float, start: int, length: int) -> None:
    taps = gaussian_taps(axis, gain, start, start + length)
    at = (np.arange(start, start + length) - axis.offset) / axis.scale
    half = gaussian_reach_px(gain, 1.0 / axis.scale)
    assert taps.weights.shape == (length, 2 * half)
    assert (taps.weights >= 0.0).all()
    assert np.allclose(taps.weights.sum(axis=1, dtype=np.float64), 1.0, atol=3e-7)
    offsets = places(taps) - at[:, None]
    assert (offsets > -half - 1e-6).all()
    assert (offsets < half + 1e-6).all()
    if (
        gaussian_sigma_px(gain, 1.0 / axis.scale) > 0.6
    ):  # a narrower one is too coarsely sampled to have a place
        assert np.abs((taps.weights * offsets).sum(axis=1)).max() < 0.01


def test_gaussian_has_the_sensors_mtf_at_nyquist() -> None:
    gains, ratios = (0.11, 0.15, 0.22, 0.3, 0.4, 0.5), (2.0, 2.5, 3.0, 4.0, 2.0 / 0.498, 5.0, 6.0, 8.0)
    faults = []
    for gain, ratio, phase in product(gains, ratios, (0.0, 0.25, 0.5, -0.4)):
        taps = gaussian_taps(AxisMap(1.0 / ratio, phase), gain, 0, 9)
        at = (np.arange(9) - phase) * ratio
        wave = np.exp(-2j * np.pi * (places(taps) - at[:, None]) / (2.0 * ratio))
        response = (taps.weights * wave).sum(axis=1)
        if not np.abs(response - gain).max() < 0.006:
            faults.append((gain, ratio, phase))
    assert not faults


def test_tables_are_shared_and_nobody_can_change_them() -> None:
    axis = AxisMap(0.25, -0.375)
    for make in (cubic_taps, lambda *span: gaussian_taps(span[0], 0.3, *span[1:])):
        table = make(axis, 3, 9)
        assert make(axis, 3, 9) is table
        with pytest.raises(ValueError, match="read-only"):
            table.weights[0, 0] = 1.0
        with pytest.raises(ValueError, match="read-only"):
            table.first[0] = 0


@given(st.floats(0.05, 0.95), st.floats(1.0, 8.0))
def test_gaussian_sigma(gain: float, ratio: float) -> None:
    """The transform of exp(-x^2 / 2 s^2) is exp(-2 (pi s f)^2); the coarse Nyquist is 1 / (2 ratio)."""
    sigma = gaussian_sigma_px(gain, ratio)
    assert math.exp(-2.0 * (math.pi * sigma / (2.0 * ratio)) ** 2) == pytest.approx(gain, rel=1e-12)
    assert gaussian_reach_px(gain, ratio) >= 3.0 * sigma
