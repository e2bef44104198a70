"""How the coarse image came from the fine one, and the two operators every part shares: D and U."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import (
    Axes,
    AxisMap,
    Window,
    cubic_taps,
    gaussian_reach_px,
    gaussian_sigma_px,
    gaussian_taps,
    reach_coarse,
    shifted,
)
from geofuse.kernels.resample import resample_columns, resample_rows, resample_valid
from geofuse.kernels.warp import degrade_warped, upsample_warped

CUBIC_REACH_CPX = 2
"""Coarse pixels that Keys' kernel touches to either side of the pixel under a fine centre."""


@dataclass(frozen=True, slots=True)
class ShiftField:
    """How far the shift departs from a constant over a wide scene: bilinear on a lattice fixed to the scene."""

    first_px: tuple[int, int]
    """Row and column of the first node, in output pixels; may be negative."""
    step_px: int
    """Fine pixels from node to node."""
    dy: tuple[tuple[float, ...], ...]
    """(n, m), two nodes or more along each axis: added to the shift in rows."""
    dx: tuple[tuple[float, ...], ...]
    """(n, m): added to the shift in columns."""

    @property
    def largest_px(self) -> float:
        """The largest departure along an axis."""
        return max(abs(value) for plane in (self.dy, self.dx) for row in plane for value in row)


class Placed(NamedTuple):
    """Axis maps with a shift in them, and what departs from it."""

    y: AxisMap
    """Rows."""
    x: AxisMap
    """Columns."""
    field: ShiftField | None = None
    """Departure of the shift from a constant."""


@dataclass(frozen=True, slots=True)
class Observation:
    """How the coarse image came from the fine one."""

    mtf_gain: tuple[float, ...]
    """MTF at the coarse Nyquist frequency, per band."""
    shift_px: tuple[float, float] = (0.0, 0.0)
    """[dy, dx]: what is seen at fine (row, col) is seen where the grids put (row + dy, col + dx)."""
    band_shift_px: tuple[tuple[float, float], ...] = ()
    """The same for each band by itself, whole shifts; empty: `shift_px` holds for all."""
    origin: str = "sensor table"
    """Where the figures come from."""
    field: ShiftField | None = None
    """Departure of all shifts from these constants over a wide scene."""

    @property
    def joint_gain(self) -> float:
        """The gain of all bands together."""
        return float(np.mean(self.mtf_gain))

    @property
    def shifts_px(self) -> tuple[tuple[float, float], ...]:
        """The shift of each band."""
        return self.band_shift_px or (self.shift_px,) * len(self.mtf_gain)


def axes_at(axes: Axes | Placed, shift_px: tuple[float, float], field: ShiftField | None = None) -> Placed:
    """Return the grids' axis maps moved by a shift, in fine pixels, and by a field of departures from it."""
    return Placed(shifted(axes[0], shift_px[0]), shifted(axes[1], shift_px[1]), field)


def bands_by(keys: Sequence[Hashable]) -> list[tuple[Any, list[int]]]:
    """Group band indices by a key, in the order of first appearance.

    >>> bands_by([0.3, 0.2, 0.3])
    [(0.3, [0, 2]), (0.2, [1])]
    """
    groups: dict[Hashable, list[int]] = {}
    for band, key in enumerate(keys):
        groups.setdefault(key, []).append(band)
    return list(groups.items())


def upsample_bands(
    coarse: NDArray[Any],
    origin: tuple[int, int],
    axes: Axes | Placed,
    window: Window,
    observation: Observation,
) -> NDArray[Any]:
    """U: bring filled coarse planes (B, h, w) to a fine window, each band by its own shift: (B, H, W)."""
    out = np.empty((coarse.shape[0], window[1] - window[0], window[3] - window[2]), coarse.dtype)
    for shift, bands in bands_by(observation.shifts_px):
        out[bands] = upsample(coarse[bands], origin, axes_at(axes, shift, observation.field), window)
    return out


