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
from geofuse.kernels.nodata_values import beside, nearness


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


def halve_marked(
    image: NDArray[Any], valid: NDArray[np.uint8], *, resampling: str = "average"
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Return the image (h, w, bands) and its validity (h, w), 0 or 1, at half their size.

    As `halve`, but the mean is that of the pixels which are valid, and 0 where none is; one is enough to make
    the new pixel valid.

    >>> image, valid = np.array([[[1], [2]], [[9], [5]]], np.uint8), np.array([[0, 1], [0, 1]], np.uint8)
    >>> [each.tolist() for each in halve_marked(image, valid)]
    [[[[4]]], [[1]]]
    """
    if resampling != "average":
        marks = halve(valid[:, :, None], resampling=resampling)
        return halve(image, resampling=resampling), marks[:, :, 0]
    height, width, bands = image.shape
    out = np.empty(((height + 1) // 2, (width + 1) // 2, bands), image.dtype)
    seen = np.empty(out.shape[:2], np.uint8)
    if np.issubdtype(image.dtype, np.floating):
        _mean_marked_floats(image, valid, out, seen)
    else:
        _mean_marked(image, valid, out, seen)
    return out, seen


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
def _mean_marked(image, valid, out, seen):  # type: ignore[no-untyped-def]
    last_row, last_col = image.shape[0] - 1, image.shape[1] - 1
    for row in range(out.shape[0]):
        up, down = 2 * row, min(2 * row + 1, last_row)
        for col in range(out.shape[1]):
            left, right = 2 * col, min(2 * col + 1, last_col)
            va, vb = np.int64(valid[up, left]), np.int64(valid[up, right])
            vc, vd = np.int64(valid[down, left]), np.int64(valid[down, right])
            count = va + vb + vc + vd
            seen[row, col] = count > 0
            to = out[row, col]
            for band in range(to.size):
                above = va * np.int64(image[up, left, band]) + vb * np.int64(image[up, right, band])
                below = vc * np.int64(image[down, left, band]) + vd * np.int64(image[down, right, band])
                to[band] = (2 * (above + below) + count) // (2 * count) if count else 0


@compiled
def _mean_marked_floats(image, valid, out, seen):  # type: ignore[no-untyped-def]
    last_row, last_col = image.shape[0] - 1, image.shape[1] - 1
    for row in range(out.shape[0]):
        up, down = 2 * row, min(2 * row + 1, last_row)
        for col in range(out.shape[1]):
            left, right = 2 * col, min(2 * col + 1, last_col)
            va, vb = valid[up, left] > 0, valid[up, right] > 0
            vc, vd = valid[down, left] > 0, valid[down, right] > 0
            count = np.int64(va) + np.int64(vb) + np.int64(vc) + np.int64(vd)
            seen[row, col] = count > 0
            to = out[row, col]
            for band in range(to.size):
                a, b = np.float64(image[up, left, band]), np.float64(image[up, right, band])
                c, d = np.float64(image[down, left, band]), np.float64(image[down, right, band])
                above = (a if va else 0.0) + (b if vb else 0.0)
                below = (c if vc else 0.0) + (d if vd else 0.0)
                to[band] = (above + below) / count if count else 0.0


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
