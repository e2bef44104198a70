"""The scene one scale down, where the MS is the truth: what a model of PAN's detail can be fitted to.

PAN is seen on the MS grid as p = D(P); D and U between that grid and one R times coarser then play the part they
play between PAN and MS, at each of the R x R phases of the decimation. Source of the protocol: Wald, Ranchin and
Mangolini 1997, PE&RS 63(6).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import (
    TABLES,
    Axes,
    AxisMap,
    Taps,
    Window,
    cubic_taps,
    gaussian_reach_px,
    gaussian_taps,
    reach_coarse,
    shifted,
)
from geofuse.kernels.resample import resample_valid
from geofuse.kernels.stencil import MARGIN, SIDE, detail_of, shares_of
from geofuse.methods.base import Patch
from geofuse.methods.observation import (
    CUBIC_REACH_CPX,
    Observation,
    axes_at,
    bands_by,
    coarse_window,
    degrade,
)
from geofuse.methods.sharpen.closed_form import coarse_part, owned_window

ALIKE_PX = 0.1
"""Bands whose shifts differ by less share their features in the fit: a tenth of that, one scale down, is nothing."""
HALF = 0.499
"""Least share of valid weight: just under half, so that a straight edge through a centre is no matter of rounding."""
COMPLETE = math.inf
"""As the least share of valid weight: nothing may be missing."""


@dataclass(frozen=True, slots=True)
class Features:
    """Features and targets over the coarse pixels of a core, at one phase of the decimation."""

    detail: NDArray[Any]
    """(h + 4, w + 4): p - U(D(p)), with a border for the 5 x 5 taps."""
    ratios: NDArray[Any]
    """(B, h, w): U(D(M))_k d / U(D(p))."""
    corrections: NDArray[Any]
    """(B, h, w): U of what back-projection would add to D(M)."""
    spectra: NDArray[Any]
    """(B, h, w): U(D(M))."""
    targets: NDArray[Any]
    """(b, h, w): M - U(D(M)) of the bands fitted."""
    seen: NDArray[np.bool_]
    """(h, w): where everything above is known."""


@dataclass(frozen=True, slots=True)
class Coarse:
    """The pair on the MS grid: PAN as these bands see it, and all bands."""

    pan: NDArray[Any]
    """p = D(P) (1, h, w)."""
    pan_known: NDArray[np.bool_]
    """(h, w)."""
    pan_window: Window
    """Where p lies on the MS grid."""
    bands: NDArray[Any]
    """M (B, h, w)."""
    bands_known: NDArray[np.bool_]
    """(h, w)."""
    bands_window: Window
    """Where M lies on the MS grid."""


def alike(observation: Observation) -> list[tuple[tuple[float, float], list[int]]]:
    """Group the bands whose shifts agree within a tenth of a fine pixel: (shift of the first, bands)."""
    groups: list[tuple[tuple[float, float], list[int]]] = []
    for band, shift in enumerate(observation.shifts_px):
        for first, members in groups:
            if max(abs(shift[0] - first[0]), abs(shift[1] - first[1])) < ALIKE_PX:
                members.append(band)
                break
        else:
            groups.append((shift, [band]))
    return groups


@lru_cache(TABLES)
def there_and_back(axis: AxisMap, gain: float, start: int, stop: int) -> Taps:
    """Tabulate D(U(.)) along an axis, from the coarse grid to its own pixels ``[start, stop)``.

    The table's size depends on ratio and gain alone, each row sums to 1.
    """
    down = gaussian_taps(axis, gain, start, stop)
    count, width = down.weights.shape
    up = cubic_taps(axis, *reach_coarse(down))
    place = down.first[:, None] + np.arange(width) - up.start
    reach = back_reach_cpx(gain, 1.0 / axis.scale)
    first = np.arange(start, stop, dtype=np.int64) - reach
    taps = up.weights.shape[1]
    at = (up.first[place] - first[:, None])[:, :, None] + np.arange(taps)
    flat = at + (np.arange(count) * (2 * reach + 1))[:, None, None]
    parts = down.weights[:, :, None] * up.weights[place]
    weights = np.zeros(count * (2 * reach + 1))
    np.add.at(weights, flat.ravel(), parts.ravel())  # in the order given: the same sums for any window
    return Taps(start, first, weights.reshape(count, -1))


def back_reach_cpx(gain: float, ratio: float) -> int:
    """Return how many coarse pixels `there_and_back` reaches to either side of its own."""
    return math.floor(gaussian_reach_px(gain, ratio) / ratio + 1e-9) + CUBIC_REACH_CPX


def consistent_target(
    coarse: NDArray[Any],
    known: NDArray[np.bool_],
    origin: tuple[int, int],
    axes: Axes,
    window: Window,
    *,
    gain: float,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return M - D(U(M)) (B, h, w) over a coarse window, and where at least half of D(U(M)) is known.

    It is what one back-projection adds to plain upsampling, before it is upsampled itself; 0 where unknown.
    """
    rows = there_and_back(axes[0], gain, window[0], window[1])
    cols = there_and_back(axes[1], gain, window[2], window[3])
    seen, seen_known = resample_valid(coarse, known, rows, cols, origin, minimum=HALF)
    own = _part(window, (origin[0], 0, origin[1], 0))
    both = seen_known & known[own]
    return np.where(both, coarse[:, *own] - seen, coarse.dtype.type(0.0)), both


