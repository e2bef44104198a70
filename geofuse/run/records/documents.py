"""The record of a product, and the report of a calibration within it: what OUT.json holds, key by key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from geofuse.nouns import GeoJson, Json
from geofuse.rasters.cog.spec import Encoding
from geofuse.run.records.record_inputs import InputRecord, SceneRecord


class Asset(TypedDict):
    """One file of a product, as its record tells it."""

    name: str
    """File name, beside the record."""
    bytes: int
    """Length."""
    sha256: str
    """Digest, hexadecimal."""


class UsedFindings(TypedDict):
    """What a calibration came to, as the plan takes it over."""

    method: str
    mtf_gain: list[float]
    shift_px: list[float]
    band_shift_px: list[list[float]]
    origin: str
    shift_field: dict[str, Json] | None
    shares: list[float]
    rounds: int
    sample: list[list[int]]
    network_shares: NotRequired[list[float]]


class TrialReport(TypedDict):
    """How a method did where it was not fitted; errors per band, in the patch's units."""

    method: str
    rmse: list[float | None]
    upsampled_rmse: list[float | None]
    shares: list[float]
    ergas: float


class CalibrationReport(TypedDict):
    """An estimate of the observation model by band names; what is not known is null. Shifts in guide pixels."""

    shift_px: list[float | None]
    shift_sigma_px: list[float | None]
    band_shift_px: dict[str, list[float | None]]
    shift_field: dict[str, Any] | None
    """The local shifts; null where they are one shift."""
    mtf_gain: dict[str, float | None]
    """At the coarse image's Nyquist frequency, 0 to 1."""
    mtf_gain_sigma: dict[str, float | None]
    mtf_gain_r2: dict[str, float | None]
    mtf_gain_identifiable: dict[str, bool]
    pan_weights: dict[str, float | None]
    r2: float | None
    snr: float | None
    confidence: float | None
    usable_fraction: float | None
    measurable: bool
    uncertain: bool
    warnings: list[str]
    gate: NotRequired[Mapping[str, object] | None]
    """What a network's rival was weighed by; null where too little could be held out."""
    key: NotRequired[str]
    """Of the inputs and of what was asked for: the same key finds the same."""
    hold_out: NotRequired[dict[str, TrialReport]]
    """By the method's name."""
    used: NotRequired[UsedFindings]


class RadiometryRecord(TypedDict):
    """What is known of a band's physical scale: value = gain x DN + offset."""

    band: str
    gain: float | None
    offset: float | None
    pedestal_dn: float
    known: bool


class Radiometry(TypedDict):
    """The scale of what was looked at, PAN's or that of every band of a wider guide, and of the product's bands."""

    pan: NotRequired[RadiometryRecord]
    guides: NotRequired[list[RadiometryRecord]]
    bands: list[RadiometryRecord]


class MethodRecord(TypedDict):
    """The method: where it is published, what was fitted, the share of its detail that each band got."""

    name: str
    paper: str
    params: dict[str, Any]
    injection: dict[str, float]


class Parameters(Encoding):
    """What was asked for, and how the product is encoded."""

    bands: list[str]
    area: GeoJson | None
    weights: Json
    network: Json
    back_projections: int


class GridRecord(TypedDict):
    """Where the product lies."""

    crs: str
    transform: list[float]
    height: int
    width: int
    ratio: float
    """Fine pixels per coarse pixel."""
    origin_px: list[int]
    """The guide's pixel of the product's first one."""


class ObservationRecord(TypedDict):
    """How the coarse image came from the fine one, as the product was made with it."""

    mtf_gain: list[float]
    shift_px: list[float]
    band_shift_px: list[list[float]]
    origin: str
    field: dict[str, Json] | None


class PluginRecord(TypedDict):
    """What is not geofuse's own."""

    table: str
    name: str
    package: str
    version: str


class ProductRecord(TypedDict):
    """A product's record: what went in and what came out. Release 0.3 wrote neither plugins nor how scenes open."""

    geofuse: str
    """The version that made it."""
    fingerprint: str
    scene: SceneRecord
    inputs: list[InputRecord]
    method: MethodRecord
    observation: ObservationRecord
    """The first pair's."""
    observations: NotRequired[list[ObservationRecord]]
    """Of every pair, in the order of the bands, where there are several."""
    plugins: NotRequired[list[PluginRecord]]
    calibration: CalibrationReport | None
    radiometry: Radiometry
    parameters: Parameters
    grid: GridRecord
    nodata: float | str | None
    """A string where it is no finite number: JSON has no word for it."""
    counts: dict[str, int]
    assets: dict[str, Asset]
    """By their roles: data, mask, quicklook."""
    versions: dict[str, str]
    warnings: list[str]
    acceptance: NotRequired[Mapping[str, Any]]
    """What was thought of it, and by whom: added after the fact."""
