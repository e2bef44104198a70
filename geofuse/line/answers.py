"""What the stages answer, and what they record for later stages: small documents of JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Required, TypedDict, cast

from geofuse.quality.documents import AcceptVerdict, AssessmentValues, Reason
from geofuse.run.records.documents import CalibrationReport


class InspectAnswer(TypedDict):
    """What the scene is."""

    scene: str
    sensor: str
    acquired: str | None
    bands: list[str]
    size: list[int]
    ratio: list[float]
    cloud_cover_percent: float | None
    warnings: list[str]


class CalibrateAnswer(TypedDict):
    """How its images relate, and which method was chosen; None is what was not measured."""

    method: str
    measured: bool
    confidence: float | None
    shift_px: list[float] | None
    mtf_gain: dict[str, float] | None
    r2: float | None
    pan_weights: dict[str, float] | None
    back_projections: int
    hold_out: dict[str, list[float] | float]
    warnings: list[str]


class PlanAnswer(TypedDict):
    """What will be made, and what it will cost."""

    out: str
    method: str
    bands: list[str]
    tiles: int
    tile_px: int
    workers: int
    bytes_in_memory: int
    output_bytes_estimate: int
    notes: list[str]
    size: list[int]
    fingerprint: str


class FuseAnswer(TypedDict):
    """The tiles, and how many pixels an earlier run had made."""

    tiles: int
    resumed_px: int


class MosaicAnswer(TypedDict):
    """The product."""

    out: str
    bytes: int
    sha256: str
    quicklook: str
    counts: dict[str, int]
    warnings: list[str]


class AssessAnswer(TypedDict, total=False):
    """Some numbers, and the reports; numbers only where it was to be assessed."""

    values: Required[dict[str, float | bool | dict[str, float | None] | None]]
    files: Required[list[str]]
    units: str


class DecisionDocument(TypedDict):
    """What a person said of a product that waited."""

    by: str
    accepted: bool
    at: str


class ConfigurationName(TypedDict):
    """By which configuration it was made."""

    name: str
    digest: str


class AcceptAnswer(AcceptVerdict):
    """The verdict, and who said what of it."""

    decision: DecisionDocument | None
    configuration: ConfigurationName


class PublishAnswer(TypedDict, total=False):
    """What the catalogue did with the product; of one that is not published only the first two."""

    action: Required[str]
    out: Required[str]
    item: str
    collection: str
    version: str
    href: str
    access: str
    because: str


StageAnswer = (
    InspectAnswer
    | CalibrateAnswer
    | PlanAnswer
    | FuseAnswer
    | MosaicAnswer
    | AssessAnswer
    | AcceptAnswer
    | PublishAnswer
)


class Answers(TypedDict, total=False):
    """The answers of a scene's stages so far."""

    inspect: InspectAnswer
    calibrate: CalibrateAnswer
    plan: PlanAnswer
    fuse: FuseAnswer
    mosaic: MosaicAnswer
    assess: AssessAnswer
    accept: AcceptAnswer
    publish: PublishAnswer


def answers_of(found: Mapping[str, StageAnswer]) -> Answers:
    """Return answers that were gathered stage by stage as what they are."""
    return cast(Answers, dict(found))


class StageRecord(TypedDict):
    """What every stage's record begins with."""

    geofuse: str
    format: int


class AnyRecord(StageRecord):
    """The record of any stage."""

    answer: StageAnswer


class SettledRequest(TypedDict):
    """What calibrating settled of the request."""

    method: str
    network: str | None
    adapt: bool


class CalibrateRecord(StageRecord):
    """Calibrating, with its report."""

    answer: CalibrateAnswer
    calibration: CalibrationReport | None
    asked: SettledRequest
    notes: list[str]


class PlanRecord(StageRecord):
    """Planning, with the plan."""

    answer: PlanAnswer
    plan: dict[str, Any]


class MosaicRecord(StageRecord):
    """The product."""

    answer: MosaicAnswer


class AssessRecord(StageRecord):
    """Assessing, with all numbers; none where it was not to be assessed."""

    answer: AssessAnswer
    values: AssessmentValues


class AcceptRecord(StageRecord):
    """The verdict."""

    answer: AcceptAnswer


class PublishRecord(StageRecord):
    """What the catalogue did."""

    answer: PublishAnswer


class FaultDocument(TypedDict):
    """A fault as JSON values."""

    code: str
    message: str
    do: str
    exit_status: int
    may_retry: bool


class EventData(TypedDict, total=False):
    """What an event brings, by its kind."""

    run: str
    """scene_started under a scheduler: its run."""
    pid: int
    """The same: the process."""
    what: str
    """progress: of what."""
    done_px: int
    total_px: int
    resumed_px: int
    share: float
    """progress of training, instead of pixels: 0 to 1."""
    text: str
    """The same in words."""
    seconds: float
    """stage_ended, scene_ended."""
    skipped: bool
    """stage_ended: an earlier run did it."""
    result: StageAnswer
    """The same: its answer."""
    state: str
    """scene_ended: how."""
    by: str
    """The same: who decided."""
    code: str
    """stage_failed, and scene_ended of a scene that failed."""
    message: str
    do: str
    exit_status: int
    may_retry: bool
    verdict: str
    """verdict, and scene_ended."""
    reasons: list[Reason]
    profile: str
    profile_version: int
    measured: dict[str, float | None]
    decision: DecisionDocument | None
    configuration: ConfigurationName
    action: str
    """published."""
    out: str
    item: str
    collection: str
    version: str
    href: str
    access: str
    because: str


class Cleaned(TypedDict):
    """What was removed, by kind."""

    dry_run: bool
    parts: list[str]
    records: list[str]
    downloads: list[str]
    products: list[str]
    superseded_versions: int
    bytes: int
