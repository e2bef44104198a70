"""Separable resampling by tap tables, its validity, and the filling of invalid pixels.

One pair of loops serves the sensor's degradation D, the upsampling U and every low-pass filter. The order of
additions is that of the taps, whatever the array around them, so that a pixel's value does not depend on how
the image was cut.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import Taps
from geofuse.kernels.jit import compiled


@compiled
def _rows(source, first, weights, out):  # type: ignore[no-untyped-def]
    bands, _, width = source.shape
    taps = weights.shape[1]
    for band in range(bands):
        for row in range(first.size):
            top, line = first[row], out[band, row]
            above, weight = source[band, top], weights[row, 0]
            for col in range(width):
                line[col] = weight * above[col]
            for tap in range(1, taps):
                below, weight = source[band, top + tap], weights[row, tap]
                for col in range(width):
                    line[col] += weight * below[col]


@compiled
def _rows4(source, first, weights, out):  # type: ignore[no-untyped-def]
    bands, _, width = source.shape
    for band in range(bands):
        for row in range(first.size):
            top, line = first[row], out[band, row]
            a, b, c, d = (
                source[band, top],
                source[band, top + 1],
                source[band, top + 2],
                source[band, top + 3],
            )
            wa, wb, wc, wd = weights[row, 0], weights[row, 1], weights[row, 2], weights[row, 3]
            for col in range(width):
                line[col] = wa * a[col] + wb * b[col] + wc * c[col] + wd * d[col]


@compiled
def _columns(source, first, weights, out):  # type: ignore[no-untyped-def]
    bands, height, _ = source.shape
    taps = weights.shape[0]
    for band in range(bands):
        for row in range(height):
            line = source[band, row]
            for at in range(first.size):
                col = np.uintp(at)  # unsigned: spares numba's test for indices from the end
                left = first[col]
                total = weights[0, col] * line[left]
                for tap in range(1, taps):
                    total += weights[np.uintp(tap), col] * line[left + np.uintp(tap)]
                out[band, row, col] = total


@compiled
def _columns4(source, first, weights, out):  # type: ignore[no-untyped-def]
    bands, height, _ = source.shape
    wa, wb, wc, wd = weights[0], weights[1], weights[2], weights[3]
    for band in range(bands):
        for row in range(height):
            line, target = source[band, row], out[band, row]
            for at in range(first.size):
                col = np.uintp(at)
                a = first[col]
                b, c, d = a + np.uintp(1), a + np.uintp(2), a + np.uintp(3)
                target[col] = wa[col] * line[a] + wb[col] * line[b] + wc[col] * line[c] + wd[col] * line[d]


def resample_rows(source: NDArray[Any], taps: Taps, origin: int) -> NDArray[Any]:
    """Apply a tap table to the rows of ``source`` (B, h, w), whose first row has index ``origin``."""
    first = taps.first - origin
    _check(first, taps.weights.shape[1], source.shape[1])
    out = np.empty((source.shape[0], first.size, source.shape[2]), source.dtype)
    loop = _rows4 if taps.weights.shape[1] == 4 else _rows
    loop(source, first, taps.weights.astype(source.dtype, copy=False), out)
    return out


def resample_columns(source: NDArray[Any], taps: Taps, origin: int) -> NDArray[Any]:
    """Apply a tap table to the columns of ``source`` (B, h, w), whose first column has index ``origin``."""
    first = taps.first - origin
    _check(first, taps.weights.shape[1], source.shape[2])
    out = np.empty((*source.shape[:2], first.size), source.dtype)
    weights = np.ascontiguousarray(taps.weights.T, source.dtype)
    loop = _columns4 if weights.shape[0] == 4 else _columns
    loop(source, first.astype(np.uintp), weights, out)
    return out


def resample(source: NDArray[Any], row_taps: Taps, col_taps: Taps, origin: tuple[int, int]) -> NDArray[Any]:
    """Apply two tap tables to ``source`` (B, h, w) whose first pixel has the absolute indices ``origin``.

    Returns (B, len(row_taps), len(col_taps)) in the source's float type. Every tap must be inside it.
    Rows go first: a decimation never touches the rows it drops.
    """
    return resample_columns(resample_rows(source, row_taps, origin[0]), col_taps, origin[1])


def _check(first: NDArray[Any], taps: int, size: int) -> None:
    if first.size and (first[0] < 0 or first[-1] + taps > size):  # tables ascend
        raise IndexError(f"taps {first[0]}..{first[-1] + taps} leave a source of {size} pixels")


@compiled
def _renormalise(values, weight, missing, minimum, out_valid):  # type: ignore[no-untyped-def]
    bands, height, width = values.shape
    for row in range(height):
        for col in range(width):
            if missing[row, col] == 0:
                out_valid[row, col] = True
            elif weight[row, col] >= minimum:
                out_valid[row, col] = True
                for band in range(bands):
                    values[band, row, col] /= weight[row, col]
            else:
                out_valid[row, col] = False
                for band in range(bands):
                    values[band, row, col] = 0.0


@compiled
def _boxes(flags, top, high, left, wide, table, out):  # type: ignore[no-untyped-def]
    for row in range(flags.shape[0]):
        count = 0
        for col in range(flags.shape[1]):
            count += flags[row, col]
            table[row + 1, col + 1] = table[row, col + 1] + count
    for row in range(top.size):
        above, below = table[top[row]], table[top[row] + high]
        for col in range(left.size):
            first = left[col]
            last = first + wide
            out[row, col] = below[last] - above[last] - below[first] + above[first]


def resample_valid(
    source: NDArray[Any],
    valid: NDArray[np.bool_],
    row_taps: Taps,
    col_taps: Taps,
    origin: tuple[int, int],
    *,
    minimum: float = 0.5,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Resample only what is valid: invalid pixels (which must hold 0) are left out, weights renormalised.

    An output whose valid taps weigh less than ``minimum`` is invalid and 0. Where every tap is valid the
    result is bit for bit that of `resample`. Source: Knutsson and Westin 1993, normalised convolution.
    """
    values = resample(source, row_taps, col_taps, origin)
    if valid.all():
        return values, np.ones(values.shape[1:], np.bool_)
    weight = resample(valid[None].astype(source.dtype), row_taps, col_taps, origin)[0]
    missing = _box_count(~valid, row_taps, col_taps, origin)
    out_valid = np.empty(values.shape[1:], np.bool_)
    _renormalise(values, weight, missing, minimum, out_valid)
    return values, out_valid


