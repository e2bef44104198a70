"""From the pixels of a tile to the final bytes of its blocks, at full size and on the levels it holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from geofuse.errors import UsageError
from geofuse.kernels.halve import halve, halve_marked
from geofuse.kernels.predict import difference, gather_planes, is_filled, shuffle_difference
from geofuse.rasters.cog.spec import (
    BLOCK_PX,
    CogSpec,
    abreast,
    block_key,
    blocks_of,
    depth_of,
    fill_of,
    frames_of,
    levels,
    planes,
    predictor_of,
    samples,
    tile_grid,
)
from geofuse.rasters.cog.zstd import zstd_encode

LERC_VERSION = 4
"""Version of the LERC blobs: that of libtiff, so that readers as old as GDAL 2.4 decode them."""
MASK_LEVEL = 6
"""Effort of a mask's deflate, on libdeflate's scale: masks are small and easy."""
GATHER_BYTES = 1 << 24
"""Planes are gathered from interleaved pixels in groups of at most this many bytes (at least one plane)."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Pixels on one level, and which of them are valid where the pixels do not say so themselves."""

    pixels: NDArray[Any]
    """Stored values (h, w, bands), C-contiguous."""
    valid: NDArray[np.uint8] | None
    """1 where valid, else 0 (h, w); None where nodata marks what is not, or nothing does."""

    def halved(self, spec: CogSpec) -> Picture:
        """Return the next coarser level."""
        if self.valid is None:
            return Picture(halve(self.pixels, spec.nodata, resampling=spec.overview), None)
        return Picture(*halve_marked(self.pixels, self.valid, resampling=spec.overview))


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
    rest: Picture | None
    """The tile at the first level whose blocks reach beyond it; None if there is none."""


@dataclass(frozen=True, slots=True)
class TileLevel:
    """The part of a tile that lies on one level, counted in that level's frames (see `frames_of`)."""

    row: int
    """First row."""
    col: int
    """First column."""
    shape: tuple[int, int, int]
    """Planes, rows, columns."""


