"""Back-projection: the product, seen by the coarse sensor, is brought towards the coarse image.

F <- F + U(M - D(F)) is linear, so all rounds but the first run on the coarse grid: with r = M - D(F), the next
residual is r - D(U(r)), and the product gets U of their sum. Source: Irani and Peleg 1991, CVGIP 53(3).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import AxisMap, Window, gaussian_reach_px
from geofuse.kernels.resample import resample
from geofuse.methods.base import Method, Options, Params, Patch, Strip, joined, keep_shares
from geofuse.methods.observation import (
    CUBIC_REACH_CPX,
    Observation,
    axes_at,
    bands_by,
    coarse_window_bands,
    degrade_bands,
    departure_cpx,
)
from geofuse.methods.sharpen.closed_form import STRIP_ROWS, Widened, coarse_part
from geofuse.methods.sharpen.multires import EXP
from geofuse.methods.sharpen.one_scale_down import back_reach_cpx, there_and_back


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
    row0, row1, col0, col1 = core
    out = np.empty((patch.coarse.shape[0], row1 - row0, col1 - col0), patch.coarse.dtype)
    return joined(
        fused_strips(method, patch, params, observation, options=options, core=core, after=after), out
    )


def fused_strips(
    method: Method,
    patch: Patch,
    params: Params,
    observation: Observation,
    *,
    options: Options,
    core: Window,
    after: After,
) -> Iterator[Strip]:
    """Fuse a core strip by strip, as `fuse_patch` does at once."""
    elsewhere = getattr(method, "fuse_whole", None)
    if elsewhere is not None:
        found = elsewhere(patch, params, observation, options=options, core=core, after=after)
        if found is not None:
            yield slice(0, found.shape[1]), found
            return
    strips = _strips_of(method, patch, params, observation, options=options, shares=after.shares)
    if not after.rounds:
        yield from strips
        return
    fused = np.empty((patch.coarse.shape[0], *patch.valid.shape), patch.coarse.dtype)
    every = bool(patch.valid.all())
    for rows, part in strips:
        if every:
            fused[:, rows] = part
        else:
            fused[:, rows] = 0
            np.copyto(fused[:, rows], part, where=patch.valid[rows])
    patch = replace(patch, core=core)
    yield from back_projected(fused, patch.valid, patch, observation, rounds=after.rounds)


def _strips_of(
    method: Method,
    patch: Patch,
    params: Params,
    observation: Observation,
    *,
    options: Options,
    shares: Sequence[float],
) -> Iterator[Strip]:
    """Yield what a method makes of a patch's own core: strip by strip where it can, else at once."""
    own = getattr(method, "strips", None)
    if own is not None:
        yield from own(patch, params, observation, options=options, shares=shares)
        return
    fused = method.apply(patch, params, observation, options=options)
    if min(shares, default=1.0) < 1.0:
        keep_shares(EXP.apply(patch, Params("exp"), observation, options=options), fused, shares)
    yield slice(0, fused.shape[1]), fused


def back_projected(
    fused: NDArray[Any], valid: NDArray[np.bool_], patch: Patch, observation: Observation, *, rounds: int
) -> Iterator[Strip]:
    """Yield the patch's core (B, rows, cols) after ``rounds`` rounds of back-projection, strip by strip.

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
    for start in range(0, row1 - row0, STRIP_ROWS):
        stop = min(start + STRIP_ROWS, row1 - row0)
        planes = wide.rows(row0 + start, row0 + stop)
        planes += inner[:, start:stop]
        yield slice(start, stop), planes


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
