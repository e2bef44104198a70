"""Rasters of a delivery as bands and images: what all readers do alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from geofuse.errors import GeorefError, PixelError
from geofuse.rasters.datasets import inspect
from geofuse.rasters.grids import apart_px
from geofuse.rasters.headers import RasterFacts
from geofuse.rasters.image import Band, Grid, Image, Piece
from geofuse.rasters.tiling import SAME_GRID_PX, TileLayout, laid_out
from geofuse.rasters.validity import holds
from geofuse.scenes import sidecars
from geofuse.scenes.projecting import same_crs


@dataclass(frozen=True, slots=True)
class RasterFile:
    """One raster: what its header and its honest sidecars say."""

    facts: RasterFacts
    """The header."""
    grid: Grid
    """Its grid, by a world file where the header has none."""
    rpcs: dict[str, str] | None
    """RPCs of the header or of a sidecar."""
    imd: sidecars.Imd | None
    """The provider's metadata file, if there is one."""
    warnings: tuple[str, ...]
    """Sidecars that were ignored."""


def bare_file(path: str) -> RasterFile:
    """Look at a raster's header alone."""
    facts = inspect(path)
    return RasterFile(facts, facts.grid, facts.rpcs, None, ())


def file_with_sidecars(path: str) -> RasterFile:
    """Look at a raster's header, and at the sidecars beside it that are read: world file, RPCs, .IMD."""
    facts = inspect(path)
    grid, rpcs = facts.grid, facts.rpcs
    warnings: list[str] = []
    if not facts.has_transform:
        transform, more = sidecars.world_beside(path)
        grid = grid if transform is None else replace(grid, transform=transform)
        warnings += more
    if rpcs is None:
        rpcs, more = sidecars.rpcs_beside(path)
        warnings += more
    imd, more = sidecars.imd_beside(path)
    warnings += more
    if facts.alpha:
        warnings.append(f"{path}: band {facts.alpha} is an alpha band: it masks, it is not fused")
    return RasterFile(facts, grid, rpcs, imd, tuple(warnings))


def band_in(file: RasterFile, at: int, warnings: list[str]) -> Band:
    """Return what the file alone says of a band; `at` is 0-based. What it says in vain is added to `warnings`."""
    facts = file.facts
    nodata, dtype = facts.nodata[at], facts.dtypes[at]
    if not holds(dtype, nodata):
        warnings.append(f"{facts.path}: band {at + 1}: nodata {nodata:g} does not fit {dtype}; ignored")
        nodata = None
    scale, offset = facts.scales[at], facts.offsets[at]
    tagged = (scale, offset) != (1.0, 0.0)
    return Band(
        name=str(at + 1),
        pieces=(Piece(facts.path, at + 1),),
        dtype=dtype,
        nodata=nodata,
        gain=scale if tagged else None,
        offset=offset if tagged else None,
        tag_scale=scale,
        tag_offset=offset,
        saturation=type_top(dtype),
        color=facts.colors[at],
    )


def image_in(role: str, files: Sequence[RasterFile], bands: tuple[Band, ...]) -> Image:
    """Return the image of bands that lie in files of one grid; GeorefError, by name, where they do not."""
    one_grid(files)
    alphas = tuple(Piece(file.facts.path, file.facts.alpha) for file in files if file.facts.alpha)
    if len(alphas) > 1:
        path = alphas[1].path
        raise PixelError("alpha bands in several files of one image", wanted="one at most", path=path)
    blocks = [file.facts.block for file in files]
    return Image(
        role=role,
        bands=bands,
        grid=files[0].grid,
        drivers={file.facts.path: file.facts.driver for file in files},
        alpha=alphas,
        masks=tuple(file.facts.path for file in files if file.facts.internal_mask),
        rpcs=next((file.rpcs for file in files if file.rpcs), None),
        block=(max(rows for rows, _ in blocks), max(cols for _, cols in blocks)),
    )


def tiled_image(
    role: str, files: Sequence[RasterFile], bands: tuple[Band, ...], *, gaps: bool = False
) -> Image:
    """Return the image of bands that lie in tiles: `bands` are those of the first file, the others' are alike.

    Raises what `geofuse.rasters.tiling.laid_out` raises.
    """
    if len(files) == 1:
        return image_in(role, files, bands)
    layout = laid_out([replace(file.facts, grid=file.grid) for file in files], gaps=gaps)
    first, blocks = image_in(role, files[:1], bands), [tile.block for tile in layout.tiles]
    return replace(
        first,
        bands=tuple(replace(band, pieces=_pieces(layout, band.pieces[0].index)) for band in bands),
        grid=layout.grid,
        drivers={tile.path: tile.driver for tile in layout.tiles},
        alpha=_pieces(layout, first.alpha[0].index) if first.alpha else (),
        masks=tuple(tile.path for tile in layout.tiles if tile.internal_mask),
        rpcs=None,  # a tile's coefficients speak of its own pixels
        block=(max(rows for rows, _ in blocks), max(cols for _, cols in blocks)),
    )


def _pieces(layout: TileLayout, index: int) -> tuple[Piece, ...]:
    places = zip(layout.tiles, layout.windows, strict=True)
    return tuple(Piece(tile.path, index, window=window) for tile, window in places)


def one_grid(files: Sequence[RasterFile]) -> None:
    """Raise GeorefError, by name, for a file on another grid than the first one's."""
    first = files[0]
    for other in files[1:]:
        one, two = first.grid, other.grid
        same = (one.height, one.width) == (two.height, two.width) and bool(one.crs) == bool(two.crs)
        if same and one.transform != two.transform:
            same = apart_px(one, two) <= SAME_GRID_PX
        if not same or not same_crs(one.crs, two.crs):
            raise GeorefError(
                f"a grid other than that of {first.facts.path}",
                wanted="all MS bands on one grid",
                do="warp them to one grid first",
                path=other.facts.path,
            )


def type_top(dtype: str) -> float | None:
    """Return the largest number of an 8- or 16-bit type, where saturated detectors end; None for others."""
    return float(np.iinfo(dtype).max) if dtype in ("uint8", "int16", "uint16") else None
