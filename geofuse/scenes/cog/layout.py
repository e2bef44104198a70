"""Where every byte of a product lies, once the size of every block is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geofuse.scenes.cog.blocks import LERC_VERSION, framed
from geofuse.scenes.cog.directory import (
    BITS,
    COMPRESSION,
    EXTRA_SAMPLES,
    GDAL_NODATA,
    HEIGHT,
    LERC_PARAMETERS,
    LONG,
    LONG8,
    PHOTOMETRIC,
    PLANAR,
    PREDICTOR,
    SAMPLE_FORMAT,
    SAMPLES,
    SUBFILE,
    TILE_COUNTS,
    TILE_HEIGHT,
    TILE_OFFSETS,
    TILE_WIDTH,
    WIDTH,
    Entry,
    head_of,
    longs,
    shorts,
)
from geofuse.scenes.cog.spec import BLOCK_PX, CogSpec, levels, planes
from geofuse.scenes.cog.template import lifted_tags

CLASSIC_LIMIT_BYTES = 2**32 - 2**20
"""A file that would be longer becomes BigTIFF; the margin is for tools that add tags at its end."""
COMPRESSION_CODES = {"none": 1, "lzw": 5, "deflate": 8, "lerc": 34887, "zstd": 50000}
OVERVIEW_TAGS = (BITS, PHOTOMETRIC, SAMPLES, PLANAR, EXTRA_SAMPLES, SAMPLE_FORMAT, GDAL_NODATA)
"""Lifted tags that overviews carry as well."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A product's bytes up to the first block, and where the blocks go."""

    head: bytes
    """Header, ghost area and directories."""
    places: tuple[NDArray[np.int64], ...]
    """Per level: where each block's frame begins (planes, rows, cols); a sparse one takes no bytes."""
    size_bytes: int
    """Length of the file."""
    big: bool
    """BigTIFF."""


def lay_out(spec: CogSpec, sizes: Sequence[NDArray[np.uint32]]) -> Layout:
    """Place the blocks, whose sizes are given per level (planes, rows, cols), behind the directories.

    The smallest level's data come first, the full image's last, each by plane, row and column. BigTIFF is
    decided from the exact length.
    """
    lifted = lifted_tags(spec)
    ghost = ghost_area(spec)
    data_bytes = sum(int(framed(size).sum()) for size in sizes)
    big = spec.bigtiff == "yes"
    nowhere = [np.zeros(size.shape, np.int64) for size in sizes]
    start = len(head_of(ghost, _directories(spec, lifted, sizes, nowhere, big=big), big=big))
    if not big and start + data_bytes > CLASSIC_LIMIT_BYTES:
        big = True
        start = len(head_of(ghost, _directories(spec, lifted, sizes, nowhere, big=big), big=big))
    places = []
    at = start
    for size in reversed(sizes):
        ends = at + np.cumsum(framed(size).reshape(-1))
        places.append((ends - framed(size).reshape(-1)).reshape(size.shape))
        at = int(ends[-1])
    places.reverse()
    head = head_of(ghost, _directories(spec, lifted, sizes, places, big=big), big=big)
    return Layout(head, tuple(places), at, big)


def ghost_area(spec: CogSpec) -> bytes:
    """Return the promises GDAL's COG driver writes behind the header, by which readers save requests.

    The INTERLEAVE line is GDAL's since 3.11; the space at the end leaves room to turn NO into YES.
    """
    lines = [
        "LAYOUT=IFDS_BEFORE_DATA",
        "BLOCK_ORDER=ROW_MAJOR",
        "BLOCK_LEADER=SIZE_AS_UINT4",
        "BLOCK_TRAILER=LAST_4_BYTES_REPEATED",
        *(["INTERLEAVE=BAND"] if planes(spec) > 1 else []),
        "KNOWN_INCOMPATIBLE_EDITION=NO",
        " ",
    ]
    text = "\n".join(lines)
    return f"GDAL_STRUCTURAL_METADATA_SIZE={len(text):06d} bytes\n{text}".encode()


def _directories(
    spec: CogSpec,
    lifted: list[Entry],
    sizes: Sequence[NDArray[np.uint32]],
    places: Sequence[NDArray[np.int64]],
    *,
    big: bool,
) -> list[list[Entry]]:
    """Return the entries of each level's directory."""
    found = []
    for level, (height, width) in enumerate(levels(spec)):
        own = [
            longs(WIDTH, width),
            longs(HEIGHT, height),
            shorts(COMPRESSION, COMPRESSION_CODES[spec.compress]),
            shorts(TILE_WIDTH, BLOCK_PX),
            shorts(TILE_HEIGHT, BLOCK_PX),
            *_block_arrays(sizes[level], places[level], big=big),
        ]
        if spec.compress in ("zstd", "deflate", "lzw"):
            own.append(shorts(PREDICTOR, 3 if np.dtype(spec.dtype).kind == "f" else 2))
        if spec.compress == "lerc":
            own.append(longs(LERC_PARAMETERS, LERC_VERSION, 0))
        if level:
            own.append(longs(SUBFILE, 1))
        found.append(own + [entry for entry in lifted if not level or entry.tag in OVERVIEW_TAGS])
    return found


def _block_arrays(sizes: NDArray[np.uint32], places: NDArray[np.int64], *, big: bool) -> list[Entry]:
    """Return the offsets, which point behind the leaders, and sizes of the blocks; 0 where sparse."""
    offsets = np.where(sizes > 0, places + 4, 0).astype("<u8" if big else "<u4")
    return [
        Entry(TILE_OFFSETS, LONG8 if big else LONG, sizes.size, offsets.tobytes()),
        Entry(TILE_COUNTS, LONG, sizes.size, sizes.astype("<u4").tobytes()),
    ]
