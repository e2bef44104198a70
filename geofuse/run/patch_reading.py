"""From a plan and a core to the Patch a method sees: reading, pedestals, validity, the quality mask."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import AxisMap, Window, nearest
from geofuse.methods.base import Options, Patch, Target
from geofuse.methods.observation import Observation
from geofuse.rasters.image import Band
from geofuse.rasters.pixels import read_window
from geofuse.run.plans.plan import Pair, Plan
from geofuse.scenes.quality import flags_of

NODATA_FLAG, SATURATED_FLAG = 1, 2


@dataclass(frozen=True, slots=True)
class Job:
    """What a plan's tasks share, made once in each worker."""

    options: Options
    """What the method is told."""
    observation: Observation
    """How the coarse image came from the fine one."""
    pedestal: NDArray[np.float64]
    """DN of zero reflectance, per band (B,)."""


def job_of(plan: Plan) -> Job:
    """Return what a plan's tasks share."""
    bands = [pair.target.bands[index] for pair in plan.pairs for index in pair.bands]
    others = tuple(pair.observation for pair in plan.pairs[1:])
    return Job(
        replace(plan.options, others=others),
        plan.pair.observation,
        np.array([pedestal_of(band) for band in bands]),
    )


def pedestal_of(band: Band) -> float:
    """Return the DN at which a band's physical value is zero; 0 where its radiometry is unknown."""
    if band.gain is None or band.offset is None or band.gain == 0.0:
        return 0.0
    return -band.offset / band.gain


def coarse_span(axis: AxisMap, start: int, stop: int, margin_cpx: int) -> tuple[int, int]:
    """Return the coarse pixels under the fine range [start, stop), with a margin."""
    first = math.floor(axis.scale * start + axis.offset)
    last = math.floor(axis.scale * (stop - 1) + axis.offset) + 1
    return first - margin_cpx, last + 1 + margin_cpx


def read_patch(plan: Plan, core: Window, pedestal: NDArray[np.float64]) -> Patch:
    """Read what a method needs for a core, in output coordinates; ``pedestal`` is that of all bands in their order."""
    fine_px, coarse_cpx = plan.reach
    row0, row1, col0, col1 = core
    first = plan.pair
    top, left = first.origin
    window = (top + row0 - fine_px, top + row1 + fine_px, left + col0 - fine_px, left + col1 + fine_px)
    guides, guides_valid = read_window(first.guide, first.guide_bands, window)
    read = [_read_target(pair, core, coarse_cpx) for pair in plan.pairs]
    kind = np.result_type(guides.dtype, *(values.dtype for values, _, _ in read))
    of_guides = np.array([pedestal_of(first.guide.bands[index]) for index in first.guide_bands])
    inner = slice(fine_px, fine_px + row1 - row0), slice(fine_px, fine_px + col1 - col0)
    output_valid, targets, done = guides_valid[inner], [], 0
    for pair, (values, valid, origin) in zip(plan.pairs, read, strict=True):
        own = pedestal[done : done + len(pair.bands)]
        done += len(pair.bands)
        values = _less(values.astype(kind, copy=False), valid, own)
        targets.append(Target(values, valid, origin, axis_y=pair.axis_y, axis_x=pair.axis_x))
        output_valid = output_valid & valid[_under(pair, core, origin)]
    return Patch(
        guides=_less(guides.astype(kind, copy=False), guides_valid, of_guides),
        guides_valid=guides_valid,
        guides_origin=(row0 - fine_px, col0 - fine_px),
        targets=tuple(targets),
        core=core,
        valid=output_valid,
    )


def _read_target(
    pair: Pair, core: Window, margin_cpx: int
) -> tuple[NDArray[Any], NDArray[np.bool_], tuple[int, int]]:
    """Read a target's stored values under a core, where all are valid, and where they begin."""
    rows = coarse_span(pair.axis_y, core[0], core[1], margin_cpx)
    cols = coarse_span(pair.axis_x, core[2], core[3], margin_cpx)
    values, valid = read_window(pair.target, pair.bands, (*rows, *cols))
    return values, valid, (rows[0], cols[0])


def _under(pair: Pair, core: Window, origin: tuple[int, int]) -> tuple[NDArray[np.int64], ...]:
    """Return where, in planes from ``origin`` on, the coarse pixels under a core's pixels lie."""
    grid = pair.target.grid
    rows = nearest(pair.axis_y, core[0], core[1], grid.height) - origin[0]
    cols = nearest(pair.axis_x, core[2], core[3], grid.width) - origin[1]
    return np.ix_(rows, cols)


def _less(values: NDArray[Any], valid: NDArray[np.bool_], pedestal: NDArray[np.float64]) -> NDArray[Any]:
    """Subtract each band's pedestal where valid; invalid pixels stay 0."""
    for plane, base in zip(values, pedestal, strict=True):
        if base != 0.0:
            np.subtract(plane, plane.dtype.type(base), out=plane, where=valid)
    return values


def mask_of(plan: Plan, patch: Patch, pedestal: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the mask asset's bit flags over the core (rows, cols, 1)."""
    quality = plan.scene.image("quality")
    row0, row1, col0, col1 = patch.core
    grid = quality.grid
    under_y = np.clip(nearest(plan.pair.axis_y, row0, row1, grid.height), 0, grid.height - 1)
    under_x = np.clip(nearest(plan.pair.axis_x, col0, col1, grid.width), 0, grid.width - 1)
    window = (int(under_y[0]), int(under_y[-1]) + 1, int(under_x[0]), int(under_x[-1]) + 1)
    flags = flags_of(quality, window)
    flags = flags[np.ix_(under_y - window[0], under_x - window[2])]
    flags[~patch.valid] |= NODATA_FLAG
    flags[_saturated(plan, patch, pedestal)] |= SATURATED_FLAG
    return flags[:, :, None]


def _saturated(plan: Plan, patch: Patch, pedestal: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a guide or a band is at its detector's limit, over the core."""
    row0, row1, col0, col1 = patch.core
    saturated, done = np.zeros(patch.valid.shape, np.bool_), 0
    for pair, target in zip(plan.pairs, patch.targets, strict=True):
        coarse = np.zeros(target.valid.shape, np.bool_)
        for plane, index in zip(target.values, pair.bands, strict=True):
            limit = pair.target.bands[index].saturation
            if limit is not None:
                coarse |= plane >= limit - pedestal[done]
            done += 1
        saturated |= coarse[_under(pair, patch.core, target.origin)]
    top, left = row0 - patch.guides_origin[0], col0 - patch.guides_origin[1]
    inner = patch.guides[:, top : top + row1 - row0, left : left + col1 - col0]
    for plane, index in zip(inner, plan.pair.guide_bands, strict=True):
        band = plan.pair.guide.bands[index]
        if band.saturation is not None:
            saturated |= plane >= band.saturation - pedestal_of(band)
    return saturated & patch.valid
