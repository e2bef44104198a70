"""How a target's grid lies on a guide's: axis maps, the guide's pixels covered, or the grid to warp the target to.

Positions in pixels are those of pixel corners here: an image covers [0, width] x [0, height].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from geofuse.errors import GeorefError, ProductError
from geofuse.fusions import SHARPEN, Fusion, Taken
from geofuse.geometry import AxisMap, covered
from geofuse.rasters.datasets import inspect
from geofuse.rasters.grids import composed, has_pixel_size
from geofuse.rasters.image import Grid, Image
from geofuse.rasters.tiling import native_grid
from geofuse.scenes.projecting import (
    EDGE_TOLERANCE_PX,
    Points,
    between,
    clipped,
    crs_name,
    densified,
    rectangle,
    same_crs,
    span,
    to_map,
)
from geofuse.scenes.scene import Scene

PARALLEL_CPX = 0.01
RATIO_TOLERANCE = 1e-6
WARP_MARGIN_CPX = 8
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


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
