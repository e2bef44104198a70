"""From computed floats to stored pixels: pedestal, rounding, saturation, nodata, interleaving."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.kernels.jit import compiled

NODATA_BLUR = 2.0**-20
"""Relative distance from a float nodata value within which GDAL may see nodata: its masks allow 4.8e-7."""


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


def _beside(mark: np.floating[Any]) -> np.floating[Any]:
    """Return the value nearest to ``mark`` that no reader takes for it: normal, finite, towards zero."""
    limits = np.finfo(mark.dtype)
    if mark == 0.0:
        return limits.smallest_normal
    return mark * limits.dtype.type(1.0 - NODATA_BLUR) if np.isfinite(mark) else np.copysign(limits.max, mark)


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
    marks = nodata is not None
    if kind.kind == "f":
        mark = kind.type(0.0 if nodata is None else nodata)
        near = kind.type(NODATA_BLUR) * abs(mark) if np.isfinite(mark) else kind.type(0.0)
        saturated, moved = _real(values, valid, pedestal, mark, marks, near, _beside(mark), out)
    else:
        limits = np.iinfo(kind)
        low, high = float(limits.min), float(limits.max)
        mark = 0.0 if nodata is None else float(nodata)
        beside = mark + 1.0 if mark < high else mark - 1.0
        saturated, moved = _whole(values, valid, pedestal, low, high, mark, marks, beside, out)
    return out, int(saturated), int(moved)
