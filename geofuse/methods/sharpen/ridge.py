"""Fits to the scene itself: ridge, a linear model of each band's missing detail, learnt one scale down."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import gaussian_reach_px
from geofuse.kernels import stencil
from geofuse.kernels.classes import GainSums, memberships_of, modulate
from geofuse.kernels.resample import fill
from geofuse.kernels.stencil import FOLDS, MARGIN, SIDE, TAPS, ProductSums
from geofuse.methods.base import (
    About,
    After,
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
    axes_at,
    bands_by,
    coarse_window,
    coarse_window_bands,
    degrade,
    departure_cpx,
)
from geofuse.methods.sharpen import spectral_classes as soft
from geofuse.methods.sharpen.closed_form import (
    FILL_CPX,
    LEAST_LOW_SHARE,
    STRIP_ROWS,
    coarse_core,
    coarse_part,
    floor_of,
    owned_window,
)
from geofuse.methods.sharpen.one_scale_down import (
    alike,
    back_reach_cpx,
    bands_reach_cpx,
    coarse_pair,
    consistent_target,
    features,
    pan_reach_cpx,
)
from geofuse.methods.sharpen.ridge_penalty import (
    PenaltyTrial,
    most_cautious,
    residual_rms,
    solve,
    try_out,
    usable_folds,
)
from geofuse.methods.sums import GainEquations, NormalEquations, Spectra, spectra_of

PENALTIES = (1e-2, 1e-3, 1e-4)
"""Lambdas tried: shares of a feature's mean square."""
USUAL_PENALTY = 1e-3
"""Lambda where nothing can be held out."""
NEAR = 1.005
"""Hold-out errors that differ by less are taken as equal: then the more cautious model is chosen."""
LEAST_SAMPLES = 10
"""Samples per coefficient below which nothing is fitted."""


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """The linear model, and how it was chosen."""

    coefficients: NDArray[np.float64]
    """(K, B); all 0 where there was too little to fit."""
    best: PenaltyTrial
    """What was chosen."""
    trials: tuple[PenaltyTrial, ...]
    """What was tried; empty where nothing could be held out."""
    base: tuple[float, ...]
    """Error of upsampling per band."""


