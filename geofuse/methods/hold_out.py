"""The spatial hold-out, one scale down: does a method's detail help each band, and which method helps most?

A sample window of the pair is degraded once more under the observation model, so that the MS itself is the
truth. Fitted on one half of the windows, a method is judged on the other, band by band, against upsampling.
Source of the protocol: Wald, Ranchin and Mangolini 1997, PE&RS 63(6).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import AxisMap, Window, covered
from geofuse.methods.base import After, Method, Options, Params, Patch, Target
from geofuse.methods.observation import Observation, axes_at, degrade, degrade_bands
from geofuse.methods.sharpen.back_projection import fuse_patch, margin_px
from geofuse.methods.sharpen.closed_form import coarse_part, owned_window
from geofuse.methods.sums import merge
from geofuse.methods.table import BASELINE, get

LEAST_SIDE_CPX = 24
"""A window smaller than this has nothing left one scale down."""
LEAST_JUDGED = 2500
"""Pixels to judge by under which chance would choose."""
MANY = 4
"""Windows from which on none is cut in halves."""
APART_CPX = 32
"""Windows lie so far apart, in turn, that a fit's own blocks of that size tell them apart."""
MOST = 8
"""Windows that take part at most."""


@dataclass(frozen=True, slots=True)
class Reduced:
    """A window one scale down: PAN on the MS grid, MS on a grid as much coarser again."""

    pan: NDArray[Any]
    """(1, h, w)."""
    pan_valid: NDArray[np.bool_]
    """(h, w)."""
    truth: NDArray[Any]
    """The MS itself (B, h, w)."""
    judged: NDArray[np.bool_]
    """Where it may be compared (h, w)."""
    coarse: NDArray[Any]
    """(B, h', w')."""
    coarse_valid: NDArray[np.bool_]
    """(h', w')."""
    axes: tuple[AxisMap, AxisMap]
    """From the MS grid to the coarser one."""


@dataclass(frozen=True, slots=True)
class Trial:
    """How a method did where it was not fitted."""

    method: str
    """Its name."""
    rmse: tuple[float, ...]
    """Per band, with `shares`, in the patch's units."""
    upsampled_rmse: tuple[float, ...]
    """The same of upsampling, with the same back-projection."""
    shares: tuple[float, ...]
    """Share of the method's detail that does no harm, 0 to 1, per band."""
    ergas: float
    """Of the product with these shares."""


def reduce_window(patch: Patch, usable: NDArray[np.bool_], observation: Observation) -> Reduced | None:
    """Degrade a sample window once more; None where it is too small."""
    window = owned_window(patch)
    part = coarse_part(patch, window)
    height, width = window[1] - window[0], window[3] - window[2]
    axes = tuple(
        AxisMap(axis.scale, 0.5 * axis.scale - 0.5) for axis in (patch.target.axis_y, patch.target.axis_x)
    )
    rows, cols = int(height * axes[0].scale + 1e-9), int(width * axes[1].scale + 1e-9)
    if min(height, width) < LEAST_SIDE_CPX or min(rows, cols) < 2:
        return None
    pan, pan_valid = degrade(
        patch.guides,
        patch.guides_valid,
        patch.guides_origin,
        axes_at((patch.target.axis_y, patch.target.axis_x), observation.shift_px, observation.field),
        window,
        gain=observation.joint_gain,
    )
    truth, valid = patch.target.values[:, *part], patch.target.valid[part]
    pad = math.ceil(8.0 / min(axes[0].scale, axes[1].scale)) + 8
    around = ((0, 0), (pad, pad), (pad, pad))
    coarse, coarse_valid = degrade_bands(
        np.pad(truth, around, mode="symmetric"),
        np.pad(valid, pad, mode="symmetric"),
        (-pad, -pad),
        (axes[0], axes[1]),
        (0, rows, 0, cols),
        observation=reduced_observation(observation, axes),
    )
    return Reduced(pan, pan_valid, truth, valid & usable[part], coarse, coarse_valid, (axes[0], axes[1]))


def reduced_observation(observation: Observation, axes: Sequence[AxisMap]) -> Observation:
    """Return the model of the pair one scale down: PAN now lies on the MS grid, where bands may differ yet."""
    (dy, dx), scales = observation.shift_px, (axes[0].scale, axes[1].scale)
    apart = tuple(((by - dy) * scales[0], (bx - dx) * scales[1]) for by, bx in observation.band_shift_px)
    return Observation(observation.mtf_gain, (0.0, 0.0), apart, "one scale down")


