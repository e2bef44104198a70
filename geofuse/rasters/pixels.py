"""The only door to GDAL for reading: what a raster's header says, and windows of pixels with their validity.

Every file is sniffed and its header walked before GDAL sees it, opened with exactly one named driver, and
kept from looking at anything beside it. Padding lives here; NaN never leaves.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.env import set_gdal_config
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.session import DummySession
from rasterio.warp import transform

from geofuse.errors import ChangedError, CorruptError, FormatError, GeorefError, UsageError
from geofuse.geometry import Window
from geofuse.rasters.block_cache import drop, read_cells
from geofuse.rasters.handles import (
    Handle,
    check_unchanged,
    close_handles,
    handle_of,
    listening,
    stamp_of,
    without_warning,
)
from geofuse.rasters.headers import MAX_BANDS, MAX_BLOCK_BYTES, RasterFacts, check_pixels, check_tiff
from geofuse.rasters.image import Grid, Image
from geofuse.rasters.sniffing import file_of, identity, input_sha256, locate, opened, probe, sniff
from geofuse.rasters.validity import between, good, mapped, sampled, touched

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

T = TypeVar("T")

CACHE_BYTES = 24 << 20
WARP_BLOCK_PX = 256
WARP_KNOT_PX = 8
WARP_COARSENING = 4
WIDE_DTYPES = ("int32", "uint32", "float64")
FLOAT32_TOP = float(np.finfo(np.float32).max)
SETTINGS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_GEOREF_SOURCES": "INTERNAL",
    "GDAL_TIFF_INTERNAL_MASK_TO_8BIT": "YES",
    # hidden threads would escape our ear, and parallelism has its own home
    "GDAL_NUM_THREADS": "1",
    # a mapped file that shrinks kills the process
    "GTIFF_VIRTUAL_MEM_IO": "NO",
    "GTIFF_DIRECT_IO": "NO",
    "GTIFF_IGNORE_READ_ERRORS": "NO",
    "GTIFF_FORCE_RGBA": "NO",
    "GTIFF_POINT_GEO_IGNORE": "NO",
}

_log = logging.getLogger(__name__)
# GDAL only warns of these, and hands out grey or zero pixels
_DAMAGE = re.compile(
    r"corrupt|premature|truncat|discarding|lack of data|not enough data|not end with EOC|incorrect count",
    re.IGNORECASE,
)
# a NODATA_VALUES tag: a pixel is nodata where all bands are, which GDAL hands out as a mask
_VOTED = [MaskFlags.per_dataset, MaskFlags.nodata]
_GDAL_FAULTS = (RasterioError, CPLE_BaseError, CRSError)

_cache_bound_in: set[int] = set()


def inspect(path: str) -> RasterFacts:
    """Return what a raster's header says, without reading a pixel.

    Raises FormatError for what is no TIFF or JPEG 2000 or holds an unknown codec, CorruptError for a damaged
    or absurd header, PixelError for pixels that cannot be fused, ReadError where the storage fails.
    """
    drop(path)
    with _gdal():
        handle = _open(path)
        try:
            facts = _facts(path, handle)
            bits = _bits(handle.dataset, facts.alpha)
        except _GDAL_FAULTS as error:
            raise CorruptError(f"a header GDAL cannot read: {error}", path=path) from error
        finally:
            handle.dataset.close()
    check_pixels(facts, bits)
    return facts


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
    """Read one band's stored values (rows, cols), unmasked, in the stored type, inside the grid."""
    if image.warped:
        raise UsageError("stored values of an image that is warped", wanted="one on its own grid")
    row0, row1, col0, col1 = window
    if not (0 <= row0 < row1 <= image.grid.height and 0 <= col0 < col1 <= image.grid.width):
        raise UsageError(f"a window {window} beyond the grid")
    band = image.bands[index]

    def work(dataset: Any) -> NDArray[Any]:
        _same_grid(dataset, image, band.path)
        return _planes(dataset, [band.pieces[0].index], window, band.path)[0]

    return _reading(band.path, image.drivers[band.path], work, window)


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
        values, valid = _reading(path, facts.driver, work, (0, facts.grid.height, 0, facts.grid.width))
    finally:
        drop(path)
    np.copyto(values, 0, where=~valid)
    return values, valid


