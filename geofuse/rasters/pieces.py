"""Bands in several files read as one grid: which files a window needs, and their pixels side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import MaskFlags

from geofuse.errors import ChangedError, CorruptError, FormatError
from geofuse.geometry import Window
from geofuse.rasters.block_cache import read_cells
from geofuse.rasters.datasets import reading
from geofuse.rasters.image import Band, Image, Piece
from geofuse.rasters.opening.drivers import driver_named
from geofuse.rasters.validity import good

WIDE_DTYPES = ("int32", "uint32", "float64")
"""Types whose values float32 cannot hold."""


@dataclass(frozen=True, slots=True)
class PieceTile:
    """A file and what it covers; a band's piece without the band."""

    path: str
    """The file."""
    subdataset: str
    """The raster in it, as in `Piece`."""
    window: Window | None
    """What it covers of the files' own grid; None: all of it."""


@dataclass(frozen=True, slots=True)
class Group:
    """Bands that lie in the same files, and are read together."""

    tiles: tuple[PieceTile, ...]
    """The files, in the order of the bands' pieces."""
    positions: tuple[int, ...]
    """Places of its bands among those asked for; none where the files only mask."""
    bands: tuple[Band, ...]
    """Those bands."""


def float_type(bands: Sequence[Band]) -> np.dtype[np.floating]:
    """Return the type that bands are read in: float32, or float64 where one needs it."""
    return np.dtype(np.float64 if any(band.dtype in WIDE_DTYPES for band in bands) else np.float32)


def groups_of(image: Image, indices: Sequence[int]) -> list[Group]:
    """Group bands by the files they lie in, in the order asked for; files that only mask follow, each alone."""
    found: dict[tuple[PieceTile, ...], list[int]] = {}
    for position, index in enumerate(indices):
        found.setdefault(tuple(map(_tile, image.bands[index].pieces)), []).append(position)
    groups = [
        Group(tiles, tuple(positions), tuple(image.bands[indices[position]] for position in positions))
        for tiles, positions in found.items()
    ]
    seen = {tile.path for tiles in found for tile in tiles}
    for tile in _masking(image):
        if tile.path not in seen:
            seen.add(tile.path)
            groups.append(Group((tile,), (), ()))
    return groups


def _tile(piece: Piece) -> PieceTile:
    return PieceTile(piece.path, piece.subdataset, piece.window)


def _masking(image: Image) -> list[PieceTile]:
    """Return the files that mask: those with a mask of their own, then those of alpha."""
    if not (image.masks or image.alpha):
        return []
    known = {piece.path: _tile(piece) for band in image.bands for piece in band.pieces}
    return [*(known.get(path, PieceTile(path, "", None)) for path in image.masks), *map(_tile, image.alpha)]


def mosaic(image: Image, group: Group, window: Window) -> tuple[list[NDArray[Any]], NDArray[np.bool_]]:
    """Read a group's bands as stored over a window of the files' own grid, and where all of them are valid.

    Where no piece lies nothing is valid. Raises CorruptError, naming both, where two pieces overlap and are
    not equal there.
    """
    if len(group.tiles) == 1 and group.tiles[0].window is None:
        return _part(image, group, group.tiles[0], window)
    size = window[1] - window[0], window[3] - window[2]
    planes = [np.zeros(size, band.dtype) for band in group.bands]
    valid = np.full(size, not group.bands, np.bool_)
    owner = np.full(size, -1, np.int32)
    for number, tile in enumerate(group.tiles):
        shared = _shared(tile, window)
        if shared is None:
            continue
        inner, local = shared
        parts, seen = _part(image, group, tile, local)
        before = owner[inner]
        if (before >= 0).any():
            held = [*(plane[inner] for plane in planes), valid[inner]]
            _check_equal(group, tile, before, list(zip(held, [*parts, seen], strict=True)))
        for plane, part in zip(planes, parts, strict=True):
            plane[inner] = part
        valid[inner] = seen
        owner[inner] = number
    return planes, valid


def _check_equal(
    group: Group,
    tile: PieceTile,
    owner: NDArray[np.int32],
    pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]],
) -> None:
    """Refuse a tile whose pixels differ from those of the tiles under it."""
    apart = np.zeros(owner.shape, np.bool_)
    for held, fresh in pairs:
        # NaN is NaN in both
        apart |= (held != fresh) & ~((held != held) & (fresh != fresh))
    apart &= owner >= 0
    if apart.any():
        other = group.tiles[int(owner[apart][0])]
        raise CorruptError(
            f"{int(apart.sum())} pixels are not those of {other.path}, which it overlaps",
            wanted="equal pixels where tiles overlap",
            do="fetch both again",
            path=tile.path,
        )


