"""Ridge as whole-array arithmetic in float64: dense operators, the explicit design matrix, explicit refits.

Nothing here comes from geofuse; see reference.py for axes, padding and operators. Sources: Aiazzi, Baronti and
Selva 2007, IEEE TGRS 45(10), for detail by regression; Hoerl and Kennard 1970, Technometrics 12(1).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tests.methods.reference import (
    Array,
    Mask,
    Pair,
    both,
    cubic_matrix,
    filled,
    gaussian_matrix,
    normalised,
    symmetric,
)

TAPS = 25
BLOCK_CPX = 32
PENALTIES = (1e-2, 1e-3, 1e-4)
NEAR = 1.005
ALIKE_PX = 0.1
HALF = 0.499
"""Least share of known weight: no straight edge halves it by rounding."""
Axis = tuple[float, float]
Axes = tuple[Axis, Axis]
Shift = tuple[float, float]


@dataclass(frozen=True)
class Samples:
    """The design of bands that share a shift: a row for every pixel at every phase."""

    features: Array
    """(n, K): 25 taps, B modulated bands, B corrections."""
    target: Array
    """(n, b)."""
    fold: NDArray[np.int64]
    """(n,)."""


@dataclass(frozen=True)
class Ridge:
    """What the reference finds."""

    coefficients: Array
    """(K, B)."""
    corrected: bool
    """The corrections were chosen."""
    penalty: float
    """Lambda."""
    rmse: Array
    """(B,) hold-out error of the chosen model."""
    base: Array
    """(B,) error of plain upsampling."""
    count: int
    """Samples."""
    fused: Array
    """(B, H, W)."""


def moved(axis: Axis, by: float) -> Axis:
    """Return the axis under which fine i is where the old one put i + by."""
    return axis[0], axis[1] + axis[0] * by


def moved_both(axes: Axes, by: Shift) -> Axes:
    """The same for rows and columns."""
    return moved(axes[0], by[0]), moved(axes[1], by[1])


@dataclass(frozen=True)
class Plane:
    """An image on the fine side of a pair of grids, its first pixel at ``start``."""

    values: Array
    """(H, W), 0 where unknown."""
    known: Mask
    """(H, W)."""
    start: tuple[int, int]
    """Index of the first row and column."""

    def spans(self, axes: Axes) -> list[tuple[int, int]]:
        """The coarse pixels under it."""
        return [
            (math.floor(scale * start + offset), math.ceil(scale * (start + size) + offset))
            for (scale, offset), start, size in zip(axes, self.start, self.values.shape, strict=True)
        ]

    def down(self, axes: Axes, gain: float, share: float = HALF) -> Plane:
        """D: the plane as the coarse grid sees it (Aiazzi et al. 2006, PE&RS 72(5))."""
        spans = self.spans(axes)
        rows, cols = (
            gaussian_matrix(axis, gain, span, start, size)
            for axis, span, start, size in zip(axes, spans, self.start, self.values.shape, strict=True)
        )
        values, known = normalised(self.values, self.known, lambda image: both(rows, image, cols), share)
        return Plane(values, known, (spans[0][0], spans[1][0]))

    def up(self, axes: Axes, start: tuple[int, int], size: tuple[int, int]) -> tuple[Array, Mask]:
        """U: the plane, on the coarse side, at fine pixels, and where all 4 x 4 it is made of are known."""
        values = both(*_between(self._cubic(axes, start, size), self.values))
        missing = both(*_between(self._touched(axes, start, size), (~self.known).astype(np.float64)))
        return values, missing < 0.5

    def back_projected(self, axes: Axes, gain: float) -> Plane:
        """M - D(U(M)), 0 where it or half of D(U(M)) is unknown."""
        margin = 8
        fine = [
            (math.floor((s - margin - axis[1]) / axis[0]), math.ceil((s + n + margin - axis[1]) / axis[0]))
            for axis, s, n in zip(axes, self.start, self.values.shape, strict=True)
        ]
        start, size = (fine[0][0], fine[1][0]), (fine[0][1] - fine[0][0], fine[1][1] - fine[1][0])
        up = self._cubic(axes, start, size)
        down = [
            gaussian_matrix(axis, gain, (s, s + n), first, many)
            for axis, s, n, first, many in zip(axes, self.start, self.values.shape, start, size, strict=True)
        ]
        rows, cols = down[0] @ up[0], down[1] @ up[1]
        seen, known = normalised(self.values, self.known, lambda image: both(rows, image, cols), HALF)
        known = known & self.known
        return Plane(np.where(known, self.values - seen, 0.0), known, self.start)

    def window(self, start: tuple[int, int], size: tuple[int, int]) -> tuple[Array, Mask]:
        """Values and validity of a part."""
        part = tuple(slice(a - b, a - b + n) for a, b, n in zip(start, self.start, size, strict=True))
        return self.values[part], self.known[part]

    def _cubic(self, axes: Axes, start: tuple[int, int], size: tuple[int, int]) -> list[Array]:
        return [
            cubic_matrix(moved(axis, first), many, own, length)
            for axis, first, many, own, length in zip(
                axes, start, size, self.start, self.values.shape, strict=True
            )
        ]

    def _touched(self, axes: Axes, start: tuple[int, int], size: tuple[int, int]) -> list[Array]:
        matrices = []
        for axis, first, many, own, length in zip(
            axes, start, size, self.start, self.values.shape, strict=True
        ):
            base = np.floor(axis[0] * np.arange(first, first + many) + axis[1])[:, None]
            place = np.arange(own, own + length)
            matrices.append(((place >= base - 1) & (place <= base + 2)).astype(np.float64))
        return matrices


def _between(matrices: Sequence[Array], image: Array) -> tuple[Array, Array, Array]:
    return matrices[0], image, matrices[1]


def ridge(pair: Pair, shift: Shift = (0.0, 0.0), band_shifts: tuple[Shift, ...] = ()) -> Ridge:
    """Fit one scale down, choose by hold-out, and apply."""
    bands = len(pair.gains)
    shifts = band_shifts or (shift,) * bands
    groups = _groups(shifts)
    designs = [_design(pair, shifts, members) for members in groups]
    order = np.argsort(np.concatenate(groups))
    base = np.concatenate([np.sqrt(np.mean(own.target**2, axis=0)) for own in designs])[order]
    trials = [(False, 1e-3, np.full(bands, np.nan))]
    errors = [1.0]
    if np.unique(designs[0].fold).size > 1:
        trials = [
            (
                corrected,
                penalty,
                np.concatenate([_held_out(own, corrected, penalty) for own in designs])[order],
            )
            for corrected in (False, True)
            for penalty in PENALTIES
        ]
        errors = [float(np.sqrt(np.mean((rmse / base) ** 2))) for *_, rmse in trials]
    corrected, penalty, rmse = next(
        trial for trial, error in zip(trials, errors, strict=True) if error <= NEAR * min(errors)
    )
    coefficients = [_solved(own.features, own.target, corrected, penalty, bands) for own in designs]
    joined = np.concatenate(coefficients, axis=1)[:, order]
    features, up = full_scale(pair, shift, shifts)
    count = sum(len(own.target) for own in designs)
    return Ridge(joined, corrected, penalty, rmse, base, count, up + np.tensordot(joined.T, features, 1))


def fused(pair: Pair) -> Array:
    """The result alone, as the other references give it."""
    return ridge(pair).fused


def _groups(shifts: tuple[Shift, ...]) -> list[list[int]]:
    """Bands whose shifts are within a tenth of a pixel of the first of their group."""
    groups: list[list[int]] = []
    for band, own in enumerate(shifts):
        home = [g for g in groups if np.abs(np.subtract(own, shifts[g[0]])).max() < ALIKE_PX]
        if home:
            home[0].append(band)
        else:
            groups.append([band])
    return groups


def _solved(x: Array, y: Array, corrected: bool, penalty: float, bands: int) -> Array:
    """Ridge of features divided by their root mean squares; the corrections get 0 where they are not used."""
    used = x if corrected else x[:, :-bands]
    size = np.sqrt(np.mean(used**2, axis=0))
    z = used / size
    solution = np.linalg.solve(z.T @ z + len(z) * penalty * np.eye(z.shape[1]), z.T @ y) / size[:, None]
    return np.concatenate([solution, np.zeros((x.shape[1] - len(solution), y.shape[1]))])


def _held_out(samples: Samples, corrected: bool, penalty: float) -> Array:
    """Root mean square error (b,) of each fold under a fit to the others."""
    bands = (samples.features.shape[1] - TAPS) // 2
    gaps = []
    for fold in np.unique(samples.fold):
        own = samples.fold == fold
        c = _solved(samples.features[~own], samples.target[~own], corrected, penalty, bands)
        gaps.append(samples.target[own] - samples.features[own] @ c)
    return np.sqrt(np.mean(np.concatenate(gaps) ** 2, axis=0))


def _axes(pair: Pair) -> Axes:
    return pair.rows, pair.cols


def _pad_cpx(pair: Pair) -> int:
    """Coarse pixels around the scene: more than one scale down reaches."""
    return math.ceil(7.0 / min(pair.rows[0], pair.cols[0])) + 8


def _pan(pair: Pair) -> Plane:
    pad_cpx = _pad_cpx(pair)
    pad = math.ceil((pad_cpx + 4) / pair.rows[0]), math.ceil((pad_cpx + 4) / pair.cols[0])
    known = symmetric(pair.pan_valid, pad)
    return Plane(np.where(known, symmetric(pair.pan, pad), 0.0), known, (-pad[0], -pad[1]))


def _bands(pair: Pair) -> list[Plane]:
    pad = _pad_cpx(pair)
    known = symmetric(pair.ms_valid, pad)
    return [Plane(np.where(known, symmetric(plane, pad), 0.0), known, (-pad, -pad)) for plane in pair.ms]


def _modulation(detail: Array, low: Array, floor: float) -> Array:
    """d / P_L within -1 .. 1, 0 where there is nothing to divide by."""
    usable = low >= floor
    return np.where(usable, np.clip(detail / np.where(usable, low, 1.0), -1.0, 1.0), 0.0)


def _neighbours(detail: Array) -> Array:
    """The 25 values around each pixel, row by row: (H + 4, W + 4) to (25, H, W)."""
    height, width = detail.shape[0] - 4, detail.shape[1] - 4
    return np.stack([detail[r : r + height, c : c + width] for r in range(5) for c in range(5)])


def full_scale(pair: Pair, shift: Shift, shifts: tuple[Shift, ...]) -> tuple[Array, Array]:
    """Features (K, H, W) and U(M) (B, H, W)."""
    axes, (height, width) = _axes(pair), pair.pan.shape
    joint = moved_both(axes, shift)
    pan = _pan(pair)
    seen = pan.down(joint, float(np.mean(pair.gains)), 1e-3)
    seen = Plane(filled(seen.values, seen.known, 2), seen.known, seen.start)
    around, size = (-2, -2), (height + 4, width + 4)
    low, _ = seen.up(joint, around, size)
    values, known = pan.window(around, size)
    detail = np.where(known, values - low, 0.0)
    up, corrections = [], []
    for plane, own, gain in zip(_bands(pair), shifts, pair.gains, strict=True):
        at = moved_both(axes, own)
        full = Plane(filled(plane.values, plane.known, 2), plane.known, plane.start)
        up.append(full.up(at, (0, 0), (height, width))[0])
        corrections.append(plane.back_projected(at, gain).up(at, (0, 0), (height, width))[0])
    modulation = _modulation(detail[2:-2, 2:-2], low[2:-2, 2:-2], pair.ratio_floor)
    return np.concatenate([_neighbours(detail), np.stack(up) * modulation, np.stack(corrections)]), np.stack(
        up
    )


def _owned(pair: Pair) -> tuple[tuple[int, int], tuple[int, int]]:
    """First coarse pixel and number of those whose centre lies in the output, its far border left out."""
    edges = [
        [math.ceil(scale * (edge - 0.5) + offset - 1e-9) for edge in (0, size)]
        for (scale, offset), size in zip(_axes(pair), pair.pan.shape, strict=True)
    ]
    (r0, r1), (c0, c1) = edges
    return (r0, c0), (r1 - r0, c1 - c0)


def _phases(axes: Axes) -> Iterator[Axes]:
    for row in range(math.ceil(1.0 / axes[0][0] - 1e-9)):
        for col in range(math.ceil(1.0 / axes[1][0] - 1e-9)):
            yield moved_both(axes, (-row, -col))


def _design(pair: Pair, shifts: tuple[Shift, ...], members: list[int]) -> Samples:
    """Features and targets of some bands at every phase of the decimation, PAN put where they see it."""
    start, size = _owned(pair)
    around, wide = (start[0] - 2, start[1] - 2), (size[0] + 4, size[1] + 4)
    shift = shifts[members[0]]
    own_axes = moved_both(_axes(pair), shift)
    pan = _pan(pair).down(own_axes, float(np.mean(pair.gains)))
    planes = _bands(pair)
    values, known = pan.window(around, wide)
    truth = np.stack([planes[band].window(start, size)[0] for band in members])
    truth_known = planes[0].window(start, size)[1]
    places = np.meshgrid(*(np.arange(n) // BLOCK_CPX % 2 for n in size), indexing="ij")
    fold = 2 * places[0] + places[1]
    parts = []
    for axes in _phases(own_axes):
        low, low_known = pan.down(axes, float(np.mean(pair.gains))).up(axes, around, wide)
        detail = np.where(known, values - low, 0.0)
        good = ndimage.binary_erosion(low_known & known, np.ones((5, 5)))[2:-2, 2:-2] & truth_known
        modulation = _modulation(detail[2:-2, 2:-2], low[2:-2, 2:-2], pair.ratio_floor)
        ups, corrections = [], []
        for plane, gain, other, index in zip(planes, pair.gains, shifts, range(len(planes)), strict=True):
            apart = (0.0, 0.0) if index in members else tuple(np.subtract(other, shift))
            scales = pair.rows[0], pair.cols[0]
            seen = plane.down(moved_both(axes, (-apart[0] * scales[0], -apart[1] * scales[1])), gain)
            up, up_known = seen.up(axes, start, size)
            more, more_known = seen.back_projected(axes, gain).up(axes, start, size)
            ups.append(up)
            corrections.append(more)
            good = good & up_known & more_known
        features = np.concatenate([_neighbours(detail), np.stack(ups) * modulation, np.stack(corrections)])
        parts.append(Samples(features[:, good].T, (truth - np.stack(ups)[members])[:, good].T, fold[good]))
    return Samples(
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.target for part in parts]),
        np.concatenate([part.fold for part in parts]),
    )


def memberships(classes: dict[str, Any], planes: Array) -> Array:
    """Soft memberships (K, H, W) of spectra (B, H, W): a Gaussian of the standardised distance, summing to 1."""
    scale = np.array([np.inf if value is None else value for value in classes["scale"]])
    z = (planes - np.array(classes["mean"])[:, None, None]) / scale[:, None, None]
    squared = np.stack(
        [np.sum((z - np.array(own)[:, None, None]) ** 2, axis=0) for own in classes["centres"]]
    )
    weight = np.exp(-(squared - squared.min(axis=0)) / (2.0 * classes["spread"] ** 2))
    return weight / weight.sum(axis=0)


def local_gains(shares: Array, detail: Array, target: Array, penalty: float) -> Array:
    """Gains (K,) by stacked least squares on samples (K, n), (n,), (n,), drawn towards 1."""
    x = (shares * detail).T
    weight = np.sqrt(penalty * np.mean(detail**2) * detail.size / len(shares))
    stacked = np.vstack([x, weight * np.eye(len(shares))])
    return np.linalg.lstsq(stacked, np.concatenate([target, np.full(len(shares), weight)]), rcond=None)[0]