def patches_of(
    reduced: Reduced, reach: tuple[int, int], margin: int, parts: int
) -> list[tuple[Patch, Window]]:
    """Return a window, cut into so many parts from top to bottom, as patches with cores; mirrored at the sides."""
    fine_px = reach[0] + margin
    coarse_cpx = reach[1] + math.ceil(margin * max(axis.scale for axis in reduced.axes)) + 1
    fine = np.pad(reduced.pan, ((0, 0), (fine_px,) * 2, (fine_px,) * 2), mode="symmetric")
    coarse = np.pad(reduced.coarse, ((0, 0), (coarse_cpx,) * 2, (coarse_cpx,) * 2), mode="symmetric")
    fine_valid = np.pad(reduced.pan_valid, fine_px, mode="symmetric")
    coarse_valid = np.pad(reduced.coarse_valid, coarse_cpx, mode="symmetric")
    rows = covered(reduced.axes[0], reduced.truth.shape[1], reduced.coarse.shape[1])
    cols = covered(reduced.axes[1], reduced.truth.shape[2], reduced.coarse.shape[2])
    edges = np.linspace(rows[0], rows[1], parts + 1).astype(int).tolist()
    found = []
    for top, bottom in pairwise(edges):
        grown = (top - margin, bottom + margin, cols[0] - margin, cols[1] + margin)
        under_y = _under(reduced.axes[0], grown[0], grown[1]) + coarse_cpx
        under_x = _under(reduced.axes[1], grown[2], grown[3]) + coarse_cpx
        inner = slice(grown[0] + fine_px, grown[1] + fine_px), slice(grown[2] + fine_px, grown[3] + fine_px)
        target = Target(
            values=coarse,
            valid=coarse_valid,
            origin=(-coarse_cpx, -coarse_cpx),
            axis_y=reduced.axes[0],
            axis_x=reduced.axes[1],
        )
        patch = Patch(
            guides=fine,
            guides_valid=fine_valid,
            guides_origin=(-fine_px, -fine_px),
            targets=(target,),
            core=grown,
            valid=fine_valid[inner] & coarse_valid[np.ix_(under_y, under_x)],
        )
        found.append((patch, (top, bottom, cols[0], cols[1])))
    return found


def _under(axis: AxisMap, start: int, stop: int) -> NDArray[np.int64]:
    centre = axis.scale * np.arange(start, stop) + axis.offset
    return np.asarray(np.floor(centre + 0.5 + 1e-6), np.int64)


def fit_patches(
    method: Method, patches: Sequence[Patch], observation: Observation, options: Options
) -> Params | None:
    """Run a method's first pass over patches and fit it; None where there is nothing to fit on."""
    state: dict[str, Any] = {}
    for one in method.passes(options):
        found = [method.collect(one.name, p, observation, options=options, state=state) for p in patches]
        state[one.name] = functools.reduce(merge, found)
        if one.needed and not state[one.name].count:
            return None
    return method.fit(state, observation, options=options)


@dataclass(frozen=True, slots=True)
class HeldPart:
    """A window, or half of one, to fit on or to be judged on."""

    window: Reduced
    """The window."""
    patch: Patch
    """What a method sees; its core reaches further, for back-projection."""
    core: Window
    """What is judged."""
    where: tuple[slice, slice]
    """The same in the window's own rows and columns."""
    plain: NDArray[Any]
    """The core, upsampled and back-projected without PAN."""


Watch = Callable[[HeldPart, NDArray[np.bool_], Mapping[str, NDArray[Any]]], None]
"""Shown a held-out part, where in it may be judged (h, w), and products (B, h, w) by method."""


def try_methods(
    names: Sequence[str],
    windows: Sequence[Reduced],
    observation: Observation,
    *,
    options: Options,
    rounds: int,
    watch: Watch | None = None,
) -> dict[str, Trial | None]:
    """Judge methods by two-fold cross-validation over windows; None for one that finds too little.

    Few windows are cut in halves first. ``watch`` is shown each part with all its products.
    """
    if sum(int(window.judged.sum()) for window in windows) < LEAST_JUDGED:
        return dict.fromkeys(names)
    model = reduced_observation(observation, windows[0].axes)
    methods = {name: get(name) for name in names}
    upsampling, nothing = get(BASELINE), Params(BASELINE)
    halos = [method.halo(model, options=options) for method in (*methods.values(), upsampling)]
    reach = max(halo.fine_px for halo in halos), max(halo.coarse_cpx for halo in halos)
    margin = margin_px(model, rounds, options)
    after = After(rounds)
    folds: tuple[list[HeldPart], list[HeldPart]] = ([], [])
    for number, window in enumerate(_richest(windows)):
        for own, inside in patches_of(window, reach, margin, 1 if len(windows) >= MANY else 2):
            where = slice(inside[0], inside[1]), slice(inside[2], inside[3])
            patch, core = _placed(own, inside, number)
            plain = fuse_patch(upsampling, patch, nothing, model, options=options, core=core, after=after)
            fold = folds[len(folds[0]) > len(folds[1])]
            fold.append(HeldPart(window, patch, core, where, plain))
    totals = {name: np.zeros((5, len(observation.mtf_gain))) for name in names}
    for judged, others in (folds, folds[::-1]):
        seen = [replace(one.patch, core=one.core, valid=_cut(one.patch, one.core)) for one in others]
        found = {name: fit_patches(method, seen, model, options) for name, method in methods.items()}
        fitted = {name: params for name, params in found.items() if params is not None}
        for part in judged:
            ok = part.window.judged[part.where] & _cut(part.patch, part.core)
            products = {
                name: fuse_patch(
                    methods[name], part.patch, params, model, options=options, core=part.core, after=after
                )
                for name, params in fitted.items()
            }
            truth = part.window.truth[:, *part.where]
            for name, fused in products.items():
                totals[name] += _compared(truth[:, ok], part.plain[:, ok], fused[:, ok])
            if watch is not None:
                watch(part, ok, products)
    return {name: _trial(name, sums) if sums[0, 0] else None for name, sums in totals.items()}


