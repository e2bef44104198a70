"""From floats to stored pixels, against exact integers and numpy's own conversions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from geofuse.kernels.finish import finish

WHOLE = ("uint8", "int16", "uint16", "int32", "uint32")
FLOATS = ("float32", "float64")


def line(values: list[float], dtype: str = "float64") -> NDArray:
    """One band, one row."""
    return np.array(values, dtype)[None, None]


def stored(values: NDArray, **said: object) -> list[float]:
    """Finish an all-valid row of one band, and return its pixels."""
    valid = np.ones(values.shape[1:], np.bool_)
    pixels, _, _ = finish(values, valid, np.zeros(values.shape[0]), **said)  # type: ignore[arg-type]
    return pixels.ravel().tolist()


@pytest.mark.parametrize("dtype", WHOLE)
def test_half_rounds_up(dtype: str) -> None:
    found = stored(line([0.49, 0.5, 1.5, 2.5, 2.4999, 99.5]), dtype=dtype, nodata=None)
    assert found == [0, 1, 2, 3, 2, 100]


@pytest.mark.parametrize("dtype", ["int16", "int32"])
def test_half_rounds_up_below_zero(dtype: str) -> None:
    found = stored(line([-0.5, -0.51, -1.5, -2.5, -2.6]), dtype=dtype, nodata=None)
    assert found == [0, -1, -1, -2, -3]


@pytest.mark.parametrize("values_dtype", FLOATS)
@pytest.mark.parametrize("dtype", WHOLE)
def test_saturates_and_never_wraps(dtype: str, values_dtype: str) -> None:
    limits = np.iinfo(dtype)
    beyond = [-3e38, -1e12, limits.min - 1000.0, limits.max + 1000.0, 1e12, 3e38, math.inf, -math.inf]
    values = line(beyond, values_dtype)
    pixels, saturated, moved = finish(
        values, np.ones((1, 8), np.bool_), np.zeros(1), dtype=dtype, nodata=None
    )
    low, high = limits.min, limits.max
    assert pixels.dtype == dtype
    assert pixels.ravel().tolist() == [low, low, low, high, high, high, high, low]
    assert (saturated, moved) == (8, 0)


@pytest.mark.parametrize("dtype", WHOLE)
def test_limits_themselves_are_not_saturated(dtype: str) -> None:
    limits = np.iinfo(dtype)
    values = line([limits.min, limits.max, limits.min - 0.5, limits.max + 0.49])
    pixels, saturated, _ = finish(values, np.ones((1, 4), np.bool_), np.zeros(1), dtype=dtype, nodata=None)
    assert pixels.ravel().tolist() == [limits.min, limits.max, limits.min, limits.max]
    assert saturated == 0


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(WHOLE), st.data())
def test_whole_types_against_exact_fractions(dtype: str, data: st.DataObject) -> None:
    limits = np.iinfo(dtype)
    low, high = int(limits.min), int(limits.max)
    near = st.sampled_from([low, high, low - 2, high + 2, 0, 1]).map(float)
    quarters = st.integers(4 * low - 99, 4 * high + 99).map(lambda value: value / 4.0)
    values = data.draw(st.lists(near | quarters, min_size=1, max_size=12))
    valid = data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)))
    pedestal = data.draw(st.integers(-400, 400)) / 4.0
    nodata = data.draw(st.none() | st.sampled_from([low, high, 0, 1]) | st.integers(low, high))
    pixels, saturated, moved = finish(
        line(values),
        np.array(valid)[None],
        np.array([pedestal]),
        dtype=dtype,
        nodata=None if nodata is None else float(nodata),
    )
    beyond = moves = 0
    for found, value, good in zip(pixels.ravel().tolist(), values, valid, strict=True):
        exact = math.floor(Fraction(value) + Fraction(pedestal) + Fraction(1, 2))
        kept = min(max(exact, low), high)
        if nodata is not None and not good:
            kept = nodata
        elif nodata is not None and kept == nodata:
            moves += 1
            kept = nodata + 1 if nodata < high else nodata - 1
        beyond += good and exact != min(max(exact, low), high)
        assert found == kept
    assert (saturated, moved) == (beyond, moves)


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(FLOATS), st.data())
def test_no_valid_pixel_is_nodata_and_no_other_is_valid(dtype: str, data: st.DataObject) -> None:
    limits = np.finfo(dtype)
    nodata = data.draw(
        st.sampled_from([0.0, -0.0, 1.0, -9999.0, float(limits.min), float(limits.max), math.inf, -math.inf])
    )
    numbers = st.just(nodata) | st.floats(-(2.0**100), 2.0**100, width=32)
    values = np.array(data.draw(st.lists(numbers, min_size=1, max_size=9)), dtype)
    valid = np.array(data.draw(st.lists(st.booleans(), min_size=values.size, max_size=values.size)))
    pixels, saturated, moved = finish(
        values[None, None], valid[None], np.zeros(1), dtype=dtype, nodata=nodata
    )
    pixels = pixels.ravel()
    mark = np.dtype(dtype).type(nodata)
    assert pixels.dtype == dtype
    assert np.array_equal(pixels == mark, ~valid)
    equal = valid & np.isclose(values, mark, rtol=2.0**-20, atol=0.0)
    assert (saturated, moved) == (0, equal.sum())
    assert np.array_equal(pixels[valid & ~equal], values[valid & ~equal])
    assert np.isfinite(pixels[equal]).all()
    assert (np.abs(pixels[equal]) >= limits.smallest_normal).all()
    if math.isfinite(nodata):
        assert np.allclose(pixels[equal], mark, rtol=1e-6, atol=2 * limits.smallest_normal)


@pytest.mark.parametrize("dtype", [*WHOLE, *FLOATS])
@pytest.mark.parametrize("nodata", [0.0, 1.0, 99.0, 255.0])
def test_gdal_sees_the_same_validity(dtype: str, nodata: float) -> None:
    """GDAL's masks allow a tolerance about a float nodata value; a moved value lies outside of it."""
    steps = np.array([0, 1, -1, 2, -2, 4, -4, 8, -8, 100])
    mark = np.dtype(dtype).type(nodata)
    values = nodata + steps * (np.spacing(mark) if dtype in FLOATS else 1.0)
    valid = np.ones((1, steps.size + 1), np.bool_)
    valid[0, -1] = False
    row = np.append(values, 77.0).astype(dtype if dtype in FLOATS else np.float64)
    pixels, _, moved = finish(row[None, None], valid, np.zeros(1), dtype=dtype, nodata=nodata)
    assert moved >= 1
    profile = {"driver": "GTiff", "height": 1, "width": row.size, "count": 1, "dtype": dtype}
    transform = Affine(2.0, 0.0, 100.0, 0.0, -2.0, 100.0)
    with MemoryFile() as memory:
        with memory.open(**profile, nodata=nodata, transform=transform) as written:
            written.write(pixels[:, :, 0], 1)
        with memory.open() as read:
            assert np.array_equal(read.read_masks(1) > 0, valid)


