"""From windows with a truth to what a network on the coarse grid learns from: its inputs, and what it should add."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from geofuse.geometry import Window, gaussian_reach_px
from geofuse.learn.views import View
from geofuse.methods.base import After, Options, Params, Patch
from geofuse.methods.hold_out import fit_patches, patches_of
from geofuse.methods.observation import Observation
from geofuse.methods.sharpen import ms_network, network_levels
from geofuse.methods.sharpen.back_projection import fuse_patch, margin_px
from geofuse.methods.sharpen.ridge import RIDGE
from geofuse.methods.sums import Collected, Moments, merge
from geofuse.nets.training.data import PairFacts, TrainingPair, make_pair
from geofuse.nets.training.residual import ROUNDS

if TYPE_CHECKING:
    from geofuse.nets.arch.base import BlockSpec


def pairs_of(views: Sequence[View], spec: BlockSpec, *, share: float = 1.0) -> list[TrainingPair]:
    """Make a network's inputs of the windows of one scene: ridge is fitted on all of them together."""
    if not views:
        return []
    model, ratio = views[0].observation, spec.ratio
    options = Options(views[0].names, float(ratio))
    margin = ratio * math.ceil(margin_px(model, ROUNDS, options) / ratio) + ratio
    halo = ms_network.reach_of(spec.halo, ratio, model, options=options)
    reach = halo.fine_px + gaussian_reach_px(min(model.mtf_gain), ratio), halo.coarse_cpx + 1
    patches = [patches_of(view.reduced, reach, margin, 1)[0] for view in views]
    own = [cut_to(patch, core) for patch, core in patches]
    ridge = fit_patches(RIDGE, own, model, options)
    found = moments_of(own, model)
    if ridge is None or not found.count:
        return []
    values = {"ridge": ridge.values, "levels": network_levels.levels_from(found)}
    made = [
        _pair(view, patch, core, values, spec=spec, options=options, share=share)
        for view, (patch, core) in zip(views, patches, strict=True)
    ]
    return [pair for pair in made if pair is not None]


def moments_of(patches: Sequence[Patch], model: Observation) -> Moments:
    """Return the levels' moments over patches."""
    found = functools.reduce(
        merge, [cast(Collected, network_levels.levels_of(patch, model)) for patch in patches]
    )
    assert isinstance(found, Moments)
    return found


def cut_to(patch: Patch, core: Window) -> Patch:
    """Return a patch with a smaller core."""
    top, left = core[0] - patch.core[0], core[2] - patch.core[2]
    valid = patch.valid[top : top + core[1] - core[0], left : left + core[3] - core[2]]
    return replace(patch, core=core, valid=valid)


def _pair(
    view: View,
    patch: Patch,
    core: Window,
    values: Mapping[str, Any],
    *,
    spec: BlockSpec,
    options: Options,
    share: float,
) -> TrainingPair | None:
    """Make the inputs of one window, over the whole blocks in its core; None where there are none."""
    model, ratio, k = view.observation, spec.ratio, spec.halo
    axes = (patch.target.axis_y, patch.target.axis_x)
    first = [network_levels.blocks_from(a, s, ratio) for a, s in zip(axes, model.shift_px, strict=True)]
    edges = [
        edge
        for at, (start, stop) in enumerate((core[:2], core[2:]))
        for edge in (
            first[at] + ratio * -((first[at] - start) // ratio),
            first[at] + ratio * ((stop - first[at]) // ratio),
        )
    ]
    whole: Window = (edges[0], edges[1], edges[2], edges[3])
    if whole[1] <= whole[0] or whole[3] <= whole[2]:
        return None
    inputs = ms_network.ms_inputs(replace(patch, core=whole), values, model, spec, options=options)
    grown = cut_to(patch, _within(whole, core, patch.core))
    base = fuse_patch(
        RIDGE,
        grown,
        Params("ridge", values["ridge"]),
        model,
        options=options,
        core=whole,
        after=After(ROUNDS),
    )
    at = slice(whole[0], whole[1]), slice(whole[2], whole[3])
    judged = (view.reduced.judged & np.isfinite(view.reduced.truth).all(axis=0))[at]
    top, left = whole[0] - patch.guides_origin[0], whole[2] - patch.guides_origin[1]
    height, width = whole[1] - whole[0], whole[3] - whole[2]
    levels = values["levels"]
    pan = (patch.guides[:, top : top + height, left : left + width] - levels["pan_mean"]) / levels["pan_std"]
    blocks = judged.reshape(height // ratio, ratio, width // ratio, ratio).all(axis=(1, 3))
    about = PairFacts(
        view.name,
        view.origin,
        ratio,
        view.names,
        model.mtf_gain,
        model.shifts_px,
        (
            axes[0].scale * whole[0] + axes[0].offset - inputs.coarse[0],
            axes[1].scale * whole[2] + axes[1].offset - inputs.coarse[2],
        ),
        share,
    )
    return make_pair(
        about,
        inputs=(inputs.common[:, k:-k, k:-k], inputs.own[:, :, k:-k, k:-k]),
        truth=view.reduced.truth[:, *at],
        base=base,
        pan=pan,
        usable=blocks,
        levels=(np.asarray(levels["back"]), np.asarray(levels["mean"])),
    )


def _within(whole: Window, core: Window, grown: Window) -> Window:
    """Return the whole blocks grown as far as the patch's own core is beyond its inner one."""
    margin = core[0] - grown[0]
    return whole[0] - margin, whole[1] + margin, whole[2] - margin, whole[3] + margin


def split_rows(pair: TrainingPair, hold_out: float, gap_cpx: int) -> tuple[TrainingPair, TrainingPair]:
    """Split a window: what is learnt from, and the last rows that are not, `gap_cpx` apart."""
    rows = pair.size_cpx[0]
    first = round(rows * (1.0 - hold_out))
    learnt, held = pair.usable.clone(), pair.usable.clone()
    learnt[max(0, first - gap_cpx) :] = False
    held[:first] = False
    return replace(pair, usable=learnt), replace(pair, usable=held)
