"""What the pixels of a block go through before its codec: TIFF's predictors 2 and 3, and the way into planes.

All take the whole image and the block's place in it, and fill a block-sized buffer: nothing is copied
between. Little-endian, as the files are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.kernels.jit import compiled

PLANE_STRIP_PX = 64
"""Pixels of one row moved into planes at a time: few enough cache lines to stay in the first-level cache."""


def difference(image: NDArray[Any], out: NDArray[Any], *, top: int, left: int, lag: int) -> None:
    """Fill `out` (rows, n) with each sample less the one `lag` before it in its row, modulo the type's range.

    The block begins at sample (`top`, `left`) of `image` (h, samples per row), C-contiguous; both are of one
    unsigned type; `lag` is the samples per pixel. Source: TIFF 6.0, section 14 (predictor 2).
    """
    _difference(image, out, top, left, lag)


def shuffle_difference(words: NDArray[Any], out: NDArray[np.uint8], *, top: int, left: int, lag: int) -> None:
    """Fill `out` (rows, n * size) with the byte planes of each row of floats, differenced bytewise.

    `words` are the floats seen as unsigned integers of `size` bytes (h, samples per row). The highest bytes
    of the row's n samples come first. Source: Adobe Photoshop TIFF Technical Note 3 (2005), predictor 3.
    """
    _shuffle_difference(words, out, top, left, lag)


def gather_planes(image: NDArray[Any], out: NDArray[Any], *, top: int, left: int, first_band: int) -> None:
    """Fill `out` (n, rows, cols) with bands ``first_band ... first_band + n`` of `image` (h, w, bands)."""
    word = f"u{image.itemsize}"  # fewer types, fewer compilations
    _gather_planes(image.view(word), out.view(word), top, left, first_band)


def is_filled(image: NDArray[Any], value: Any, *, top: int, left: int, shape: tuple[int, int]) -> bool:
    """Say whether all samples of the block of `image` (h, samples per row) equal `value`, bit by bit."""
    return bool(_is_filled(image, value, top, left, shape[0], shape[1]))


# Slices, not index sums, below: an index that might be negative costs a branch and with it the vector loop.


@compiled
def _difference(image, out, top, left, lag):  # type: ignore[no-untyped-def]
    for row in range(out.shape[0]):
        line, to = image[top + row, left : left + out.shape[1]], out[row]
        for at in range(lag):
            to[at] = line[at]
        now, before, rest = line[lag:], line[: line.size - lag], to[lag:]
        for at in range(rest.size):
            rest[at] = now[at] - before[at]


@compiled
def _shuffle_difference(words, out, top, left, lag):  # type: ignore[no-untyped-def]
    size = words.itemsize
    count = out.shape[1] // size
    planes = np.empty(out.shape[1], np.uint8)
    for row in range(out.shape[0]):
        line, to = words[top + row, left : left + count], out[row]
        for plane in range(size):
            shift = 8 * (size - 1 - plane)
            part = planes[plane * count : (plane + 1) * count]
            for at in range(count):
                part[at] = np.uint8(line[at] >> shift)
        for at in range(lag):
            to[at] = planes[at]
        now, before, rest = planes[lag:], planes[: planes.size - lag], to[lag:]
        for at in range(rest.size):
            rest[at] = now[at] - before[at]


@compiled
def _gather_planes(image, out, top, left, first_band):  # type: ignore[no-untyped-def]
    bands, rows, cols = out.shape
    for row in range(rows):
        for start in range(0, cols, PLANE_STRIP_PX):
            stop = min(start + PLANE_STRIP_PX, cols)
            strip = image[top + row, left + start : left + stop, first_band : first_band + bands]
            for band in range(bands):
                to = out[band, row, start:stop]
                for at in range(to.size):
                    to[at] = strip[at, band]


@compiled
def _is_filled(image, value, top, left, rows, cols):  # type: ignore[no-untyped-def]
    for row in range(top, top + rows):
        line = image[row, left : left + cols]
        other = np.uint8(0)
        for at in range(line.size):
            other |= line[at] != value
        if other:
            return False
    return True
