"""Quality at full resolution, without a reference: D_lambda, D_s, QNR, D_lambda^K, HQNR, D_rho.

Read them together and with care: plain upsampling has D_lambda = 0 by construction, a residual shift
dominates D_s, and differences of HQNR under 0.005 over twenty images are noise.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from geofuse.errors import UsageError
from geofuse.geometry import AxisMap, Floats, Mask, Taps, cubic_taps
from geofuse.methods.resampling import resampled
from geofuse.metrics.q2n import MeanSums, Planes, check_pair, mean, means, q2n, q_pair_sums, q_sums

FLAT_WINDOW = 1e-12
"""Variance over mean square below which a window has no structure: above float64's rounding alone."""


def d_lambda_value(fused: MeanSums, upsampled: MeanSums) -> float:
    """Turn the `q_pair_sums` of the fused and the upsampled image into D_lambda; 0 for a single band."""
    if fused.total.size == 0:
        return 0.0
    return float(np.abs(means(fused) - means(upsampled)).mean())


def d_lambda(fused: Planes, upsampled: Planes, *, valid: Mask | None = None) -> float:
    """Return the spectral distortion: mean change of Q between band pairs from upsampled MS to fused, best 0.

    Images (B, H, W) on the fine grid. A single band has no pair: 0. NaN where no block is whole.
    Source: Alparone et al. 2008, PE&RS 74(2), eq. 7 with p = 1.
    """
    return d_lambda_value(q_pair_sums(fused, valid=valid), q_pair_sums(upsampled, valid=valid))


def d_s_value(fused_pan: MeanSums, upsampled_low: MeanSums) -> float:
    """Turn ``q_sums(fused, pan)`` and ``q_sums(upsampled, pan_low)`` into D_s."""
    return float(np.abs(means(fused_pan) - means(upsampled_low)).mean())


def d_s(
    fused: Planes, pan: Planes, *, upsampled: Planes, pan_low: Planes, valid: Mask | None = None
) -> float:
    """Return the spatial distortion: mean change of a band's Q with PAN from coarse to fine scale, best 0.

    fused, upsampled (B, H, W); pan, pan_low (1, H, W), the latter from `pan_low`: without its antialiasing
    the number more than doubles. Source: Alparone et al. 2008, PE&RS 74(2), eq. 8 with q = 1.
    """
    return d_s_value(q_sums(fused, pan, valid=valid), q_sums(upsampled, pan_low, valid=valid))


def qnr(d_lambda: float, d_s: float) -> float:
    """Return QNR, best 1, from D_lambda and D_s. Source: Alparone et al. 2008, PE&RS 74(2), eq. 9."""
    return (1.0 - d_lambda) * (1.0 - d_s)


def d_lambda_k(fused_low: Planes, upsampled: Planes, *, valid: Mask | None = None) -> float:
    """Return Khan's spectral distortion, best 0: 1 - Q2n of MTF-filtered fused against upsampled MS.

    fused_low (B, H, W) is filtered with the sensor's MTF per band but not decimated.
    Source: Khan, Alparone and Chanussot 2009, IEEE TGRS 47(11).
    """
    return 1.0 - q2n(upsampled, fused_low, valid=valid)


def hqnr(d_lambda_k: float, d_s: float) -> float:
    """Return the hybrid QNR, best 1, from D_lambda^K and D_s. Source: Aiazzi et al. 2014, Proc. SPIE 9244."""
    return (1.0 - d_lambda_k) * (1.0 - d_s)


def d_rho_window(ratio: float) -> int:
    """Return D_rho's window in pixels: the ratio, made odd. A tile's halo is half of it, rounded down.

    >>> [d_rho_window(r) for r in (2, 3, 4, 4.016)]
    [3, 3, 5, 5]
    """
    return round(ratio) | 1


