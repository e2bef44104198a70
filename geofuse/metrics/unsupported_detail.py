"""No invented detail: the energy of a product's detail that neither PAN nor the MS shows, by place, and a bound for it.

Detail is what a coarse sensor loses: X less its MTF low-pass. In small windows a band's detail is explained by PAN's
detail and by the MS's own, by least squares; what is left is unsupported. How much of that reality holds is seen one
scale down, where the MS is the truth: a product with a larger share than that shows things nobody saw.

Local regression on PAN as the measure of support: Scarpa and Ciotola 2022, Remote Sensing 14(8), 1808, section 3.2
(D_rho is 1 - its correlation); judged one scale down after Wald, Ranchin and Mangolini 1997, PE&RS 63(6).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import Floats, Mask, Slices, gaussian_reach_px
from geofuse.methods.sharpen.closed_form import gaussian_kernel
from geofuse.metrics.q2n import MeanSums, Planes

WHOLE: Slices = (slice(None), slice(None))
SLACK = 1.1
"""A product's share may be so many times that of reality, one scale down, before it counts as invented ..."""
LEAST_SHARE = 0.02
"""... and any share up to this is let pass: rounding and estimation make as much."""
STEADY = 1e-9
"""Of a regressor's power: what a window's determinant must exceed for a second regressor to say more."""


def window_px(ratio: float) -> int:
    """Return the side of the windows: two MS pixels, made odd.

    >>> [window_px(ratio) for ratio in (1, 2, 4)]
    [3, 5, 9]
    """
    return 2 * round(ratio) + 1


def support_reach_px(gain: float, ratio: float) -> int:
    """Return how far around a pixel its measure looks: the low-pass and half a window."""
    return gaussian_reach_px(gain, ratio) + window_px(ratio) // 2


def unsupported(
    image: Planes,
    pan: Planes,
    plain: Planes,
    *,
    gains: Sequence[float],
    ratio: float,
    valid: Mask,
    noise: Sequence[float] | None = None,
) -> tuple[Floats, Floats, Mask]:
    """Return the unsupported and the whole energy of each band's detail, (B, H, W) each, and where both are known.

    ``image`` (B, H, W) is the product (or, one scale down, the truth), ``pan`` (1, H, W), ``plain`` (B, H, W) the
    upsampled MS; 0 where not ``valid``. ``noise`` is each band's noise variance (B,), which no regression explains
    and which is taken off. Known where all that a pixel's measure looks at is valid.
    """
    from scipy import ndimage

    side = window_px(ratio)
    left, whole = np.empty(image.shape), np.empty(image.shape)
    reach = max(support_reach_px(gain, ratio) for gain in gains)
    known = ndimage.minimum_filter(valid, size=2 * reach + 1, mode="constant", cval=0)
    pans: dict[float, tuple[Floats, Floats]] = {}
    for band, gain in enumerate(gains):
        kernel = gaussian_kernel(gain, ratio)
        if gain not in pans:
            detail = _detail(pan[0], kernel)
            pans[gain] = detail, _box(detail * detail, side)
        shown, power = pans[gain]
        own, detail = _detail(plain[band], kernel), _detail(image[band], kernel)
        whole[band] = _box(detail * detail, side)
        explained = _explained(
            (power, _box(shown * own, side), _box(own * own, side)),
            (_box(shown * detail, side), _box(own * detail, side)),
        )
        floor = (noise[band] if noise is not None else 0.0) * (1.0 - 2.0 / side**2)
        left[band] = np.clip(whole[band] - explained - floor, 0.0, None)
    return left, whole, np.asarray(known)


def _explained(gram: tuple[Floats, Floats, Floats], cross: tuple[Floats, Floats]) -> Floats:
    """Return the energy that least squares on two regressors explains: of the first alone where they are one."""
    (a, b, c), (x, y) = gram, cross
    det = a * c - b * b
    single = np.where(a > 0.0, x * x / np.where(a > 0.0, a, 1.0), 0.0)
    sure = det > STEADY * a * c
    both = (c * x * x - 2.0 * b * x * y + a * y * y) / np.where(sure, det, 1.0)
    other = np.where((a <= 0.0) & (c > 0.0), y * y / np.where(c > 0.0, c, 1.0), single)
    return np.where(sure, both, other)


def unsupported_sums(left: Floats, whole: Floats, known: Mask, core: Slices = WHOLE) -> MeanSums:
    """Sum `unsupported`'s energies over a core: the unsupported of each band, then the whole (2B,)."""
    seen = known[core]
    planes = np.concatenate([left[:, *core], whole[:, *core]])
    return MeanSums(planes[:, seen].sum(axis=1), int(seen.sum()))


def shares(sums: MeanSums) -> list[float]:
    """Return each band's unsupported share of its detail's energy, 0 to 1; 0 where it has none, NaN unmeasured."""
    bands = sums.total.size // 2
    if not sums.count:
        return [math.nan] * bands
    whole = sums.total[bands:]
    return [
        float(part / all_) if all_ > 0.0 else 0.0
        for part, all_ in zip(sums.total[:bands], whole, strict=True)
    ]


def allowed(real: Sequence[float]) -> list[float]:
    """Return the bound on each band's share: reality's, one scale down, with some slack; NaN where unmeasured."""
    return [max(SLACK * share, LEAST_SHARE) if math.isfinite(share) else math.nan for share in real]


def reduced_sums(
    images: Sequence[NDArray[np.floating]],
    pan: NDArray[np.floating],
    plain: NDArray[np.floating],
    *,
    gains: Sequence[float],
    ratio: float,
    valid: Mask,
) -> list[MeanSums]:
    """Sum the same for several images of one place, such as truth and products of a held-out part one scale down."""
    found = []
    for image in images:
        left, whole, known = unsupported(
            np.where(valid, image, 0.0),
            np.where(valid, pan, 0.0),
            np.where(valid, plain, 0.0),
            gains=gains,
            ratio=ratio,
            valid=valid,
        )
        found.append(unsupported_sums(left, whole, known))
    return found


def _detail(plane: NDArray[np.floating], kernel: Floats) -> Floats:
    """Return a plane less its low-pass; exact in whole windows only."""
    from scipy import ndimage

    values = plane.astype(np.float64)
    weights = kernel / kernel.sum()
    rows = ndimage.correlate1d(values, weights, axis=0, mode="constant")
    low: Floats = ndimage.correlate1d(rows, weights, axis=1, mode="constant")
    return values - low


def _box(plane: Floats, side: int) -> Floats:
    """Mean over windows by direct sums: a value does not depend on where a tile begins."""
    from scipy import ndimage

    weights = np.full(side, 1.0 / side)
    rows = ndimage.correlate1d(plane, weights, axis=0, mode="constant")
    both: Floats = ndimage.correlate1d(rows, weights, axis=1, mode="constant")
    return both
