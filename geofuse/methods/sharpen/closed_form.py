"""The machinery all closed-form methods share: layers of a patch, what to collect, and the injection.

Every such method is a small fit that turns scene-wide moments into the coefficients of one of four pixel-wise
forms (kernels.inject). Layers are made strip by strip so that they stay in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import Taps, Window, gaussian_reach_px, gaussian_sigma_px
from geofuse.kernels import inject
from geofuse.kernels.resample import fill, resample_valid
from geofuse.methods.base import (
    About,
    After,
    Coefficient,
    Fused,
    Options,
    Params,
    Pass,
    Patch,
    Reach,
    Strip,
    keep_shares,
)
from geofuse.methods.observation import (
    CUBIC_REACH_CPX,
    Lifted,
    Observation,
    ShiftField,
    axes_at,
    bands_by,
    coarse_window_bands,
    degrade,
    departure_cpx,
)
from geofuse.methods.sums import Histogram, Moments, MomentSums, histogram_of

PASSES = {"fine": Pass("fine", grid="fine"), "haze": Pass("haze", needed=False)}
"""Passes that are not simply needed and over the MS pixels."""
STRIP_ROWS = 64
FILL_CPX = CUBIC_REACH_CPX
"""The coarse pixel under a valid output pixel has a value: once filled, so has all that its cubic touches."""
LEAST_LOW_SHARE = 1e-3
"""A low-passed PAN takes any valid PAN it sees: so it always has a value under a valid output pixel."""
B3_SPLINE = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0


@dataclass(frozen=True, slots=True)
class Fine:
    """Joint moments on the fine grid, by name: bands, PAN, low-passed PAN."""

    moments: Moments
    """Of (U_1..U_B, P, P_L_1..P_L_G)."""
    bands: int
    """B."""
    group: tuple[int, ...]
    """Which P_L belongs to each band."""

    def low(self, band: int) -> int:
        """Return the variable's index of the band's low-passed PAN."""
        return self.bands + 1 + self.group[band]


@dataclass(frozen=True, slots=True)
class ClosedForm:
    """A closed-form method: which low-pass it uses, what it collects, how it fits."""

    about: About
    """Name and source."""
    form: str
    """Injection: "exp", "linear", "ratio", "modulate" or "partial"."""
    solve: Callable[[Mapping[str, Any], Options], dict[str, Coefficient]]
    """Turns what was collected into the form's coefficients."""
    low: str = "none"
    """Low-passed PAN: "none", "glp" (sensor MTF, decimated), "box" or "atrous"."""
    collects: tuple[str, ...] = ()
    """Of "fine", "coarse", "coarser", "haze"."""

    def passes(self, options: Options) -> Sequence[Pass]:
        """Name what to collect over the scene."""
        return tuple(PASSES.get(name) or Pass(name) for name in self.collects)

    def halo(self, observation: Observation, *, options: Options) -> Reach:
        """Reach of the cubic kernel, the fill of nodata, and the filters that `collect` and `apply` use.

        A fine centre lies within half a coarse pixel of its nearest one, and a core's own coarse centres
        within half a fine pixel of the core.
        """
        ratio = options.largest_ratio or options.ratio
        sensor = gaussian_reach_px(min(observation.mtf_gain), ratio)
        stray = stray_cpx(observation, 2.0 / options.ratio - 1.0 / ratio)
        coarse, fine = CUBIC_REACH_CPX + FILL_CPX + 2 * stray, 0
        if self.low == "glp":
            fine = math.ceil((coarse + stray + 0.5) * ratio) + sensor
        elif self.low in ("box", "atrous"):
            fine = fine_filter(self.low, options.ratio).size // 2
        if "coarse" in self.collects or "coarser" in self.collects:
            fine = max(fine, sensor + math.ceil(stray * ratio))
        if "coarser" in self.collects:
            coarse = max(coarse, sensor + 1)
        return Reach(fine, coarse)

    def collect(
        self, name: str, patch: Patch, observation: Observation, *, options: Options, state: Mapping[str, Any]
    ) -> Moments | Histogram:
        """Collect one pass over the patch's core."""
        if name == "fine":
            return self._fine_moments(patch, observation, options)
        if name == "haze":
            low, high = state["coarse"].low[:-1], state["coarse"].high[:-1]
            planes, _, valid = coarse_core(patch, observation)
            return histogram_of(planes, valid, low, high)
        planes, pan, valid = coarse_core(patch, observation)
        if name == "coarser":
            blurred, blurred_valid = coarser_core(patch, observation)
            planes = np.concatenate([planes, blurred])
            valid = valid & blurred_valid
        sums = MomentSums(planes.shape[0] + 1, extremes="haze" in self.collects)
        sums.add(np.concatenate([planes, pan]), valid)
        return sums.done()

    def _fine_moments(self, patch: Patch, observation: Observation, options: Options) -> Moments:
        sums: MomentSums | None = None
        for rows, up, pan, low in self._strips(patch, observation, options):
            planes = np.concatenate([up, pan[None], low])
            sums = sums or MomentSums(planes.shape[0])
            sums.add(planes, patch.valid[rows])
        assert sums is not None
        return sums.done()

    def fit(self, collected: Mapping[str, Any], observation: Observation, *, options: Options) -> Params:
        """Fit the coefficients once for the whole scene."""
        known = dict(collected)
        if "fine" in known:
            known["fine"] = Fine(known["fine"], len(options.names), tuple(self._groups(observation).tolist()))
        return Params(self.about.name, self.solve(known, options))

    def _groups(self, observation: Observation) -> NDArray[np.int64]:
        groups, _ = low_groups(observation)
        return groups if self.low == "glp" else np.zeros_like(groups)

    def apply(
        self, patch: Patch, params: Params, observation: Observation, *, options: Options, after: After
    ) -> Fused:
        """Fuse the core strip by strip, so that no plane of floats is ever whole."""
        return Fused(self._fused(patch, params, observation, options, after), shares_kept=True)

    def _fused(
        self, patch: Patch, params: Params, observation: Observation, options: Options, after: After
    ) -> Iterator[Strip]:
        group = self._groups(observation)
        kind = patch.target.values.dtype.type
        values = {key: _typed(value, kind) for key, value in params.values.items()}
        for rows, up, pan, low in self._strips(patch, observation, options):
            plain = up.copy() if after.cuts else up
            if self.form == "linear":
                inject.linear(up, pan, low, group, **values)
            elif self.form == "ratio":
                inject.ratio(up, pan, low, **values)
            elif self.form == "modulate":
                inject.modulate(up, pan, low, group, **values)
            elif self.form == "partial":
                inject.partial(up, pan, **values)
            if after.cuts:
                keep_shares(plain, up, after.shares)
            yield rows, up

    def _strips(
        self, patch: Patch, observation: Observation, options: Options
    ) -> Iterator[tuple[slice, NDArray[Any], NDArray[Any], NDArray[Any]]]:
        """Yield rows of the core with U (B, n, W), P (n, W) and P_L (G, n, W)."""
        row0, row1, col0, col1 = patch.core
        bands = patch.target.values.shape[0]
        stack, origin = coarse_layers(patch, observation, with_low=self.low == "glp")
        smooth = fine_low(patch, self.low, options.ratio) if self.low in ("box", "atrous") else None
        wide = Widened(patch, stack, origin, layer_shifts(observation, stack.shape[0]), observation.field)
        top, left = row0 - patch.guides_origin[0], col0 - patch.guides_origin[1]
        guide = patch.guides[0] if self.form == "exp" else patch.guide  # upsampling looks at none
        for start in range(0, row1 - row0, STRIP_ROWS):
            rows = slice(start, min(start + STRIP_ROWS, row1 - row0))
            planes = wide.rows(row0 + rows.start, row0 + rows.stop)
            pan = guide[top + rows.start : top + rows.stop, left : left + col1 - col0]
            low = planes[bands:] if smooth is None else smooth[:, rows]
            yield rows, planes[:bands], pan, low