@dataclass(frozen=True, slots=True)
class Ridge:
    """F_b = U_b + a linear combination of PAN's detail around the pixel and of modulated bands.

    Features at a fine pixel: d = P - P_L at its 5 x 5 neighbours (0 where P is invalid), U_k s for each band k with
    s = d / P_L kept within -1 .. 1 (0 where P_L is below the floor of ratios), and, where the scene's hold-out finds
    them useful, U(M - D(U(M)))_k. No intercept; one set of coefficients per band, for all phases. Where the hold-out
    gains by it too, 12 soft classes of spectra modulate the sum: F_b = U_b + sum_k m_k a_kb r_b.
    """

    about: About
    """Name and source."""

    def passes(self, options: Options) -> Sequence[Pass]:
        """Name what to collect over the scene."""
        return Pass("ridge"), Pass("spectra"), Pass("classes")

    def halo(self, observation: Observation, *, options: Options) -> Reach:
        """Reach of the taps, low-passed PAN and back-projection, at full scale and one scale down."""
        ratio = options.largest_ratio or options.ratio
        shift = max(abs(value) for own in (observation.shift_px, *observation.shifts_px) for value in own)
        # ratio is over the mean of both axes' scales, the largest ratio over the smaller of them
        scale = 2.0 / options.ratio - 1.0 / ratio
        departure = departure_cpx(observation.field, scale)
        shift_cpx = math.ceil(shift * scale - 1e-9) + departure
        gains = observation.mtf_gain
        sensor = gaussian_reach_px(observation.joint_gain, ratio)
        apply_px = MARGIN + math.ceil((CUBIC_REACH_CPX + FILL_CPX + 0.5) * ratio) + sensor
        more_px = math.ceil(departure * ratio + observation.field.largest_px) + 1 if observation.field else 0
        fit_px = math.floor((pan_reach_cpx(observation.joint_gain, ratio) + 0.5) * ratio) + sensor
        back = max(back_reach_cpx(gain, ratio) for gain in gains)
        apply_cpx = CUBIC_REACH_CPX + max(FILL_CPX, back) + shift_cpx
        # a centre on the core's edge may be of the coarse pixel before the one under the first fine pixel
        fit_cpx = bands_reach_cpx(gains, ratio, 2.0 * shift_cpx) + 1
        return Reach(max(apply_px, fit_px + math.ceil(shift)) + more_px, max(apply_cpx, fit_cpx))

    def collect(
        self, name: str, patch: Patch, observation: Observation, *, options: Options, state: Mapping[str, Any]
    ) -> NormalEquations | Spectra | GainEquations:
        """Collect over the coarse pixels centred in the core: equations at every phase, or spectra.

        Hold-out folds are made of blocks of 32 x 32 coarse pixels, counted from the output's origin.
        """
        if name == "spectra":
            part = coarse_part(patch, owned_window(patch))
            return spectra_of(patch.target.values[:, *part], patch.target.valid[part], _from_origin(patch))
        if name == "classes":
            found = soft.classes_of(state["spectra"])
            return _gain_equations(patch, observation, found, linear_of(state["ridge"], observation), options)
        return self._equations(patch, observation, options)

    def _equations(self, patch: Patch, observation: Observation, options: Options) -> NormalEquations:
        bands = len(observation.mtf_gain)
        size = TAPS + 2 * bands
        groups = alike(observation)
        counts = np.zeros((len(groups), FOLDS), np.int64)
        gram = np.zeros((len(groups), FOLDS, size, size))
        cross, squares = np.zeros((FOLDS, size, bands)), np.zeros((FOLDS, bands))
        place = _from_origin(patch)
        for index, (shift, members) in enumerate(groups):
            pair = coarse_pair(patch, observation, shift)
            sums = ProductSums(2 * bands + len(members), pair.pan.dtype)
            floor = floor_of(0.0, options)
            for found in features(patch, observation, pair, shift_px=shift, members=members, floor=floor):
                planes = np.concatenate([found.ratios, found.corrections, found.targets])
                sums.add(found.detail, planes, found.seen, place)
            products = sums.done()
            counts[index], gram[index] = sums.counts, products[:, :size, :size]
            cross[:, :, members] = products[:, :size, size:]
            squares[:, members] = np.diagonal(products[:, size:, size:], axis1=1, axis2=2)
        return NormalEquations(counts, gram, cross, squares, *_levels(patch, observation))

    def fit(self, collected: Mapping[str, Any], observation: Observation, *, options: Options) -> Params:
        """Choose corrections, penalty and classes by hold-out, then fit on all samples."""
        found: NormalEquations = collected["ridge"]
        bands = len(options.names)
        plain = TAPS + bands
        linear = linear_of(found, observation)
        of_band = linear.coefficients.T
        values = {
            "taps": of_band[:, :TAPS].reshape(bands, SIDE, SIDE).tolist(),
            "ratios": of_band[:, TAPS:plain].tolist(),
            "corrections": of_band[:, plain:].tolist(),
            "penalty": linear.best.penalty,
            "extras": ["back-projection"] if linear.best.features > plain else [],
            "samples": found.count,
            "hold_out": _report(linear, plain),
            "classes": None,
        }
        equations: GainEquations = collected["classes"]
        judged, classes = soft.judge(equations), soft.classes_of(collected["spectra"])
        if judged and classes and values["hold_out"]:
            values["hold_out"]["classes"] = {
                "rmse": list(judged.best.rmse),
                "rmse_without": list(judged.without),
                "penalty": judged.best.penalty,
            }
            if judged.worth:
                gains = soft.solve_gains(equations, soft.usable(equations), penalty=judged.best.penalty)
                values["classes"] = soft.to_json(classes, gains)
                values["extras"].append("classes")
        return Params(self.about.name, values)

    def apply(
        self, patch: Patch, params: Params, observation: Observation, *, options: Options, after: After
    ) -> Fused:
        """Fuse the core strip by strip, so that no plane of floats is ever whole."""
        return Fused(self._fused(patch, params, observation, options, after), shares_kept=True)

    def _fused(
        self, patch: Patch, params: Params, observation: Observation, options: Options, after: After
    ) -> Iterator[Strip]:
        row0, row1, col0, col1 = patch.core
        bands, kind = patch.target.values.shape[0], patch.target.values.dtype
        taps, ratios, gains = (
            np.asarray(params.values[key], kind) for key in ("taps", "ratios", "corrections")
        )
        corrected = "back-projection" in params.values["extras"]
        modulation = None
        if params.values["classes"]:
            classes, local = soft.from_json(params.values["classes"])
            modulation = *soft.tables(classes, kind), local.astype(kind)
        floor = kind.type(floor_of(0.0, options))
        low = _low_layer(patch, observation)
        layers = _band_layers(patch, observation, corrected=corrected)
        top, left = row0 - patch.guides_origin[0] - MARGIN, col0 - patch.guides_origin[1] - MARGIN
        for start, stop in _strips(row1 - row0):
            around = slice(top + start, top + stop + 2 * MARGIN), slice(left, left + col1 - col0 + 2 * MARGIN)
            smooth = low.rows(row0 + start - MARGIN, row0 + stop + MARGIN)[0]
            detail = np.empty_like(smooth)
            stencil.detail_of(patch.guide[*around], patch.guides_valid[around], smooth, detail)
            planes = _planes(layers, row0 + start, row0 + stop)
            up = planes[:bands]
            spectra = up.copy() if modulation or after.cuts else up
            stencil.inject(up, planes[bands:], detail, smooth, floor, taps, ratios, gains)
            if modulation:
                modulate(spectra, up, *modulation)
            if after.cuts:
                keep_shares(spectra, up, after.shares)
            yield slice(start, stop), up