def d_rho_sums(
    fused: Planes,
    pan: Planes,
    *,
    ratio: float,
    valid: Mask | None = None,
    core: tuple[slice, slice] = (slice(None), slice(None)),
) -> MeanSums:
    """Sum 1 - local correlation over the windows centred in `core`, per band.

    Windows that touch an invalid pixel or leave the array are dropped, and those in which PAN is flat, for
    it says nothing there; a band that is flat where PAN is not counts as uncorrelated.
    """
    ok = check_pair(fused, pan, valid)
    window = d_rho_window(ratio)
    usable = ndimage.minimum_filter(ok, size=window, mode="constant", cval=0)
    p = np.where(ok, pan[0], 0).astype(np.float64)
    mean_p, var_p, flat_p = _local(p, window)
    counted = np.zeros_like(ok)
    counted[core] = (usable & ~flat_p)[core]
    total = np.zeros(fused.shape[0])
    for band in range(fused.shape[0]):
        f = np.where(ok, fused[band], 0).astype(np.float64)
        mean_f, var_f, flat_f = _local(f, window)
        cov = _box(f * p, window) - mean_f * mean_p
        seen = counted & ~flat_f
        rho = np.clip(cov[seen] / np.sqrt(var_f[seen] * var_p[seen]), -1.0, 1.0)
        total[band] = float(counted.sum()) - float(rho.sum())
    return MeanSums(total, int(counted.sum()))


def d_rho(fused: Planes, pan: Planes, *, ratio: float, valid: Mask | None = None) -> float:
    """Return the mean of 1 - local correlation of each band with PAN over sliding windows, in [0, 2], best 0.

    fused (B, H, W), pan (1, H, W). Source: Scarpa and Ciotola 2022, Remote Sensing 14(8), 1808, section 3.2.
    """
    return mean(d_rho_sums(fused, pan, ratio=ratio, valid=valid))


def pan_low(pan: Planes, *, axis_y: AxisMap, axis_x: AxisMap, coarse_shape: tuple[int, int]) -> Floats:
    """Return PAN at the coarse scale, as D_s wants it: antialiased cubic to the coarse grid, cubic back.

    pan (P, H, W), `coarse_shape` (h, w) -> (P, H, W). The down-sampling kernel is Keys' cubic stretched by
    the ratio, the convention of the toolboxes behind the published tables. Source: Vivone et al. 2021, IEEE
    GRSM 9(1).
    """
    height, width = pan.shape[1:]
    low = resampled(pan, _stretched_cubic(axis_y, coarse_shape[0]), _stretched_cubic(axis_x, coarse_shape[1]))
    return resampled(low, cubic_taps(axis_y, 0, height), cubic_taps(axis_x, 0, width))


def _stretched_cubic(axis: AxisMap, coarse_size: int) -> Taps:
    if axis.scale > 1.0:
        raise UsageError(
            f"a fine grid coarser than the coarse one ({axis.scale:g})", wanted="a ratio of 1 or more"
        )
    at = (np.arange(coarse_size, dtype=np.float64) - axis.offset) / axis.scale
    first = np.ceil(at - 2.0 / axis.scale).astype(np.int64)
    place = first[:, None] + np.arange(math.ceil(4.0 / axis.scale) + 1, dtype=np.int64)
    distance = np.abs(place - at[:, None]) * axis.scale
    near = (1.5 * distance - 2.5) * distance**2 + 1.0
    far = ((2.5 - 0.5 * distance) * distance - 4.0) * distance + 2.0
    weights = np.where(distance < 1.0, near, np.where(distance < 2.0, far, 0.0))
    weights /= weights.sum(axis=1, keepdims=True)
    return Taps(0, first, weights.astype(np.float32))


def _local(band: Floats, window: int) -> tuple[Floats, Floats, Mask]:
    """Local mean, variance, and where there is none."""
    centre, power = _box(band, window), _box(band * band, window)
    var = power - centre * centre
    return centre, var, var <= FLAT_WINDOW * power


def _box(band: Floats, window: int) -> Floats:
    # Direct sums, not a running one: with that a pixel's value would depend on where the tile begins.
    weights = np.full(window, 1.0 / window)
    rows = ndimage.correlate1d(band, weights, axis=0, mode="constant")
    both: Floats = ndimage.correlate1d(rows, weights, axis=1, mode="constant")
    return both