class Widened:
    """Coarse layers (K, h, w), each lifted to the fine grid by its own shift, strip by strip."""

    def __init__(
        self,
        patch: Patch,
        stack: NDArray[Any],
        origin: tuple[int, int],
        shifts: Sequence[tuple[float, float]],
        field: ShiftField | None,
    ) -> None:
        self.count = stack.shape[0]
        cols = patch.core[2], patch.core[3]
        self.parts = []
        for shift, layers in bands_by(shifts):
            axes = axes_at((patch.target.axis_y, patch.target.axis_x), shift, field)
            chosen = stack if len(layers) == self.count else stack[layers]
            self.parts.append((layers, Lifted(chosen, origin, axes, cols)))

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Return fine rows of all layers (K, n, W)."""
        if len(self.parts) == 1:
            return self.parts[0][1].rows(start, stop)
        found = [(layers, part.rows(start, stop)) for layers, part in self.parts]
        out = np.empty((self.count, *found[0][1].shape[1:]), found[0][1].dtype)
        for layers, planes in found:
            out[layers] = planes
        return out


def _typed(value: Any, kind: type[np.floating[Any]]) -> Any:
    return np.asarray(value, kind) if isinstance(value, list) else kind(value)


def low_groups(
    observation: Observation,
) -> tuple[NDArray[np.int64], list[tuple[float, tuple[float, float]]]]:
    """Return each band's group and the distinct (MTF gain, shift): such bands share one low-passed PAN."""
    keys = list(zip(observation.mtf_gain, observation.shifts_px, strict=True))
    distinct = list(dict.fromkeys(keys))
    return np.array([distinct.index(key) for key in keys], np.int64), distinct


