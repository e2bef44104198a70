"""Places between grids and coordinate systems: outlines, projections, the pixels that a span touches.

Positions in pixels are those of pixel corners here: an image covers [0, width] x [0, height].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.errors import GeorefError
from geofuse.rasters.image import Grid

EDGE_POINTS = 64
EDGE_TOLERANCE_PX = 1e-6

Points = NDArray[np.float64]


def between(source: Grid, target: Grid) -> Callable[[Points], Points]:
    """Return the function that takes positions in pixels (n, 2: col, row) of one grid to those of the other.

    Longitudes are taken to the turn on which the target's middle lies. Positions outside a projection's
    domain become inf or nan. Raises GeorefError for coordinate systems that cannot be related.
    """
    if same_crs(source.crs, target.crs):
        return lambda points: to_pixels(target, to_map(source, points))
    project = projector(source.crs, target.crs)
    turn = full_turn(target.crs)
    middle = to_map(target, np.array([[target.width / 2, target.height / 2]]))[0, 0]

    def move(points: Points) -> Points:
        places = project(to_map(source, points))
        with np.errstate(invalid="ignore"):
            if turn:
                places[:, 0] += turn * np.round((middle - places[:, 0]) / turn)
            return to_pixels(target, places)

    return move


def projector(source_crs: str, target_crs: str) -> Callable[[Points], Points]:
    """Return the function that takes places (n, 2: x, y) of one coordinate system to the other's."""
    from pyproj import CRS, Transformer
    from pyproj.exceptions import ProjError

    try:
        transformer = Transformer.from_crs(CRS(source_crs), CRS(target_crs), always_xy=True)
    except ProjError as fault:
        raise GeorefError(
            "coordinate systems that cannot be related", wanted="a known way from one to the other"
        ) from fault
    return lambda places: np.stack(transformer.transform(places[:, 0], places[:, 1]), axis=1)


def same_crs(first: str, second: str) -> bool:
    """Say whether two coordinate systems place x and y alike, whatever their names and axis order.

    Heights and datum shifts attached to a system do not count. Raises GeorefError for unreadable text.
    """
    if first == second:
        return True
    one, other = _horizontal(first), _horizontal(second)
    return bool(one.equals(other, ignore_axis_order=True))


def crs_name(text: str) -> str:
    """Return "EPSG:n" where that is known, else the coordinate system's own name."""
    crs = _horizontal(text)
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else str(crs.name)


def _horizontal(text: str) -> Any:
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        crs = CRS(text)
        for _ in range(4):
            if crs.is_bound:
                crs = crs.source_crs
            elif crs.is_compound:
                crs = crs.sub_crs_list[0]
        return crs.to_2d() if len(crs.axis_info) > 2 else crs
    except (CRSError, AttributeError, IndexError) as fault:
        raise GeorefError("a coordinate system that cannot be read", wanted="a valid one") from fault


def full_turn(text: str) -> float:
    """Return 360 degrees in the unit of a geographic coordinate system, 0 for any other."""
    crs = _horizontal(text)
    if not crs.is_geographic:
        return 0.0
    return 2.0 * math.pi / float(crs.axis_info[0].unit_conversion_factor)


def to_map(grid: Grid, points: Points) -> Points:
    """Return the places (n, 2: x, y) of positions in pixels (n, 2: col, row)."""
    a, b, c, d, e, f = grid.transform
    return np.stack(
        [a * points[:, 0] + b * points[:, 1] + c, d * points[:, 0] + e * points[:, 1] + f], axis=1
    )


def to_pixels(grid: Grid, places: Points) -> Points:
    """Return the positions in pixels (n, 2: col, row) of places (n, 2: x, y)."""
    a, b, c, d, e, f = grid.transform
    x, y = places[:, 0] - c, places[:, 1] - f
    det = a * e - b * d
    with np.errstate(invalid="ignore"):
        return np.stack([(e * x - b * y) / det, (a * y - d * x) / det], axis=1)


def rectangle(low: tuple[float, float], high: tuple[float, float]) -> Points:
    """Return the outline of a rectangle, (4 * EDGE_POINTS, 2), not closed."""
    return densified(np.array([low, (high[0], low[1]), high, (low[0], high[1])], dtype=np.float64))


def densified(corners: Points) -> Points:
    """Return a polygon's outline with EDGE_POINTS points per edge, not closed."""
    step = np.arange(EDGE_POINTS, dtype=np.float64)[None, :, None] / EDGE_POINTS
    start, stop = corners[:, None, :], np.roll(corners, -1, axis=0)[:, None, :]
    return np.asarray(start + step * (stop - start), dtype=np.float64).reshape(-1, 2)


def clipped(polygon: Points, low: tuple[float, float], high: tuple[float, float]) -> Points:
    """Return the part of a polygon inside a rectangle, (n, 2), n = 0 where there is none.

    Source: Sutherland and Hodgman 1974, Communications of the ACM 17(1).
    """
    for axis in (0, 1):
        for bound, sign in ((low[axis], 1.0), (high[axis], -1.0)):
            depth = sign * (polygon[:, axis] - bound)
            kept = []
            for here in range(len(polygon)):
                before = here - 1
                if (depth[here] >= 0.0) != (depth[before] >= 0.0):
                    part = depth[before] / (depth[before] - depth[here])
                    crossing = polygon[before] + part * (polygon[here] - polygon[before])
                    crossing[axis] = bound
                    kept.append(crossing)
                if depth[here] >= 0.0:
                    kept.append(polygon[here])
            polygon = np.array(kept, dtype=np.float64).reshape(-1, 2)
    return polygon


def span(low: float, high: float, size: int) -> tuple[int, int]:
    """Return ``(start, stop)`` of the pixels whose centre lies in the closed interval, in an image of `size`.

    >>> span(-3.0, 2.5, 10), span(2.6, 3.4, 10)
    ((0, 3), (3, 3))
    """
    start = max(0, math.ceil(min(low, size) - 0.5 - EDGE_TOLERANCE_PX))
    stop = min(size, math.floor(max(high, -1.0) - 0.5 + EDGE_TOLERANCE_PX) + 1)
    return start, max(start, stop)
