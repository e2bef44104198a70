"""What people built: roads and streets, houses, farms, works, cars."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.landscape.canvas import (
    SUN,
    Land,
    LandLayout,
    Noise,
    Outline,
    Plane,
    Rng,
    Spot,
    beside,
    block,
    either,
    lay,
    stations,
    step,
    window,
)
from geofuse.landscape.fields import village_edge
from geofuse.landscape.materials import (
    ASPHALT,
    CARS,
    CONCRETE,
    GRAVEL,
    HALLS,
    MEADOW,
    PAINT,
    POOL,
    ROOFS,
    Spectrum,
)

Road = tuple[Outline, float]
"""Points (K, 2) along it, and half its width, px."""

STREET_HALF_PX, BYWAY_HALF_PX, HIGHWAY_HALF_PX = 2.9, 4.0, 5.2
ROAD_REACH_PX = 10.0


def pave(land: Land, layout: LandLayout, noise: Noise, rng: Rng) -> list[Road]:
    """Lay the roads, the main one last; return them."""
    size = layout.size
    t = np.arange(-24.0, size + 48.0, 24.0)
    highway = np.stack([np.interp(t, np.arange(size), layout.highway), t], axis=1)
    byway = np.stack([t, np.interp(t, np.arange(size), layout.byway)], axis=1)
    roads = [(line, STREET_HALF_PX) for line in _streets(layout, rng)]
    roads += [(byway, BYWAY_HALF_PX), (highway, HIGHWAY_HALF_PX)]
    light = land.light.reshape(len(land.light), -1)
    for points, half in roads:
        near, along = _path(points, size)
        flat = np.flatnonzero(near < ROAD_REACH_PX)  # a road is a few pixels in a hundred
        near, along = near.ravel()[flat], along.ravel()[flat]
        wear = (
            1.0
            + 0.05 * noise.middle.ravel()[flat]
            + 0.02 * noise.fine.ravel()[flat]
            + rng.uniform(-0.08, 0.12)
        )
        coats: list[tuple[NDArray[Any], Spectrum, Any]] = [
            (0.8 * (1.0 - step(near, half + 1.5, half + 3.5)), MEADOW, 0.85),
            (np.clip(half + 0.5 - near, 0.0, 1.0), ASPHALT, wear),
        ]
        if half > STREET_HALF_PX:
            edge = 0.40 * np.clip(1.0 - np.abs(near - (half - 0.9)), 0.0, 1.0)
            dash = 0.60 * np.clip(0.9 - near, 0.0, 1.0) * (along % 16.0 < 6.0)
            coats.append((np.maximum(edge, dash), PAINT, 1.0))
        for cover, spectrum, shade in coats:
            for band in range(len(light)):
                ground = light[band, flat]
                light[band, flat] = ground + cover * (spectrum[band] * shade - ground)
        land.taken.ravel()[flat] = np.maximum(land.taken.ravel()[flat], near < half + 2.0)
    return roads


def build(land: Land, layout: LandLayout, noise: Noise, roads: list[Road], rng: Rng) -> None:
    """Build houses along the streets, farms along the second road, and works beside the main one."""
    size = layout.size
    _church(land, layout, rng)
    for points, half in roads:
        ribbon = 1.0 if half > STREET_HALF_PX else 0.0
        for place, heading in stations(points, 25.0, rng):
            row, col = (int(np.clip(p, 0, size - 1)) for p in place)
            out = float(village_edge(layout, row, col, noise.broad[row, col]))
            if out < 0.97 or rng.random() < ribbon * (1.5 - out):
                for side in (-1.0, 1.0):
                    _plot(land, rng, beside(place, heading, side * (half + rng.uniform(13.0, 18.0))), heading)
    for place, heading in stations(roads[-2][0], 0.17 * size, rng):
        if math.dist(place, layout.centre) > 1.4 * layout.radius:
            _farm(land, rng, beside(place, heading, 48.0 * either(rng)), heading)
    way = 1.0 if layout.centre[1] < 0.5 * size else -1.0
    col = int(np.clip(layout.centre[1] + way * 1.75 * layout.radius, 0, size - 1))
    heading = math.degrees(math.atan(float(np.gradient(layout.highway)[col])))
    _works(land, rng, (float(layout.highway[col]) + 0.075 * size * either(rng), float(col)), heading)


def park_cars(land: Land, roads: list[Road], rng: Rng) -> None:
    """Put cars on the roads' lanes and at the streets' kerbs."""
    for points, half in roads:
        street = half <= STREET_HALF_PX
        for place, heading in stations(points, 55.0 if street else 95.0, rng):
            _car(land, rng, beside(place, heading, half * (0.75 if street else 0.45) * either(rng)), heading)


def _streets(layout: LandLayout, rng: Rng) -> list[Outline]:
    """The village's streets: some along the main road, some across, no two alike."""
    row, col = layout.centre
    gap = float(np.clip(0.38 * layout.radius, 58.0, 88.0))
    columns = np.arange(layout.size)
    lines = []
    for turn in (-4, -3, -2, -1, 1, 2, 3, 4):
        offset = turn * gap * rng.uniform(0.92, 1.12)
        room = (1.02 * layout.radius) ** 2 - offset**2
        if room > 0.0 and rng.random() < 0.85:
            t = np.linspace(-1.0, 1.0, 33) * math.sqrt(room) * rng.uniform(0.45, 1.1)
            t += rng.normal(0.0, 0.6) * gap
            x = col + t
            y = np.interp(np.clip(x, 0, layout.size - 1), columns, layout.highway) + offset
            lines.append(np.stack([y + rng.normal(0.0, 7.0) * np.sin(t / gap), x], axis=1))
        across = 1.6 * offset + rng.normal(0.0, 0.12) * gap
        room = (1.05 * layout.radius) ** 2 - across**2
        if room > 0.0 and rng.random() < 0.9:
            t = np.linspace(-1.0, 1.0, 33) * math.sqrt(room) * rng.uniform(0.4, 0.95)
            t += rng.normal(0.0, 0.5) * gap
            bend = rng.normal(0.0, 0.10) * t + rng.normal(0.0, 8.0) * np.sin(t / gap)
            lines.append(np.stack([row + t, col + across + bend], axis=1))
    return lines


