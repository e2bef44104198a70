"""What an assessment says of each band, and how much of its detail nothing supports."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from geofuse.metrics import unsupported_detail
from geofuse.metrics.q2n import means
from geofuse.metrics.reference import ErrorSums
from geofuse.metrics.sharpness import SharpnessValue
from geofuse.quality.assessment.subject import Subject
from geofuse.quality.assessment.sums import Measured
from geofuse.quality.documents import BandReport, DetailReport

PerBand = Sequence[float] | NDArray[np.float64]


def bands_of(subject: Subject, found: Measured, sharp: SharpnessValue) -> dict[str, BandReport]:
    """Return what is known of each band, by its name."""
    fine = found.fine
    columns: dict[str, PerBand] = {
        "mean": means(fine.level),
        "q_pan": means(fine.pan),
        "d_rho": means(fine.local["d_rho"]),
        "energy_gain": sharp["energy_gain"],
        "edge_width_px": sharp["edge_width_px"],
        "edge_width_upsampled_px": sharp["edge_width_upsampled_px"],
        "detail_correlation": sharp["detail_correlation"],
        "unsupported": unsupported_detail.shares(fine.local["invented"]),
        "unsupported_bound": bounds_of(found),
        "mtf_gain": subject.observation.mtf_gain,
    }
    if found.coarse is not None:
        columns |= _errors("r_", found.coarse.error, means(found.coarse.difference))
    if found.error is not None and fine.reference is not None:
        columns |= _errors("", found.error, means(fine.reference.difference))
        columns["q"] = means(fine.reference.q)
    method = subject.record.get("method") if subject.record else None
    shares = method.get("injection") if method else None
    if shares:
        columns["injection"] = [shares.get(name, math.nan) for name in subject.names]
    bands = {}
    for at, name in enumerate(subject.names):
        numbers = {key: float(column[at]) for key, column in columns.items()}
        shift = list(subject.observation.shifts_px[at])
        bands[name] = cast(BandReport, {**numbers, "shift_px": shift})
    return bands


def detail_of(found: Measured) -> DetailReport:
    """Judge the share of detail that neither PAN nor MS shows: means over bands; is one beyond its bound?"""
    shares = unsupported_detail.shares(found.fine.local["invented"])
    bounds = bounds_of(found)
    over = [share / bound for share, bound in zip(shares, bounds, strict=True)]
    known = [value for value in over if math.isfinite(value)]
    return {
        "share": float(np.mean(shares)),
        "bound": float(np.mean(bounds)),
        "worst": max(known, default=math.nan),
        "found": any(value > 1.0 for value in known),
    }


def bounds_of(found: Measured) -> list[float]:
    """Return each band's bound, NaN where no coarse pixel could be measured."""
    if found.coarse is None:
        return [math.nan] * (found.fine.local["invented"].total.size // 2)
    return unsupported_detail.allowed(unsupported_detail.shares(found.coarse.real))


def _errors(prefix: str, error: ErrorSums, bias: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """RMSE and bias per band, and both relative to the mean of what they are measured against."""
    count = error.count or math.nan
    rmse, level = np.sqrt(error.squared / count), error.reference / count
    relative = np.divide(100.0 * rmse, level, out=np.full_like(rmse, np.nan), where=level != 0.0)
    return {f"{prefix}rmse": rmse, f"{prefix}rmse_percent": relative, f"{prefix}bias": bias}
