"""From the pixels of a tile to the final bytes of its blocks, at full size and on the levels it holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from geofuse.errors import UsageError
from geofuse.kernels.halve import halve
from geofuse.kernels.predict import difference, gather_planes, is_filled, shuffle_difference
from geofuse.scenes.cog.spec import (
    BLOCK_PX,
    CogSpec,
    block_key,
    blocks_of,
    depth_of,
    levels,
    planes,
    tile_grid,
)

LERC_VERSION = 4
"""Version of the LERC blobs: that of libtiff, so that readers as old as GDAL 2.4 decode them."""
GATHER_BYTES = 1 << 24
"""Planes are gathered from interleaved pixels in groups of at most this many bytes (at least one plane)."""


@dataclass(frozen=True, slots=True)
class EncodedTile:
    """One tile of the product in its final bytes: what `write_part` stores and `assemble` copies."""

    key: str
    """`block_key` of the spec it was encoded for."""
    tile_row: int
    """Row in the grid of tiles."""
    tile_col: int
    """Column in the grid of tiles."""
    tile_px: int
    """Edge of a whole tile, fine pixels."""
    sizes: NDArray[np.uint32]
    """Bytes of each block; 0 where sparse. Order: level, plane, block row, block column."""
    frames: tuple[bytes, ...]
    """Each block between its leader (size, 4 bytes) and trailer (last 4 bytes again), in the same order."""
    rest: NDArray[Any] | None
    """The tile at the first level whose blocks reach beyond it (h, w, bands); None if there is none."""


@dataclass(frozen=True, slots=True)
class TileLevel:
    """The part of a tile that lies on one level, counted in that level's blocks."""

    row: int
    """First block row."""
    col: int
    """First block column."""
    shape: tuple[int, int, int]
    """Planes, block rows, block columns."""


