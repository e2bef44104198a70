"""Rasters of a delivery as bands and images: what all readers do alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from geofuse.errors import GeorefError, PixelError
from geofuse.rasters.datasets import beside, inspect
from geofuse.rasters.grids import apart_px
from geofuse.rasters.image import Band, Grid, Image, Piece
from geofuse.rasters.opening.headers import RasterFacts
from geofuse.rasters.pixels import read_sparse
from geofuse.rasters.tiling import SAME_GRID_PX, TileLayout, laid_out
from geofuse.rasters.validity import holds
from geofuse.scenes import sidecars
from geofuse.scenes.projecting import same_crs

ALPHA_SIDE = 256
"""Pixels across that are looked at where a band may be alpha."""
ALPHA_PARTLY = 0.01
"""Share of an alpha band's pixels that may be neither nothing nor all: soft edges."""


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
    mask: RasterFacts | None = None
    """The mask beside it, whose zeros mark invalid pixels."""


def bare_file(path: str) -> RasterFile:
    """Look at a raster's header alone."""
    facts, mask, warnings = beside(inspect(path))
    return RasterFile(facts, facts.grid, facts.rpcs, None, warnings, mask)


def file_with_sidecars(path: str) -> RasterFile:
    """Look at a raster's header, and at the sidecars beside it that are read: world file, RPCs, .IMD."""
    facts, mask, ignored = beside(inspect(path))
    facts, told = alpha_or_band(facts)
    grid, rpcs = facts.grid, facts.rpcs
    warnings: list[str] = [*ignored, *told]
    if not facts.has_transform:
        transform, more = sidecars.world_beside(path)
        grid = grid if transform is None else replace(grid, transform=transform)
        warnings += more
    if rpcs is None:
        rpcs, more = sidecars.rpcs_beside(path)
        warnings += more
    imd, more = sidecars.imd_beside(path)
    warnings += more
    return RasterFile(facts, grid, rpcs, imd, tuple(warnings), mask)


def alpha_or_band(facts: RasterFacts) -> tuple[RasterFacts, tuple[str, ...]]:
    """Say whether a band that is tagged alpha is one: a mask holds nothing and all, a band holds many values.

    GDAL and rasterio tag the fourth band of eight-bit pixels as alpha unless they are told otherwise.
    """
    if facts.alpha is None:
        return facts, ()
    at = facts.alpha - 1
    values = read_sparse(facts.path, facts.alpha, ALPHA_SIDE)
    if np.mean((values != 0) & (values != values.max(initial=0))) <= ALPHA_PARTLY:
        way = f"gdal_edit.py -colorinterp_{facts.alpha} undefined makes it a band"
        return facts, (
            f"{facts.path}: band {facts.alpha} is an alpha band: it masks, it is not fused; {way}",
        )
    colors = tuple("undefined" if place == at else color for place, color in enumerate(facts.colors))
    note = f"{facts.path}: band {facts.alpha} is tagged alpha and holds many values: it is a band, it masks nothing"
    return replace(facts, alpha=None, colors=colors), (note,)


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
        saturation=type_top(dtype) if facts.bits is None else 2.0**facts.bits - 1.0,
        bits=facts.bits,
        description=(facts.descriptions[at] or "").strip()[:60],
        color=facts.colors[at],
    )


def image_in(role: str, files: Sequence[RasterFile], bands: tuple[Band, ...]) -> Image:
    """Return the image of bands that lie in files of one grid; GeorefError, by name, where they do not."""
    one_grid(files)
    alphas = tuple(Piece(file.facts.path, file.facts.alpha) for file in files if file.facts.alpha)
    alphas += tuple(Piece(file.mask.path) for file in files if file.mask)
    if len(alphas) > 1:
        found = "several alpha bands and masks for one image"
        raise PixelError(found, wanted="one at most", do="join them to one", path=alphas[1].path)
    blocks = [file.facts.block for file in files]
    return Image(
        role=role,
        bands=bands,
        grid=files[0].grid,
        drivers={facts.path: facts.driver for file in files for facts in (file.facts, file.mask) if facts},
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
    masked = next((file.mask for file in files if file.mask), None)
    if masked:
        raise PixelError("a mask beside one tile of several", wanted="nodata in the tiles", path=masked.path)
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
