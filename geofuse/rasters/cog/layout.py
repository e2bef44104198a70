"""Where every byte of a product lies, once the size of every block is known.

From the first byte to the last, for an image with two overviews:

    +--------------------------------------------------------------------------------------------+
    | header         8 bytes, 16 in BigTIFF: "II", 42 or 43, where the first directory is        |
    | ghost area     lines of text by which readers know what follows (`ghost_area`)             |
    | directory 0    the full image: size, type, codec, georeferencing, names, nodata ...        |
    | its values     what does not fit the directory's 4 or 8 bytes a tag                        |
    | (directory     of the full image's mask, where there is one)                               |
    | directory 1    the overview of half the size, directory 2, (their masks' directories)      |
    | block arrays   offset and size of every block, directory by directory                      |
    +--------------------------------------------------------------------------------------------+
    | blocks of level 2, then of level 1, then of level 0: by plane, then row by row             |
    |                                                                                            |
    |     size (4 bytes)  |  the encoded block  |  its last 4 bytes once more                    |
    |     `--- leader     ^                        `--- trailer                                  |
    |                     the block arrays point here and count neither leader nor trailer       |
    +--------------------------------------------------------------------------------------------+

A reader of the first kilobytes knows where everything is, and gets the coarsest picture with the next few. The
leader spares it the block arrays, the trailer tells whether a block was changed in place. Pixel interleave has
one plane, and a mask's block directly behind the image's block it belongs to; band interleave has one plane a
band, and the mask behind them. All numbers are little-endian.

Sources: TIFF 6.0; OGC 21-026 (Cloud Optimized GeoTIFF); GDAL's documentation of its COG driver.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.rasters.cog.blocks import LERC_VERSION, framed
from geofuse.rasters.cog.directory import (
    BITS,
    COMPRESSION,
    EXTRA_SAMPLES,
    GDAL_NODATA,
    HEIGHT,
    LERC_PARAMETERS,
    LONG,
    LONG8,
    MASK_BIT,
    PHOTOMETRIC,
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
    head_of,
    longs,
    shorts,
)
from geofuse.rasters.cog.spec import BLOCK_PX, PREDICTED, CogSpec, levels, planes, predictor_of
from geofuse.rasters.cog.template import lifted_tags

CLASSIC_LIMIT_BYTES = 2**32 - 2**20
"""A file that would be longer becomes BigTIFF; the margin is for tools that add tags at its end."""
COMPRESSION_CODES = {"none": 1, "lzw": 5, "deflate": 8, "lerc": 34887, "zstd": 50000}
MASK_PHOTOMETRIC = 4
OVERVIEW_TAGS = (BITS, PHOTOMETRIC, SAMPLES, PLANAR, EXTRA_SAMPLES, SAMPLE_FORMAT, GDAL_NODATA)
"""Lifted tags that overviews carry as well."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A product's bytes up to the first block, and where the blocks go."""

    head: bytes
    """Header, ghost area and directories."""
    places: tuple[NDArray[np.int64], ...]
    """Per level: where each frame begins, as `frames_of` orders them; a sparse one takes no bytes."""
    size_bytes: int
    """Length of the file."""
    big: bool
    """BigTIFF."""


def lay_out(spec: CogSpec, sizes: Sequence[NDArray[np.uint32]]) -> Layout:
    """Place the blocks, whose sizes are given per level as `frames_of` orders them, behind the directories.

    The smallest level's data come first, the full image's last, each by plane, row and column. BigTIFF is
    decided from the exact length. Twice the directories are made: their length does not depend on where the
    blocks lie, so the first time with no places tells where the first block begins.
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

    The INTERLEAVE line is GDAL's since 3.11; the space behind NO leaves room to turn it into YES.
    """
    together = spec.validity == "mask" and planes(spec) == 1
    lines = [
        "LAYOUT=IFDS_BEFORE_DATA",
        "BLOCK_ORDER=ROW_MAJOR",
        "BLOCK_LEADER=SIZE_AS_UINT4",
        "BLOCK_TRAILER=LAST_4_BYTES_REPEATED",
        *(["INTERLEAVE=BAND"] if planes(spec) > 1 else []),
        "KNOWN_INCOMPATIBLE_EDITION=NO",
        " MASK_INTERLEAVED_WITH_IMAGERY=YES\n" if together else " ",
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
    """Return the entries of the directories, in GDAL's order: image, its mask, overviews, their masks."""
    images, masks = [], []
    for level, size in enumerate(levels(spec)):
        lengths, mask_lengths = _apart(sizes[level], spec)
        starts, mask_starts = _apart(places[level], spec)
        own = [
            *_size_tags(size),
            shorts(COMPRESSION, COMPRESSION_CODES[spec.compress]),
            *_block_arrays(lengths, starts, big=big),
        ]
        if spec.compress in PREDICTED:
            own.append(shorts(PREDICTOR, predictor_of(spec)))
        if spec.compress == "lerc":
            own.append(longs(LERC_PARAMETERS, LERC_VERSION, 0))
        if level:
            own.append(longs(SUBFILE, REDUCED_BIT))
        images.append(own + [entry for entry in lifted if not level or entry.tag in OVERVIEW_TAGS])
        if spec.validity == "mask":
            arrays = _block_arrays(mask_lengths, mask_starts, big=big)
            masks.append([*_size_tags(size), *arrays, *_mask_tags(level)])
    return [images[0], *masks[:1], *images[1:], *masks[1:]]


def _apart(frames: NDArray[Any], spec: CogSpec) -> tuple[NDArray[Any], NDArray[Any]]:
    """Part what is known of each frame of a level into that of the image's blocks and that of the mask's."""
    if spec.validity != "mask":
        return frames, frames[:0]
    if planes(spec) == 1:
        return frames[:, :, 0::2], frames[:, :, 1::2]
    return frames[:-1], frames[-1:]


def _size_tags(size: tuple[int, int]) -> list[Entry]:
    return [
        longs(WIDTH, size[1]),
        longs(HEIGHT, size[0]),
        shorts(TILE_WIDTH, BLOCK_PX),
        shorts(TILE_HEIGHT, BLOCK_PX),
    ]


def _mask_tags(level: int) -> list[Entry]:
    """Return what a mask's directory says beside its size and blocks: one bit a pixel, deflate, no predictor."""
    return [
        longs(SUBFILE, MASK_BIT + (REDUCED_BIT if level else 0)),
        shorts(BITS, 1),
        shorts(COMPRESSION, COMPRESSION_CODES["deflate"]),
        shorts(PHOTOMETRIC, MASK_PHOTOMETRIC),
        shorts(SAMPLES, 1),
        shorts(PLANAR, 1),
        shorts(PREDICTOR, 1),
        shorts(SAMPLE_FORMAT, 1),
    ]


def _block_arrays(sizes: NDArray[np.uint32], places: NDArray[np.int64], *, big: bool) -> list[Entry]:
    """Return the offsets, which point behind the leaders, and sizes of the blocks; 0 where sparse."""
    offsets = np.where(sizes > 0, places + 4, 0).astype("<u8" if big else "<u4")
    return [
        Entry(TILE_OFFSETS, LONG8 if big else LONG, sizes.size, offsets.tobytes()),
        Entry(TILE_COUNTS, LONG, sizes.size, sizes.astype("<u4").tobytes()),
    ]
