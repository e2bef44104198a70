"""Soft classes of spectra, each with gains of its own for the detail that a linear model predicts.

A pixel's spectrum belongs to each class in part; how much of the predicted detail a class wants is fitted one scale
down and kept only where the hold-out gains by it. All of it is deterministic: no random start.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geofuse.kernels.classes import power_table
from geofuse.methods.sharpen.ridge_penalty import PenaltyTrial
from geofuse.methods.sums import FLAT, GainEquations, Spectra

CLASSES = 12
LEAST_SPECTRA = 100
"""Spectra per class below which there are none."""
PENALTIES = (1e-1, 1e-2, 1e-3)
"""Lambdas tried: shares of the mean power that a class of average size would have."""
WORTH = 0.995
"""Held-out error with classes, over that without, up to which they are used."""
NEAR = 1.001
"""Hold-out errors that differ by less are taken as equal: then the higher penalty is chosen."""
MOST_ROUNDS = 60
"""Rounds of Lloyd's algorithm at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Classes:
    """K soft classes of spectra of B bands."""

    mean: NDArray[np.float64]
    """(B,): subtracted from a spectrum, in the bands' units."""
    scale: NDArray[np.float64]
    """(B,): then divided by; infinite for a flat band."""
    centres: NDArray[np.float64]
    """(K, B), standardised."""
    spread: float
    """Mean distance of a spectrum to the centre of its class."""


class Tables(NamedTuple):
    """Classes as the kernels take them, in a float type."""

    mean: NDArray[Any]
    """(B,)."""
    inverse: NDArray[Any]
    """(B,)."""
    centres: NDArray[Any]
    """(K, B)."""
    powers: NDArray[Any]
    """Of `power_table`."""


@lru_cache(maxsize=4)
def classes_of(spectra: Spectra) -> Classes | None:
    """Find classes by k-means; None where there are too few spectra, or all are alike.

    Sources: Lloyd 1982, IEEE Trans. Inf. Theory 28(2); for the start, Arthur and Vassilvitskii 2007, SODA, whose
    draw by squared distance is replaced by the median of that distribution.
    """
    if len(spectra.values) < LEAST_SPECTRA * CLASSES:
        return None
    values = spectra.values
    mean, std = values.mean(axis=0), values.std(axis=0)
    scale = np.where(std > FLAT * np.abs(mean), std, np.inf)
    points = np.ascontiguousarray(((values - mean) / scale).T)
    centres = _start(points)
    if centres is None:
        return None
    owner = np.full(points.shape[1], -1)
    for _ in range(MOST_ROUNDS):
        nearest = _distances(points, centres).argmin(axis=0)
        if np.array_equal(nearest, owner):
            break
        owner = nearest
        sizes = np.bincount(owner, minlength=CLASSES)
        sums = np.stack([np.bincount(owner, plane, CLASSES) for plane in points], axis=1)
        centres = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centres)
    spread = float(np.sqrt(_distances(points, centres).min(axis=0)).mean())
    return Classes(mean, scale, centres, spread) if spread > 0.0 else None


