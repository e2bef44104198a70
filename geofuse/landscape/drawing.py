"""The whole drawing: where things lie, water, trees, light and shadow, air."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from geofuse.errors import UsageError
from geofuse.geometry import Slices
from geofuse.landscape.canvas import (
    SUN,
    Land,
    LandLayout,
    Noise,
    Plane,
    Rng,
    lay,
    smooth_noise,
    step,
    strips,
)
from geofuse.landscape.fields import plant_gardens, plough
from geofuse.landscape.materials import (
    BANDS,
    DEEP,
    HAZE,
    LEAF,
    MEADOW,
    NEEDLE,
    SHALLOW,
    SKYLIGHT,
    SOIL,
    YELLOWISH,
)
from geofuse.landscape.village import build, park_cars, pave

DN_MAX = 2047.0
DN_PER_REFLECTANCE = 3300.0
SUN_TAN = 1.15
"""Tangent of the sun's elevation."""
TREE_SPACING_PX = 5.0


def make_truth(size: int, *, rng: Rng, bands: int = 4) -> Plane:
    """Draw a landscape of size x size pixels: float32 DN (B, N, N) in 1..2047, bands as in `BANDS`.

    The same generator state gives the same landscape. Raises UsageError for a size under 32 or another band
    count than 1 to 8.
    """
    if size < 32 or not 1 <= bands <= len(BANDS):
        raise UsageError(f"{size} px, {bands} bands", wanted=f"32 px or more, 1 to {len(BANDS)} bands")
    noise = Noise(_grain(rng, size), smooth_noise(rng, size, 7.0), smooth_noise(rng, size, 75.0))
    layout = _lay_out(rng, size)
    blank = [np.zeros((size, size), np.float32) for _ in range(3)]
    land = Land(np.empty((bands, size, size), np.float32), *blank)
    plough(land, layout, noise, rng)
    plant_gardens(land, layout, noise, rng)
    for at in strips(size):
        _fill_water(land, layout, noise, at)
    roads = pave(land, layout, noise, rng)
    build(land, layout, noise, roads, rng)
    _plant(land, noise, rng)
    park_cars(land, roads, rng)
    for at in strips(size):
        _cast_shadows(land, at)
    return _through_air(land, noise, rng)


