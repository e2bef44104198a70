"""What can be summed over a scene, block by block, and merged in order to the same bits every time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.kernels.statistics import LANES, accumulate

HISTOGRAM_BINS = 65536
MOST_SPECTRA = 16384
FLAT = 1e-6
"""Standard deviation over mean up to which a variable counts as constant: some roundings of float32."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, means, centred second moments and extremes of K joint variables."""

    count: int
    """Pixels."""
    mean: NDArray[np.float64]
    """(K,)."""
    scatter: NDArray[np.float64]
    """(K, K): sum of products of deviations from the means."""
    low: NDArray[np.float64]
    """(K,) smallest value; +inf where extremes were not asked for."""
    high: NDArray[np.float64]
    """(K,) largest value; -inf where extremes were not asked for."""

    @property
    def cov(self) -> NDArray[np.float64]:
        """Population covariance (K, K); 0 for a variable that varies by no more than float32's rounding.

        So a flat image, resampled, has no variance to divide by, and no rounding is blown up into detail.
        """
        cov = self.scatter / max(self.count, 1)
        varies = np.diag(cov) > (FLAT * self.mean) ** 2
        return np.where(np.outer(varies, varies), cov, 0.0)

    @property
    def std(self) -> NDArray[np.float64]:
        """Population standard deviation (K,)."""
        return np.sqrt(np.diag(self.cov))

    @property
    def raw(self) -> NDArray[np.float64]:
        """Sums of products, not centred (K, K)."""
        return self.scatter + self.count * np.outer(self.mean, self.mean)


