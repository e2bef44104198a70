"""The overviews coarser than a tile: built once from the tiles' rests, block by block, into a spool."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from geofuse.kernels.halve import halve
from geofuse.scenes.cog.blocks import Bench, encode_blocks, new_bench
from geofuse.scenes.cog.spec import BLOCK_PX, CogSpec, blocks_of, levels, planes

Rest = Callable[[int, int], NDArray[Any]]
"""Gives the rest (h, w, bands) of the tile in a row and column."""


@dataclass(frozen=True, slots=True)
class Spooled:
    """One coarse level in the spool."""

    sizes: NDArray[np.uint32]
    """Bytes of each block (planes, rows, cols); 0 where sparse."""
    starts: NDArray[np.int64]
    """Where each block's frame of the first plane begins (rows, cols); the other planes follow."""


def spool_overviews(spec: CogSpec, first_level: int, rest: Rest, *, spool: BinaryIO) -> tuple[Spooled, ...]:
    """Encode all levels from `first_level` on, made of the tiles' rests at that level, into the spool.

    The blocks are visited as a tree: each when the four below it are done. So the memory is a block or two
    per level, whatever the image's size.
    """
    found = []
    for size in levels(spec)[first_level:]:
        shape = blocks_of(size)
        found.append(Spooled(np.zeros((planes(spec), *shape), np.uint32), np.zeros(shape, np.int64)))
    if found:
        _Tree(spec, first_level, rest, spool, found, new_bench(spec)).block(len(levels(spec)) - 1, 0, 0)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Tree:
    """What the visit of a block needs."""

    spec: CogSpec
    first_level: int
    rest: Rest
    spool: BinaryIO
    found: list[Spooled]
    bench: Bench

    def block(self, level: int, row: int, col: int) -> NDArray[Any]:
        """Make the block's pixels from those below it, spool its frames and return it (h, w, bands)."""
        height, width = levels(self.spec)[level]
        top, left = row * BLOCK_PX, col * BLOCK_PX
        shape = (min(BLOCK_PX, height - top), min(BLOCK_PX, width - left), self.spec.bands)
        image = np.empty(shape, self.spec.dtype)
        half = BLOCK_PX // 2
        for down in range(-(-shape[0] // half)):
            for right in range(-(-shape[1] // half)):
                quarter = self.quarter(level, 2 * row + down, 2 * col + right)
                image[down * half :, right * half :][:half, :half] = quarter
        spooled = self.found[level - self.first_level]
        spooled.starts[row, col] = self.spool.tell()
        for plane, frame in enumerate(encode_blocks(image, self.bench)):
            spooled.sizes[plane, row, col] = max(len(frame) - 8, 0)
            self.spool.write(frame)
        return image

    def quarter(self, level: int, row: int, col: int) -> NDArray[Any]:
        """Return what the tile, or the block one level below, at (row, col) gives to `level`."""
        if level == self.first_level:
            return self.rest(row, col)
        below = self.block(level - 1, row, col)
        return halve(below, self.spec.nodata, resampling=self.spec.overview)
