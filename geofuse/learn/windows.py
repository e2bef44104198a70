"""Windows of a scene as they are, scaled for a network on the fine grid: what is learnt from without a reference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import Window
from geofuse.learn.pairs import cut_to, moments_of
from geofuse.learn.views import View, scene_windows
from geofuse.methods.base import Options, Patch
from geofuse.methods.hold_out import patches_of
from geofuse.methods.observation import Observation
from geofuse.methods.sharpen import fine_network, network_levels
from geofuse.nets.training.pan_gan import Full, make_full
from geofuse.run.patch_reading import job_of
from geofuse.run.plans.plan import Plan
from geofuse.run.sampling import read_sample


def full_views(plan: Plan, halo_px: int) -> list[Full]:
    """Read a scene's windows at its own resolution, scaled for a network on the fine grid."""
    job = job_of(plan)
    patches = [
        read_sample(plan, core, (plan.reach[0] + 64, plan.reach[1] + 24)) for core in scene_windows(plan)
    ]
    levels = network_levels.levels_from(moments_of([patch for patch, _ in patches], job.observation))
    return [
        _full(
            patch,
            levels,
            job.observation,
            name=f"{plan.scene.scene_id}/{number}",
            usable=usable,
            options=job.options,
            halo_px=halo_px,
        )
        for number, (patch, usable) in enumerate(patches)
    ]


def full_of_view(view: View, ratio: int, halo_px: int) -> Full:
    """Scale a window one scale down for a network on the fine grid, with its truth: what a product is judged by."""
    options = Options(view.names, float(ratio))
    halo = fine_network.reach_of(halo_px, view.observation, options=options)
    ((patch, core),) = patches_of(view.reduced, (halo.fine_px + 16 * ratio, halo.coarse_cpx + 16), ratio, 1)
    own = cut_to(patch, core)
    levels = network_levels.levels_from(network_levels.levels_of(own, view.observation))
    return _full(
        own,
        levels,
        view.observation,
        name=view.name,
        usable=view.reduced.judged,
        options=options,
        halo_px=halo_px,
        truth=view.reduced.truth,
    )


def _full(
    patch: Patch,
    levels: network_levels.Levels,
    model: Observation,
    *,
    name: str,
    usable: NDArray[np.bool_],
    options: Options,
    halo_px: int,
    truth: NDArray[Any] | None = None,
) -> Full:
    """Scale whole blocks of a patch's core: stack with its halo, MS under it, what of it is usable."""
    ratio, core = round(options.ratio), patch.core
    axes = (patch.target.axis_y, patch.target.axis_x)
    first = [network_levels.blocks_from(a, s, ratio) for a, s in zip(axes, model.shift_px, strict=True)]
    r0, c0 = (-((first[at] - core[2 * at]) // ratio) for at in (0, 1))
    r1, c1 = ((core[2 * at + 1] - first[at]) // ratio for at in (0, 1))
    whole: Window = (
        first[0] + ratio * r0,
        first[0] + ratio * r1,
        first[1] + ratio * c0,
        first[1] + ratio * c1,
    )
    stack = fine_network.fine_inputs(
        replace(patch, core=whole), {"levels": levels}, model, halo_px, options=options
    )
    centre, half = network_levels.range_of(levels)
    top, left = r0 - patch.target.origin[0], c0 - patch.target.origin[1]
    part = slice(top, top + r1 - r0), slice(left, left + c1 - c0)
    ms = (patch.target.values[:, *part] - centre[:-1, None, None]) / half[:-1, None, None]
    known, ok = None, usable
    if truth is None:
        ok = usable[part]
    else:
        rows, cols = slice(whole[0], whole[1]), slice(whole[2], whole[3])
        ok = np.asarray(usable[rows, cols].reshape(r1 - r0, ratio, c1 - c0, ratio).all(axis=(1, 3)), np.bool_)
        known = (truth[:, rows, cols] - centre[:-1, None, None]) / half[:-1, None, None]
    offsets = [
        axis.scale * at + axis.offset - to for axis, at, to in zip(axes, whole[::2], (r0, c0), strict=True)
    ]
    return make_full(
        name,
        ratio,
        stack=stack,
        ms=ms,
        usable=ok,
        model=(model.mtf_gain, model.shifts_px, (offsets[0], offsets[1])),
        bands=options.names,
        truth=known,
    )
