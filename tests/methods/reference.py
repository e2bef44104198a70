"""The closed-form methods as whole-array arithmetic in float64: what the tiled kernels are held against.

Nothing here comes from geofuse: kernels are evaluated from their formulas into dense matrices, statistics
are numpy's, least squares are solved on the explicit matrices. An axis is a pair ``(scale, offset)``:
coarse = scale * fine + offset. The scene's edges are padded by symmetric reflection (``numpy.pad``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

PAD_CPX = 12
"""Coarse pixels added around the scene: more than any filter here reaches."""
KNOWN_SHARE = 0.5
"""D gives a value where at least this share of its weight is on valid pixels."""
LOW_SHARE = 1e-3
"""The same where D is only brought back up: then any valid pixel near will do."""


def keys_cubic(distance: Array) -> Array:
    """Keys' cubic convolution kernel with a = -1/2 (Keys 1981, IEEE TASSP 29(6), eq. 15)."""
    x = np.abs(distance)
    inner = (1.5 * x - 2.5) * x * x + 1.0
    outer = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.select([x < 1.0, x < 2.0], [inner, outer], 0.0)


def cubic_matrix(axis: tuple[float, float], fine: int, first: int, coarse: int) -> Array:
    """Weights (fine, coarse) of the coarse pixels first, first + 1, ... at each fine pixel's centre."""
    at = axis[0] * np.arange(fine) + axis[1]
    return keys_cubic(at[:, None] - np.arange(first, first + coarse))


def gaussian_sigma(gain: float, ratio: float) -> float:
    """Solve exp(-2 (pi sigma f)^2) = gain at f = 1 / (2 ratio) cycles a fine pixel."""
    return math.sqrt(-math.log(gain) / 2.0) / (math.pi / (2.0 * ratio))


def gaussian_support(gain: float, ratio: float) -> int:
    """Samples to either side of the centre: three standard deviations and one more."""
    return max(2, math.ceil(3.0 * gaussian_sigma(gain, ratio)) + 1)


def gaussian_matrix(
    axis: tuple[float, float], gain: float, coarse: tuple[int, int], first: int, fine: int
) -> Array:
    """Weights (coarse, fine) of the fine pixels first, first + 1, ... in the coarse pixels start..stop."""
    centre = (np.arange(*coarse) - axis[1])[:, None] / axis[0]
    place = np.arange(first, first + fine)
    ratio = 1.0 / axis[0]
    half = gaussian_support(gain, ratio)
    inside = (place > np.floor(centre) - half) & (place <= np.floor(centre) + half)
    weights = np.where(inside, np.exp(-0.5 * ((place - centre) / gaussian_sigma(gain, ratio)) ** 2), 0.0)
    return weights / weights.sum(axis=1, keepdims=True)


def both(rows: Array, image: Array, cols: Array) -> Array:
    """Apply a matrix along the rows and one along the columns of the last two axes."""
    return rows @ image @ cols.T


def symmetric(image: NDArray, pad: int | tuple[int, int]) -> NDArray:
    """Pad the last two axes by reflection that repeats the edge pixel."""
    rows, cols = (pad, pad) if isinstance(pad, int) else pad
    return np.pad(image, [(0, 0)] * (image.ndim - 2) + [(rows, rows), (cols, cols)], mode="symmetric")


def normalised(
    values: Array, valid: Mask, filtered: Callable[[Array], Array], share: float
) -> tuple[Array, Mask]:
    """Filter valid pixels only (Knutsson and Westin 1993); 0 where they weigh less than ``share``."""
    weight = filtered(valid.astype(np.float64))
    known = weight >= share
    return np.where(known, filtered(values * valid) / np.where(known, weight, 1.0), 0.0), known


def filled(values: Array, valid: Mask, steps: int) -> Array:
    """Grow valid pixels into invalid ones, each step by the mean of the valid among the 8 neighbours."""
    ring = np.ones((3, 3))
    for _ in range(steps):
        count = ndimage.convolve(valid.astype(np.float64), ring, mode="constant")
        total = ndimage.convolve(values * valid, ring, mode="constant")
        values = np.where(valid, values, np.where(count > 0.5, total / np.maximum(count, 1.0), 0.0))
        valid = valid | (count > 0.5)
    return values