def tile_levels(spec: CogSpec, *, tile_row: int, tile_col: int, tile_px: int) -> tuple[TileLevel, ...]:
    """Return where the blocks of a tile lie, level by level, from full size on."""
    found = []
    for level, size in enumerate(levels(spec)[: depth_of(tile_px) + 1]):
        span = (tile_px // BLOCK_PX) >> level
        rows, cols = blocks_of(size)
        row, col = tile_row * span, tile_col * span
        whole, wide = frames_of(spec, size)[0], abreast(spec)
        shape = (whole, min(row + span, rows) - row, (min(col + span, cols) - col) * wide)
        found.append(TileLevel(row, col * wide, shape))
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
    pixels: NDArray[Any],
    spec: CogSpec,
    *,
    tile_row: int,
    tile_col: int,
    tile_px: int,
    valid: NDArray[np.bool_] | None = None,
) -> EncodedTile:
    """Encode a tile's pixels (h, w, bands) once: its blocks at full size and on the levels it holds whole.

    `valid` (h, w) is for specs with an alpha band or a mask, and for those only; None: all are valid. The
    bytes depend on the pixels and the spec alone. Tiles of the last row and column are as small as the image
    leaves them. Halving, predictors and codecs release the GIL. Raises UsageError for pixels that do not fit.
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
    picture = _picture(pixels, valid, spec)
    bench = new_scratch(spec)
    frames = encode_blocks(picture, bench)
    whole, last = depth_of(tile_px), len(levels(spec)) - 1
    for level in range(1, min(whole + 1, last) + 1):
        picture = picture.halved(spec)
        if level <= whole:
            frames += encode_blocks(picture, bench)
    return EncodedTile(
        key=block_key(spec),
        tile_row=tile_row,
        tile_col=tile_col,
        tile_px=tile_px,
        sizes=np.array([max(len(frame) - 8, 0) for frame in frames], np.uint32),
        frames=tuple(frames),
        rest=picture if whole < last else None,
    )


def _picture(pixels: NDArray[Any], valid: NDArray[np.bool_] | None, spec: CogSpec) -> Picture:
    """Pair the pixels with their validity, where the spec has a place for it; invalid ones become 0."""
    image = np.ascontiguousarray(pixels)
    if spec.validity == "nodata":
        if valid is not None:
            raise UsageError(
                "validity apart from the pixels", wanted="a product with an alpha band or a mask"
            )
        return Picture(image, None)
    if valid is None:
        return Picture(image, np.ones(image.shape[:2], np.uint8))
    if valid.shape != image.shape[:2]:
        raise UsageError(f"validity {valid.shape} of pixels {image.shape}", wanted="one for each pixel")
    return Picture(np.where(valid[:, :, None], image, image.dtype.type(0)), valid.astype(np.uint8))


@dataclass(slots=True)
class Scratch:
    """What one thread needs while it encodes: buffers used again for every block."""

    spec: CogSpec
    """What is written."""
    predicted: NDArray[Any] | None
    """A block behind its predictor; None if the codec has none."""
    gathered: NDArray[Any] | None
    """A group of planes of one block (n, rows, cols); None in pixel interleave."""
    nothing: NDArray[Any] | None
    """The bits of an invalid sample, as an unsigned integer; None if all are valid."""
    empty: bytes | None = None
    """The frame of a block that is all nodata, once it has been made."""


def new_scratch(spec: CogSpec) -> Scratch:
    """Allocate the buffers for a spec."""
    dtype = np.dtype(spec.dtype)
    beside = samples(spec) if planes(spec) == 1 else 1
    predicted: NDArray[Any] | None = None
    if predictor_of(spec) == 3:
        predicted = np.empty((BLOCK_PX, BLOCK_PX * beside * dtype.itemsize), np.uint8)
    elif predictor_of(spec) == 2:
        predicted = np.empty((BLOCK_PX, BLOCK_PX * beside), _word(dtype))
    gathered: NDArray[Any] | None = None
    if planes(spec) > 1:
        group = min(samples(spec), max(1, GATHER_BYTES // (BLOCK_PX * BLOCK_PX * dtype.itemsize)))
        gathered = np.empty((group, BLOCK_PX, BLOCK_PX), dtype)
    fill = fill_of(spec)
    nothing = None if fill is None else np.array(fill, dtype).view(_word(dtype))
    return Scratch(spec, predicted, gathered, nothing)


def encode_blocks(picture: Picture, bench: Scratch) -> list[bytes]:
    """Return the frames of all blocks of a picture, in the order of `frames_of`."""
    image = _with_alpha(picture, bench.spec)
    size = image.shape[0], image.shape[1]
    count, rows, width = frames_of(bench.spec, size)
    wide = abreast(bench.spec)
    frames = [b""] * (count * rows * width)
    for row, col in np.ndindex(blocks_of(size)):
        for plane, (block, top, left) in enumerate(_cut(image, row, col, bench)):
            frames[(plane * rows + row) * width + col * wide] = _frame(block, top, left, bench)
        if bench.spec.validity == "mask":
            assert picture.valid is not None
            marks = picture.valid[row * BLOCK_PX :, col * BLOCK_PX :][:BLOCK_PX, :BLOCK_PX]
            frames[((count - 1) * rows + row) * width + col * wide + wide - 1] = _mask_frame(
                marks, bench.spec
            )
    return frames


def _with_alpha(picture: Picture, spec: CogSpec) -> NDArray[Any]:
    """Return the samples as they are stored (h, w, samples)."""
    if spec.validity != "alpha":
        return picture.pixels
    assert picture.valid is not None
    opaque = np.iinfo(spec.dtype).max
    alpha = picture.valid.astype(spec.dtype) * picture.pixels.dtype.type(opaque)
    return np.concatenate([picture.pixels, alpha[:, :, None]], axis=2)


def _mask_frame(valid: NDArray[np.uint8], spec: CogSpec) -> bytes:
    """Encode one block of a mask (at most 512 x 512) as GDAL does: one bit a pixel, deflate, no predictor."""
    block = np.zeros((BLOCK_PX, BLOCK_PX), np.uint8)
    block[: valid.shape[0], : valid.shape[1]] = valid
    if spec.sparse and not block.any():
        return b""
    return _between(bytes(imagecodecs.deflate_encode(np.packbits(block, axis=1).tobytes(), MASK_LEVEL)))


def _cut(image: NDArray[Any], row: int, col: int, bench: Scratch) -> Iterator[tuple[NDArray[Any], int, int]]:
    """Yield each plane of a block as (image, top, left), whole blocks in place, those at the edge padded."""
    top, left = row * BLOCK_PX, col * BLOCK_PX
    if min(image.shape[0] - top, image.shape[1] - left) < BLOCK_PX:
        image, top, left = _padded(image[top:, left:][:BLOCK_PX, :BLOCK_PX], bench.spec), 0, 0
    if bench.gathered is None:
        yield image, top, left
        return
    for band in range(0, image.shape[2], len(bench.gathered)):
        group = bench.gathered[: image.shape[2] - band]
        gather_planes(image, group, top=top, left=left, first_band=band)
        for plane in group:
            yield plane[:, :, None], 0, 0


def _padded(part: NDArray[Any], spec: CogSpec) -> NDArray[Any]:
    """Fill a block up to its full size: with what invalid samples hold, or by repeating the last row and column."""
    height, width, bands = part.shape
    fill = fill_of(spec)
    if fill is None:
        return np.pad(part, ((0, BLOCK_PX - height), (0, BLOCK_PX - width), (0, 0)), mode="edge")
    block = np.full((BLOCK_PX, BLOCK_PX, bands), fill, part.dtype)
    block[:height, :width] = part
    return block


def _frame(image: NDArray[Any], top: int, left: int, bench: Scratch) -> bytes:
    """Encode the block of `image` (h, w, samples) at (top, left); an empty one only the first time."""
    lag = image.shape[2]
    words = image.view(_word(image.dtype)).reshape(image.shape[0], -1)
    shape = (BLOCK_PX, BLOCK_PX * lag)
    is_empty = bench.nothing is not None and is_filled(
        words, bench.nothing[()], top=top, left=left * lag, shape=shape
    )
    if is_empty and bench.spec.sparse:
        return b""
    if is_empty and bench.empty is not None:
        return bench.empty
    if bench.predicted is None:
        block = np.ascontiguousarray(image[top : top + BLOCK_PX, left : left + BLOCK_PX])
    else:
        block = bench.predicted
        predict = shuffle_difference if predictor_of(bench.spec) == 3 else difference
        predict(words, block, top=top, left=left * lag, lag=lag)
    frame = _between(_compressed(block, bench.spec))
    if is_empty:
        bench.empty = frame
    return frame


def _between(body: bytes) -> bytes:
    """Put a block between its leader and its trailer."""
    return b"".join((len(body).to_bytes(4, "little"), body, body[-4:]))


def _compressed(block: Any, spec: CogSpec) -> bytes:
    match spec.compress:
        case "zstd":
            return zstd_encode(block, spec.level or 0)
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
