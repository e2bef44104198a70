"""What acceptance reads off a product: its record (``record``), its assessment (``values``), its path (``out``).

Each function is the target of a row of the metrics' table and is given what that row needs, by name. None where the
number is not known. Shares are 0 to 1, of the product's valid pixels unless said otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from geofuse.rasters.ledger import mask_path
from geofuse.rasters.opening.describing import image_of
from geofuse.rasters.pixels import inspect, read_raw
from geofuse.run.records.documents import ProductRecord

CLOUD, NODATA = 4, 1
"""Bits of the product's mask."""
STRIP_PX = 1024
Values = Mapping[str, Any]
"""An assessment's values; those of a release before may lack some."""


def calibration_confidence(record: ProductRecord) -> float | None:
    """Return how sure the calibration is of itself; None where nothing was calibrated."""
    return calibration["confidence"] if (calibration := record.get("calibration")) else None


def match_r2(record: ProductRecord) -> float | None:
    """Return how much of PAN's detail the bands explain."""
    return calibration["r2"] if (calibration := record.get("calibration")) else None


def shift_px(record: ProductRecord) -> float | None:
    """Return the length of the shift between the images that was taken into account, PAN pixels."""
    shift = record["observation"]["shift_px"] if "observation" in record else None
    return math.hypot(*shift) if shift else None


def no_harm_share(record: ProductRecord) -> float | None:
    """Return the least share of detail that the hold-out allowed a band; without calibration nothing was held out."""
    shares = list(record["method"].get("injection", {}).values())
    return min(shares) if shares and record.get("calibration") else None


def hold_out_gain(record: ProductRecord) -> float | None:
    """Return how much smaller the error of what was held out is than upsampling's: mean over bands, 1 is all."""
    calibration = record.get("calibration")
    trial = calibration.get("hold_out", {}).get(record["method"]["name"]) if calibration else None
    if trial is None:
        return None
    pairs = [
        (own, plain)
        for own, plain in zip(trial["rmse"], trial["upsampled_rmse"], strict=True)
        if own is not None and plain
    ]
    return float(np.mean([1.0 - own / plain for own, plain in pairs])) if pairs else None


def edge_gain(values: Values) -> float | None:
    """Return how many times as steep edges are as in the upsampled image."""
    return _number((values.get("sharpness") or {}).get("edge_gain"))


def seams(values: Values) -> float | None:
    """Return 1 where tile borders show, else 0."""
    seam = values.get("seam") or {}
    return None if "found" not in seam else float(seam["found"])


def level_factor(values: Values) -> float | None:
    """Return how many times too bright or too dark the worst band is at the coarse image's scale; 1 is right."""
    worst = None
    for band in (values.get("per_band") or {}).values():
        mean, bias = band.get("mean"), band.get("r_bias")
        reference = mean - bias if mean is not None and bias is not None else None
        if reference and reference > 0.0 and mean > 0.0:
            factor = max(mean / reference, reference / mean)
            worst = factor if worst is None else max(worst, factor)
    return worst


def index_bias(values: Values) -> float | None:
    """Return the largest change of a spectral index at the coarse image's scale."""
    biases = [
        abs(index["bias"]) for index in (values.get("indices") or {}).values() if index["bias"] is not None
    ]
    return max(biases, default=None)


def nodata_share(record: ProductRecord) -> float:
    """Return the share of all pixels that hold nothing."""
    return 1.0 - valid_share(record)


def valid_share(record: ProductRecord) -> float:
    """Return the share of all pixels that hold something."""
    grid = record["grid"]
    return float(record["counts"]["valid"] / (grid["height"] * grid["width"]))


def saturated_share(record: ProductRecord) -> float | None:
    """Return the share of values that the type's range cut."""
    return _share(record, "saturated")


def moved_share(record: ProductRecord) -> float | None:
    """Return the share of values that had to step aside for the nodata value."""
    return _share(record, "moved")


def cloud_share(record: ProductRecord, out: Path) -> float | None:
    """Return the share of valid pixels that the quality band calls cloud; else what the metadata says of the scene."""
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


def _share(record: ProductRecord, name: str) -> float | None:
    counts = record["counts"]
    stored = counts["valid"] * len(record["parameters"]["bands"])
    return counts[name] / stored if stored else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
