"""The canvas, the noise all materials share, and the few strokes everything is painted with."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import AxisMap, Slices, cubic_taps
from geofuse.landscape.materials import Spectrum

Plane = NDArray[np.float32]
Outline = NDArray[np.float64]
Rng = np.random.Generator
Spot = tuple[float, float]

SUN = (0.80, 0.60)
"""Direction towards the sun, rows and columns: from the lower right."""
STRIP_ROWS = 64
"""Rows painted at a time: their temporaries stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Noise:
    """Fields of zero mean and about unit deviation (N, N)."""

    fine: Plane
    """Pixel to pixel."""
    middle: Plane
    """Over a few pixels."""
    broad: Plane
    """Over a part of a field."""


@dataclass(frozen=True, slots=True)
class LandLayout:
    """Where the lines of the landscape run, as a row for each column or a column for each row (N,)."""

    size: int
    """N."""
    river: Plane
    """Row of the river's middle at each column."""
    river_half: Plane
    """Half its width, px, at each column."""
    highway: Plane
    """Row of the main road at each column."""
    byway: Plane
    """Column of the second road at each row."""
    centre: Spot
    """Where the two roads meet, and the village stands."""
    radius: float
    """The village's, px."""


@dataclass(frozen=True, slots=True)
class Land:
    """The canvas, painted in place."""

    light: Plane
    """Reflectance (B, N, N)."""
    height: Plane
    """What stands on the ground, px (N, N)."""
    taken: Plane
    """1 where nothing may grow or be built (N, N)."""
    wood: Plane
    """Chance that a place for a tree has one (N, N)."""


def strips(size: int) -> Iterator[Slices]:
    """Yield the windows, from the top, in which a whole image is painted."""
    for row in range(0, size, STRIP_ROWS):
        yield slice(row, min(size, row + STRIP_ROWS)), slice(0, size)


def smooth_noise(rng: Rng, size: int, scale_px: float) -> Plane:
    """Return noise (N, N) whose grain is `scale_px`."""
    count = math.ceil(size / scale_px) + 4
    taps = cubic_taps(AxisMap(1.0 / scale_px, 1.5), 0, size)
    spread = np.zeros((size, count), np.float32)
    np.put_along_axis(spread, taps.first[:, None] + np.arange(4), taps.weights, axis=1)
    knots = np.float32(1.3) * rng.standard_normal((count, count), dtype=np.float32)
    return np.asarray(spread @ knots @ spread.T, dtype=np.float32)


def step(x: NDArray[Any], low: float, high: float) -> Plane:
    """Return a smooth step from 0 at `low` to 1 at `high`."""
    t = np.clip((x - np.float32(low)) * np.float32(1.0 / (high - low)), np.float32(0.0), np.float32(1.0))
    return np.asarray(t * t * (np.float32(3.0) - np.float32(2.0) * t), dtype=np.float32)


def lay(land: Land, cover: NDArray[Any], spectrum: Spectrum, *, at: Slices, shade: Any = 1.0) -> None:
    """Cover a window of the ground with a material, as thickly as `cover` says."""
    cover, shade = np.asarray(cover, np.float32), np.asarray(shade, np.float32)
    for band in range(land.light.shape[0]):
        ground = land.light[band][at]
        ground += cover * (np.float32(spectrum[band]) * shade - ground)


def window(size: int, middle: Spot, reach: float) -> tuple[Slices, Plane, Plane]:
    """Return the part of the image around a place, and each pixel's rows and columns from it."""
    (r0, r1), (c0, c1) = (
        np.clip((math.floor(m - reach), math.ceil(m + reach) + 1), 0, size).tolist() for m in middle
    )
    dy = np.arange(r0, r1, dtype=np.float32)[:, None] - np.float32(middle[0])
    dx = np.arange(c0, c1, dtype=np.float32)[None, :] - np.float32(middle[1])
    return (slice(r0, r1), slice(c0, c1)), dy, dx


def block(
    size: int, middle: Spot, sides: tuple[float, float], degrees: float
) -> tuple[Slices, Plane, Plane, Plane]:
    """Return a turned rectangle: its window, the distance outside it, each pixel's place along and across."""
    cos, sin = np.float32(math.cos(math.radians(degrees))), np.float32(math.sin(math.radians(degrees)))
    at, dy, dx = window(size, middle, 0.5 * math.hypot(*sides) + 4.0)
    u, v = cos * dx + sin * dy, cos * dy - sin * dx
    outside = np.maximum(np.abs(u) - np.float32(sides[0] / 2.0), np.abs(v) - np.float32(sides[1] / 2.0))
    return at, outside, u, v


def beside(place: Spot, heading: float, away: float) -> Spot:
    """Return the place `away` px to the right of one who looks from `place` along `heading`, degrees."""
    turn = math.radians(heading)
    return place[0] + away * math.cos(turn), place[1] - away * math.sin(turn)


def stations(points: Outline, spacing: float, rng: Rng) -> Iterator[tuple[Spot, float]]:
    """Walk along a line (K, 2) in about equal steps: yield places and the heading there, degrees."""
    ways = np.diff(points, axis=0)
    lengths = np.hypot(ways[:, 0], ways[:, 1])
    run = np.concatenate([[0.0], np.cumsum(lengths)])
    at = rng.uniform(0.3, 1.0) * spacing
    while at < run[-1]:
        k = int(np.searchsorted(run, at, side="right")) - 1
        share = (at - run[k]) / lengths[k]
        yield (
            (float(points[k, 0] + share * ways[k, 0]), float(points[k, 1] + share * ways[k, 1])),
            math.degrees(math.atan2(ways[k, 0], ways[k, 1])),
        )
        at += spacing * rng.uniform(0.9, 1.25)


def either(rng: Rng) -> float:
    """Return 1 or -1."""
    return 1.0 if rng.random() < 0.5 else -1.0