def layer_shifts(observation: Observation, count: int) -> list[tuple[float, float]]:
    """Return the shift of each of `coarse_layers`' planes: the bands', then the low-passed PANs'."""
    shifts = [*observation.shifts_px, *(shift for _, shift in low_groups(observation)[1])]
    return shifts[:count]


def stray_cpx(observation: Observation, scale: float) -> int:
    """Return how many coarse pixels the largest shift leads away from where the grids point."""
    largest = max(max(abs(dy), abs(dx)) for dy, dx in (*observation.shifts_px, observation.shift_px))
    return math.ceil(largest * scale - 1e-6) + departure_cpx(observation.field, scale)


def coarse_layers(
    patch: Patch, observation: Observation, *, with_low: bool
) -> tuple[NDArray[Any], tuple[int, int]]:
    """Return the filled coarse planes (B + G, h, w) that the core's upsampling touches, and their origin.

    The G last are PAN as the coarse sensor would see it, one for each distinct MTF gain and shift, if wanted.
    The fill reaches as far as a shift may lead from a valid pixel.
    """
    axes = (patch.target.axis_y, patch.target.axis_x)
    reach = FILL_CPX + stray_cpx(observation, max(axes[0].scale, axes[1].scale))
    window = coarse_window_bands(axes, patch.core, observation, reach)
    part = coarse_part(patch, window)
    layers = [fill(patch.target.values[:, *part], patch.target.valid[part], reach)]
    if with_low:
        for gain, shift in low_groups(observation)[1]:
            low, low_valid = degrade(
                patch.guides,
                patch.guides_valid,
                patch.guides_origin,
                axes_at(axes, shift, observation.field),
                window,
                gain=gain,
                minimum=LEAST_LOW_SHARE,
            )
            layers.append(fill(low, low_valid, reach))
    return (np.concatenate(layers) if with_low else layers[0]), (window[0], window[2])


def coarse_part(patch: Patch, window: Window) -> tuple[slice, slice]:
    """Return where a coarse window lies in the patch's planes; IndexError if the patch ends before."""
    (top, left), (height, width) = patch.target.origin, patch.target.valid.shape
    r0, r1, c0, c1 = window[0] - top, window[1] - top, window[2] - left, window[3] - left
    if min(r0, c0) < 0 or r1 > height or c1 > width:
        raise IndexError(f"window {window} leaves a patch of {height} x {width} from {patch.target.origin}")
    return slice(r0, r1), slice(c0, c1)


