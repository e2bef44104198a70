"""How a target's grid lies on a guide's: axis maps, the guide's pixels covered, or the grid to warp the target to.

Positions in pixels are those of pixel corners here: an image covers [0, width] x [0, height].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.errors import GeorefError, ProductError
from geofuse.fusions import SHARPEN, Fusion, Taken
from geofuse.geometry import AxisMap, covered
from geofuse.rasters.datasets import inspect
from geofuse.rasters.grids import composed, has_pixel_size
from geofuse.rasters.image import Grid, Image
from geofuse.rasters.tiling import native_grid
from geofuse.scenes.scene import Scene

EDGE_POINTS = 64
EDGE_TOLERANCE_PX = 1e-6
PARALLEL_CPX = 0.01
RATIO_TOLERANCE = 1e-6
WARP_MARGIN_CPX = 8
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Relation:
    """How the image that is to be sharpened lies on the one that guides it."""

    guide: Image
    """The fine one: PAN."""
    target: Image
    """The coarse one: MS; reads through a warp where its grid does not run with the guide's."""
    axis_y: AxisMap
    """Rows: coarse = scale * fine + offset, in pixels of the whole PAN file."""
    axis_x: AxisMap
    """The same for columns."""
    rows: tuple[int, int]
    """PAN rows in the MS footprint, half-open."""
    cols: tuple[int, int]
    """PAN columns in the MS footprint, half-open."""
    ratio: tuple[float, float]
    """PAN pixels per MS pixel, down and across."""
    notes: tuple[str, ...]
    """What belongs into the provenance: a warp, a partial overlap."""


def guide_of(scene: Scene, fusion: Fusion = SHARPEN) -> Image:
    """Return the image whose detail a scene's fusion takes: PAN; raises ProductError where there is none."""
    return _taken(scene, fusion.guides)


def target_of(scene: Scene, fusion: Fusion = SHARPEN) -> Image:
    """Return the image that a scene's fusion sharpens: MS; raises ProductError where there is none."""
    return _taken(scene, fusion.targets)


def _taken(scene: Scene, taken: Taken) -> Image:
    count = sum(image.role == taken.role for image in scene.images)
    over = taken.most is not None and count > taken.most
    if over or 0 < count < taken.least:
        wanted = f"at most {taken.most}" if over else f"at least {taken.least}"
        raise ProductError(f"{count} {taken.role} images in {scene.scene_id}", wanted=wanted)
    return scene.image(taken.role)


def relate(scene: Scene, fusion: Fusion = SHARPEN) -> Relation:
    """Find out how the MS grid lies on the PAN grid, and whether the MS must be warped to lie parallel.

    Grids in one coordinate system whose axes run alike, be they both rotated or both south-up, are related
    as they are. Otherwise the target returned is read through a warp onto a grid parallel to the PAN's,
    whose pixel keeps the MS resolution and whose lines fall on whole multiples of it from the PAN's corner.
    Raises ProductError where the scene has no such two images, GeorefError where either is not georeferenced
    (by name: GCPs or RPCs only), where they do not overlap, or where the ratio of the pixel sizes is not
    one that the fusion takes.
    """
    guide, target = guide_of(scene, fusion), target_of(scene, fusion)
    fine, coarse = guide.grid, _native_grid(target)
    if fusion.needs_crs:
        _check_georeferenced(guide, fine, "PAN")
        _check_georeferenced(target, coarse, "MS")
    if same_crs(fine.crs, coarse.crs):
        axes = _parallel_axes(fine, coarse)
        if axes is not None:
            return _direct(guide, replace(target, grid=coarse, warped=False), axes, fusion)
    return _through_warp(guide, target, coarse, fusion)


def _native_grid(image: Image) -> Grid:
    """Return the grid of the image's files, also where it was made to be read through a warp before."""
    return native_grid(image.bands[0]) if image.warped else image.grid


def _check_georeferenced(image: Image, grid: Grid, role: str) -> None:
    path = image.bands[0].path
    wanted, do = "a geotransform", "warp or orthorectify it first"
    if grid.transform == IDENTITY:
        facts = inspect(path)
        if not facts.has_transform:
            if facts.gcps:
                raise GeorefError(f"{role} with {facts.gcps} GCPs only", wanted=wanted, do=do, path=path)
            if image.rpcs:
                raise GeorefError(f"{role} with RPCs only", wanted=wanted, do=do, path=path)
            raise GeorefError(f"{role} without a geotransform", wanted=wanted, path=path)
    if not has_pixel_size(grid):
        raise GeorefError(f"{role} with a pixel size of zero or NaN", wanted=wanted, path=path)
    if not grid.crs:
        do = "set it with gdal_edit.py -a_srs"
        raise GeorefError(f"{role} without a coordinate system", wanted="one in the file", do=do, path=path)


def _parallel_axes(fine: Grid, coarse: Grid) -> tuple[AxisMap, AxisMap] | None:
    """Return the axis maps down and across, or None where the axes do not run alike."""
    a, b, c, d, e, f = composed(fine, coarse)
    skew_x, skew_y = b * fine.height, d * fine.width
    if a <= 0.0 or e <= 0.0 or max(abs(skew_x), abs(skew_y)) >= PARALLEL_CPX:
        return None
    # half of what little skew there is goes to either end
    down = AxisMap(e, f + 0.5 * e - 0.5 + 0.5 * skew_y)
    return down, AxisMap(a, c + 0.5 * a - 0.5 + 0.5 * skew_x)


