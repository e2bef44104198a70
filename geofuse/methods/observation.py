"""How the coarse image came from the fine one, and the two operators every part shares: D and U."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import AxisMap, cubic_taps, gaussian_taps, reach_coarse
from geofuse.kernels.resample import resample_columns, resample_rows, resample_valid

CUBIC_REACH_CPX = 2
"""Coarse pixels that Keys' kernel touches to either side of the pixel under a fine centre."""


@dataclass(frozen=True, slots=True)
class Observation:
    """How the coarse image came from the fine one."""

    mtf_gain: tuple[float, ...]
    """MTF at the coarse Nyquist frequency, per band."""
    shift_px: tuple[float, float] = (0.0, 0.0)
    """[dy, dx]: what is seen at fine (row, col) is seen where the grids put (row + dy, col + dx)."""
    origin: str = "sensor table"
    """Where the figures come from."""

    @property
    def joint_gain(self) -> float:
        """The gain of all bands together."""
        return float(np.mean(self.mtf_gain))


def upsample(
    coarse: NDArray[Any],
    origin: tuple[int, int],
    axes: tuple[AxisMap, AxisMap],
    window: tuple[int, int, int, int],
) -> NDArray[Any]:
    """U: bring filled coarse planes (B, h, w) from ``origin`` on to the fine window row0, row1, col0, col1.

    Phase-aware cubic convolution; source: Keys 1981. Columns go first, on the few coarse rows.
    """
    row0, row1, col0, col1 = window
    wide = widen(coarse, origin, axes, (col0, col1))
    return resample_rows(wide, cubic_taps(axes[0], row0, row1), origin[0])


def widen(
    coarse: NDArray[Any], origin: tuple[int, int], axes: tuple[AxisMap, AxisMap], cols: tuple[int, int]
) -> NDArray[Any]:
    """First half of U: bring the columns to the fine grid, (B, h, w) to (B, h, W)."""
    return resample_columns(coarse, cubic_taps(axes[1], *cols), origin[1])


def coarse_window(
    axes: tuple[AxisMap, AxisMap], window: tuple[int, int, int, int], margin_cpx: int = 0
) -> tuple[int, int, int, int]:
    """Return the coarse row0, row1, col0, col1 that `upsample` touches for a fine window, plus a margin."""
    rows = reach_coarse(cubic_taps(axes[0], window[0], window[1]))
    cols = reach_coarse(cubic_taps(axes[1], window[2], window[3]))
    return rows[0] - margin_cpx, rows[1] + margin_cpx, cols[0] - margin_cpx, cols[1] + margin_cpx


def degrade(
    fine: NDArray[Any],
    valid: NDArray[np.bool_],
    origin: tuple[int, int],
    axes: tuple[AxisMap, AxisMap],
    window: tuple[int, int, int, int],
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


def degrade_reach(
    axes: tuple[AxisMap, AxisMap], gain: float, window: tuple[int, int, int, int]
) -> tuple[int, int, int, int]:
    """Return the fine row0, row1, col0, col1 that `degrade` touches for a coarse window."""
    row0, row1, col0, col1 = window
    return (
        *reach_coarse(gaussian_taps(axes[0], gain, row0, row1)),
        *reach_coarse(gaussian_taps(axes[1], gain, col0, col1)),
    )
