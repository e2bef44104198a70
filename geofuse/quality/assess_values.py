"""From the sums of an assessment to its numbers, maps and warnings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.metrics import reference as metrics
from geofuse.metrics import unsupported_detail
from geofuse.metrics.index_agreement import index_names, index_value
from geofuse.metrics.q2n import means
from geofuse.metrics.reference import ErrorSums
from geofuse.metrics.seams import seam_value
from geofuse.metrics.sharpness import sharpness_value
from geofuse.metrics.table import Installed, installed, row_of
from geofuse.quality.added_metrics import Added, with_derived
from geofuse.quality.assess_subject import REFLECTANCE, UNKNOWN, Subject
from geofuse.quality.assess_tiles import SEAM_SPACINGS_PX, Ask, Cells

FEW_BLOCKS = 20
LEVEL_FACTOR = 1.5
LEAST_CELL = 0.25


@dataclass(frozen=True, slots=True)
class Measured:
    """What the passes found."""

    fine: dict[str, Any]
    """Sums on the fine grid."""
    cells: Cells
    """Its maps."""
    coarse: dict[str, Any]
    """Sums on the coarse grid; empty where none of its pixels can be compared."""
    coarse_cells: Cells
    """Its maps."""
    error: ErrorSums | None
    """Errors against the reference."""
    added: Added
    """Metrics without sums of their own."""


@dataclass(frozen=True, slots=True)
class LocalMap:
    """A metric by place: one value for each square cell; higher is worse."""

    values: NDArray[np.float64]
    """(rows, cols), NaN where nothing could be measured."""
    cell_px: tuple[float, float]
    """Height and width of a cell in fine pixels."""
    origin_px: tuple[float, float]
    """Fine row and column of the first cell's outer corner."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """The numbers of a product, and what a page shows beside them."""

    subject: Subject
    """What was assessed."""
    values: dict[str, Any]
    """What `geofuse assess --json` prints."""
    baseline: dict[str, float | None]
    """Some of the metrics, for the plainly upsampled MS."""
    maps: dict[str, LocalMap]
    """Local metrics by name."""
    histograms: dict[str, Any]
    """Per band: edges of the bins, counts of the product and of the MS; per index: counts of differences."""


def put_together(ask: Ask, found: Measured) -> Assessment:
    """Turn sums into the numbers of an assessment."""
    subject = ask.subject
    known = installed()
    values: dict[str, Any] = {metric.key: math.nan for metric in known.of_images if metric.tiled}
    values |= _unreferenced(found.fine) | _consistency(found.coarse, subject.ratio)
    baseline: dict[str, float] = {}
    if found.error is not None:
        values |= _referenced(found, subject.ratio)
        baseline = {
            "sam": metrics.mean(found.fine["sam_up"]),
            "ergas": metrics.ergas_value(found.fine["error_up"], ratio=subject.ratio),
            "q2n": metrics.mean(found.fine["q2n_up"]),
            "psnr": metrics.psnr_value(found.fine["error_up"]),
        }
    sharp = sharpness_value(found.fine["sharpness"])
    values |= {
        "metrics": _metrics(known, with_derived(known, {**values, **found.added.values})),
        "units": REFLECTANCE if subject.known else UNKNOWN,
        "seam": _seam(found.fine),
        "indices": _indices(subject, found),
        "sharpness": _sharpness(sharp),
        "per_band": _per_band(subject, found, sharp),
        "invented": _invented(found),
        "observation": _observation(subject),
    }
    values["warnings"] = [*subject.notes, *found.added.notes, *_warnings(subject, values, found)]
    bins = {
        "edges": ask.edges.tolist(),
        "fused": found.fine["bins"].tolist(),
        "ms": found.coarse["bins_ms"].tolist() if found.coarse else None,
        "indices": {key: found.coarse[key].bins.tolist() for key in values["indices"] if found.coarse},
    }
    return Assessment(subject, plain(values), plain(baseline), _maps(ask, found), bins)


