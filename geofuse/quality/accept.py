"""Acceptance: a product's numbers against a profile's limits give PASS, REVIEW or REJECT, with the reasons."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from geofuse.config import CHECKS, AcceptProfile, Limits
from geofuse.rasters.describing import image_of
from geofuse.rasters.ledger import mask_path
from geofuse.rasters.pixels import inspect, read_raw

PASS, REVIEW, REJECT = "PASS", "REVIEW", "REJECT"
"""Published; published when a person says so; never published."""
CLOUD, NODATA = 4, 1
"""Bits of the product's mask."""
STRIP_PX = 1024
_WORST = {PASS: 0, REVIEW: 1, REJECT: 2}
_UNKNOWN = {"pass": PASS, "review": REVIEW, "reject": REJECT}


def measured(record: Mapping[str, Any], values: Mapping[str, Any], out: Path) -> dict[str, float | None]:
    """Return every number a profile may limit, by name, None where it is not known.

    `record` is the product's provenance, `values` what `assess` found (empty where it was not asked). Shares
    are 0 to 1 of the product's valid pixels, `nodata_share` of all of them.
    """
    calibration: Mapping[str, Any] = record.get("calibration") or {}
    counts, grid = record["counts"], record["grid"]
    pixels, valid = grid["height"] * grid["width"], counts["valid"]
    stored = valid * len(record["parameters"]["bands"])
    shift = (record.get("observation") or {}).get("shift_px") or (math.nan, math.nan)
    sharpness, seam = values.get("sharpness") or {}, values.get("seam") or {}
    hold_out = (calibration.get("hold_out") or {}).get(record["method"]["name"]) or {}
    found = {
        "calibration_confidence": calibration.get("confidence"),
        "match_r2": calibration.get("r2"),
        "shift_px": math.hypot(*shift),
        "r_ergas": values.get("r_ergas"),
        "r_sam_deg": values.get("r_sam"),
        "hqnr": values.get("hqnr"),
        "d_s": values.get("d_s"),
        "d_lambda_k": values.get("d_lambda_k"),
        "no_harm_share": _least_share(record),
        "hold_out_gain": _gain(hold_out),
        "edge_gain": sharpness.get("edge_gain"),
        "seams": None if "found" not in seam else float(seam["found"]),
        "level_factor": _level(values),
        "index_bias": _index_bias(values),
        "nodata_share": 1.0 - valid / pixels,
        "saturated_share": counts["saturated"] / stored if stored else None,
        "moved_share": counts["moved"] / stored if stored else None,
        "cloud_share": _clouds(record, out),
    }
    return {name: _number(found[name]) for name in CHECKS}


def _number(value: Any) -> float | None:
    return round(float(value), 6) if value is not None and math.isfinite(value) else None


def _least_share(record: Mapping[str, Any]) -> float | None:
    """The smallest share of detail that the hold-out allowed a band; nothing was held out without calibration."""
    shares = list((record["method"].get("injection") or {}).values())
    return min(shares) if shares and record.get("calibration") else None


def _gain(trial: Mapping[str, Any]) -> float | None:
    """How much smaller the error of what was held out is than upsampling's: the mean over bands, 1 is all."""
    pairs = [
        (own, plain)
        for own, plain in zip(trial.get("rmse") or (), trial.get("upsampled_rmse") or (), strict=True)
        if own is not None and plain
    ]
    return float(np.mean([1.0 - own / plain for own, plain in pairs])) if pairs else None


def _level(values: Mapping[str, Any]) -> float | None:
    """How many times too bright or too dark the worst band is at the scale of the coarse image; 1 is right."""
    worst = None
    for band in (values.get("per_band") or {}).values():
        mean, bias = band.get("mean"), band.get("r_bias")
        reference = mean - bias if mean is not None and bias is not None else None
        if reference and reference > 0.0 and mean > 0.0:
            factor = max(mean / reference, reference / mean)
            worst = factor if worst is None else max(worst, factor)
    return worst


def _index_bias(values: Mapping[str, Any]) -> float | None:
    biases = [
        abs(index["bias"]) for index in (values.get("indices") or {}).values() if index["bias"] is not None
    ]
    return max(biases, default=None)


def _clouds(record: Mapping[str, Any], out: Path) -> float | None:
    """The share of valid pixels that the quality band calls cloud; else what the metadata says of the scene."""
    if "mask" in record["assets"]:
        facts = inspect(str(mask_path(out)))
        mask = image_of(facts)
        cloudy = valid = 0
        for row in range(0, facts.grid.height, STRIP_PX):
            window = (row, min(row + STRIP_PX, facts.grid.height), 0, facts.grid.width)
            flags = read_raw(mask, 0, window)
            good = (flags & NODATA) == 0
            valid += int(good.sum())
            cloudy += int((((flags & CLOUD) != 0) & good).sum())
        return cloudy / valid if valid else None
    percent = record["scene"]["metadata"].get("cloud_cover_percent")
    return percent / 100.0 if isinstance(percent, int | float) and 0.0 <= percent <= 100.0 else None


def judged(profile: AcceptProfile, found: Mapping[str, float | None]) -> dict[str, Any]:
    """Hold numbers against a profile; returns verdict, reasons, and what the profile was."""
    reasons = []
    for name, limits in profile.checks.items():
        reason = _reason(name, found.get(name), limits)
        if reason is not None:
            reasons.append(reason)
    reasons.sort(key=lambda reason: -_WORST[reason["level"]])
    verdict = reasons[0]["level"] if reasons else PASS
    return {
        "verdict": verdict,
        "reasons": reasons,
        "profile": profile.profile,
        "profile_version": profile.version,
        "measured": dict(found),
    }


def _reason(name: str, value: float | None, limits: Limits) -> dict[str, Any] | None:
    """Return why a number is not passed; None where it is."""
    if value is None:
        if limits.unknown == "pass":
            return None
        text = f"{name} could not be measured"
        return {"check": name, "level": _UNKNOWN[limits.unknown], "value": None, "limit": None, "text": text}
    tests = (
        (REJECT, limits.reject_below, "below", value < (limits.reject_below or 0.0)),
        (REJECT, limits.reject_above, "above", value > (limits.reject_above or 0.0)),
        (REVIEW, limits.review_below, "below", value < (limits.review_below or 0.0)),
        (REVIEW, limits.review_above, "above", value > (limits.review_above or 0.0)),
    )
    for level, limit, side, failed in tests:
        if limit is not None and failed:
            why = f": {limits.why}" if limits.why else ""
            text = f"{name} {value:.4g} is {side} {limit:g}{why}"
            return {"check": name, "level": level, "value": value, "limit": limit, "text": text}
    return None