def _direct(guide: Image, target: Image, axes: tuple[AxisMap, AxisMap], fusion: Fusion) -> Relation:
    (down, across), fine, coarse = axes, guide.grid, target.grid
    ratio = (1.0 / down.scale, 1.0 / across.scale)
    _check_ratio(target, ratio, fusion)
    rows, cols = covered(down, fine.height, coarse.height), covered(across, fine.width, coarse.width)
    if rows[0] >= rows[1] or cols[0] >= cols[1]:
        raise _no_overlap(guide, target)
    share = (rows[1] - rows[0]) * (cols[1] - cols[0]) / (fine.height * fine.width)
    return Relation(guide, target, down, across, rows, cols, ratio, _partial(share))


def _through_warp(guide: Image, target: Image, coarse: Grid, fusion: Fusion) -> Relation:
    fine = guide.grid
    for path in dict.fromkeys(piece.path for band in target.bands for piece in band.pieces):
        if not inspect(path).has_transform:
            raise GeorefError(
                "MS placed by a world file, which must be warped to the PAN",
                wanted="the geotransform in the file itself",
                do="rewrite it with gdal_translate",
                path=path,
            )
    shared = _shared(fine, coarse)
    if shared is None:
        raise _no_overlap(guide, target)
    part, middle_cpx = shared
    ratio = _local_ratio(fine, coarse, middle_cpx)
    _check_ratio(target, ratio, fusion)
    (left, top), (right, bottom) = part.min(axis=0), part.max(axis=0)
    rows, cols = span(top, bottom, fine.height), span(left, right, fine.width)
    if rows[0] >= rows[1] or cols[0] >= cols[1]:
        raise _no_overlap(guide, target)
    row0, height = _lines(top, bottom, ratio[0])
    col0, width = _lines(left, right, ratio[1])
    a, b, _, d, e, _ = fine.transform
    x, y = to_map(fine, np.array([[col0 * ratio[1], row0 * ratio[0]]]))[0]
    transform = (a * ratio[1], b * ratio[0], float(x), d * ratio[1], e * ratio[0], float(y))
    grid = Grid(fine.crs, transform, height, width)
    here, there = crs_name(coarse.crs), crs_name(fine.crs)
    why = f"MS is in {here}, PAN in {there}" if here != there else "MS and PAN are turned against each other"
    notes = (f"{why}: MS warped (cubic)", *_partial(_area(part) / (fine.height * fine.width)))
    down, across = _regular(ratio[0], row0), _regular(ratio[1], col0)
    return Relation(guide, replace(target, grid=grid, warped=True), down, across, rows, cols, ratio, notes)


def _regular(ratio: float, line0: int) -> AxisMap:
    """Return the axis map of a coarse grid that begins `line0` of its pixels from the fine grid's edge."""
    return AxisMap(1.0 / ratio, 0.5 / ratio - line0 - 0.5)


def _lines(low: float, high: float, ratio: float) -> tuple[int, int]:
    """Return first pixel and size of the warped grid along an axis, margin included."""
    first = math.floor(low / ratio + EDGE_TOLERANCE_PX) - WARP_MARGIN_CPX
    last = math.ceil(high / ratio - EDGE_TOLERANCE_PX) + WARP_MARGIN_CPX
    return first, last - first


def _shared(fine: Grid, coarse: Grid) -> tuple[Points, Points] | None:
    """Return the outline of what both images cover, in PAN pixels, and a middle of it in MS pixels."""
    there, back = between(fine, coarse), between(coarse, fine)
    outline = there(rectangle((0.0, 0.0), (float(fine.width), float(fine.height))))
    if not np.isfinite(outline).all():
        return None
    part = clipped(outline, (0.0, 0.0), (float(coarse.width), float(coarse.height)))
    if len(part) < 3:
        return None
    placed = back(densified(part))
    return (placed, 0.5 * (part.min(axis=0) + part.max(axis=0))) if np.isfinite(placed).all() else None


def _local_ratio(fine: Grid, coarse: Grid, at_cpx: Points) -> tuple[float, float]:
    """Return how many PAN pixels one MS pixel spans down and across, around a place on the MS."""
    steps = np.array([[-0.5, 0.0], [0.5, 0.0], [0.0, -0.5], [0.0, 0.5]])
    west, east, north, south = between(coarse, fine)(at_cpx + steps)
    by_col, by_row = east - west, south - north
    return math.hypot(by_col[1], by_row[1]), math.hypot(by_col[0], by_row[0])


def _area(polygon: Points) -> float:
    x, y = polygon.T
    return 0.5 * abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))))


def _check_ratio(target: Image, ratio: tuple[float, float], fusion: Fusion) -> None:
    least, most = fusion.ratios
    low, high = least - RATIO_TOLERANCE, most + RATIO_TOLERANCE
    if not low <= min(ratio) <= max(ratio) <= high:
        raise GeorefError(
            f"MS pixels {ratio[0]:.6g} x {ratio[1]:.6g} times the PAN's",
            wanted=f"{least:g} to {most:g} times",
            do="are PAN and MS the wrong way round?" if max(ratio) < 1.0 else "",
            path=target.bands[0].path,
        )


def _no_overlap(guide: Image, target: Image) -> GeorefError:
    return GeorefError(
        f"no overlap with PAN {guide.bands[0].path}",
        wanted="PAN and MS of one place",
        path=target.bands[0].path,
    )


def _partial(share: float) -> tuple[str, ...]:
    return () if share > 1.0 - 1e-6 else (f"fusing the intersection: {100.0 * share:.4g} % of PAN",)


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
