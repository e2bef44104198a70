"""Small pairs of rasters with known pixels, and the command line run on them in this process."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from geofuse.cli import main

UTM = "EPSG:32632"
CORNER = (500_000.0, 5_400_000.0)


def north_up(
    step: float, *, corner: tuple[float, float] = CORNER, step_y: float | None = None, turn_deg: float = 0.0
) -> Affine:
    """Return a north-up transform, or one turned about its corner."""
    step_y = step if step_y is None else step_y
    cos, sin = math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))
    return Affine(step * cos, step_y * sin, corner[0], step * sin, -step_y * cos, corner[1])


def write(
    path: Path,
    planes: NDArray[Any],
    transform: Affine,
    *,
    crs: str | None = UTM,
    descriptions: Sequence[str] = (),
    scales: tuple[Sequence[float], Sequence[float]] | None = None,
    mask: NDArray[np.bool_] | None = None,
    rpcs: dict[str, str] | None = None,
    **options: Any,
) -> Path:
    """Write (band, row, col) as a GeoTIFF; returns its path."""
    path.unlink(missing_ok=True)  # over an old file GDAL deletes what lies beside it, such as an MTL.txt
    bands, height, width = planes.shape
    profile = {"driver": "GTiff", "count": bands, "height": height, "width": width, "dtype": planes.dtype}
    settings = {"GDAL_TIFF_INTERNAL_MASK": "YES", "GDAL_PAM_ENABLED": "NO"}
    with (
        rasterio.Env(**settings),
        rasterio.open(path, "w", **(profile | options), crs=crs, transform=transform) as file,
    ):
        file.write(planes)
        for band, text in enumerate(descriptions, 1):
            file.set_band_description(band, text)
        if scales is not None:
            file.scales, file.offsets = scales
        if rpcs is not None:
            file.update_tags(ns="RPC", **rpcs)
        if mask is not None:
            file.write_mask(mask)
    return path


def landscape(rng: np.random.Generator, bands: int, side: int) -> NDArray[np.float64]:
    """Return smooth, correlated bands (bands, side, side) between 0 and 1."""
    shared = sum(gaussian_filter(rng.standard_normal((side, side)), s) * s for s in (1.0, 3.0, 12.0))
    own = [gaussian_filter(rng.standard_normal((side, side)), 6.0) * 3.0 for _ in range(bands)]
    stack = np.stack([shared + plane for plane in own])
    low, high = stack.min(axis=(1, 2), keepdims=True), stack.max(axis=(1, 2), keepdims=True)
    return (stack - low) / (high - low)


def averaged(planes: NDArray[np.float64], ratio: int) -> NDArray[np.float64]:
    """Average ratio x ratio pixels."""
    bands, height, width = planes.shape
    return planes.reshape(bands, height // ratio, ratio, width // ratio, ratio).mean(axis=(2, 4))


def fuse(out: Path, pan: Path | str, ms: Path | str | Sequence[Path | str], *options: str) -> Path:
    """Fuse by the command line, which must succeed; returns the product."""
    assert status(out, pan, ms, *options) == 0
    return out


def fuse_plain(out: Path, pan: Path | str, ms: Path | str | Sequence[Path | str], *options: str) -> Path:
    """Fuse with the sensor table's blur and the georeferences alone, as the methods' references do."""
    return fuse(out, pan, ms, "--no-calibrate", *options)


def status(out: Path, pan: Path | str, ms: Path | str | Sequence[Path | str], *options: str) -> int:
    """Fuse by the command line; returns its exit status."""
    files = [ms] if isinstance(ms, str | Path) else ms
    inputs = ["--pan", str(pan), *(word for file in files for word in ("--ms", str(file)))]
    effort = [] if "--compress" in options or "--level" in options else ["--level", "1"]
    quiet = ["--no-progress", *([] if "--scheduler" in options else ["--scheduler", "serial"])]
    return main(["fuse", *inputs, "--out", str(out), *quiet, *effort, *options])


def pixels(path: Path) -> NDArray[Any]:
    """Read a raster as stored (B, H, W)."""
    with rasterio.open(path) as file:
        return file.read()


def record(out: Path) -> dict[str, Any]:
    """Read a product's provenance as strictly as any other reader of JSON would."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    found: dict[str, Any] = json.loads(out.with_suffix(".json").read_text(), parse_constant=refuse)
    return found
