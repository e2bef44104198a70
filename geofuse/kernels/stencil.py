"""The loops of ridge: sums over 5 x 5 neighbourhoods of PAN's detail, and the model they lead to.

Arrays: ``detail`` (H + 4, W + 4) is PAN less low-passed PAN, with a border of two pixels for the taps; the other
planes are (K, H, W) over the inner pixels. Additions have one order, whatever the array around a pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.kernels.jit import compiled

SIDE = 5
"""Taps along each axis."""
MARGIN = SIDE // 2
"""Pixels a stencil reaches to each side."""
TAPS = SIDE * SIDE
FOLD_PX = 32
"""Side of the square blocks that hold-out folds are made of: also the columns that are summed side by side."""
FOLDS = 4
ROWS = 8
"""Rows whose products are summed before they are added to what was gathered: it spares loads and stores."""


@compiled
def _gather(detail, others, seen, top, bottom, left, right, buffer):  # type: ignore[no-untyped-def]
    """Lay the samples of up to 8 x 32 pixels into ``buffer`` (V, 256), 0 where not seen; return their count."""
    buffer[:] = 0.0
    total = 0
    lanes = right - left
    for step in range(bottom - top):
        row = top + step
        flags = seen[row, left:right]
        for lane in range(lanes):
            total += flags[lane]
        for tap in range(TAPS):
            source = detail[row + tap // SIDE, left + tap % SIDE :]
            target = buffer[tap, step * FOLD_PX :]
            for lane in range(lanes):
                target[lane] = source[lane] if flags[lane] else 0.0
        for k in range(others.shape[0]):
            source = others[k, row, left:right]
            target = buffer[TAPS + k, step * FOLD_PX :]
            for lane in range(lanes):
                target[lane] = source[lane] if flags[lane] else 0.0
    return total


@compiled
def _multiply(buffer, sums):  # type: ignore[no-untyped-def]
    """Add the products of all pairs of variables: ``sums`` (V (V + 1) / 2, 32), lower triangle by rows."""
    pair = 0
    for i in range(buffer.shape[0]):
        a = buffer[i]
        for j in range(i + 1):
            b, line = buffer[j], sums[pair]
            for lane in range(FOLD_PX):
                line[lane] += (
                    (a[lane] * b[lane] + a[lane + 32] * b[lane + 32])
                    + (a[lane + 64] * b[lane + 64] + a[lane + 96] * b[lane + 96])
                ) + (
                    (a[lane + 128] * b[lane + 128] + a[lane + 160] * b[lane + 160])
                    + (a[lane + 192] * b[lane + 192] + a[lane + 224] * b[lane + 224])
                )
            pair += 1


@compiled
def _accumulate(detail, others, seen, row0, col0, counts, totals, sums, buffer):  # type: ignore[no-untyped-def]
    """Add one field to ``totals`` (folds, pairs, 32), by way of ``sums`` (2, pairs, 32) in the source's precision.

    These hold one row of blocks, which is of two folds: some hundred products are added before they move on.
    """
    height, width = seen.shape
    top = 0
    while top < height:
        down = (row0 + top) // FOLD_PX
        end = min(height, (down + 1) * FOLD_PX - row0)
        sums[:] = 0.0
        while top < end:
            bottom = min(end, top + ROWS)
            left = 0
            while left < width:
                across = (col0 + left) // FOLD_PX
                right = min(width, (across + 1) * FOLD_PX - col0)
                count = _gather(detail, others, seen, top, bottom, left, right, buffer)
                if count > 0:
                    counts[2 * (down % 2) + across % 2] += count
                    _multiply(buffer, sums[across % 2])
                left = right
            top = bottom
        for side in range(2):
            totals[2 * (down % 2) + side] += sums[side]


class ProductSums:
    """Gathers, per hold-out fold, counts and sums of products of the 25 taps and K other variables.

    Fold 2 (i mod 2) + (j mod 2) holds the blocks (i, j) of 32 x 32 pixels, counted from an anchor.
    """

    def __init__(self, others: int, kind: np.dtype[Any]) -> None:
        variables = TAPS + others
        pairs = variables * (variables + 1) // 2
        self.counts = np.zeros(FOLDS, np.int64)
        self.totals = np.zeros((FOLDS, pairs, FOLD_PX))
        self.sums = np.empty((2, pairs, FOLD_PX), kind)
        self.buffer = np.empty((variables, ROWS * FOLD_PX), kind)

    def add(
        self, detail: NDArray[Any], others: NDArray[Any], seen: NDArray[np.bool_], place: tuple[int, int]
    ) -> None:
        """Add the seen pixels of detail (H + 4, W + 4), others (K, H, W); ``place``: seen[0, 0] from the anchor."""
        _accumulate(detail, others, seen, *place, self.counts, self.totals, self.sums, self.buffer)

    def done(self) -> NDArray[np.float64]:
        """Return the sums of products (folds, V, V), taps first."""
        size = self.buffer.shape[0]
        products = np.zeros((FOLDS, size, size))
        rows, cols = np.tril_indices(size)
        products[:, rows, cols] = self.totals.sum(axis=2)
        products[:, cols, rows] = products[:, rows, cols]
        return products


@compiled
def detail_of(pan, valid, low, out):  # type: ignore[no-untyped-def]
    """``out = P - P_L`` where P is valid, else 0; all (H, W)."""
    height, width = out.shape
    for row in range(height):
        for col in range(width):
            out[row, col] = pan[row, col] - low[row, col] if valid[row, col] else 0.0


@compiled
def share_of(detail, low, floor, out):  # type: ignore[no-untyped-def]
    """``out = d / P_L`` within -1 .. 1, and 0 where P_L is below ``floor``: one row."""
    one = out.dtype.type(1.0)
    for col in range(out.size):
        share = min(max(detail[col] / low[col], -one), one)
        out[col] = share if low[col] >= floor else 0.0


@compiled
def shares_of(detail, low, floor, out):  # type: ignore[no-untyped-def]
    """`share_of` every row: ``detail`` and ``low`` (H + 4, W + 4) to ``out`` (H, W)."""
    height, width = out.shape
    for row in range(height):
        inner = slice(MARGIN, MARGIN + width)
        share_of(detail[row + MARGIN, inner], low[row + MARGIN, inner], floor, out[row])


@compiled
def _stencil_row(line, taps, source):  # type: ignore[no-untyped-def]
    """``line += taps * source``: one row of the stencil."""
    a, b, c, d, e = taps[0], taps[1], taps[2], taps[3], taps[4]
    for col in range(line.size):
        line[col] += (
            (a * source[col] + b * source[col + 1]) + (c * source[col + 2] + d * source[col + 3])
        ) + e * source[col + 4]


@compiled
def _combine(line, weights, planes, row):  # type: ignore[no-untyped-def]
    """``line += sum_k weights[k] planes[k, row]``."""
    for k in range(planes.shape[0]):
        weight, other = weights[k], planes[k, row]
        for col in range(line.size):
            line[col] += weight * other[col]


@compiled
def inject(up, corrections, detail, low, floor, taps, ratios, gains):  # type: ignore[no-untyped-def]
    """``F_b = U_b + s sum_k ratios[b, k] U_k + sum taps[b] d + sum_k gains[b, k] C_k``, s as of `share_of`.

    up U (B, H, W) is overwritten by F; corrections C (0 or B, H, W), detail d and low P_L (H + 4, W + 4), taps
    (B, 5, 5).
    """
    bands, height, width = up.shape
    share = np.empty(width, up.dtype)
    fused = np.empty((bands, width), up.dtype)
    inner = slice(MARGIN, MARGIN + width)
    for row in range(height):
        share_of(detail[row + MARGIN, inner], low[row + MARGIN, inner], floor, share)
        for b in range(bands):
            line, source = fused[b], up[b, row]
            line[:] = 0.0
            _combine(line, ratios[b], up, row)
            for col in range(width):
                line[col] = source[col] + share[col] * line[col]
            for dy in range(SIDE):
                _stencil_row(line, taps[b, dy], detail[row + dy])
            _combine(line, gains[b], corrections, row)
        up[:, row] = fused


@compiled
def predict(detail, others, taps, weights, out):  # type: ignore[no-untyped-def]
    """``out_b = sum taps[b] d + sum_k weights[b, k] others_k``: detail d (H + 4, W + 4), others (K, H, W)."""
    for row in range(out.shape[1]):
        for b in range(out.shape[0]):
            line = out[b, row]
            line[:] = 0.0
            for dy in range(SIDE):
                _stencil_row(line, taps[b, dy], detail[row + dy])
            _combine(line, weights[b], others, row)