@dataclass(frozen=True)
class Pair:
    """What the references are given: both images whole, the grids, and the sensor."""

    pan: Array
    """(H, W)."""
    pan_valid: Mask
    """(H, W)."""
    ms: Array
    """(B, h, w)."""
    ms_valid: Mask
    """(h, w)."""
    rows: tuple[float, float]
    """scale, offset of the rows."""
    cols: tuple[float, float]
    """scale, offset of the columns."""
    gains: tuple[float, ...]
    """MTF at the coarse Nyquist per band."""
    names: tuple[str, ...]
    """Band names."""
    weights: tuple[float, ...] | None = None
    """Given intensity weights."""
    ratio_floor: float = 0.5
    """Least denominator of a ratio."""

    @cached_property
    def ratio(self) -> float:
        """Fine pixels per coarse pixel: over the mean of the scales."""
        return 1.0 / (0.5 * self.rows[0] + 0.5 * self.cols[0])

    @cached_property
    def valid(self) -> Mask:
        """Validity of PAN and of the coarse pixel under the centre; halfway: the later, inside."""
        height, width = self.ms.shape[1:]
        row, col = (
            np.minimum(np.floor(scale * np.arange(fine) + offset + 0.5 + 1e-6).astype(int), coarse - 1)
            for (scale, offset), fine, coarse in zip(
                (self.rows, self.cols), self.pan.shape, (height, width), strict=True
            )
        )
        return self.pan_valid & self.ms_valid[np.ix_(row, col)]

    @cached_property
    def _pan_pad(self) -> tuple[int, int]:
        return math.ceil((PAD_CPX + 4) / self.rows[0]), math.ceil((PAD_CPX + 4) / self.cols[0])

    @cached_property
    def _pan(self) -> tuple[Array, Mask]:
        valid = symmetric(self.pan_valid, self._pan_pad)
        return np.where(valid, symmetric(self.pan, self._pan_pad), 0.0), valid

    @cached_property
    def _ms(self) -> tuple[Array, Mask]:
        valid = symmetric(self.ms_valid, PAD_CPX)
        return np.where(valid, symmetric(self.ms, PAD_CPX), 0.0), valid

    def upsampled(self, coarse: Array) -> Array:
        """U: padded coarse planes at the fine centres."""
        (height, width), (h, w) = self.pan.shape, coarse.shape[-2:]
        return both(
            cubic_matrix(self.rows, height, -PAD_CPX, h), coarse, cubic_matrix(self.cols, width, -PAD_CPX, w)
        )

    def degraded(self, gain: float, share: float) -> tuple[Array, Mask]:
        """D(P) over the padded coarse grid, and where it is known (Aiazzi et al. 2006, PE&RS 72(5))."""
        pan, valid = self._pan
        sizes = self.ms_valid.shape
        rows, cols = (
            gaussian_matrix(axis, gain, (-PAD_CPX, size + PAD_CPX), -pad, padded)
            for axis, size, pad, padded in zip(
                (self.rows, self.cols), sizes, self._pan_pad, pan.shape, strict=True
            )
        )
        return normalised(pan, valid, lambda image: both(rows, image, cols), share)

    @cached_property
    def up(self) -> Array:
        """U(M)."""
        ms, valid = self._ms
        return self.upsampled(np.stack([filled(plane, valid, 2) for plane in ms]))

    def low(self, gain: float) -> Array:
        """P_L = U(D(P))."""
        values, known = self.degraded(gain, LOW_SHARE)
        return self.upsampled(filled(values, known, 2))

    @cached_property
    def lows(self) -> Array:
        """P_L of each band (B, H, W)."""
        by_gain = {gain: self.low(gain) for gain in set(self.gains)}
        return np.stack([by_gain[gain] for gain in self.gains])

    def smoothed(self, filtered: Callable[[Array], Array]) -> Array:
        """PAN through a low-pass on its own grid."""
        pan, valid = self._pan
        values, _ = normalised(pan, valid, filtered, 1e-3)
        (height, width), (top, left) = self.pan.shape, self._pan_pad
        return values[top : top + height, left : left + width]

    @cached_property
    def coarse_samples(self) -> tuple[Array, Array, Mask]:
        """M (B, h, w), D(P) at the bands' mean gain (h, w), and where both are known."""
        values, known = self.degraded(float(np.mean(self.gains)), KNOWN_SHARE)
        inner = slice(PAD_CPX, -PAD_CPX), slice(PAD_CPX, -PAD_CPX)
        return self.ms, values[inner], known[inner] & self.ms_valid & self._seen

    @cached_property
    def _seen(self) -> Mask:
        """Coarse pixels whose centre lies inside the fine image."""
        inside = [
            np.abs((np.arange(coarse) - offset) / scale - (fine - 1) / 2.0) < fine / 2.0
            for (scale, offset), fine, coarse in zip(
                (self.rows, self.cols), self.pan.shape, self.ms_valid.shape, strict=True
            )
        ]
        return np.outer(*inside)

    @cached_property
    def blurred_ms(self) -> tuple[Array, Mask]:
        """G(M): each band through its MTF one scale down, not decimated, and where it is known."""
        ms, valid = self._ms
        planes, masks = [], []
        for plane, gain in zip(ms, self.gains, strict=True):
            kernels = []
            for scale, _ in (self.rows, self.cols):
                half = gaussian_support(gain, 1.0 / scale)
                kernel = np.exp(-0.5 * (np.arange(-half, half + 1) / gaussian_sigma(gain, 1.0 / scale)) ** 2)
                kernels.append(kernel / kernel.sum())
            values, known = normalised(plane, valid, _separable(*kernels), KNOWN_SHARE)
            planes.append(values[PAD_CPX:-PAD_CPX, PAD_CPX:-PAD_CPX])
            masks.append(known[PAD_CPX:-PAD_CPX, PAD_CPX:-PAD_CPX])
        return np.stack(planes), np.all(masks, axis=0)

    def ratio_or_one(self, top: Array, bottom: Array, floor: float) -> Array:
        """Divide; 1 where the denominator is below the floor."""
        usable = bottom >= floor
        return np.where(usable, top / np.where(usable, bottom, 1.0), 1.0)


