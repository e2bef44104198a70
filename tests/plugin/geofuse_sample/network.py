"""A network: one convolution on the coarse grid, trained as geofuse's own residual on ridge is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from geofuse.nets.arch.base import Generator, channels, plain
from geofuse.nets.table import Network

HERE = "geofuse_sample.network"


@dataclass(frozen=True, slots=True)
class SampleSpec:
    """What the network is made of."""

    ratio: int
    """Fine pixels per coarse pixel."""
    width: int = 4
    """Channels."""
    bands: int = 0
    """Any number: each by itself."""
    common: tuple[str, ...] = ("detail",)
    """Of PAN."""
    own: tuple[str, ...] = ("back",)
    """Of each band."""

    @property
    def halo(self) -> int:
        """One coarse pixel."""
        return 1


class SampleNet(Generator):
    """3x3, ReLU, 1x1 for each band; the last layer starts at 0: untrained, the product is ridge's."""

    spec: SampleSpec

    def __init__(self, spec: SampleSpec) -> None:
        super().__init__(spec)
        planes = channels(spec.common, spec.ratio) + channels(spec.own, spec.ratio)
        self.enter = nn.Conv2d(planes, spec.width, 3)
        self.leave = nn.Conv2d(spec.width, spec.ratio**2, 1)
        nn.init.zeros_(self.leave.weight)
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.bias)

    def forward(self, common: Tensor, own: Tensor) -> Tensor:
        """Return the residual (N, B, R h, R w)."""
        count, bands = own.shape[:2]
        each = torch.cat([common[:, None].expand(-1, bands, -1, -1, -1), own], dim=2).flatten(0, 1)
        made = functional.pixel_shuffle(self.leave(functional.relu(self.enter(each))), self.spec.ratio)
        return made.reshape(count, bands, *made.shape[-2:])


def design(settings: Mapping[str, Any]) -> SampleSpec:
    """Turn a training configuration's network section into a spec."""
    return SampleSpec(settings["ratio"], int(settings["settings"].get("sample_width", 4)))


def build(spec: Mapping[str, Any]) -> SampleNet:
    """Make the network from its spec as JSON values."""
    return SampleNet(SampleSpec(**plain(spec)))


SAMPLE_NET = Network(
    "sample-net",
    "one convolution on the coarse grid",
    "none",
    grid="coarse",
    build=f"{HERE}:build",
    ratios=(2.0, 8.0),
    design=f"{HERE}:design",
    trainer="geofuse.nets.training.residual:trainer_of",
    any_bands=True,
)
