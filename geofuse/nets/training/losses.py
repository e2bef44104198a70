"""What networks are trained for: errors against a truth, consistency, detail, and two adversaries.

All take batches (N, B, H, W) and return one number. What is measured in units of a band's own scale says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

BLOCK = 32
"""Side of the blocks of Q2n."""
EDGE_LAPLACIAN = ((-1.0, -1.0, -1.0), (-1.0, 8.0, -1.0), (-1.0, -1.0, -1.0))
"""The 8-neighbour high pass of the released code."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Pan-GAN's terms and weights, one form of them."""

    name: str
    """As in a configuration."""
    source: str
    """Where they are from."""
    spectral: float
    """Weight of the spectral consistency."""
    spectral_at: str
    """"coarse": D(F) against M; "fine": F against U(M)."""
    detail: float
    """Weight of the detail term: mean of the bands against PAN."""
    detail_by: str
    """"gradient" or "laplacian"."""
    spectral_adversary: float
    """Weight of the spectral discriminator's verdict."""
    spatial_adversary: float
    """Weight of the spatial discriminator's verdict."""
    soft: bool
    """Soft labels: real .7 to 1.2, fake 0 to .3; else 1 and 0."""
    optimiser: str
    """"rmsprop" (decay .99) or "adamw"."""
    rate: float
    """Learning rate."""
    matched: bool = False
    """PAN is brought to the bands' mean in level and spread, as its low-passed self compares with them, before its
    detail is asked for; else both are compared as scaled."""


PAPER = Terms(
    "paper",
    "Ma, Yu, Chen, Liang, Guo and Jiang 2020, Information Fusion 62, eq. 3-10: alpha .002, beta .001, mu 5",
    spectral=1.0,
    spectral_at="coarse",
    detail=5.0,
    detail_by="gradient",
    spectral_adversary=0.002,
    spatial_adversary=0.001,
    soft=True,
    optimiser="rmsprop",
    rate=1e-4,
)
RELEASED = Terms(
    "released",
    "the authors' published code: 5 adv_spatial + adv_spectral + 5 high pass + spectral at PAN's scale",
    spectral=1.0,
    spectral_at="fine",
    detail=5.0,
    detail_by="laplacian",
    spectral_adversary=1.0,
    spatial_adversary=5.0,
    soft=False,
    optimiser="rmsprop",
    rate=1e-4,
)
MATCHED = Terms(
    "matched",
    "the paper's terms; PAN matched to the bands' mean before its gradient is asked for; AdamW",
    spectral=1.0,
    spectral_at="coarse",
    detail=5.0,
    detail_by="gradient",
    spectral_adversary=0.002,
    spatial_adversary=0.001,
    soft=True,
    optimiser="adamw",
    rate=1e-3,
    matched=True,
)
TERMS = {terms.name: terms for terms in (PAPER, RELEASED, MATCHED)}


def error(residual: Tensor, base: Tensor, kind: str) -> Tensor:
    """Return the size of an error (N, B, H, W) in units of what is to be beaten, `base` (B,) or (N, B).

    "l1", "l2", "huber" (both: squared below 1). 1 is as bad as what is to be beaten, for "l2" exactly.
    """
    relative = residual / base.reshape(-1, residual.shape[1], 1, 1)
    if kind == "l1":
        return relative.abs().mean()
    if kind == "l2":
        return relative.square().mean()
    if kind == "huber":
        return functional.smooth_l1_loss(relative, torch.zeros_like(relative))
    raise ValueError(f"no error called {kind!r}")


def ergas(residual: Tensor, mean: Tensor, ratio: float) -> Tensor:
    """Return ERGAS of an error (N, B, H, W) against band means (B,), pooled over the batch.

    Source: Wald 2000, Fusion of Earth Data, p. 99: 100 / R sqrt(mean_b(MSE_b / mean_b^2)).
    """
    mse = residual.square().mean(dim=(0, 2, 3))
    return 100.0 / ratio * (mse / mean.square()).mean().clamp_min(1e-24).sqrt()


