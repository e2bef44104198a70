"""Pairs with known truth on disk: what a simulated satellite delivers, and how a product compares with the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.files import write_bytes
from geofuse.landscape.camera import BANDS, Camera, camera_axes, observe, slanted_valid
from geofuse.methods.observation import degrade, degrade_reach
from geofuse.metrics.reference import ergas, r_ergas, sam
from geofuse.rasters.cog import CogSpec, checked_spec, write_cog
from geofuse.rasters.image import Band, Grid, Image, Piece
from geofuse.rasters.pixels import read_window
from geofuse.rasters.preview import before_after, stretch
from geofuse.scenes.opening import open_pair
from geofuse.scenes.scene import Scene

CRS = "EPSG:32632"
CORNER = (500000.0, 5400000.0)
PAN_SIZE_M = 0.5
BITS = 11


@dataclass(frozen=True, slots=True)
class SimulatedPair:
    """A simulated delivery."""

    pan: Path
    """PAN file."""
    ms: Path
    """MS file."""
    truth: Path
    """What a perfect fusion would return."""


def write_pair(
    folder: Path, truth: NDArray[np.float32], camera: Camera, *, slant_deg: float, seed: int
) -> SimulatedPair:
    """See a landscape (4, H, W) and write pan.tif, ms.tif, truth.tif; nodata 0 beyond a slanted border."""
    axes = camera_axes(camera)
    height, width = truth.shape[1:]
    pan, ms = observe(truth, camera, rng=np.random.default_rng(seed))
    fine_valid = slanted_valid(height, width, angle_deg=slant_deg)
    coarse_valid = slanted_valid(height, width, angle_deg=slant_deg, axes=axes)
    coarse_size_m = PAN_SIZE_M * camera.ratio
    pair = SimulatedPair(folder / "pan.tif", folder / "ms.tif", folder / "truth.tif")
    for path, image, valid, size_m in (
        (pair.pan, pan, fine_valid, PAN_SIZE_M),
        (pair.ms, ms, coarse_valid, coarse_size_m),
        (pair.truth, truth, fine_valid, PAN_SIZE_M),
    ):
        _write(path, image, valid, size_m)
    return pair


def _write(path: Path, image: NDArray[np.float32], valid: NDArray[np.bool_], size_m: float) -> None:
    stored = np.clip(np.rint(image), 1, 2**BITS - 1).astype(np.uint16) * valid
    bands = stored.shape[0]
    spec = checked_spec(
        CogSpec(
            height=stored.shape[1],
            width=stored.shape[2],
            bands=bands,
            dtype="uint16",
            nodata=0.0,
            crs=CRS,
            transform=(size_m, 0.0, CORNER[0], 0.0, -size_m, CORNER[1]),
            descriptions=BANDS[:bands] if bands > 1 else ("pan",),
            colors=BANDS[:bands] if bands > 1 else ("gray",),
            compress="deflate",
        )
    )
    write_cog(path, np.ascontiguousarray(np.moveaxis(stored, 0, -1)), spec)


def open_simulated(pair: SimulatedPair) -> Scene:
    """Open a written pair."""
    return open_pair(str(pair.pan), [str(pair.ms)])


def read_product(path: Path, bands: int, grid: Grid) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read a whole geofuse product (B, H, W) with its validity; for small images."""
    image = Image(
        "raster",
        tuple(Band(str(b + 1), (Piece(str(path), b + 1),), "uint16", nodata=0.0) for b in range(bands)),
        grid,
        {str(path): "GTiff"},
    )
    return read_window(image, tuple(range(bands)), (0, grid.height, 0, grid.width))


def scores(
    fused: NDArray[Any],
    truth: NDArray[Any],
    valid: NDArray[np.bool_],
    *,
    ms: tuple[NDArray[Any], NDArray[np.bool_]],
    camera: Camera,
) -> dict[str, float]:
    """Return ERGAS, SAM against truth, and R-ERGAS against the MS itself."""
    axes = camera_axes(camera)
    coarse, coarse_valid = ms
    window = (0, coarse.shape[1], 0, coarse.shape[2])
    reach = degrade_reach(axes, min(camera.mtf_gains), window)
    pad = max(-reach[0], reach[1] - fused.shape[1], -reach[2], reach[3] - fused.shape[2], 0)
    padded = np.pad(fused, ((0, 0), (pad, pad), (pad, pad)), mode="symmetric")
    padded_valid = np.pad(valid, pad, mode="symmetric")
    seen = np.empty(coarse.shape, np.float64)
    both = coarse_valid.copy()
    for band, gain in enumerate(camera.mtf_gains):
        plane, ok = degrade(padded[band : band + 1], padded_valid, (-pad, -pad), axes, window, gain=gain)
        seen[band], both = plane[0], both & ok
    return {
        "ergas": ergas(truth, fused, ratio=camera.ratio, valid=valid),
        "sam": sam(truth, fused, valid=valid),
        "r_ergas": r_ergas(coarse, seen, ratio=camera.ratio, valid=both),
    }


def write_before_after(
    path: Path,
    before: NDArray[Any],
    pan: NDArray[Any],
    after: NDArray[Any],
    *,
    valid: NDArray[np.bool_],
    titles: tuple[str, str, str],
) -> None:
    """Write a picture of the upsampled MS, PAN and the product (bands blue, green, red, ...), stretched alike."""
    rgb = [2, 1, 0]
    both = stretch(np.concatenate([before[rgb], after[rgb]], axis=2), np.concatenate([valid, valid], axis=1))
    width = before.shape[2]
    picture = before_after(
        both[:, :width],
        np.where(valid, stretch(pan, valid)[..., 0], 255).astype(np.uint8),
        both[:, width:],
        titles=titles,
        credit="simulated by geofuse",
    )
    write_bytes(path, picture)
