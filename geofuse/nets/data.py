"""What a generator learns from: pairs whose fusion is known, on disk as safetensors, and what is drawn at a step.

What is drawn depends on seed and step alone, so that a run that was killed goes on with what it would have seen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofuse.errors import WeightsError
from geofuse.files import write_bytes
from geofuse.geometry import AxisMap
from geofuse.nets.operators import Operators, operators

PLANES = ("common", "own", "wanted", "base", "pan")
FORMAT = 1


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a pair besides its pixels."""

    name: str
    """Which scene, which window."""
    origin: str
    """"simulated", "reduced" (a scene one scale down) or "camera" (a simulated camera before real pixels)."""
    ratio: int
    """Fine pixels per coarse pixel."""
    bands: tuple[str, ...]
    """Their names."""
    gains: tuple[float, ...]
    """MTF gain of each band."""
    shifts_px: tuple[tuple[float, float], ...]
    """Shift of each band."""
    offsets: tuple[float, float]
    """Coarse coordinate of the first fine pixel, rows and columns."""
    share: float = 1.0
    """How often it is drawn, against the others."""


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A window of a scene with a truth; values in units of each band's scale."""

    about: About
    """What it is."""
    common: Tensor
    """Inputs that all bands share (Cc, h, w), float16."""
    own: Tensor
    """Inputs of each band (B, Cb, h, w), float16."""
    wanted: Tensor
    """(truth - (ridge + bp)) / scale (B, R h, R w), float16: what the generator is to add."""
    base: Tensor
    """(ridge + bp - mean) / scale (B, R h, R w), float16."""
    pan: Tensor
    """(P - mean) / std (1, R h, R w), float16."""
    usable: Tensor
    """Coarse pixels that may be learnt from (h, w), bool."""
    scale: Tensor
    """Scale of each band (B,), float32."""
    mean: Tensor
    """Mean of each band (B,), float32."""
    missed: Tensor
    """Root mean square of `wanted` (B,), float32: what is to be beaten."""

    @property
    def size_cpx(self) -> tuple[int, int]:
        """Rows and columns of coarse pixels."""
        return int(self.common.shape[1]), int(self.common.shape[2])


def make_pair(
    about: About,
    *,
    inputs: tuple[NDArray[Any], NDArray[Any]],
    truth: NDArray[Any],
    base: NDArray[Any],
    pan: NDArray[Any],
    usable: NDArray[np.bool_],
    levels: tuple[NDArray[Any], NDArray[Any]],
) -> Pair:
    """Build a pair from inputs (common, own), truth and ridge + bp (B, R h, R w), scaled PAN, levels (scale, mean)."""
    scale, mean = (np.asarray(value, np.float32) for value in levels)
    step = scale[:, None, None]
    wanted = np.asarray((truth - base) / step, np.float32)
    fine = np.repeat(np.repeat(usable, about.ratio, 0), about.ratio, 1)
    missed = (
        np.sqrt(np.mean(np.square(wanted[:, fine], dtype=np.float64), axis=1)) if fine.any() else scale * 0
    )
    half = [
        torch.from_numpy(np.clip(plane, -6e4, 6e4).astype(np.float16))
        for plane in (*inputs, wanted, (base - mean[:, None, None]) / step, pan)
    ]
    return Pair(
        about,
        **dict(zip(PLANES, half, strict=True)),
        usable=torch.from_numpy(usable.copy()),
        scale=torch.from_numpy(scale),
        mean=torch.from_numpy(mean),
        missed=torch.from_numpy(np.maximum(missed, 1e-6).astype(np.float32)),
    )


def save_pair(path: Path, pair: Pair) -> None:
    """Write a pair as safetensors, whole or not at all."""
    from safetensors.torch import save

    tensors = {
        name: getattr(pair, name).contiguous() for name in (*PLANES, "usable", "scale", "mean", "missed")
    }
    text = json.dumps({"format": FORMAT, **asdict(pair.about)}, sort_keys=True)
    write_bytes(path, save(tensors, {"pair": text}))


def load_pair(path: Path) -> Pair:
    """Read a pair; WeightsError where the file is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as opened:
            values = json.loads((opened.metadata() or {})["pair"])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
        if values.pop("format") != FORMAT:
            raise KeyError("format")
        shifts = tuple((float(dy), float(dx)) for dy, dx in values.pop("shifts_px"))
        lists: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return Pair(About(**lists, shifts_px=shifts), **tensors)
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise WeightsError(f"no training pair ({error})", wanted="one made here", path=str(path)) from error


def digest(pair: Pair) -> str:
    """Return a SHA-256 over a pair's pixels and what is known of it."""
    total = hashlib.sha256(json.dumps(asdict(pair.about), sort_keys=True).encode())
    for name in PLANES:
        total.update(getattr(pair, name).numpy().tobytes())
    return total.hexdigest()


class Crop(NamedTuple):
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
    pairs: Sequence[Pair], crop_cpx: int, halo_cpx: int, *, chosen: Sequence[NDArray[np.int64]] = ()
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


def draw(pairs: Sequence[Pair], places: Places, *, seed: int, step: int, batch: int, bands: int) -> Crop:
    """Say what step number ``step`` learns from: one pair, `bands` of its bands at most, `batch` crops."""
    rng = np.random.default_rng((seed, step))
    at = int(rng.choice(len(pairs), p=places.shares))
    count = len(pairs[at].about.bands)
    chosen = range(count) if count <= bands else sorted(rng.choice(count, bands, replace=False).tolist())
    spots = places.allowed[at][rng.integers(len(places.allowed[at]), size=batch)]
    return Crop(at, tuple(chosen), tuple((int(row), int(col)) for row, col in spots))


def batch_of(pairs: Sequence[Pair], places: Places, crop: Crop) -> Batch:
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


def operators_of(pair: Pair, bands: Sequence[int], size_cpx: tuple[int, int]) -> Operators:
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


def renamed(pair: Pair, **about: Any) -> Pair:
    """Return a pair with other facts about it, such as its share."""
    return replace(pair, about=replace(pair.about, **about))


def representative(
    pairs: Sequence[Pair], crop_cpx: int, halo_cpx: int, *, count: int, seed: int
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
