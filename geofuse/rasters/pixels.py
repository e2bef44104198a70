"""Windows of an image's pixels with their validity, put together from the files its bands lie in.

Padding lives here; NaN never leaves. GDAL is reached by `geofuse.rasters.datasets` alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling

from geofuse.errors import UsageError
from geofuse.geometry import Window
from geofuse.rasters.block_cache import drop
from geofuse.rasters.datasets import inspect, reading
from geofuse.rasters.image import Image
from geofuse.rasters.opening.handles import close_handles
from geofuse.rasters.opening.headers import RasterFacts
from geofuse.rasters.opening.sniffing import file_of, identity, input_sha256, locate
from geofuse.rasters.pieces import float_type, groups_of, mosaic, stored
from geofuse.rasters.validity import good
from geofuse.rasters.warping import warped

__all__ = [
    "RasterFacts",
    "close_handles",
    "file_of",
    "identity",
    "input_sha256",
    "inspect",
    "locate",
    "read_raw",
    "read_reduced",
    "read_window",
]

FLOAT32_TOP = float(np.finfo(np.float32).max)


def read_window(
    image: Image, indices: tuple[int, ...], window: Window
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read bands over `window` = row0, row1, col0, col1 of the image's grid, padded beyond it by mirroring.

    Returns values (len(indices), rows, cols), float32, or float64 where a band is int32, uint32 or float64,
    and valid (rows, cols): valid in all those bands. `indices` count from 0 into `image.bands`. Invalid
    values are 0. Beyond the grid both repeat "symmetric" (d c b a | a b c d | d c b a), as often as needed.
    Raises CorruptError, ChangedError, ReadError.
    """
    row0, row1, col0, col1 = window
    if row1 <= row0 or col1 <= col0:
        raise UsageError(f"an empty window {window}", wanted="row0 < row1 and col0 < col1")
    rows, cols = _mirrored(row0, row1, image.grid.height), _mirrored(col0, col1, image.grid.width)
    inner = int(rows.min()), int(rows.max()) + 1, int(cols.min()), int(cols.max()) + 1
    values, valid = _gathered(image, indices, inner)
    if inner == window:
        return values, valid
    rows, cols = rows - inner[0], cols - inner[2]
    return values.take(rows, axis=1).take(cols, axis=2), valid.take(rows, axis=0).take(cols, axis=1)


def read_raw(image: Image, index: int, window: Window) -> NDArray[Any]:
    """Read one band's stored values (rows, cols), unmasked, in the stored type, inside the grid.

    Where no piece lies they are the band's nodata, 0 where it has none.
    """
    if image.warped:
        raise UsageError("stored values of an image that is warped", wanted="one on its own grid")
    row0, row1, col0, col1 = window
    if not (0 <= row0 < row1 <= image.grid.height and 0 <= col0 < col1 <= image.grid.width):
        raise UsageError(f"a window {window} beyond the grid")
    return stored(image, index, window)


def read_sparse(path: str, band: int, side: int) -> NDArray[Any]:
    """Read every so many pixels of a band, stored values (h, w) of at most `side` on each side."""
    facts = inspect(path)
    step = max(1, -(-max(facts.grid.height, facts.grid.width) // side))
    shape = -(-facts.grid.height // step), -(-facts.grid.width // step)

    def work(dataset: Any) -> NDArray[Any]:
        found: NDArray[Any] = dataset.read(band, out_shape=shape, resampling=Resampling.nearest)
        return found

    try:
        return reading(path, facts.driver, work, (0, facts.grid.height, 0, facts.grid.width))
    finally:
        drop(path)


def read_reduced(path: str, size_px: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read a whole raster at most `size_px` pixels long: values (bands, h, w), valid (h, w).

    Averages over valid pixels, from the file's own overviews where it has them. Invalid values are 0; alpha
    is no band.
    """
    facts = inspect(path)
    step = max(1, -(-max(facts.grid.height, facts.grid.width) // size_px))
    shape = -(-facts.grid.height // step), -(-facts.grid.width // step)
    bands = [i for i in range(1, len(facts.dtypes) + 1) if i != facts.alpha]

    def work(dataset: Any) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        values = np.zeros((len(bands), *shape), np.float32)
        valid = np.ones(shape, np.bool_)
        for place, band in enumerate(bands):
            plane = dataset.read(band, out_shape=shape, resampling=Resampling.average)
            valid &= good(plane, facts.nodata[band - 1])
            # nodata of float64 is often its lowest number, which float32 has not
            values[place] = np.clip(plane, -FLOAT32_TOP, FLOAT32_TOP) if plane.dtype == np.float64 else plane
        if facts.alpha:
            valid &= dataset.read(facts.alpha, out_shape=shape) != 0
        if facts.internal_mask:
            valid &= dataset.read_masks(1, out_shape=shape) != 0
        return values, valid

    try:
        values, valid = reading(path, facts.driver, work, (0, facts.grid.height, 0, facts.grid.width))
    finally:
        drop(path)
    np.copyto(values, 0, where=~valid)
    return values, valid


def _mirrored(start: int, stop: int, size: int) -> NDArray[np.int64]:
    """Return the pixel inside [0, size) that each of [start, stop) mirrors to; the edge pixel is repeated."""
    at = np.arange(start, stop, dtype=np.int64) % (2 * size)
    return np.minimum(at, 2 * size - 1 - at)


def _gathered(
    image: Image, indices: tuple[int, ...], window: Window
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read a window inside the grid from the files that hold its bands and masks."""
    row0, row1, col0, col1 = window
    dtype = float_type([image.bands[index] for index in indices])
    values = np.zeros((len(indices), row1 - row0, col1 - col0), dtype)
    valid = np.ones((row1 - row0, col1 - col0), np.bool_)
    for group in groups_of(image, indices):
        planes, seen = (warped if image.warped else mosaic)(image, group, window)
        for position, plane in zip(group.positions, planes, strict=True):
            values[position] = plane
        valid &= seen
    if not valid.all():
        np.copyto(values, 0, where=~valid)
    return values, valid
