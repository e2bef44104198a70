"""Estimating the observation model from the pair alone: shift, MTF gains, PAN's spectral weights, and how sure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import Floats, Mask
from geofuse.methods.base import Patch
from geofuse.methods.observation import ShiftField
from geofuse.methods.registration import (
    GAINS,
    LEAST_PIXELS,
    MatchSample,
    Shift,
    dot,
    dots,
    gram_of,
    largest,
    make_sample,
    own_r2,
    pan_detail,
    pan_values,
    r2_of,
    search,
    solve,
    varies,
    vertex,
    without_outliers,
)
from geofuse.methods.shift_field import centred, drift, led

OWN_R2 = 0.85
"""A band's own R^2 from which on its gain is called identifiable (measured: within .05 in 90 % and more)."""
SOME_R2, MOST_R2 = 0.15, 0.5
"""A band's own R^2 below which the joint gain stands for it, and above which its own; in between a share of both."""
GAIN_ERROR = 0.03
"""Root mean square error of single bands' gains over `MOST_R2` (measured on simulated pairs)."""
SHIFT_R2 = 0.5
"""A band's own R^2 from which on its shift can be told from the others'."""
APART_PX = 0.3
"""The least difference of two bands' shifts that is believed; single bands err by up to a third of it."""
FEW = 5
"""Windows that suffice to find the neighbourhood of the optimum."""
PROFILE = (0.05, 0.09, 0.13, 0.17, 0.21, 0.25, 0.29, 0.33, 0.37, 0.41, 0.46, 0.52, 0.60, 0.70)
SHARED = 2.0
"""Ridge on the differences of PAN's weights, relative to the bands' variance and to the unexplained share."""
MATCH_R2 = 0.1
"""R^2 of the high-passed regression under which two images do not show the same place."""
AGREED_PX = 0.2
"""A disagreement of the windows' own shifts that halves the confidence."""
SURE_PX = 0.1
"""A standard error of the shift that halves the confidence."""
SURE = 0.5
"""Confidence from which on the estimate is used, and back-projection has its full number of rounds."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What was found, in the order of the bands that were given."""

    shift_px: Shift
    """[dy, dx]: what is seen at fine (row, col) is seen where the grids put (row + dy, col + dx)."""
    shift_sigma_px: Shift
    """Standard errors, from the disagreement of the sample's cells."""
    band_shift_px: tuple[Shift, ...]
    """The whole shift of each band; all equal where no difference could be told."""
    mtf_gain: tuple[float, ...]
    """Gain at the coarse Nyquist per band: its own where it can be told, else the joint one."""
    mtf_gain_sigma: tuple[float, ...]
    """Standard errors."""
    mtf_gain_r2: tuple[float, ...]
    """R^2 of each band's own regression on the degraded PAN, high-passed."""
    identifiable: tuple[bool, ...]
    """Whether a band's gain is its own."""
    pan_weights: tuple[float, ...]
    """PAN as a sum of the bands: weights, not negative."""
    r2: float
    """R^2 of the degraded PAN, high-passed, on all bands."""
    snr: float
    """Standard deviation of what the bands explain over that of what they do not."""
    confidence: float
    """0 (nothing measured) to 1."""
    usable_fraction: float
    """Share of the sample's coarse pixels that took part."""
    field: ShiftField | None
    """How the shift departs from these over a wide scene; None where a constant does as well."""
    measured: bool
    """False where too little was usable, and the prior stands."""
    warnings: tuple[str, ...] = ()
    """What an operator should know."""


