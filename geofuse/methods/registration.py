"""Registration by regression: PAN degraded with a candidate (dy, dx, gain) against the MS bands, high-passed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import Floats, Mask, Window, gaussian_reach_px, gaussian_taps
from geofuse.kernels.resample import resample
from geofuse.methods.base import Patch
from geofuse.methods.observation import axes_at
from geofuse.methods.sharpen.closed_form import coarse_part, owned_window

Shift = tuple[float, float]
SEARCH_PX = 3
"""The first grid of shifts, to either side of what the georeferences say."""
FARTHEST_PX = 6
"""How far the grid is extended where the best shift lies on its border."""
GAINS = (0.05, 0.70)
"""The range of gains that are searched; at its upper end the MS was decimated without a low-pass."""
MOST_CELL_CPX, LEAST_CELL_CPX, LEAST_CELLS = 32, 8, 16
"""Cells, whose disagreement tells the uncertainty, are large enough to be independent, and not too few."""
LEAST_PIXELS = 900
"""Usable coarse pixels without which nothing is measured."""
OUTLIER_MAD = 5.0


@dataclass(frozen=True, slots=True)
class MatchWindow:
    """A patch and which of its coarse pixels count."""

    patch: Patch
    """PAN and MS."""
    inner: Window
    """Coarse row0, row1, col0, col1 whose centres lie in the core."""
    chosen: NDArray[np.int64]
    """Flat indices, over `inner`, of the pixels that count."""
    lead_px: Shift = (0.0, 0.0)
    """How far this window's shift departs from the common one."""


@dataclass(frozen=True, slots=True)
class MatchSample:
    """All pixels that count, of all windows in a row: n of them, B bands."""

    windows: tuple[MatchWindow, ...]
    """Where they lie."""
    values: Floats
    """The bands (B, n)."""
    detail: Floats
    """The bands, high-passed (B, n)."""
    cell: NDArray[np.int64]
    """Which cell of 8 to 32 coarse pixels each belongs to (n,): the clusters of the uncertainties."""
    total: int
    """Coarse pixels looked at."""


def calibration_reach(ratio: float) -> tuple[int, int]:
    """Return the halo, in fine and in coarse pixels, that patches need around their cores."""
    return FARTHEST_PX + 2 + gaussian_reach_px(GAINS[0], ratio) + math.ceil(ratio), 2


