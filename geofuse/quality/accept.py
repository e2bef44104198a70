"""Acceptance: a product's numbers against a profile's limits give PASS, REVIEW or REJECT, with the reasons."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from geofuse.config import AcceptProfile, Limits, accept_profile
from geofuse.errors import ConfigError, UsageError
from geofuse.metrics.table import find, installed, measured_by
from geofuse.quality.documents import AcceptLevel, AcceptVerdict, Reason

PASS: Final = "PASS"
REVIEW: Final = "REVIEW"
REJECT: Final = "REJECT"
"""Published; published when a person says so; never published."""
_WORST: dict[AcceptLevel, int] = {PASS: 0, REVIEW: 1, REJECT: 2}
_UNKNOWN: dict[str, AcceptLevel] = {"pass": PASS, "review": REVIEW, "reject": REJECT}


def profile_for(name: str, sensor: str) -> AcceptProfile:
    """Return the profile of that name or file, whose checks are all metrics; "auto" is the sensor's own.

    Raises ConfigError, naming the file and the nearest metric.
    """
    profile = accept_profile(name, sensor)
    for check in profile.checks:
        try:
            find(check)
        except UsageError as fault:
            where = name if name.endswith((".yaml", ".yml")) else profile.profile
            raise ConfigError(
                f"unknown key checks.{check}", wanted=fault.wanted, do=fault.do, path=where
            ) from fault
    return profile


def measured(record: Mapping[str, Any], values: Mapping[str, Any], out: Path) -> dict[str, float | None]:
    """Return every number a profile may limit, by name, None where it is not known.

    `record` is the product's provenance, `values` what `assess` found (empty where it was not asked). Metrics that
    need a reference are among them where there was one.
    """
    given = {"record": record, "values": values, "out": out}
    found: dict[str, float | None] = {}
    for metric in installed().metrics:
        if metric.of_product:
            number = _number(measured_by(metric)(**{name: given[name] for name in metric.needs}))
        else:
            number = _number(value_of(values, metric.key))
        if number is not None or not metric.referenced:
            found |= dict.fromkeys((metric.key, *metric.also), number)
    return found


def value_of(values: Mapping[str, Any], name: str) -> float | None:
    """Return a metric's value from an assessment; None where it was not measured."""
    beside = (values.get("metrics") or {}).get(name) or {}
    found: float | None = values.get(name, beside.get("value"))
    return found


def _number(value: float | None) -> float | None:
    return round(float(value), 6) if value is not None and math.isfinite(value) else None


def judged(profile: AcceptProfile, found: Mapping[str, float | None]) -> AcceptVerdict:
    """Hold numbers against a profile; returns verdict, reasons, and what the profile was."""
    reasons = []
    for name, limits in profile.checks.items():
        reason = _reason(name, found.get(name, found.get(find(name).key)), limits)
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


def _reason(name: str, value: float | None, limits: Limits) -> Reason | None:
    """Return why a number is not passed; None where it is."""
    if value is None:
        if limits.unknown == "pass":
            return None
        text = f"{name} could not be measured"
        return {"check": name, "level": _UNKNOWN[limits.unknown], "value": None, "limit": None, "text": text}
    tests: tuple[tuple[AcceptLevel, float | None, str, bool], ...] = (
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
