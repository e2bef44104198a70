"""What calibration found, as a noun and as the report that records keep."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

from geofuse.geometry import Window
from geofuse.methods.calibrate import MATCH_R2, SURE, Estimate
from geofuse.methods.observation import Observation, ShiftField
from geofuse.nouns import from_json, to_json
from geofuse.run.plans.request import Request
from geofuse.run.records.documents import CalibrationReport, ProductRecord

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found out from the pixels before planning."""

    method: str
    """The method `auto` came to, or the one asked for."""
    observation: Observation
    """How the coarse image came from the fine one, for the output's bands."""
    shares: tuple[float, ...] = ()
    """Share of the method's detail each band keeps."""
    rounds: int = 0
    """Rounds of back-projection."""
    sample: tuple[Window, ...] = ()
    """Cores of the windows it was found in."""
    calibration: CalibrationReport | None = None
    """The report."""
    network_shares: tuple[float, ...] = ()
    """Share of a network's residual that each band gets by the gate; empty: all of it."""


def with_report(found: Findings, told: CalibrationReport) -> Findings:
    """Return findings with their report: what is told of them, and what is used of it.

    All of it makes a trip through JSON, so that findings of this run and of a record give the same plan.
    """
    observation = found.observation
    used = {
        "method": found.method,
        "mtf_gain": observation.mtf_gain,
        "shift_px": observation.shift_px,
        "band_shift_px": observation.band_shift_px,
        "origin": observation.origin,
        "shift_field": to_json(observation.field),
        "shares": found.shares,
        "rounds": found.rounds,
        "sample": found.sample,
        "network_shares": found.network_shares,
    }
    return from_report(json.loads(json.dumps({**told, "used": used})))


def from_report(calibration: CalibrationReport) -> Findings:
    """Return the findings that a report tells of; KeyError, or UsageError, where it is none."""
    used = calibration["used"]
    observation = Observation(
        mtf_gain=tuple(used["mtf_gain"]),
        shift_px=(used["shift_px"][0], used["shift_px"][1]),
        band_shift_px=tuple((dy, dx) for dy, dx in used["band_shift_px"]),
        origin=used["origin"],
        field=None if used["shift_field"] is None else from_json(ShiftField, used["shift_field"]),
    )
    return Findings(
        method=used["method"],
        observation=observation,
        shares=tuple(used["shares"]),
        rounds=used["rounds"],
        sample=tuple((r0, r1, c0, c1) for r0, r1, c0, c1 in used["sample"]),
        calibration=calibration,
        network_shares=tuple(used.get("network_shares") or ()),
    )


def findings_of(record: ProductRecord) -> Findings:
    """Return what a product's record says was found; KeyError where it is no such record."""
    if record["calibration"]:
        return from_report(record["calibration"])
    observation = from_json(Observation, record["observation"])
    rounds = record["parameters"]["back_projections"]
    return Findings(record["method"]["name"], observation, rounds=rounds)


def report(estimate: Estimate, names: Sequence[str], request: Request) -> CalibrationReport:
    """Return an estimate as JSON values, by band names; what is not known is null."""

    def by_band(values: Sequence[V]) -> dict[str, V]:
        return dict(zip(names, values, strict=True))

    warnings = list(estimate.warnings)
    if estimate.measured and estimate.confidence < SURE:
        warnings.append(
            f"registration is uncertain (confidence {estimate.confidence:.2f}): the georeference is trusted"
        )
    if estimate.measured and estimate.r2 < MATCH_R2:
        warnings.append(f"PAN and MS hardly match (R^2 {estimate.r2:.3f}); fused because of --force")
    if request.fuse.shift_px is not None:
        warnings.append("the shift was given, not measured")
    return {
        "shift_px": _rounded(estimate.shift_px),
        "shift_sigma_px": _rounded(estimate.shift_sigma_px),
        "band_shift_px": by_band([_rounded(shift) for shift in estimate.band_shift_px]),
        "shift_field": asdict(estimate.field) if estimate.field else None,
        "mtf_gain": by_band(_rounded(estimate.mtf_gain)),
        "mtf_gain_sigma": by_band(_rounded(estimate.mtf_gain_sigma)),
        "mtf_gain_r2": by_band(_rounded(estimate.mtf_gain_r2)),
        "mtf_gain_identifiable": by_band([bool(value) for value in estimate.identifiable]),
        "pan_weights": by_band(_rounded(estimate.pan_weights)),
        "r2": _known(estimate.r2),
        "snr": _known(estimate.snr),
        "confidence": _known(estimate.confidence),
        "usable_fraction": _known(estimate.usable_fraction),
        "measurable": estimate.measured,
        "uncertain": estimate.confidence < SURE,
        "warnings": warnings,
    }


def _rounded(values: Sequence[float]) -> list[float | None]:
    return [_known(value) for value in values]


def _known(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None
