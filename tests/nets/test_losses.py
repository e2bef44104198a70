"""Losses against hand-computed cases and against the metrics they stand for."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from geofuse.metrics import reference as metrics  # noqa: E402
from geofuse.metrics.q2n import hypercomplex_signs  # noqa: E402
from geofuse.nets.arch.discriminators import SpatialDiscriminator, SpectralDiscriminator  # noqa: E402
from geofuse.nets.training import losses  # noqa: E402
from geofuse.nets.training.residual import _signs  # noqa: E402


def test_error_is_measured_in_units_of_what_is_to_be_beaten() -> None:
    residual = torch.tensor([[[[2.0, -2.0]], [[6.0, 0.0]]]])  # two bands of two pixels
    base = torch.tensor([2.0, 3.0])
    assert losses.error(residual, base, "l1").item() == pytest.approx((1 + 1 + 2 + 0) / 4)
    assert losses.error(residual, base, "l2").item() == pytest.approx((1 + 1 + 4 + 0) / 4)
    assert losses.error(residual, base, "huber").item() == pytest.approx((0.5 + 0.5 + 1.5 + 0) / 4)
    with pytest.raises(ValueError, match="l3"):
        losses.error(residual, base, "l3")


def test_ergas_is_the_metric() -> None:
    rng = np.random.default_rng(1)
    truth = rng.uniform(100, 300, (3, 20, 24))
    fused = truth + rng.normal(0, 9, truth.shape)
    mean = torch.tensor(truth.mean(axis=(1, 2)))
    found = losses.ergas(torch.tensor(fused - truth)[None], mean, 4.0).item()
    assert found == pytest.approx(metrics.ergas(truth, fused, ratio=4.0), rel=1e-12)
    hand = losses.ergas(torch.tensor([[[[3.0]], [[4.0]]]]), torch.tensor([10.0, 10.0]), 2.0)
    assert hand.item() == pytest.approx(50.0 * ((0.09 + 0.16) / 2) ** 0.5)


@pytest.mark.parametrize("bands", [2, 3, 4, 7])
def test_q2n_is_the_metric(bands: int) -> None:
    rng = np.random.default_rng(bands)
    truth = rng.uniform(100, 300, (bands, 64, 96))
    fused = truth + rng.normal(0, 20, truth.shape)
    units = 1 << (bands - 1).bit_length()
    signs = _signs(units)
    assert np.array_equal(signs.numpy(), hypercomplex_signs(units))
    made = torch.tensor(fused, requires_grad=True)
    loss = losses.one_minus_q2n(made[None], torch.tensor(truth)[None], signs)
    assert 1.0 - loss.item() == pytest.approx(metrics.q2n(truth, fused), abs=1e-9)
    loss.backward()
    assert torch.isfinite(made.grad).all()
    assert made.grad.abs().max() > 0


def test_detail_by_hand() -> None:
    fused = torch.tensor([[[[0.0, 2.0], [0.0, 0.0]], [[2.0, 4.0], [0.0, 0.0]]]])  # mean: 1 3 / 0 0
    pan = torch.zeros((1, 1, 2, 2))
    # across: 2, 0 -> mean square 2; down: -1, -3 -> mean square 5
    assert losses.detail(fused, pan, "gradient").item() == pytest.approx(2.0 + 5.0)
    assert losses.detail(fused + 7.0, pan, "gradient").item() == pytest.approx(7.0)  # a level is no detail
    spot = torch.zeros((1, 1, 3, 3))
    spot[0, 0, 1, 1] = 2.0
    assert losses.detail(spot, torch.zeros_like(spot), "laplacian").item() == pytest.approx(16.0**2)


def test_verdict_and_labels() -> None:
    score = torch.tensor([[0.5], [2.0]])
    assert losses.verdict(score, torch.ones((2, 1))).item() == pytest.approx((0.25 + 1.0) / 2)
    draws = torch.Generator().manual_seed(3)
    real = losses.labels("real", 1000, soft=True, generator=draws)
    fake = losses.labels("fake", 1000, soft=True, generator=draws)
    assert 0.7 <= real.min() < 0.72
    assert 1.18 < real.max() <= 1.2
    assert fake.min() >= 0.0
    assert 0.28 < fake.max() <= 0.3
    assert losses.labels("real", 2, soft=False, generator=draws).tolist() == [[1.0], [1.0]]
    assert losses.labels("fake", 2, soft=False, generator=draws).tolist() == [[0.0], [0.0]]


def test_local_correlation() -> None:
    rng = torch.Generator().manual_seed(0)
    pan = torch.randn((1, 1, 16, 16), generator=rng)
    assert losses.local_correlation(3.0 * pan + 5.0, pan, 5).item() == pytest.approx(0.0, abs=1e-4)
    assert losses.local_correlation(-pan, pan, 5).item() == pytest.approx(2.0, abs=1e-4)


def test_weighted_leaves_out_what_weighs_nothing() -> None:
    nan = torch.tensor(float("nan"))
    assert losses.weighted([(2.0, torch.tensor(3.0)), (0.0, nan)]).item() == 6.0


def test_the_two_forms_of_pan_gan() -> None:
    paper, released = losses.TERMS["paper"], losses.TERMS["released"]
    assert (paper.detail, paper.spectral_adversary, paper.spatial_adversary) == (5.0, 0.002, 0.001)
    assert (paper.spectral_at, paper.detail_by, paper.soft) == ("coarse", "gradient", True)
    assert (released.detail, released.spectral_adversary, released.spatial_adversary) == (5.0, 1.0, 5.0)
    assert (released.spectral_at, released.detail_by, released.soft) == ("fine", "laplacian", False)


def test_discriminators_give_one_score_per_patch() -> None:
    assert SpatialDiscriminator(128)(torch.zeros(3, 1, 128, 128)).shape == (3, 1)
    assert SpectralDiscriminator(4, 32)(torch.zeros(2, 4, 32, 32)).shape == (2, 1)
    assert SpectralDiscriminator(1, 20)(torch.zeros(5, 1, 20, 20)).shape == (5, 1)