@lru_cache(maxsize=4)
def linear_of(found: NormalEquations, observation: Observation) -> Linear:
    """Choose corrections and penalty by hold-out, then fit on all samples; remembered by identity of the sums."""
    bands = len(observation.mtf_gain)
    group = _group_of(observation)
    scale = np.repeat(found.levels / max(found.pixels, 1), [TAPS] + [1] * bands)
    scale = np.concatenate([scale, scale[TAPS:]])
    base = residual_rms(found, group)
    plain = TAPS + bands
    folds = usable_folds(found)
    trials: list[PenaltyTrial] = []
    best = PenaltyTrial(plain, USUAL_PENALTY, base)
    if found.counts.sum(axis=1).min() < LEAST_SAMPLES * plain:
        return Linear(np.zeros((plain + bands, bands)), best, (), base)
    if folds.sum() > 1:
        trials = [
            try_out(found, group, features=used, penalty=penalty, scale=scale)
            for used in (plain, plain + bands)
            for penalty in PENALTIES
        ]
        best = most_cautious(trials, base, near=NEAR)
    coefficients = solve(
        found,
        group,
        features=best.features,
        penalty=best.penalty,
        folds=found.counts.sum(axis=0) > 0,
        scale=scale,
    )
    return Linear(coefficients, best, tuple(trials), base)


def _gain_equations(
    patch: Patch, observation: Observation, classes: soft.Classes | None, linear: Linear, options: Options
) -> GainEquations:
    """Collect what the classes' gains need, at every phase; nothing where the model or the classes are missing."""
    bands = len(observation.mtf_gain)
    pixels = int(patch.target.valid[coarse_part(patch, owned_window(patch))].sum())
    number = len(classes.centres) if classes and linear.trials else 0
    counts, squares = np.zeros((bands, FOLDS), np.int64), np.zeros((bands, FOLDS))
    gram, cross = np.zeros((bands, FOLDS, number, number)), np.zeros((bands, FOLDS, number))
    if classes is None or not number:
        return GainEquations(counts, gram, cross, squares, pixels)
    kind = patch.target.values.dtype
    tables = soft.tables(classes, kind)
    taps = linear.coefficients[:TAPS].T.reshape(bands, SIDE, SIDE).astype(kind)
    weights = linear.coefficients[TAPS:].T.astype(kind)
    floor, place = floor_of(0.0, options), _from_origin(patch)
    for shift, members in alike(observation):
        pair = coarse_pair(patch, observation, shift)
        sums = GainSums(number, len(members))
        for found in features(patch, observation, pair, shift_px=shift, members=members, floor=floor):
            detail = np.empty_like(found.targets)
            others = np.concatenate([found.ratios, found.corrections])
            stencil.predict(found.detail, others, taps[members], weights[members], detail)
            shares = np.empty((found.seen.shape[0], number, found.seen.shape[1]), kind)
            memberships_of(found.spectra, *tables, shares)
            sums.add(shares, detail, found.targets, seen=found.seen, place=place)
        counts[members] = sums.counts
        gram[members], cross[members], squares[members] = sums.done()
    return GainEquations(counts, gram, cross, squares, pixels)


def _report(linear: Linear, plain: int) -> dict[str, Any] | None:
    """Return the hold-out errors as JSON; None where nothing could be held out."""
    if not linear.trials:
        return None
    return {
        "rmse": list(linear.best.rmse),
        "upsampling_rmse": list(linear.base),
        "tried": [
            {"back_projection": trial.features > plain, "penalty": trial.penalty, "rmse": list(trial.rmse)}
            for trial in linear.trials
        ],
        "classes": None,
    }


