"""A network on the fine grid, such as Pan-GAN's generator.

torch is loaded when a tile is fused, not before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import gaussian_reach_px
from geofuse.methods.base import About, After, Fused, Options, Params, Pass, Patch, Reach, fused_core
from geofuse.methods.observation import Observation
from geofuse.methods.sharpen.multires import EXP
from geofuse.methods.sharpen.network_levels import grown, levels_from, levels_of, network_of, range_of
from geofuse.methods.sharpen.on_device import on_its_device
from geofuse.methods.sharpen.one_scale_down import back_reach_cpx
from geofuse.methods.sums import Moments


@dataclass(frozen=True, slots=True)
class FineNetwork:
    """F = net(U(M), P) on the fine grid."""

    about: About
    """Name and source."""

    def passes(self, options: Options) -> Sequence[Pass]:
        """Only levels, of the whole scene: its range is that of all MS pixels."""
        return (Pass("levels"),)

    def halo(self, observation: Observation, *, options: Options) -> Reach:
        """Upsampling's reach and the levels', around the network's halo."""
        return reach_of(network_of(options, self.about.name).halo, observation, options=options)

    def collect(
        self, name: str, patch: Patch, observation: Observation, *, options: Options, state: Mapping[str, Any]
    ) -> Moments:
        """Collect levels over the core."""
        return levels_of(patch, observation)

    def fit(self, collected: Mapping[str, Any], observation: Observation, *, options: Options) -> Params:
        """Read the levels."""
        network = network_of(options, self.about.name)
        values = {"levels": levels_from(collected["levels"]), "network": network.sha256}
        return Params(self.about.name, values)

    def apply(
        self, patch: Patch, params: Params, observation: Observation, *, options: Options, after: After
    ) -> Fused:
        """Fuse the core: all of it on the planned device where that can be, else here."""

        def here(options: Options) -> NDArray[Any]:
            return self._fused(patch, params, observation, options)

        return on_its_device("fine", here, patch, params, observation, options=options, after=after)

    def _fused(
        self, patch: Patch, params: Params, observation: Observation, options: Options
    ) -> NDArray[Any]:
        from geofuse.nets.inference import engine, on_host

        running = engine(network_of(options, self.about.name))
        planes = fine_inputs(patch, params.values, observation, running.spec.halo, options=options)
        made = on_host(running, (planes,), first=(patch.core[0], patch.core[2]), core=patch.core)
        centre, half = range_of(params.values["levels"])
        kind = patch.target.values.dtype
        return np.asarray(centre[:-1, None, None] + half[:-1, None, None] * made, kind)


def reach_of(halo_px: int, observation: Observation, *, options: Options) -> Reach:
    """Return how far a network with that halo looks, with its inputs and the levels they are scaled by."""
    ratio = options.largest_ratio or options.ratio
    exp = EXP.halo(observation, options=options)
    more = math.ceil(halo_px * (2.0 / options.ratio - 1.0 / ratio)) + 1
    back = max(back_reach_cpx(gain, ratio) for gain in (*observation.mtf_gain, observation.joint_gain))
    shift = max(max(abs(dy), abs(dx)) for dy, dx in (*observation.shifts_px, observation.shift_px))
    stray = math.ceil(shift + (observation.field.largest_px + 1 if observation.field else 0.0))
    seen = math.ceil((back + 0.5) * ratio) + gaussian_reach_px(observation.joint_gain, ratio) + stray
    return Reach(max(halo_px, seen), max(exp.coarse_cpx + more, back + 1))


def fine_inputs(
    patch: Patch, values: Mapping[str, Any], observation: Observation, halo_px: int, *, options: Options
) -> NDArray[Any]:
    """Return U(M) and P, scaled to about -1 .. 1 by the scene's range, around the core: (B + 1, H + 2k, W + 2k)."""
    row0, row1, col0, col1 = grown(patch.core, halo_px)
    wide = replace(patch, core=(row0, row1, col0, col1))
    up = fused_core(EXP, wide, Params(EXP.about.name), observation, options=options)
    top, left = row0 - patch.guides_origin[0], col0 - patch.guides_origin[1]
    part = slice(top, top + row1 - row0), slice(left, left + col1 - col0)
    centre, half = range_of(values["levels"])
    pan = np.where(patch.guides_valid[part], patch.guide[*part], centre[-1])
    planes = np.concatenate([up, pan[None].astype(up.dtype)])
    return np.asarray((planes - centre[:, None, None]) / half[:, None, None], np.float32)
