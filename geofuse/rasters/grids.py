"""How one grid lies on another in the same coordinate system, and cutting grids."""

from __future__ import annotations

import math

from geofuse.rasters.image import Grid


def composed(inner: Grid, outer: Grid) -> tuple[float, float, float, float, float, float]:
    """Return the affine map from positions on one grid to positions on another in the same CRS.

    Origins are subtracted before anything else, so that big coordinates cost no digits.
    """
    a, b, c, d, e, f = outer.transform
    p, q, u, r, s, v = inner.transform
    det = a * e - b * d
    x, y = u - c, v - f
    return (
        (e * p - b * r) / det,
        (e * q - b * s) / det,
        (e * x - b * y) / det,
        (a * r - d * p) / det,
        (a * s - d * q) / det,
        (a * y - d * x) / det,
    )


def has_pixel_size(grid: Grid) -> bool:
    """Say whether a grid's transform is finite and its pixels have an area."""
    a, b, c, d, e, f = grid.transform
    det = a * e - b * d
    return all(map(math.isfinite, (a, b, c, d, e, f, det))) and det != 0.0


def shifted_grid(grid: Grid, corner: tuple[int, int], size: tuple[int, int]) -> Grid:
    """Return the grid of `size` (rows, cols) that begins at the pixel `corner` (row, col) of another."""
    (row, col), (a, b, c, d, e, f) = corner, grid.transform
    transform = (a, b, c + a * col + b * row, d, e, f + d * col + e * row)
    return Grid(grid.crs, transform if corner != (0, 0) else grid.transform, *size)


def apart_px(one: Grid, two: Grid) -> float:
    """Return how far two grids' pixels lie apart at most, in pixels; inf for grids without a pixel size."""
    if not (has_pixel_size(one) and has_pixel_size(two)):
        return math.inf
    a, b, c, d, e, f = composed(two, one)
    corners = [(0, 0), (0, one.width), (one.height, 0), (one.height, one.width)]
    return max(
        max(abs(a * col + b * row + c - col), abs(d * col + e * row + f - row)) for row, col in corners
    )
