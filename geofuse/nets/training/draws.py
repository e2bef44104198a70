"""What a step learns from: crops of pairs, drawn by seed and step alone, so that a killed run goes on alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofuse.errors import WeightsError
from geofuse.geometry import AxisMap
from geofuse.nets.operators import Operators, operators
from geofuse.nets.training.data import TrainingPair


class Draw(NamedTuple):
    """Which part of which pair, and of which bands."""

    pair: int
    """Index of the pair."""
    bands: tuple[int, ...]
    """Which bands."""
    places: tuple[tuple[int, int], ...]
    """First coarse row and column of each crop, its halo included."""


class Batch(NamedTuple):
    """What a step learns from."""

    common: Tensor
    """(N, Cc, c + 2k, c + 2k)."""
    own: Tensor
    """(N, B, Cb, c + 2k, c + 2k)."""
    wanted: Tensor
    """(N, B, R c, R c)."""
    base: Tensor
    """(N, B, R c, R c)."""
    pan: Tensor
    """(N, 1, R c, R c)."""
    missed: Tensor
    """(B,)."""
    mean: Tensor
    """Band means in units of the bands' scales (B,)."""
    operators: Operators
    """D and U between the crops' two grids."""


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where crops of one size may be taken from each pair."""

    crop_cpx: int
    """Side of a crop without its halo."""
    halo_cpx: int
    """Halo."""
    allowed: tuple[NDArray[np.int64], ...]
    """(n, 2) first rows and columns, for each pair."""
    shares: NDArray[np.float64]
    """Chance of each pair; sums to 1."""


def places_in(
    pairs: Sequence[TrainingPair], crop_cpx: int, halo_cpx: int, *, chosen: Sequence[NDArray[np.int64]] = ()
) -> Places:
    """Find where crops fit that are usable all over; `chosen` (n, 2) for each pair: these only.

    WeightsError where there is none.
    """
    found = []
    side = crop_cpx + 2 * halo_cpx
    for at, pair in enumerate(pairs):
        height, width = pair.size_cpx
        if chosen:
            found.append(np.asarray(chosen[at], np.int64).reshape(-1, 2))
            continue
        if min(height, width) < side:
            found.append(np.zeros((0, 2), np.int64))
            continue
        holes = np.pad(np.cumsum(np.cumsum(~pair.usable.numpy(), 0), 1), ((1, 0), (1, 0)))
        bad = holes[side:, side:] - holes[:-side, side:] - holes[side:, :-side] + holes[:-side, :-side]
        found.append(np.argwhere(bad == 0))
    weights = np.array([pair.about.share * bool(len(own)) for pair, own in zip(pairs, found, strict=True)])
    if not weights.sum():
        raise WeightsError(
            f"no usable patch of {side} x {side} MS pixels in {len(pairs)} windows",
            wanted="larger clear windows",
            do="choose a smaller crop, or other scenes",
        )
    return Places(crop_cpx, halo_cpx, tuple(found), weights / weights.sum())


def draw(
    pairs: Sequence[TrainingPair], places: Places, *, seed: int, step: int, batch: int, bands: int
) -> Draw:
    """Say what step number ``step`` learns from: one pair, `bands` of its bands at most, `batch` crops."""
    rng = np.random.default_rng((seed, step))
    at = int(rng.choice(len(pairs), p=places.shares))
    count = len(pairs[at].about.bands)
    chosen = range(count) if count <= bands else sorted(rng.choice(count, bands, replace=False).tolist())
    spots = places.allowed[at][rng.integers(len(places.allowed[at]), size=batch)]
    return Draw(at, tuple(chosen), tuple((int(row), int(col)) for row, col in spots))


def batch_of(pairs: Sequence[TrainingPair], places: Places, crop: Draw) -> Batch:
    """Cut what was drawn, float32."""
    pair, k, side = pairs[crop.pair], places.halo_cpx, places.crop_cpx
    ratio, bands = pair.about.ratio, list(crop.bands)

    def coarse(planes: Tensor, row: int, col: int) -> Tensor:
        return planes[..., row : row + side + 2 * k, col : col + side + 2 * k].float()

    def fine(planes: Tensor, row: int, col: int) -> Tensor:
        top, left = (row + k) * ratio, (col + k) * ratio
        return planes[..., top : top + side * ratio, left : left + side * ratio].float()

    own, wanted, base = pair.own[bands], pair.wanted[bands], pair.base[bands]
    return Batch(
        torch.stack([coarse(pair.common, *place) for place in crop.places]),
        torch.stack([coarse(own, *place) for place in crop.places]),
        torch.stack([fine(wanted, *place) for place in crop.places]),
        torch.stack([fine(base, *place) for place in crop.places]),
        torch.stack([fine(pair.pan, *place) for place in crop.places]),
        pair.missed[bands],
        (pair.mean / pair.scale)[bands],
        operators_of(pair, bands, (side, side)),
    )


def operators_of(pair: TrainingPair, bands: Sequence[int], size_cpx: tuple[int, int]) -> Operators:
    """Build D and U of some bands over any part of a pair of that size: all parts are alike, the ratio is whole."""
    ratio, (rows, cols) = pair.about.ratio, size_cpx
    axes = (AxisMap(1.0 / ratio, pair.about.offsets[0]), AxisMap(1.0 / ratio, pair.about.offsets[1]))
    return operators(
        axes,
        [pair.about.gains[band] for band in bands],
        [pair.about.shifts_px[band] for band in bands],
        fine=(0, rows * ratio, 0, cols * ratio),
        coarse=(0, rows, 0, cols),
    )


def part_of(batch: Batch, rank: int, world: int) -> Batch:
    """Return the share of a batch that one of several processes works on."""
    own = slice(rank, None, world)
    return replace_crops(batch, own)


def replace_crops(batch: Batch, own: slice) -> Batch:
    """Return the batch with some of its crops only."""
    cut = {name: getattr(batch, name)[own] for name in ("common", "own", "wanted", "base", "pan")}
    return batch._replace(**cut)


def representative(
    pairs: Sequence[TrainingPair], crop_cpx: int, halo_cpx: int, *, count: int, seed: int
) -> list[NDArray[np.int64]]:
    """Choose patches that represent a scene: first rows and columns (n, 2) for each pair, about `count` in all.

    All usable patches, half a crop apart, are grouped by k-means over what they look like: mean and spread of each
    of the common planes of PAN's detail and of the bands' levels; of each group the same number is taken, those
    nearest to its middle first. Source of the idea: Ciotola et al. 2023, IEEE TGRS 61 (lambda-PNN).
    """
    from scipy.cluster.vq import kmeans2, whiten

    side, stride = crop_cpx + 2 * halo_cpx, max(1, crop_cpx // 2)
    spots, looks = [], []
    for at, allowed in enumerate(places_in(pairs, crop_cpx, halo_cpx).allowed):
        for row, col in allowed[(allowed % stride == 0).all(axis=1)]:
            part = (..., slice(row, row + side), slice(col, col + side))
            own, common = pairs[at].own[:, 0][part].float(), pairs[at].common[part].float()
            looks.append(
                np.array([own.mean(), own.std(), own.mean(0).std(), common.std(), common.abs().max()])
            )
            spots.append((at, int(row), int(col)))
    if len(spots) <= count:
        return [
            np.array([s[1:] for s in spots if s[0] == at], np.int64).reshape(-1, 2)
            for at in range(len(pairs))
        ]
    features = whiten(np.array(looks, np.float64) + 1e-9 * np.arange(len(looks))[:, None])
    groups = min(16, count)
    centres, group = kmeans2(features, groups, seed=seed, minit="++")
    away = np.linalg.norm(features - centres[group], axis=1)
    rank = np.empty(len(spots), np.int64)
    for number in range(groups):
        members = np.flatnonzero(group == number)
        rank[members[np.argsort(away[members], kind="stable")]] = np.arange(len(members))
    chosen = np.lexsort((group, rank))[:count]
    return [
        np.array([spots[k][1:] for k in sorted(chosen) if spots[k][0] == at], np.int64).reshape(-1, 2)
        for at in range(len(pairs))
    ]
