"""The networks: Pan-GAN's generator and discriminators, and the generator that works on the MS grid.

No normalisation layers and no pooling: a pixel depends on a finite neighbourhood of it, so tiles agree. All
convolutions of the generators are valid: a halo goes in, nothing is made up at a border.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

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
    common: tuple[str, ...] = ("pan", "detail", "phase")
    """Inputs that all bands share: "pan", "detail" (ratio^2 planes each), "phase" (2)."""
    own: tuple[str, ...] = ("ms", "back", "ridge")
    """Inputs of each band: "ms", "back" (1 each), "ridge" (ratio^2)."""

    @property
    def phases(self) -> int:
        """Fine pixels under a coarse one."""
        return self.ratio**2

    @property
    def common_channels(self) -> int:
        """Planes that all bands share."""
        sizes = {"pan": self.phases, "detail": self.phases, "phase": 2}
        return sum(sizes[name] for name in self.common)

    @property
    def own_channels(self) -> int:
        """Planes of each band."""
        sizes = {"ms": 1, "back": 1, "ridge": self.phases}
        return sum(sizes[name] for name in self.own)


class Block(nn.Module):
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


class MsGenerator(nn.Module):
    """Pan-GAN's generator an order cheaper: on the MS grid, as a residual on ridge.

    The last layer starts at 0: untrained, the product is ridge's. With ``spec.bands`` 0 each band goes through the
    same weights, beside what all share: the common inputs and the mean over all bands' own.
    """

    def __init__(self, spec: MsSpec) -> None:
        super().__init__()
        self.spec = spec
        shared = spec.own_channels * (spec.bands or 1)
        self.enter = nn.Conv2d(spec.common_channels + shared, spec.width, 1)
        self.own = None if spec.bands else nn.Conv2d(spec.own_channels, spec.width, 1, bias=False)
        self.trunk = nn.Sequential(*(Block(spec.width, spec.act) for _ in range(spec.trunk)))
        self.blocks = nn.Sequential(*(Block(spec.width, spec.act) for _ in range(spec.blocks)))
        self.leave = nn.Conv2d(spec.width, spec.phases * (spec.bands or 1), 1)
        nn.init.zeros_(self.leave.weight)
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.bias)

    @property
    def halo(self) -> int:
        """Coarse pixels that go in around what comes out."""
        return self.spec.trunk + self.spec.blocks

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


class PanGanGenerator(nn.Module):
    """Pan-GAN's generator: 9x9, 5x5, 5x5 with dense input concatenation, ReLU, tanh.

    Source: Ma, Yu, Chen, Liang, Guo and Jiang 2020, Information Fusion 62, section 3.3; without its batch statistics.
    """

    halo = 8
    """Fine pixels that go in around what comes out."""

    def __init__(self, spec: PanGanSpec) -> None:
        super().__init__()
        self.spec = spec
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


class Discriminator(nn.Module):
    """Five 3x3 convolutions, 16 to 256 channels, LeakyReLU .2, then one 4x4 to a scalar.

    Source: Ma et al. 2020, section 3.3. Their stride is 2 where a patch is 128 pixels wide; on a smaller one the
    first layers keep the size, so that the head still sees 4 x 4 places.
    """

    def __init__(self, planes: int, patch_px: int) -> None:
        super().__init__()
        widths = (16, 32, 64, 128, 256)
        halvings = min(5, max(0, (max(patch_px, 4) // 4).bit_length() - 1))
        layers: list[nn.Module] = []
        for at, width in enumerate(widths):
            stride = 2 if at >= len(widths) - halvings else 1
            layers += [nn.Conv2d(planes, width, 3, stride, 1), nn.LeakyReLU(0.2)]
            planes = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv2d(planes, 1, 4)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to one score per patch (N, 1)."""
        score: Tensor = self.head(self.body(x)).mean(dim=(2, 3))
        return score


class SpatialDiscriminator(Discriminator):
    """Judges the fused bands' mean against PAN: (N, 1, H, W)."""

    def __init__(self, patch_px: int) -> None:
        super().__init__(1, patch_px)


class SpectralDiscriminator(Discriminator):
    """Judges the fused bands at the coarse scale against the MS: (N, B, h, w)."""

    def __init__(self, bands: int, patch_cpx: int) -> None:
        super().__init__(bands, patch_cpx)


def build(kind: str, spec: Mapping[str, Any]) -> MsGenerator | PanGanGenerator:
    """Make the network of a kind, "pan-gan" or "pan-gan-ms", from its spec as JSON values."""
    if kind == "pan-gan":
        return PanGanGenerator(PanGanSpec(**spec))
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in spec.items()
    }
    return MsGenerator(MsSpec(**values))
