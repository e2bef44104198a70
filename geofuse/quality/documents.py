"""What assess and accept return as JSON: the documents' keys and what they hold. None is what could not be measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypedDict

from geofuse.metrics.index_agreement import IndexValue
from geofuse.metrics.metric import MetricRow
from geofuse.metrics.seams import SeamValue
from geofuse.nouns import Json


def number_in(document: Mapping[str, object], key: str) -> float | None:
    """Return a number of a document by a key that is chosen at run time; None where there is none.

    >>> number_in({"a": 1.5, "b": None, "c": "text"}, "a")
    1.5
    """
    found = document.get(key)
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


class MeasuredMetric(MetricRow):
    """A metric's row with what it came to."""

    value: float | None


class SeamReport(SeamValue):
    """Whether tile borders show: of the lines that stand out most, and of each spacing by itself."""

    spacing_px: int
    spacings: dict[str, SeamValue]


class SharpnessReport(TypedDict):
    """How sharp the product is: means over the bands, and edges over those of the upsampled MS."""

    energy_gain: float | None
    edge_width_px: float | None
    edge_width_upsampled_px: float | None
    edge_width_pan_px: float | None
    detail_correlation: float | None
    edge_gain: float | None


class DetailReport(TypedDict):
    """How much of the detail neither PAN nor the MS shows, and how much may be: shares of its energy."""

    share: float | None
    bound: float | None
    worst: float | None
    found: bool


class BandReport(TypedDict, total=False):
    """What is known of one band; ``r_``: at the coarse scale against the MS, the rest against a reference or alone."""

    mean: float | None
    q_pan: float | None
    d_rho: float | None
    energy_gain: float | None
    edge_width_px: float | None
    edge_width_upsampled_px: float | None
    detail_correlation: float | None
    unsupported: float | None
    unsupported_bound: float | None
    mtf_gain: float
    shift_px: list[float]
    r_rmse: float | None
    r_rmse_percent: float | None
    r_bias: float | None
    rmse: float | None
    rmse_percent: float | None
    bias: float | None
    q: float | None
    injection: float | None


class ObservationUsed(TypedDict):
    """What D and U use, band by band."""

    mtf_gain: list[float]
    shift_px: list[float]
    band_shift_px: list[list[float]]
    origin: str
    field: Json


class ObservationReport(ObservationUsed):
    """The same with the bands' names and the calibration that found it."""

    bands: list[str]
    calibration: Json


class AssessmentValues(TypedDict):
    """What `geofuse assess --json` prints."""

    ergas: float | None
    sam: float | None
    q2n: float | None
    q: float | None
    scc: float | None
    psnr: float | None
    ssim: float | None
    d_lambda: float | None
    d_s: float | None
    qnr: float | None
    d_lambda_k: float | None
    hqnr: float | None
    d_rho: float | None
    r_ergas: float | None
    r_sam: float | None
    r_q2n: float | None
    metrics: dict[str, MeasuredMetric]
    """Each of the above with its row, and those that packages add."""
    units: str
    seam: SeamReport
    indices: dict[str, IndexValue]
    sharpness: SharpnessReport
    per_band: dict[str, BandReport]
    invented: DetailReport
    observation: ObservationReport
    warnings: list[str]


class Histograms(TypedDict):
    """Per band: edges of the bins, counts of the product and of the MS; per index: counts of differences."""

    edges: list[list[float]]
    fused: list[list[float]]
    ms: list[list[float]] | None
    indices: dict[str, list[float]]


AcceptLevel = Literal["PASS", "REVIEW", "REJECT"]


class Reason(TypedDict):
    """Why a number is not passed."""

    check: str
    level: AcceptLevel
    value: float | None
    limit: float | None
    text: str


class AcceptVerdict(TypedDict):
    """What a profile says of a product."""

    verdict: AcceptLevel
    reasons: list[Reason]
    profile: str
    profile_version: int
    measured: dict[str, float | None]
