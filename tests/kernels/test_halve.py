"""Halving, against an independent reckoning in exact integers and numpy."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from geofuse.kernels.halve import halve

WHOLE = ("uint8", "int16", "uint16", "int32", "uint32")
FLOATS = ("float32", "float64")
SHAPES = st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 3))


def quads(image: NDArray[Any]) -> list[tuple[tuple[int, int, int], list[Any]]]:
    """List each output sample's place and the one to four samples under it, in rows."""
    height, width, bands = image.shape
    return [
        ((row, col, band), image[2 * row : 2 * row + 2, 2 * col : 2 * col + 2, band].reshape(-1).tolist())
        for row in range((height + 1) // 2)
        for col in range((width + 1) // 2)
        for band in range(bands)
    ]


def few(dtype: str) -> st.SearchStrategy[int]:
    """Values among which nodata, its neighbours and the extremes come up often."""
    limits = np.iinfo(dtype)
    near = st.sampled_from([0, 1, 2, limits.min, limits.max, limits.max - 1])
    return near | st.integers(int(limits.min), int(limits.max))


@pytest.mark.parametrize("dtype", WHOLE)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whole_numbers_are_averaged_exactly(dtype: str, data: st.DataObject) -> None:
    image = data.draw(hnp.arrays(dtype, SHAPES, elements=few(dtype)))
    nodata = data.draw(st.none() | few(dtype))
    got = halve(image, nodata)
    assert got.dtype == image.dtype
    for place, under in quads(image):
        valid = [value for value in under if value != nodata]
        if not valid:
            assert got[place] == nodata
            continue
        mean = floor(Fraction(sum(valid), len(valid)) + Fraction(1, 2))
        if mean == nodata:
            mean += 1 if nodata < np.iinfo(dtype).max else -1
        assert got[place] == mean, (under, nodata)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("nodata", [None, -9999.0, 0.0, float("nan")])
def test_floats_are_averaged_in_double_precision(dtype: str, nodata: float | None) -> None:
    rng = np.random.default_rng(1)
    image = rng.choice([0.0, 1.0, -1.0, 0.1, 2.5e-7, 3e7], (9, 11, 3)).astype(dtype)
    marks = [np.nan, *([] if nodata is None else [nodata])]
    spoilt = rng.random(image.shape) < 0.4
    image[spoilt] = rng.choice(marks, spoilt.sum())
    got = halve(image, nodata)
    for place, under in quads(image):
        valid = [value for value in under if not np.isnan(value) and value != nodata]
        if not valid:
            wanted = np.nan if nodata is None else nodata
        else:
            wanted = np.dtype(dtype).type(sum(map(Fraction, valid)) / len(valid))
            if nodata is not None and abs(wanted - nodata) <= 2.0**-20 * abs(nodata):
                assert 0 < abs(got[place] - nodata) < 1e-5 * max(abs(nodata), 1.0)
                continue
        np.testing.assert_allclose(got[place], wanted, rtol=2e-7 if dtype == "float32" else 1e-15, atol=1e-12)


def test_largest_value_as_nodata_moves_a_mean_down() -> None:
    image = np.array([[[255], [254]], [[254], [255]]], np.uint8)
    assert halve(image, 255).item() == 254
    limits = np.finfo(np.float32)
    assert halve(np.array([[[-1.0], [1.0]]], np.float32), 0.0).item() == limits.smallest_normal
    close = np.full((2, 2, 1), np.nextafter(limits.max, np.float32(0)), np.float32)
    moved = halve(close, float(limits.max)).item()
    assert 0.99999 * limits.max < moved < (1.0 - 4.8e-7) * limits.max, "GDAL's masks tell it from nodata"


@settings(max_examples=30, deadline=None)
@given(image=hnp.arrays("uint8", SHAPES))
def test_or_joins_the_bits_and_nearest_takes_the_corner(image: NDArray[np.uint8]) -> None:
    joined, corner = halve(image, resampling="or"), halve(image, resampling="nearest")
    assert corner.flags.c_contiguous
    for place, under in quads(image):
        assert joined[place] == np.bitwise_or.reduce(np.array(under, np.uint8))
        assert corner[place] == under[0]


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_tiles_halve_like_the_whole(dtype: str) -> None:
    image = np.random.default_rng(2).integers(0, 4, (37, 41, 4)).astype(dtype)
    tiles = [
        [halve(np.ascontiguousarray(image[top : top + 8, left : left + 8]), 0) for left in range(0, 41, 8)]
        for top in range(0, 37, 8)
    ]
    joined = np.concatenate([np.concatenate(row, axis=1) for row in tiles])
    assert joined.tobytes() == halve(image, 0).tobytes()
