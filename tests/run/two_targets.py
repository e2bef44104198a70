"""A method that takes several groups of bands, each on a grid and with an observation of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from geofuse.methods.base import About, After, Fused, Options, Params, Pass, Patch, Reach, Takes, fused_core
from geofuse.methods.observation import Observation
from geofuse.methods.sharpen.multires import EXP


class TwoTargets:
    """Each group upsampled by its own observation, one after another."""

    about = About("two-targets", "test", "none", "groups upsampled", Takes(targets=(2, None)))

    def passes(self, options: Options) -> Sequence[Pass]:
        """Nothing is collected."""
        return ()

    def halo(self, observation: Observation, *, options: Options) -> Reach:
        """The largest of all groups'."""
        every = [EXP.halo(each, options=options) for each in (observation, *options.others)]
        return Reach(max(each.fine_px for each in every), max(each.coarse_cpx for each in every))

    def collect(
        self, name: str, patch: Patch, observation: Observation, *, options: Options, state: Mapping[str, Any]
    ) -> Any:
        """Nothing."""
        raise AssertionError("no pass was named")

    def fit(self, collected: Mapping[str, Any], observation: Observation, *, options: Options) -> Params:
        """Nothing."""
        return Params(self.about.name)

    def apply(
        self, patch: Patch, params: Params, observation: Observation, *, options: Options, after: After
    ) -> Fused:
        """Fuse group by group."""
        parts = [
            fused_core(EXP, replace(patch, targets=(target,)), Params("exp"), own, options=options)
            for target, own in zip(patch.targets, (observation, *options.others), strict=True)
        ]
        made = np.concatenate(parts)
        return Fused(iter([(slice(0, made.shape[1]), made)]))


TWO_TARGETS = TwoTargets()
