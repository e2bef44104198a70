"""A tile's pixels on a device, and D, U and both between its windows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from geofuse.geometry import Axes, AxisMap, Window
from geofuse.nets.operators import Resampler, down, round_trip, up
from geofuse.nets.transfer import upload

PHASE_DIGITS = 9
"""Decimals of a coarse pixel to which two tiles' phases are one: they then share their tables."""


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """A tile's pixels, all valid, and how its grids relate."""

    fine: NDArray[Any]
    """PAN (H, W)."""
    fine_origin: tuple[int, int]
    """Output coordinates of fine[0, 0]."""
    coarse: NDArray[Any]
    """MS (B, h, w)."""
    coarse_origin: tuple[int, int]
    """Coarse coordinates of coarse[:, 0, 0]."""
    axes: Axes
    """Rows, columns."""
    gains: tuple[float, ...]
    """MTF gain of each band."""
    shifts_px: tuple[tuple[float, float], ...]
    """Shift of each band."""
    joint_gain: float
    """The gain with which PAN is seen."""
    shift_px: tuple[float, float]
    """The shift with which PAN is seen."""

    @property
    def fine_window(self) -> Window:
        """Where PAN lies, in output coordinates."""
        (row, col), (height, width) = self.fine_origin, self.fine.shape
        return row, row + height, col, col + width

    @property
    def coarse_window(self) -> Window:
        """Where the MS lies, in coarse coordinates."""
        (row, col), (height, width) = self.coarse_origin, self.coarse.shape[1:]
        return row, row + height, col, col + width


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """What is made of them."""

    core: Window
    """What is answered for."""
    grown: Window
    """The core and what back-projection needs around it."""
    values: Mapping[str, Any]
    """The fitted Params' values."""
    floor: float
    """Of low-passed PAN in ridge's ratios."""
    rounds: int
    """Rounds of back-projection."""
    step_cpx: int
    """How far one round reaches, in coarse pixels."""
    detail_shares: tuple[float, ...]
    """Share of the detail that each band keeps; empty: all."""
    network_shares: tuple[float, ...]
    """Share of the network's residual; empty: all."""
    first: tuple[int, int]
    """First fine pixel of coarse pixel 0's block."""
    whole: bool
    """The product is stored in whole numbers."""


class TileOnDevice:
    """A tile's pixels on a device, and the operators between its windows."""

    def __init__(self, pixels: Pixels, device: torch.device) -> None:
        self.pixels, self.device = pixels, device
        pan, _ = upload(pixels.fine, device)
        planes, self.whole = upload(pixels.coarse, device)
        self.pan, self.ms = pan[None, None], planes[None]

    def up_bands(self, planes: Tensor, coarse: Window, fine: Window) -> Tensor:
        """U of each band from a coarse to a fine window."""
        return self._table("up", self.pixels.gains, self.pixels.shifts_px, coarse, fine)(planes)

    def down_bands(self, planes: Tensor, fine: Window, coarse: Window) -> Tensor:
        """D of each band from a fine to a coarse window."""
        return self._table("down", self.pixels.gains, self.pixels.shifts_px, coarse, fine)(planes)

    def round_trip(self, planes: Tensor, source: Window, target: Window) -> Tensor:
        """D(U(.)) of each band between coarse windows; what lies beyond the source is 0."""
        return self._table("round trip", self.pixels.gains, self.pixels.shifts_px, source, target)(planes)

    def low(self, fine: Window) -> Tensor:
        """P_L (1, 1, H, W) over a fine window."""
        gains, shifts = (self.pixels.joint_gain,), (self.pixels.shift_px,)
        coarse = touched(self.pixels.axes, shifts, fine)
        seen = self._table("down", gains, shifts, coarse, self.pixels.fine_window)(self.pan)
        return self._table("up", gains, shifts, coarse, fine)(seen)

    def missed(self, target: Window) -> Tensor:
        """M - D(U(M)) over a coarse window."""
        return self.part(self.ms, self.pixels.coarse_window, target) - self.round_trip(
            self.ms, self.pixels.coarse_window, target
        )

    @staticmethod
    def part(planes: Tensor, place: Window, window: Window) -> Tensor:
        """Cut a window out of planes that lie at ``place``."""
        rows = slice(window[0] - place[0], window[1] - place[0])
        return planes[..., rows, window[2] - place[2] : window[3] - place[2]]

    def _table(
        self,
        kind: str,
        gains: tuple[float, ...],
        shifts: tuple[tuple[float, float], ...],
        first: Window,
        second: Window,
    ) -> Resampler:
        """Return an operator's tables, shared by tiles with the same phase; ``first`` is a coarse window."""
        row, col = first[0], first[2]
        fine = second if kind != "round trip" else (0, 0, 0, 0)
        axes = tuple(
            AxisMap(axis.scale, round(axis.offset + axis.scale * start - coarse, PHASE_DIGITS))
            for axis, start, coarse in zip(self.pixels.axes, (fine[0], fine[2]), (row, col), strict=True)
        )
        if kind == "round trip":
            other: Window = (second[0] - row, second[1] - row, second[2] - col, second[3] - col)
        else:
            other = (0, fine[1] - fine[0], 0, fine[3] - fine[2])
        coarse: Window = (0, first[1] - row, 0, first[3] - col)
        return _tables(kind, axes, gains, shifts, (coarse, other), device=str(self.device))


@lru_cache(maxsize=64)
def _tables(
    kind: str,
    axes: tuple[AxisMap, AxisMap],
    gains: tuple[float, ...],
    shifts: tuple[tuple[float, float], ...],
    windows: tuple[Window, Window],
    *,
    device: str,
) -> Resampler:
    coarse, other = windows
    if kind == "up":
        made = up(axes, shifts, coarse=coarse, fine=other, mirror=False)
    elif kind == "down":
        made = down(axes, gains, shifts, fine=other, coarse=coarse, mirror=False)
    else:
        made = round_trip(axes, gains, shifts, source=coarse, target=other)
    return made.to(device)


def touched(axes: Axes, shifts: Sequence[tuple[float, float]], fine: Window, margin: int = 0) -> Window:
    """Return the coarse row0, row1, col0, col1 that U touches for a fine window, for all shifts, plus a margin."""
    found: list[int] = []
    for at, (start, stop) in enumerate((fine[:2], fine[2:])):
        axis = axes[at]
        places = [axis.offset + axis.scale * shift[at] for shift in shifts]
        found += [
            math.floor(axis.scale * start + min(places)) - 1 - margin,
            math.floor(axis.scale * (stop - 1) + max(places)) + 3 + margin,
        ]
    return found[0], found[1], found[2], found[3]
