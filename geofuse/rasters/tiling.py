"""Tiles of a delivery as one grid: where each lies, and that they fit together; from headers alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from geofuse.errors import GeorefError, PixelError, ProductError
from geofuse.geometry import Window
from geofuse.rasters.datasets import inspect
from geofuse.rasters.grids import apart_px, composed, has_pixel_size, shifted_grid
from geofuse.rasters.image import Band, Grid
from geofuse.rasters.opening.headers import RasterFacts

SAME_GRID_PX = 1e-3
"""How far pixels of one grid may lie apart, for coordinates are written with few digits."""


@dataclass(frozen=True, slots=True)
class TileLayout:
    """How tiles make one grid."""

    grid: Grid
    """The grid."""
    tiles: tuple[RasterFacts, ...]
    """The tiles, row-major by their corners."""
    windows: tuple[Window, ...]
    """What each covers of the grid."""


def laid_out(tiles: Sequence[RasterFacts], *, gaps: bool = False) -> TileLayout:
    """Lay tiles out on the one grid that they all lie on; overlaps are allowed, and compared when they are read.

    With `gaps` places that no tile covers are allowed: they are nodata. Raises, naming the tile, PixelError for
    one of other bands, types or nodata than the first, GeorefError for one on another grid, ProductError for a
    gap.
    """
    first = tiles[0]
    for tile in tiles:
        _check_alike(first, tile)
    corners = [_corner(first, tile) for tile in tiles]
    top, left = min(row for row, _ in corners), min(col for _, col in corners)
    windows = [
        (row - top, row - top + tile.grid.height, col - left, col - left + tile.grid.width)
        for (row, col), tile in zip(corners, tiles, strict=True)
    ]
    size = max(window[1] for window in windows), max(window[3] for window in windows)
    # the tile in the corner knows it best
    origin = next((tile.grid for tile, at in zip(tiles, corners, strict=True) if at == (top, left)), None)
    grid = (
        shifted_grid(first.grid, (top, left), size) if origin is None else shifted_grid(origin, (0, 0), size)
    )
    order = sorted(range(len(tiles)), key=lambda at: (windows[at][0], windows[at][2]))
    layout = TileLayout(grid, tuple(tiles[at] for at in order), tuple(windows[at] for at in order))
    if not gaps:
        _check_whole(layout)
    return layout


def _check_alike(first: RasterFacts, tile: RasterFacts) -> None:
    for what, one, other in (
        ("types", first.dtypes, tile.dtypes),
        ("nodata", tuple(map(repr, first.nodata)), tuple(map(repr, tile.nodata))),
        ("alpha band", first.alpha, tile.alpha),
    ):
        if one != other:
            raise PixelError(
                f"a tile of {what} {_shown(other)}",
                wanted=f"{_shown(one)}, as {first.path} has",
                path=tile.path,
            )


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _corner(first: RasterFacts, tile: RasterFacts) -> tuple[int, int]:
    """Return the row and column of a tile's corner on the first one's grid; GeorefError where it lies between."""
    wanted = f"a tile on the grid of {first.path}"
    if not (tile.has_transform and has_pixel_size(tile.grid)):
        raise GeorefError("a tile without a geotransform", wanted=wanted, path=tile.path)
    if tile.grid.crs != first.grid.crs:
        raise GeorefError("a tile in another coordinate system", wanted=wanted, path=tile.path)
    _, _, x, _, _, y = composed(tile.grid, first.grid)
    row, col = round(y), round(x)
    there = shifted_grid(first.grid, (row, col), (tile.grid.height, tile.grid.width))
    apart = apart_px(there, tile.grid)
    if apart > SAME_GRID_PX:
        raise GeorefError(f"a tile that lies {apart:.3g} pixels off", wanted=wanted, path=tile.path)
    return row, col


def _check_whole(layout: TileLayout) -> None:
    """Raise ProductError where a place is covered by no tile."""
    rows = sorted({edge for window in layout.windows for edge in window[:2]})
    cols = sorted({edge for window in layout.windows for edge in window[2:]})
    for row0, row1 in pairwise(rows):
        for col0, col1 in pairwise(cols):
            if not any(
                top <= row0 and row1 <= bottom and left <= col0 and col1 <= right
                for top, bottom, left, right in layout.windows
            ):
                raise ProductError(
                    f"{len(layout.tiles)} tiles, none of which covers rows {row0}..{row1 - 1}, "
                    f"columns {col0}..{col1 - 1}",
                    wanted="every tile of the delivery",
                    do="is one missing?",
                    path=layout.tiles[0].path,
                )


def native_grid(band: Band) -> Grid:
    """Return the grid that a band's files make, by their headers."""
    if band.pieces[0].window is None:
        return inspect(band.path).grid
    return laid_out([inspect(piece.path) for piece in band.pieces], gaps=True).grid
