"""How the coarse image came from the fine one, and the two operators every part shares: D and U."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import AxisMap, cubic_taps, gaussian_taps, reach_coarse, shifted
from geofuse.kernels.resample import resample_columns, resample_rows, resample_valid

Axes = tuple[AxisMap, AxisMap]
Window = tuple[int, int, int, int]
CUBIC_REACH_CPX = 2
"""Coarse pixels that Keys' kernel touches to either side of the pixel under a fine centre."""


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

    @property
    def joint_gain(self) -> float:
        """The gain of all bands together."""
        return float(np.mean(self.mtf_gain))

    @property
    def shifts_px(self) -> tuple[tuple[float, float], ...]:
        """The shift of each band."""
        return self.band_shift_px or (self.shift_px,) * len(self.mtf_gain)


def axes_at(axes: Axes, shift_px: tuple[float, float]) -> Axes:
    """Return the grids' axis maps moved by a shift, in fine pixels."""
    return shifted(axes[0], shift_px[0]), shifted(axes[1], shift_px[1])


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
    coarse: NDArray[Any], origin: tuple[int, int], axes: Axes, window: Window, observation: Observation
) -> NDArray[Any]:
    """U: bring filled coarse planes (B, h, w) to a fine window, each band by its own shift: (B, H, W)."""
    out = np.empty((coarse.shape[0], window[1] - window[0], window[3] - window[2]), coarse.dtype)
    for shift, bands in bands_by(observation.shifts_px):
        out[bands] = upsample(coarse[bands], origin, axes_at(axes, shift), window)
    return out


def degrade_bands(
    fine: NDArray[Any],
    valid: NDArray[np.bool_],
    origin: tuple[int, int],
    axes: Axes,
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
        out[bands], seen = degrade(fine[bands], valid, origin, axes_at(axes, shift), window, gain=gain)
        both &= seen
    return out, both


def coarse_window_bands(axes: Axes, window: Window, observation: Observation, margin_cpx: int = 0) -> Window:
    """Return the coarse window that `upsample_bands` touches for a fine window, plus a margin."""
    shifts = dict.fromkeys(observation.shifts_px)
    return _union([coarse_window(axes_at(axes, shift), window, margin_cpx) for shift in shifts])


def degrade_reach_bands(axes: Axes, window: Window, observation: Observation) -> Window:
    """Return the fine window that `degrade_bands` touches for a coarse window."""
    pairs = dict.fromkeys(zip(observation.mtf_gain, observation.shifts_px, strict=True))
    return _union([degrade_reach(axes_at(axes, shift), gain, window) for gain, shift in pairs])


def _union(windows: Sequence[Window]) -> Window:
    row0, row1, col0, col1 = zip(*windows, strict=True)
    return min(row0), max(row1), min(col0), max(col1)


def upsample(
    coarse: NDArray[Any],
    origin: tuple[int, int],
    axes: Axes,
    window: Window,
) -> NDArray[Any]:
    """U: bring filled coarse planes (B, h, w) from ``origin`` on to the fine window row0, row1, col0, col1.

    Phase-aware cubic convolution; source: Keys 1981. Columns go first, on the few coarse rows.
    """
    row0, row1, col0, col1 = window
    wide = widen(coarse, origin, axes, (col0, col1))
    return resample_rows(wide, cubic_taps(axes[0], row0, row1), origin[0])


def widen(coarse: NDArray[Any], origin: tuple[int, int], axes: Axes, cols: tuple[int, int]) -> NDArray[Any]:
    """First half of U: bring the columns to the fine grid, (B, h, w) to (B, h, W)."""
    return resample_columns(coarse, cubic_taps(axes[1], *cols), origin[1])


def coarse_window(axes: Axes, window: Window, margin_cpx: int = 0) -> Window:
    """Return the coarse row0, row1, col0, col1 that `upsample` touches for a fine window, plus a margin."""
    rows = reach_coarse(cubic_taps(axes[0], window[0], window[1]))
    cols = reach_coarse(cubic_taps(axes[1], window[2], window[3]))
    return rows[0] - margin_cpx, rows[1] + margin_cpx, cols[0] - margin_cpx, cols[1] + margin_cpx


def degrade(
    fine: NDArray[Any],
    valid: NDArray[np.bool_],
    origin: tuple[int, int],
    axes: Axes,
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
    rows, cols = gaussian_taps(axes[0], gain, row0, row1), gaussian_taps(axes[1], gain, col0, col1)
    return resample_valid(fine, valid, rows, cols, origin, minimum=minimum)


def degrade_reach(axes: Axes, gain: float, window: Window) -> Window:
    """Return the fine row0, row1, col0, col1 that `degrade` touches for a coarse window."""
    row0, row1, col0, col1 = window
    return (
        *reach_coarse(gaussian_taps(axes[0], gain, row0, row1)),
        *reach_coarse(gaussian_taps(axes[1], gain, col0, col1)),
    )
