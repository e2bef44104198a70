"""Sums over a scene against numpy over the whole of it."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from geofuse.methods.sums import Moments, MomentSums, histogram_of, merge, quantile


def scene(size: tuple[int, int], seed: int = 0, dtype: str = "float64") -> tuple[NDArray, NDArray[np.bool_]]:
    """Four correlated planes far from zero, and a ragged validity."""
    rng = np.random.default_rng(seed)
    base = rng.normal(0.0, 40.0, size)
    planes = np.stack([900.0 + 300.0 * k + (k - 1.5) * base + rng.normal(0.0, 9.0, size) for k in range(4)])
    return planes.astype(dtype), rng.random(size) > 0.3


def gathered(
    planes: NDArray, valid: NDArray[np.bool_], strip: int = 64, *, extremes: bool = False
) -> Moments:
    """Gather strip by strip."""
    sums = MomentSums(planes.shape[0], extremes=extremes)
    for top in range(0, planes.shape[1], strip):
        sums.add(planes[:, top : top + strip], valid[top : top + strip])
    return sums.done()


def check(found: Moments, planes: NDArray, valid: NDArray[np.bool_], rtol: float) -> None:
    """Hold moments against numpy's, to so many digits of the largest."""
    samples = planes[:, valid].astype(np.float64)
    scatter = np.cov(samples, bias=True) * samples.shape[1]
    assert found.count == samples.shape[1]
    assert np.allclose(found.mean, samples.mean(axis=1), rtol=rtol, atol=0.0)
    assert np.abs(found.scatter - scatter).max() < rtol * np.abs(scatter).max()
    assert np.array_equal(found.scatter, found.scatter.T)
    raw = samples @ samples.T
    assert np.abs(found.raw - raw).max() < rtol * raw.max()
    assert np.allclose(found.std, samples.std(axis=1), rtol=10 * rtol)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (64, 64), (65, 63), (130, 300), (7, 600)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_block_equals_numpy(size: tuple[int, int], dtype: str) -> None:
    planes, valid = scene(size, 1, dtype)
    valid[0, 0] = True
    found = gathered(planes, valid, extremes=True)
    check(found, planes, valid, 1e-12) if valid.sum() > 1 else None
    samples = planes[:, valid].astype(np.float64)
    assert np.array_equal(found.low, samples.min(axis=1))
    assert np.array_equal(found.high, samples.max(axis=1))
    assert found.count == valid.sum()


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(1, 69), max_size=4),
    st.lists(st.integers(1, 79), max_size=4),
    st.integers(0, 2**32 - 1),
)
def test_merged_blocks_equal_the_whole(rows: list[int], cols: list[int], seed: int) -> None:
    planes, valid = scene((70, 80), seed)
    cuts = [sorted({0, size, *places}) for size, places in ((70, rows), (80, cols))]
    blocks = [
        gathered(planes[:, top:bottom, left:right], valid[top:bottom, left:right], extremes=True)
        for top, bottom in pairwise(cuts[0])
        for left, right in pairwise(cuts[1])
    ]
    whole = reduce(merge, blocks)
    assert isinstance(whole, Moments)
    check(whole, planes, valid, 1e-12)
    assert np.array_equal(whole.low, planes[:, valid].min(axis=1))
    assert np.array_equal(whole.high, planes[:, valid].max(axis=1))


def test_a_far_pedestal_costs_no_digits() -> None:
    """A first pixel unlike all others, and means a million deviations away."""
    planes, valid = scene((90, 100), 5)
    planes += 4e7
    valid[0, 0] = True
    planes[:, 0, 0] += 60000.0
    check(gathered(planes, valid), planes, valid, 1e-9)


def test_what_stands_under_invalid_pixels_is_not_seen() -> None:
    planes, valid = scene((50, 60), 2)
    other = np.where(valid, planes, np.nan)
    first, second = gathered(planes, valid, extremes=True), gathered(other, valid, extremes=True)
    for name in ("mean", "scatter", "low", "high"):
        assert np.array_equal(getattr(first, name), getattr(second, name))


def test_nothing_valid_is_the_neutral_element() -> None:
    planes, valid = scene((20, 30))
    none = gathered(planes, np.zeros_like(valid), extremes=True)
    some = gathered(planes, valid, extremes=True)
    assert none.count == 0
    assert merge(none, some) is some
    assert merge(some, none) is some
    assert not none.cov.any()
    assert not none.std.any()


def test_extremes_only_where_asked_for() -> None:
    planes, valid = scene((20, 30))
    found = gathered(planes, valid)
    assert np.isposinf(found.low).all()
    assert np.isneginf(found.high).all()


def test_rounding_is_no_variance() -> None:
    """A constant resampled in float32 varies by its rounding: that counts as constant, a real DN does not."""
    rng = np.random.default_rng(8)
    flat = np.float32(777.0) * (1.0 + rng.uniform(-1e-7, 1e-7, (50, 60)))
    rare = np.full((50, 60), 50000.0)
    rare[7, 9] += 5.0
    textured = rng.normal(400.0, 30.0, (50, 60))
    found = gathered(np.stack([flat, rare, textured]), np.ones((50, 60), np.bool_))
    assert found.scatter[0, 0] > 0.0
    assert not found.cov[0].any()
    assert not found.cov[:, 0].any()
    assert found.std[1] == pytest.approx(rare.std())
    assert found.std[2] == pytest.approx(textured.std())


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.25, 0.5, 0.99, 1.0])
def test_quantiles_to_one_bin(fraction: float) -> None:
    planes, valid = scene((60, 70), 3)
    samples = planes[:, valid]
    low, high = samples.min(axis=1), samples.max(axis=1)
    halves = [
        histogram_of(planes[:, part], valid[part], low, high) for part in (slice(0, 23), slice(23, None))
    ]
    whole = histogram_of(planes, valid, low, high)
    merged = merge(*halves)
    assert np.array_equal(merged.counts, whole.counts)  # type: ignore[union-attr]
    assert (whole.counts.sum(axis=1) == valid.sum()).all()
    truth = np.percentile(samples, 100.0 * fraction, axis=1, method="inverted_cdf")
    assert (
        np.abs(quantile(whole, fraction) - truth) <= (high - low) / 65536 * 1.001
    ).all() or fraction == 0.0
    assert (quantile(whole, 0.0) == low).all()


def test_quantile_of_a_constant_is_the_constant() -> None:
    planes = np.full((1, 9, 9), 42.0)
    valid = np.ones((9, 9), np.bool_)
    found = histogram_of(planes, valid, np.array([42.0]), np.array([42.0]))
    assert quantile(found, 0.01) == pytest.approx(42.0)
    assert quantile(found, 0.99) == pytest.approx(42.0)