def _path(points: Outline, size: int) -> tuple[Plane, Plane]:
    """Distance from a line, px, up to a road's reach, and how far along it the nearest place is (N, N)."""
    near = np.full((size, size), np.float32(ROAD_REACH_PX))
    along = np.zeros((size, size), np.float32)
    gone = 0.0
    for start, way in zip(points[:-1], np.diff(points, axis=0), strict=True):
        half = 0.5 * math.hypot(*way)
        at, dy, dx = window(size, (start[0] + 0.5 * way[0], start[1] + 0.5 * way[1]), half + ROAD_REACH_PX)
        if near[at].size:
            cos, sin = np.float32(0.5 * way[1] / half), np.float32(0.5 * way[0] / half)
            run = np.clip(cos * dx + sin * dy, np.float32(-half), np.float32(half))
            away = np.hypot(dx - cos * run, dy - sin * run)
            nearer = away < near[at]
            near[at][nearer] = away[nearer]
            along[at][nearer] = run[nearer] + np.float32(gone + half)
        gone += 2.0 * half
    return near, along


def _house(
    land: Land, rng: Rng, at_place: Spot, sides: tuple[float, float], degrees: float, *, gabled: bool
) -> None:
    """One building: a gabled roof with a bright and a dark side, or a flat one with a parapet and boxes."""
    at, outside, u, v = block(land.height.shape[0], at_place, sides, degrees)
    cover = np.clip(0.5 - outside, 0.0, 1.0)
    roofs = ROOFS if gabled else HALLS
    roof = roofs[int(rng.integers(len(roofs)))]
    tone = np.float32(rng.uniform(0.85, 1.15))
    if gabled:
        turn = math.radians(degrees)
        normal = math.cos(turn) * SUN[0] - math.sin(turn) * SUN[1]
        shade = tone * (1.0 + 0.30 * normal * np.clip(v, -1.0, 1.0)) * (1.0 + 0.04 * np.cos(1.9 * v))
        top = 4.5 + 0.6 * (sides[1] / 2.0 - np.abs(v))
    else:
        shade = tone * np.where(outside > -1.3, 1.15, 1.0 + 0.03 * np.cos(u * rng.uniform(0.4, 1.2)))
        top = np.full_like(u, rng.uniform(6.0, 9.0))
    lay(land, cover, roof, shade=shade, at=at)
    np.maximum(land.height[at], np.where(cover > 0.5, top, 0.0), out=land.height[at])
    np.maximum(land.taken[at], outside < 2.5, out=land.taken[at])
    for _ in range(0 if gabled else int(sides[0] * sides[1] / 700.0)):
        u0, v0 = rng.uniform(-0.38, 0.38, 2) * sides
        box = np.clip(2.2 - np.maximum(np.abs(u - u0), np.abs(v - v0)), 0.0, 1.0)
        lay(land, box * cover, CONCRETE, shade=rng.uniform(0.5, 1.3), at=at)
        land.height[at] += 1.8 * (box > 0.5)


def _free(land: Land, middle: Spot, sides: tuple[float, float], degrees: float) -> bool:
    """Tell whether a building fits: ground inside the image that nothing has taken."""
    at, outside, _, _ = block(land.height.shape[0], middle, sides, degrees)
    ground = outside < 0.0
    return bool(ground.any()) and float(land.taken[at][ground].max()) < 0.5


def _yard(
    land: Land,
    middle: Spot,
    sides: tuple[float, float],
    degrees: float,
    *,
    coat: tuple[Spectrum, float, float],
) -> None:
    """Level a rectangle of ground; `coat` is its material, how thick, how bright."""
    at, outside, _, _ = block(land.height.shape[0], middle, sides, degrees)
    lay(land, coat[1] * np.clip(0.5 - 0.4 * outside, 0.0, 1.0), coat[0], shade=coat[2], at=at)
    land.wood[at] *= outside > 2.0


