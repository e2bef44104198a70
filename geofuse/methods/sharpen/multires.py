"""Multi-resolution analysis: the detail is PAN less a low-passed PAN. HPF, SFIM, AWLP, MTF-GLP; EXP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from geofuse.kernels.inject import NO_LIMIT
from geofuse.methods.base import About, Coefficient, Options, Takes
from geofuse.methods.sharpen.closed_form import ClosedForm, Fine, floor_of, slope

MRA = "multi-resolution analysis"
STEEPEST = 2.0
"""Steepest local slope U / (P_L + c), in scene slopes g: where P_L nears -c the pure ratio diverges."""


def _exp(collected: Mapping[str, Any], options: Options) -> dict[str, Coefficient]:
    return {}


def detail_gains(gains: list[float]) -> dict[str, Coefficient]:
    """Return the linear form F_b = U_b + gains[b] (P - P_L)."""
    bands = len(gains)
    return {
        "weights": [[0.0] * bands],
        "pan_gain": [1.0],
        "low_gain": [-1.0],
        "constant": [0.0],
        "gains": [[gain] for gain in gains],
    }


def _hpf(collected: Mapping[str, Any], options: Options) -> dict[str, Coefficient]:
    fine: Fine = collected["fine"]
    std = fine.moments.std
    return detail_gains([slope(float(std[b]), float(std[fine.low(b)])) for b in range(fine.bands)])


def _glp(collected: Mapping[str, Any], options: Options) -> dict[str, Coefficient]:
    fine: Fine = collected["fine"]
    return detail_gains(regression_gains(fine))


def regression_gains(fine: Fine) -> list[float]:
    """Return g_b = cov(U_b, P_L) / var(P_L)."""
    cov = fine.moments.cov
    return [
        slope(float(cov[b, fine.low(b)]), float(cov[fine.low(b), fine.low(b)])) for b in range(fine.bands)
    ]


def _glp_fs(collected: Mapping[str, Any], options: Options) -> dict[str, Coefficient]:
    fine: Fine = collected["fine"]
    cov, pan = fine.moments.cov, fine.bands
    return detail_gains([slope(float(cov[b, pan]), float(cov[fine.low(b), pan])) for b in range(fine.bands)])


def _plain_ratio(collected: Mapping[str, Any], options: Options) -> dict[str, Coefficient]:
    bands = len(options.names)
    return {"constant": [0.0] * bands, "limit": [NO_LIMIT] * bands, "floor": floor_of(0.0, options)}


def _hpm_r(collected: Mapping[str, Any], options: Options) -> dict[str, Coefficient]:
    fine: Fine = collected["fine"]
    mean = fine.moments.mean
    gains = [max(gain, 0.0) if mean[b] > 0.0 else 0.0 for b, gain in enumerate(regression_gains(fine))]
    return {
        "constant": [
            float(mean[b] / gain - mean[fine.bands]) if gain else NO_LIMIT for b, gain in enumerate(gains)
        ],
        "limit": [STEEPEST * gain for gain in gains],
        "floor": floor_of(0.0, options),
    }


def _awlp(collected: Mapping[str, Any], options: Options) -> dict[str, Coefficient]:
    fine: Fine = collected["fine"]
    bands, moments = fine.bands, fine.moments
    share = 1.0 / bands
    intensity_std = float((share**2 * moments.cov[:bands, :bands].sum()) ** 0.5)
    match = slope(intensity_std, float(moments.std[bands + 1]))
    equal = [share] * bands
    return {
        "top": [*equal, match, -match, 0.0],
        "bottom": [*equal, 0.0, 0.0, 0.0],
        "haze": [0.0] * bands,
        "floor": floor_of(float(moments.mean[:bands].mean()), options),
    }


EXP = ClosedForm(
    About(
        "exp",
        "none",
        "Keys 1981, IEEE TASSP 29(6)",
        "cubic upsampling only: the honest baseline",
        Takes(guide_bands=(1, None)),
    ),
    "exp",
    _exp,
)
HPF = ClosedForm(
    About(
        "hpf",
        MRA,
        "Chavez, Sides and Anderson 1991, PE&RS 57(3)",
        "box high-pass, added with matched contrast",
    ),
    "linear",
    _hpf,
    low="box",
    collects=("fine",),
)
SFIM = ClosedForm(
    About("sfim", MRA, "Liu 2000, Int. J. Remote Sensing 21(18)", "smoothing-filter intensity modulation"),
    "modulate",
    _plain_ratio,
    low="box",
)
AWLP = ClosedForm(
    About("awlp", MRA, "Otazu et al. 2005, IEEE TGRS 43(10)", "additive wavelet, proportional to luminance"),
    "ratio",
    _awlp,
    low="atrous",
    collects=("fine",),
)
MTF_GLP = ClosedForm(
    About("mtf-glp", MRA, "Aiazzi et al. 2006, PE&RS 72(5)", "MTF-matched pyramid, regression gains"),
    "linear",
    _glp,
    low="glp",
    collects=("fine",),
)
MTF_GLP_FS = ClosedForm(
    About(
        "mtf-glp-fs",
        MRA,
        "Vivone, Restaino and Chanussot 2018, IEEE TIP 27(7)",
        "gains estimated at full scale",
    ),
    "linear",
    _glp_fs,
    low="glp",
    collects=("fine",),
)
MTF_GLP_HPM = ClosedForm(
    About("mtf-glp-hpm", MRA, "Vivone et al. 2014, IEEE GRSL 11(5)", "high-pass modulation: U P / P_L"),
    "modulate",
    _plain_ratio,
    low="glp",
)
MTF_GLP_HPM_R = ClosedForm(
    About(
        "mtf-glp-hpm-r",
        MRA,
        "Vivone, Restaino and Chanussot 2018, IEEE TGRS 56(3)",
        "high-pass modulation with regression-based radiometry",
    ),
    "modulate",
    _hpm_r,
    low="glp",
    collects=("fine",),
)
