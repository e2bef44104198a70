"""Quality of a fused image: SAM, ERGAS, PSNR, SCC, SSIM; beside it Q, Q2n and those without a reference.

Every metric comes twice: ``name(...)`` for arrays that fit in memory, and ``name_sums(...)`` for a tile,
whose sums are added by `merge` and turned into the same number by the ``..._value`` function (`mean` for
most). Pixel metrics take any tiling; sliding-window metrics (SCC, SSIM, D_rho) take tiles with a halo, as
wide as their constant says, that ends at the image's border, and count only the pixels of `core`; block
metrics take tiles on multiples of 32 pixels. Images are (B, H, W) of any dtype, computed in float64; where
`valid` (H, W) is false, the pixels may hold anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from geofuse.errors import UsageError
from geofuse.geometry import Floats, Mask
from geofuse.metrics.full_resolution import (
    d_lambda,
    d_lambda_k,
    d_lambda_value,
    d_rho,
    d_rho_sums,
    d_rho_window,
    d_s,
    d_s_value,
    hqnr,
    pan_low,
    qnr,
)
from geofuse.metrics.q2n import (
    MeanSums,
    Planes,
    check_pair,
    mean,
    merge,
    q,
    q2n,
    q2n_sums,
    q_pair_sums,
    q_sums,
)

__all__ = [
    "SCC_HALO_PX",
    "SSIM_HALO_PX",
    "CosineSums",
    "ErrorSums",
    "MeanSums",
    "d_lambda",
    "d_lambda_k",
    "d_lambda_value",
    "d_rho",
    "d_rho_sums",
    "d_rho_window",
    "d_s",
    "d_s_value",
    "ergas",
    "ergas_value",
    "error_sums",
    "hqnr",
    "mean",
    "merge",
    "pan_low",
    "psnr",
    "psnr_value",
    "q",
    "q2n",
    "q2n_sums",
    "q_pair_sums",
    "q_sums",
    "qnr",
    "r_ergas",
    "r_q2n",
    "r_sam",
    "sam",
    "sam_sums",
    "scc",
    "scc_sums",
    "scc_value",
    "ssim",
    "ssim_sums",
]

SCC_HALO_PX = 2
SSIM_HALO_PX = 5
SSIM_SIGMA_PX = 1.5
SSIM_K1, SSIM_K2 = 0.01, 0.03
WHOLE = (slice(None), slice(None))
STRIP_ROWS = 32


@dataclass(frozen=True, slots=True)
class ErrorSums:
    """What ERGAS and PSNR need, per band."""

    count: int
    """Valid pixels."""
    squared: Floats
    """Sum of squared differences (B,)."""
    reference: Floats
    """Sum of the reference (B,)."""
    highest: float = field(metadata={"merge": max})
    """Largest reference value over all bands; minus infinity where there is no pixel."""


@dataclass(frozen=True, slots=True)
class CosineSums:
    """What a cosine between two fields needs."""

    product: float
    """Sum of products."""
    reference: float
    """Sum of the reference's squares."""
    fused: float
    """Sum of the fused image's squares."""


def sam_sums(reference: Planes, fused: Planes, *, valid: Mask | None = None) -> MeanSums:
    """Sum the spectral angles, degrees, over valid pixels with two spectra that are not zero: one total."""
    total, count = 0.0, 0
    for x, y in _pixels(reference, fused, _same_bands(reference, fused, valid)):
        size_x, size_y = np.sqrt((x * x).sum(axis=0)), np.sqrt((y * y).sum(axis=0))
        seen = (size_x > 0.0) & (size_y > 0.0)
        x, y = x[:, seen] / size_x[seen], y[:, seen] / size_y[seen]
        # The arc cosine loses half the digits near 0, where fused images live; this form does not.
        apart, together = ((x - y) ** 2).sum(axis=0), ((x + y) ** 2).sum(axis=0)
        total += float(np.degrees(2.0 * np.arctan2(np.sqrt(apart), np.sqrt(together))).sum())
        count += int(seen.sum())
    return MeanSums(np.array([total]), count)


def sam(reference: Planes, fused: Planes, *, valid: Mask | None = None) -> float:
    """Return the mean spectral angle in degrees, best 0; zero spectra are skipped, NaN where none is left.

    Source: Yuhas, Goetz and Boardman 1992, Summaries of the Third Annual JPL Airborne Geoscience Workshop.
    """
    return mean(sam_sums(reference, fused, valid=valid))


