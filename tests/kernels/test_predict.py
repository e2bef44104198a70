"""Predictors, undone by other people's decoders; planes and emptiness against numpy."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geofuse.kernels.predict import difference, gather_planes, is_filled, shuffle_difference


@pytest.mark.parametrize("word", ["u1", "u2", "u4"])
@pytest.mark.parametrize("lag", [1, 3, 4])
def test_differences_add_up_to_the_block(word: str, lag: int) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, np.iinfo(word).max, (20, 30 * lag), dtype=word, endpoint=True)
    out = np.empty((8, 12 * lag), word)
    difference(image, out, top=5, left=7 * lag, lag=lag)
    decoded = imagecodecs.delta_decode(out.reshape(8, 12, lag), axis=1)
    np.testing.assert_array_equal(decoded.reshape(8, -1), image[5:13, 7 * lag : 19 * lag])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lag", [1, 2, 5])
def test_float_planes_decode_to_the_block(dtype: str, lag: int) -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(20, 30 * lag)).astype(dtype)
    image[6, :4] = np.nan, np.inf, -0.0, 5e-324
    out = np.empty((8, 12 * lag * image.itemsize), np.uint8)
    shuffle_difference(image.view(f"u{image.itemsize}"), out, top=5, left=7 * lag, lag=lag)
    block = image[5:13, 7 * lag : 19 * lag]
    decoded = imagecodecs.floatpred_decode(out.view(dtype).reshape(8, 12, lag), axis=-2)
    assert decoded.tobytes() == np.ascontiguousarray(block).tobytes()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_planes_are_the_bands(dtype: str) -> None:
    image = np.random.default_rng(0).integers(0, 99, (90, 200, 7)).astype(dtype)
    out = np.empty((3, 70, 150), dtype)
    gather_planes(image, out, top=11, left=42, first_band=2)
    np.testing.assert_array_equal(out, np.moveaxis(image[11:81, 42:192, 2:5], -1, 0))


@settings(deadline=None)
@given(row=st.integers(0, 9), col=st.integers(0, 14))
def test_one_other_sample_is_noticed_only_inside_the_block(row: int, col: int) -> None:
    image = np.full((10, 15), 7, np.uint16)
    image[row, col] = 8
    inside = 2 <= row < 6 and 3 <= col < 13
    assert is_filled(image, np.uint16(7), top=2, left=3, shape=(4, 10)) is not inside