def calibrate(
    patches: Sequence[Patch],
    usable: Sequence[Mask],
    *,
    prior_gain: Sequence[float],
    origin: tuple[int, int] = (0, 0),
    size: tuple[int, int] = (1, 1),
) -> Estimate:
    """Estimate the observation model from a sample of patches (B bands each) and where each may be used.

    `usable` are masks over the patches' coarse planes. `origin` is the output's first pixel on PAN, `size` its height
    and width: where a wide scene's shift drifts, a field is found. Where too little is usable the prior (no shift,
    `prior_gain`) is returned with confidence 0. Sources: gain by regression at the coarse scale, Vivone et
    al. 2015 (IEEE TGRS 53(4)); here together with the shift, and over all bands at once.
    """
    sample = make_sample(patches, usable)
    usable_fraction, usual = sample.cell.size / max(sample.total, 1), float(np.mean(prior_gain))
    if sample.cell.size < LEAST_PIXELS or not varies(sample, (0.0, 0.0), usual):
        return _prior(prior_gain, usable_fraction)
    shift, gain, _ = search(largest(sample, FEW), (0.0, 0.0), usual)
    field, apart = drift(sample, shift, gain, origin=origin, size=size)
    if field:
        sample = led(sample, field)
    sample = without_outliers(sample, shift, gain)
    if not varies(sample, shift, gain):  # all there was to see lay in the few pixels that were left out
        return _prior(prior_gain, usable_fraction)
    shift, gain, bounded = search(sample, shift, gain, near=True)
    if field:
        shift, field = centred(sample, shift, field)
        sample = led(sample, field)
    shifts = [shift] * len(prior_gain)
    groups = _groups(largest(sample, FEW), shift, gain)
    if len(groups) > 1 and apart < AGREED_PX:
        searched = [search(sample, shift, gain, bands=group) for group in groups]
        for group, (own, _, _) in zip(groups, searched, strict=True):
            for band in group:
                shifts[band] = own
        shift, gain, bounded = searched[0]
    found = _described(sample, shifts, shift, gain=gain, bounded=bounded)
    warnings = found.warnings
    if apart > AGREED_PX:
        warnings = (
            *warnings,
            f"the windows' own shifts disagree by {apart:.2f} px: clouds, motion or relief",
        )
    sure = 1.0 / (1.0 + (apart / AGREED_PX) ** 2)
    return replace(found, field=field, confidence=sure * found.confidence, warnings=warnings)


def _prior(prior_gain: Sequence[float], usable: float) -> Estimate:
    count = len(prior_gain)
    zero = (0.0, 0.0)
    return Estimate(
        shift_px=zero,
        shift_sigma_px=(math.inf, math.inf),
        band_shift_px=(zero,) * count,
        mtf_gain=tuple(prior_gain),
        mtf_gain_sigma=(math.inf,) * count,
        mtf_gain_r2=(0.0,) * count,
        identifiable=(False,) * count,
        pan_weights=(1.0 / count,) * count,
        r2=0.0,
        snr=0.0,
        confidence=0.0,
        usable_fraction=usable,
        field=None,
        measured=False,
        warnings=("not measurable: too few usable pixels with structure; the sensor table's prior is used",),
    )


def _described(
    sample: MatchSample, shifts: Sequence[Shift], shift: Shift, *, gain: float, bounded: bool
) -> Estimate:
    pan = pan_detail(sample, shift, gain)
    r2 = r2_of(sample.detail, gram_of(sample.detail), pan)
    sigma = _shift_sigma(sample, shift, gain)
    gains, gain_sigma, gain_r2 = _band_gains(sample, shifts)
    own = [found >= OWN_R2 for found in gain_r2]
    used = sample.cell.size
    sure = 1.0 / (1.0 + (max(sigma) / SURE_PX) ** 2)
    confidence = sure * min(1.0, r2 / (2.0 * MATCH_R2))
    return Estimate(
        shift_px=shift,
        shift_sigma_px=sigma,
        band_shift_px=tuple(shifts),
        mtf_gain=_blended(gains, gain, gain_r2),
        mtf_gain_sigma=tuple(gain_sigma),
        mtf_gain_r2=tuple(gain_r2),
        identifiable=tuple(own),
        pan_weights=_pan_weights(sample, pan_values(sample, shift, gain)),
        r2=r2,
        snr=math.sqrt(max(r2, 0.0) / max(1.0 - r2, 1e-12)),
        confidence=0.0 if bounded else confidence,
        usable_fraction=used / sample.total,
        field=None,
        measured=True,
        warnings=tuple(_warnings(gains, own, gain, bounded=bounded)),
    )


