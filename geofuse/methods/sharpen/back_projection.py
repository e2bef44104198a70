"""Back-projection: the product, seen by the coarse sensor, is brought towards the coarse image.

F <- F + U(M - D(F)) is linear, so all rounds but the first run on the coarse grid: with r = M - D(F), the next
residual is r - D(U(r)), and the product gets U of their sum. Source: Irani and Peleg 1991, CVGIP 53(3).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import AxisMap, Window, gaussian_reach_px
from geofuse.kernels.resample import resample
from geofuse.methods.base import (
    After,
    Fused,
    Method,
    Options,
    Params,
    Patch,
    Strip,
    fused_core,
    joined,
    keep_shares,
)
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
    out = np.empty((patch.target.values.shape[0], row1 - row0, col1 - col0), patch.target.values.dtype)
    made = finished(method, patch, params, observation, options=options, core=core, after=after)
    return joined(made.strips, out)


def finished(
    method: Method,
    patch: Patch,
    params: Params,
    observation: Observation,
    *,
    options: Options,
    core: Window,
    after: After,
) -> Fused:
    """Fuse a core strip by strip as `fuse_patch` does at once: whatever the method left over is done here."""
    after = replace(after, core=core)
    made = method.apply(patch, params, observation, options=options, after=after)
    if made.back_projected:
        return made
    strips = made.strips
    if after.cuts and not made.shares_kept:
        strips = _less_detail(strips, patch, observation, options, after)
    if after.rounds:
        strips = _seen_by_sensor(strips, patch, observation, after.rounds, core)
    return Fused(strips, shares_kept=True, back_projected=True, counts=made.counts)


def _less_detail(
    strips: Iterator[Strip], patch: Patch, observation: Observation, options: Options, after: After
) -> Iterator[Strip]:
    """Take from each band what it is not to keep of the method's detail."""
    plain = fused_core(EXP, patch, Params(EXP.about.name), observation, options=options)
    for rows, part in strips:
        keep_shares(plain[:, rows], part, after.shares)
        yield rows, part


def _seen_by_sensor(
    strips: Iterator[Strip], patch: Patch, observation: Observation, rounds: int, core: Window
) -> Iterator[Strip]:
    """Back-project what a method made of a patch's own core, and yield the inner one."""
    fused = np.empty((patch.target.values.shape[0], *patch.valid.shape), patch.target.values.dtype)
    every = bool(patch.valid.all())
    for rows, part in strips:
        if every:
            fused[:, rows] = part
        else:
            fused[:, rows] = 0
            np.copyto(fused[:, rows], part, where=patch.valid[rows])
    yield from back_projected(fused, patch.valid, replace(patch, core=core), observation, rounds=rounds)


def back_projected(
    fused: NDArray[Any], valid: NDArray[np.bool_], patch: Patch, observation: Observation, *, rounds: int
) -> Iterator[Strip]:
    """Yield the patch's core (B, rows, cols) after ``rounds`` rounds of back-projection, strip by strip.

    `fused` (B, H, W) covers the core and `margin_px` around it, 0 where not `valid` (H, W).
    A coarse pixel that is invalid, or not seen whole, asks for nothing.
    """
    row0, row1, col0, col1 = patch.core
    axes = (patch.target.axis_y, patch.target.axis_x)
    margin = (fused.shape[1] - (row1 - row0)) // 2
    inner = fused[:, margin : margin + row1 - row0, margin : margin + col1 - col0]
    ratio = 1.0 / max(axes[0].scale, axes[1].scale)
    step = round_trip_cpx(observation, ratio)
    window = coarse_window_bands(axes, patch.core, observation, (rounds - 1) * step)
    origin = (row0 - margin, col0 - margin)
    seen, seen_valid = degrade_bands(fused, valid, origin, axes, window, observation=observation)
    part = coarse_part(patch, window)
    asks = seen_valid & patch.target.valid[part]
    residual = np.where(asks, patch.target.values[:, *part] - seen, seen.dtype.type(0))
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
