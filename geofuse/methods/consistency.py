"""Back-projection: the product, seen by the coarse sensor, is brought towards the coarse image.

F <- F + U(M - D(F)) is linear, so all rounds but the first run on the coarse grid: with r = M - D(F), the next
residual is r - D(U(r)), and the product gets U of their sum. Source: Irani and Peleg 1991, CVGIP 53(3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import AxisMap, gaussian_reach_px
from geofuse.kernels.resample import resample
from geofuse.methods.base import Method, Options, Params, Patch
from geofuse.methods.closed import STRIP_ROWS, Widened, coarse_part
from geofuse.methods.downscaled import back_reach_cpx, there_and_back
from geofuse.methods.multires import EXP
from geofuse.methods.observation import (
    CUBIC_REACH_CPX,
    Observation,
    Window,
    axes_at,
    bands_by,
    coarse_window_bands,
    degrade_bands,
    departure_cpx,
)


@dataclass(frozen=True, slots=True)
class After:
    """What follows a method: how much of its detail stays, and how often the product is back-projected."""

    rounds: int = 0
    """Rounds of back-projection."""
    shares: tuple[float, ...] = ()
    """Share of the method's detail that each band keeps, 0 to 1; empty: all of it."""


def round_trip_cpx(observation: Observation, ratio: float) -> int:
    """Return how many coarse pixels D after U reaches to either side, along the axis of the smaller ratio."""
    return back_reach_cpx(min(observation.mtf_gain), ratio) + 1


def margin_px(observation: Observation, rounds: int, options: Options) -> int:
    """Return how many fine pixels around a core must be fused for ``rounds`` rounds of it."""
    if not rounds:
        return 0
    largest = options.largest_ratio or options.ratio
    smallest = 1.0 / (2.0 / options.ratio - 1.0 / largest)
    stray = max(max(abs(dy), abs(dx)) for dy, dx in observation.shifts_px)
    if observation.field:
        stray += observation.field.largest_px + 1.0
    coarse = (
        CUBIC_REACH_CPX
        + 1.5
        + departure_cpx(observation.field, 1.0 / smallest)
        + (rounds - 1) * round_trip_cpx(observation, smallest)
    )
    sensor = gaussian_reach_px(min(observation.mtf_gain), largest)
    return math.ceil(coarse * largest + 2.0 * stray) + sensor + 1


def fuse_patch(
    method: Method,
    patch: Patch,
    params: Params,
    observation: Observation,
    *,
    options: Options,
    core: Window,
    after: After,
) -> NDArray[Any]:
    """Fuse a core (B, rows, cols) out of a patch whose own core reaches `margin_px` further."""
    fused = method.apply(patch, params, observation, options=options)
    if any(share < 1.0 for share in after.shares):
        plain = EXP.apply(patch, Params("exp"), observation, options=options)
        for band, share in enumerate(after.shares):
            if share < 1.0:
                fused[band] = plain[band] + fused.dtype.type(share) * (fused[band] - plain[band])
    if not after.rounds:
        return fused
    fused[:, ~patch.valid] = 0
    return back_project(fused, patch.valid, replace(patch, core=core), observation, rounds=after.rounds)


def back_project(
    fused: NDArray[Any], valid: NDArray[np.bool_], patch: Patch, observation: Observation, *, rounds: int
) -> NDArray[Any]:
    """Return the patch's core (B, rows, cols) after ``rounds`` rounds of back-projection.

    `fused` (B, H, W) covers the core and `margin_px` around it, 0 where not `valid` (H, W).
    A coarse pixel that is invalid, or not seen whole, asks for nothing.
    """
    row0, row1, col0, col1 = patch.core
    axes = (patch.axis_y, patch.axis_x)
    margin = (fused.shape[1] - (row1 - row0)) // 2
    inner = fused[:, margin : margin + row1 - row0, margin : margin + col1 - col0]
    ratio = 1.0 / max(axes[0].scale, axes[1].scale)
    step = round_trip_cpx(observation, ratio)
    window = coarse_window_bands(axes, patch.core, observation, (rounds - 1) * step)
    origin = (row0 - margin, col0 - margin)
    seen, seen_valid = degrade_bands(fused, valid, origin, axes, window, observation=observation)
    part = coarse_part(patch, window)
    asks = seen_valid & patch.coarse_valid[part]
    residual = np.where(asks, patch.coarse[:, *part] - seen, seen.dtype.type(0))
    total = residual.copy()
    for _ in range(rounds - 1):
        residual = residual - _seen_again(residual, window, axes, observation)
        residual[:, ~asks] = 0
        total += residual
    first = (rounds - 1) * step
    core_part = total[:, first : total.shape[1] - first, first : total.shape[2] - first]
    place = (window[0] + first, window[2] + first)
    wide = Widened(patch, np.ascontiguousarray(core_part), place, observation.shifts_px, observation.field)
    out = np.ascontiguousarray(inner)
    for start in range(0, row1 - row0, STRIP_ROWS):
        stop = min(start + STRIP_ROWS, row1 - row0)
        out[:, start:stop] += wide.rows(row0 + start, row0 + stop)
    return out


def _seen_again(
    residual: NDArray[Any], window: Window, axes: tuple[AxisMap, AxisMap], observation: Observation
) -> NDArray[Any]:
    """Return D(U(residual)) on the same coarse window; what lies beyond it counts as 0.

    D and U depart from their constant shift together, so a field of departures hardly matters here.
    """
    out = np.empty_like(residual)
    keys = list(zip(observation.mtf_gain, observation.shifts_px, strict=True))
    for (gain, shift), bands in bands_by(keys):
        rows = there_and_back(axes_at(axes, shift).y, gain, window[0], window[1])
        cols = there_and_back(axes_at(axes, shift).x, gain, window[2], window[3])
        pad = rows.weights.shape[1], cols.weights.shape[1]
        padded = np.pad(residual[bands], ((0, 0), (pad[0], pad[0]), (pad[1], pad[1])))
        out[bands] = resample(padded, rows, cols, (window[0] - pad[0], window[2] - pad[1]))
    return out
