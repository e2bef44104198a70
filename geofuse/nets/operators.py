"""D, U, back-projection and ridge as torch operations, from the same tap tables as the kernels; all differentiable.

A separable table is a dense matrix per axis: on crops and tiles two matrix products are the fastest form that keeps
every phase, ratio and gain exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from geofuse.geometry import Axes, Taps, Window, cubic_taps, gaussian_taps, reach_coarse, shifted

Shifts = Sequence[tuple[float, float]]


def matrix(taps: Taps, stop: int, *, start: int = 0, mirror: bool = False) -> Tensor:
    """Lay a tap table over the inputs ``[start, stop)`` as a dense matrix (outputs, inputs), float32.

    Taps beyond the inputs fold back symmetrically (``mirror``, as pads at a scene's edge do) or raise IndexError.
    """
    return torch.from_numpy(_dense(taps, start, stop, "mirror" if mirror else "refuse").astype(np.float32))


def _dense(taps: Taps, start: int, stop: int, beyond: str) -> NDArray[np.float64]:
    """Lay a tap table out; taps beyond the inputs "mirror", are dropped ("zero"), or are refused ("refuse")."""
    count, size = taps.weights.shape[0], stop - start
    at = taps.first[:, None] + np.arange(taps.weights.shape[1]) - start
    weights = np.asarray(taps.weights, np.float64)
    inside = (at >= 0) & (at < size)
    if beyond == "mirror":
        at = at % (2 * size)
        at = np.where(at < size, at, 2 * size - 1 - at)
    elif beyond == "zero":
        at, weights = np.clip(at, 0, size - 1), np.where(inside, weights, 0.0)
    elif not inside.all():
        raise IndexError(f"taps {at.min()}..{at.max()} leave {size} inputs")
    table = np.zeros((count, size))
    np.add.at(table, (np.arange(count)[:, None], at), weights)
    return table


@dataclass(frozen=True, slots=True, eq=False)
class Resampler:
    """A separable resampling of all bands: ``rows @ x @ cols^T``."""

    rows: Tensor
    """(G, n, H): one matrix for all bands, or one for each."""
    cols: Tensor
    """(G, m, W)."""

    def __call__(self, planes: Tensor) -> Tensor:
        """Resample (N, B, H, W) to (N, B, n, m)."""
        return self.rows.to(planes.dtype) @ (planes @ self.cols.to(planes.dtype).mT)

    def to(self, device: torch.device | str) -> Resampler:
        """Return the same on a device."""
        return Resampler(self.rows.to(device), self.cols.to(device))


def down(
    axes: Axes,
    gains: Sequence[float],
    shifts_px: Shifts,
    *,
    fine: Window,
    coarse: Window,
    mirror: bool = True,
) -> Resampler:
    """D: how the coarse sensor sees each band of a fine window, in a coarse window.

    Gaussian MTF with each band's gain, decimated at its coarse centres' true phase. Source: Aiazzi et al. 2006,
    PE&RS 72(5).
    """
    keys = list(zip(gains, shifts_px, strict=True))

    def table(axis: int, start: int, stop: int, first: int, last: int) -> Tensor:
        made = [
            gaussian_taps(shifted(axes[axis], shift[axis]), gain, start, stop)
            for gain, shift in (keys[:1] if len(set(keys)) == 1 else keys)
        ]
        return torch.stack([matrix(taps, last, start=first, mirror=mirror) for taps in made])

    return Resampler(table(0, *coarse[:2], *fine[:2]), table(1, *coarse[2:], *fine[2:]))


def up(axes: Axes, shifts_px: Shifts, *, coarse: Window, fine: Window, mirror: bool = True) -> Resampler:
    """U: each band of a coarse window brought to a fine window by Keys' cubic, at its own phase.

    Source: Keys 1981, IEEE Trans. ASSP 29(6).
    """

    def table(axis: int, start: int, stop: int, first: int, last: int) -> Tensor:
        made = [
            cubic_taps(shifted(axes[axis], shift[axis]), start, stop)
            for shift in (shifts_px[:1] if len(set(shifts_px)) == 1 else shifts_px)
        ]
        return torch.stack([matrix(taps, last, start=first, mirror=mirror) for taps in made])

    return Resampler(table(0, *fine[:2], *coarse[:2]), table(1, *fine[2:], *coarse[2:]))


def round_trip(
    axes: Axes, gains: Sequence[float], shifts_px: Shifts, *, source: Window, target: Window
) -> Resampler:
    """D(U(.)) of each band from a coarse window to another, as one table per axis; beyond the source is 0."""
    keys = list(zip(gains, shifts_px, strict=True))

    def table(axis: int, first: int, last: int, start: int, stop: int) -> Tensor:
        made = []
        for gain, shift in keys[:1] if len(set(keys)) == 1 else keys:
            seen = gaussian_taps(shifted(axes[axis], shift[axis]), gain, start, stop)
            fine = reach_coarse(seen)
            lifted = cubic_taps(shifted(axes[axis], shift[axis]), *fine)
            made.append(_dense(seen, *fine, "refuse") @ _dense(lifted, first, last, "zero"))
        return torch.from_numpy(np.stack(made).astype(np.float32))

    return Resampler(table(0, *source[:2], *target[:2]), table(1, *source[2:], *target[2:]))


@dataclass(frozen=True, slots=True, eq=False)
class Operators:
    """D and U between one fine and one coarse window."""

    down: Resampler
    """D."""
    up: Resampler
    """U."""

    def to(self, device: torch.device | str) -> Operators:
        """Return the same on a device."""
        return Operators(self.down.to(device), self.up.to(device))


def operators(
    axes: Axes,
    gains: Sequence[float],
    shifts_px: Shifts,
    *,
    fine: Window,
    coarse: Window,
    mirror: bool = True,
) -> Operators:
    """Build D and U between a fine and a coarse window; see `down` and `up`."""
    return Operators(
        down(axes, gains, shifts_px, fine=fine, coarse=coarse, mirror=mirror),
        up(axes, shifts_px, coarse=coarse, fine=fine, mirror=mirror),
    )


def ridge_detail(
    detail: Tensor,
    low: Tensor,
    up: Tensor,
    corrections: Tensor | None,
    values: Mapping[str, Any],
    *,
    floor: float,
) -> Tensor:
    """Return what ridge adds to U(M), (N, B, H, W), as `kernels.stencil.inject` and `kernels.classes.modulate` do.

    PAN's detail d = P - P_L (N, 1, H + 4, W + 4), 0 where PAN is invalid; P_L (N, 1, H, W); U(M) and U(M - D(U(M)))
    (N, B, H, W); ``values`` are the fitted Params' of ridge.
    """
    kind, device = up.dtype, up.device

    def tensor(key: str) -> Tensor:
        return torch.tensor(values[key], dtype=kind, device=device)

    inner = detail[:, :, 2:-2, 2:-2]
    share = torch.where(low >= floor, (inner / low).clamp(-1.0, 1.0), 0.0)
    out = share * torch.einsum("bk,nkhw->nbhw", tensor("ratios"), up)
    out = out + functional.conv2d(detail, tensor("taps")[:, None])
    if corrections is not None and "back-projection" in values["extras"]:
        out = out + torch.einsum("bk,nkhw->nbhw", tensor("corrections"), corrections)
    if values["classes"]:
        out = out * _class_gains(up, values["classes"])
    return out


def _class_gains(up: Tensor, classes: Mapping[str, Any]) -> Tensor:
    """Return each band's gain (N, B, H, W): its classes' gains by soft membership, exp(-d^2 / (2 s^2)) normalised."""

    def tensor(value: Any) -> Tensor:
        return torch.tensor(value, dtype=up.dtype, device=up.device)

    scale = tensor([float("inf") if value is None else value for value in classes["scale"]])
    spectra = (up - tensor(classes["mean"])[:, None, None]) / scale[:, None, None]
    centres = tensor(classes["centres"])  # (K, B)
    apart = (spectra.unsqueeze(1) - centres[:, :, None, None]).square().sum(2)  # (N, K, H, W)
    shares = torch.softmax(-0.5 * apart / classes["spread"] ** 2, dim=1)
    return torch.einsum("bk,nkhw->nbhw", tensor(classes["gains"]), shares)