def _blended(own: Sequence[float], joint: float, r2: Sequence[float]) -> tuple[float, ...]:
    """Return each band's gain: its own where identifiable, else as far as its R^2 goes and as bands really differ.

    What bands differ by, over what the error of a single estimate explains, is the share of the differences that
    stays. Source: empirical Bayes shrinkage, James and Stein 1961, Proc. 4th Berkeley Symposium.
    """
    sure = [gain - joint for gain, fit in zip(own, r2, strict=True) if fit >= MOST_R2]
    spread = sum(apart**2 for apart in sure) / len(sure) if sure else 0.0
    kept = max(spread - GAIN_ERROR**2, 0.0) / max(spread, 1e-12)
    shares = [kept * min(max((fit - SOME_R2) / (MOST_R2 - SOME_R2), 0.0), 1.0) for fit in r2]
    return tuple(
        gain if fit >= OWN_R2 else joint + share * (gain - joint)
        for gain, fit, share in zip(own, r2, shares, strict=True)
    )


def _warnings(gains: Sequence[float], own: Sequence[bool], joint: float, *, bounded: bool) -> list[str]:
    found = []
    if bounded:
        found.append("the shift is at the border of what is searched: not used")
    if any(g >= GAINS[1] - 0.005 for g, mine in zip([*gains, joint], [*own, True], strict=True) if mine):
        found.append("a gain is at its upper bound: the MS was decimated without a low-pass")
    return found


# --- uncertainties: cells as clusters ---


def _sandwich(losses: Sequence[Floats], cell: NDArray[np.int64], step: float) -> float:
    """Return the standard error of a parameter from every pixel's loss below, at and above its optimum.

    Source: White 1982, Econometrica 50(1); the cells are the clusters.
    """
    below, here, above = (np.bincount(cell, loss) for loss in losses)
    scores = (above - below) / (2.0 * step)
    curvature = float((above - 2.0 * here + below).sum()) / step**2
    scores = scores - scores.mean()
    return math.sqrt(float((scores**2).sum())) / curvature if curvature > 0.0 else math.inf


def _shift_sigma(sample: MatchSample, shift: Shift, gain: float) -> Shift:
    step, out = 0.25, []
    pan = pan_detail(sample, shift, gain)
    model = dots(sample.detail.T, solve(gram_of(sample.detail), dots(sample.detail, pan)))
    power = dot(pan, pan)
    for dy, dx in ((step, 0.0), (0.0, step)):
        losses = [(pan - model) ** 2]
        for place, sign in ((0, -1.0), (2, 1.0)):
            moved = pan_detail(sample, (shift[0] + sign * dy, shift[1] + sign * dx), gain)
            scale = math.sqrt(power / max(dot(moved, moved), 1e-300))
            losses.insert(place, (scale * moved - model) ** 2)
        out.append(_sandwich(losses, sample.cell, step))
    return out[0], out[1]


# --- each band by itself ---


def _band_gains(sample: MatchSample, shifts: Sequence[Shift]) -> tuple[list[float], list[float], list[float]]:
    """Return each band's own gain, its standard error and its R^2, from a profile over gains."""
    count = len(shifts)
    gains, sigmas, r2s = [0.0] * count, [math.inf] * count, [0.0] * count
    for shift in dict.fromkeys(shifts):
        profile = [pan_detail(sample, shift, gain) for gain in PROFILE]
        rows = np.array([own_r2(sample.detail, pan) for pan in profile])
        for band in (b for b in range(count) if shifts[b] == shift):
            top = int(rows[:, band].argmax())
            at = min(max(top, 1), len(PROFILE) - 2)
            gains[band] = vertex(PROFILE[at - 1 : at + 2], rows[at - 1 : at + 2, band])
            r2s[band] = float(rows[top, band])
            mine = sample.detail[band]
            losses = [
                (mine - pan * (dot(mine, pan) / max(dot(pan, pan), 1e-300))) ** 2
                for pan in profile[at - 1 : at + 2]
            ]
            sigmas[band] = _sandwich(losses, sample.cell, 0.5 * (PROFILE[at + 1] - PROFILE[at - 1]))
    return gains, sigmas, r2s


