"""Pan-GAN's generator, on the fine grid. Source: Ma et al. 2020, Information Fusion 62, 110-120."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from geofuse.nets.arch.base import Example, Generator, plain

HALO = 8
"""Fine pixels that 9x9, 5x5 and 5x5 reach to each side."""


@dataclass(frozen=True, slots=True)
class PanGanSpec:
    """What Pan-GAN's generator is made of."""

    bands: int
    """Bands of the MS."""
    first: int = 64
    """Channels of the first layer, 9 x 9."""
    second: int = 32
    """Channels of the second layer, 5 x 5."""
    residual: bool = False
    """Add to U(M) instead of making all of the product: untrained, it is upsampling. Not the published form."""

    @property
    def halo(self) -> int:
        """Fine pixels that go in around what comes out."""
        return HALO


class PanGanGenerator(Generator):
    """Pan-GAN's generator: 9x9, 5x5, 5x5 with dense input concatenation, ReLU, tanh.

    Source: Ma, Yu, Chen, Liang, Guo and Jiang 2020, Information Fusion 62, section 3.3; without its batch statistics.
    """

    spec: PanGanSpec

    def __init__(self, spec: PanGanSpec) -> None:
        super().__init__(spec)
        planes = spec.bands + 1
        self.first = nn.Conv2d(planes, spec.first, 9)
        self.second = nn.Conv2d(planes + spec.first, spec.second, 5)
        self.third = nn.Conv2d(planes + spec.first + spec.second, spec.bands, 5)
        if spec.residual:
            nn.init.zeros_(self.third.weight)
            assert self.third.bias is not None
            nn.init.zeros_(self.third.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Scaled U(M) and P, (N, B + 1, H + 16, W + 16), to the scaled product (N, B, H, W) within -1 .. 1."""
        up = x[:, : self.spec.bands, 8:-8, 8:-8]
        one = functional.relu(self.first(x))
        x = torch.cat([x[..., 4:-4, 4:-4], one], dim=1)
        two = functional.relu(self.second(x))
        x = torch.cat([x[..., 2:-2, 2:-2], two], dim=1)
        made = torch.tanh(self.third(x))
        return up + made if self.spec.residual else made


def design(settings: Mapping[str, Any]) -> PanGanSpec:
    """Turn a training configuration's network section into a spec."""
    named = {key: settings[key] for key in ("first", "second", "residual")}
    return PanGanSpec(len(settings["bands"] or ()), **named)


def build(spec: Mapping[str, Any]) -> PanGanGenerator:
    """Make the network from its spec as JSON values."""
    return PanGanGenerator(PanGanSpec(**plain(spec)))


def example(net: PanGanGenerator) -> Example:
    """Return what an exporter traces it with."""
    planes = torch.zeros(1, net.spec.bands + 1, 32, 32)
    free = {"planes": {0: "n", 2: "h", 3: "w"}, "fused": {0: "n", 2: "rows", 3: "cols"}}
    return Example((planes,), ("planes",), free)
