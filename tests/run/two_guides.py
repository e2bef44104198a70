"""A method that takes guides of two bands: the detail of each, in equal shares of their spread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from geofuse.methods.base import (
    About,
    After,
    Fused,
    Options,
    Params,
    Pass,
    Patch,
    Reach,
    Strip,
    Takes,
)
from geofuse.methods.observation import Observation
from geofuse.methods.sharpen.closed_form import Widened, coarse_layers, fine_filter, fine_low
from geofuse.methods.sharpen.multires import EXP
from geofuse.methods.sums import Moments, MomentSums


class TwoGuides:
    """F_b = U_b + sum over guides of g_p (G_p - box(G_p))."""

    about = About("two-guides", "test", "none", "detail of two guides", Takes(guide_bands=(2, 2)))

    def passes(self, options: Options) -> Sequence[Pass]:
        """Moments of the guides."""
        return (Pass("spread", grid="fine"),)

    def halo(self, observation: Observation, *, options: Options) -> Reach:
        """Upsampling's, and the box's."""
        own = EXP.halo(observation, options=options)
        return Reach(fine_filter("box", options.ratio).size // 2, own.coarse_cpx)

    def collect(
        self, name: str, patch: Patch, observation: Observation, *, options: Options, state: Mapping[str, Any]
    ) -> Moments:
        """Collect over the core."""
        sums = MomentSums(len(patch.guides))
        sums.add(_core(patch), patch.valid)
        return sums.done()

    def fit(self, collected: Mapping[str, Any], observation: Observation, *, options: Options) -> Params:
        """Weigh each guide by the spread of the other."""
        first, second = collected["spread"].std.tolist()
        return Params(self.about.name, {"gains": [second / (first + second), first / (first + second)]})

    def apply(
        self, patch: Patch, params: Params, observation: Observation, *, options: Options, after: After
    ) -> Fused:
        """Fuse the core."""
        return Fused(self._strips(patch, params, observation, options))

    def _strips(
        self, patch: Patch, params: Params, observation: Observation, options: Options
    ) -> Iterator[Strip]:
        stack, origin = coarse_layers(patch, observation, with_low=False)
        wide = Widened(patch, stack, origin, observation.shifts_px, observation.field)
        made = wide.rows(patch.core[0], patch.core[1])
        detail = _core(patch) - fine_low(patch, "box", options.ratio)
        for gain, plane in zip(params.values["gains"], detail, strict=True):
            made += made.dtype.type(gain) * plane
        yield slice(0, made.shape[1]), made


def _core(patch: Patch) -> Any:
    row0, row1, col0, col1 = patch.core
    top, left = row0 - patch.guides_origin[0], col0 - patch.guides_origin[1]
    return np.ascontiguousarray(patch.guides[:, top : top + row1 - row0, left : left + col1 - col0])


TWO_GUIDES = TwoGuides()
