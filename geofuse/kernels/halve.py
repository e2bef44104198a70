"""Halving an image for its overviews: every 2 x 2 pixels become one, band by band, exactly and in any order.

The mean of whole numbers is taken in integer arithmetic and rounded half up; that of floats in float64, in
one fixed order of additions. So a level made tile by tile equals the level made of the whole image.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.kernels.jit import compiled
from geofuse.kernels.marks import beside, nearness


def halve(image: NDArray[Any], nodata: float | None = None, *, resampling: str = "average") -> NDArray[Any]:
    """Return the image (h, w, bands), C-contiguous, at half its size, odd sizes rounded up.

    "average" is the mean of those of the four samples that are valid: neither `nodata` nor NaN. A mean that
    comes out as `nodata` moves to the next larger value (the largest: to the next smaller). "or" joins the
    bits of whole numbers, "nearest" takes the upper left pixel. An odd last line counts what is there.

    >>> halve(np.array([[[1], [2], [9]], [[0], [4], [0]]], np.uint8), 0)[..., 0].tolist()
    [[2, 9]]
    """
    height, width, bands = image.shape
    if resampling == "nearest":
        return np.ascontiguousarray(image[::2, ::2])
    out = np.empty(((height + 1) // 2, (width + 1) // 2, bands), image.dtype)
    if resampling == "or":
        _join_bits(image, out)
    elif np.issubdtype(image.dtype, np.floating):
        empty = float(image.dtype.type(math.nan if nodata is None else nodata))
        _mean_floats(image, out, empty, nearness(empty, image.dtype), beside(empty, image.dtype))
    elif nodata is None:
        _mean_all(image, out)
    else:
        _mean_valid(image, out, np.int64(nodata), np.int64(beside(nodata, image.dtype)))
    return out


# An odd last row or column is read twice below: that leaves every mean as it is.


@compiled
def _mean_all(image, out):  # type: ignore[no-untyped-def]
    last_row, last_col = image.shape[0] - 1, image.shape[1] - 1
    for row in range(out.shape[0]):
        upper, lower = image[2 * row], image[min(2 * row + 1, last_row)]
        for col in range(out.shape[1]):
            left, right = 2 * col, min(2 * col + 1, last_col)
            to = out[row, col]
            for band in range(to.size):
                above = np.int64(upper[left, band]) + np.int64(upper[right, band])
                below = np.int64(lower[left, band]) + np.int64(lower[right, band])
                to[band] = (above + below + 2) >> 2


@compiled
def _mean_valid(image, out, nodata, beside):  # type: ignore[no-untyped-def]
    last_row, last_col = image.shape[0] - 1, image.shape[1] - 1
    for row in range(out.shape[0]):
        upper, lower = image[2 * row], image[min(2 * row + 1, last_row)]
        for col in range(out.shape[1]):
            left, right = 2 * col, min(2 * col + 1, last_col)
            to = out[row, col]
            for band in range(to.size):
                a, b = np.int64(upper[left, band]), np.int64(upper[right, band])
                c, d = np.int64(lower[left, band]), np.int64(lower[right, band])
                va, vb, vc, vd = a != nodata, b != nodata, c != nodata, d != nodata
                if va and vb and vc and vd:
                    mean = (a + b + c + d + 2) >> 2
                    to[band] = beside if mean == nodata else mean
                    continue
                count = np.int64(va) + np.int64(vb) + np.int64(vc) + np.int64(vd)
                if count == 0:
                    to[band] = nodata
                    continue
                mean = (2 * (a * va + b * vb + c * vc + d * vd) + count) // (2 * count)
                to[band] = beside if mean == nodata else mean


@compiled
def _mean_floats(image, out, nodata, near, beside):  # type: ignore[no-untyped-def]
    last_row, last_col = image.shape[0] - 1, image.shape[1] - 1
    for row in range(out.shape[0]):
        upper, lower = image[2 * row], image[min(2 * row + 1, last_row)]
        for col in range(out.shape[1]):
            left, right = 2 * col, min(2 * col + 1, last_col)
            to = out[row, col]
            for band in range(to.size):
                a, b = np.float64(upper[left, band]), np.float64(upper[right, band])
                c, d = np.float64(lower[left, band]), np.float64(lower[right, band])
                va, vb = not np.isnan(a) and a != nodata, not np.isnan(b) and b != nodata
                vc, vd = not np.isnan(c) and c != nodata, not np.isnan(d) and d != nodata
                count = np.int64(va) + np.int64(vb) + np.int64(vc) + np.int64(vd)
                if count == 0:
                    to[band] = nodata
                    continue
                above = (a if va else 0.0) + (b if vb else 0.0)
                below = (c if vc else 0.0) + (d if vd else 0.0)
                to[band] = (above + below) / count
                mean = np.float64(to[band])  # as stored, after rounding to float32
                if mean == nodata or abs(mean - nodata) <= near:
                    to[band] = beside


@compiled
def _join_bits(image, out):  # type: ignore[no-untyped-def]
    last_row, last_col = image.shape[0] - 1, image.shape[1] - 1
    for row in range(out.shape[0]):
        upper, lower = image[2 * row], image[min(2 * row + 1, last_row)]
        for col in range(out.shape[1]):
            left, right = 2 * col, min(2 * col + 1, last_col)
            to = out[row, col]
            for band in range(to.size):
                above = upper[left, band] | upper[right, band]
                to[band] = above | lower[left, band] | lower[right, band]
