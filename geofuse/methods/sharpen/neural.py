"""Networks behind the same protocol: `pan-gan` on the fine grid, `pan-gan-ms` on the MS grid as a residual on ridge.

Everything a network is fed is made here, by the same operators as every other method, from scene-wide levels: no
statistic of a tile. torch is loaded when a tile is fused, not before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.errors import MethodError
from geofuse.geometry import AxisMap, Window, gaussian_reach_px
from geofuse.kernels.resample import fill
from geofuse.kernels.stencil import detail_of
from geofuse.methods.base import About, Options, Params, Patch, Reach
from geofuse.methods.observation import (
    CUBIC_REACH_CPX,
    Lifted,
    Observation,
    axes_at,
    bands_by,
    coarse_window,
    degrade,
)
from geofuse.methods.sharpen.closed_form import (
    FILL_CPX,
    LEAST_LOW_SHARE,
    coarse_core,
    coarse_part,
    owned_window,
    stray_cpx,
)
from geofuse.methods.sharpen.multires import EXP
from geofuse.methods.sharpen.one_scale_down import HALF, back_projected, back_reach_cpx
from geofuse.methods.sharpen.ridge import RIDGE
from geofuse.methods.sums import Moments, MomentSums

HEADROOM = 1.1
"""Half ranges of Pan-GAN's scaling, in those the MS has: room for what is brighter than any MS pixel."""
PAN_GAN_HALO_PX = 8


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """What a network on the MS grid is fed for a window of blocks of R x R fine pixels, one under each coarse pixel."""

    common: NDArray[Any]
    """(Cc, h + 2k, w + 2k): planes all bands share."""
    own: NDArray[Any]
    """(B, Cb, h + 2k, w + 2k): planes of each band."""
    base: NDArray[Any]
    """(B, R h, R w): ridge."""
    scale: NDArray[Any]
    """(B,): what the network's output is multiplied by before it is added to ``base``."""
    fine: Window
    """Where ``base`` lies, in output coordinates."""
    coarse: Window
    """The same blocks without the halo, in coarse pixels."""


@dataclass(frozen=True, slots=True)
class MsNetwork:
    """F = ridge + s_b net(...), on the MS grid."""

    about: About
    """Name and source."""
    sampled: bool = True
    """Ridge is, and levels may be."""

    def passes(self, options: Options) -> Sequence[str]:
        """Ridge's, and the levels that scale a network's inputs."""
        return (*RIDGE.passes(options), "levels")

    def halo(self, observation: Observation, *, options: Options) -> Reach:
        """Ridge's reach, around the network's halo of whole blocks."""
        network = network_of(options, self.about.name)
        ratio = int(network["ratio"])
        own = RIDGE.halo(observation, options=options)
        blocks = int(network["halo"]) + 1  # a core begins inside a block
        smooth = CUBIC_REACH_CPX + FILL_CPX + 0.5
        shift = max(max(abs(dy), abs(dx)) for dy, dx in (*observation.shifts_px, observation.shift_px))
        low = math.ceil(smooth * ratio + shift) + gaussian_reach_px(observation.joint_gain, ratio) + 1
        back = max(back_reach_cpx(gain, ratio) for gain in observation.mtf_gain)
        stray = stray_cpx(observation, 1.0 / ratio)
        return Reach(
            blocks * ratio + max(own.fine_px, low),
            blocks + max(own.coarse_cpx, back + 1, CUBIC_REACH_CPX + FILL_CPX + 2 * stray),
        )

    def collect(
        self, name: str, patch: Patch, observation: Observation, *, options: Options, state: Mapping[str, Any]
    ) -> Any:
        """Collect one of ridge's passes, or levels, over the core."""
        if name == "levels":
            return levels_of(patch, observation)
        return RIDGE.collect(name, patch, observation, options=options, state=state)

    def fit(self, collected: Mapping[str, Any], observation: Observation, *, options: Options) -> Params:
        """Fit ridge; read the levels."""
        network = network_of(options, self.about.name)
        ridge = RIDGE.fit(collected, observation, options=options)
        values = {
            "ridge": ridge.values,
            "levels": levels_from(collected["levels"]),
            "network": network["sha256"],
        }
        return Params(self.about.name, values)

    def apply(
        self, patch: Patch, params: Params, observation: Observation, *, options: Options
    ) -> NDArray[Any]:
        """Fuse the core."""
        from geofuse.nets.inference import engine, on_host

        network = network_of(options, self.about.name)
        running = engine(network)
        found = ms_inputs(patch, params.values, observation, running.spec, options=options)
        row0, row1, col0, col1 = patch.core
        inner = (
            slice(row0 - found.fine[0], row1 - found.fine[0]),
            slice(col0 - found.fine[2], col1 - found.fine[2]),
        )
        out = np.ascontiguousarray(found.base[:, *inner])
        shares = np.asarray(network.get("shares") or [1.0] * len(out), out.dtype)
        first = found.fine[0], found.fine[2]
        residual = on_host(running, (found.common, found.own), first=first, core=patch.core)
        out += (shares * found.scale)[:, None, None] * residual
        return out

    def fuse_whole(
        self,
        patch: Patch,
        params: Params,
        observation: Observation,
        *,
        options: Options,
        core: Window,
        after: Any,
    ) -> NDArray[Any] | None:
        """Fuse and back-project a core on a GPU; None where the tile is fused here."""
        return _on_gpu(self, patch, params, observation, options=options, core=core, after=after)

    def eased(self) -> dict[str, int]:
        """Return what a GPU's memory, or its values, cost since this was asked last."""
        from geofuse.methods.sharpen.on_device import eased

        return eased()


