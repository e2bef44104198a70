"""From scenes to what a network learns from: windows one scale down, simulated cameras, the scene itself."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import Window, gaussian_reach_px
from geofuse.landscape.camera import BANDS, Camera, camera_axes, make_truth, observe
from geofuse.methods.base import After, Options, Params, Patch
from geofuse.methods.hold_out import Reduced, fit_patches, patches_of, reduce_window, reduced_observation
from geofuse.methods.observation import Observation
from geofuse.methods.sharpen import fine_network, ms_network, network_levels
from geofuse.methods.sharpen.back_projection import fuse_patch, margin_px
from geofuse.methods.sharpen.ridge import RIDGE
from geofuse.methods.sums import Collected, Moments, merge
from geofuse.nets.data import About, Pair, make_pair
from geofuse.nets.residual import ROUNDS
from geofuse.run.patch_reading import job_of
from geofuse.run.plan import Plan
from geofuse.run.sampling import read_sample

if TYPE_CHECKING:
    from geofuse.nets.arch.base import BlockSpec
    from geofuse.nets.pan_gan import Full

WINDOW_CPX = 640
"""Side of a window of a real scene, in MS pixels."""
MOST_WINDOWS = 8
"""Windows of a real scene at most."""
GAIN_JITTER, SHIFT_JITTER_PX = 0.05, 0.03
"""How far off a simulated scene's model is, as a calibration would be: relative, and in pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A window with a truth, before a network's inputs are made of it."""

    name: str
    """Which scene, which window."""
    origin: str
    """"simulated", "reduced" or "camera"."""
    names: tuple[str, ...]
    """Bands."""
    reduced: Reduced
    """PAN, MS, truth."""
    observation: Observation
    """How the MS came from the truth."""


def pairs_of(views: Sequence[View], spec: BlockSpec, *, share: float = 1.0) -> list[Pair]:
    """Make a network's inputs of the windows of one scene: ridge is fitted on all of them together."""
    if not views:
        return []
    model, ratio = views[0].observation, spec.ratio
    options = Options(
        views[0].names,
        float(ratio),
        network={"ratio": ratio, "halo": spec.halo, "sha256": ""},
    )
    margin = ratio * math.ceil(margin_px(model, ROUNDS, options) / ratio) + ratio
    halo = ms_network.PAN_GAN_MS.halo(model, options=options)
    reach = halo.fine_px + gaussian_reach_px(min(model.mtf_gain), ratio), halo.coarse_cpx + 1
    patches = [patches_of(view.reduced, reach, margin, 1)[0] for view in views]
    own = [_cut(patch, core) for patch, core in patches]
    ridge = fit_patches(RIDGE, own, model, options)
    found = _levels(own, model)
    if ridge is None or not found.count:
        return []
    values = {"ridge": ridge.values, "levels": network_levels.levels_from(found)}
    made = [
        _pair(view, patch, core, values, spec=spec, options=options, share=share)
        for view, (patch, core) in zip(views, patches, strict=True)
    ]
    return [pair for pair in made if pair is not None]


def _levels(patches: Sequence[Patch], model: Observation) -> Moments:
    """Return the levels' moments over patches."""
    found = functools.reduce(
        merge, [cast(Collected, network_levels.levels_of(patch, model)) for patch in patches]
    )
    assert isinstance(found, Moments)
    return found


def _cut(patch: Patch, core: Window) -> Patch:
    top, left = core[0] - patch.core[0], core[2] - patch.core[2]
    valid = patch.valid[top : top + core[1] - core[0], left : left + core[3] - core[2]]
    return replace(patch, core=core, valid=valid)