def _separable(rows: Array, cols: Array) -> Callable[[Array], Array]:
    def filtered(image: Array) -> Array:
        along = ndimage.correlate1d(image, rows, axis=0, mode="constant")
        return ndimage.correlate1d(along, cols, axis=1, mode="constant")

    return filtered


def _over(pair: Pair, planes: Sequence[Array]) -> Array:
    """Samples (K, n) of fine planes over the valid output pixels."""
    return np.stack([plane[pair.valid] for plane in planes])


def _matched(pair: Pair, image: Array, to: Array) -> Array:
    """Bring an image to the mean and standard deviation of another, over the valid pixels."""
    (from_mean, from_std), (mean, std) = (
        (plane[pair.valid].mean(), plane[pair.valid].std()) for plane in (image, to)
    )
    return (image - from_mean) * (std / from_std) + mean


def _cov(pair: Pair, first: Array, second: Array) -> float:
    return float(np.cov(_over(pair, [first, second]), bias=True)[0, 1])


def _regressed(pair: Pair) -> tuple[Array, float]:
    """Ordinary least squares of D(P) on M with an intercept."""
    ms, pan, known = pair.coarse_samples
    samples = np.column_stack([*(plane[known] for plane in ms), np.ones(known.sum())])
    solution = np.linalg.lstsq(samples, pan[known], rcond=None)[0]
    return solution[:-1], float(solution[-1])


def exp(pair: Pair) -> Array:
    """U alone: cubic convolution (Keys 1981, IEEE TASSP 29(6))."""
    return pair.up


def brovey(pair: Pair) -> Array:
    """U_b P / I (Gillespie, Kahle and Walker 1987, RSE 22(3))."""
    bands = pair.up.shape[0]
    intensity = np.tensordot(pair.weights or [1.0 / bands] * bands, pair.up, 1)
    return pair.up * pair.ratio_or_one(pair.pan, intensity, pair.ratio_floor)


def ihs(pair: Pair) -> Array:
    """U_b + P' - I (Tu et al. 2001, Information Fusion 2(3))."""
    intensity = pair.up.mean(axis=0)
    return pair.up + _matched(pair, pair.pan, intensity) - intensity


def pca(pair: Pair) -> Array:
    """Replace the first principal component (Chavez and Kwarteng 1989, PE&RS 55(3))."""
    samples = _over(pair, pair.up)
    centred = samples - samples.mean(axis=1, keepdims=True)
    axis = np.linalg.svd(centred, full_matrices=False)[0][:, 0]
    component = np.tensordot(axis, pair.up, 1)
    if _cov(pair, component, pair.pan) < 0.0:
        axis, component = -axis, -component
    return pair.up + axis[:, None, None] * (_matched(pair, pair.pan, component) - component)


