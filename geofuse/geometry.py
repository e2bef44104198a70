"""How the two grids relate, per axis, and the tap tables every resampler is built from. numpy only.

Pixel coordinates are those of pixel centres: the centre of pixel ``i`` is at ``i``, its footprint is
``[i - 0.5, i + 0.5]``. Fine is the PAN grid, coarse the MS grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

EDGE_TOLERANCE_CPX = 1e-6
TABLES = 256
"""Tap tables of each kind that are remembered: the phases of a tile share theirs."""
GAUSSIAN_SUPPORT_SIGMA = 3.0
Window = tuple[int, int, int, int]
"""Half-open pixels of a grid: (row0, row1, col0, col1)."""
Slices = tuple[slice, slice]
"""Rows and columns of an array."""
Transform = tuple[float, float, float, float, float, float]
"""A grid's affine (a, b, c, d, e, f): x = a col + b row + c, y = d col + e row + f, of pixels' outer corners."""
Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]
"""Arrays by their type."""


@dataclass(frozen=True, slots=True)
class AxisMap:
    """``coarse = scale * fine + offset`` along one axis, in pixels."""

    scale: float
    """Coarse pixels per fine pixel: one over the ratio, always positive."""
    offset: float
    """Coarse coordinate of the centre of fine pixel 0."""


Axes = tuple[AxisMap, AxisMap]
"""How two grids relate along rows and along columns."""


@dataclass(frozen=True, slots=True)
class Taps:
    """A resampling table: output ``start + k`` is ``sum_j weights[k, j] * input[first[k] + j]``."""

    start: int
    """Absolute index of the first output."""
    first: NDArray[np.int64]
    """Absolute input index under the first weight, per output (n,), ascending."""
    weights: NDArray[np.floating[Any]]
    """Weights, each row summing to 1 (n, taps); float64, for pixels that are."""

    def __post_init__(self) -> None:
        """Forbid changes: tables are remembered and shared."""
        self.first.flags.writeable = self.weights.flags.writeable = False


def axis_from_grids(
    fine_origin: float, fine_step: float, coarse_origin: float, coarse_step: float
) -> AxisMap:
    """Relate two grids by the coordinate of their outer edge and their pixel size.

    Landsat's PAN begins half a PAN pixel outside its MS:

    >>> axis_from_grids(-7.5, 15.0, 0.0, 30.0)
    AxisMap(scale=0.5, offset=-0.5)
    """
    scale = fine_step / coarse_step
    return AxisMap(scale, (fine_origin - coarse_origin) / coarse_step + 0.5 * scale - 0.5)


def moved(axis: AxisMap, fine_start: int) -> AxisMap:
    """Return the same map for a fine grid that begins at pixel ``fine_start`` of the old one."""
    return AxisMap(axis.scale, axis.offset + axis.scale * fine_start)


def shifted(axis: AxisMap, shift_px: float) -> AxisMap:
    """Return the map under which fine ``i`` is seen where the old one put ``i + shift_px``."""
    return AxisMap(axis.scale, axis.offset + axis.scale * shift_px)


def covered(axis: AxisMap, fine_size: int, coarse_size: int) -> tuple[int, int]:
    """Return ``(start, stop)`` of the fine pixels whose centre lies in the coarse image's footprint.

    The footprint is closed: a centre on its border counts.

    >>> covered(AxisMap(0.5, -0.5), 1207, 603)
    (0, 1207)
    """
    low = (-0.5 - EDGE_TOLERANCE_CPX - axis.offset) / axis.scale
    high = (coarse_size - 0.5 + EDGE_TOLERANCE_CPX - axis.offset) / axis.scale
    start, stop = max(0, math.ceil(low)), min(fine_size, math.floor(high) + 1)
    return start, max(start, stop)


def nearest(axis: AxisMap, start: int, stop: int, coarse_size: int) -> NDArray[np.int64]:
    """Return the coarse pixel under the centre of each fine pixel in ``[start, stop)``.

    A centre exactly between two coarse pixels belongs to the later one, at the far border to the one inside.
    """
    centre = axis.scale * np.arange(start, stop, dtype=np.float64) + axis.offset
    under = np.floor(centre + 0.5 + EDGE_TOLERANCE_CPX).astype(np.int64)
    at_border = (under == coarse_size) & (centre <= coarse_size - 0.5 + EDGE_TOLERANCE_CPX)
    return np.where(at_border, coarse_size - 1, under)


@lru_cache(TABLES)
def cubic_taps(axis: AxisMap, start: int, stop: int) -> Taps:
    """Tabulate Keys' cubic convolution (a = -1/2) from coarse to the fine pixels ``[start, stop)``: 4 taps.

    Source: Keys 1981, IEEE Trans. ASSP 29(6), eq. 15.
    """
    at = axis.scale * np.arange(start, stop, dtype=np.float64) + axis.offset
    base = np.floor(at)
    t = (at - base)[:, None]
    distance = np.abs(t - np.array([-1.0, 0.0, 1.0, 2.0]))
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1.0
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4.0 * distance + 2.0
    weights = np.where(distance < 1.0, near, np.where(distance < 2.0, far, 0.0))
    return Taps(start, base.astype(np.int64) - 1, weights)


def gaussian_sigma_px(gain: float, ratio: float) -> float:
    """Return the standard deviation, in fine pixels, of the Gaussian with MTF ``gain`` at the coarse Nyquist.

    >>> round(gaussian_sigma_px(0.3, 4.0), 3)
    1.976
    """
    return ratio * math.sqrt(-2.0 * math.log(gain)) / math.pi


@lru_cache(TABLES)
def gaussian_taps(axis: AxisMap, gain: float, start: int, stop: int) -> Taps:
    """Tabulate the sensor's Gaussian MTF from fine to the coarse pixels ``[start, stop)``.

    Each row is centred, at sub-pixel phase, on its coarse pixel's place on the fine grid and sums to 1.
    Source: Aiazzi et al. 2006, PE&RS 72(5), section on MTF-tailored filters.
    """
    ratio = 1.0 / axis.scale
    sigma = gaussian_sigma_px(gain, ratio)
    reach = gaussian_reach_px(gain, ratio)
    at = (np.arange(start, stop, dtype=np.float64) - axis.offset) / axis.scale
    first = np.floor(at).astype(np.int64) - reach + 1
    place = first[:, None] + np.arange(2 * reach, dtype=np.int64)
    weights = np.exp(-0.5 * ((place - at[:, None]) / sigma) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    return Taps(start, first, weights)


def gaussian_reach_px(gain: float, ratio: float) -> int:
    """Return how many fine pixels the MTF filter reaches to either side of a coarse centre."""
    return max(2, math.ceil(GAUSSIAN_SUPPORT_SIGMA * gaussian_sigma_px(gain, ratio)) + 1)


def reach_coarse(taps: Taps) -> tuple[int, int]:
    """Return ``(first, stop)`` of all the inputs a table touches."""
    return int(taps.first[0]), int(taps.first[-1]) + taps.weights.shape[1]
