"""The door to GDAL for reading: one named driver, nothing beside the file, and every murmur heard.

Every file is sniffed and its header walked before GDAL sees it. Who opens a dataset opens it here; the maps of
`geofuse.serve` alone keep datasets of their own, one for each overview, opened with the settings of this door.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.env import set_gdal_config
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.session import DummySession

from geofuse.errors import CorruptError, FormatError
from geofuse.geometry import Window
from geofuse.rasters.block_cache import drop
from geofuse.rasters.image import WHOLE_DTYPES, Grid
from geofuse.rasters.opening.drivers import CACHE_BYTES, SETTINGS, driver_named
from geofuse.rasters.opening.handles import (
    Handle,
    check_handle,
    handle_of,
    listening,
    stamp_of,
    without_warning,
)
from geofuse.rasters.opening.headers import MAX_BANDS, MAX_BLOCK_BYTES, RasterFacts, check_pixels, check_tiff
from geofuse.rasters.opening.sniffing import locate, opened, probe, sniff
from geofuse.rasters.pam import check_mask, mask_beside, with_pam

T = TypeVar("T")

_log = logging.getLogger(__name__)
# GDAL only warns of these, and hands out grey or zero pixels
_DAMAGE = re.compile(
    r"corrupt|premature|truncat|discarding|lack of data|not enough data|not end with EOC|incorrect count",
    re.IGNORECASE,
)
# a NODATA_VALUES tag: a pixel is nodata where all bands are, which GDAL hands out as a mask
_VOTED = [MaskFlags.per_dataset, MaskFlags.nodata]
GDAL_FAULTS = (RasterioError, CPLE_BaseError, CRSError)


_cache_bound_in: set[int] = set()


def inspect(path: str) -> RasterFacts:
    """Return what a raster's header says, without reading a pixel.

    Raises FormatError for what is no TIFF or JPEG 2000 or holds an unknown codec, CorruptError for a damaged
    or absurd header, PixelError for pixels that cannot be fused, ReadError where the storage fails.
    """
    drop(path)
    with gdal():
        handle = open_dataset(path)
        try:
            facts = _facts(path, handle)
            bits = _bits(handle.dataset, facts.alpha)
        except GDAL_FAULTS as error:
            raise CorruptError(f"a header GDAL cannot read: {error}", path=path) from error
        finally:
            handle.dataset.close()
    check_pixels(facts, bits)
    return facts


def beside(facts: RasterFacts) -> tuple[RasterFacts, RasterFacts | None, tuple[str, ...]]:
    """Return a raster's facts with what its .aux.xml says, those of the mask in its .msk, and warnings.

    Raises PixelError for a mask that is none of this raster, and what `inspect` raises of it.
    """
    facts, warnings = with_pam(facts, _wkt_of)
    path = mask_beside(facts.path)
    if path is None:
        return facts, None, warnings
    try:
        mask = inspect(path)
    except FormatError as fault:
        do = "remove it, or write it as a TIFF: without it masked pixels would be taken for data"
        raise FormatError(f"a mask that is {fault.found}", wanted=fault.wanted, do=do, path=path) from fault
    check_mask(mask, facts)
    return facts, mask, warnings


def _wkt_of(text: str) -> str:
    try:
        return _wkt(CRS.from_wkt(text))
    except CRSError:
        raise FormatError("no coordinate reference system that PROJ knows", wanted="WKT") from None


@contextmanager
def gdal() -> Iterator[list[str]]:
    """Enter GDAL with our settings in this thread; yields what it warns of meanwhile."""
    if os.getpid() not in _cache_bound_in:
        set_gdal_config("GDAL_CACHEMAX", CACHE_BYTES)
        _cache_bound_in.add(os.getpid())
    with listening() as heard, rasterio.Env(session=DummySession(), **SETTINGS):
        yield heard


def open_dataset(path: str) -> Handle:
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
                return rasterio.open(name, driver=driver, sharing=False, **driver_named(driver).options)
        except GDAL_FAULTS as error:
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
        bits=_depth(dataset, tags, None if alpha not in colors else colors.index(alpha) + 1),
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


def _depth(dataset: Any, tags: dict[str, str], alpha: int | None) -> int | None:
    """Return the bits of a pixel where they are fewer than the type's: as the file packs them, or as it is tagged."""
    whole = np.dtype(dataset.dtypes[0]) if dataset.dtypes[0] in WHOLE_DTYPES else None
    if whole is None:
        return None
    said = {
        dataset.tags(n, ns="IMAGE_STRUCTURE").get("NBITS") for n in range(1, dataset.count + 1) if n != alpha
    }
    text = said.pop() if len(said) == 1 else None
    text = tags.get("NBITS") if text is None else text
    most = 8 * whole.itemsize - (whole.kind == "i")
    return int(text) if text is not None and text.isdecimal() and 8 <= int(text) < most else None


def reading(path: str, driver: str, work: Callable[[Any], T], window: Window) -> T:
    """Let `work` read from the dataset; whatever damage GDAL raises or mutters becomes a named error.

    A failed read is tried once more from a fresh handle, for a fault of the storage may pass; and a handle
    that saw damage is closed, for its cached blocks would be handed out in silence the next time.
    """
    cause: Exception | None = None
    problem: str | None = None
    for attempt in (1, 2):
        with gdal() as heard:
            dataset = handle_of(path, driver, open_dataset)
            heard.clear()  # what it said on opening is about tags, not pixels
            try:
                found = work(dataset)
                problem = next((text for text in heard if _DAMAGE.search(text)), None)
            except GDAL_FAULTS as error:
                problem, cause = str(error.__cause__ or error), error
        if problem is None:
            if attempt == 2:
                _log.warning("%s: window %s failed once and was then read", path, window)
            return found
        check_handle(path)
        drop(path)
        probe(path)
    raise CorruptError(f"{problem}, in window {window}", do="fetch it again", path=path) from cause


def _masked(dataset: Any) -> bool:
    """Whether a mask lies inside the file: one for all bands, or (no flag at all) one for each."""
    return dataset.mask_flag_enums[0] in ([], [MaskFlags.per_dataset], _VOTED)
