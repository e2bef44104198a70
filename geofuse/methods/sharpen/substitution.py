"""Component substitution: the detail is PAN less an intensity made of the bands. Brovey ... PRACS."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.methods.base import About, Coefficient, Options
from geofuse.methods.sharpen.closed_form import ClosedForm, Fine, floor_of, slope
from geofuse.methods.sums import Moments, quantile

CS = "component substitution"
HAZE_SHARE = {"blue": 0.95, "green": 0.45, "red": 0.40, "nir": 0.05}
PRACS_BETA = 0.95


def _brovey(collected: Mapping[str, Any], options: Options) -> dict[str, Coefficient]:
    bands = len(options.names)
    weights = list(options.weights) if options.weights else [1.0 / bands] * bands
    return {
        "top": [*[0.0] * bands, 1.0, 0.0, 0.0],
        "bottom": [*weights, 0.0, 0.0, 0.0],
        "haze": [0.0] * bands,
        "floor": floor_of(0.0, options),
    }


def _spread(cov: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Return the standard deviation of a weighted sum of variables."""
    return math.sqrt(max(float(weights @ cov @ weights), 0.0))


def _matched(fine: Fine, weights: NDArray[np.float64], constant: float) -> tuple[float, float]:
    """Return a, b of P' = a P + b with the mean and standard deviation of I = weights . U + constant."""
    moments, bands = fine.moments, fine.bands
    spread = _spread(moments.cov[:bands, :bands], weights)
    mean = float(weights @ moments.mean[:bands]) + constant
    gain = slope(spread, float(moments.std[bands]))
    return gain, mean - gain * float(moments.mean[bands])


def _substitute(
    weights: NDArray[np.float64], pan_gain: float, constant: float, gains: NDArray[np.float64]
) -> dict[str, Coefficient]:
    """Return the linear form F_b = U_b + gains[b] (pan_gain P + constant - weights . U)."""
    return {
        "weights": [(-weights).tolist()],
        "pan_gain": [pan_gain],
        "low_gain": [0.0],
        "constant": [constant],
        "gains": gains[:, None].tolist(),
    }


def _ihs(collected: Mapping[str, Any], options: Options) -> dict[str, Coefficient]:
    fine: Fine = collected["fine"]
    weights = np.full(fine.bands, 1.0 / fine.bands)
    return _substitute(weights, *_matched(fine, weights, 0.0), np.ones(fine.bands))


def _pca(collected: Mapping[str, Any], options: Options) -> dict[str, Coefficient]:
    fine: Fine = collected["fine"]
    bands, cov = fine.bands, fine.moments.cov
    axis = np.linalg.eigh(cov[:bands, :bands])[1][:, -1]
    if axis @ cov[:bands, bands] < 0.0:
        axis = -axis
    return _substitute(axis, *_matched(fine, axis, 0.0), axis)


def _gs(collected: Mapping[str, Any], options: Options) -> dict[str, Coefficient]:
    fine: Fine = collected["fine"]
    weights = np.full(fine.bands, 1.0 / fine.bands)
    return _substitute(weights, *_matched(fine, weights, 0.0), _covariance_gains(fine, weights))


