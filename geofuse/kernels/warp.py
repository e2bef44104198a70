"""Resampling where the shift between the grids changes over the scene: bilinear on a lattice of shifts.

As in kernels.resample, a pixel's value depends on its absolute place alone, not on how the image was cut.
"""

from __future__ import annotations

import math

from geofuse.kernels.jit import compiled


@compiled
def _shift_at(lattice, first_y, first_x, step, row, col):  # type: ignore[no-untyped-def]
    """Bilinear value of a lattice (2, n, m) at a fine place; beyond its border that of the border."""
    rows, cols = lattice.shape[1], lattice.shape[2]
    y = min(max((row - first_y) / step, 0.0), rows - 1.0)
    x = min(max((col - first_x) / step, 0.0), cols - 1.0)
    top, left = min(int(y), rows - 2), min(int(x), cols - 2)
    t, s = y - top, x - left
    dy = (1.0 - t) * ((1.0 - s) * lattice[0, top, left] + s * lattice[0, top, left + 1]) + t * (
        (1.0 - s) * lattice[0, top + 1, left] + s * lattice[0, top + 1, left + 1]
    )
    dx = (1.0 - t) * ((1.0 - s) * lattice[1, top, left] + s * lattice[1, top, left + 1]) + t * (
        (1.0 - s) * lattice[1, top + 1, left] + s * lattice[1, top + 1, left + 1]
    )
    return dy, dx


@compiled
def _keys(t, out):  # type: ignore[no-untyped-def]
    for tap in range(4):
        d = abs(t - (tap - 1))
        if d < 1.0:
            out[tap] = 1.5 * d**3 - 2.5 * d**2 + 1.0
        elif d < 2.0:
            out[tap] = -0.5 * d**3 + 2.5 * d**2 - 4.0 * d + 2.0
        else:
            out[tap] = 0.0


@compiled
def upsample_warped(source, maps, origin, start, place, lattice, wy, wx, out):  # type: ignore[no-untyped-def]
    """U with a shift for each pixel: source (K, h, w) from coarse `origin` to out (K, H, W) from fine `start`.

    maps: scale and offset of the rows, of the columns. place: first row, first column, step of the lattice.
    """
    planes, height, width = out.shape
    for i in range(height):
        row = start[0] + i
        for j in range(width):
            col = start[1] + j
            dy, dx = _shift_at(lattice, place[0], place[1], place[2], row, col)
            y = maps[0] * (row + dy) + maps[1]
            x = maps[2] * (col + dx) + maps[3]
            by, bx = math.floor(y), math.floor(x)
            _keys(y - by, wy)
            _keys(x - bx, wx)
            top, left = int(by) - 1 - origin[0], int(bx) - 1 - origin[1]
            for k in range(planes):
                total = out.dtype.type(0)
                for a in range(4):
                    line = source[k, top + a]
                    total += wy[a] * (
                        wx[0] * line[left]
                        + wx[1] * line[left + 1]
                        + wx[2] * line[left + 2]
                        + wx[3] * line[left + 3]
                    )
                out[k, i, j] = total


@compiled
def degrade_warped(source, valid, maps, origin, start, place, lattice, sigmas, reaches, wy, wx, out, weight):  # type: ignore[no-untyped-def]
    """D with a shift for each pixel: source (K, H, W) from fine `origin` to out (K, h, w) from coarse `start`.

    `weight` (h, w) becomes the share of the filter on valid pixels; values are sums over those, not renormalised.
    """
    planes, height, width = out.shape
    for i in range(height):
        for j in range(width):
            at_y, at_x = (start[0] + i - maps[1]) / maps[0], (start[1] + j - maps[3]) / maps[2]
            row, col = at_y, at_x
            for _ in range(3):  # the place whose own shift leads here
                dy, dx = _shift_at(lattice, place[0], place[1], place[2], row, col)
                row, col = at_y - dy, at_x - dx
            top = math.floor(row) - reaches[0] + 1
            left = math.floor(col) - reaches[1] + 1
            total_y = total_x = 0.0
            for a in range(2 * reaches[0]):
                wy[a] = math.exp(-0.5 * ((top + a - row) / sigmas[0]) ** 2)
                total_y += wy[a]
            for b in range(2 * reaches[1]):
                wx[b] = math.exp(-0.5 * ((left + b - col) / sigmas[1]) ** 2)
                total_x += wx[b]
            share = 0.0
            for k in range(planes):
                out[k, i, j] = 0
            for a in range(2 * reaches[0]):
                for b in range(2 * reaches[1]):
                    r, c = top + a - origin[0], left + b - origin[1]
                    if valid[r, c]:
                        factor = wy[a] * wx[b] / (total_y * total_x)
                        share += factor
                        for k in range(planes):
                            out[k, i, j] += factor * source[k, r, c]
            weight[i, j] = share