def make_sample(patches: Sequence[Patch], usable: Sequence[Mask]) -> MatchSample:
    """Gather the pixels of patches that count, given masks over their coarse planes of what may be used."""
    from scipy import ndimage  # a quarter of a second to load: only for who calibrates

    windows, values, details, cells = [], [], [], []
    total = count = 0
    area = sum(int(mask.sum()) for mask in usable)
    side = min(MOST_CELL_CPX, max(LEAST_CELL_CPX, math.sqrt(area / LEAST_CELLS)))
    for patch, mask in zip(patches, usable, strict=True):
        row0, row1, col0, col1 = inner = owned_window(patch)
        part = coarse_part(patch, (row0 - 1, row1 + 1, col0 - 1, col1 + 1))
        planes = patch.target.values[:, *part].astype(np.float64)
        ok = patch.target.valid[part] & mask[part]
        use = ndimage.minimum_filter(ok, 3)[1:-1, 1:-1] & _pan_around(patch, inner)
        height, width = use.shape
        down, across = max(1, round(height / side)), max(1, round(width / side))
        cell = (np.arange(height) * down // height)[:, None] * across + np.arange(width) * across // width
        windows.append(MatchWindow(patch, inner, np.flatnonzero(use)))
        values.append(planes[:, 1:-1, 1:-1][:, use])
        details.append(highpass(planes)[:, use])
        cells.append(count + cell[use])
        count += down * across
        total += use.size
    return MatchSample(
        tuple(windows),
        np.concatenate(values, axis=1),
        np.concatenate(details, axis=1),
        np.concatenate(cells),
        total,
    )


def _pan_around(patch: Patch, window: Window) -> Mask:
    """Whether the PAN pixels that any likely candidate touches are valid, for each coarse pixel."""
    if patch.guides_valid.all():
        return np.ones((window[1] - window[0], window[3] - window[2]), np.bool_)
    from scipy import ndimage

    ratio = 1.0 / min(patch.target.axis_y.scale, patch.target.axis_x.scale)
    reach = SEARCH_PX + gaussian_reach_px(0.25, ratio) + math.ceil(ratio)
    whole = ndimage.minimum_filter(patch.guides_valid, 2 * reach + 1)
    down, across, (top, left) = patch.target.axis_y, patch.target.axis_x, patch.guides_origin
    rows = _under(down.offset, down.scale, window[:2], top, whole.shape[0])
    cols = _under(across.offset, across.scale, window[2:], left, whole.shape[1])
    out: Mask = whole[np.ix_(rows, cols)]
    return out


def _under(offset: float, scale: float, span: Sequence[int], origin: int, size: int) -> NDArray[np.int64]:
    centre = (np.arange(span[0], span[1]) - offset) / scale - origin
    return np.asarray(np.clip(np.rint(centre), 0, size - 1), np.int64)


def highpass(planes: Floats) -> Floats:
    """Return planes (B, h + 2, w + 2) less their 3 x 3 binomial mean, without the border: (B, h, w).

    A narrow filter: what couples PAN and a band changes with frequency, and a wide one mistakes that for
    a gain (measured: error .05 against .03 in bands whose R^2 is over .8).
    """
    rows = 0.25 * planes[:, :-2] + 0.5 * planes[:, 1:-1] + 0.25 * planes[:, 2:]
    low = 0.25 * rows[..., :-2] + 0.5 * rows[..., 1:-1] + 0.25 * rows[..., 2:]
    out: Floats = planes[:, 1:-1, 1:-1] - low
    return out


def varies(sample: MatchSample, shift: Shift, gain: float) -> bool:
    """Whether there is any structure to register by, in both images."""
    pan = pan_values(sample, shift, gain), pan_detail(sample, shift, gain)
    return all(
        float((detail**2).sum()) > 1e-10 * float((values**2).sum())
        for values, detail in ((sample.values, sample.detail), pan)
    )


def _degraded(window: MatchWindow, shift: Shift, gain: float) -> Floats:
    """Return PAN as the coarse sensor would see it over a window and one pixel around it (h + 2, w + 2)."""
    patch = window.patch
    own = shift[0] + window.lead_px[0], shift[1] + window.lead_px[1]
    axes = axes_at((patch.target.axis_y, patch.target.axis_x), own)
    row0, row1, col0, col1 = window.inner
    rows = gaussian_taps(axes[0], gain, row0 - 1, row1 + 1)
    cols = gaussian_taps(axes[1], gain, col0 - 1, col1 + 1)
    return np.asarray(resample(patch.guides, rows, cols, patch.guides_origin)[0], np.float64)


def pan_values(sample: MatchSample, shift: Shift, gain: float) -> Floats:
    """Return the degraded PAN at the sample's pixels (n,)."""
    parts = [_degraded(w, shift, gain)[1:-1, 1:-1].ravel()[w.chosen] for w in sample.windows]
    return np.concatenate(parts)


def pan_detail(sample: MatchSample, shift: Shift, gain: float) -> Floats:
    """Return the degraded PAN, high-passed, at the sample's pixels (n,)."""
    parts = [highpass(_degraded(w, shift, gain)[None])[0].ravel()[w.chosen] for w in sample.windows]
    return np.concatenate(parts)


def dot(first: Floats, second: Floats) -> float:
    """Return a scalar product. Not by BLAS, whose threads burn both cores and sum in an order of their own."""
    return float(np.einsum("n,n->", first, second))


def dots(planes: Floats, vector: Floats) -> Floats:
    """Return the scalar product of each row (B, n) with a vector (n,)."""
    return np.asarray(np.einsum("bn,n->b", planes, vector))


def gram_of(planes: Floats) -> Floats:
    """Return the scalar products of all rows (B, n) with each other (B, B)."""
    return np.asarray(np.einsum("in,jn->ij", planes, planes))


def solve(gram: Floats, cross: Floats) -> Floats:
    """Solve least squares with the least ridge that keeps collinear bands from exploding."""
    scale = float(np.trace(gram)) / gram.shape[0]
    return np.asarray(np.linalg.solve(gram + (1e-9 * scale + 1e-300) * np.eye(gram.shape[0]), cross))


def r2_of(detail: Floats, gram: Floats, pan: Floats) -> float:
    """Return R^2 of the degraded PAN's detail (n,) on bands' (B, n) with Gram matrix `gram` (B, B)."""
    cross, power = dots(detail, pan), dot(pan, pan)
    return float(cross @ solve(gram, cross) / power) if power > 0.0 else 0.0


def own_r2(detail: Floats, pan: Floats) -> Floats:
    """Return each band's own R^2 with the degraded PAN (B,); 0 where they go against each other."""
    cross = dots(detail, pan)
    power = np.maximum(np.einsum("bn,bn->b", detail, detail) * dot(pan, pan), 1e-300)
    return np.asarray(np.where(cross > 0.0, cross**2 / power, 0.0))


def vertex(places: Sequence[float], heights: Floats) -> float:
    """Return the top of the parabola through three points, inside them."""
    (x0, x1, x2), (y0, y1, y2) = places, heights
    first, second = (y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1)
    bend = (second - first) / (x2 - x0)
    if bend >= 0.0:
        return float(places[int(np.argmax(heights))])
    return float(min(max(0.5 * (x0 + x1) - first / (2.0 * bend), x0), x2))


def search(
    sample: MatchSample, start: Shift, gain: float, *, bands: Sequence[int] | None = None, near: bool = False
) -> tuple[Shift, float, bool]:
    """Find the shift and the joint gain of most R^2: a grid of whole pixels, then a simplex.

    Returns them, and whether the shift ran into the border of what is searched. `near`: the start is known
    to be close, no grid. Source of the simplex: Nelder and Mead 1965, Computer Journal 7(4).
    """
    detail = sample.detail if bands is None else sample.detail[list(bands)]
    gram = gram_of(detail)
    known: dict[Shift, float] = {}

    def at(shift: Shift) -> float:
        if shift not in known:
            known[shift] = r2_of(detail, gram, pan_detail(sample, shift, gain))
        return known[shift]

    best = start
    if not near:
        best = max(_ring(start, SEARCH_PX), key=at)
        while max(abs(best[0] - start[0]), abs(best[1] - start[1])) < FARTHEST_PX:
            better = max(_ring(best, 1), key=at)
            if better == best:
                break
            best = better
    low, high = (math.log(bound / (1.0 - bound)) for bound in GAINS)

    def loss(point: Floats) -> float:
        odds = min(max(float(point[2]), low), high)
        where = (float(point[0]), float(point[1]))
        if max(abs(where[0]), abs(where[1])) > FARTHEST_PX + 1.0:
            return 1.0
        found = r2_of(detail, gram, pan_detail(sample, where, 1.0 / (1.0 + math.exp(-odds))))
        return abs(float(point[2]) - odds) - found

    first = np.array([*best, math.log(gain / (1.0 - gain))])
    steps = np.diag([0.1, 0.1, 0.15] if near else [0.4, 0.4, 0.5])
    from scipy import optimize

    found = optimize.minimize(
        loss,
        first,
        method="Nelder-Mead",
        options={
            "initial_simplex": np.vstack([first, first + steps]),
            "xatol": 2e-3,
            "fatol": 1e-6,
            "maxiter": 100,
        },
    )
    dy, dx, odds = (float(value) for value in found.x)
    bounded = max(abs(dy), abs(dx)) >= FARTHEST_PX
    return (dy, dx), 1.0 / (1.0 + math.exp(-min(max(odds, low), high))), bounded


def _ring(centre: Shift, reach: int) -> list[Shift]:
    steps = range(-reach, reach + 1)
    return [(centre[0] + dy, centre[1] + dx) for dy in steps for dx in steps]


def without_outliers(sample: MatchSample, shift: Shift, gain: float) -> MatchSample:
    """Leave out pixels the regression misses by far: moving clouds, specular water, saturation."""
    pan = pan_detail(sample, shift, gain)
    weights = solve(gram_of(sample.detail), dots(sample.detail, pan))
    miss = np.abs(pan - dots(sample.detail.T, weights))
    keep = miss <= OUTLIER_MAD * 1.4826 * max(float(np.median(miss)), 1e-12)
    return _only(sample, keep) if int(keep.sum()) >= LEAST_PIXELS else sample


def largest(sample: MatchSample, count: int) -> MatchSample:
    """Return the sample's windows with the most pixels that count: enough to find the neighbourhood."""
    sizes = [window.chosen.size for window in sample.windows]
    if len(sizes) <= count:
        return sample
    first = set(sorted(range(len(sizes)), key=lambda index: -sizes[index])[:count])
    keep = np.concatenate([np.full(size, index in first) for index, size in enumerate(sizes)])
    return _only(sample, keep)


def _only(sample: MatchSample, keep: Mask) -> MatchSample:
    ends = np.cumsum([window.chosen.size for window in sample.windows])[:-1]
    windows = tuple(
        replace(window, chosen=window.chosen[mine])
        for window, mine in zip(sample.windows, np.split(keep, ends), strict=True)
        if mine.any()
    )
    return MatchSample(
        windows, sample.values[:, keep], sample.detail[:, keep], sample.cell[keep], sample.total
    )
