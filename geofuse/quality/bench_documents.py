"""What a bench and a simulated pair return as JSON: the documents' keys and what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Required, TypedDict

from geofuse.metrics.metric import MetricRow
from geofuse.nouns import Json
from geofuse.quality.documents import ObservationUsed

BenchRow = TypedDict(
    "BenchRow",
    {
        "case": tuple[str, int | None],
        "method": Required[str],
        "is": Required[str | None],
        "back_projections": Required[int | None],
        "error": str,
        "ergas": float | None,
        "sam": float | None,
        "q2n": float | None,
        "q": float | None,
        "scc": float | None,
        "psnr": float | None,
        "ssim": float | None,
        "d_lambda": float | None,
        "d_s": float | None,
        "qnr": float | None,
        "d_lambda_k": float | None,
        "hqnr": float | None,
        "d_rho": float | None,
        "r_ergas": float | None,
        "r_sam": float | None,
        "r_q2n": float | None,
        "mean_place": float,
        "cpu_s_per_mpx": float,
        "injection": dict[str, float],
        "error_percent": dict[str, float | None],
    },
    total=False,
)
"""One method: what it scored, or why it could not be made; packages' metrics stand beside geofuse's by their names.
``is`` is what auto stands for; ``case`` is what was asked for, and leaves with the pictures."""


class ModelReport(TypedDict):
    """How the images relate, as estimated."""

    observation: ObservationUsed
    calibration: Mapping[str, Any] | None


class ModelReports(TypedDict):
    """Of the scene, and of the reduced pair where there is one."""

    scene: ModelReport
    pair: ModelReport | None


class BenchFacts(TypedDict):
    """Where the methods were judged."""

    scene: str
    sensor: str
    attribution: str | None
    protocol: str
    bands: list[str]
    ratio: float
    pan_window: list[int]
    size_px: list[int]
    units: str
    model: ModelReports
    warnings: list[str]
    metrics: dict[str, MetricRow]
    machine: str
    version: str


class BenchFound(BenchFacts):
    """What a bench found."""

    calibration_cpu_s: float
    seconds: float
    rows: list[BenchRow]


class BenchDocument(BenchFound):
    """bench.json: also how to repeat it."""

    commands: list[str]


class SimulatedFile(TypedDict):
    """One image of a simulated pair."""

    name: str
    size_px: list[int]
    bytes: int
    sha256: str
    valid: int
    saturated: int
    moved: int


class SimulationRecord(TypedDict, total=False):
    """How a pair was made; some keys only by Wald's protocol out of a scene, some only out of one fine raster."""

    kind: Required[str]
    bands: Required[list[str]]
    ratio: Required[list[float]]
    observation: Required[Mapping[str, object]]
    axis_y: Required[Json]
    axis_x: Required[Json]
    inputs: Required[list[Mapping[str, object]]]
    warnings: Required[list[str]]
    scene: str
    sensor: str
    scene_observation: Json
    calibration: Mapping[str, Any] | None
    pan_mtf_gain: float
    reference_window_cpx: list[int]
    raster: str
    window_px: list[int]
    pan_weights: list[float]
    noise_sigma: float
    seed: int


class Simulation(SimulationRecord):
    """simulation.json."""

    files: dict[str, SimulatedFile]
    version: str