def _box_count(
    flags: NDArray[np.bool_], row_taps: Taps, col_taps: Taps, origin: tuple[int, int]
) -> NDArray[np.int32]:
    """Count the flags under each output's taps."""
    top, left = row_taps.first - origin[0], col_taps.first - origin[1]
    table = np.zeros((flags.shape[0] + 1, flags.shape[1] + 1), np.int32)
    out = np.empty((top.size, left.size), np.int32)
    _boxes(flags, top, row_taps.weights.shape[1], left, col_taps.weights.shape[1], table, out)
    return out


@compiled
def _fill_once(values, valid, out, out_valid):  # type: ignore[no-untyped-def]
    bands, height, width = values.shape
    for row in range(height):
        for col in range(width):
            if valid[row, col]:
                continue
            count = 0
            for r in range(max(row - 1, 0), min(row + 2, height)):
                for c in range(max(col - 1, 0), min(col + 2, width)):
                    if valid[r, c]:
                        count += 1
                        for band in range(bands):
                            out[band, row, col] += values[band, r, c]
            if count > 0:
                out_valid[row, col] = True
                for band in range(bands):
                    out[band, row, col] /= count


def fill(values: NDArray[Any], valid: NDArray[np.bool_], reach: int) -> NDArray[Any]:
    """Grow valid pixels into invalid ones, ``reach`` pixels far, by the mean of the valid 3 x 3 neighbours.

    Values (B, h, w) must hold 0 where invalid. A filled pixel depends on at most ``reach`` pixels around it,
    so that tiles that overlap by that much agree. Returns the input itself where there is nothing to fill.
    """
    if valid.all():
        return values
    for _ in range(reach):
        grown, grown_valid = values.copy(), valid.copy()
        _fill_once(values, valid, grown, grown_valid)
        values, valid = grown, grown_valid
    return values