def _shared(tile: PieceTile, window: Window) -> tuple[tuple[slice, slice], Window] | None:
    """Return what a tile has of a window: slices into the window, and the window in the tile; None if nothing."""
    if tile.window is None:
        rows, cols = slice(0, window[1] - window[0]), slice(0, window[3] - window[2])
        return (rows, cols), window
    top, left = max(window[0], tile.window[0]), max(window[2], tile.window[2])
    bottom, right = min(window[1], tile.window[1]), min(window[3], tile.window[3])
    if top >= bottom or left >= right:
        return None
    inner = slice(top - window[0], bottom - window[0]), slice(left - window[2], right - window[2])
    row0, col0 = tile.window[0], tile.window[2]
    return inner, (top - row0, bottom - row0, left - col0, right - col0)


def stored(image: Image, index: int, window: Window) -> NDArray[Any]:
    """Read one band's stored values (rows, cols) inside the grid, unmasked; nodata, else 0, where no piece lies."""
    band = image.bands[index]
    out: NDArray[Any] | None = None
    for piece in band.pieces:
        shared = _shared(_tile(piece), window)
        if shared is None:
            continue
        inner, local = shared

        def work(dataset: Any, piece: Piece = piece, local: Window = local) -> NDArray[Any]:
            _same_size(dataset, image, _tile(piece))
            return _planes(dataset, [piece.index], local, piece.path)[0]

        part = reading(piece.path, _driver(image, _tile(piece)), work, local)
        if piece.window is None:
            return part
        if out is None:
            fill = 0 if band.nodata is None else band.nodata
            out = np.full((window[1] - window[0], window[3] - window[2]), fill, part.dtype)
        out[inner] = part
    return np.zeros((window[1] - window[0], window[3] - window[2]), band.dtype) if out is None else out


def _driver(image: Image, tile: PieceTile) -> str:
    """Return the driver a tile is opened with; raises FormatError for a subdataset of a format without."""
    name = image.drivers[tile.path]
    if tile.subdataset and not driver_named(name).subdatasets:
        raise FormatError(
            f"the subdataset {tile.subdataset!r}", wanted="a file of one raster", path=tile.path
        )
    return name


def _part(
    image: Image, group: Group, tile: PieceTile, window: Window
) -> tuple[list[NDArray[Any]], NDArray[np.bool_]]:
    """Read one file's bands as stored, and where it says all of them are valid; the window is the file's."""
    indices = [_index_in(band, tile) for band in group.bands]
    alpha = [piece.index for piece in image.alpha if piece.path == tile.path]
    path = tile.path

    def work(dataset: Any) -> tuple[list[NDArray[Any]], NDArray[np.bool_]]:
        if not image.warped:
            _same_size(dataset, image, tile)
        planes = _planes(dataset, indices + alpha, window, path)
        seen = np.ones((window[1] - window[0], window[3] - window[2]), np.bool_)
        for band, plane in zip(group.bands, planes, strict=False):
            if plane.dtype != band.dtype:
                raise ChangedError(f"the file holds {plane.dtype} now, was {band.dtype}", path=path)
            seen &= good(plane, band.nodata)
        if alpha:
            seen &= planes.pop() != 0
        if path in image.masks:
            shared = MaskFlags.per_dataset in dataset.mask_flag_enums[0]
            masks = [1] if shared or not indices else indices
            seen &= (dataset.read_masks(masks, window=_pairs(window)) != 0).all(axis=0)
        return planes, seen

    return reading(path, _driver(image, tile), work, window)


def _index_in(band: Band, tile: PieceTile) -> int:
    return next(piece.index for piece in band.pieces if _tile(piece) == tile)


def _same_size(dataset: Any, image: Image, tile: PieceTile) -> None:
    """Raise ChangedError where a file has not the size that its image says it has."""
    wanted = image.grid.height, image.grid.width
    if tile.window is not None:
        wanted = tile.window[1] - tile.window[0], tile.window[3] - tile.window[2]
    if dataset.shape != wanted:
        raise ChangedError(
            f"the file is {dataset.height} x {dataset.width} pixels now",
            wanted=f"{wanted[0]} x {wanted[1]}",
            path=tile.path,
        )


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
