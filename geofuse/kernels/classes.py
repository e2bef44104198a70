"""Soft classes: how much of each a spectrum is of, sums to fit a gain per class, and the gains at work.

Planes are (B, H, W). Classes come as ``mean`` and ``inverse`` (B,), which standardise a spectrum, and ``centres``
(K, B), all in units in which a membership is 2^-(squared distance) before memberships are made to sum to 1.
Additions have one order, whatever the array around a pixel.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.kernels.jit import compiled
from geofuse.kernels.stencil import FOLD_PX, FOLDS

FURTHEST = 63.5
"""Squared distances beyond that of the nearest centre are cut here: such a class has no part in the pixel."""
TERMS = 11
"""Of the series of 2^-f about f = 1/2, which double precision needs on 0 .. 1."""


def power_table(kind: np.dtype[Any]) -> NDArray[Any]:
    """Return what `_decay` multiplies by: 2^-32, 2^-16, .. 2^-1, then the terms of the series, highest first."""
    halvings = [2.0**-places for places in (32, 16, 8, 4, 2, 1)]
    terms = [(-math.log(2.0)) ** n / math.factorial(n) * math.sqrt(0.5) for n in range(TERMS)]
    return np.array(halvings + terms[::-1], kind)


@compiled
def _decay(line, table):  # type: ignore[no-untyped-def]
    """``line = 2^-line`` from 0 to `FURTHEST`: arithmetic and choices alone, which become vectors.

    Written out, in the source's own type: with loops or whole numbers inside, it becomes none.
    """
    kind = line.dtype.type
    furthest, half, one = kind(FURTHEST), kind(0.5), kind(1.0)
    h32, h16, h8, h4, h2, h1 = table[0], table[1], table[2], table[3], table[4], table[5]
    p32, p16, p8, p4, p2 = kind(32.0), kind(16.0), kind(8.0), kind(4.0), kind(2.0)
    a, b, c, d, e, f = table[6], table[7], table[8], table[9], table[10], table[11]
    g, h, i, j, k = table[12], table[13], table[14], table[15], table[16]
    for col in range(line.size):
        left = line[col]
        left = left if left < furthest else furthest
        scale = h32 if left >= p32 else one
        left = left - p32 if left >= p32 else left
        scale = scale * h16 if left >= p16 else scale
        left = left - p16 if left >= p16 else left
        scale = scale * h8 if left >= p8 else scale
        left = left - p8 if left >= p8 else left
        scale = scale * h4 if left >= p4 else scale
        left = left - p4 if left >= p4 else left
        scale = scale * h2 if left >= p2 else scale
        left = left - p2 if left >= p2 else left
        scale = scale * h1 if left >= one else scale
        left = left - one if left >= one else left
        x = left - half
        high = ((((a * x + b) * x + c) * x + d) * x + e) * x + f
        line[col] = scale * (((((high * x + g) * x + h) * x + i) * x + j) * x + k)


@compiled
def _distances(planes, row, mean, inverse, centres, work, out):  # type: ignore[no-untyped-def]
    """Squared distances ``out`` (K, W) of one row of planes; the first B rows of ``work`` are overwritten."""
    bands, width = planes.shape[0], planes.shape[2]
    for b in range(bands):
        source, target, level, factor = planes[b, row], work[b], mean[b], inverse[b]
        for col in range(width):
            target[col] = (source[col] - level) * factor
    for k in range(centres.shape[0]):
        line = out[k]
        line[:] = 0.0
        for b in range(bands):
            centre, own = centres[k, b], work[b]
            for col in range(width):
                gap = own[col] - centre
                line[col] += gap * gap


@compiled
def _memberships(planes, row, mean, inverse, centres, table, work, out):  # type: ignore[no-untyped-def]
    """Memberships ``out`` (K, W) of one row of planes; ``work`` (B + 2, W) is overwritten."""
    bands, width = planes.shape[0], planes.shape[2]
    _distances(planes, row, mean, inverse, centres, work, out)
    least, total = work[bands], work[bands + 1]
    least[:] = out[0]
    for k in range(1, out.shape[0]):
        line = out[k]
        for col in range(width):
            least[col] = line[col] if line[col] < least[col] else least[col]
    total[:] = 0.0
    for k in range(out.shape[0]):
        line = out[k]
        for col in range(width):
            line[col] -= least[col]
        _decay(line, table)
        for col in range(width):
            total[col] += line[col]
    for k in range(out.shape[0]):
        line = out[k]
        for col in range(width):
            line[col] /= total[col]


@compiled
def memberships_of(planes, mean, inverse, centres, table, out):  # type: ignore[no-untyped-def]
    """Memberships ``out`` (H, K, W) of planes (B, H, W)."""
    bands, height, width = planes.shape
    work = np.empty((bands + 2, width), planes.dtype)
    for row in range(height):
        _memberships(planes, row, mean, inverse, centres, table, work, out[row])


@compiled
def modulate(up, fused, mean, inverse, centres, table, gains):  # type: ignore[no-untyped-def]
    """``F_b = U_b + sum_k m_k gains[b, k] (F_b - U_b)``: fused F (B, H, W) is overwritten, gains (B, K)."""
    bands, height, width = up.shape
    classes = centres.shape[0]
    work = np.empty((bands + 2, width), up.dtype)
    shares = np.empty((classes, width), up.dtype)
    gain = np.empty(width, up.dtype)
    for row in range(height):
        _memberships(up, row, mean, inverse, centres, table, work, shares)
        for b in range(bands):
            gain[:] = 0.0
            for k in range(classes):
                weight, share = gains[b, k], shares[k]
                for col in range(width):
                    gain[col] += weight * share[col]
            source, line = up[b, row], fused[b, row]
            for col in range(width):
                line[col] = source[col] + gain[col] * (line[col] - source[col])


@compiled
def _accumulate(shares, detail, targets, seen, place, counts, sums):  # type: ignore[no-untyped-def]
    """Add one field to ``sums`` (folds, B, K (K + 1) / 2 + K + 1, 32)."""
    height, classes, width = shares.shape
    pairs = classes * (classes + 1) // 2
    power, cross, scaled = np.zeros(FOLD_PX), np.zeros(FOLD_PX), np.zeros(FOLD_PX)
    for row in range(height):
        down = (place[0] + row) // FOLD_PX
        left = 0
        while left < width:
            across = (place[1] + left) // FOLD_PX
            right = min(width, (across + 1) * FOLD_PX - place[1])
            fold, lanes, flags = 2 * (down % 2) + across % 2, right - left, seen[row, left:right]
            for lane in range(lanes):
                counts[fold] += flags[lane]
            for b in range(detail.shape[0]):
                lines = sums[fold, b]
                own, truth = detail[b, row, left:right], targets[b, row, left:right]
                square = lines[pairs + classes]
                for lane in range(lanes):
                    value = np.float64(own[lane]) if flags[lane] else 0.0
                    wanted = np.float64(truth[lane]) if flags[lane] else 0.0
                    power[lane], cross[lane] = value * value, value * wanted
                    square[lane] += wanted * wanted
                pair = 0
                for k in range(classes):
                    share, line = shares[row, k, left:right], lines[pairs + k]
                    for lane in range(lanes):
                        scaled[lane] = power[lane] * share[lane]
                        line[lane] += cross[lane] * share[lane]
                    for j in range(k + 1):
                        other, line = shares[row, j, left:right], lines[pair]
                        for lane in range(lanes):
                            line[lane] += scaled[lane] * other[lane]
                        pair += 1
            left = right


class GainSums:
    """Gathers, per hold-out fold and band, the normal equations of targets y_b = sum_k a_kb m_k r_b.

    Folds are those of `stencil.ProductSums`.
    """

    def __init__(self, classes: int, bands: int) -> None:
        self.classes = classes
        self.counts = np.zeros(FOLDS, np.int64)
        self.sums = np.zeros((FOLDS, bands, classes * (classes + 1) // 2 + classes + 1, FOLD_PX))

    def add(
        self,
        shares: NDArray[Any],
        detail: NDArray[Any],
        targets: NDArray[Any],
        *,
        seen: NDArray[np.bool_],
        place: tuple[int, int],
    ) -> None:
        """Add the seen pixels of memberships (h, K, w), detail r and targets y (b, h, w)."""
        _accumulate(shares, detail, targets, seen, place, self.counts, self.sums)

    def done(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return X'X (b, folds, K, K), X'y (b, folds, K) and y'y (b, folds)."""
        sums = self.sums.sum(axis=3).swapaxes(0, 1)
        pairs = sums.shape[2] - self.classes - 1
        gram = np.zeros((*sums.shape[:2], self.classes, self.classes))
        rows, cols = np.tril_indices(self.classes)
        gram[:, :, rows, cols] = sums[:, :, :pairs]
        gram[:, :, cols, rows] = sums[:, :, :pairs]
        return gram, sums[:, :, pairs:-1], sums[:, :, -1]