def _groups(sample: MatchSample, shift: Shift, gain: float) -> list[list[int]]:
    """Return bands that are shifted alike; one group where no difference can be told, the surest first."""
    bands = sample.detail.shape[0]
    steps = [-1.5, -0.75, 0.0, 0.75, 1.5]
    rows = {
        (i, j): own_r2(sample.detail, pan_detail(sample, (shift[0] + dy, shift[1] + dx), gain))
        for i, dy in enumerate(steps)
        for j, dx in enumerate(steps)
    }
    tops: dict[int, Shift] = {}
    for band in range(bands):
        i, j = max(rows, key=lambda place: float(rows[place][band]))
        if rows[i, j][band] < SHIFT_R2:
            continue
        i, j = min(max(i, 1), 3), min(max(j, 1), 3)
        dy = vertex(steps[i - 1 : i + 2], np.array([rows[k, j][band] for k in (i - 1, i, i + 1)]))
        dx = vertex(steps[j - 1 : j + 2], np.array([rows[i, k][band] for k in (j - 1, j, j + 1)]))
        tops[band] = (dy, dx)
    groups: list[list[int]] = []
    for band, top in tops.items():
        home = [g for g in groups if max(abs(top[k] - tops[g[0]][k]) for k in (0, 1)) < APART_PX]
        home[0].append(band) if home else groups.append([band])
    if len(groups) < 2:
        return [list(range(bands))]
    groups.sort(key=lambda group: -max(float(rows[2, 2][band]) for band in group))
    groups[0] += [band for band in range(bands) if band not in tops]
    return groups


def _pan_weights(sample: MatchSample, pan: Floats) -> tuple[float, ...]:
    """Regress the degraded PAN on the bands, not negative, with outliers weighed down.

    On values with a constant, since PAN's response to broad land cover decides. Collinear bands share their
    weight by a ridge on the weights' differences, as strong as PAN is badly explained: else the clouds decide.
    Sources: bi-square weights, Beaton and Tukey 1974, Technometrics 16(2); non-negative least squares, Lawson
    and Hanson 1974, Solving Least Squares Problems, ch. 23.
    """
    from scipy import optimize

    count = sample.values.shape[0]
    weight, found, unexplained = np.ones_like(pan), np.zeros(count), 0.0
    alike = np.eye(count) - 1.0 / count
    for _ in range(6):
        centred = sample.values - np.average(sample.values, axis=1, weights=weight)[:, None]
        target = pan - float(np.average(pan, weights=weight))
        gram = np.einsum("in,n,jn->ij", centred, weight, centred)
        scale = float(np.trace(gram)) / count
        root = np.linalg.cholesky(
            gram + SHARED * unexplained * scale * alike + (1e-9 * scale + 1e-300) * np.eye(count)
        )
        found, _ = optimize.nnls(
            root.T, np.linalg.solve(root, np.einsum("in,n,n->i", centred, weight, target))
        )
        miss = np.abs(target - dots(centred.T, found))
        spread = 4.685 * 1.4826 * max(float(np.median(miss)), 1e-9)
        weight = np.maximum(1.0 - (miss / spread) ** 2, 1e-6) ** 2
        unexplained = dot(weight, miss**2) / max(dot(weight, target**2), 1e-300)
    return tuple(float(value) for value in found)
