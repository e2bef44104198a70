"""Pixels read through a warp onto a grid that their files do not lie on: another CRS, or turned against it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform

from geofuse.errors import GeorefError
from geofuse.geometry import Window
from geofuse.rasters.datasets import gdal, open_dataset
from geofuse.rasters.image import Image
from geofuse.rasters.opening.handles import handle_of
from geofuse.rasters.pieces import Group, float_type, mosaic
from geofuse.rasters.validity import between, mapped, sampled, touched

WARP_BLOCK_PX = 256
WARP_KNOT_PX = 8
WARP_COARSENING = 4


def warped(image: Image, group: Group, window: Window) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """Read a window of the image's grid from files on another one: cubic, valid as the pixel underneath is.

    It is put together from blocks anchored at the grid's origin, so that a pixel is the same in every window:
    PROJ may choose between operations by the points it is given together.
    """
    row0, row1, col0, col1 = window
    step, strips = WARP_BLOCK_PX, []
    for top in range(row0 // step * step, row1, step):
        blocks = [_block(image, group, (top, left)) for left in range(col0 // step * step, col1, step)]
        strips.append(tuple(np.concatenate(part, axis=-1) for part in zip(*blocks, strict=True)))
    values, valid = (np.concatenate(part, axis=-2) for part in zip(*strips, strict=True))
    rows, cols = (
        slice(start % step, start % step + stop - start) for start, stop in ((row0, row1), (col0, col1))
    )
    return values[:, rows, cols], valid[rows, cols]


def _block(
    image: Image, group: Group, corner: tuple[int, int]
) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """Warp one anchored block, whole even where the grid ends in it."""
    rows, cols, shape = _places(image, group, corner)
    window = (*touched(rows, shape[0]), *touched(cols, shape[1]))
    size = window[1] - window[0], window[3] - window[2]
    dtype = float_type(group.bands)
    if min(size) <= 0:
        block = WARP_BLOCK_PX, WARP_BLOCK_PX
        return np.zeros((len(group.bands), *block), dtype), np.zeros(block, np.bool_)
    if max(size) > WARP_COARSENING * WARP_BLOCK_PX:
        raise GeorefError(
            f"{max(size)} of its pixels under {WARP_BLOCK_PX} of the grid it is warped to",
            wanted=f"at most {WARP_COARSENING} to 1",
            path=group.tiles[0].path,
        )
    planes, valid = mosaic(image, group, window)
    stack = np.zeros((len(planes), *size), dtype)
    for out, plane in zip(stack, planes, strict=True):
        out[valid] = plane[valid]
    return sampled(stack, valid, rows - window[0], cols - window[2])


def _places(
    image: Image, group: Group, corner: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[int, int]]:
    """Return where the centres of an anchored block's pixels lie in the files, rows and cols, and their shape.

    In pixels whose centres are whole numbers; NaN where the projection does not reach. Only every 8th pixel
    is projected: in between a projection is straight to about pixel size / Earth's radius x 8 pixels.
    """
    first = group.tiles[0]
    with gdal():
        dataset = handle_of(first.path, image.drivers[first.path], open_dataset)
        here, there = dataset.crs, _crs(image.grid.crs)
        if not here or not there:
            raise GeorefError("a warp without a coordinate reference system", path=first.path)
        at = np.arange(0, WARP_BLOCK_PX + 1, WARP_KNOT_PX) + 0.5
        row, col = np.meshgrid(corner[0] + at, corner[1] + at, indexing="ij")
        x, y = mapped(image.grid.transform, col.ravel(), row.ravel())
        if here != there:
            x, y = _projected(there, here, x, y)
        if here.is_geographic:  # longitudes on the turn that the file itself is on
            middle = dataset.xy(dataset.height // 2, dataset.width // 2)[0]
            x = x + 360.0 * np.round((middle - x) / 360.0)
        knots = mapped(tuple(~dataset.transform)[:6], x, y)
        cols, rows = (between(part.reshape(row.shape), WARP_KNOT_PX) - 0.5 for part in knots)
        if first.window is None:
            return rows, cols, dataset.shape
        # the first tile knows where it lies; the others lie beside it
        return rows + first.window[0], cols + first.window[2], _extent(image)


def _extent(image: Image) -> tuple[int, int]:
    """Return rows and columns of the grid that an image's pieces make."""
    windows = [piece.window for band in image.bands for piece in band.pieces if piece.window is not None]
    return max(window[1] for window in windows), max(window[3] for window in windows)


@lru_cache(maxsize=32)
def _crs(wkt: str) -> CRS | None:
    try:
        return CRS.from_wkt(wkt) if wkt else None
    except CRSError as error:
        raise GeorefError(f"no coordinate reference system: {wkt[:40]!r}", wanted="WKT") from error


def _projected(
    here: CRS, there: CRS, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Project points; NaN where that fails, which PROJ tells only of a whole batch."""
    try:
        there_x, there_y = transform(here, there, x, y)
        found = np.array(there_x), np.array(there_y)
        bad = ~(np.isfinite(found[0]) & np.isfinite(found[1]))
        found[0][bad], found[1][bad] = np.nan, np.nan
        return found
    except CPLE_BaseError:
        if x.size <= 16:
            return np.full_like(x, np.nan), np.full_like(y, np.nan)
        half = x.size // 2
        left, right = _projected(here, there, x[:half], y[:half]), _projected(here, there, x[half:], y[half:])
        return np.concatenate([left[0], right[0]]), np.concatenate([left[1], right[1]])