def _pair(
    view: View,
    patch: Patch,
    core: Window,
    values: dict[str, Any],
    *,
    spec: BlockSpec,
    options: Options,
    share: float,
) -> Pair | None:
    """Make the inputs of one window, over the whole blocks in its core; None where there are none."""
    model, ratio, k = view.observation, spec.ratio, spec.halo
    axes = (patch.axis_y, patch.axis_x)
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
    grown = _cut(patch, _within(whole, core, patch.core))
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
    top, left = whole[0] - patch.fine_origin[0], whole[2] - patch.fine_origin[1]
    height, width = whole[1] - whole[0], whole[3] - whole[2]
    levels = values["levels"]
    pan = (patch.fine[:, top : top + height, left : left + width] - levels["pan_mean"]) / levels["pan_std"]
    blocks = judged.reshape(height // ratio, ratio, width // ratio, ratio).all(axis=(1, 3))
    about = About(
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


def scene_windows(plan: Plan) -> list[Window]:
    """Return the windows of a real scene that are learnt from, in output pixels: all of it, or some spread over it."""
    side = [max(1, round(WINDOW_CPX / axis.scale)) for axis in (plan.axis_y, plan.axis_x)]
    rows, cols = (
        max(1, round(size / one)) for size, one in zip((plan.grid.height, plan.grid.width), side, strict=True)
    )
    edges = [
        np.linspace(0, size, count + 1).astype(int).tolist()
        for size, count in ((plan.grid.height, rows), (plan.grid.width, cols))
    ]
    cells = [
        (edges[0][r], edges[0][r + 1], edges[1][c], edges[1][c + 1]) for r in range(rows) for c in range(cols)
    ]
    if len(cells) <= MOST_WINDOWS:
        return cells
    return [cells[at] for at in np.linspace(0, len(cells) - 1, MOST_WINDOWS).round().astype(int)]


def reduced_views(plan: Plan, name: str) -> list[View]:
    """Read a scene's windows and degrade each once more by the plan's model: the MS is the truth."""
    job = job_of(plan)
    reach = (plan.reach[0] + plan.margin_px + 32, plan.reach[1] + 16)
    out = []
    for number, core in enumerate(scene_windows(plan)):
        patch, usable = read_sample(plan, core, reach)
        reduced = reduce_window(patch, usable, job.observation)
        if reduced is None:
            continue
        model = reduced_observation(job.observation, reduced.axes)
        out.append(View(f"{name}/{number}", "reduced", job.options.names, reduced, model))
    return out


def camera_views(views: Sequence[View], ratio: int, cameras: int, *, seed: int) -> Iterator[View]:
    """Put simulated cameras before a scene's MS: its pixels are the truth, PAN is a mix of them."""
    for number in range(cameras):
        view = views[number % len(views)]
        rng = np.random.default_rng((seed, number))
        keep = sorted(
            rng.choice(len(view.names), rng.integers(min(3, len(view.names)), len(view.names) + 1), False)
        )
        truth = view.reduced.truth[keep].astype(np.float32)
        sigma = float(truth.std(axis=(1, 2)).mean() / 60.0 * rng.uniform(0.0, 1.0))
        yield _seen(
            truth,
            view.reduced.judged,
            ratio,
            name=f"{view.name}/camera {number}",
            origin="camera",
            names=tuple(view.names[at] for at in keep),
            sigma=sigma,
            rng=rng,
        )


def simulated_view(number: int, ratio: int, size_cpx: int, *, seed: int, own_spectra: bool) -> View:
    """Draw a landscape at a scale, in a direction and with bands of its own, and see it through a camera of its own.

    ``own_spectra``: half of the scenes get bands that are mixtures, so that materials are not learnt by heart.
    """
    rng = np.random.default_rng((seed, number))
    size, zoom = size_cpx * ratio, int(rng.choice([1, 1, 2, 3]))
    truth = make_truth(size * zoom, rng=rng, bands=len(BANDS))
    truth = truth.reshape(len(BANDS), size, zoom, size, zoom).mean(axis=(2, 4))
    keep = (
        list(range(4)) if rng.random() < 2 / 3 else rng.permutation(len(BANDS))[: rng.integers(4, 9)].tolist()
    )
    truth = np.rot90(truth[keep], int(rng.integers(4)), (1, 2))
    truth = truth[:, ::-1] if rng.random() < 0.5 else truth
    if own_spectra and rng.random() < 0.5:
        mixed = np.eye(len(keep)) + rng.uniform(-0.25, 0.25, (len(keep),) * 2) * (1.0 - np.eye(len(keep)))
        mean = truth.mean(axis=(1, 2), keepdims=True)
        lively = np.tensordot(mixed, truth - mean, 1) * rng.uniform(0.5, 2.0, (len(keep), 1, 1))
        truth = np.maximum(lively + mean * rng.uniform(0.8, 1.6, (len(keep), 1, 1)), 1.0)
    return _seen(
        np.ascontiguousarray(truth, dtype=np.float32),
        None,
        ratio,
        name=f"drawn {seed}.{number}",
        origin="simulated",
        names=tuple(BANDS[at] for at in keep),
        sigma=float(rng.choice([0.0, 1.5, 3.0, 6.0])),
        rng=rng,
    )


def _seen(
    truth: NDArray[np.float32],
    judged: NDArray[np.bool_] | None,
    ratio: int,
    *,
    name: str,
    origin: str,
    names: tuple[str, ...],
    sigma: float,
    rng: np.random.Generator,
) -> View:
    """See a truth through a camera of its own; the model that is told is off by what a calibration is off by."""
    bands = len(truth)
    weights = rng.uniform(0.02, 1.0, bands)
    if "nir" in names:
        weights[names.index("nir")] *= rng.choice([0.1, 1.0])
    extra = float(rng.choice([0.0, 0.0, 0.1, 0.2])) if bands > 1 else 0.0
    gains = np.clip(rng.uniform(0.22, 0.42) + rng.normal(0.0, 0.02, bands), 0.15, 0.5)
    shift = rng.uniform(-1.5, 1.5, 2)
    camera = Camera(
        tuple(gains.tolist()),
        tuple((weights / weights.sum() * (1.0 - extra)).tolist()),
        extra,
        float(ratio),
        (float(shift[0]), float(shift[1])),
        (),
        sigma,
    )
    pan, ms = observe(truth, camera, rng=rng)
    rows, cols = ms.shape[1] * ratio, ms.shape[2] * ratio
    ok = np.ones((rows, cols), np.bool_) if judged is None else judged[:rows, :cols].copy()
    told = shift + rng.normal(0.0, SHIFT_JITTER_PX, 2)
    model = Observation(
        tuple(np.clip(gains * (1.0 + rng.normal(0.0, GAIN_JITTER, bands)), 0.12, 0.6).tolist()),
        (float(told[0]), float(told[1])),
        (),
        "simulated",
    )
    reduced = Reduced(
        pan[:, :rows, :cols],
        np.ones((rows, cols), np.bool_),
        truth[:, :rows, :cols],
        ok,
        ms,
        np.ones(ms.shape[1:], np.bool_),
        camera_axes(camera),
    )
    return View(name, origin, names, reduced, model)


def split_rows(pair: Pair, hold_out: float, gap_cpx: int) -> tuple[Pair, Pair]:
    """Split a window: what is learnt from, and the last rows that are not, `gap_cpx` apart."""
    rows = pair.size_cpx[0]
    first = round(rows * (1.0 - hold_out))
    learnt, held = pair.usable.clone(), pair.usable.clone()
    learnt[max(0, first - gap_cpx) :] = False
    held[:first] = False
    return replace(pair, usable=learnt), replace(pair, usable=held)


def full_views(plan: Plan) -> list[Full]:
    """Read a scene's windows at its own resolution, scaled for Pan-GAN."""
    job = job_of(plan)
    patches = [
        read_sample(plan, core, (plan.reach[0] + 64, plan.reach[1] + 24)) for core in scene_windows(plan)
    ]
    levels = network_levels.levels_from(_levels([patch for patch, _ in patches], job.observation))
    return [
        _full(
            patch,
            patch.core,
            levels,
            job.observation,
            name=f"{plan.scene.scene_id}/{number}",
            usable=usable,
            options=job.options,
        )
        for number, (patch, usable) in enumerate(patches)
    ]


def full_of_view(view: View, ratio: int) -> Full:
    """Scale a window one scale down for Pan-GAN, with its truth: what a product is judged by."""
    options = Options(view.names, float(ratio), network={"ratio": ratio, "halo": 8, "sha256": ""})
    halo = fine_network.PAN_GAN.halo(view.observation, options=options)
    ((patch, core),) = patches_of(view.reduced, (halo.fine_px + 16 * ratio, halo.coarse_cpx + 16), ratio, 1)
    own = _cut(patch, core)
    levels = network_levels.levels_from(network_levels.levels_of(own, view.observation))
    return _full(
        patch,
        core,
        levels,
        view.observation,
        name=view.name,
        usable=view.reduced.judged,
        options=options,
        truth=view.reduced.truth,
    )


def _full(
    patch: Patch,
    core: Window,
    levels: network_levels.Levels,
    model: Observation,
    *,
    name: str,
    usable: NDArray[np.bool_],
    options: Options,
    truth: NDArray[Any] | None = None,
) -> Full:
    """Scale whole blocks of a patch's core: stack with its halo, MS under it, what of it is usable."""
    from geofuse.nets.pan_gan import make_full

    ratio = round(options.ratio)
    axes = (patch.axis_y, patch.axis_x)
    first = [network_levels.blocks_from(a, s, ratio) for a, s in zip(axes, model.shift_px, strict=True)]
    r0, c0 = (-((first[at] - core[2 * at]) // ratio) for at in (0, 1))
    r1, c1 = ((core[2 * at + 1] - first[at]) // ratio for at in (0, 1))
    whole: Window = (
        first[0] + ratio * r0,
        first[0] + ratio * r1,
        first[1] + ratio * c0,
        first[1] + ratio * c1,
    )
    stack = fine_network.pan_gan_inputs(
        replace(patch, core=whole), {"levels": levels}, model, options=options
    )
    centre, half = network_levels.range_of(levels)
    top, left = r0 - patch.coarse_origin[0], c0 - patch.coarse_origin[1]
    part = slice(top, top + r1 - r0), slice(left, left + c1 - c0)
    ms = (patch.coarse[:, *part] - centre[:-1, None, None]) / half[:-1, None, None]
    known, ok = None, usable
    if truth is None:
        ok = usable[part]
    else:
        rows, cols = slice(whole[0], whole[1]), slice(whole[2], whole[3])
        ok = np.asarray(usable[rows, cols].reshape(r1 - r0, ratio, c1 - c0, ratio).all(axis=(1, 3)), np.bool_)
        known = (truth[:, rows, cols] - centre[:-1, None, None]) / half[:-1, None, None]
    return make_full(
        name,
        ratio,
        stack=stack,
        ms=ms,
        usable=ok,
        model=(model.mtf_gain, model.shifts_px),
        offsets=(
            axes[0].scale * whole[0] + axes[0].offset - r0,
            axes[1].scale * whole[2] + axes[1].offset - c0,
        ),
        bands=options.names,
        truth=known,
    )
