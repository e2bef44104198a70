"""Rasters with known pixels, and the Images to read them through."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyproj
import rasterio
from affine import Affine

from geofuse.rasters.image import Band, Image, Piece
from geofuse.rasters.pixels import inspect, read_window

UTM = pyproj.CRS("EPSG:32633").to_wkt()
NORTH_UP = Affine(30.0, 0.0, 400_000.0, 0.0, -30.0, 5_800_000.0)


def write(path, planes, **options):
    """Write (band, row, col) as a raster; returns its path as text."""
    planes = np.asarray(planes)
    profile = {
        "driver": "GTiff",
        "count": planes.shape[0],
        "height": planes.shape[1],
        "width": planes.shape[2],
        "dtype": planes.dtype.name,
        "crs": UTM,
        "transform": NORTH_UP,
    }
    with rasterio.open(path, "w", **(profile | options)) as file:
        file.write(planes)
    return str(path)


def source_of(*paths, nodata=None, **changes):
    """Make an Image of all bands of some rasters; `nodata` per band instead of the files' own."""
    facts = [inspect(path) for path in paths]
    bands = tuple(
        Band(str(i), (Piece(one.path, i + 1),), kind, nodata=one.nodata[i])
        for one in facts
        for i, kind in enumerate(one.dtypes)
        if i + 1 != one.alpha
    )
    if nodata is not None:
        bands = tuple(replace(band, nodata=value) for band, value in zip(bands, nodata, strict=True))
    made = Image(
        "raster",
        bands,
        facts[0].grid,
        {one.path: one.driver for one in facts},
        alpha=tuple(Piece(one.path, one.alpha) for one in facts if one.alpha),
        masks=tuple(one.path for one in facts if one.internal_mask),
    )
    return replace(made, **changes)


def read_all(path):
    source = source_of(path)
    return read_window(source, tuple(range(len(source.bands))), whole(source))


def whole(source):
    return (0, source.grid.height, 0, source.grid.width)


def noise(*shape, dtype="uint16", low=1, high=250, seed=0):
    return np.random.default_rng(seed).integers(low, high, shape).astype(dtype)