def plain(value: Any) -> Any:
    """Turn what JSON cannot say, NaN and infinities, into None, at any depth."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _metrics(known: Installed, values: Mapping[str, float]) -> dict[str, Any]:
    """Return every metric that was measured with its row: what it is, and whose."""
    return {
        metric.key: {**row_of(metric), "value": values[metric.key]}
        for metric in known.of_images
        if metric.key in values
    }


def _referenced(found: Measured, ratio: float) -> dict[str, float]:
    assert found.error is not None
    fine = found.fine
    return {
        "sam": metrics.mean(fine["sam"]),
        "ergas": metrics.ergas_value(found.error, ratio=ratio),
        "q": metrics.mean(fine["q"]),
        "q2n": metrics.mean(fine["q2n"]),
        "scc": metrics.scc_value(fine["scc"]),
        "psnr": metrics.psnr_value(found.error),
        "ssim": metrics.mean(fine["ssim"]),
    }


def _unreferenced(fine: Mapping[str, Any]) -> dict[str, float]:
    spectral = metrics.d_lambda_value(fine["pairs"], fine["pairs_up"])
    spatial = metrics.d_s_value(fine["pan"], fine["pan_up"])
    khan = 1.0 - metrics.mean(fine["q2n_k"])
    return {
        "d_lambda": spectral,
        "d_s": spatial,
        "qnr": metrics.qnr(spectral, spatial),
        "d_lambda_k": khan,
        "hqnr": metrics.hqnr(khan, spatial),
        "d_rho": metrics.mean(fine["d_rho"]),
    }


def _consistency(coarse: Mapping[str, Any], ratio: float) -> dict[str, float]:
    if not coarse:
        return {}
    return {
        "r_sam": metrics.mean(coarse["r_sam"]),
        "r_ergas": metrics.ergas_value(coarse["r_error"], ratio=ratio),
        "r_q2n": metrics.mean(coarse["r_q2n"]),
    }


def _seam(fine: Mapping[str, Any]) -> dict[str, Any]:
    """Judge lines each 512 and each 1024 pixels; on top, those that stand out more."""
    judged = {spacing: seam_value(fine[f"seam {spacing}"]) for spacing in SEAM_SPACINGS_PX}

    def sure(spacing: int) -> float:
        known = [judged[spacing][name] for name in ("z", "level_z")]
        return max((z for z in known if not math.isnan(z)), default=-math.inf)

    worst = max(judged, key=sure)
    return {
        **judged[worst],
        "found": any(value["found"] for value in judged.values()),
        "spacing_px": worst,
        "spacings": {str(spacing): value for spacing, value in judged.items()},
    }


def _indices(subject: Subject, found: Measured) -> dict[str, Any]:
    if not found.coarse:
        return {}
    names = index_names(subject.names, reflectance=subject.known)
    return {key: index_value(found.coarse[key], found.fine[f"fine {key}"]) for key in names}


def _sharpness(sharp: Mapping[str, Any]) -> dict[str, Any]:
    """Means over the bands of what is known per band."""
    bands = {name: float(np.mean(value)) for name, value in sharp.items() if isinstance(value, list)}
    width = bands["edge_width_px"]
    gained = bands["edge_width_upsampled_px"] / width if width else math.nan
    return {**bands, "edge_width_pan_px": sharp["edge_width_pan_px"], "edge_gain": gained}


def _per_band(subject: Subject, found: Measured, sharp: Mapping[str, Any]) -> dict[str, Any]:
    level = means(found.fine["level"])
    columns: dict[str, Any] = {
        "mean": level,
        "q_pan": means(found.fine["pan"]),
        "d_rho": means(found.fine["d_rho"]),
        **{name: value for name, value in sharp.items() if isinstance(value, list)},
        "unsupported": unsupported_detail.shares(found.fine["invented"]),
        "unsupported_bound": _bounds(found),
        "mtf_gain": subject.observation.mtf_gain,
        "shift_px": [list(shift) for shift in subject.observation.shifts_px],
    }
    if found.coarse:
        error = found.coarse["r_error"]
        columns |= _errors("r_", error, means(found.coarse["r_difference"]))
    if found.error is not None:
        columns |= _errors("", found.error, means(found.fine["difference"]))
        columns["q"] = means(found.fine["q"])
    shares = ((subject.record or {}).get("method") or {}).get("injection")
    if shares:
        columns["injection"] = [shares.get(name, math.nan) for name in subject.names]
    return {
        name: {key: _number(column[at]) for key, column in columns.items()}
        for at, name in enumerate(subject.names)
    }


def _invented(found: Measured) -> dict[str, Any]:
    """Judge the share of detail that neither PAN nor MS shows: means over bands; is one beyond its bound?"""
    shares = unsupported_detail.shares(found.fine["invented"])
    bounds = _bounds(found)
    over = [share / bound for share, bound in zip(shares, bounds, strict=True)]
    known = [value for value in over if math.isfinite(value)]
    return {
        "share": float(np.mean(shares)),
        "bound": float(np.mean(bounds)),
        "worst": max(known, default=math.nan),
        "found": any(value > 1.0 for value in known),
    }


def _bounds(found: Measured) -> list[float]:
    """Return each band's bound, NaN where no coarse pixel could be measured."""
    if "real" not in found.coarse:
        return [math.nan] * (found.fine["invented"].total.size // 2)
    return unsupported_detail.allowed(unsupported_detail.shares(found.coarse["real"]))


def _errors(prefix: str, error: ErrorSums, bias: NDArray[np.float64]) -> dict[str, Any]:
    """RMSE and bias per band, and both relative to the mean of what they are measured against."""
    count = error.count or math.nan
    rmse, level = np.sqrt(error.squared / count), error.reference / count
    relative = np.divide(100.0 * rmse, level, out=np.full_like(rmse, np.nan), where=level != 0.0)
    return {f"{prefix}rmse": rmse, f"{prefix}rmse_percent": relative, f"{prefix}bias": bias}


def _number(value: Any) -> Any:
    return value if isinstance(value, list) else float(value)


def _observation(subject: Subject) -> dict[str, Any]:
    """What D and U used, and how sure the product's record is of it."""
    known = subject.calibration or None
    return {**asdict(subject.observation), "bands": list(subject.names), "calibration": known}


def _warnings(subject: Subject, values: Mapping[str, Any], found: Measured) -> list[str]:
    """What the numbers themselves say against being believed."""
    notes = list((subject.record or {}).get("warnings", []))
    notes = [note for note in notes if note not in subject.notes]
    if not subject.known:
        notes.append("DN, pedestal unknown: a pedestal lowers ERGAS and SAM and bends every index")
    if subject.observation.origin.startswith("sensor table"):
        notes.append("the observation model is the sensor table's, not measured on this scene")
    if values["seam"]["found"]:
        notes.append(f"seams every {values['seam']['spacing_px']} px")
    notes += [
        f"{name}: {band['unsupported']:.0%} of the detail is in neither PAN nor MS, more than reality has one scale "
        f"down (bound {band['unsupported_bound']:.0%})"
        for name, band in values["per_band"].items()
        if band["unsupported"] > band["unsupported_bound"]
    ]
    blocks = found.fine["pairs"].count
    if blocks < FEW_BLOCKS:
        notes.append(f"only {blocks} whole blocks of 32 x 32 pixels: block metrics are rough")
    return notes + _level_notes(subject, found)


def _level_notes(subject: Subject, found: Measured) -> list[str]:
    """Say where the product's level is not the MS's: its scale is not what it was taken for."""
    if not found.coarse:
        return ["no coarse pixel lies wholly on valid pixels of the product: no consistency, no indices"]
    error, apart = found.coarse["r_error"], means(found.coarse["r_difference"])
    notes = []
    for name, total, bias in zip(subject.names, error.reference, apart, strict=True):
        level = total / error.count if error.count else math.nan
        factor = (level + bias) / level if level else math.nan
        if not 1.0 / LEVEL_FACTOR < factor < LEVEL_FACTOR and not math.isnan(factor):
            notes.append(f"{name} is {factor:.3g} times as bright as in the MS: is its scale the scene's?")
    return notes


def _maps(ask: Ask, found: Measured) -> dict[str, LocalMap]:
    """Turn cells into maps, of which higher is worse."""
    ratio = ask.subject.ratio
    size, origin = (float(ask.cell), float(ask.cell)), (0.0, 0.0)
    made = {}
    for name, (totals, counts) in found.cells.items():
        local = _divided(totals, counts)
        if name in ("q2n", "q2n_k"):
            values = 1.0 - local[0]
        elif name == "invented":
            bands = len(local) // 2
            parts, whole = local[:bands], local[bands:]
            values = np.divide(parts, whole, out=np.zeros_like(parts), where=whole > 0.0).mean(axis=0)
            values[np.isnan(local[0])] = np.nan
        elif name == "ergas":
            assert found.error is not None
            values = _local_ergas(local, found.error, ratio)
        else:
            values = local.mean(axis=0)
        made[name] = LocalMap(values, size, origin)
    if "r_ergas" in found.coarse_cells:
        local = _divided(*found.coarse_cells["r_ergas"])
        axes = ask.subject.axes
        corner = tuple(
            (start - 0.5 - axis.offset) / axis.scale + 0.5
            for axis, start in zip(axes, (ask.window[0], ask.window[2]), strict=True)
        )
        made["r_ergas"] = LocalMap(
            _local_ergas(local, found.coarse["r_error"], ratio),
            (ask.coarse_cell / axes[0].scale, ask.coarse_cell / axes[1].scale),
            (corner[0], corner[1]),
        )
    return made


def _divided(totals: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the cells' means; NaN where less than a quarter of a cell was measured: a few pixels make no map."""
    enough = counts >= max(1.0, LEAST_CELL * float(counts.max(initial=0)))
    return np.divide(totals, counts, out=np.full_like(totals, np.nan), where=enough)


def _local_ergas(squared: NDArray[np.float64], error: ErrorSums, ratio: float) -> NDArray[np.float64]:
    """ERGAS of each cell, against the mean of the whole image: a dark cell is not worse for being dark."""
    level = (error.reference / error.count)[:, None, None] if error.count else np.nan
    return np.asarray(100.0 / ratio * np.sqrt((squared / level**2).mean(axis=0)), dtype=np.float64)