@contextmanager
def _gdal() -> Iterator[list[str]]:
    """Enter GDAL with our settings in this thread; yields what it warns of meanwhile."""
    if os.getpid() not in _cache_bound_in:
        set_gdal_config("GDAL_CACHEMAX", CACHE_BYTES)
        _cache_bound_in.add(os.getpid())
    with listening() as heard, rasterio.Env(session=DummySession(), **SETTINGS):
        yield heard


def _open(path: str) -> Handle:
    """Check a file's bytes, then open it with the one driver they call for."""
    with opened(path) as span:
        driver = sniff(span)
        if driver == "GTiff":
            check_tiff(span)
        stamp = stamp_of(os.fstat(span.file.fileno()))
    real, base, size = locate(path)
    name = real if size is None else f"/vsisubfile/{base}_{size},{real}"
    dataset = _dataset(path, name, driver)
    if "OVERVIEW_FILE" in dataset.tags(ns="OVERVIEWS"):
        dataset.close()
        raise FormatError("a raster that points at another file for its overviews", path=path)
    block_bytes = _block_bytes(dataset)
    if dataset.count > MAX_BANDS or block_bytes > MAX_BLOCK_BYTES:
        dataset.close()
        raise CorruptError(
            f"{dataset.count} bands in blocks of {block_bytes} bytes decoded",
            wanted=f"{MAX_BANDS} bands and {MAX_BLOCK_BYTES} bytes at most",
            path=path,
        )
    return Handle(dataset, driver, stamp)


def _dataset(path: str, name: str, driver: str) -> Any:
    """Open what GDAL calls `name`; a failure is tried once more, for a fault of the storage may pass."""
    for attempt in (1, 2):
        try:
            with without_warning(NotGeoreferencedWarning):
                return rasterio.open(name, driver=driver, sharing=False)
        except _GDAL_FAULTS as error:
            text = str(error.__cause__ or error)
            if "missing codec" in text or "Unsupported" in text:
                raise FormatError(f"a codec or layout GDAL lacks: {text}", path=path) from error
            probe(path)
            if attempt == 2:
                raise CorruptError(f"a header GDAL cannot read: {text}", path=path) from error
    raise AssertionError("the second attempt returns or raises")


def _block_bytes(dataset: Any) -> int:
    """Return the decoded size of one block."""
    rows, cols = dataset.block_shapes[0]
    together = dataset.count if dataset.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE") == "PIXEL" else 1
    return int(rows * cols * together * np.dtype(dataset.dtypes[0].replace("_int16", "64")).itemsize)


def _facts(path: str, handle: Handle) -> RasterFacts:
    dataset = handle.dataset
    affine = dataset.transform
    try:
        colors = tuple(color.name.lower() for color in dataset.colorinterp)
    except ValueError:  # newer GDALs know colours that rasterio does not
        colors = ("undefined",) * dataset.count
    alpha = ColorInterp.alpha.name
    tags = dataset.tags()
    return RasterFacts(
        path=path,
        driver=handle.driver,
        grid=Grid(_wkt(dataset.crs), tuple(affine)[:6], dataset.height, dataset.width),
        has_transform=not affine.is_identity,
        gcps=len(dataset.gcps[0]),
        rpcs=dict(dataset.tags(ns="RPC")) or None,
        dtypes=tuple(dataset.dtypes),
        nodata=(None,) * dataset.count if _VOTED in dataset.mask_flag_enums else tuple(dataset.nodatavals),
        descriptions=tuple(dataset.descriptions),
        colors=colors,
        scales=tuple(float(scale) for scale in dataset.scales),
        offsets=tuple(float(offset) for offset in dataset.offsets),
        block=tuple(dataset.block_shapes[0]),
        alpha=colors.index(alpha) + 1 if alpha in colors else None,
        internal_mask=_masked(dataset),
        point=tags.get("AREA_OR_POINT") == "Point",
        tags=dict(tags),
    )


def _wkt(crs: CRS | None) -> str:
    if not crs:
        return ""
    try:
        return str(crs.to_wkt())
    except CRSError:  # what WKT 1 cannot say
        return str(crs.to_wkt(version="WKT2_2019"))