def _covariance_gains(fine: Fine, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return g_b = cov(U_b, I) / var(I) for I = weights . U."""
    cov = fine.moments.cov[: fine.bands, : fine.bands]
    with_intensity = cov @ weights
    variance = float(weights @ with_intensity)
    return np.array([slope(float(value), variance) for value in with_intensity])


def regress_pan(coarse: Moments) -> tuple[NDArray[np.float64], float]:
    """Return weights (B,) and constant of degraded PAN regressed on the bands by least squares."""
    cov = coarse.cov
    weights = np.asarray(np.linalg.lstsq(cov[:-1, :-1], cov[:-1, -1], rcond=1e-10)[0], np.float64)
    return weights, float(coarse.mean[-1] - weights @ coarse.mean[:-1])


def _gsa(collected: Mapping[str, Any], options: Options) -> dict[str, Coefficient]:
    fine: Fine = collected["fine"]
    weights, _ = regress_pan(collected["coarse"])
    mean = fine.moments.mean
    constant = float(weights @ mean[: fine.bands] - mean[fine.bands])
    return _substitute(weights, 1.0, constant, _covariance_gains(fine, weights))


def _bt_h(collected: Mapping[str, Any], options: Options) -> dict[str, Coefficient]:
    coarse: Moments = collected["coarse"]
    weights, constant = regress_pan(coarse)
    if set(options.names) == set(HAZE_SHARE):
        haze = quantile(collected["haze"], 0.01) * [HAZE_SHARE[name] for name in options.names]
    else:
        haze = coarse.low[:-1]
    match = slope(_spread(coarse.cov[:-1, :-1], weights), float(coarse.std[-1]))
    mean = float(coarse.mean[-1])
    hazy = float(weights @ haze) + constant
    return {
        "top": [*[0.0] * len(haze), match, 0.0, mean - match * mean - hazy],
        "bottom": [*weights.tolist(), 0.0, 0.0, constant - hazy],
        "haze": haze.tolist(),
        "floor": floor_of(mean - hazy, options),
    }


def _bdsd_pc(collected: Mapping[str, Any], options: Options) -> dict[str, Coefficient]:
    from scipy.optimize import lsq_linear  # a quarter of a second to load, for this method alone

    raw = collected["coarser"].raw
    bands = (raw.shape[0] - 1) // 2
    known = raw[bands:, bands:]
    root = np.linalg.cholesky(known + np.eye(bands + 1) * (1e-10 * np.trace(known) + 1e-300))
    lower = np.array([-np.inf] * bands + [0.0])
    upper = np.array([0.0] * bands + [np.inf])
    gamma = np.zeros((bands, bands + 1))
    for band in range(bands):
        aim = np.linalg.solve(root, raw[bands:, band] - known[:, band])
        gamma[band] = lsq_linear(root.T, aim, bounds=(lower, upper), method="bvls").x
    return {
        "weights": gamma[:, :bands].tolist(),
        "pan_gain": gamma[:, bands].tolist(),
        "low_gain": [0.0] * bands,
        "constant": [0.0] * bands,
        "gains": np.eye(bands).tolist(),
    }


def _pracs(collected: Mapping[str, Any], options: Options) -> dict[str, Coefficient]:
    fine: Fine = collected["fine"]
    bands, cov, mean, std = fine.bands, fine.moments.cov, fine.moments.mean, fine.moments.std
    weights, constant = regress_pan(collected["coarse"])
    spread = _spread(cov[:bands, :bands], weights)
    center = float(weights @ mean[:bands]) + constant
    scale, _ = _matched(fine, weights, constant)
    replace, gains, correlations = [], [], []
    for b in range(bands):
        rho = slope(float(cov[b, :bands] @ weights), float(std[b]) * spread)
        pan_part, own_part = rho * scale, 1.0 - rho
        variance = (
            pan_part**2 * cov[bands, bands]
            + own_part**2 * cov[b, b]
            + 2.0 * pan_part * own_part * cov[b, bands]
        )
        match = slope(spread, math.sqrt(max(float(variance), 0.0)))
        pan_part, own_part = match * pan_part, match * own_part
        replace.append(
            [pan_part, own_part, center - pan_part * float(mean[bands]) - own_part * float(mean[b])]
        )
        gains.append(PRACS_BETA * rho * slope(float(std[b]), float(std[:bands].mean())))
        correlations.append(rho)
    return {
        "intensity": [*weights.tolist(), constant],
        "replace": replace,
        "gain": gains,
        "correlation": correlations,
        "floor": floor_of(center, options),
    }


BROVEY = ClosedForm(
    About(
        "brovey",
        CS,
        "Gillespie, Kahle and Walker 1987, RSE 22(3)",
        "U P / I, equal or given weights, no matching",
        hears=frozenset({"weights"}),
    ),
    "ratio",
    _brovey,
)
IHS = ClosedForm(
    About("ihs", CS, "Tu et al. 2001, Information Fusion 2(3)", "generalised intensity-hue-saturation"),
    "linear",
    _ihs,
    collects=("fine",),
)
PCA = ClosedForm(
    About(
        "pca",
        CS,
        "Chavez and Kwarteng 1989, PE&RS 55(3)",
        "first principal component replaced by matched PAN",
    ),
    "linear",
    _pca,
    collects=("fine",),
)
GS = ClosedForm(
    About("gs", CS, "Laben and Brower 2000, US patent 6,011,875", "Gram-Schmidt with the mean as intensity"),
    "linear",
    _gs,
    collects=("fine",),
)
GSA = ClosedForm(
    About(
        "gsa",
        CS,
        "Aiazzi, Baronti and Selva 2007, IEEE TGRS 45(10)",
        "Gram-Schmidt adaptive: regressed intensity",
    ),
    "linear",
    _gsa,
    collects=("fine", "coarse"),
)
BT_H = ClosedForm(
    About(
        "bt-h",
        CS,
        "Lolli et al. 2017, IEEE GRSL 14(12)",
        "Brovey with haze correction and regressed intensity",
    ),
    "ratio",
    _bt_h,
    collects=("coarse", "haze"),
)
BDSD_PC = ClosedForm(
    About(
        "bdsd-pc", CS, "Vivone 2019, IEEE TGRS 57(9)", "band-dependent spatial detail, physical constraints"
    ),
    "linear",
    _bdsd_pc,
    collects=("coarser",),
)
PRACS = ClosedForm(
    About(
        "pracs", CS, "Choi, Yu and Kim 2011, IEEE TGRS 49(1)", "partial replacement, adaptive to each band"
    ),
    "partial",
    _pracs,
    collects=("fine", "coarse"),
)
