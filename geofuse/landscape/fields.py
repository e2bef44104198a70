"""Parcels and what grows on them: fields, gardens, tracks, hedges."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import Slices
from geofuse.landscape.canvas import (
    Land,
    LandLayout,
    Noise,
    Plane,
    Rng,
    lay,
    step,
    strips,
    window,
)
from geofuse.landscape.materials import CROPS, GARDENS, GRAVEL, LEAF, MEADOW, WOODLOT, FieldCrop

HEADLAND_PX = 15.0
LANE_SPACING_PX = 46.0
FAR_PX = 99.0


@dataclass(frozen=True, slots=True)
class Parcels:
    """A square that repeats without end, cut into rectangles, and what is grown on each of them."""

    label: NDArray[np.int16]
    """Parcel under each place (S, S)."""
    near_u: Plane
    """Distance to the parcel's left or right end, px (S, S)."""
    near_v: Plane
    """Distance to its upper or lower end, px (S, S)."""
    near_track: Plane
    """Distance to an end along which a track runs, px (S, S)."""
    near_hedge: Plane
    """Distance to an end with a hedge, px (S, S)."""
    stand: Plane
    """Cover, rows, period, patchiness, lanes, shade, 1 for woods, 1 for rows along u; per parcel (8, K)."""
    plant: Plane
    """Reflectance of the crop (B, K)."""
    ground: Plane
    """Reflectance between the plants (B, K)."""


@dataclass(frozen=True, slots=True)
class Grown:
    """What is seen of parcels in a window."""

    light: Plane
    """Reflectance (B, n, m)."""
    near: Plane
    """Distance to the parcel's end, px (n, m)."""
    near_track: Plane
    """Distance to a track, px (n, m)."""
    near_hedge: Plane
    """Distance to a hedge, px (n, m)."""
    wooded: Plane
    """1 where trees grow (n, m)."""


def plough(land: Land, layout: LandLayout, noise: Noise, rng: Rng) -> None:
    """Lay out fields on both sides of the main road, each side's in a direction of its own."""
    size = layout.size
    unit = float(np.clip(size / 7.0, 36.0, 210.0))
    parcels = _parcels(rng, max(size, math.ceil(5.0 * unit)), unit, CROPS, land.light.shape[0])
    slope = math.degrees(math.atan(float(layout.highway[-1] - layout.highway[0]) / size))
    turns = [math.radians(slope + turn) for turn in (rng.uniform(4.0, 14.0), -rng.uniform(8.0, 24.0))]
    starts = rng.uniform(-size, 0.0, (2, 2))
    for at in strips(size):
        part = _part(noise, at)
        y, x = (np.arange(s.start, s.stop, dtype=np.float32) for s in at)
        below = y[:, None] > layout.highway[None, :]
        u, v = np.empty(below.shape, np.float32), np.empty(below.shape, np.float32)
        for turn, start, side in zip(turns, starts, (below, ~below), strict=True):
            cos, sin = np.float32(math.cos(turn)), np.float32(math.sin(turn))
            dy, dx = y[:, None] - np.float32(start[0]), x[None, :] - np.float32(start[1])
            np.copyto(u, cos * dx + sin * dy, where=side)
            np.copyto(v, cos * dy - sin * dx, where=side)
        bend = np.float32(0.022 * unit) * part.broad
        _farm_strip(land, _grow(u + bend, v - bend, parcels, part), part, at)


