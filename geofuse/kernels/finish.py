"""From computed floats to stored pixels: pedestal, rounding, saturation, nodata, interleaving."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.kernels.jit import compiled
from geofuse.kernels.nodata_values import beside, nearness

PEDESTAL_LIMIT = 2.0**16
"""Whole pedestals up to this leave sums with 16 bits exact in single precision."""


@compiled
def _interleave(line, out):  # type: ignore[no-untyped-def]
    bands, width = line.shape
    for col in range(width):
        for band in range(bands):
            out[col, band] = line[band, col]


@compiled
def _pack(line, out):  # type: ignore[no-untyped-def]
    """Interleave four lines of 16 bits as words of 64: no store for a single sample."""
    a, b, c, d = line[0], line[1], line[2], line[3]
    for col in range(out.size):
        low = np.uint64(a[col]) | (np.uint64(b[col]) << np.uint64(16))
        out[col] = low | (np.uint64(c[col]) << np.uint64(32)) | (np.uint64(d[col]) << np.uint64(48))


# The flags below are numbers and every choice is between two values: so the loop becomes vectors.


@compiled
def _round(source, seen, base, behind, limits, high, shown, target):  # type: ignore[no-untyped-def]
    """Round ``source + base`` half up, add ``behind``, keep within limits, mark: one line of one band."""
    low, nodata, beside, half, up = limits
    zero, one, none = np.int32(0), np.int32(1), up - up
    saturated = moved = zero
    for col in range(source.size):
        value = source[col] + base
        down = np.floor(value)
        value = down + (up if value - down >= half else none) + behind
        kept = value if value > low else low
        kept = kept if kept < high else high
        flag = np.int32(seen[col])
        saturated += (one if value != kept else zero) & flag
        moved += (one if kept == nodata else zero) & flag
        kept = beside if kept == nodata else kept
        kept = kept if (flag | shown) != zero else nodata
        target[col] = kept
    return saturated, moved


@compiled
def _whole(values, valid, before, after, limits, tops, shown, out, packed, line, words):  # type: ignore[no-untyped-def]
    saturated = moved = np.int64(0)
    for row in range(values.shape[1]):
        for band in range(values.shape[0]):
            found = _round(
                values[band, row],
                valid[row],
                before[band],
                after[band],
                limits,
                tops[band],
                shown,
                line[band],
            )
            saturated += found[0]
            moved += found[1]
        if packed.size > 0:
            _pack(words, packed[row])
        else:
            _interleave(line, out[row])
    return saturated, moved


@compiled
def _real(values, valid, pedestal, nodata, marks, near, beside, out):  # type: ignore[no-untyped-def]
    bands, height, width = values.shape
    kind = out.dtype.type
    line = np.empty((bands, width), out.dtype)
    moved = 0
    for row in range(height):
        seen = valid[row]
        for band in range(bands):
            base, source, target = pedestal[band], values[band, row], line[band]
            for col in range(width):
                value = kind(np.float64(source[col]) + base)
                if marks:
                    equal = value == nodata or abs(value - nodata) <= near
                    moved += seen[col] and equal
                    value = beside if equal else value
                    value = value if seen[col] else nodata
                target[col] = value
        _interleave(line, out[row])
    return 0, moved


def finish(
    values: NDArray[Any],
    valid: NDArray[np.bool_],
    pedestal: NDArray[np.float64],
    *,
    dtype: str,
    nodata: float | None,
    tops: Sequence[float] = (),
    out: NDArray[Any] | None = None,
) -> tuple[NDArray[Any], int, int]:
    """Turn fused values (B, H, W) into stored pixels (H, W, B), never wrapping.

    Whole types are rounded half up and saturate at their limits, or at ``tops`` (one a band) where the detector has
    fewer bits than the type. Invalid pixels become ``nodata``; a valid result equal to it
    moves by one, a float result too near for readers to tell apart by a millionth. Returns the pixels (``out``
    where given), how many values saturated, how many moved.
    """
    kind = np.dtype(dtype)
    if out is None:
        out = np.empty((values.shape[1], values.shape[2], values.shape[0]), kind)
    marks, mark = nodata is not None, 0.0 if nodata is None else float(nodata)
    if kind.kind == "f":
        mark = float(kind.type(mark))
        near, moved_to = kind.type(nearness(mark, kind)), kind.type(beside(mark, kind))
        saturated, moved = _real(values, valid, pedestal, kind.type(mark), marks, near, moved_to, out)
    else:
        saturated, moved = _round_all(values, valid, pedestal, (marks, mark), tops, out)
    return out, int(saturated), int(moved)


def _round_all(
    values: NDArray[Any],
    valid: NDArray[np.bool_],
    pedestal: NDArray[np.float64],
    nodata: tuple[bool, float],
    tops: Sequence[float],
    out: NDArray[Any],
) -> tuple[int, int]:
    """Round in single precision where that is exact: 16 bits and less, whole pedestals."""
    kind, bounds = out.dtype, np.iinfo(out.dtype)
    whole = bool((pedestal == np.rint(pedestal)).all() and np.abs(pedestal).max(initial=0.0) < PEDESTAL_LIMIT)
    narrow = values.dtype == np.float32 and kind.itemsize <= 2 and whole
    work, none = np.float32 if narrow else np.float64, np.zeros_like(pedestal)
    before, after = (none, pedestal) if narrow else (pedestal, none)
    marks, mark = nodata
    no_value = mark if marks else np.nan  # which nothing equals
    near = mark - 1.0 if len(tops) and mark >= min(tops) else beside(mark, kind)
    limits = (float(bounds.min), no_value, near, 0.5, 1.0)
    highest = np.full(len(values), float(bounds.max)) if not len(tops) else np.asarray(tops, np.float64)
    line = np.empty((values.shape[0], values.shape[2]), kind)
    packed, words = np.empty((0, 0), np.uint64), np.empty((4, 0), np.uint16)
    if kind.itemsize == 2 and len(line) == 4 and out.flags.c_contiguous:
        packed, words = out.view(np.uint64)[..., 0], line.view(np.uint16)
    saturated, moved = _whole(
        values,
        valid.view(np.uint8),
        before.astype(work),
        after.astype(work),
        tuple(work(limit) for limit in limits),
        highest.astype(work),
        np.int32(not marks),
        out,
        packed,
        line,
        words,
    )
    return int(saturated), int(moved)