def error_sums(reference: Planes, fused: Planes, *, valid: Mask | None = None) -> ErrorSums:
    """Sum what ERGAS and PSNR need over the valid pixels."""
    nothing = np.zeros(reference.shape[0])
    sums = ErrorSums(0, nothing, nothing, -math.inf)
    for x, y in _pixels(reference, fused, _same_bands(reference, fused, valid)):
        part = ErrorSums(x.shape[1], ((x - y) ** 2).sum(axis=1), x.sum(axis=1), float(x.max()))
        sums = merge(sums, part)
    return sums


def ergas_value(sums: ErrorSums, *, ratio: float) -> float:
    """Turn sums into ERGAS; NaN where there is no pixel or a reference band's mean is 0."""
    if sums.count == 0 or not sums.reference.all():
        return math.nan
    relative = (sums.squared / sums.count) / (sums.reference / sums.count) ** 2
    return 100.0 / ratio * math.sqrt(float(relative.mean()))


def ergas(reference: Planes, fused: Planes, *, ratio: float, valid: Mask | None = None) -> float:
    """Return ERGAS, best 0: 100 / ratio times the root mean over bands of MSE over squared reference mean.

    `ratio` is coarse over fine pixel size (4 for most PAN + MS). A pedestal in the data lowers it.
    Source: Wald 2000, Proc. 3rd conf. Fusion of Earth Data, Sophia Antipolis, eq. 9.
    """
    return ergas_value(error_sums(reference, fused, valid=valid), ratio=ratio)


def psnr_value(sums: ErrorSums, *, bits: int | None = None) -> float:
    """Turn sums into PSNR; infinite for equal images, NaN where there is no pixel or no positive peak."""
    peak = peak_of(sums, bits=bits)
    if sums.count == 0 or not peak > 0.0:
        return math.nan
    mse = float(sums.squared.sum()) / (sums.count * sums.squared.size)
    return 10.0 * math.log10(peak * peak / mse) if mse > 0.0 else math.inf


def psnr(reference: Planes, fused: Planes, *, valid: Mask | None = None, bits: int | None = None) -> float:
    """Return the peak signal-to-noise ratio in dB, with the squared error pooled over bands.

    The peak is 2^bits - 1, or the reference's maximum where the depth is not stated.
    Source: Huynh-Thu and Ghanbari 2008, Electronics Letters 44(13), eq. 1.
    """
    return psnr_value(error_sums(reference, fused, valid=valid), bits=bits)


def peak_of(sums: ErrorSums, *, bits: int | None = None) -> float:
    """Return the peak of PSNR and SSIM: 2^bits - 1, else the reference's maximum."""
    return float(2**bits - 1) if bits is not None else sums.highest


def scc_sums(
    reference: Planes, fused: Planes, *, valid: Mask | None = None, core: tuple[slice, slice] = WHOLE
) -> CosineSums:
    """Sum products of Sobel magnitudes over `core`; a tile needs a halo of SCC_HALO_PX inside the image."""
    ok = _same_bands(reference, fused, valid)
    usable = np.zeros_like(ok)
    inside = ok[1:-1, 1:-1]
    usable[1:-1, 1:-1] = ndimage.minimum_filter(inside, size=3, mode="constant", cval=1)
    counted = _within(usable, core)
    product, squares = 0.0, [0.0, 0.0]
    for band in range(reference.shape[0]):
        x, y = (_sobel(_filled(image[band], ok))[counted] for image in (reference, fused))
        product += float(x @ y)
        squares = [squares[0] + float(x @ x), squares[1] + float(y @ y)]
    return CosineSums(product, *squares)


def scc_value(sums: CosineSums) -> float:
    """Turn sums into SCC; NaN where one image has no edge at all."""
    size = math.sqrt(sums.reference) * math.sqrt(sums.fused)
    return sums.product / size if size > 0.0 else math.nan


def scc(reference: Planes, fused: Planes, *, valid: Mask | None = None) -> float:
    """Return the spatial correlation coefficient: the cosine of the Sobel magnitudes of all bands, best 1.

    The outermost pixel is cropped and the rest padded with zeros, as in the toolbox the field compares by.
    Sources: Zhou, Civco and Silander 1998, Int. J. Remote Sensing 19(4); Vivone et al. 2015, IEEE TGRS 53(5).
    """
    return scc_value(scc_sums(reference, fused, valid=valid))