def _start(points: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Begin at the spectrum of median brightness; go on where half of the squared distance left is reached."""
    brightness = points.sum(axis=0)
    chosen = [int(np.argsort(brightness, kind="stable")[brightness.size // 2])]
    while len(chosen) < CLASSES:
        left = _distances(points, points[:, chosen].T).min(axis=0)
        order = np.argsort(left, kind="stable")
        reached = np.cumsum(left[order])
        if reached[-1] <= 0.0:
            return None
        chosen.append(int(order[np.searchsorted(reached, 0.5 * reached[-1])]))
    return points[:, chosen].T.copy()


def _distances(points: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distances (K, n); sums in one order, so no matrix product."""
    total = np.zeros((len(centres), points.shape[1]))
    for plane, own in zip(points, centres.T, strict=True):
        total += np.square(plane - own[:, None])
    return total


def tables(classes: Classes, kind: np.dtype[Any]) -> Tables:
    """Bring exp(-d^2 / (2 s^2)) to 2^-(d^2): both standardisation and centres take the factor."""
    factor = math.sqrt(0.5 / math.log(2.0)) / classes.spread
    return Tables(
        classes.mean.astype(kind),
        (factor / classes.scale).astype(kind),
        (factor * classes.centres).astype(kind),
        power_table(kind),
    )


def to_json(classes: Classes, gains: NDArray[np.float64]) -> dict[str, Any]:
    """Return classes and their gains (B, K) as JSON; a flat band's infinite scale is null."""
    return {
        "mean": classes.mean.tolist(),
        "scale": [value if math.isfinite(value) else None for value in classes.scale.tolist()],
        "centres": classes.centres.tolist(),
        "spread": classes.spread,
        "gains": gains.tolist(),
    }


def from_json(values: dict[str, Any]) -> tuple[Classes, NDArray[np.float64]]:
    """Return the classes and gains of `to_json`."""
    scale = np.array([math.inf if value is None else value for value in values["scale"]])
    classes = Classes(np.array(values["mean"]), scale, np.array(values["centres"]), values["spread"])
    return classes, np.array(values["gains"])


def solve_gains(found: GainEquations, folds: NDArray[np.bool_], *, penalty: float) -> NDArray[np.float64]:
    """Return gains (B, K) over some folds: least squares with a ridge towards 1.

    The penalty is in shares of the mean power over K of the detail: a class too small to tell keeps the gain 1.
    """
    gram, cross = found.gram[:, folds].sum(axis=1), found.cross[:, folds].sum(axis=1)
    gains = np.ones(cross.shape)
    classes = cross.shape[1]
    for own, system, wanted in zip(gains, gram, cross, strict=True):
        power = system.sum() / classes  # memberships sum to 1: the sum of r^2, over K
        if power > 0.0:
            own += np.linalg.solve(system + penalty * power * np.eye(classes), wanted - system.sum(axis=1))
    return gains


def gain_errors(
    found: GainEquations, gains: NDArray[np.float64], folds: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return each band's sum of squared errors (B,) over some folds."""
    gram, cross = found.gram[:, folds].sum(axis=1), found.cross[:, folds].sum(axis=1)
    explained = 2.0 * cross - np.einsum("bkl,bl->bk", gram, gains)
    return np.asarray(np.maximum(found.squares[:, folds].sum(axis=1) - (gains * explained).sum(axis=1), 0.0))


def try_gains(found: GainEquations, *, penalty: float | None) -> PenaltyTrial:
    """Fit gains without each fold in turn and measure on it; with no penalty all gains are 1."""
    here = usable(found)
    total = np.zeros(len(found.cross))
    for fold in np.flatnonzero(here):
        only = np.arange(here.size) == fold
        gains = np.ones((found.cross.shape[0], found.cross.shape[2]))
        if penalty is not None:
            gains = solve_gains(found, here & ~only, penalty=penalty)
        total += gain_errors(found, gains, only)
    count = found.counts[:, here].sum(axis=1)
    return PenaltyTrial(found.cross.shape[2], penalty or 0.0, tuple(np.sqrt(total / count).tolist()))


def usable(found: GainEquations) -> NDArray[np.bool_]:
    """Return which folds have samples of every band (folds,)."""
    return np.asarray((found.counts > 0).all(axis=0))


@dataclass(frozen=True, slots=True)
class Judged:
    """What the hold-out says of classes."""

    without: tuple[float, ...]
    """Error of the linear model per band, in the bands' units."""
    best: PenaltyTrial
    """The best with classes."""
    worth: bool
    """Whether to use them."""


def judge(found: GainEquations) -> Judged | None:
    """Hold out each fold in turn; None where nothing can be held out.

    The linear model is that of all folds with or without classes, so that the gains alone are judged.
    """
    if not found.cross.shape[2] or usable(found).sum() < 2:
        return None
    without = try_gains(found, penalty=None).rmse
    trials = [try_gains(found, penalty=penalty) for penalty in PENALTIES]
    errors = [_relative(trial.rmse, without) for trial in trials]
    at = next(index for index, error in enumerate(errors) if error <= NEAR * min(errors))
    return Judged(without, trials[at], errors[at] <= WORTH)


def _relative(errors: tuple[float, ...], against: tuple[float, ...]) -> float:
    shares = [own / base for own, base in zip(errors, against, strict=True) if base > 0.0]
    return sum(shares) / len(shares) if shares else 1.0
