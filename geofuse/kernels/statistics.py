"""Sums over many pixels in a fixed order: the joint moments every fit needs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.kernels.jit import compiled

LANES = 256
"""Columns that are summed side by side."""


@compiled
def _accumulate(planes, valid, pivot, sums, products):  # type: ignore[no-untyped-def]
    """Add one strip, four rows at a time. Each lane of columns has its own sums: vectors in a fixed order."""
    count, height, width = planes.shape
    centred = np.empty((count, 4, LANES), np.float64)
    total = 0
    for left in range(0, width, LANES):
        lanes = min(LANES, width - left)
        for top in range(0, height, 4):
            for step in range(4):
                if top + step >= height:
                    centred[:, step] = 0.0
                    continue
                seen = valid[top + step, left : left + lanes]
                for lane in range(lanes):
                    total += seen[lane]
                for i in range(count):
                    source, target = planes[i, top + step, left : left + lanes], centred[i, step]
                    for lane in range(lanes):
                        value = np.float64(source[lane]) - pivot[i]
                        target[lane] = value if seen[lane] else 0.0
            pair = 0
            for i in range(count):
                a, b, c, d = centred[i, 0], centred[i, 1], centred[i, 2], centred[i, 3]
                line = sums[i]
                for lane in range(lanes):
                    line[lane] += (a[lane] + b[lane]) + (c[lane] + d[lane])
                for j in range(i + 1):
                    e, f, g, h = centred[j, 0], centred[j, 1], centred[j, 2], centred[j, 3]
                    line = products[pair]
                    for lane in range(lanes):
                        line[lane] += (a[lane] * e[lane] + b[lane] * f[lane]) + (
                            c[lane] * g[lane] + d[lane] * h[lane]
                        )
                    pair += 1
    return total


def accumulate(
    planes: NDArray[Any],
    valid: NDArray[np.bool_],
    *,
    pivot: NDArray[np.float64],
    sums: NDArray[np.float64],
    products: NDArray[np.float64],
) -> int:
    """Add the valid pixels of ``planes`` (K, H, W), less ``pivot`` (K,), to running sums; return their count.

    ``sums`` is (K, LANES) and ``products`` (K (K + 1) / 2, LANES), lower triangle by rows;
    their lanes are to be added up.
    """
    return int(_accumulate(planes, valid, pivot, sums, products))
