"""From the sums of an assessment to its numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np

from geofuse.metrics import reference as metrics
from geofuse.metrics.index_agreement import IndexValue, index_names, index_value
from geofuse.metrics.seams import SeamValue, seam_value
from geofuse.metrics.sharpness import SharpnessValue, sharpness_value
from geofuse.metrics.table import Installed, installed, row_of
from geofuse.nouns import to_json
from geofuse.quality.assessment.added_metrics import with_derived
from geofuse.quality.assessment.bands import bands_of, detail_of
from geofuse.quality.assessment.maps import LocalMap, maps_of
from geofuse.quality.assessment.notes import notes_of
from geofuse.quality.assessment.subject import REFLECTANCE, UNKNOWN, Subject
from geofuse.quality.assessment.sums import Ask, CoarseSums, FineSums, Measured
from geofuse.quality.documents import (
    AssessmentValues,
    Histograms,
    MeasuredMetric,
    ObservationReport,
    SeamReport,
    SharpnessReport,
)
from geofuse.showing import html, line

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Assessment:
    """The numbers of a product, and what a page shows beside them."""

    subject: Subject
    """What was assessed."""
    values: AssessmentValues
    """What `geofuse assess --json` prints."""
    baseline: dict[str, float | None]
    """Some of the metrics, for the plainly upsampled MS."""
    maps: dict[str, LocalMap]
    """Local metrics by name."""
    histograms: Histograms
    """How values are distributed."""

    def __repr__(self) -> str:
        rows = ((name, found["value"]) for name, found in self.values["metrics"].items())
        shown = [f"{name} {value:.4g}" for name, value in rows if isinstance(value, float)]
        return line("Assessment", *shown[:6])

    def _repr_html_(self) -> str:
        rows: list[tuple[str, object]] = [
            (found["label"], found["value"]) for found in self.values["metrics"].values()
        ]
        return html("assessment", [*rows, ("warnings", self.values["warnings"])])


def put_together(ask: Ask, found: Measured) -> Assessment:
    """Turn sums into the numbers of an assessment."""
    subject, fine, coarse = ask.subject, found.fine, found.coarse
    known = installed()
    numbers = {metric.key: math.nan for metric in known.of_images if metric.tiled}
    numbers |= _unreferenced(fine) | _consistency(coarse, subject.ratio) | _referenced(found, subject.ratio)
    sharp, seam = sharpness_value(fine.sharpness), _seam(fine)
    indices = _indices(subject, fine, coarse)
    values = {
        **numbers,
        "metrics": _metrics(known, with_derived(known, {**numbers, **found.added.values})),
        "units": REFLECTANCE if subject.known else UNKNOWN,
        "seam": seam,
        "indices": indices,
        "sharpness": _sharpness(sharp),
        "per_band": bands_of(subject, found, sharp),
        "invented": detail_of(found),
        "observation": _observation(subject),
        "warnings": [*subject.notes, *found.added.notes, *notes_of(subject, seam, found)],
    }
    bins = Histograms(
        edges=ask.edges.tolist(),
        fused=fine.bins.tolist(),
        ms=None if coarse is None else coarse.bins_ms.tolist(),
        indices={} if coarse is None else {key: coarse.indices[key].bins.tolist() for key in indices},
    )
    said = cast(AssessmentValues, plain(values))
    return Assessment(subject, said, plain(_of_upsampled(found, subject.ratio)), maps_of(ask, found), bins)


def plain(value: T) -> T:
    """Turn what JSON cannot say, NaN and infinities, into None, at any depth."""
    if isinstance(value, Mapping):
        return cast(T, {key: plain(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return cast(T, [plain(item) for item in value])
    if isinstance(value, float) and not math.isfinite(value):
        return cast(T, None)
    return value


def _metrics(known: Installed, values: Mapping[str, float]) -> dict[str, MeasuredMetric]:
    """Return every metric that was measured with its row: what it is, and whose."""
    return {
        metric.key: MeasuredMetric(**row_of(metric), value=values[metric.key])
        for metric in known.of_images
        if metric.key in values
    }


def _referenced(found: Measured, ratio: float) -> dict[str, float]:
    sums, local = found.fine.reference, found.fine.local
    if found.error is None or sums is None:
        return {}
    return {
        "sam": metrics.mean(local["sam"]),
        "ergas": metrics.ergas_value(found.error, ratio=ratio),
        "q": metrics.mean(sums.q),
        "q2n": metrics.mean(local["q2n"]),
        "scc": metrics.scc_value(sums.scc),
        "psnr": metrics.psnr_value(found.error),
        "ssim": metrics.mean(sums.ssim),
    }


def _of_upsampled(found: Measured, ratio: float) -> dict[str, float | None]:
    sums = found.fine.reference
    if sums is None:
        return {}
    return {
        "sam": metrics.mean(sums.sam_up),
        "ergas": metrics.ergas_value(sums.error_up, ratio=ratio),
        "q2n": metrics.mean(sums.q2n_up),
        "psnr": metrics.psnr_value(sums.error_up),
    }


def _unreferenced(fine: FineSums) -> dict[str, float]:
    spectral = metrics.d_lambda_value(fine.pairs, fine.pairs_up)
    spatial = metrics.d_s_value(fine.pan, fine.pan_up)
    khan = 1.0 - metrics.mean(fine.local["q2n_k"])
    return {
        "d_lambda": spectral,
        "d_s": spatial,
        "qnr": metrics.qnr(spectral, spatial),
        "d_lambda_k": khan,
        "hqnr": metrics.hqnr(khan, spatial),
        "d_rho": metrics.mean(fine.local["d_rho"]),
    }


def _consistency(coarse: CoarseSums | None, ratio: float) -> dict[str, float]:
    if coarse is None:
        return {}
    return {
        "r_sam": metrics.mean(coarse.sam),
        "r_ergas": metrics.ergas_value(coarse.error, ratio=ratio),
        "r_q2n": metrics.mean(coarse.q2n),
    }


def _seam(fine: FineSums) -> SeamReport:
    """Judge lines of each spacing; on top, those that stand out more."""
    judged = {spacing: seam_value(sums) for spacing, sums in fine.seams.items()}

    def sure(spacing: int) -> float:
        value: SeamValue = judged[spacing]
        known = (value["z"], value["level_z"])
        return max((z for z in known if z is not None and not math.isnan(z)), default=-math.inf)

    worst = max(judged, key=sure)
    report = SeamReport(
        **judged[worst],
        spacing_px=worst,
        spacings={str(spacing): value for spacing, value in judged.items()},
    )
    report["found"] = any(value["found"] for value in judged.values())
    return report


def _indices(subject: Subject, fine: FineSums, coarse: CoarseSums | None) -> dict[str, IndexValue]:
    if coarse is None:
        return {}
    names = index_names(subject.names, reflectance=subject.known)
    return {key: index_value(coarse.indices[key], fine.indices[key]) for key in names}


def _sharpness(sharp: SharpnessValue) -> SharpnessReport:
    """Means over the bands of what is known per band."""
    width, plain_width = (float(np.mean(sharp[key])) for key in ("edge_width_px", "edge_width_upsampled_px"))
    return {
        "energy_gain": float(np.mean(sharp["energy_gain"])),
        "edge_width_px": width,
        "edge_width_upsampled_px": plain_width,
        "detail_correlation": float(np.mean(sharp["detail_correlation"])),
        "edge_width_pan_px": sharp["edge_width_pan_px"],
        "edge_gain": plain_width / width if width else math.nan,
    }


def _observation(subject: Subject) -> ObservationReport:
    """What D and U used, and how sure the product's record is of it."""
    used = cast(ObservationReport, to_json(subject.observation))
    used["bands"] = list(subject.names)
    used["calibration"] = to_json(subject.calibration)
    return used