@dataclass(frozen=True, slots=True)
class FineNetwork:
    """Pan-GAN's generator: F = net(U(M), P) on the fine grid."""

    about: About
    """Name and source."""
    sampled: bool = False
    """Its range is that of the whole scene's MS."""

    def passes(self, options: Options) -> Sequence[str]:
        """Only levels."""
        return ("levels",)

    def halo(self, observation: Observation, *, options: Options) -> Reach:
        """Upsampling's reach and the levels', around the network's halo."""
        ratio = options.largest_ratio or options.ratio
        exp = EXP.halo(observation, options=options)
        more = math.ceil(PAN_GAN_HALO_PX * (2.0 / options.ratio - 1.0 / ratio)) + 1
        back = max(back_reach_cpx(gain, ratio) for gain in (*observation.mtf_gain, observation.joint_gain))
        shift = max(max(abs(dy), abs(dx)) for dy, dx in (*observation.shifts_px, observation.shift_px))
        stray = math.ceil(shift + (observation.field.largest_px + 1 if observation.field else 0.0))
        seen = math.ceil((back + 0.5) * ratio) + gaussian_reach_px(observation.joint_gain, ratio) + stray
        return Reach(max(PAN_GAN_HALO_PX, seen), max(exp.coarse_cpx + more, back + 1))

    def collect(
        self, name: str, patch: Patch, observation: Observation, *, options: Options, state: Mapping[str, Any]
    ) -> Moments:
        """Collect levels over the core."""
        return levels_of(patch, observation)

    def fit(self, collected: Mapping[str, Any], observation: Observation, *, options: Options) -> Params:
        """Read the levels."""
        network = network_of(options, self.about.name)
        values = {"levels": levels_from(collected["levels"]), "network": network["sha256"]}
        return Params(self.about.name, values)

    def apply(
        self, patch: Patch, params: Params, observation: Observation, *, options: Options
    ) -> NDArray[Any]:
        """Fuse the core."""
        from geofuse.nets.inference import engine, on_host

        running = engine(network_of(options, self.about.name))
        planes = pan_gan_inputs(patch, params.values, observation, options=options)
        made = on_host(running, (planes,), first=(patch.core[0], patch.core[2]), core=patch.core)
        centre, half = range_of(params.values["levels"])
        kind = patch.coarse.dtype
        return np.asarray(centre[:-1, None, None] + half[:-1, None, None] * made, kind)

    def fuse_whole(
        self,
        patch: Patch,
        params: Params,
        observation: Observation,
        *,
        options: Options,
        core: Window,
        after: Any,
    ) -> NDArray[Any] | None:
        """Fuse and back-project a core on a GPU; None where the tile is fused here."""
        return _on_gpu(self, patch, params, observation, options=options, core=core, after=after)

    def eased(self) -> dict[str, int]:
        """Return what a GPU's memory, or its values, cost since this was asked last."""
        from geofuse.methods.sharpen.on_device import eased

        return eased()