def _bits(dataset: Any, alpha: int | None) -> int:
    """Return the smallest number of bits an image band's pixels have where GDAL widened them; 8 if none."""
    bands = (band for band in range(1, dataset.count + 1) if band != alpha)
    return min((int(dataset.tags(b, ns="IMAGE_STRUCTURE").get("NBITS", 8)) for b in bands), default=8)


def _reading(path: str, driver: str, work: Callable[[Any], T], window: Window) -> T:
    """Let `work` read from the dataset; whatever damage GDAL raises or mutters becomes a named error.

    A failed read is tried once more from a fresh handle, for a fault of the storage may pass; and a handle
    that saw damage is closed, for its cached blocks would be handed out in silence the next time.
    """
    cause: Exception | None = None
    problem: str | None = None
    for attempt in (1, 2):
        with _gdal() as heard:
            dataset = handle_of(path, driver, _open)
            heard.clear()  # what it said on opening is about tags, not pixels
            try:
                found = work(dataset)
                problem = next((text for text in heard if _DAMAGE.search(text)), None)
            except _GDAL_FAULTS as error:
                problem, cause = str(error.__cause__ or error), error
        if problem is None:
            if attempt == 2:
                _log.warning("%s: window %s failed once and was then read", path, window)
            return found
        check_unchanged(path)
        drop(path)
        probe(path)
    raise CorruptError(f"{problem}, in window {window}", do="fetch it again", path=path) from cause


def _same_grid(dataset: Any, image: Image, path: str) -> None:
    if dataset.shape != (image.grid.height, image.grid.width):
        raise ChangedError(
            f"the file is {dataset.height} x {dataset.width} pixels now",
            wanted=f"{image.grid.height} x {image.grid.width}",
            path=path,
        )


def _mirrored(start: int, stop: int, size: int) -> NDArray[np.int64]:
    """Return the pixel inside [0, size) that each of [start, stop) mirrors to; the edge pixel is repeated."""
    at = np.arange(start, stop, dtype=np.int64) % (2 * size)
    return np.minimum(at, 2 * size - 1 - at)


def _files(image: Image, indices: tuple[int, ...]) -> dict[str, list[int]]:
    """Map each file to be read to the positions in `indices` of its bands; files that only mask have none."""
    found: dict[str, list[int]] = {}
    for position, index in enumerate(indices):
        found.setdefault(image.bands[index].path, []).append(position)
    for path in (*image.masks, *(piece.path for piece in image.alpha)):
        found.setdefault(path, [])
    return found