def _gram_schmidt(pair: Pair, intensity: Array, pan: Array) -> Array:
    spread = _cov(pair, intensity, intensity)
    gains = np.array([_cov(pair, band, intensity) / spread for band in pair.up])
    return pair.up + gains[:, None, None] * (pan - intensity)


def gs(pair: Pair) -> Array:
    """Gram-Schmidt with the mean as intensity (Laben and Brower 2000, US 6,011,875)."""
    intensity = pair.up.mean(axis=0)
    return _gram_schmidt(pair, intensity, _matched(pair, pair.pan, intensity))


def gsa(pair: Pair) -> Array:
    """Gram-Schmidt adaptive (Aiazzi, Baronti and Selva 2007, IEEE TGRS 45(10))."""
    intensity = np.tensordot(_regressed(pair)[0], pair.up, 1)
    pan = pair.pan - pair.pan[pair.valid].mean() + intensity[pair.valid].mean()
    return _gram_schmidt(pair, intensity, pan)


def bt_h(pair: Pair) -> Array:
    """Brovey with haze correction (Lolli et al. 2017, IEEE GRSL 14(12))."""
    ms, pan, known = pair.coarse_samples
    weights, constant = _regressed(pair)
    share = {"blue": 0.95, "green": 0.45, "red": 0.40, "nir": 0.05}
    if sorted(pair.names) == sorted(share):
        haze = np.array(
            [
                share[name] * np.percentile(plane[known], 1.0, method="inverted_cdf")
                for name, plane in zip(pair.names, ms, strict=True)
            ]
        )
    else:
        haze = np.array([plane[known].min() for plane in ms])
    hazy = float(weights @ haze) + constant
    mean = pan[known].mean()
    spread = np.tensordot(weights, ms, 1)[known].std() / pan[known].std()
    matched = (pair.pan - mean) * spread + mean
    intensity = np.tensordot(weights, pair.up, 1) + constant
    floor = max(0.01 * (mean - hazy), pair.ratio_floor)
    base = haze[:, None, None]
    return (pair.up - base) * pair.ratio_or_one(matched - hazy, intensity - hazy, floor) + base


def bdsd_pc(pair: Pair) -> Array:
    """Band-dependent spatial detail with physical constraints (Vivone 2019, IEEE TGRS 57(9))."""
    ms, pan, known = pair.coarse_samples
    blurred, blurred_known = pair.blurred_ms
    known = known & blurred_known
    samples = np.column_stack([*(plane[known] for plane in blurred), pan[known]])
    bands = ms.shape[0]
    bounds = (np.append(np.full(bands, -np.inf), 0.0), np.append(np.zeros(bands), np.inf))
    gamma = np.stack(
        [
            optimize.lsq_linear(
                samples, (sharp - soft)[known], bounds, method="bvls", tol=1e-14, lsq_solver="exact"
            ).x
            for sharp, soft in zip(ms, blurred, strict=True)
        ]
    )
    return pair.up + np.tensordot(gamma, np.concatenate([pair.up, pair.pan[None]]), 1)


def pracs(pair: Pair) -> Array:
    """Partial replacement adaptive component substitution (Choi, Yu and Kim 2011, IEEE TGRS 49(1))."""
    weights, constant = _regressed(pair)
    intensity = np.tensordot(weights, pair.up, 1) + constant
    matched = _matched(pair, pair.pan, intensity)
    spreads = _over(pair, pair.up).std(axis=1)
    floor = max(0.01 * intensity[pair.valid].mean(), pair.ratio_floor)
    planes = []
    for band, spread in zip(pair.up, spreads, strict=True):
        rho = np.corrcoef(_over(pair, [intensity, band]))[0, 1]
        high = _matched(pair, rho * matched + (1.0 - rho) * band, intensity)
        usable = intensity >= floor
        local = 1.0 - np.abs(1.0 - rho * band / np.where(usable, intensity, 1.0))
        gain = 0.95 * rho * spread / spreads.mean()
        planes.append(band + np.where(usable, gain * local * (high - intensity), 0.0))
    return np.stack(planes)


def _box(pair: Pair) -> Array:
    size = 2 * math.floor(pair.ratio / 2.0 + 1e-9) + 1
    return pair.smoothed(lambda image: ndimage.uniform_filter(image, size, mode="constant"))