def _on_gpu(
    method: Any,
    patch: Patch,
    params: Params,
    observation: Observation,
    *,
    options: Options,
    core: Window,
    after: Any,
) -> NDArray[Any] | None:
    if network_of(options, method.about.name)["device"] == "cpu":
        return None
    from geofuse.methods.sharpen.on_device import fuse_whole

    return fuse_whole(method, patch, params, observation, options=options, core=core, after=after)


def network_of(options: Options, name: str) -> Mapping[str, Any]:
    """Return what was planned for a network; MethodError where nothing was."""
    if options.network is None:
        raise MethodError(f"{name} without a network", wanted="weights", do="name them with --network")
    return options.network


def levels_of(patch: Patch, observation: Observation) -> Moments:
    """Collect moments of (M, p = D(P), M - D(U(M)), p - D(U(p))) over the core's coarse pixels."""
    window = owned_window(patch)
    planes, pan, known = coarse_core(patch, observation)
    missed, seen = _missed_bands(patch, observation, window)
    known = known & seen
    gain, axes = (
        observation.joint_gain,
        axes_at((patch.axis_y, patch.axis_x), observation.shift_px, observation.field),
    )
    reach = [back_reach_cpx(gain, 1.0 / axis.scale) for axis in (patch.axis_y, patch.axis_x)]
    wide = window[0] - reach[0], window[1] + reach[0], window[2] - reach[1], window[3] + reach[1]
    low, low_known = degrade(
        patch.fine, patch.fine_valid, patch.fine_origin, axes, wide, gain=gain, minimum=HALF
    )
    pan_missed, seen = back_projected(low, low_known, (wide[0], wide[2]), axes[:2], window, gain=gain)
    sums = MomentSums(2 * len(planes) + 2, extremes=True)
    sums.add(np.concatenate([planes, pan, missed, pan_missed]), known & seen)
    return sums.done()


def levels_from(found: Moments) -> dict[str, Any]:
    """Return levels as JSON: means, spreads, ranges, and the rms of what one back-projection would add."""
    bands = (len(found.mean) - 2) // 2
    std = np.sqrt(np.diag(found.scatter) / max(found.count, 1))
    back = np.sqrt(np.maximum(np.diag(found.raw), 0.0) / max(found.count, 1))[bands + 1 :]
    return {
        "mean": found.mean[:bands].tolist(),
        "std": _positive(std[:bands]),
        "back": _positive(back[:bands]),
        "low": found.low[:bands].tolist(),
        "high": found.high[:bands].tolist(),
        "pan_mean": float(found.mean[bands]),
        "pan_std": _positive(std[bands : bands + 1])[0],
        "pan_back": _positive(back[bands:])[0],
        "pan_low": float(found.low[bands]),
        "pan_high": float(found.high[bands]),
    }


def _positive(values: NDArray[np.float64]) -> list[float]:
    """Return spreads to divide by: 1 for what does not vary."""
    return [value if value > 1e-9 else 1.0 for value in values.tolist()]


def blocks_from(axis: AxisMap, shift_px: float, ratio: int) -> int:
    """Return the first fine pixel of the block of ``ratio`` whose middle is nearest to coarse pixel 0's centre.

    Of two as near, the one further up or left.
    """
    centre = -axis.offset / axis.scale - shift_px
    return math.ceil(centre - 0.5 * (ratio - 1) - 0.5 - 1e-6)


