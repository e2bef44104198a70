"""What a generator learns from: pairs whose fusion is known, on disk as safetensors, and what is drawn at a step.

What is drawn depends on seed and step alone, so that a run that was killed goes on with what it would have seen.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofuse.errors import WeightsError
from geofuse.files import write_bytes
from geofuse.nets.arch.base import plain

PLANES = ("common", "own", "wanted", "base", "pan")
FORMAT = 1


@dataclass(frozen=True, slots=True)
class PairFacts:
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
class TrainingPair:
    """A window of a scene with a truth; values in units of each band's scale."""

    about: PairFacts
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
    about: PairFacts,
    *,
    inputs: tuple[NDArray[Any], NDArray[Any]],
    truth: NDArray[Any],
    base: NDArray[Any],
    pan: NDArray[Any],
    usable: NDArray[np.bool_],
    levels: tuple[NDArray[Any], NDArray[Any]],
) -> TrainingPair:
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
    return TrainingPair(
        about,
        **dict(zip(PLANES, half, strict=True)),
        usable=torch.from_numpy(usable.copy()),
        scale=torch.from_numpy(scale),
        mean=torch.from_numpy(mean),
        missed=torch.from_numpy(np.maximum(missed, 1e-6).astype(np.float32)),
    )


def save_pair(path: Path, pair: TrainingPair) -> None:
    """Write a pair as safetensors, whole or not at all."""
    from safetensors.torch import save

    tensors = {
        name: getattr(pair, name).contiguous() for name in (*PLANES, "usable", "scale", "mean", "missed")
    }
    text = json.dumps({"format": FORMAT, **asdict(pair.about)}, sort_keys=True)
    write_bytes(path, save(tensors, {"pair": text}))


def load_pair(path: Path) -> TrainingPair:
    """Read a pair; WeightsError where the file is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as opened:
            values = json.loads((opened.metadata() or {})["pair"])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
        if values.pop("format") != FORMAT:
            raise KeyError("format")
        shifts = tuple((float(dy), float(dx)) for dy, dx in values.pop("shifts_px"))
        return TrainingPair(PairFacts(**plain(values), shifts_px=shifts), **tensors)
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise WeightsError(f"no training pair ({error})", wanted="one made here", path=str(path)) from error


def digest(pair: TrainingPair) -> str:
    """Return a SHA-256 over a pair's pixels and what is known of it."""
    total = hashlib.sha256(json.dumps(asdict(pair.about), sort_keys=True).encode())
    for name in PLANES:
        total.update(getattr(pair, name).numpy().tobytes())
    return total.hexdigest()


def renamed(pair: TrainingPair, **about: Any) -> TrainingPair:
    """Return a pair with other facts about it, such as its share."""
    return replace(pair, about=replace(pair.about, **about))