def coarse_core(
    patch: Patch, observation: Observation
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
    """Return M (B, h, w), degraded PAN (1, h, w) and validity for the coarse pixels centred in the core.

    Every coarse pixel belongs to exactly one core: that which holds the fine pixel under its centre.
    """
    window = owned_window(patch)
    part = coarse_part(patch, window)
    axes = axes_at((patch.target.axis_y, patch.target.axis_x), observation.shift_px, observation.field)
    pan, pan_valid = degrade(
        patch.guides, patch.guides_valid, patch.guides_origin, axes, window, gain=observation.joint_gain
    )
    return patch.target.values[:, *part], pan, patch.target.valid[part] & pan_valid


def owned_window(patch: Patch) -> Window:
    """Return the coarse row0, row1, col0, col1 whose centres lie in the core."""
    out: list[int] = []
    for axis, start, stop in (
        (patch.target.axis_y, patch.core[0], patch.core[1]),
        (patch.target.axis_x, patch.core[2], patch.core[3]),
    ):
        out += [math.ceil(axis.scale * (edge - 0.5) + axis.offset - 1e-9) for edge in (start, stop)]
    return out[0], out[1], out[2], out[3]


def coarser_core(patch: Patch, observation: Observation) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return M low-passed one scale further down, without decimation, for the same coarse pixels."""
    r0, r1, c0, c1 = owned_window(patch)
    planes, masks = [], []
    for band, gain in enumerate(observation.mtf_gain):
        rows = steady_taps(gaussian_kernel(gain, 1.0 / patch.target.axis_y.scale), r0, r1)
        cols = steady_taps(gaussian_kernel(gain, 1.0 / patch.target.axis_x.scale), c0, c1)
        plane, mask = resample_valid(
            patch.target.values[band : band + 1], patch.target.valid, rows, cols, patch.target.origin
        )
        planes.append(plane)
        masks.append(mask)
    return np.concatenate(planes), np.logical_and.reduce(masks)


def gaussian_kernel(gain: float, ratio: float) -> NDArray[np.float64]:
    """Return the 1-D MTF filter on its own grid, of odd length: ``gain`` at the Nyquist ``ratio`` down."""
    sigma, reach = gaussian_sigma_px(gain, ratio), gaussian_reach_px(gain, ratio)
    return np.asarray(np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2))


def fine_filter(low: str, ratio: float) -> NDArray[np.float64]:
    """Return the 1-D kernel of a fine-grid low-pass, of odd length.

    "box": 2 floor(R / 2) + 1 pixels. "atrous": the B3 spline cascade over ceil(log2 R) dyadic levels
    (Nunez et al. 1999, IEEE TGRS 37(3)).
    """
    if low == "box":
        size = 2 * int(ratio / 2.0 + 1e-9) + 1
        return np.full(size, 1.0 / size)
    kernel = np.ones(1)
    for level in range(max(1, math.ceil(math.log2(ratio) - 1e-9))):
        dilated = np.zeros(4 * 2**level + 1)
        dilated[:: 2**level] = B3_SPLINE
        kernel = np.convolve(kernel, dilated)
    return kernel


def steady_taps(kernel: NDArray[np.float64], start: int, stop: int) -> Taps:
    """Return the table of a kernel of odd length that is the same for every output and keeps the grid."""
    first = np.arange(start, stop, dtype=np.int64) - kernel.size // 2
    weights = np.broadcast_to((kernel / kernel.sum()).astype(np.float32), (stop - start, kernel.size))
    return Taps(start, first, np.ascontiguousarray(weights))


def fine_low(patch: Patch, low: str, ratio: float) -> NDArray[Any]:
    """Return PAN low-passed on its own grid over the core (1, H, W)."""
    kernel = fine_filter(low, ratio)
    row0, row1, col0, col1 = patch.core
    values, _ = resample_valid(
        patch.guides,
        patch.guides_valid,
        steady_taps(kernel, row0, row1),
        steady_taps(kernel, col0, col1),
        patch.guides_origin,
        minimum=LEAST_LOW_SHARE,
    )
    return values


def slope(top: float, bottom: float) -> float:
    """Divide, giving 0 where the scene is flat: no variance, no detail to inject."""
    return top / bottom if bottom > 1e-12 * abs(top) else 0.0


def floor_of(mean: float, options: Options) -> float:
    """Return the smallest denominator a ratio may have: 1 % of its mean, at least half a DN (or 1e-6)."""
    return max(0.01 * mean, 0.5 if options.whole else 1e-6)