def ms_inputs(
    patch: Patch, values: Mapping[str, Any], observation: Observation, spec: Any, *, options: Options
) -> Inputs:
    """Make what a network on the MS grid is fed for the blocks that the core touches, and ridge under them.

    ``values`` are the fitted Params', ``spec`` is the network's `MsSpec`.
    """
    ratio, k = spec.ratio, spec.trunk + spec.blocks
    axes, shift, levels = (patch.axis_y, patch.axis_x), observation.shift_px, values["levels"]
    first = [blocks_from(axis, own, ratio) for axis, own in zip(axes, shift, strict=True)]
    r0, r1, c0, c1 = (
        edge
        for at, (start, stop) in enumerate((patch.core[:2], patch.core[2:]))
        for edge in ((start - first[at]) // ratio, -((first[at] - stop) // ratio))
    )
    coarse = r0 - k, r1 + k, c0 - k, c1 + k
    fine = tuple(first[at // 2] + ratio * edge for at, edge in enumerate(coarse))
    wide = replace(patch, core=(fine[0], fine[1], fine[2], fine[3]))
    inner = replace(
        patch,
        core=(fine[0] + ratio * k, fine[1] - ratio * k, fine[2] + ratio * k, fine[3] - ratio * k),
    )
    ridge = Params("ridge", values["ridge"])
    with_ridge = "ridge" in spec.own
    base = RIDGE.apply(wide if with_ridge else inner, ridge, observation, options=options)
    scale = np.asarray(levels["back"], base.dtype)
    own = _own_planes(wide, coarse, levels, observation, spec=spec, ridge=base, options=options)
    common = _common_planes(wide, coarse, levels, observation, spec=spec, first=(first[0], first[1]))
    if with_ridge:
        base = base[:, ratio * k : base.shape[1] - ratio * k, ratio * k : base.shape[2] - ratio * k]
    return Inputs(common, own, base, scale, inner.core, (r0, r1, c0, c1))


def _own_planes(
    patch: Patch,
    window: Window,
    levels: Mapping[str, Any],
    observation: Observation,
    *,
    spec: Any,
    ridge: NDArray[Any],
    options: Options,
) -> NDArray[Any]:
    """Return each band's planes (B, Cb, h, w)."""
    kind = patch.coarse.dtype
    mean, std, back = (np.asarray(levels[key], kind)[:, None, None] for key in ("mean", "std", "back"))
    bands, height, width = len(mean), window[1] - window[0], window[3] - window[2]
    out = np.empty((bands, spec.own_channels, height, width), kind)
    at = 0
    for name in spec.own:
        if name == "ms":
            filled, known = _filled_bands(patch, window)
            out[:, at] = np.where(known, (filled - mean) / std, kind.type(0))
            at += 1
        elif name == "back":
            missed, known = _missed_bands(patch, observation, window)
            out[:, at] = np.where(known, missed / back, kind.type(0))
            at += 1
        else:
            plain = EXP.apply(patch, Params("exp"), observation, options=options)
            _unshuffle((ridge - plain) / back, spec.ratio, out[:, at : at + spec.phases])
            at += spec.phases
    return out


def _common_planes(
    patch: Patch,
    window: Window,
    levels: Mapping[str, Any],
    observation: Observation,
    *,
    spec: Any,
    first: tuple[int, int],
) -> NDArray[Any]:
    """Return the planes all bands share (Cc, h, w)."""
    kind = patch.fine.dtype
    out = np.empty((spec.common_channels, window[1] - window[0], window[3] - window[2]), kind)
    low, detail = low_and_detail(patch, observation)
    at = 0
    for name in spec.common:
        if name == "pan":
            scaled = (low + detail - kind.type(levels["pan_mean"])) / kind.type(levels["pan_std"])
            _unshuffle(scaled[None], spec.ratio, out[None, at : at + spec.phases])
            at += spec.phases
        elif name == "detail":
            _unshuffle(
                (detail / kind.type(levels["pan_back"]))[None], spec.ratio, out[None, at : at + spec.phases]
            )
            at += spec.phases
        else:
            pairs = zip((patch.axis_y, patch.axis_x), observation.shift_px, first, strict=True)
            for axis, shift, start in pairs:
                centre = -axis.offset / axis.scale - shift
                out[at] = centre - (start + 0.5 * (spec.ratio - 1))
                at += 1
    return out


def low_and_detail(patch: Patch, observation: Observation) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return low-passed PAN and PAN's detail, 0 where PAN is invalid, over the core: (H, W) each."""
    axes = axes_at((patch.axis_y, patch.axis_x), observation.shift_px, observation.field)
    row0, row1, col0, col1 = patch.core
    window = coarse_window(axes, patch.core, FILL_CPX)
    low, known = degrade(
        patch.fine,
        patch.fine_valid,
        patch.fine_origin,
        axes,
        window,
        gain=observation.joint_gain,
        minimum=LEAST_LOW_SHARE,
    )
    smooth = Lifted(fill(low, known, FILL_CPX), (window[0], window[2]), axes, (col0, col1)).rows(row0, row1)[
        0
    ]
    top, left = row0 - patch.fine_origin[0], col0 - patch.fine_origin[1]
    part = slice(top, top + row1 - row0), slice(left, left + col1 - col0)
    detail = np.empty_like(smooth)
    detail_of(patch.fine[0, *part], patch.fine_valid[part], smooth, detail)
    return smooth, detail


def pan_gan_inputs(
    patch: Patch, values: Mapping[str, Any], observation: Observation, *, options: Options
) -> NDArray[Any]:
    """Return U(M) and P, scaled to about -1 .. 1 by the scene's range, around the core: (B + 1, H + 16, W + 16)."""
    row0, row1, col0, col1 = _grown(patch.core, PAN_GAN_HALO_PX)
    wide = replace(patch, core=(row0, row1, col0, col1))
    up = EXP.apply(wide, Params("exp"), observation, options=options)
    top, left = row0 - patch.fine_origin[0], col0 - patch.fine_origin[1]
    part = slice(top, top + row1 - row0), slice(left, left + col1 - col0)
    centre, half = range_of(values["levels"])
    pan = np.where(patch.fine_valid[part], patch.fine[0, *part], centre[-1])
    planes = np.concatenate([up, pan[None].astype(up.dtype)])
    return np.asarray((planes - centre[:, None, None]) / half[:, None, None], np.float32)


def range_of(levels: Mapping[str, Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the middle and the half range of the bands and PAN (B + 1,)."""
    low = np.array([*levels["low"], levels["pan_low"]])
    high = np.array([*levels["high"], levels["pan_high"]])
    return 0.5 * (low + high), np.maximum(0.5 * HEADROOM * (high - low), 1e-6)


def _filled_bands(patch: Patch, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return M (B, h, w) with the rims of its holes filled, and where it is known then."""
    wide = coarse_part(patch, _grown(window, FILL_CPX))
    planes, valid = patch.coarse[:, *wide], patch.coarse_valid[wide]
    stack = np.concatenate([planes, valid[None].astype(planes.dtype)])
    filled = fill(stack, valid, FILL_CPX)[:, FILL_CPX:-FILL_CPX, FILL_CPX:-FILL_CPX]
    return filled[:-1], filled[-1] > 0


def _missed_bands(
    patch: Patch, observation: Observation, window: Window
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return M - D(U(M)) (B, h, w), and where it is known."""
    out = np.empty((len(patch.coarse), window[1] - window[0], window[3] - window[2]), patch.coarse.dtype)
    both = np.ones(out.shape[1:], np.bool_)
    keys = list(zip(observation.mtf_gain, observation.shifts_px, strict=True))
    for (gain, shift), members in bands_by(keys):
        axes = axes_at((patch.axis_y, patch.axis_x), shift)[:2]
        out[members], known = back_projected(
            patch.coarse[members], patch.coarse_valid, patch.coarse_origin, axes, window, gain=gain
        )
        both &= known
    return out, both


def _grown(window: Sequence[int], margin: int) -> Window:
    return window[0] - margin, window[1] + margin, window[2] - margin, window[3] + margin


def _unshuffle(planes: NDArray[Any], ratio: int, out: NDArray[Any]) -> None:
    """Lay fine planes (N, R h, R w) out as R^2 coarse ones each: (N, R^2, h, w), as torch's pixel_unshuffle does."""
    for row in range(ratio):
        for col in range(ratio):
            out[:, row * ratio + col] = planes[:, row::ratio, col::ratio]


PAN_GAN = FineNetwork(
    About(
        "pan-gan",
        "network",
        "Ma, Yu, Chen, Liang, Guo and Jiang 2020, Information Fusion 62",
        "Pan-GAN's generator on the fine grid, trained without a reference",
    )
)
PAN_GAN_MS = MsNetwork(
    About(
        "pan-gan-ms",
        "network",
        "after Ma et al. 2020, Information Fusion 62; Shi et al. 2016, CVPR (sub-pixel convolution)",
        "a residual on ridge from the MS grid, kept where the scene's hold-out gains by it",
        "2 to 8, whole numbers",
    )
)
