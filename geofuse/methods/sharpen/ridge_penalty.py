"""Ridge regression from normal equations kept by fold: coefficients, hold-out errors, and the choice between models.

Everything is computed from the sums alone: the error of coefficients c on a fold is y'y - 2 c'X'y + c'X'X c.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geofuse.methods.sums import FLAT, NormalEquations


@dataclass(frozen=True, slots=True)
class PenaltyTrial:
    """A model that was tried, and its error where it was not fitted."""

    features: int
    """The first so many features were used."""
    penalty: float
    """Lambda."""
    rmse: tuple[float, ...]
    """Hold-out error per band, in the bands' units."""


def solve(
    found: NormalEquations,
    group: Sequence[int],
    *,
    features: int,
    penalty: float,
    folds: NDArray[np.bool_],
    scale: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the ridge coefficients (K, B) of the first ``features`` over some folds, 0 for the others.

    ``group`` names the features' geometry of each band. Each feature is divided by its root mean square over the
    folds, the penalty is added to the diagonal of the mean squares, which is then 1: (Z'Z / n + lambda I) c = Z'y / n.
    A feature is left out whose mean square is next to nothing against ``scale`` (K,), that of the image it is made
    of: it is but rounding. Source: Hoerl and Kennard 1970, Technometrics 12(1).
    """
    coefficients = np.zeros(found.cross.shape[1:])
    for index in sorted(set(group)):
        bands = np.flatnonzero(np.asarray(group) == index)
        samples = found.counts[index, folds].sum()
        gram = found.gram[index, folds].sum(axis=0) / samples
        cross = found.cross[folds].sum(axis=0) / samples
        power = np.diag(gram)
        use = np.flatnonzero((np.arange(power.size) < features) & (power > FLAT**2 * scale))
        size = np.sqrt(power[use])
        system = gram[np.ix_(use, use)] / np.outer(size, size) + penalty * np.eye(use.size)
        solution = np.linalg.solve(system, cross[np.ix_(use, bands)] / size[:, None])
        coefficients[np.ix_(use, bands)] = solution / size[:, None]
    return coefficients


def squared_errors(
    found: NormalEquations, group: Sequence[int], coefficients: NDArray[np.float64], folds: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return each band's sum of squared errors (B,) over some folds."""
    gram = found.gram[:, folds].sum(axis=1)[np.asarray(group)]
    cross = found.cross[folds].sum(axis=0)
    explained = np.einsum("kb,kb->b", coefficients, 2.0 * cross - np.einsum("bkl,lb->kb", gram, coefficients))
    return np.asarray(np.maximum(found.squares[folds].sum(axis=0) - explained, 0.0))


def residual_rms(found: NormalEquations, group: Sequence[int]) -> tuple[float, ...]:
    """Return each band's root mean square before any fit: the error of plain upsampling."""
    samples = found.counts.sum(axis=1)[np.asarray(group)]
    return tuple(np.sqrt(found.squares.sum(axis=0) / np.maximum(samples, 1)).tolist())


def try_out(
    found: NormalEquations, group: Sequence[int], *, features: int, penalty: float, scale: NDArray[np.float64]
) -> PenaltyTrial:
    """Fit without each fold in turn and measure on it."""
    total = np.zeros(found.cross.shape[2])
    here = usable_folds(found)
    for fold in np.flatnonzero(here):
        only = np.arange(here.size) == fold
        coefficients = solve(
            found, group, features=features, penalty=penalty, folds=here & ~only, scale=scale
        )
        total += squared_errors(found, group, coefficients, only)
    samples = found.counts[:, here].sum(axis=1)[np.asarray(group)]
    return PenaltyTrial(features, penalty, tuple(np.sqrt(total / samples).tolist()))


def usable_folds(found: NormalEquations) -> NDArray[np.bool_]:
    """Return which folds have samples of every group (folds,)."""
    return np.asarray((found.counts > 0).all(axis=0))


def most_cautious(trials: Sequence[PenaltyTrial], against: Sequence[float], *, near: float) -> PenaltyTrial:
    """Return the most cautious trial whose error is within a factor ``near`` of the least.

    Errors are relative to ``against`` per band, root mean square over the bands. Cautious are few features first, then
    a high penalty: what hold-out on one scale cannot tell apart, the step to the other scale may. Source of such
    rules: Breiman, Friedman, Olshen and Stone 1984, Classification and Regression Trees, section 3.4.
    """

    def error(trial: PenaltyTrial) -> float:
        shares = [own / base for own, base in zip(trial.rmse, against, strict=True) if base > 0.0]
        return float(np.sqrt(np.mean(np.square(shares)))) if shares else 1.0

    least = min(error(trial) for trial in trials)
    cautious = sorted(trials, key=lambda trial: (trial.features, -trial.penalty))
    return next(trial for trial in cautious if error(trial) <= near * least)
