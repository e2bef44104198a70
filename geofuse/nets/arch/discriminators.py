"""The two adversaries of Pan-GAN: one that knows the MS, one that knows PAN."""

from __future__ import annotations

from torch import Tensor, nn


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