def degrade_bands(
    fine: NDArray[Any],
    valid: NDArray[np.bool_],
    origin: tuple[int, int],
    axes: Axes | Placed,
    window: Window,
    *,
    observation: Observation,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """D: see fine planes (B, H, W) in a coarse window, each band with its own gain and shift.

    Returns values (B, h, w) and where all bands are valid (h, w).
    """
    out = np.empty((fine.shape[0], window[1] - window[0], window[3] - window[2]), fine.dtype)
    both = np.ones(out.shape[1:], np.bool_)
    for (gain, shift), bands in bands_by(list(zip(observation.mtf_gain, observation.shifts_px, strict=True))):
        out[bands], seen = degrade(
            fine[bands], valid, origin, axes_at(axes, shift, observation.field), window, gain=gain
        )
        both &= seen
    return out, both


def coarse_window_bands(
    axes: Axes | Placed, window: Window, observation: Observation, margin_cpx: int = 0
) -> Window:
    """Return the coarse window that `upsample_bands` touches for a fine window, plus a margin."""
    shifts = dict.fromkeys(observation.shifts_px)
    return _union(
        [coarse_window(axes_at(axes, shift, observation.field), window, margin_cpx) for shift in shifts]
    )


def degrade_reach_bands(axes: Axes | Placed, window: Window, observation: Observation) -> Window:
    """Return the fine window that `degrade_bands` touches for a coarse window."""
    pairs = dict.fromkeys(zip(observation.mtf_gain, observation.shifts_px, strict=True))
    return _union(
        [degrade_reach(axes_at(axes, shift, observation.field), gain, window) for gain, shift in pairs]
    )


def _union(windows: Sequence[Window]) -> Window:
    row0, row1, col0, col1 = zip(*windows, strict=True)
    return min(row0), max(row1), min(col0), max(col1)


def upsample(
    coarse: NDArray[Any],
    origin: tuple[int, int],
    axes: Axes | Placed,
    window: Window,
) -> NDArray[Any]:
    """U: bring filled coarse planes (B, h, w) from ``origin`` on to the fine window row0, row1, col0, col1.

    Phase-aware cubic convolution; source: Keys 1981. Columns go first, on the few coarse rows.
    """
    lifted = Lifted(coarse, origin, axes, (window[2], window[3]))
    return lifted.rows(window[0], window[1])


class Lifted:
    """Coarse planes (K, h, w) on their way to the fine grid: columns are there, rows follow strip by strip."""

    def __init__(
        self, planes: NDArray[Any], origin: tuple[int, int], axes: Axes | Placed, cols: tuple[int, int]
    ) -> None:
        self.origin, self.axes, self.cols = origin, Placed(*axes), cols
        self.planes = planes if self.axes.field else widen(planes, origin, axes, cols)

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Return fine rows (K, n, W)."""
        axes = self.axes
        if axes.field is None:
            return resample_rows(self.planes, cubic_taps(axes.y, start, stop), self.origin[0])
        place, lattice = _lattice(axes.field)
        kind = self.planes.dtype
        out = np.empty((self.planes.shape[0], stop - start, self.cols[1] - self.cols[0]), kind)
        maps = np.array([axes.y.scale, axes.y.offset, axes.x.scale, axes.x.offset])
        _inside(coarse_window(axes, (start, stop, *self.cols)), self.origin, self.planes.shape)
        upsample_warped(
            np.ascontiguousarray(self.planes),
            maps,
            np.array(self.origin),
            np.array([start, self.cols[0]]),
            place,
            lattice,
            np.empty(4, kind),
            np.empty(4, kind),
            out,
        )
        return out


@lru_cache(maxsize=16)
def _lattice(field: ShiftField) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.array([*field.first_px, field.step_px], np.float64), np.array([field.dy, field.dx], np.float64)


def _inside(window: Window, origin: tuple[int, int], shape: tuple[int, ...]) -> None:
    row0, row1, col0, col1 = window
    if row0 < origin[0] or col0 < origin[1] or row1 > origin[0] + shape[1] or col1 > origin[1] + shape[2]:
        raise IndexError(f"window {window} leaves planes of {shape} from {origin}")


def widen(
    coarse: NDArray[Any], origin: tuple[int, int], axes: Axes | Placed, cols: tuple[int, int]
) -> NDArray[Any]:
    """First half of U: bring the columns to the fine grid, (B, h, w) to (B, h, W)."""
    return resample_columns(coarse, cubic_taps(axes[1], *cols), origin[1])


def coarse_window(axes: Axes | Placed, window: Window, margin_cpx: int = 0) -> Window:
    """Return the coarse row0, row1, col0, col1 that `upsample` touches for a fine window, plus a margin."""
    rows = reach_coarse(cubic_taps(axes[0], window[0], window[1]))
    cols = reach_coarse(cubic_taps(axes[1], window[2], window[3]))
    margin_cpx += departure_cpx(Placed(*axes).field, max(axes[0].scale, axes[1].scale))
    return rows[0] - margin_cpx, rows[1] + margin_cpx, cols[0] - margin_cpx, cols[1] + margin_cpx


def departure_cpx(field: ShiftField | None, scale: float) -> int:
    """Return how many coarse pixels a field leads away at most."""
    return math.ceil(field.largest_px * scale - 1e-9) if field else 0


def degrade(
    fine: NDArray[Any],
    valid: NDArray[np.bool_],
    origin: tuple[int, int],
    axes: Axes | Placed,
    window: Window,
    *,
    gain: float,
    minimum: float = 0.5,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """D: see fine planes (B, H, W) beginning at ``origin`` as the coarse sensor does, in a coarse window.

    Gaussian MTF of ``gain`` at the coarse Nyquist, decimated at the coarse centres' true phase. Returns
    values and their validity, (B, h, w) and (h, w): valid where at least ``minimum`` of the weight is.
    Source: Aiazzi et al. 2006, PE&RS 72(5).
    """
    row0, row1, col0, col1 = window
    if Placed(*axes).field:
        return _degrade_warped(fine, valid, origin, Placed(*axes), window, gain=gain, minimum=minimum)
    rows, cols = gaussian_taps(axes[0], gain, row0, row1), gaussian_taps(axes[1], gain, col0, col1)
    return resample_valid(fine, valid, rows, cols, origin, minimum=minimum)


def _degrade_warped(
    fine: NDArray[Any],
    valid: NDArray[np.bool_],
    origin: tuple[int, int],
    axes: Placed,
    window: Window,
    *,
    gain: float,
    minimum: float,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """D where the shift departs from a constant; in float64, whose rounding no cut can change."""
    assert axes.field is not None
    _inside(degrade_reach(axes, gain, window), origin, fine.shape)
    ratios = [1.0 / axes.y.scale, 1.0 / axes.x.scale]
    reaches = np.array([gaussian_reach_px(gain, ratio) for ratio in ratios])
    out = np.empty((fine.shape[0], window[1] - window[0], window[3] - window[2]), np.float64)
    weight = np.empty(out.shape[1:], np.float64)
    place, lattice = _lattice(axes.field)
    degrade_warped(
        fine,
        valid,
        np.array([axes.y.scale, axes.y.offset, axes.x.scale, axes.x.offset]),
        np.array(origin),
        np.array([window[0], window[2]]),
        place,
        lattice,
        np.array([gaussian_sigma_px(gain, ratio) for ratio in ratios]),
        reaches,
        np.empty(2 * reaches[0]),
        np.empty(2 * reaches[1]),
        out,
        weight,
    )
    known = weight >= minimum * (1.0 - 1e-9)
    return np.where(known, out / np.where(known, weight, 1.0), 0.0).astype(fine.dtype), known


def degrade_reach(axes: Axes | Placed, gain: float, window: Window) -> Window:
    """Return the fine row0, row1, col0, col1 that `degrade` touches for a coarse window."""
    rows = reach_coarse(gaussian_taps(axes[0], gain, window[0], window[1]))
    cols = reach_coarse(gaussian_taps(axes[1], gain, window[2], window[3]))
    field = Placed(*axes).field
    more = math.ceil(field.largest_px) + 1 if field else 0
    return rows[0] - more, rows[1] + more, cols[0] - more, cols[1] + more