def _plot(land: Land, rng: Rng, middle: Spot, heading: float) -> None:
    """A house on its plot, sometimes with a shed or a pool behind."""
    degrees = heading + rng.normal(0.0, 3.0) + 90.0 * (rng.random() < 0.3)
    sides = (rng.uniform(15.0, 24.0), rng.uniform(11.0, 15.0))
    if rng.random() < 0.06 or not _free(land, middle, sides, degrees):
        return
    _yard(
        land, middle, (sides[0] + 6.0, sides[1] + 5.0), degrees, coat=(GRAVEL, 0.6, rng.uniform(0.65, 0.95))
    )
    _house(land, rng, middle, sides, degrees, gabled=rng.random() < 0.94)
    behind = beside(middle, heading + rng.uniform(-40.0, 40.0), either(rng) * rng.uniform(14.0, 20.0))
    if not _free(land, behind, (11.0, 7.0), degrees):
        return
    luck = rng.random()
    if luck < 0.4:
        shed = (rng.uniform(5.0, 8.0), rng.uniform(4.0, 6.0))
        _house(land, rng, behind, shed, degrees, gabled=rng.random() < 0.6)
    elif luck < 0.5:
        at, outside, _, _ = block(land.height.shape[0], behind, (11.0, 6.5), degrees)
        lay(land, np.clip(0.5 - outside, 0.0, 1.0), CONCRETE, shade=1.1, at=at)
        lay(land, np.clip(-1.0 - outside, 0.0, 1.0), POOL, at=at)
        np.maximum(land.taken[at], outside < 1.0, out=land.taken[at])


def _church(land: Land, layout: LandLayout, rng: Rng) -> None:
    """A church on its square, where the roads meet."""
    middle = (layout.centre[0] + 34.0, layout.centre[1] + 40.0)
    if not _free(land, middle, (46.0, 30.0), 0.0):
        return
    _yard(land, middle, (58.0, 42.0), 0.0, coat=(GRAVEL, 0.8, 0.9))
    _house(land, rng, middle, (38.0, 16.0), 0.0, gabled=True)
    at, outside, _, _ = block(layout.size, (middle[0], middle[1] - 23.0), (10.0, 10.0), 0.0)
    np.maximum(land.height[at], 17.0 * (outside < 0.0), out=land.height[at])
    lay(land, np.clip(0.5 - outside, 0.0, 1.0), ROOFS[3], at=at)
    np.maximum(land.taken[at], outside < 3.0, out=land.taken[at])


def _farm(land: Land, rng: Rng, middle: Spot, heading: float) -> None:
    """A yard with a few barns around it."""
    if not _free(land, middle, (70.0, 50.0), heading):
        return
    _yard(land, middle, (74.0, 56.0), heading, coat=(GRAVEL, 0.8, 0.8))
    for away, along in ((-19.0, -8.0), (19.0, 4.0), (2.0, 31.0)):
        place = beside(beside(middle, heading, away), heading - 90.0, along)
        end = along > 30.0
        sides = (24.0, 13.0) if end else (rng.uniform(26.0, 40.0), rng.uniform(13.0, 19.0))
        _house(land, rng, place, sides, heading + 90.0 * end, gabled=rng.random() < 0.7)


def _works(land: Land, rng: Rng, middle: Spot, heading: float) -> None:
    """Halls on a paved yard, and the cars of those who work there."""
    scale = min(1.0, land.height.shape[0] / 2048.0)
    long, deep = 290.0 * scale, 180.0 * scale
    if scale < 0.3 or not _free(land, middle, (0.8 * long, 0.4 * deep), heading):
        return
    _yard(land, middle, (long, deep), heading, coat=(ASPHALT, 1.0, 1.2))
    halls = ((-0.27, -0.14, 0.38, 0.58), (0.17, -0.22, 0.36, 0.42), (0.20, 0.25, 0.34, 0.28))
    for along, across, length, depth in halls:
        place = beside(beside(middle, heading, across * deep), heading - 90.0, along * long)
        _house(land, rng, place, (length * long, depth * deep), heading, gabled=False)
    for along in np.arange(-0.44 * long, -0.10 * long, 5.2):
        for across in (0.30 * deep, 0.30 * deep + 13.0):
            if rng.random() < 0.75:
                _car(
                    land, rng, beside(beside(middle, heading, across), heading - 90.0, along), heading + 90.0
                )


def _car(land: Land, rng: Rng, place: Spot, heading: float) -> None:
    at, outside, u, _ = block(land.height.shape[0], place, (6.6, 2.7), heading)
    glass = 1.0 - 0.5 * (np.abs(u - 0.8) < 0.7)
    lay(land, np.clip(0.5 - outside, 0.0, 1.0), CARS[int(rng.integers(len(CARS)))], shade=glass, at=at)
    np.maximum(land.height[at], 1.6 * (outside < 0.0), out=land.height[at])