def pan_reach_cpx(gain: float, ratio: float) -> int:
    """Return how far, on the MS grid, p is needed around a pixel: its taps' own low-passed p."""
    return MARGIN + math.floor(CUBIC_REACH_CPX * ratio + 1e-9) + gaussian_reach_px(gain, ratio)


def bands_reach_cpx(gains: Sequence[float], ratio: float, apart_cpx: float = 0.0) -> int:
    """Return how far, on the MS grid, M is needed around a pixel: the back-projection of D(M)."""
    back = max(back_reach_cpx(gain, ratio) for gain in gains)
    reach = max(gaussian_reach_px(gain, ratio) for gain in gains)
    return math.floor((CUBIC_REACH_CPX + back) * ratio + 1e-9) + reach + math.ceil(apart_cpx)


def coarse_pair(patch: Patch, observation: Observation, shift_px: tuple[float, float]) -> Coarse:
    """See the patch's PAN on the MS grid as bands of a shift do, as far as `features` needs around the core."""
    axes = (patch.target.axis_y, patch.target.axis_x)
    window = owned_window(patch)
    gain = observation.joint_gain
    pan_window = _around(window, [pan_reach_cpx(gain, 1.0 / axis.scale) for axis in axes])
    pan, pan_known = degrade(
        patch.guides,
        patch.guides_valid,
        patch.guides_origin,
        axes_at(axes, shift_px, observation.field),
        pan_window,
        gain=gain,
        minimum=HALF,
    )
    apart = [
        max(abs(own[at] - shift_px[at]) for own in observation.shifts_px) * axis.scale
        for at, axis in enumerate(axes)
    ]
    bands_window = _around(
        window,
        [
            bands_reach_cpx(observation.mtf_gain, 1.0 / axis.scale, far)
            for axis, far in zip(axes, apart, strict=True)
        ],
    )
    part = coarse_part(patch, bands_window)
    return Coarse(
        pan, pan_known, pan_window, patch.target.values[:, *part], patch.target.valid[part], bands_window
    )


def features(
    patch: Patch,
    observation: Observation,
    coarse: Coarse,
    *,
    shift_px: tuple[float, float],
    members: list[int],
    floor: float,
) -> Iterator[Features]:
    """Yield the features of the bands ``members``, which share a shift, at each phase of the decimation.

    The phases are the ceil(R) x ceil(R) whole offsets of the coarser grid from the sub-pixel phase that the MS has
    on PAN. Other bands are brought to the place of ``members`` by the phase of their own D.
    """
    window = owned_window(patch)
    around = _around(window, (MARGIN, MARGIN))
    own, inner = _part(around, coarse.pan_window), _part(window, coarse.bands_window)
    smoother = _Down(observation.joint_gain, coarse.pan, coarse.pan_known, coarse.pan_window)
    observers = [
        (far, bands, _Down(gain, coarse.bands[bands], coarse.bands_known, coarse.bands_window))
        for gain, far, bands in _observers(observation, shift_px, members)
    ]
    pan, pan_known, truth = coarse.pan[0, *own], coarse.pan_known[own], coarse.bands[members][:, *inner]
    count, kind = len(observation.mtf_gain), pan.dtype
    for axes in _phases((patch.target.axis_y, patch.target.axis_x), shift_px):
        low, known = smoother.up(axes, around)
        detail = np.empty(pan.shape, kind)
        detail_of(pan, pan_known, low[0], detail)
        seen = _all_taps(known & pan_known) & coarse.bands_known[inner]
        shares = np.empty(seen.shape, kind)
        shares_of(detail, low[0], kind.type(floor), shares)
        up, corrections = np.empty((2, count, *seen.shape), kind)
        for far, bands, blur in observers:
            moved = (
                shifted(axes[0], -far[0] * patch.target.axis_y.scale),
                shifted(axes[1], -far[1] * patch.target.axis_x.scale),
            )
            up[bands], corrections[bands], known = blur.up_twice(axes, moved, window)
            seen &= known
        targets = truth - up[members]
        yield Features(detail, up * shares, corrections, up, targets, seen)


