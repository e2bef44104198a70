"""The overviews coarser than a tile: built once from the tiles' rests, block by block, into a spool."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from geofuse.rasters.cog.blocks import Picture, encode_blocks, new_scratch
from geofuse.rasters.cog.spec import BLOCK_PX, CogSpec, abreast, blocks_of, frames_of, levels

Rest = Callable[[int, int], Picture]
"""Gives the rest of the tile in a row and column."""
Runner = Callable[[Callable[[Any, Any], Any], Any, Any], Iterator[Any]]
"""Calls ``task(shared, item)`` for every item and yields the results in order, perhaps some at a time."""


@dataclass(frozen=True, slots=True)
class Spooled:
    """One coarse level in the spool."""

    sizes: NDArray[np.uint32]
    """Bytes of each block, as `frames_of` orders them; 0 where sparse."""
    starts: NDArray[np.int64]
    """Where each block's first frame begins (rows, cols); those of its other planes, or its mask, follow."""


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a coarse level, still in pixels."""

    level: int
    """Counted from full size, 0."""
    row: int
    """Block row."""
    col: int
    """Block column."""
    picture: Picture
    """Its pixels, at most 512 x 512."""


def in_turn(task: Callable[[Any, Any], Any], shared: Any, items: Any) -> Iterator[Any]:
    """Run one task after the other."""
    return (task(shared, item) for item in items)


def spool_overviews(
    spec: CogSpec, first_level: int, rest: Rest, *, spool: BinaryIO, run: Runner = in_turn
) -> tuple[Spooled, ...]:
    """Encode all levels from `first_level` on, made of the tiles' rests at that level, into the spool.

    The blocks are visited as a tree: each when the four below it are done. So the memory is a block or two
    per level and for each task at work, whatever the image's size. `run` may encode several at a time.
    """
    found = []
    for size in levels(spec)[first_level:]:
        found.append(Spooled(np.zeros(frames_of(spec, size), np.uint32), np.zeros(blocks_of(size), np.int64)))
    if not found:
        return ()
    wide = abreast(spec)
    for block, frames in run(_encoded, spec, _blocks(spec, first_level, rest, (len(levels(spec)) - 1, 0, 0))):
        level, row, col = block
        spooled = found[level - first_level]
        spooled.starts[row, col] = spool.tell()
        sizes = [max(len(frame) - 8, 0) for frame in frames]
        spooled.sizes[:, row, col * wide : (col + 1) * wide] = np.reshape(sizes, (-1, wide))
        spool.writelines(frames)
    return tuple(found)


def _encoded(spec: CogSpec, block: Block) -> tuple[tuple[int, int, int], list[bytes]]:
    """Encode a block: a task."""
    return (block.level, block.row, block.col), encode_blocks(block.picture, new_scratch(spec))


def _blocks(
    spec: CogSpec, first_level: int, rest: Rest, place: tuple[int, int, int]
) -> Generator[Block, None, Picture]:
    """Yield the blocks below a place (level, row, col), each when those it is made of have been, then this one.

    Returns its picture.
    """
    level, row, col = place
    height, width = levels(spec)[level]
    shape = min(BLOCK_PX, height - row * BLOCK_PX), min(BLOCK_PX, width - col * BLOCK_PX)
    pixels = np.empty((*shape, spec.bands), spec.dtype)
    valid = None if spec.validity == "nodata" else np.empty(shape, np.uint8)
    half = BLOCK_PX // 2
    for down, right in np.ndindex(-(-shape[0] // half), -(-shape[1] // half)):
        at = 2 * row + down, 2 * col + right
        if level == first_level:
            quarter = rest(*at)
        else:
            below = yield from _blocks(spec, first_level, rest, (level - 1, *at))
            quarter = below.halved(spec)
        pixels[down * half :, right * half :][:half, :half] = quarter.pixels
        if valid is not None and quarter.valid is not None:
            valid[down * half :, right * half :][:half, :half] = quarter.valid
    picture = Picture(pixels, valid)
    yield Block(level, row, col, picture)
    return picture
