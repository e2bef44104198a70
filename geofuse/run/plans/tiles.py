"""How an output is cut: cores that tile it exactly once, whatever is made of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from geofuse.errors import UsageError
from geofuse.geometry import Window

BLOCK_PX = 512


@dataclass(frozen=True, slots=True)
class Tile:
    """One core of the output; the cores tile it exactly once."""

    index: int
    """Row-major number."""
    row: int
    """Tile row."""
    col: int
    """Tile column."""
    core: Window
    """row0, row1, col0, col1 in output pixels."""

    def __str__(self) -> str:
        row0, row1, col0, col1 = self.core
        return f"tile {self.index} (rows {row0}..{row1 - 1}, columns {col0}..{col1 - 1})"

    @property
    def pixels(self) -> int:
        """Output pixels in it."""
        row0, row1, col0, col1 = self.core
        return (row1 - row0) * (col1 - col0)


def tiles_of(height: int, width: int, side: int) -> tuple[Tile, ...]:
    """Cut an output into cores of ``side`` pixels, row-major; the last ones may be smaller.

    >>> [tile.core for tile in tiles_of(3, 5, 4)]
    [(0, 3, 0, 4), (0, 3, 4, 5)]
    """
    rows, cols = math.ceil(height / side), math.ceil(width / side)
    return tuple(
        Tile(
            row * cols + col,
            row,
            col,
            (row * side, min((row + 1) * side, height), col * side, min((col + 1) * side, width)),
        )
        for row in range(rows)
        for col in range(cols)
    )


def checked_tile_px(tile_px: int) -> int:
    """Return a tile side that is allowed: 512, 1024, 2048, ...; UsageError names the nearest otherwise."""
    count = tile_px / BLOCK_PX
    if tile_px < BLOCK_PX or count != 2 ** int(math.log2(count)):
        near = BLOCK_PX * 2 ** max(0, round(math.log2(max(count, 1))))
        raise UsageError(f"tile of {tile_px} px", wanted="512 times a power of two", do=f"try --tile {near}")
    return tile_px