def _gathered(
    image: Image, indices: tuple[int, ...], window: Window
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read a window inside the grid from the files that hold its bands and masks."""
    row0, row1, col0, col1 = window
    wide = any(image.bands[i].dtype in WIDE_DTYPES for i in indices)
    values = np.zeros((len(indices), row1 - row0, col1 - col0), np.float64 if wide else np.float32)
    valid = np.ones((row1 - row0, col1 - col0), np.bool_)
    for path, positions in _files(image, indices).items():
        chosen = tuple(indices[position] for position in positions)
        planes, seen = (_warped_part if image.warped else _part)(image, path, chosen, window)
        for position, plane in zip(positions, planes, strict=True):
            values[position] = plane
        valid &= seen
    if not valid.all():
        np.copyto(values, 0, where=~valid)
    return values, valid


def _part(
    image: Image, path: str, indices: tuple[int, ...], window: Window
) -> tuple[list[NDArray[Any]], NDArray[np.bool_]]:
    """Read one file's bands as stored, and where it says all of them are valid."""
    bands = [image.bands[index] for index in indices]
    alpha = [piece.index for piece in image.alpha if piece.path == path]

    def work(dataset: Any) -> tuple[list[NDArray[Any]], NDArray[np.bool_]]:
        if not image.warped:
            _same_grid(dataset, image, path)
        planes = _planes(dataset, [band.pieces[0].index for band in bands] + alpha, window, path)
        seen = np.ones((window[1] - window[0], window[3] - window[2]), np.bool_)
        for band, plane in zip(bands, planes, strict=False):
            if plane.dtype != band.dtype:
                raise ChangedError(f"the file holds {plane.dtype} now, was {band.dtype}", path=path)
            seen &= good(plane, band.nodata)
        if alpha:
            seen &= planes.pop() != 0
        if path in image.masks:
            shared = MaskFlags.per_dataset in dataset.mask_flag_enums[0]
            masks = [1] if shared or not bands else [band.pieces[0].index for band in bands]
            seen &= (dataset.read_masks(masks, window=_pairs(window)) != 0).all(axis=0)
        return planes, seen

    return _reading(path, image.drivers[path], work, window)


def _pairs(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    return (window[0], window[1]), (window[2], window[3])


def _planes(dataset: Any, bands: list[int], window: Window, path: str) -> list[NDArray[Any]]:
    """Read bands as stored, in one call where they are of one type."""
    if not bands:
        return []
    if max(bands) > dataset.count:
        raise ChangedError(f"the file has {dataset.count} bands now, had {max(bands)}", path=path)
    if len({dataset.dtypes[band - 1] for band in bands}) == 1:
        return list(read_cells(dataset, bands, window, path))
    return [dataset.read(band, window=_pairs(window)) for band in bands]


def _masked(dataset: Any) -> bool:
    """Whether a mask lies inside the file: one for all bands, or (no flag at all) one for each."""
    return dataset.mask_flag_enums[0] in ([], [MaskFlags.per_dataset], _VOTED)


def _warped_part(
    image: Image, path: str, indices: tuple[int, ...], window: Window
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read a window of the image's grid from a file on another one: cubic, valid as the pixel underneath is.

    It is put together from blocks anchored at the grid's origin, so that a pixel is the same in every window:
    PROJ may choose between operations by the points it is given together.
    """
    row0, row1, col0, col1 = window
    step, strips = WARP_BLOCK_PX, []
    for top in range(row0 // step * step, row1, step):
        blocks = [
            _warped_block(image, path, indices, (top, left))
            for left in range(col0 // step * step, col1, step)
        ]
        strips.append(tuple(np.concatenate(part, axis=-1) for part in zip(*blocks, strict=True)))
    values, valid = (np.concatenate(part, axis=-2) for part in zip(*strips, strict=True))
    rows, cols = (slice(start % step, start % step + stop - start) for start, stop in _pairs(window))
    return values[:, rows, cols], valid[rows, cols]


def _warped_block(
    image: Image, path: str, indices: tuple[int, ...], corner: tuple[int, int]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Warp one anchored block, whole even where the grid ends in it."""
    rows, cols, shape = _places(image, path, corner)
    window = (*touched(rows, shape[0]), *touched(cols, shape[1]))
    size = window[1] - window[0], window[3] - window[2]
    wide = any(image.bands[i].dtype in WIDE_DTYPES for i in indices)
    if min(size) <= 0:
        block = WARP_BLOCK_PX, WARP_BLOCK_PX
        return np.zeros((len(indices), *block), np.float64 if wide else np.float32), np.zeros(block, np.bool_)
    if max(size) > WARP_COARSENING * WARP_BLOCK_PX:
        raise GeorefError(
            f"{max(size)} of its pixels under {WARP_BLOCK_PX} of the grid it is warped to",
            wanted=f"at most {WARP_COARSENING} to 1",
            path=path,
        )
    planes, valid = _part(image, path, indices, window)
    stack = np.zeros((len(planes), *size), np.float64 if wide else np.float32)
    for out, plane in zip(stack, planes, strict=True):
        out[valid] = plane[valid]
    return sampled(stack, valid, rows - window[0], cols - window[2])


def _places(
    image: Image, path: str, corner: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[int, int]]:
    """Return where the centres of an anchored block's pixels lie in the file, rows and cols, and its shape.

    In pixels whose centres are whole numbers; NaN where the projection does not reach. Only every 8th pixel
    is projected: in between a projection is straight to about pixel size / Earth's radius x 8 pixels.
    """
    with _gdal():
        dataset = handle_of(path, image.drivers[path], _open)
        here, there = dataset.crs, _crs(image.grid.crs)
        if not here or not there:
            raise GeorefError("a warp without a coordinate reference system", path=path)
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
        return rows, cols, dataset.shape


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
