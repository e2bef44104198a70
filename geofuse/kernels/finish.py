"""From computed floats to stored pixels: pedestal, rounding, saturation, nodata, interleaving."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.kernels.jit import compiled
from geofuse.kernels.marks import beside, nearness


@compiled
def _interleave(line, out):  # type: ignore[no-untyped-def]
    bands, width = line.shape
    for col in range(width):
        for band in range(bands):
            out[col, band] = line[band, col]


@compiled
def _whole(values, valid, pedestal, low, high, nodata, marks, beside, out):  # type: ignore[no-untyped-def]
    bands, height, width = values.shape
    line = np.empty((bands, width), out.dtype)
    saturated = 0
    moved = 0
    for row in range(height):
        seen = valid[row]
        for band in range(bands):
            base, source, target = pedestal[band] + 0.5, values[band, row], line[band]
            for col in range(width):
                value = np.floor(np.float64(source[col]) + base)
                kept = min(max(value, low), high)
                saturated += seen[col] and value != kept
                if marks:
                    equal = kept == nodata
                    moved += seen[col] and equal
                    kept = beside if equal else kept
                    kept = kept if seen[col] else nodata
                target[col] = kept
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
) -> tuple[NDArray[Any], int, int]:
    """Turn fused values (B, H, W) into stored pixels (H, W, B), never wrapping.

    Whole types are rounded half up and saturate. Invalid pixels become ``nodata``; a valid result equal to it
    moves by one, a float result too near for readers to tell apart by a millionth. Returns the pixels, how
    many values saturated, how many moved.
    """
    kind = np.dtype(dtype)
    out = np.empty((values.shape[1], values.shape[2], values.shape[0]), kind)
    marks, mark = nodata is not None, 0.0 if nodata is None else float(nodata)
    if kind.kind == "f":
        mark = float(kind.type(mark))
        near, moved_to = kind.type(nearness(mark, kind)), kind.type(beside(mark, kind))
        saturated, moved = _real(values, valid, pedestal, kind.type(mark), marks, near, moved_to, out)
    else:
        limits = np.iinfo(kind)
        low, high = float(limits.min), float(limits.max)
        saturated, moved = _whole(values, valid, pedestal, low, high, mark, marks, beside(mark, kind), out)
    return out, int(saturated), int(moved)
