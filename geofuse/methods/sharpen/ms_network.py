"""A network on the MS grid, whose output is a residual on ridge.

torch is loaded when a tile is fused, not before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import Window, gaussian_reach_px
from geofuse.kernels.resample import fill
from geofuse.kernels.stencil import detail_of
from geofuse.methods.base import (
    About,
    After,
    Fused,
    Options,
    Params,
    Pass,
    Patch,
    Reach,
    fused_core,
)
from geofuse.methods.observation import (
    CUBIC_REACH_CPX,
    Lifted,
    Observation,
    axes_at,
    coarse_window,
    degrade,
)
from geofuse.methods.sharpen.closed_form import FILL_CPX, LEAST_LOW_SHARE, coarse_part, stray_cpx
from geofuse.methods.sharpen.multires import EXP
from geofuse.methods.sharpen.network_levels import (
    Levels,
    blocks_from,
    grown,
    levels_from,
    levels_of,
    missed_bands,
    network_of,
)
from geofuse.methods.sharpen.on_device import on_its_device
from geofuse.methods.sharpen.one_scale_down import back_reach_cpx
from geofuse.methods.sharpen.ridge import RIDGE

if TYPE_CHECKING:
    from geofuse.nets.arch.base import BlockSpec


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

    def passes(self, options: Options) -> Sequence[Pass]:
        """Ridge's, and the levels that scale a network's inputs."""
        return (*RIDGE.passes(options), Pass("levels"))

    def halo(self, observation: Observation, *, options: Options) -> Reach:
        """Ridge's reach, around the network's halo of whole blocks."""
        network = network_of(options, self.about.name)
        return reach_of(network.halo, network.ratio, observation, options=options)

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
            "network": network.sha256,
        }
        return Params(self.about.name, values)

    def apply(
        self, patch: Patch, params: Params, observation: Observation, *, options: Options, after: After
    ) -> Fused:
        """Fuse the core: all of it on the planned device where that can be, else here."""

        def here(options: Options) -> NDArray[Any]:
            return self._fused(patch, params, observation, options)

        return on_its_device("ms", here, patch, params, observation, options=options, after=after)

    def _fused(
        self, patch: Patch, params: Params, observation: Observation, options: Options
    ) -> NDArray[Any]:
        from geofuse.nets.inference import engine, on_host

        network = network_of(options, self.about.name)
        running = engine(network)
        spec = cast("BlockSpec", running.spec)  # weights of a network on this grid have no other
        found = ms_inputs(patch, params.values, observation, spec, options=options)
        row0, row1, col0, col1 = patch.core
        inner = (
            slice(row0 - found.fine[0], row1 - found.fine[0]),
            slice(col0 - found.fine[2], col1 - found.fine[2]),
        )
        out = np.ascontiguousarray(found.base[:, *inner])
        shares = np.asarray(network.shares or [1.0] * len(out), out.dtype)
        first = found.fine[0], found.fine[2]
        residual = on_host(running, (found.common, found.own), first=first, core=patch.core)
        out += (shares * found.scale)[:, None, None] * residual
        return out


def reach_of(halo_cpx: int, ratio: int, observation: Observation, *, options: Options) -> Reach:
    """Return how far a network with that halo of whole blocks looks, with ridge under it."""
    own = RIDGE.halo(observation, options=options)
    blocks = halo_cpx + 1  # a core begins inside a block
    smooth = CUBIC_REACH_CPX + FILL_CPX + 0.5
    shift = max(max(abs(dy), abs(dx)) for dy, dx in (*observation.shifts_px, observation.shift_px))
    low = math.ceil(smooth * ratio + shift) + gaussian_reach_px(observation.joint_gain, ratio) + 1
    back = max(back_reach_cpx(gain, ratio) for gain in observation.mtf_gain)
    stray = stray_cpx(observation, 1.0 / ratio)
    return Reach(
        blocks * ratio + max(own.fine_px, low),
        blocks + max(own.coarse_cpx, back + 1, CUBIC_REACH_CPX + FILL_CPX + 2 * stray),
    )


def ms_inputs(
    patch: Patch, values: Mapping[str, Any], observation: Observation, spec: BlockSpec, *, options: Options
) -> Inputs:
    """Make what a network on the MS grid is fed for the blocks that the core touches, and ridge under them.

    ``values`` are the fitted Params', ``spec`` is the network's.
    """
    ratio, k = spec.ratio, spec.halo
    axes, shift, levels = (patch.target.axis_y, patch.target.axis_x), observation.shift_px, values["levels"]
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
    ridge = Params(RIDGE.about.name, values["ridge"])
    with_ridge = "ridge" in spec.own
    base = fused_core(RIDGE, wide if with_ridge else inner, ridge, observation, options=options)
    scale = np.asarray(levels["back"], base.dtype)
    low, detail = low_and_detail(wide, observation)
    scene = _Seen(wide, coarse, levels, observation, spec, options, (first[0], first[1]), low, detail, base)
    own = np.concatenate([OWN[name](scene) for name in spec.own], axis=1)
    common = np.concatenate([COMMON[name](scene) for name in spec.common])
    if with_ridge:
        base = base[:, ratio * k : base.shape[1] - ratio * k, ratio * k : base.shape[2] - ratio * k]
    return Inputs(common, own, base, scale, inner.core, (r0, r1, c0, c1))


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """What the planes of `COMMON` and `OWN` are made of."""

    patch: Patch
    """Its core is the fine pixels under the window."""
    window: Window
    """Coarse pixels that planes are wanted for."""
    levels: Levels
    """Of the scene."""
    observation: Observation
    """How the MS came from PAN."""
    spec: BlockSpec
    """Of the network."""
    options: Options
    """Of the pair."""
    first: tuple[int, int]
    """First fine pixel of coarse pixel 0's block."""
    low: NDArray[Any]
    """Low-passed PAN over the core (H, W)."""
    detail: NDArray[Any]
    """PAN's detail over the core (H, W)."""
    ridge: NDArray[Any]
    """Ridge (B, H, W), over the core where it is fed."""

    def column(self, name: Literal["mean", "std", "back"]) -> NDArray[Any]:
        """Return a level of each band, to divide planes (B, h, w) by."""
        return np.asarray(self.levels[name], self.patch.target.values.dtype)[:, None, None]