def plant_gardens(land: Land, layout: LandLayout, noise: Noise, rng: Rng) -> None:
    """Put the village's gardens under its houses and streets."""
    around, _, _ = window(layout.size, layout.centre, 1.4 * layout.radius)
    parcels = _parcels(rng, 420, 30.0, GARDENS, land.light.shape[0])
    for rows, _ in strips(layout.size):
        at = (slice(max(rows.start, around[0].start), min(rows.stop, around[0].stop)), around[1])
        if at[0].start >= at[0].stop:
            continue
        part = _part(noise, at)
        y, x = (np.arange(s.start, s.stop, dtype=np.float32) for s in at)
        inside = 1.0 - step(village_edge(layout, y[:, None], x[None, :], part.broad), 0.92, 1.0)
        v = y[:, None] - layout.highway[None, at[1]]  # gardens follow the road
        grown = _grow(np.broadcast_to(x, v.shape), v, parcels, part)
        for band in range(len(grown.light)):
            ground = land.light[band][at]
            ground += inside * (grown.light[band] - ground)
        lay(land, 0.5 * inside * (1.0 - step(grown.near, 0.3, 1.3)), LEAF, shade=0.9, at=at)
        land.wood[at] += inside * (0.08 + 0.22 * (grown.near < 2.5) - land.wood[at])
        land.taken[at] *= 1.0 - inside


def village_edge(layout: LandLayout, row: Any, col: Any, broad: Any) -> Plane:
    """Return how far out of the village a place lies: under 1 inside."""
    away = np.hypot(row - layout.centre[0], 0.85 * (col - layout.centre[1]))
    return np.asarray(away / layout.radius + 0.09 * broad, dtype=np.float32)


def _farm_strip(land: Land, grown: Grown, noise: Noise, at: Slices) -> None:
    land.light[:, at[0], at[1]] = grown.light
    lay(land, 0.75 * (1.0 - step(grown.near, 0.6, 2.2)), MEADOW, shade=0.9, at=at)
    wheels = 1.0 - step(np.abs(grown.near_track - 1.7), 1.0, 1.9)  # two lanes, grass between
    lay(land, 0.75 * wheels, GRAVEL, shade=0.9 + 0.06 * noise.middle, at=at)
    land.taken[at] = grown.near_track < 4.0
    hedge = (grown.near_hedge < 3.5) & (noise.broad + noise.middle > -0.6)
    woods = grown.wooded * step(noise.middle + noise.broad, -2.6, -1.6)
    natural = step(noise.broad + 0.35 * noise.middle, 1.45, 1.75)
    land.wood[at] = np.maximum(0.0006 + 0.80 * hedge, np.maximum(woods, natural))


def _part(noise: Noise, at: Slices) -> Noise:
    return Noise(noise.fine[at], noise.middle[at], noise.broad[at])


def _cut(rng: Rng, side: int, unit: float) -> Iterator[tuple[tuple[int, ...], tuple[str, ...]]]:
    """Yield rectangles v0, v1, u0, u1 and what runs along each of the four ends."""
    pile: list[tuple[tuple[int, ...], tuple[str, ...], int]] = [((0, side, 0, side), ("track",) * 4, 0)]
    while pile:
        (v0, v1, u0, u1), kinds, depth = pile.pop()
        tall, wide = v1 - v0, u1 - u0
        if max(tall, wide) < unit * rng.uniform(1.0, 2.1) or min(tall, wide) < 0.3 * unit:
            yield (v0, v1, u0, u1), kinds
            continue
        kind = "track" if depth < 4 else ("hedge" if rng.random() < 0.35 else "margin")
        share = rng.uniform(0.32, 0.68)
        if tall > wide * rng.uniform(0.8, 1.2):
            at = v0 + round(share * tall)
            pile.append(((v0, at, u0, u1), (kinds[0], kind, kinds[2], kinds[3]), depth + 1))
            pile.append(((at, v1, u0, u1), (kind, kinds[1], kinds[2], kinds[3]), depth + 1))
        else:
            at = u0 + round(share * wide)
            pile.append(((v0, v1, u0, at), (kinds[0], kinds[1], kinds[2], kind), depth + 1))
            pile.append(((v0, v1, at, u1), (kinds[0], kinds[1], kind, kinds[3]), depth + 1))


