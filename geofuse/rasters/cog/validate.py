"""Is a file a sound Cloud Optimized GeoTIFF? Answered from its bytes, without GDAL.

Source: OGC 21-026 (Cloud Optimized GeoTIFF), and the layout promises of GDAL's COG driver.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geofuse.files import read_faults
from geofuse.rasters.cog.directory import (
    BITS,
    COMPRESSION,
    GDAL_NODATA,
    HEIGHT,
    MASK_BIT,
    PLANAR,
    PREDICTOR,
    REDUCED_BIT,
    SAMPLE_FORMAT,
    SAMPLES,
    SUBFILE,
    TILE_COUNTS,
    TILE_HEIGHT,
    TILE_OFFSETS,
    TILE_WIDTH,
    WIDTH,
    Entry,
    Read,
    read_directory,
    values,
)
from geofuse.rasters.cog.spec import BLOCK_PX

PROMISES = (
    "LAYOUT=IFDS_BEFORE_DATA",
    "BLOCK_ORDER=ROW_MAJOR",
    "BLOCK_LEADER=SIZE_AS_UINT4",
    "BLOCK_TRAILER=LAST_4_BYTES_REPEATED",
    "KNOWN_INCOMPATIBLE_EDITION=NO",
)
GHOST_LINE = re.compile(rb"GDAL_STRUCTURAL_METADATA_SIZE=(\d{6}) bytes\n")
GHOST_LINE_BYTES = 43
SAME_TAGS = (BITS, SAMPLES, SAMPLE_FORMAT, PLANAR, COMPRESSION, PREDICTOR, GDAL_NODATA)
"""Tags an overview must share with the full image."""
DIRECTORIES_LIMIT = 128


@dataclass(frozen=True, slots=True)
class _Level:
    """One directory, and the blocks it names."""

    offset: int
    """Where it is."""
    tags: dict[int, Entry]
    """Its entries."""
    end: int
    """Where it and its values end."""
    offsets: NDArray[np.int64]
    """Of the blocks that are there: where each begins behind its leader."""
    sizes: NDArray[np.int64]
    """Bytes of each of these blocks."""


def validate_cog(path: Path | str) -> list[str]:
    """Return what is wrong with the structure of a COG; nothing if it is sound.

    Looks at header, ghost area, order and contents of the directories, halving overviews, and at every
    block's place, leader and trailer; decodes nothing. Raises ReadError where the storage fails.
    """
    with read_faults(Path(path)), open(path, "rb", buffering=0) as file:
        handle, size = file.fileno(), os.fstat(file.fileno()).st_size

        def read(offset: int, count: int) -> bytes:
            # Nothing a damaged file claims is read before it is known to be there.
            return os.pread(handle, count, offset) if offset + count <= size else b""

        try:
            return _problems(read, size)
        except ValueError as fault:
            return [str(fault)]


def _problems(read: Read, size: int) -> list[str]:
    head = read(0, 16)
    if head[:4] not in (b"II*\0", b"II+\0"):
        return ["no little-endian TIFF"]
    big = head[2] == 43
    first = int.from_bytes(head[8:16] if big else head[4:8], "little")
    found = _directories(read, first, big=big)
    images = [level for level in found if not _number(level, SUBFILE) & MASK_BIT]
    masks = [level for level in found if _number(level, SUBFILE) & MASK_BIT]
    problems = _ghost_problems(read, first, big=big) + _pyramid_problems(images)
    problems += _mask_problems(images, masks)
    data_start = max(level.end for level in found)
    for level in found:
        problems += _block_problems(level, data_start, size)
    if problems:  # what follows reads the blocks where the directories say they are
        return problems
    problems += _order_problems(images)
    ends = [int(level.offsets[-1] + level.sizes[-1]) + 4 for level in found if level.sizes.size]
    if ends and max(ends) != size:
        problems.append("the file does not end with its last block")
    for level in found:
        problems += _frame_problems(level, read)
    return problems


def _directories(read: Read, first: int, *, big: bool) -> list[_Level]:
    """Read the chain of directories; ValueError where it is damaged."""
    found: list[_Level] = []
    offset = first
    while offset:
        if (found and offset <= found[-1].offset) or len(found) == DIRECTORIES_LIMIT:
            raise ValueError(f"directory at {offset} is out of order")
        entries, after, end = read_directory(read, offset, big=big)
        tags = {entry.tag: entry for entry in entries}
        if not {TILE_OFFSETS, TILE_COUNTS} <= tags.keys():
            raise ValueError(f"directory at {offset} is not tiled")
        offsets, sizes = (values(tags[tag]).astype(np.int64) for tag in (TILE_OFFSETS, TILE_COUNTS))
        if offsets.size != sizes.size:
            raise ValueError(f"directory at {offset} has {offsets.size} offsets and {sizes.size} sizes")
        found.append(_Level(offset, tags, end, offsets[sizes > 0], sizes[sizes > 0]))
        offset = after
    if not found:
        raise ValueError("no directory")
    return found


def _number(level: _Level, tag: int, default: int = 0) -> int:
    """Return the first value of a tag."""
    found = values(level.tags[tag]).tolist() if tag in level.tags else []
    return int(found[0]) if found else default


def _ghost_problems(read: Read, first: int, *, big: bool) -> list[str]:
    start = 16 if big else 8
    line = GHOST_LINE.fullmatch(read(start, GHOST_LINE_BYTES))
    if line is None:
        return ["no ghost area behind the header"]
    length = int(line[1])
    text = read(start + GHOST_LINE_BYTES, length).decode("latin-1")
    problems = [f"the ghost area lacks {promise}" for promise in PROMISES if promise not in text]
    end = start + GHOST_LINE_BYTES + length
    if first != end + end % 2:
        problems.append(f"the first directory is at {first}, not behind the ghost area")
    return problems


def _pyramid_problems(images: Sequence[_Level]) -> list[str]:
    """Compare each overview with the image above it."""
    if not images or _number(images[0], SUBFILE) & REDUCED_BIT:
        return ["the first directory is not the full image"]
    problems = []
    sizes = [(_number(level, HEIGHT), _number(level, WIDTH)) for level in images]
    for index, level in enumerate(images[1:], 1):
        above = images[index - 1]
        # GDAL rounds odd sizes down, others up: both are halves.
        doubled = zip(sizes[index], sizes[index - 1], strict=True)
        if any(abs(2 * side - before) > 1 for side, before in doubled if before > 1):
            problems.append(f"overview {index} is {sizes[index]}, not half of {sizes[index - 1]}")
        if not _number(level, SUBFILE) & REDUCED_BIT:
            problems.append(f"overview {index} is not marked as one")
        differing = [tag for tag in SAME_TAGS if level.tags.get(tag) != above.tags.get(tag)]
        if differing:
            problems.append(f"overview {index} differs from the image in the tags {differing}")
    if max(sizes[-1]) > BLOCK_PX:
        problems.append(f"the smallest overview is {sizes[-1]}, more than {BLOCK_PX} pixels")
    return problems


def _mask_problems(images: Sequence[_Level], masks: Sequence[_Level]) -> list[str]:
    """There is a mask of every level, in the same order, or of none."""
    if not masks:
        return []
    sides = [
        [tuple(_number(level, tag) for tag in (HEIGHT, WIDTH)) for level in each] for each in (images, masks)
    ]
    if sides[0] != sides[1]:
        return [f"the masks are {sides[1]}, the images {sides[0]}"]
    if any(_number(level, BITS) != 1 for level in masks):
        return ["a mask has more than one bit a pixel"]
    return []


def _block_problems(level: _Level, data_start: int, size: int) -> list[str]:
    """Check number and places of a directory's blocks."""
    name = f"directory at {level.offset}"
    tile = _number(level, TILE_HEIGHT), _number(level, TILE_WIDTH)
    if min(tile) < 16 or tile[0] % 16 or tile[1] % 16:
        return [f"{name} has tiles of {tile}"]
    grid = [-(-_number(level, side) // edge) for side, edge in zip((HEIGHT, WIDTH), tile, strict=True)]
    planes = _number(level, SAMPLES, 1) if _number(level, PLANAR, 1) == 2 else 1
    problems = []
    if level.tags[TILE_OFFSETS].count != math.prod(grid) * planes:
        problems.append(f"{name} has {level.tags[TILE_OFFSETS].count} blocks for {grid} in {planes} planes")
    starts, ends = level.offsets - 4, level.offsets + level.sizes + 4
    if np.any(starts < data_start):
        problems.append(f"{name} has blocks before the end of the directories")
    if np.any(ends > size):
        problems.append(f"{name} has blocks beyond the end of the file")
    if np.any(starts[1:] < ends[:-1]):
        problems.append(f"{name} has blocks out of order")
    return problems


def _order_problems(images: Sequence[_Level]) -> list[str]:
    """The smallest overview's data come first, the full image's last."""
    there = [level for level in images if level.sizes.size]
    return [
        f"the data of the directory at {finer.offset} begin before those of the overview behind it end"
        for finer, coarser in pairwise(there)
        if finer.offsets[0] - 4 < coarser.offsets[-1] + coarser.sizes[-1] + 4
    ]


def _frame_problems(level: _Level, read: Read) -> list[str]:
    """Check every block's leader and trailer."""
    for offset, size in zip(level.offsets.tolist(), level.sizes.tolist(), strict=True):
        end = min(4, size)
        if int.from_bytes(read(offset - 4, 4), "little") != size:
            return [f"the block at {offset} has a wrong leader"]
        tail = read(offset + size - end, end + 4)
        if tail[:end] != tail[end : 2 * end]:
            return [f"the block at {offset} has a wrong trailer"]
    return []