def _group_of(observation: Observation) -> list[int]:
    group = [0] * len(observation.mtf_gain)
    for index, (_, members) in enumerate(alike(observation)):
        for band in members:
            group[band] = index
    return group


def _from_origin(patch: Patch) -> tuple[int, int]:
    """Return where the core's first coarse pixel lies, counted from the output's first."""
    rows, cols = patch.core[1] - patch.core[0], patch.core[3] - patch.core[2]
    first = owned_window(replace(patch, core=(0, rows, 0, cols)))
    here = owned_window(patch)
    return here[0] - first[0], here[2] - first[2]


def _levels(patch: Patch, observation: Observation) -> tuple[int, NDArray[np.float64]]:
    """Return pixels and sums of squares (1 + B,) of PAN as the MS sees it and the bands, over the core."""
    planes, pan, known = coarse_core(patch, observation)
    values = np.concatenate([pan, planes])[:, known].astype(np.float64)
    return int(known.sum()), np.square(values).sum(axis=1)


def _low_layer(patch: Patch, observation: Observation) -> Lifted:
    """Return low-passed PAN around the core, as far as the taps reach."""
    axes = axes_at((patch.target.axis_y, patch.target.axis_x), observation.shift_px, observation.field)
    row0, row1, col0, col1 = patch.core
    cols = (col0 - MARGIN, col1 + MARGIN)
    window = coarse_window(axes, (row0 - MARGIN, row1 + MARGIN, *cols), FILL_CPX)
    low, known = degrade(
        patch.guides,
        patch.guides_valid,
        patch.guides_origin,
        axes,
        window,
        gain=observation.joint_gain,
        minimum=LEAST_LOW_SHARE,
    )
    return Lifted(fill(low, known, FILL_CPX), (window[0], window[2]), axes, cols)


def _band_layers(
    patch: Patch, observation: Observation, *, corrected: bool
) -> list[tuple[list[int], Lifted]]:
    """Return the bands, and after them their corrections if wanted, by the place they have in the stack."""
    axes = (patch.target.axis_y, patch.target.axis_x)
    bands = patch.target.values.shape[0]
    touched = coarse_window_bands(axes, patch.core, observation)
    filled = coarse_window_bands(axes, patch.core, observation, FILL_CPX)
    part = coarse_part(patch, filled)
    planes = fill(patch.target.values[:, *part], patch.target.valid[part], FILL_CPX)
    planes = planes[:, FILL_CPX:-FILL_CPX, FILL_CPX:-FILL_CPX]
    if corrected:
        planes = np.concatenate([planes, np.empty_like(planes)])
        for gain, shift, members in _alike_in_all(observation):
            planes[[bands + band for band in members]], _ = consistent_target(
                patch.target.values[members],
                patch.target.valid,
                patch.target.origin,
                axes_at(axes, shift)[:2],
                touched,
                gain=gain,
            )
    layers = []
    for shift, members in bands_by(observation.shifts_px):
        places = [*members, *(bands + band for band in members if corrected)]
        own = axes_at(axes, shift, observation.field)
        cols = (patch.core[2], patch.core[3])
        layers.append((places, Lifted(planes[places], (touched[0], touched[2]), own, cols)))
    return layers


def _alike_in_all(observation: Observation) -> list[tuple[float, tuple[float, float], list[int]]]:
    keys = list(zip(observation.mtf_gain, observation.shifts_px, strict=True))
    return [(gain, shift, members) for (gain, shift), members in bands_by(keys)]


def _strips(rows: int) -> Iterator[tuple[int, int]]:
    for start in range(0, rows, STRIP_ROWS):
        yield start, min(start + STRIP_ROWS, rows)


def _planes(layers: list[tuple[list[int], Lifted]], start: int, stop: int) -> NDArray[Any]:
    """Return fine rows of all layers in the stack's order (K, n, W)."""
    if len(layers) == 1:
        return layers[0][1].rows(start, stop)
    parts = [(places, layer.rows(start, stop)) for places, layer in layers]
    stack = np.empty((sum(len(places) for places, _ in parts), *parts[0][1].shape[1:]), parts[0][1].dtype)
    for places, rows in parts:
        stack[places] = rows
    return stack


RIDGE = Ridge(
    About(
        "ridge",
        "adaptive",
        "Aiazzi, Baronti and Selva 2007, IEEE TGRS 45(10); Hoerl and Kennard 1970, Technometrics 12(1)",
        "PAN's detail by ridge regression, fitted to the scene one scale down (Wald's protocol)",
        sampled=True,
    )
)