@dataclass(frozen=True, slots=True)
class _Down:
    """Planes of the MS grid that are to be seen one scale down."""

    gain: float
    planes: NDArray[Any]
    known: NDArray[np.bool_]
    place: Window

    @property
    def origin(self) -> tuple[int, int]:
        return self.place[0], self.place[2]

    def up(self, axes: Axes, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """U(D(.)) over a window of the MS grid, and where nothing of U is missing."""
        touched = coarse_window(axes, window)
        low, known = degrade(
            self.planes, self.known, self.origin, axes, touched, gain=self.gain, minimum=HALF
        )
        return _complete_up(low, known, touched, axes, window)

    def up_twice(
        self, axes: Axes, moved: Axes, window: Window
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
        """U(m) and U(m - D(U(m))), m = D(.) at the phase of ``moved``, and where nothing is missing."""
        touched = coarse_window(axes, window)
        reach = [back_reach_cpx(self.gain, 1.0 / axis.scale) for axis in axes]
        wide = _around(touched, reach)
        low, known = degrade(self.planes, self.known, self.origin, moved, wide, gain=self.gain, minimum=HALF)
        missed, missed_known = consistent_target(
            low, known, (wide[0], wide[2]), axes, touched, gain=self.gain
        )
        inner = slice(reach[0], -reach[0]), slice(reach[1], -reach[1])
        both, seen = _complete_up(
            np.concatenate([low[:, *inner], missed]), known[inner] & missed_known, touched, axes, window
        )
        count = self.planes.shape[0]
        return both[:count], both[count:], seen


def _complete_up(
    planes: NDArray[Any], known: NDArray[np.bool_], place: Window, axes: Axes, window: Window
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    rows, cols = cubic_taps(axes[0], window[0], window[1]), cubic_taps(axes[1], window[2], window[3])
    return resample_valid(planes, known, rows, cols, (place[0], place[2]), minimum=COMPLETE)


def _phases(axes: Axes, shift_px: tuple[float, float]) -> Iterator[Axes]:
    """Yield the maps from the MS grid to the coarser one, for every whole offset within a coarser pixel."""
    row, col, _ = axes_at(axes, shift_px)
    for down in range(math.ceil(1.0 / row.scale - 1e-9)):
        for across in range(math.ceil(1.0 / col.scale - 1e-9)):
            yield shifted(row, -down), shifted(col, -across)


def _observers(
    observation: Observation, shift_px: tuple[float, float], members: list[int]
) -> list[tuple[float, tuple[float, float], list[int]]]:
    """Group all bands by gain and by how far they lie from ``members``, in fine pixels."""
    keys = [
        (gain, (0.0, 0.0) if band in members else (own[0] - shift_px[0], own[1] - shift_px[1]))
        for band, (gain, own) in enumerate(zip(observation.mtf_gain, observation.shifts_px, strict=True))
    ]
    return [(gain, far, bands) for (gain, far), bands in bands_by(keys)]


def _part(window: Window, place: Window) -> tuple[slice, slice]:
    """Return where a window lies in planes that cover ``place``."""
    return (
        slice(window[0] - place[0], window[1] - place[0]),
        slice(window[2] - place[2], window[3] - place[2]),
    )


def _around(window: Window, margin: Sequence[int]) -> Window:
    return window[0] - margin[0], window[1] + margin[0], window[2] - margin[1], window[3] + margin[1]


def _all_taps(known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether a pixel's 5 x 5 neighbours are all known: (h + 4, w + 4) to (h, w)."""
    if known.all():
        return np.ones((known.shape[0] - 2 * MARGIN, known.shape[1] - 2 * MARGIN), np.bool_)
    windows = np.lib.stride_tricks.sliding_window_view(known, SIDE, axis=0).all(axis=-1)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(windows, SIDE, axis=1).all(axis=-1))