def _lay_out(rng: Rng, size: int) -> LandLayout:
    t = np.arange(size, dtype=np.float64) / size
    phase = rng.uniform(0.0, 2.0 * math.pi, 4)
    tilt = rng.uniform(-0.12, 0.12, 2)
    highway = 0.60 + tilt[0] * (t - 0.5) + 0.035 * np.sin(2.0 * math.pi * t / 1.1 + phase[0])
    river = 0.20 - tilt[0] * (t - 0.5) + 0.050 * np.sin(2.0 * math.pi * t / 0.62 + phase[1])
    river += 0.018 * np.sin(2.0 * math.pi * t / 0.23 + phase[2])
    byway = rng.uniform(0.36, 0.64) + tilt[1] * (t - 0.5) + 0.03 * np.sin(2.0 * math.pi * t / 0.9 + phase[3])
    half = np.clip(0.011 * size, 3.0, 19.0) * (1.0 + 0.25 * np.sin(2.0 * math.pi * t / 0.37 + phase[0]))
    if rng.random() < 0.5:
        highway, river = 1.0 - highway, 1.0 - river
    column = float(byway[size // 2])
    for _ in range(3):  # where the roads meet: each nearly straight, so a few steps find it
        row = float(np.interp(column, t, highway))
        column = float(np.interp(row, t, byway))
    lines = [(line * size).astype(np.float32) for line in (river, highway, byway)]
    return LandLayout(
        size, lines[0], half.astype(np.float32), lines[1], lines[2], (row * size, column * size), 0.17 * size
    )


def _grain(rng: Rng, size: int) -> Plane:
    return np.float32(1.75) * _soften(rng.standard_normal((size, size), dtype=np.float32), 0.18)


def _soften(plane: Plane, side: float) -> Plane:
    """Blur with the taps (side, 1 - 2 side, side) both ways, edges repeated."""
    out = np.empty_like(plane)
    w = np.float32(side)
    last = plane.shape[0]
    for rows, _ in strips(last):
        take = np.clip(np.arange(rows.start - 1, rows.stop + 1), 0, last - 1)
        part = np.pad(plane[take], ((0, 0), (1, 1)), mode="edge")
        down = part[1:-1] + w * (part[:-2] + part[2:] - 2.0 * part[1:-1])
        out[rows] = down[:, 1:-1] + w * (down[:, :-2] + down[:, 2:] - 2.0 * down[:, 1:-1])
    return out


def _fill_water(land: Land, layout: LandLayout, noise: Noise, at: Slices) -> None:
    middle, broad = noise.middle[at], noise.broad[at]
    slope = np.gradient(layout.river)
    across = np.abs(np.arange(at[0].start, at[0].stop, dtype=np.float32)[:, None] - layout.river[None, :])
    across *= (1.0 / np.sqrt(1.0 + slope * slope)).astype(np.float32)[None, :]
    edge = across + np.float32(0.9) * middle + np.float32(2.0) * broad - layout.river_half[None, :]
    if edge.min() > 16.0:
        return
    lay(land, 0.9 * (1.0 - step(edge, 3.0, 9.0)), MEADOW, shade=0.75 + 0.05 * middle, at=at)
    lay(land, 0.8 * (1.0 - step(edge, 0.5, 2.6)), SOIL, shade=1.05, at=at)
    water = np.clip(0.5 - edge, 0.0, 1.0)
    lay(land, water, SHALLOW, at=at)
    deep = 1.0 - step(edge + 0.8 * broad, -8.0, -1.0)
    lay(land, water * deep, DEEP, shade=1.0 + 0.02 * middle + 0.02 * noise.fine[at], at=at)
    bank = (1.0 - step(np.abs(edge - 8.0), 3.0, 7.0)) * step(broad + middle, -0.9, 0.3)
    np.maximum(land.wood[at], np.where(edge < 16.0, 0.85 * bank, 0.0), out=land.wood[at])
    np.maximum(land.taken[at], edge < 1.5, out=land.taken[at])


def _plant(land: Land, noise: Noise, rng: Rng) -> None:
    """Trees where the wood plane wants them: round crowns, each of its own size and tint."""
    size = land.height.shape[0]
    spots = np.arange(0.0, size, TREE_SPACING_PX)
    row, col = (axis.ravel() for axis in np.meshgrid(spots, spots, indexing="ij"))
    row = np.clip(row + rng.uniform(0.0, TREE_SPACING_PX, row.size), 0, size - 1).astype(np.int64)
    col = np.clip(col + rng.uniform(0.0, TREE_SPACING_PX, col.size), 0, size - 1).astype(np.int64)
    grows = (rng.random(row.size) < land.wood[row, col]) & (land.taken[row, col] < 0.5)
    crown, own = _crowns(size, row[grows], col[grows], rng)
    for at in strips(size):
        _paint_trees(land, noise, crown, own, at)
    np.maximum(land.height, crown, out=land.height)


def _paint_trees(land: Land, noise: Noise, crown: Plane, own: Plane, at: Slices) -> None:
    top, broad, middle = crown[at], noise.broad[at], noise.middle[at]
    wood = step(land.wood[at], 0.5, 0.7) * (1.0 - land.taken[at])
    lay(land, 0.6 * wood, LEAF, shade=0.75, at=at)
    rows = np.arange(at[0].start, at[0].stop)
    up, down = crown[np.maximum(rows - 1, 0)], crown[np.minimum(rows + 1, crown.shape[0] - 1)]
    slope_x = np.zeros_like(top)
    slope_x[:, 1:-1] = 0.5 * (top[:, 2:] - top[:, :-2])
    lit = 0.98 - 0.12 * (0.5 * (down - up) * np.float32(SUN[0]) + slope_x * np.float32(SUN[1]))
    tint = own[at]
    lit = np.clip(lit + 0.06 * noise.fine[at], 0.55, 1.35) * (0.74 + 0.5 * tint)
    stands = np.clip(top / 1.5, 0.0, 1.0)
    lay(land, stands, LEAF, shade=lit, at=at)
    lay(land, stands * step(0.3 * middle - broad + 0.8 * (tint - 0.5), -0.3, 0.5), NEEDLE, shade=lit, at=at)
    lay(land, stands * np.clip(2.5 * tint - 1.5, 0.0, 0.6), YELLOWISH, shade=lit, at=at)


def _crowns(size: int, row: NDArray[np.int64], col: NDArray[np.int64], rng: Rng) -> tuple[Plane, Plane]:
    """Stamp crowns: their height, px, and the tint of the tree on top (N, N)."""
    stack = np.zeros(
        size * size, np.int64
    )  # height in the upper bits, tint in the lower ten: one maximum does both
    tint = (np.clip(rng.normal(0.5, 0.17, row.size), 0.0, 0.999) * 1024.0).astype(np.int64)
    radius = np.clip(rng.gamma(8.0, 0.44, row.size), 1.6, 7.0)
    tall = rng.uniform(0.8, 1.2, row.size) * (2.0 + 1.15 * radius)
    group = np.round(2.0 * radius).astype(np.int64)
    for number in np.unique(group):
        reach = math.ceil(number / 2.0)
        dy, dx = (axis.ravel() for axis in np.mgrid[-reach : reach + 1, -reach : reach + 1])
        dome = 1.0 - (dy * dy + dx * dx) / (number / 2.0 + 0.35) ** 2
        dy, dx, dome = dy[dome > 0.0], dx[dome > 0.0], dome[dome > 0.0]
        mine = group == number
        y, x = row[mine, None] + dy, col[mine, None] + dx
        lumps = rng.uniform(0.70, 1.0, y.shape)  # a crown is no ball
        high = tall[mine, None] * np.sqrt(dome) * lumps
        packed = ((high * 1024.0).astype(np.int64) << 10) | tint[mine, None]
        seen = (y >= 0) & (y < size) & (x >= 0) & (x < size)
        np.maximum.at(stack, (y * size + x)[seen], packed[seen])
    crown = (stack >> 10).astype(np.float32) / np.float32(1024.0)
    own = (stack & 1023).astype(np.float32) / np.float32(1024.0)
    return _soften(crown.reshape(size, size), 0.12), own.reshape(size, size)


def _cast_shadows(land: Land, at: Slices) -> None:
    """Darken what lies behind something tall, seen from the sun."""
    height, size = land.height, land.height.shape[0]
    here = height[at]
    ahead = height[at[0].start :]
    shadow = np.zeros_like(here)
    for count in range(1, math.ceil(float(ahead[: 2 * len(here)].max()) / SUN_TAN) + 1):
        dy, dx = round(count * SUN[0]), round(count * SUN[1])
        there = ahead[dy : dy + len(here), dx:]
        part = (slice(0, len(there)), slice(0, size - dx))
        above = there - here[part] - np.float32(count * SUN_TAN)
        np.maximum(shadow[part], np.clip(above, 0.0, 1.0), out=shadow[part])
    for band in range(land.light.shape[0]):
        land.light[band][at] *= 1.0 - shadow * np.float32(1.0 - SKYLIGHT[band])


def _through_air(land: Land, noise: Noise, rng: Rng) -> Plane:
    """The grain of real ground, the optics' own small blur, haze, and the detector's range."""
    for band in range(len(land.light)):
        light = land.light[band]
        for at in strips(len(light)):
            own = rng.standard_normal(light[at].shape, dtype=np.float32)
            light[at] *= 1.0 + np.float32(0.018) * noise.fine[at] + np.float32(0.016) * own
        soft = _soften(light, 0.055)
        for at in strips(len(light)):
            seen = (soft[at] + np.float32(HAZE[band])) * np.float32(DN_PER_REFLECTANCE)
            np.clip(seen, 1.0, DN_MAX, out=light[at])
    return land.light
