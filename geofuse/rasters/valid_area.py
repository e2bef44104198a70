"""Where a product has pixels: the outline of its valid area, from its own overviews."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes, sieve

from geofuse.errors import PixelError
from geofuse.nouns import GeoJson
from geofuse.rasters.block_cache import drop
from geofuse.rasters.datasets import inspect, reading
from geofuse.rasters.opening.headers import RasterFacts

OUTLINE_PX = 2048
"""The area is traced on at most this many pixels a side: a rim of half a pixel is then about 0.1 % of it."""
SPECK_PX = 64
"""Islands and holes of fewer traced pixels are left out, at most a thousandth of the area each."""
STRAIGHTEN_PX = 1.0
"""A slanted border is traced as stairs one pixel high; a line within this of them is as true."""


def valid_area(path: str) -> GeoJson:
    """Return the outline of a geofuse product's valid pixels as a GeoJSON geometry in the raster's own CRS.

    A product's pixel is valid in all bands or in none, so its first band speaks for all. Polygon or
    MultiPolygon; holes and islands over `SPECK_PX` traced pixels are kept. Raises CorruptError for pixels that
    cannot be read, PixelError where none is valid.
    """
    facts = inspect(path)
    grid = facts.grid
    step = 1  # that of an overview: its pixels are read as they are
    while max(grid.height, grid.width) > OUTLINE_PX * step:
        step *= 2
    mask = _mask(path, facts, (-(-grid.height // step), -(-grid.width // step)))
    if not mask.any():
        raise PixelError("no valid pixel", path=path)
    parts = _parts(mask)
    merged = shapely.make_valid(shapely.simplify(shapely.union_all(parts), STRAIGHTEN_PX))
    polygons = [part for part in shapely.get_parts(merged) if part.geom_type == "Polygon" and part.area > 0.0]
    area = shapely.union_all(polygons or parts)
    a, b, c, d, e, f = grid.transform

    def placed(corners: NDArray[np.float64]) -> NDArray[np.float64]:
        col, row = np.minimum(corners * step, [grid.width, grid.height]).T
        return np.stack([a * col + b * row + c, d * col + e * row + f], axis=1)

    found: GeoJson = shapely.geometry.mapping(shapely.transform(area, placed))
    return found


def _mask(path: str, facts: RasterFacts, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Read validity (h, w), 1 where valid, from the overview of that size."""

    def work(dataset: Any) -> NDArray[np.uint8]:
        return np.asarray(dataset.read_masks(1, out_shape=shape) > 0, np.uint8)

    try:
        return reading(path, facts.driver, work, (0, facts.grid.height, 0, facts.grid.width))
    finally:
        drop(path)


def _parts(mask: NDArray[np.uint8]) -> list[Any]:
    """Trace the valid pixels (h, w), without specks."""
    speck = min(SPECK_PX, int(mask.sum()) // 1000)
    cleaned = sieve(mask, speck) if speck > 1 else mask
    traced = cleaned if cleaned.any() else mask
    return [shapely.geometry.shape(outline) for outline, _ in shapes(traced, mask=traced.astype(bool))]
