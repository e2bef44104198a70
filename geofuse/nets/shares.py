"""The gate: how much of a network's part a scene's own hold-out lets through, per band; none where it does not help.

The product is base + share x (network - base), with ridge + back-projection as the base: back-projection is linear,
so this is the network's residual times the share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_GAIN = 0.001
"""Relative gain in ERGAS under which a network is not worth its time."""
LEAST_BLOCKS = 4
"""Blocks under which chance would decide: then nothing is let through."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the hold-out says of a network on a scene."""

    shares: tuple[float, ...]
    """Share of the network's residual that each band gets, 0 to 1."""
    gain: float
    """1 - ERGAS with the shares over ERGAS of the base, each block judged with shares from the others."""
    used: bool
    """False: the base is the product."""
    base_rmse: tuple[float, ...]
    """Per band, of the base."""
    rmse: tuple[float, ...]
    """Per band, with shares from the other blocks; the base's where it is the product."""
    blocks: int
    """Blocks that were judged."""


def block_sums(
    truth: NDArray[Any], base: NDArray[Any], fused: NDArray[Any], judged: NDArray[np.bool_], side_px: int
) -> NDArray[np.float64]:
    """Sum per block of `side_px` and band: pixels, e.e, e.d, d.d; e = truth - base, d = fused - base: (n, B, 4).

    Images (B, H, W), `judged` (H, W); blocks in which less than half is judged are left out.
    """
    bands, height, width = truth.shape
    found = []
    for top in range(0, max(1, height - side_px // 2), side_px):
        for left in range(0, max(1, width - side_px // 2), side_px):
            at = slice(top, min(top + side_px, height)), slice(left, min(left + side_px, width))
            ok = judged[at]
            if 2 * ok.sum() < ok.size:
                continue
            missed = truth[:, *at][:, ok].astype(np.float64) - base[:, *at][:, ok]
            added = fused[:, *at][:, ok].astype(np.float64) - base[:, *at][:, ok]
            sums = [(missed**2).sum(1), (missed * added).sum(1), (added**2).sum(1)]
            found.append(np.stack([np.full(bands, float(ok.sum())), *sums], axis=1))
    return np.array(found).reshape(-1, bands, 4)


def judge(sums: NDArray[np.float64], means: Sequence[float] | None = None) -> Verdict:
    """Decide from `block_sums` (n, B, 4) of held-out blocks, and the bands' means for ERGAS (None: all alike).

    A band's share is the least-squares one within 0 to 1. Each block is judged with the shares the other blocks
    give; a band that does not gain so gets none. Source: Stone 1974, J. R. Stat. Soc. B 36(2).
    """
    blocks, bands = sums.shape[0], sums.shape[1]
    whole = sums.sum(axis=0)
    pixels = np.maximum(whole[:, 0], 1.0)
    base = whole[:, 1] / pixels
    level = np.maximum(np.abs(np.asarray(means if means is not None else np.ones(bands))), 1e-12)
    if blocks < LEAST_BLOCKS or not np.all(np.isfinite(sums)):
        rmse = tuple(np.sqrt(base).tolist())
        return Verdict((0.0,) * bands, 0.0, False, rmse, rmse, blocks)
    others = whole - sums
    left_out = _share(others)
    errors = (sums[..., 1] - 2.0 * left_out * sums[..., 2] + left_out**2 * sums[..., 3]).sum(axis=0) / pixels
    shares = np.where(errors < base, _share(whole), 0.0)
    mse = np.where(shares > 0.0, np.maximum(errors, 0.0), base)
    score = np.sqrt(np.mean(base / level**2))
    gain = 1.0 - float(np.sqrt(np.mean(mse / level**2)) / score) if score else 0.0
    used = gain >= LEAST_GAIN
    kept = np.round(shares, 4) if used else np.zeros(bands)
    return Verdict(
        tuple(kept.tolist()),
        gain,
        used,
        tuple(np.sqrt(base).tolist()),
        tuple(np.sqrt(np.maximum(mse if used else base, 0.0)).tolist()),
        blocks,
    )


def _share(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.clip(sums[..., 2] / np.maximum(sums[..., 3], 1e-300), 0.0, 1.0))