class MomentSums:
    """Gathers Moments strip by strip."""

    def __init__(self, variables: int, *, extremes: bool = False) -> None:
        self.count = 0
        self.extremes = extremes
        self.pivot: NDArray[np.float64] | None = None
        self.sums = np.zeros((variables, LANES))
        self.products = np.zeros((variables * (variables + 1) // 2, LANES))
        self.low = np.full(variables, np.inf)
        self.high = np.full(variables, -np.inf)

    def add(self, planes: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Add the valid pixels of planes (K, H, W)."""
        if not valid.any():
            return
        if self.pivot is None:
            row, col = np.argwhere(valid)[0]
            self.pivot = planes[:, row, col].astype(np.float64)
        self.count += accumulate(planes, valid, pivot=self.pivot, sums=self.sums, products=self.products)
        for index, plane in enumerate(planes if self.extremes else ()):
            self.low[index] = min(self.low[index], plane.min(where=valid, initial=np.inf))
            self.high[index] = max(self.high[index], plane.max(where=valid, initial=-np.inf))

    def done(self) -> Moments:
        """Return what was gathered."""
        size = self.sums.shape[0]
        if self.pivot is None:
            return Moments(0, np.zeros(size), np.zeros((size, size)), self.low, self.high)
        shift = self.sums.sum(axis=1) / self.count
        scatter = np.zeros((size, size))
        scatter[np.tril_indices(size)] = self.products.sum(axis=1)
        scatter += np.tril(scatter, -1).T
        scatter -= self.count * np.outer(shift, shift)
        return Moments(self.count, self.pivot + shift, scatter, self.low, self.high)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of K variables over fixed ranges."""

    low: NDArray[np.float64]
    """(K,) lower edge of the first bin."""
    high: NDArray[np.float64]
    """(K,) upper edge of the last bin."""
    counts: NDArray[np.int64]
    """(K, bins)."""


@dataclass(frozen=True, slots=True, eq=False)
class NormalEquations:
    """What linear fits of B targets to K features need, per hold-out fold: sums of products, not centred.

    Targets that share their features' geometry form one of G groups. Equal is only what is the same.
    """

    counts: NDArray[np.int64]
    """(G, folds): samples."""
    gram: NDArray[np.float64]
    """(G, folds, K, K): X'X."""
    cross: NDArray[np.float64]
    """(folds, K, B): X'Y."""
    squares: NDArray[np.float64]
    """(folds, B): the diagonal of Y'Y."""
    pixels: int
    """Pixels whose levels were summed."""
    levels: NDArray[np.float64]
    """(1 + B,): sums of squares of PAN and the bands themselves, to tell detail from rounding."""

    @property
    def count(self) -> int:
        """Samples in all folds of all groups."""
        return int(self.counts.sum())


@dataclass(frozen=True, slots=True, eq=False)
class Spectra:
    """A bounded sample of the coarse pixels' spectra: those on a lattice just wide enough, the same for any blocks."""

    pixels: int
    """Pixels it was drawn from."""
    step_cpx: int
    """Rows and columns that are multiples of this took part: a power of two."""
    places: NDArray[np.int64]
    """(n, 2): rows and columns, counted from the output's first, in their order."""
    values: NDArray[np.float64]
    """(n, B)."""

    @property
    def count(self) -> int:
        """Pixels looked at."""
        return self.pixels


@dataclass(frozen=True, slots=True, eq=False)
class GainEquations:
    """What gains of K soft classes need per band and hold-out fold: sums of products, not centred."""

    counts: NDArray[np.int64]
    """(B, folds): samples."""
    gram: NDArray[np.float64]
    """(B, folds, K, K): X'X, K is 0 where there are no classes."""
    cross: NDArray[np.float64]
    """(B, folds, K): X'y."""
    squares: NDArray[np.float64]
    """(B, folds): y'y."""
    pixels: int
    """Pixels looked at, whether or not any served."""

    @property
    def count(self) -> int:
        """Pixels looked at."""
        return self.pixels


Collected = Moments | Histogram | NormalEquations | Spectra | GainEquations


def histogram_of(
    planes: NDArray[Any], valid: NDArray[np.bool_], low: NDArray[np.float64], high: NDArray[np.float64]
) -> Histogram:
    """Count the valid pixels of planes (K, H, W) in equal bins over the given ranges."""
    counts = np.zeros((planes.shape[0], HISTOGRAM_BINS), np.int64)
    for index, plane in enumerate(planes):
        width = max(high[index] - low[index], 1e-12)
        place = (plane[valid].astype(np.float64) - low[index]) * (HISTOGRAM_BINS / width)
        bins = np.clip(place.astype(np.int64), 0, HISTOGRAM_BINS - 1)
        counts[index] = np.bincount(bins, minlength=HISTOGRAM_BINS)
    return Histogram(low, high, counts)


def spectra_of(planes: NDArray[Any], valid: NDArray[np.bool_], place: tuple[int, int]) -> Spectra:
    """Sample the valid pixels of planes (B, h, w), whose first is at ``place``."""
    rows, cols = np.nonzero(valid)
    places = np.stack([rows + place[0], cols + place[1]], axis=1).astype(np.int64)
    return _thinned(Spectra(rows.size, 1, places, planes[:, valid].T.astype(np.float64)))


def _thinned(spectra: Spectra, step_cpx: int = 1) -> Spectra:
    """Widen the lattice to a step at least, and until it has `MOST_SPECTRA` pixels at most."""
    step, places, values = spectra.step_cpx, spectra.places, spectra.values
    while step < step_cpx or len(places) > MOST_SPECTRA:
        step *= 2
        kept = (places % step == 0).all(axis=1)
        places, values = places[kept], values[kept]
    return Spectra(spectra.pixels, step, places, values)


def quantile(histogram: Histogram, fraction: float) -> NDArray[np.float64]:
    """Return each variable's quantile, to one bin (a 65536th of its range)."""
    total = histogram.counts.sum(axis=1, keepdims=True)
    cumulated = np.cumsum(histogram.counts, axis=1)
    place = (cumulated < fraction * total).sum(axis=1)
    width = (histogram.high - histogram.low) / histogram.counts.shape[1]
    return np.asarray(histogram.low + place * width, np.float64)


def merge(first: Collected, second: Collected) -> Collected:
    """Merge two collections of disjoint pixels. Source: Chan, Golub and LeVeque 1979, for moments."""
    if isinstance(first, Histogram) and isinstance(second, Histogram):
        return Histogram(first.low, first.high, first.counts + second.counts)
    if isinstance(first, NormalEquations) and isinstance(second, NormalEquations):
        return NormalEquations(
            first.counts + second.counts,
            first.gram + second.gram,
            first.cross + second.cross,
            first.squares + second.squares,
            first.pixels + second.pixels,
            first.levels + second.levels,
        )
    if isinstance(first, Spectra) and isinstance(second, Spectra):
        return _merged_spectra(first, second)
    if isinstance(first, GainEquations) and isinstance(second, GainEquations):
        return GainEquations(
            first.counts + second.counts,
            first.gram + second.gram,
            first.cross + second.cross,
            first.squares + second.squares,
            first.pixels + second.pixels,
        )
    assert isinstance(first, Moments)
    assert isinstance(second, Moments)
    if not first.count or not second.count:
        return first if first.count else second
    count = first.count + second.count
    gap = second.mean - first.mean
    mean = first.mean + gap * (second.count / count)
    scatter = first.scatter + second.scatter + np.outer(gap, gap) * (first.count * second.count / count)
    return Moments(
        count, mean, scatter, np.minimum(first.low, second.low), np.maximum(first.high, second.high)
    )


def _merged_spectra(first: Spectra, second: Spectra) -> Spectra:
    """Bring both to one lattice and sort: the order of merging leaves no trace."""
    step = max(first.step_cpx, second.step_cpx)
    one, two = _thinned(first, step), _thinned(second, step)
    places, values = np.concatenate([one.places, two.places]), np.concatenate([one.values, two.values])
    order = np.lexsort((places[:, 1], places[:, 0]))
    return _thinned(Spectra(first.pixels + second.pixels, step, places[order], values[order]))
