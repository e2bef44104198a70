"""From a plan and a core to the Patch a method sees: reading, pedestals, validity, the quality mask."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import AxisMap, nearest
from geofuse.methods.base import Options, Patch
from geofuse.methods.observation import Observation
from geofuse.rasters.image import Band
from geofuse.rasters.pixels import read_window
from geofuse.run.plan import Plan
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
    pair = plan.pair
    pedestal = np.array([pedestal_of(pair.target.bands[index]) for index in pair.bands])
    return Job(plan.options, pair.observation, pedestal)


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


def read_patch(plan: Plan, core: tuple[int, int, int, int], pedestal: NDArray[np.float64]) -> Patch:
    """Read what a method needs for a core, in output coordinates."""
    fine_px, coarse_cpx = plan.reach
    row0, row1, col0, col1 = core
    top, left = plan.pair.origin
    fine, fine_valid = read_window(
        plan.pair.guide,
        (0,),
        (
            top + row0 - fine_px,
            top + row1 + fine_px,
            left + col0 - fine_px,
            left + col1 + fine_px,
        ),
    )
    rows = coarse_span(plan.pair.axis_y, row0, row1, coarse_cpx)
    cols = coarse_span(plan.pair.axis_x, col0, col1, coarse_cpx)
    coarse, coarse_valid = read_window(plan.pair.target, plan.pair.bands, (*rows, *cols))
    kind = np.result_type(fine.dtype, coarse.dtype)
    pan_pedestal = np.array([pedestal_of(plan.pair.guide.bands[0])])
    patch_coarse = _less(coarse.astype(kind, copy=False), coarse_valid, pedestal)
    height, width = plan.pair.target.grid.height, plan.pair.target.grid.width
    under_y = nearest(plan.pair.axis_y, row0, row1, height) - rows[0]
    under_x = nearest(plan.pair.axis_x, col0, col1, width) - cols[0]
    inner = slice(fine_px, fine_px + row1 - row0), slice(fine_px, fine_px + col1 - col0)
    return Patch(
        fine=_less(fine.astype(kind, copy=False), fine_valid, pan_pedestal),
        fine_valid=fine_valid,
        coarse=patch_coarse,
        coarse_valid=coarse_valid,
        fine_origin=(row0 - fine_px, col0 - fine_px),
        coarse_origin=(rows[0], cols[0]),
        axis_y=plan.pair.axis_y,
        axis_x=plan.pair.axis_x,
        core=core,
        valid=fine_valid[inner] & coarse_valid[np.ix_(under_y, under_x)],
    )


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
    """Whether PAN or a band is at its detector's limit, over the core."""
    row0, row1, col0, col1 = patch.core
    coarse = np.zeros(patch.coarse_valid.shape, np.bool_)
    for plane, index, base in zip(patch.coarse, plan.pair.bands, pedestal, strict=True):
        limit = plan.pair.target.bands[index].saturation
        if limit is not None:
            coarse |= plane >= limit - base
    height, width = plan.pair.target.grid.height, plan.pair.target.grid.width
    under_y = nearest(plan.pair.axis_y, row0, row1, height) - patch.coarse_origin[0]
    under_x = nearest(plan.pair.axis_x, col0, col1, width) - patch.coarse_origin[1]
    saturated = coarse[np.ix_(under_y, under_x)]
    pan = plan.pair.guide.bands[0]
    if pan.saturation is not None:
        top, left = row0 - patch.fine_origin[0], col0 - patch.fine_origin[1]
        inner = patch.fine[0, top : top + row1 - row0, left : left + col1 - col0]
        saturated |= inner >= pan.saturation - pedestal_of(pan)
    return saturated & patch.valid
