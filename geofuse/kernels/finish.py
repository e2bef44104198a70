"""From computed floats to stored pixels: pedestal, rounding, saturation, nodata, interleaving."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

NODATA_BLUR = 2.0**-20
"""Relative distance from a float nodata value within which GDAL may see nodata: its masks allow 4.8e-7."""


@njit(cache=True, nogil=True)
def _whole(values, valid, pedestal, low, high, nodata, marks, out):  # type: ignore[no-untyped-def]
    bands, height, width = values.shape
    saturated = 0
    moved = 0
    for row in range(height):
        for band in range(bands):
            base = pedestal[band]
            for col in range(width):
                value = np.floor(np.float64(values[band, row, col]) + base + 0.5)
                saturated += valid[row, col] and (value < low or value > high)
                value = min(max(value, low), high)
                if marks:
                    if not valid[row, col]:
                        value = nodata
                    elif value == nodata:
                        moved += 1
                        value = value + 1.0 if value < high else value - 1.0
                out[row, col, band] = value
    return saturated, moved


@njit(cache=True, nogil=True)
def _real(values, valid, pedestal, nodata, marks, near, beside, out):  # type: ignore[no-untyped-def]
    bands, height, width = values.shape
    kind = out.dtype.type
    moved = 0
    for row in range(height):
        for band in range(bands):
            base = pedestal[band]
            for col in range(width):
                value = kind(np.float64(values[band, row, col]) + base)
                if marks:
                    if not valid[row, col]:
                        value = nodata
                    elif value == nodata or abs(value - nodata) <= near:
                        moved += 1
                        value = beside
                out[row, col, band] = value
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
        mark = 0.0 if nodata is None else float(nodata)
        saturated, moved = _whole(
            values, valid, pedestal, float(limits.min), float(limits.max), mark, marks, out
        )
    return out, int(saturated), int(moved)