def one_minus_q2n(fused: Tensor, truth: Tensor, signs: Tensor) -> Tensor:
    """Return 1 - Q2n, mean over disjoint 32 x 32 blocks; ``signs`` (K, K) of the algebra, K = 2^n >= B.

    Differentiable; the same number as `methods.quality_index.q2n`. Source: Garzelli and Nencini 2009, IEEE GRSL 6(4).
    """
    bands, units = truth.shape[1], signs.shape[0]
    x, y = _blocks(truth), _blocks(fused)  # (n, B, 1024)
    count = x.shape[-1] - 1
    mean_x, mean_y = x.mean(-1, keepdim=True), y.mean(-1, keepdim=True)
    dx, dy = x - mean_x, y - mean_y
    step = (dx.square().sum(-1, keepdim=True) / count).clamp_min(1e-12).sqrt()
    dx, dy = dx / step, dy / step
    cross = functional.pad(dx @ dy.mT / count, (0, units - bands, 0, units - bands))  # (n, K, K)
    i = torch.arange(units, device=truth.device)[:, None]
    j = i ^ torch.arange(units, device=truth.device)
    conjugated = torch.where(torch.arange(units, device=truth.device) == 0, 1.0, -1.0)
    hyper = (cross[:, i, j] * (signs.to(cross) * conjugated)[i, j]).sum(1)
    spread = (dx.square().sum((1, 2)) + dy.square().sum((1, 2))) / count
    level = ((mean_y - mean_x) / step + 1.0).square().sum((1, 2)) + (units - bands)
    bias = 2.0 * (units * level).sqrt() / (units + level)
    size = hyper.square().sum(1).clamp_min(1e-24).sqrt()
    return 1.0 - (2.0 * size / spread.clamp_min(1e-12) * bias).mean()


def _blocks(image: Tensor) -> Tensor:
    bands = image.shape[1]
    parts = image.unfold(2, BLOCK, BLOCK).unfold(3, BLOCK, BLOCK)  # (N, B, r, c, 32, 32)
    return parts.permute(0, 2, 3, 1, 4, 5).reshape(-1, bands, BLOCK * BLOCK)


def detail(fused: Tensor, pan: Tensor, by: str) -> Tensor:
    """Return the mean squared difference of the bands' mean's detail and PAN's (N, 1, H, W).

    "gradient": forward differences along both axes, added (Pan-GAN's paper, eq. 9); "laplacian": the 8-neighbour
    high pass (its released code).
    """
    apart = fused.mean(dim=1, keepdim=True) - pan
    if by == "gradient":
        across = (apart[..., :, 1:] - apart[..., :, :-1]).square().mean()
        return across + (apart[..., 1:, :] - apart[..., :-1, :]).square().mean()
    kernel = torch.tensor(EDGE_LAPLACIAN, dtype=apart.dtype, device=apart.device)[None, None]
    return functional.conv2d(apart, kernel).square().mean()


def labels(kind: str, count: int, *, soft: bool, generator: torch.Generator) -> Tensor:
    """Return what a discriminator's verdicts (N, 1) are compared with: "real" or "fake", hard or soft."""
    low, high = {("real", True): (0.7, 1.2), ("fake", True): (0.0, 0.3)}.get(
        (kind, soft), (1.0, 1.0) if kind == "real" else (0.0, 0.0)
    )
    return low + (high - low) * torch.rand((count, 1), generator=generator)


def verdict(score: Tensor, wanted: Tensor) -> Tensor:
    """Return the least-squares adversarial loss of scores (N, 1). Source: Mao et al. 2017, ICCV."""
    return (score - wanted.to(score)).square().mean()


def local_correlation(first: Tensor, second: Tensor, side: int) -> Tensor:
    """Return 1 - the mean local correlation of images (N, B, H, W) and (N, 1 or B, H, W) in windows of `side`.

    Source: Ciotola, Vitale, Mazza, Poggi and Scarpa 2022, IEEE TGRS 60 (Z-PNN), the structural term.
    """

    def mean(x: Tensor) -> Tensor:
        return functional.avg_pool2d(x, side, 1)

    mean_x, mean_y = mean(first), mean(second)
    cov = mean(first * second) - mean_x * mean_y
    var = (mean(first.square()) - mean_x.square()) * (mean(second.square()) - mean_y.square())
    return 1.0 - (cov / var.clamp_min(1e-12).sqrt()).mean()


def weighted(terms: Sequence[tuple[float, Tensor]]) -> Tensor:
    """Return the weighted sum of losses; those of weight 0 are left out."""
    return torch.stack([weight * value for weight, value in terms if weight]).sum()