def ssim_sums(
    reference: Planes,
    fused: Planes,
    *,
    peak: float,
    valid: Mask | None = None,
    core: tuple[slice, slice] = WHOLE,
) -> MeanSums:
    """Sum SSIM over the windows centred in `core`, per band; a tile needs a halo of SSIM_HALO_PX.

    `peak` is that of the whole image. Windows that touch an invalid pixel or leave the array are dropped.
    """
    ok = _same_bands(reference, fused, valid)
    window = 2 * SSIM_HALO_PX + 1
    counted = _within(ndimage.minimum_filter(ok, size=window, mode="constant", cval=0), core)
    if not counted.any() or not peak > 0.0:
        return MeanSums(np.zeros(reference.shape[0]), 0)
    pairs = ((_filled(x, ok), _filled(y, ok)) for x, y in zip(reference, fused, strict=True))
    total = np.array([float(_ssim_map(x, y, peak)[counted].sum()) for x, y in pairs])
    return MeanSums(total, int(counted.sum()))


def ssim(reference: Planes, fused: Planes, *, valid: Mask | None = None, bits: int | None = None) -> float:
    """Return the structural similarity, best 1, mean over windows, then bands; NaN where no window is whole.

    Gaussian windows of 11 x 11, sigma 1.5, population variance; the peak is PSNR's.
    Source: Wang, Bovik, Sheikh and Simoncelli 2004, IEEE TIP 13(4), eq. 13-16.
    """
    peak = peak_of(error_sums(reference, fused, valid=valid), bits=bits)
    return mean(ssim_sums(reference, fused, peak=peak, valid=valid))


def r_sam(coarse: Planes, degraded: Planes, *, valid: Mask | None = None) -> float:
    """Return the SAM, degrees, of the fused image degraded to the coarse grid against the observed one.

    Consistency in Wald's sense; back-projection lowers it by construction. Sources: Wald, Ranchin and
    Mangolini 1997, PE&RS 63(6); Scarpa and Ciotola 2022, Remote Sensing 14(8), 1808.
    """
    return sam(coarse, degraded, valid=valid)


def r_ergas(coarse: Planes, degraded: Planes, *, ratio: float, valid: Mask | None = None) -> float:
    """Return the ERGAS of the degraded fused against the observed coarse image. Sources: as `r_sam`."""
    return ergas(coarse, degraded, ratio=ratio, valid=valid)


def r_q2n(coarse: Planes, degraded: Planes, *, valid: Mask | None = None) -> float:
    """Return the Q2n of the degraded fused against the observed coarse image. Sources: as `r_sam`."""
    return q2n(coarse, degraded, valid=valid)


def _same_bands(reference: Planes, fused: Planes, valid: Mask | None) -> Mask:
    ok = check_pair(reference, fused, valid)
    if reference.shape != fused.shape:
        raise UsageError(f"{fused.shape[0]} fused bands", wanted=f"{reference.shape[0]}, as in the reference")
    return ok


def _pixels(reference: Planes, fused: Planes, ok: Mask) -> Iterator[tuple[Floats, Floats]]:
    """Yield the valid pixels (B, n) of a few rows at a time: temporaries stay in the processor's cache."""
    for top in range(0, ok.shape[0], STRIP_ROWS):
        rows = slice(top, top + STRIP_ROWS)
        if ok[rows].any():
            yield (
                reference[:, rows][:, ok[rows]].astype(np.float64),
                fused[:, rows][:, ok[rows]].astype(np.float64),
            )


def _filled(band: Planes, ok: Mask) -> Floats:
    """The band with 0 where it is invalid: windows that touch it are dropped, but NaN would spread."""
    return np.where(ok, band, 0).astype(np.float64)


def _within(usable: Mask, core: tuple[slice, slice]) -> Mask:
    counted = np.zeros_like(usable)
    counted[core] = usable[core]
    return counted


def _sobel(band: Floats) -> Floats:
    magnitude = np.zeros_like(band)
    inner = band[1:-1, 1:-1]
    along_y = ndimage.sobel(inner, axis=0, mode="constant")
    along_x = ndimage.sobel(inner, axis=1, mode="constant")
    magnitude[1:-1, 1:-1] = np.hypot(along_y, along_x)
    return magnitude


def _ssim_map(x: Floats, y: Floats, peak: float) -> Floats:
    mean_x, mean_y = _gaussian(x), _gaussian(y)
    var_x = _gaussian(x * x) - mean_x * mean_x
    var_y = _gaussian(y * y) - mean_y * mean_y
    cov = _gaussian(x * y) - mean_x * mean_y
    c1, c2 = (SSIM_K1 * peak) ** 2, (SSIM_K2 * peak) ** 2
    luminance = (2.0 * mean_x * mean_y + c1) / (mean_x * mean_x + mean_y * mean_y + c1)
    return np.asarray(luminance * (2.0 * cov + c2) / (var_x + var_y + c2), dtype=np.float64)


def _gaussian(band: Floats) -> Floats:
    filtered: Floats = ndimage.gaussian_filter(band, SSIM_SIGMA_PX, radius=SSIM_HALO_PX)
    return filtered
