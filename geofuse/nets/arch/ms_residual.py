"""Pan-GAN's generator an order cheaper: on the coarse grid, as a residual on ridge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from geofuse.nets.arch.base import COMMON, OWN, Example, Generator, channels, plain

ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU}


@dataclass(frozen=True, slots=True)
class MsSpec:
    """What a generator on the MS grid is made of."""

    ratio: int
    """Fine pixels per coarse pixel along each axis."""
    bands: int = 0
    """Bands it was made for; 0: any number, each by itself with the same weights."""
    width: int = 32
    """Channels."""
    blocks: int = 4
    """Residual blocks; each reaches one coarse pixel further."""
    trunk: int = 0
    """With any number of bands: blocks before those, which see what all bands share and run once for all."""
    act: str = "gelu"
    """Of `ACTIVATIONS`."""
    common: tuple[str, ...] = COMMON
    """Inputs that all bands share."""
    own: tuple[str, ...] = OWN
    """Inputs of each band."""

    @property
    def halo(self) -> int:
        """Coarse pixels that go in around what comes out: one for each block."""
        return self.trunk + self.blocks

    @property
    def phases(self) -> int:
        """Fine pixels under a coarse one."""
        return self.ratio**2

    @property
    def common_channels(self) -> int:
        """Planes that all bands share."""
        return channels(self.common, self.ratio)

    @property
    def own_channels(self) -> int:
        """Planes of each band."""
        return channels(self.own, self.ratio)


class ResidualBlock(nn.Module):
    """x + 1x1(act(3x3(x))), valid: one pixel less on each side."""

    def __init__(self, width: int, act: str) -> None:
        super().__init__()
        self.wide = nn.Conv2d(width, width, 3)
        self.act = ACTIVATIONS[act]()
        self.narrow = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) to (N, C, h - 2, w - 2)."""
        made: Tensor = self.narrow(self.act(self.wide(x)))
        return x[..., 1:-1, 1:-1] + made


class MsGenerator(Generator):
    """Pan-GAN's generator an order cheaper: on the MS grid, as a residual on ridge.

    The last layer starts at 0: untrained, the product is ridge's. With ``spec.bands`` 0 each band goes through the
    same weights, beside what all share: the common inputs and the mean over all bands' own.
    """

    spec: MsSpec

    def __init__(self, spec: MsSpec) -> None:
        super().__init__(spec)
        shared = spec.own_channels * (spec.bands or 1)
        self.enter = nn.Conv2d(spec.common_channels + shared, spec.width, 1)
        self.own = None if spec.bands else nn.Conv2d(spec.own_channels, spec.width, 1, bias=False)
        self.trunk = nn.Sequential(*(ResidualBlock(spec.width, spec.act) for _ in range(spec.trunk)))
        self.blocks = nn.Sequential(*(ResidualBlock(spec.width, spec.act) for _ in range(spec.blocks)))
        self.leave = nn.Conv2d(spec.width, spec.phases * (spec.bands or 1), 1)
        nn.init.zeros_(self.leave.weight)
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.bias)

    def forward(self, common: Tensor, own: Tensor) -> Tensor:
        """Return the residual (N, B, R h, R w) in units of each band's scale.

        common (N, Cc, h + 2k, w + 2k), own (N, B, Cb, h + 2k, w + 2k).
        """
        count, bands = own.shape[:2]
        flat = own.flatten(1, 2) if self.own is None else own.mean(dim=1)
        x = self.trunk(self.enter(torch.cat([common, flat], dim=1)))
        if self.own is not None:
            k = self.spec.trunk
            each = self.own(own.flatten(0, 1)[..., k : own.shape[-2] - k, k : own.shape[-1] - k])
            x = (x.unsqueeze(1) + each.unflatten(0, (count, bands))).flatten(0, 1)
            x = x.contiguous(memory_format=torch.channels_last)
        x = functional.pixel_shuffle(self.leave(self.blocks(x)), self.spec.ratio)
        return x.reshape(count, bands, *x.shape[-2:])


def design(settings: Mapping[str, Any]) -> MsSpec:
    """Turn a training configuration's network section into a spec."""
    named = {key: settings[key] for key in ("ratio", "width", "blocks", "trunk", "act")}
    return MsSpec(bands=len(settings["bands"] or ()), **named)


def build(spec: Mapping[str, Any]) -> MsGenerator:
    """Make the network from its spec as JSON values."""
    return MsGenerator(MsSpec(**plain(spec)))


def example(net: MsGenerator) -> Example:
    """Return what an exporter traces it with."""
    side, bands = 8 + 2 * net.halo, net.spec.bands or 3
    planes = (
        torch.zeros(1, net.spec.common_channels, side, side),
        torch.zeros(1, bands, net.spec.own_channels, side, side),
    )
    free = {"common": {0: "n", 2: "h", 3: "w"}, "own": {0: "n", 3: "h", 4: "w"}}
    free["fused"] = {0: "n", 2: "rows", 3: "cols"}
    if not net.spec.bands:
        free["own"][1] = free["fused"][1] = "bands"
    return Example(planes, ("common", "own"), free)