@pytest.mark.parametrize("dtype", FLOATS)
def test_nan_marks_invalid_floats(dtype: str) -> None:
    values = line([1.5, 0.0, -2.25, 7.0], dtype)
    valid = np.array([[True, False, True, False]])
    pixels, saturated, moved = finish(values, valid, np.zeros(1), dtype=dtype, nodata=math.nan)
    assert np.array_equal(np.isnan(pixels.ravel()), ~valid.ravel())
    assert pixels.ravel()[valid.ravel()].tolist() == [1.5, -2.25]
    assert (saturated, moved) == (0, 0)


def test_floats_without_nodata_are_kept() -> None:
    values = line([0.0, -1.25, 3e30], "float32")
    pixels, saturated, moved = finish(
        values, np.ones((1, 3), np.bool_), np.array([0.5]), dtype="float32", nodata=None
    )
    assert np.array_equal(pixels.ravel(), np.array([0.5, -0.75, 3e30], np.float32))
    assert (saturated, moved) == (0, 0)


def test_a_saturated_value_that_is_nodata_moves_too() -> None:
    values = line([70000.0, 65535.0, -4.0, 0.0])
    valid = np.ones((1, 4), np.bool_)
    pixels, saturated, moved = finish(values, valid, np.zeros(1), dtype="uint16", nodata=65535.0)
    assert pixels.ravel().tolist() == [65534, 65534, 0, 0]
    assert (saturated, moved) == (2, 2)
    pixels, saturated, moved = finish(values, valid, np.zeros(1), dtype="uint16", nodata=0.0)
    assert pixels.ravel().tolist() == [65535, 65535, 1, 1]
    assert (saturated, moved) == (2, 2)


def test_large_integers_keep_every_digit() -> None:
    values = line([4294967294.0, 4294967295.0, 2147483649.0, 1.0])
    assert stored(values, dtype="uint32", nodata=None) == [4294967294, 4294967295, 2147483649, 1]
    assert stored(line([-2147483648.0, 2147483646.5]), dtype="int32", nodata=None) == [-(2**31), 2**31 - 1]


def test_bands_go_last_and_each_has_its_pedestal() -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    valid = np.ones((3, 4), np.bool_)
    valid[1, 2] = False
    pixels, _, _ = finish(values, valid, np.array([100.25, -3.5]), dtype="int16", nodata=-1.0)
    truth = np.floor(np.stack([values[0] + 100.25, values[1] - 3.5], axis=-1) + 0.5)
    truth[1, 2] = -1
    assert pixels.shape == (3, 4, 2)
    assert pixels.flags.c_contiguous
    assert np.array_equal(pixels, truth)


@pytest.mark.parametrize("dtype", WHOLE)
def test_what_invalid_pixels_hold_counts_for_nothing(dtype: str) -> None:
    values = line([1e9, -1e9, 5.0, 1e30])
    valid = np.array([[False, False, True, False]])
    pixels, saturated, moved = finish(values, valid, np.zeros(1), dtype=dtype, nodata=5.0)
    assert pixels.ravel().tolist() == [5, 5, 6, 5]
    assert (saturated, moved) == (0, 1)


@pytest.mark.parametrize("values_dtype", FLOATS)
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_it_saturates_at_the_detectors_bits(values_dtype: str, bands: int) -> None:
    tops = [2.0 ** (9 + band) - 1.0 for band in range(bands)]
    rng = np.random.default_rng(1)
    values = rng.uniform(-2000.0, 9000.0, (bands, 5, 7)).astype(values_dtype)
    valid = np.ones((5, 7), np.bool_)
    pedestal = np.full(bands, 3.0)
    pixels, saturated, moved = finish(values, valid, pedestal, dtype="uint16", nodata=None, tops=tops)
    exact = np.floor(values.astype(np.float64) + 3.0 + 0.5)
    right = np.clip(exact, 0.0, np.array(tops)[:, None, None])
    assert np.array_equal(pixels, np.moveaxis(right, 0, -1))
    assert saturated == int((right != exact).sum())
    assert moved == 0


def test_a_nodata_at_the_top_is_left_downwards() -> None:
    values = line([2046.0, 2047.0, 9000.0])
    pixels, saturated, moved = finish(
        values, np.array([[True, True, True]]), np.zeros(1), dtype="uint16", nodata=2047.0, tops=(2047.0,)
    )
    assert pixels.ravel().tolist() == [2046, 2046, 2046]
    assert (saturated, moved) == (1, 2)