def _parcels(rng: Rng, side: int, unit: float, crops: tuple[FieldCrop, ...], bands: int) -> Parcels:
    label = np.empty((side, side), np.int16)
    near_u, near_v, near_track, near_hedge = (np.empty((side, side), np.float32) for _ in range(4))
    count = 0
    for (v0, v1, u0, u1), kinds in _cut(rng, side, unit):
        at = (slice(v0, v1), slice(u0, u1))
        label[at] = count
        count += 1
        u, v = np.arange(u0, u1, dtype=np.float32), np.arange(v0, v1, dtype=np.float32)
        ends = (v - v0 + 0.5, v1 - v - 0.5, u - u0 + 0.5, u1 - u - 0.5)
        near_v[at] = np.minimum(ends[0], ends[1])[:, None]
        near_u[at] = np.minimum(ends[2], ends[3])[None, :]
        for kind, near in (("track", near_track), ("hedge", near_hedge)):
            mine = [
                end if k == kind else np.full_like(end, FAR_PX) for k, end in zip(kinds, ends, strict=True)
            ]
            rows, cols = np.minimum(mine[0], mine[1]), np.minimum(mine[2], mine[3])
            near[at] = np.minimum(rows[:, None], cols[None, :])
    chance = np.array([crop.chance for crop in crops])
    kind_of = rng.choice(len(crops), count, p=chance / chance.sum())
    stand = np.empty((8, count), np.float32)
    for parcel, crop in enumerate(crops[k] for k in kind_of):
        period, shade = rng.uniform(3.2, 6.5), rng.normal(1.0, 0.07)
        facts = (rng.uniform(*crop.cover), crop.rows, period, crop.patchy, crop.lanes, shade)
        stand[:, parcel] = (*facts, float(crop is WOODLOT), float(rng.random() < 0.5))
    plant = np.array([crop.plant[:bands] for crop in crops], np.float32)[kind_of].T
    plant = plant * rng.normal(1.0, 0.03, plant.shape).astype(np.float32)
    ground = np.array([crop.between[:bands] for crop in crops], np.float32)[kind_of].T
    return Parcels(label, near_u, near_v, near_track, near_hedge, stand, plant, ground)


def _grow(u: Plane, v: Plane, parcels: Parcels, noise: Noise) -> Grown:
    """See the parcels at places (u, v), each (n, m)."""
    side = np.int32(parcels.label.shape[0])
    flat = (np.floor(v).astype(np.int32) % side) * side + np.floor(u).astype(np.int32) % side
    label = parcels.label.ravel()[flat]
    near_u, near_v = parcels.near_u.ravel()[flat], parcels.near_v.ravel()[flat]
    cover, rows, period, patchy, lanes, shade, wooded, along = (fact[label] for fact in parcels.stand)
    crosswise = (along > 0.5) ^ (np.where(along > 0.5, near_v, near_u) < HEADLAND_PX)  # headlands turn
    t = np.where(crosswise, u, v)
    cover = cover + rows * np.cos(t * (np.float32(2.0 * math.pi) / period))
    lane = np.abs(np.abs(t % np.float32(LANE_SPACING_PX) - np.float32(LANE_SPACING_PX / 2)) - np.float32(3.0))
    cover -= lanes * np.exp(-lane * lane)
    cover += patchy * (
        np.float32(0.65) * noise.broad + np.float32(0.45) * noise.middle + np.float32(0.4) * noise.fine
    )
    np.clip(cover, 0.0, 1.0, out=cover)
    shade = shade * (1.0 + np.float32(0.025) * noise.fine + np.float32(0.03) * noise.middle)
    light = np.empty((len(parcels.plant), *u.shape), np.float32)
    for band in range(len(light)):
        below = parcels.ground[band][label]
        light[band] = (below + cover * (parcels.plant[band][label] - below)) * shade
    near_track, near_hedge = parcels.near_track.ravel()[flat], parcels.near_hedge.ravel()[flat]
    return Grown(light, np.minimum(near_u, near_v), near_track, near_hedge, wooded)