def hpf(pair: Pair) -> Array:
    """Box high-pass with matched contrast (Chavez, Sides and Anderson 1991, PE&RS 57(3))."""
    low = _box(pair)
    gains = _over(pair, pair.up).std(axis=1) / low[pair.valid].std()
    return pair.up + gains[:, None, None] * (pair.pan - low)


def sfim(pair: Pair) -> Array:
    """Smoothing-filter intensity modulation (Liu 2000, Int. J. Remote Sensing 21(18))."""
    return pair.up * pair.ratio_or_one(pair.pan, _box(pair), pair.ratio_floor)


def awlp(pair: Pair) -> Array:
    """Additive wavelet luminance proportional (Otazu et al. 2005, IEEE TGRS 43(10))."""

    def atrous(image: Array) -> Array:
        for level in range(max(1, math.ceil(math.log2(pair.ratio) - 1e-9))):
            spline = np.zeros(4 * 2**level + 1)
            spline[:: 2**level] = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0
            image = _separable(spline, spline)(image)
        return image

    low = pair.smoothed(atrous)
    intensity = pair.up.mean(axis=0)
    match = intensity[pair.valid].std() / low[pair.valid].std()
    floor = max(0.01 * intensity[pair.valid].mean(), pair.ratio_floor)
    return pair.up * pair.ratio_or_one(intensity + match * (pair.pan - low), intensity, floor)


def _glp_gains(pair: Pair) -> Array:
    return np.array(
        [_cov(pair, band, low) / _cov(pair, low, low) for band, low in zip(pair.up, pair.lows, strict=True)]
    )


def mtf_glp(pair: Pair) -> Array:
    """MTF-matched Laplacian pyramid, regression gains (Aiazzi et al. 2006, PE&RS 72(5))."""
    return pair.up + _glp_gains(pair)[:, None, None] * (pair.pan - pair.lows)


def mtf_glp_fs(pair: Pair) -> Array:
    """The same with gains found at full scale (Vivone, Restaino and Chanussot 2018, IEEE TIP 27(7))."""
    gains = np.array(
        [
            _cov(pair, band, pair.pan) / _cov(pair, low, pair.pan)
            for band, low in zip(pair.up, pair.lows, strict=True)
        ]
    )
    return pair.up + gains[:, None, None] * (pair.pan - pair.lows)


def mtf_glp_hpm(pair: Pair) -> Array:
    """High-pass modulation (Vivone et al. 2014, IEEE GRSL 11(5))."""
    return pair.up * pair.ratio_or_one(pair.pan, pair.lows, pair.ratio_floor)


def hpm_r_slopes(pair: Pair, steepest: float) -> Array:
    """Local slopes U / (P_L + c), at most so many scene slopes; 0 where the scene's own is not positive."""
    means = _over(pair, pair.up).mean(axis=1)
    gains = np.where(means > 0.0, np.maximum(_glp_gains(pair), 0.0), 0.0)[:, None, None]
    some = gains > 0.0
    constants = means[:, None, None] / np.where(some, gains, 1.0) - pair.pan[pair.valid].mean()
    below = pair.lows + constants
    usable = below >= pair.ratio_floor
    local = np.where(usable, pair.up / np.where(usable, below, 1.0), np.inf)
    return np.where(some, np.minimum(local, steepest * gains), 0.0)


def mtf_glp_hpm_r(pair: Pair) -> Array:
    """Modulation with regressed radiometry (Vivone, Restaino and Chanussot 2018, IEEE TGRS 56(3))."""
    return pair.up + hpm_r_slopes(pair, 2.0) * (pair.pan - pair.lows)


REFERENCES: dict[str, Callable[[Pair], Array]] = {
    "exp": exp,
    "brovey": brovey,
    "ihs": ihs,
    "pca": pca,
    "gs": gs,
    "gsa": gsa,
    "bt-h": bt_h,
    "bdsd-pc": bdsd_pc,
    "pracs": pracs,
    "hpf": hpf,
    "sfim": sfim,
    "awlp": awlp,
    "mtf-glp": mtf_glp,
    "mtf-glp-fs": mtf_glp_fs,
    "mtf-glp-hpm": mtf_glp_hpm,
    "mtf-glp-hpm-r": mtf_glp_hpm_r,
}