def _placed(patch: Patch, core: Window, number: int) -> tuple[Patch, Window]:
    """Give a window a place of its own, so that methods whose fit has folds of its own see windows as folds."""
    down, right = APART_CPX * (number % 2), APART_CPX * (number // 2 % 2)
    rows, cols = round(down / patch.target.axis_y.scale), round(right / patch.target.axis_x.scale)
    target = replace(
        patch.target,
        origin=(patch.target.origin[0] + down, patch.target.origin[1] + right),
        axis_y=_shifted(patch.target.axis_y, rows, down),
        axis_x=_shifted(patch.target.axis_x, cols, right),
    )
    placed = replace(
        patch,
        guides_origin=(patch.guides_origin[0] + rows, patch.guides_origin[1] + cols),
        targets=(target,),
        core=_moved(patch.core, rows, cols),
    )
    return placed, _moved(core, rows, cols)


def _shifted(axis: AxisMap, fine: int, coarse: int) -> AxisMap:
    """Return the same map where both grids count from further back."""
    return AxisMap(axis.scale, axis.offset + coarse - axis.scale * fine)


def _moved(core: Window, rows: int, cols: int) -> Window:
    return core[0] + rows, core[1] + rows, core[2] + cols, core[3] + cols


def _richest(windows: Sequence[Reduced]) -> list[Reduced]:
    """Return at most `MOST` windows, those with most to judge, in their order."""
    order = sorted(range(len(windows)), key=lambda index: -int(windows[index].judged.sum()))
    return [windows[index] for index in sorted(order[:MOST])]


def _cut(patch: Patch, core: Window) -> NDArray[np.bool_]:
    """Return the output's validity over a core inside the patch's own."""
    top, left = core[0] - patch.core[0], core[2] - patch.core[2]
    return patch.valid[top : top + core[1] - core[0], left : left + core[3] - core[2]]


def _compared(truth: NDArray[Any], plain: NDArray[Any], fused: NDArray[Any]) -> NDArray[np.float64]:
    """Sum, per band: pixels, truth, (M - E)^2, (M - E)(F - E), (F - E)^2 for upsampling E and product F."""
    missed = truth.astype(np.float64) - plain
    detail = fused.astype(np.float64) - plain
    count = np.full(len(truth), float(truth.shape[1]))
    products = [(missed**2).sum(axis=1), (missed * detail).sum(axis=1), (detail**2).sum(axis=1)]
    return np.array([count, truth.sum(axis=1, dtype=np.float64), *products])


def _trial(name: str, sums: NDArray[np.float64]) -> Trial:
    count, truth, plain, cross, detail = sums
    full = plain - 2.0 * cross + detail
    best = np.clip(cross / np.maximum(detail, 1e-300), 0.0, 1.0)
    shares = np.where(full < plain, 1.0, best)
    kept = np.maximum(plain - 2.0 * shares * cross + shares**2 * detail, 0.0)
    mean = np.maximum(np.abs(truth / count), 1e-12)
    return Trial(
        name,
        tuple(np.sqrt(kept / count).tolist()),
        tuple(np.sqrt(plain / count).tolist()),
        tuple(np.round(shares, 4).tolist()),
        float(np.sqrt(np.mean(kept / count / mean**2))),
    )


def best_of(trials: Mapping[str, Trial | None]) -> str | None:
    """Return the method with the lowest held-out error; None where none could be tried."""
    known = {name: trial.ergas for name, trial in trials.items() if trial is not None}
    return min(known, key=lambda name: known[name]) if known else None
