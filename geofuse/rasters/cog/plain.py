"""A plain tiled GeoTIFF, for programs that want no more: no overviews, DEFLATE, written block by block."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.transform import Affine
from rasterio.windows import Window

from geofuse.errors import WriteError
from geofuse.files import replacing, write_faults
from geofuse.rasters.cog.spec import CogSpec

BLOCK_PX = 256


def write_plain(path: Path, spec: CogSpec, blocks: Iterable[tuple[tuple[int, int], NDArray[Any]]]) -> None:
    """Write blocks, each with its first row and column, as a GeoTIFF; whole or not at all.

    A block is (bands, h, w) in the spec's type. Every row and column is covered once. Raises WriteError.
    """
    profile = {
        "driver": "GTiff",
        "height": spec.height,
        "width": spec.width,
        "count": spec.bands,
        "dtype": spec.dtype,
        "nodata": spec.nodata,
        "crs": spec.crs or None,
        "transform": Affine(*spec.transform),
        "tiled": True,
        "blockxsize": BLOCK_PX,
        "blockysize": BLOCK_PX,
        "compress": "deflate",
        "predictor": 3 if np.dtype(spec.dtype).kind == "f" else 2,
        "bigtiff": "if_safer",
    }
    with replacing(path) as draft, write_faults(path):
        try:
            with rasterio.Env(GDAL_PAM_ENABLED="NO"), rasterio.open(draft, "w", **profile) as file:
                _describe(file, spec)
                for (row, col), pixels in blocks:
                    _, height, width = pixels.shape
                    file.write(pixels, window=Window(col, row, width, height))
        except RasterioError as fault:
            raise WriteError(
                "cannot write the GeoTIFF", do="free space, then try again", path=str(path)
            ) from fault


def _describe(file: Any, spec: CogSpec) -> None:
    file.update_tags(**spec.tags)
    file.descriptions = [name or None for name in spec.descriptions]
    file.colorinterp = [ColorInterp.__members__.get(name, ColorInterp.undefined) for name in spec.colors]
    if any(scale != 1.0 for scale in spec.scales) or any(spec.offsets):
        file.scales, file.offsets = spec.scales, spec.offsets
