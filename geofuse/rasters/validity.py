"""What stored numbers mean as pixels: which of them are valid, and their values at places in between."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.rasters.image import WHOLE_DTYPES

ENORMOUS = 1e30
"""No measurement is so large: netCDF fills with 9.97e36, GDAL and ArcGIS with -3.4e38 and 1.8e308."""
_TAPS = (-1, 0, 1, 2)
_BORDER = 3


def holds(dtype: str, value: float | None) -> bool:
    """Say whether a type can hold a nodata value; NaN and infinities only fit floats."""
    if value is None or dtype not in WHOLE_DTYPES:
        return True
    limits = np.iinfo(dtype)
    return value == value // 1 and limits.min <= value <= limits.max


def good(plane: NDArray[Any], nodata: float | None) -> NDArray[np.bool_]:
    """Return where stored values are finite and not nodata.

    Whole types are compared exactly; a nodata value that the type cannot hold marks nothing. Among floats a value is
    nodata within the rounding of a single precision number, or of a text of six digits where it is enormous: tools
    write the tag shorter than the fill. Beyond 1e30 nothing is a measurement: what is there is somebody's fill.

    >>> good(np.array([0, 255], np.uint8), 0.0).tolist(), good(np.array([0, 255], np.uint8), -1.0).tolist()
    ([False, True], [True, True])
    """
    floating = plane.dtype.kind == "f"
    found: NDArray[np.bool_] = np.isfinite(plane) if floating else np.ones(plane.shape, np.bool_)
    if floating:
        with np.errstate(over="ignore"):
            found &= np.abs(plane) < ENORMOUS
            if nodata is not None and abs(nodata) < ENORMOUS:
                mark = plane.dtype.type(nodata)
                near = plane.dtype.type(abs(nodata) * np.finfo(np.float32).eps)
                found &= (plane != mark) if near == 0.0 else ~(np.abs(plane - mark) <= near)
        return found
    if nodata is None or np.isnan(nodata):
        return found
    limits = np.iinfo(plane.dtype)
    if limits.min <= nodata <= limits.max and float(nodata).is_integer():
        found &= plane != plane.dtype.type(int(nodata))
    return found


def sampled(
    planes: NDArray[Any], valid: NDArray[np.bool_], rows: NDArray[np.float64], cols: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Interpolate planes (n, h, w) at places rows, cols (H, W), in pixels whose centres are whole numbers.

    Returns values (n, H, W) in the type of `planes` and valid (H, W): whether the pixel under the place is
    valid; NaN places are not. Values are Keys' cubic (a = -1/2) where all 16 pixels are valid, bilinear over
    the valid ones elsewhere, and 0 where invalid.
    Source: Keys 1981, IEEE Trans. ASSP 29(6), eq. 15.
    """
    height, width = valid.shape
    # a border of invalid pixels, so that no tap needs to ask where it is
    seen = np.pad(valid, _BORDER)
    stride = seen.shape[1]
    row, row_t = _based(rows, height)
    col, col_t = _based(cols, width)
    base = (row + _BORDER) * stride + col + _BORDER
    nearer = (row + (row_t >= 0.5) + _BORDER) * stride + col + (col_t >= 0.5) + _BORDER
    inside = seen.ravel()[nearer]
    whole = _all_16(seen).ravel()[base]
    down, across = ([_keys(np.abs(t - tap)) for tap in _TAPS] for t in (row_t, col_t))
    ragged = np.flatnonzero(inside & ~whole)
    values = np.zeros((len(planes), *rows.shape), planes.dtype)
    for out, plane in zip(values, planes, strict=True):
        stored = np.pad(plane, _BORDER).ravel()
        total = np.zeros(rows.shape)
        for i, weight in zip(_TAPS, down, strict=True):
            line = [w * stored[base + (i * stride + j)] for j, w in zip(_TAPS, across, strict=True)]
            total += weight * (line[0] + line[1] + line[2] + line[3])
        out[...] = np.where(inside, total, 0.0)
        if ragged.size:
            near = base.ravel()[ragged], row_t.ravel()[ragged], col_t.ravel()[ragged]
            out.ravel()[ragged] = _bilinear(stored, seen.ravel(), near, stride)
    return values, inside


def _based(places: NDArray[np.float64], size: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Split places into the pixel before and the fraction after it, kept within the border's reach."""
    held = np.clip(np.where(np.isfinite(places), places, -2.0), -2.0, float(size))
    base = np.floor(held)
    return base.astype(np.int64), held - base


def _all_16(seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return whether the 4 x 4 pixels from one before to two after each are all valid; the edges are not."""
    found = np.zeros_like(seen)
    runs = seen[:, :-3] & seen[:, 1:-2] & seen[:, 2:-1] & seen[:, 3:]
    found[1:-2, 1:-2] = runs[:-3] & runs[1:-2] & runs[2:-1] & runs[3:]
    return found


def _bilinear(
    stored: NDArray[Any],
    seen: NDArray[np.bool_],
    near: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]],
    stride: int,
) -> NDArray[np.float64]:
    """Return the bilinear mean of those of 4 pixels that are valid; the nearest one is."""
    base, row_t, col_t = near
    total, share = np.zeros(base.shape), np.zeros(base.shape)
    for step, weight in (
        (0, (1.0 - row_t) * (1.0 - col_t)),
        (1, (1.0 - row_t) * col_t),
        (stride, row_t * (1.0 - col_t)),
        (stride + 1, row_t * col_t),
    ):
        held = weight * seen[base + step]
        total += held * stored[base + step]
        share += held
    return total / share


def _keys(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    near = (1.5 * distance - 2.5) * distance**2 + 1.0
    far = ((-0.5 * distance + 2.5) * distance - 4.0) * distance + 2.0
    return np.where(distance < 1.0, near, np.where(distance < 2.0, far, 0.0))


def between(knots: NDArray[np.float64], step: int) -> NDArray[np.float64]:
    """Interpolate linearly between knots (n + 1, m + 1) that lie `step` apart: (n step, m step).

    >>> between(np.array([[0.0, 4.0], [8.0, 12.0]]), 2).tolist()
    [[0.0, 2.0], [4.0, 6.0]]
    """
    t = np.arange(step) / step
    tall = knots[:-1, None, :] * (1.0 - t)[:, None] + knots[1:, None, :] * t[:, None]
    tall = tall.reshape(-1, knots.shape[1])
    return (tall[:, :-1, None] * (1.0 - t) + tall[:, 1:, None] * t).reshape(len(tall), -1)


def mapped(
    affine: tuple[float, ...], x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a x + b y + c and d x + e y + f."""
    a, b, c, d, e, f = affine
    return a * x + b * y + c, d * x + e * y + f


def touched(places: NDArray[np.float64], size: int) -> tuple[int, int]:
    """Return (start, stop) of the pixels in [0, size) that a cubic at these places touches; NaN is nowhere.

    >>> touched(np.array([-0.6, 2.5]), 9), touched(np.array([np.nan]), 9)
    ((0, 5), (0, 0))
    """
    known = places[np.isfinite(places)]
    if not known.size:
        return 0, 0
    first, last = np.clip(np.floor([known.min(), known.max()]), -4, size + 4)
    return max(0, int(first) - 1), min(size, int(last) + 3)