def _pan(seen: _Seen) -> NDArray[Any]:
    kind = seen.patch.guides.dtype.type
    level, spread = kind(seen.levels["pan_mean"]), kind(seen.levels["pan_std"])
    return _blocks((seen.low + seen.detail - level) / spread, seen.spec.ratio)


def _detail(seen: _Seen) -> NDArray[Any]:
    kind = seen.patch.guides.dtype.type
    return _blocks(seen.detail / kind(seen.levels["pan_back"]), seen.spec.ratio)


def _phase(seen: _Seen) -> NDArray[Any]:
    """Return how far a block's middle lies from its coarse pixel's centre, in fine pixels: rows, columns."""
    size = seen.window[1] - seen.window[0], seen.window[3] - seen.window[2]
    out = np.empty((2, *size), seen.patch.guides.dtype)
    axes = (seen.patch.target.axis_y, seen.patch.target.axis_x)
    for plane, axis, shift, start in zip(out, axes, seen.observation.shift_px, seen.first, strict=True):
        centre = -axis.offset / axis.scale - shift
        plane[:] = centre - (start + 0.5 * (seen.spec.ratio - 1))
    return out


def _ms(seen: _Seen) -> NDArray[Any]:
    filled, known = _filled_bands(seen.patch, seen.window)
    scaled = (filled - seen.column("mean")) / seen.column("std")
    return np.asarray(np.where(known, scaled, scaled.dtype.type(0))[:, None])


def _back(seen: _Seen) -> NDArray[Any]:
    missed, known = missed_bands(seen.patch, seen.observation, seen.window)
    scaled = missed / seen.column("back")
    return np.asarray(np.where(known, scaled, scaled.dtype.type(0))[:, None])


def _ridge(seen: _Seen) -> NDArray[Any]:
    plain = fused_core(EXP, seen.patch, Params(EXP.about.name), seen.observation, options=seen.options)
    return _unshuffled((seen.ridge - plain) / seen.column("back"), seen.spec.ratio)


COMMON: Mapping[str, Callable[[_Seen], NDArray[Any]]] = {"pan": _pan, "detail": _detail, "phase": _phase}
"""Planes that all bands share (C, h, w), by their names in a network's spec."""
OWN: Mapping[str, Callable[[_Seen], NDArray[Any]]] = {"ms": _ms, "back": _back, "ridge": _ridge}
"""Planes of each band (B, C, h, w)."""


def low_and_detail(patch: Patch, observation: Observation) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return low-passed PAN and PAN's detail, 0 where PAN is invalid, over the core: (H, W) each."""
    axes = axes_at((patch.target.axis_y, patch.target.axis_x), observation.shift_px, observation.field)
    row0, row1, col0, col1 = patch.core
    window = coarse_window(axes, patch.core, FILL_CPX)
    low, known = degrade(
        patch.guides,
        patch.guides_valid,
        patch.guides_origin,
        axes,
        window,
        gain=observation.joint_gain,
        minimum=LEAST_LOW_SHARE,
    )
    smooth = Lifted(fill(low, known, FILL_CPX), (window[0], window[2]), axes, (col0, col1)).rows(row0, row1)[
        0
    ]
    top, left = row0 - patch.guides_origin[0], col0 - patch.guides_origin[1]
    part = slice(top, top + row1 - row0), slice(left, left + col1 - col0)
    detail = np.empty_like(smooth)
    detail_of(patch.guide[*part], patch.guides_valid[part], smooth, detail)
    return smooth, detail


def _filled_bands(patch: Patch, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return M (B, h, w) with the rims of its holes filled, and where it is known then."""
    wide = coarse_part(patch, grown(window, FILL_CPX))
    planes, valid = patch.target.values[:, *wide], patch.target.valid[wide]
    stack = np.concatenate([planes, valid[None].astype(planes.dtype)])
    filled = fill(stack, valid, FILL_CPX)[:, FILL_CPX:-FILL_CPX, FILL_CPX:-FILL_CPX]
    return filled[:-1], filled[-1] > 0


def _blocks(plane: NDArray[Any], ratio: int) -> NDArray[Any]:
    """Return the same of one plane: (R h, R w) to (R^2, h, w)."""
    planes: NDArray[Any] = _unshuffled(plane[None], ratio)[0]
    return planes


def _unshuffled(planes: NDArray[np.floating[Any]], ratio: int) -> NDArray[np.floating[Any]]:
    """Lay fine planes (N, R h, R w) out as R^2 coarse ones each: (N, R^2, h, w), as torch's pixel_unshuffle does."""
    count, height, width = planes.shape
    out: NDArray[Any] = np.empty((count, ratio**2, height // ratio, width // ratio), planes.dtype)
    for row in range(ratio):
        for col in range(ratio):
            out[:, row * ratio + col] = planes[:, row::ratio, col::ratio]
    return out
