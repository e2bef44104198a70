"""The gate lets through what helps where nothing was fitted, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from geofuse.nets.shares import block_sums, judge


def scene(seed: int, quality: list[float], noise: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return truth, base and fused (B, 128, 128): fused has `quality` of what the base misses, and noise."""
    rng = np.random.default_rng(seed)
    missed = rng.normal(0.0, 1.0, (len(quality), 128, 128))
    truth = 100.0 + rng.normal(0.0, 5.0, missed.shape)
    added = missed * np.array(quality)[:, None, None] + noise * rng.normal(0.0, 1.0, missed.shape)
    return truth, truth - missed, truth - missed + added


def test_block_sums_by_hand() -> None:
    truth = np.full((1, 2, 4), 5.0)
    base, fused = truth - 1.0, truth + 1.0
    judged = np.ones((2, 4), bool)
    judged[:, 2:] = False
    judged[0, 0] = False
    assert block_sums(truth, base, fused, judged, 2).tolist() == [[[3.0, 3.0, 6.0, 12.0]]]


def test_a_band_that_gains_gets_its_share_and_one_that_does_not_gets_none() -> None:
    truth, base, fused = scene(0, [0.5, -0.2], noise=0.3)
    sums = block_sums(truth, base, fused, np.ones((128, 128), bool), 32)
    verdict = judge(sums, [100.0, 100.0])
    assert verdict.used
    assert verdict.shares[1] == 0.0
    assert verdict.shares[0] == 1.0  # least squares would take more; no more than the network gave
    product = base + np.array(verdict.shares)[:, None, None] * (fused - base)
    assert np.sqrt(np.mean((truth - product) ** 2, axis=(1, 2))) == pytest.approx(verdict.rmse, rel=1e-6)
    assert verdict.gain == pytest.approx(
        1 - np.sqrt(np.mean((truth - product) ** 2) / np.mean((truth - base) ** 2)), rel=1e-6
    )


def test_noise_is_taken_down_to_the_share_that_helps() -> None:
    truth, base, fused = scene(1, [0.5], noise=0.6)
    verdict = judge(block_sums(truth, base, fused, np.ones((128, 128), bool), 32))
    assert verdict.shares[0] == pytest.approx(0.5 / (0.25 + 0.36), abs=0.02)


def test_what_only_harms_is_not_used() -> None:
    truth, base, fused = scene(2, [0.0, 0.0], noise=0.5)
    verdict = judge(block_sums(truth, base, fused, np.ones((128, 128), bool), 32))
    assert verdict.shares == (0.0, 0.0)
    assert not verdict.used
    assert verdict.rmse == verdict.base_rmse


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_too_few_blocks_and_no_numbers_let_nothing_through(bad: float) -> None:
    truth, base, fused = scene(3, [1.0])
    sums = block_sums(truth, base, fused, np.ones((128, 128), bool), 32)
    assert judge(sums).used
    assert not judge(sums[:3]).used
    sums[0, 0, 2] = bad
    assert judge(sums).shares == (0.0,)