def tile_levels(spec: CogSpec, *, tile_row: int, tile_col: int, tile_px: int) -> tuple[TileLevel, ...]:
    """Return where the blocks of a tile lie, level by level, from full size on."""
    found = []
    for level, size in enumerate(levels(spec)[: depth_of(tile_px) + 1]):
        span = (tile_px // BLOCK_PX) >> level
        rows, cols = blocks_of(size)
        row, col = tile_row * span, tile_col * span
        shape = (planes(spec), min(row + span, rows) - row, min(col + span, cols) - col)
        found.append(TileLevel(row, col, shape))
    return tuple(found)


def rest_shape(spec: CogSpec, *, tile_row: int, tile_col: int, tile_px: int) -> tuple[int, int, int] | None:
    """Return the shape (h, w, bands) of a tile's rest, or None if the tile's levels are all there are."""
    level = depth_of(tile_px) + 1
    sizes = levels(spec)
    if level >= len(sizes):
        return None
    top, left = tile_row * BLOCK_PX // 2, tile_col * BLOCK_PX // 2
    height, width = sizes[level]
    return min(BLOCK_PX // 2, height - top), min(BLOCK_PX // 2, width - left), spec.bands


def framed(sizes: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return what each block takes in the file: 8 bytes more than its size, nothing where sparse."""
    wide = sizes.astype(np.int64)
    return np.where(wide > 0, wide + 8, 0)


def encode_tile(
    pixels: NDArray[Any], spec: CogSpec, *, tile_row: int, tile_col: int, tile_px: int
) -> EncodedTile:
    """Encode a tile's pixels (h, w, bands) once: its blocks at full size and on the levels it holds whole.

    The bytes depend on the pixels and the spec alone. Tiles of the last row and column are as small as the
    image leaves them. Halving, predictors and codecs release the GIL. Raises UsageError for pixels that do
    not fit.
    """
    rows, cols = tile_grid(spec, tile_px)
    top, left = tile_row * tile_px, tile_col * tile_px
    wanted = (min(tile_px, spec.height - top), min(tile_px, spec.width - left), spec.bands)
    inside = 0 <= tile_row < rows and 0 <= tile_col < cols
    if not inside or pixels.shape != wanted or pixels.dtype != spec.dtype:
        raise UsageError(
            f"pixels {pixels.shape} of {pixels.dtype} for tile ({tile_row}, {tile_col})",
            wanted=f"{wanted} of {spec.dtype} in a grid of {rows} x {cols} tiles",
        )
    image = np.ascontiguousarray(pixels)
    bench = new_bench(spec)
    frames = encode_blocks(image, bench)
    whole, last = depth_of(tile_px), len(levels(spec)) - 1
    for level in range(1, min(whole + 1, last) + 1):
        image = halve(image, spec.nodata, resampling=spec.overview)
        if level <= whole:
            frames += encode_blocks(image, bench)
    return EncodedTile(
        key=block_key(spec),
        tile_row=tile_row,
        tile_col=tile_col,
        tile_px=tile_px,
        sizes=np.array([max(len(frame) - 8, 0) for frame in frames], np.uint32),
        frames=tuple(frames),
        rest=image if whole < last else None,
    )


@dataclass(slots=True)
class Bench:
    """What one thread needs while it encodes: buffers used again for every block."""

    spec: CogSpec
    """What is written."""
    predicted: NDArray[Any] | None
    """A block behind its predictor; None if the codec has none."""
    gathered: NDArray[Any] | None
    """A group of planes of one block (n, rows, cols); None in pixel interleave."""
    nothing: NDArray[Any] | None
    """The bits of nodata, as an unsigned integer; None if there is none."""
    empty: bytes | None = None
    """The frame of a block that is all nodata, once it has been made."""


def new_bench(spec: CogSpec) -> Bench:
    """Allocate the buffers for a spec."""
    dtype = np.dtype(spec.dtype)
    samples = spec.bands if planes(spec) == 1 else 1
    predicted: NDArray[Any] | None = None
    if spec.compress in ("zstd", "deflate", "lzw"):
        if dtype.kind == "f":
            predicted = np.empty((BLOCK_PX, BLOCK_PX * samples * dtype.itemsize), np.uint8)
        else:
            predicted = np.empty((BLOCK_PX, BLOCK_PX * samples), _word(dtype))
    gathered: NDArray[Any] | None = None
    if planes(spec) > 1:
        group = min(spec.bands, max(1, GATHER_BYTES // (BLOCK_PX * BLOCK_PX * dtype.itemsize)))
        gathered = np.empty((group, BLOCK_PX, BLOCK_PX), dtype)
    nothing = None if spec.nodata is None else np.array(spec.nodata, dtype).view(_word(dtype))
    return Bench(spec, predicted, gathered, nothing)


def encode_blocks(image: NDArray[Any], bench: Bench) -> list[bytes]:
    """Return the frames of all blocks of an image (h, w, bands), C-contiguous: by plane, row, column."""
    rows, cols = blocks_of((image.shape[0], image.shape[1]))
    count = planes(bench.spec)
    frames = [b""] * (count * rows * cols)
    for row in range(rows):
        for col in range(cols):
            for plane, (block, top, left) in enumerate(_cut(image, row, col, bench)):
                frames[(plane * rows + row) * cols + col] = _frame(block, top, left, bench)
    return frames


def _cut(image: NDArray[Any], row: int, col: int, bench: Bench) -> Iterator[tuple[NDArray[Any], int, int]]:
    """Yield each plane of a block as (image, top, left), whole blocks in place, those at the edge padded."""
    top, left = row * BLOCK_PX, col * BLOCK_PX
    if min(image.shape[0] - top, image.shape[1] - left) < BLOCK_PX:
        image, top, left = _padded(image[top:, left:][:BLOCK_PX, :BLOCK_PX], bench.spec), 0, 0
    if bench.gathered is None:
        yield image, top, left
        return
    for band in range(0, bench.spec.bands, len(bench.gathered)):
        group = bench.gathered[: bench.spec.bands - band]
        gather_planes(image, group, top=top, left=left, first_band=band)
        for plane in group:
            yield plane[:, :, None], 0, 0


def _padded(part: NDArray[Any], spec: CogSpec) -> NDArray[Any]:
    """Fill a block up to its full size: with nodata, or by repeating the last row and column."""
    height, width, bands = part.shape
    if spec.nodata is None:
        return np.pad(part, ((0, BLOCK_PX - height), (0, BLOCK_PX - width), (0, 0)), mode="edge")
    block = np.full((BLOCK_PX, BLOCK_PX, bands), spec.nodata, part.dtype)
    block[:height, :width] = part
    return block


def _frame(image: NDArray[Any], top: int, left: int, bench: Bench) -> bytes:
    """Encode the block of `image` (h, w, samples) at (top, left); an empty one only the first time."""
    samples = image.shape[2]
    words = image.view(_word(image.dtype)).reshape(image.shape[0], -1)
    shape = (BLOCK_PX, BLOCK_PX * samples)
    is_empty = bench.nothing is not None and is_filled(
        words, bench.nothing[()], top=top, left=left * samples, shape=shape
    )
    if is_empty and bench.spec.sparse:
        return b""
    if is_empty and bench.empty is not None:
        return bench.empty
    if bench.predicted is None:
        block = np.ascontiguousarray(image[top : top + BLOCK_PX, left : left + BLOCK_PX])
    else:
        block = bench.predicted
        predict = shuffle_difference if image.dtype.kind == "f" else difference
        predict(words, block, top=top, left=left * samples, lag=samples)
    body = _compressed(block, bench.spec)
    frame = b"".join((len(body).to_bytes(4, "little"), body, body[-4:]))
    if is_empty:
        bench.empty = frame
    return frame


def _compressed(block: Any, spec: CogSpec) -> bytes:
    match spec.compress:
        case "zstd":
            body = imagecodecs.zstd_encode(block, spec.level)
        case "deflate":
            # libtiff's scale: one step more of libdeflate to match zlib's 6 ... 9.
            level = spec.level or 0
            body = imagecodecs.deflate_encode(block, level + 1 if 6 <= level <= 9 else level)
        case "lzw":
            body = imagecodecs.lzw_encode(block)
        case "lerc":
            body = _lerc(block, spec.max_error)
        case _:
            body = block.tobytes()
    return bytes(body)


def _lerc(block: NDArray[Any], max_error: float) -> bytes:
    if block.shape[2] == 1:
        block = block[:, :, 0]
    valid = None
    if block.dtype.kind == "f":
        valid = ~np.isnan(block)
        valid = None if valid.all() else valid
    return bytes(imagecodecs.lerc_encode(block, max_error, masks=valid, version=LERC_VERSION))


def _word(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the unsigned type of the same size."""
    return np.dtype(f"u{dtype.itemsize}")
