"""Products as they are looked at: pixels of a window at a power-of-two scale, from the overview that has them.

A second door to GDAL beside `geofuse.rasters.datasets`, for products alone: each thread keeps a dataset open for
each overview. That door looks at a file first, sniffs it and walks its header; here it is opened by the driver
found there, with its settings.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.env import set_gdal_config
from rasterio.errors import RasterioError
from rasterio.session import DummySession
from rasterio.windows import Window as RasterWindow

from geofuse.errors import ChangedError, CorruptError
from geofuse.geometry import Window
from geofuse.rasters.datasets import inspect
from geofuse.rasters.opening.drivers import CACHE_BYTES, SETTINGS
from geofuse.rasters.opening.handles import stamp_of
from geofuse.rasters.opening.headers import RasterFacts
from geofuse.rasters.validity import good
from geofuse.serve.stac.archive import Archive, IndexRow

HANDLES = 48
"""Datasets each thread keeps open: a product has one for each of its overviews."""
_here = threading.local()
_bound = False


@dataclass(frozen=True, slots=True)
class Raster:
    """A raster file as it was when it was looked at."""

    path: str
    """Where it is."""
    stamp: tuple[int, int, int, int]
    """Device, inode, size and mtime_ns: another one is another raster."""
    facts: RasterFacts = field(compare=False)
    """What its header says; path and stamp tell one raster from another."""
    factors: tuple[int, ...]
    """Of its overviews: pixels that become one, along an axis."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.facts.grid.height, self.facts.grid.width


def raster_at(path: Path) -> Raster:
    """Look at a file, or remember what was seen of it; raises MissingError's kin where it cannot be read."""
    try:
        stamp = stamp_of(os.stat(path))
    except OSError as fault:
        raise ChangedError("the file vanished", path=str(path)) from fault
    return _looked(str(path), stamp)


def mask_of(archive: Archive, row: IndexRow) -> Raster | None:
    """Look at an item's mask; None where it has none."""
    return raster_at(archive.asset_path(row, "mask")) if "mask" in row.assets else None


@lru_cache(maxsize=4096)
def _looked(path: str, stamp: tuple[int, int, int, int]) -> Raster:
    facts = inspect(path)
    with gdal(), rasterio.open(path, driver=facts.driver, sharing=False) as dataset:
        factors = tuple(dataset.overviews(1))
    return Raster(path, stamp, facts, factors)


def read_scaled(
    raster: Raster,
    bands: tuple[int, ...],
    window: Window,
    factor: int,
    *,
    flags: bool = False,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read bands, counted from 0, over a window of the raster made smaller by `factor`, a power of two.

    `window` is row0, row1, col0, col1 within `scaled_shape`. Returns values (bands, rows, cols), 0 where
    invalid, and valid (rows, cols). Averages over valid pixels; of
    `flags`, which have no mean, the nearest pixel.
    """
    level = max((held for held in raster.factors if held <= factor), default=1)
    step = factor // level
    row0, row1, col0, col1 = window
    size = row1 - row0, col1 - col0
    with gdal():
        try:
            dataset = _dataset(raster, level)
            across = RasterWindow(col0 * step, row0 * step, size[1] * step, size[0] * step)
            planes = dataset.read(
                [band + 1 for band in bands],
                window=across,
                boundless=False,
                out_shape=(len(bands), *size),
                resampling=Resampling.average if step > 1 and not flags else Resampling.nearest,
            )
        except RasterioError as fault:
            raise CorruptError("pixels that cannot be read", path=raster.path) from fault
    valid = np.ones(size, np.bool_)
    for band, plane in zip(bands, planes, strict=True):
        valid &= good(plane, raster.facts.nodata[band])
    values = planes.astype(np.float32)
    if not valid.all():
        np.copyto(values, 0, where=~valid)
    return values, valid


def scaled_shape(raster: Raster, factor: int) -> tuple[int, int]:
    """Return rows and columns of the raster made smaller by `factor`; what is left over at the edge is cut."""
    level = max((held for held in raster.factors if held <= factor), default=1)
    step = factor // level
    height, width = raster.shape
    return max(1, -(-height // level) // step), max(1, -(-width // level) // step)


def _dataset(raster: Raster, level: int) -> Any:
    """Return this thread's dataset of one level of a raster."""
    mine: OrderedDict[tuple[Any, ...], Any] = getattr(_here, "datasets", None) or OrderedDict()
    _here.datasets = mine
    key = (raster.path, raster.stamp, level)
    if key in mine:
        mine.move_to_end(key)
        return mine[key]
    options = {} if level == 1 else {"OVERVIEW_LEVEL": raster.factors.index(level)}
    dataset = rasterio.open(raster.path, driver=raster.facts.driver, sharing=False, **options)
    if stamp_of(os.stat(raster.path)) != raster.stamp:
        dataset.close()
        raise ChangedError("the file was replaced", path=raster.path)
    mine[key] = dataset
    if len(mine) > HANDLES:
        mine.popitem(last=False)[1].close()
    return dataset


@contextmanager
def gdal() -> Iterator[None]:
    """Enter GDAL with the settings of `geofuse.rasters.opening.drivers`, once in each thread."""
    _bind()
    if getattr(_here, "inside", False):
        yield
        return
    with rasterio.Env(session=DummySession(), **SETTINGS):
        _here.inside = True
        try:
            yield
        finally:
            _here.inside = False


def _bind() -> None:
    global _bound
    if not _bound:
        set_gdal_config("GDAL_CACHEMAX", CACHE_BYTES)
        _bound = True


def stay_in_gdal() -> None:
    """Enter GDAL for as long as this thread lives: for the threads of a pool."""
    _bind()
    rasterio.Env(session=DummySession(), **SETTINGS).__enter__()  # never left: there is no end to tidy up for
    _here.inside = True
