"""Write a large simulated scene to measure speed on: PAN N x N at 0.5 m, MS N/4 x N/4 x 4 (or more) at 2 m.

uint16, 11 bit, UTM, tiled DEFLATE GeoTIFFs, a slanted nodata border as Landsat has, sensor MTF and noise. A few
landscapes are observed once, then laid side by side, turned and mirrored at random and with fresh noise, so that any
size takes little memory. Meant for speed and memory; use `geofuse demo` for quality.

usage: python tests/benchmarks/make_scene.py FOLDER N [SEED [BANDS]]        N is a multiple of 2048; 4 bands
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin
from tqdm import tqdm

from geofuse.landscape.camera import BANDS, Camera, make_truth, observe

SIDE = 2048
RATIO = 4
CAMERA = Camera(
    mtf_gains=(0.3, 0.3, 0.3, 0.28), pan_weights=(0.12, 0.3, 0.3, 0.18), pan_extra=0.1, ratio=RATIO
)
NOISE = {"pan": 3.0, "ms": 1.5}
TURN_DEG = 8.0
SHARE = 0.44
"""Half side of the turned square that holds data, in sides of the scene."""


def valid(row0: int, rows: int, side: int) -> np.ndarray:
    """Where rows of a scene of ``side`` pixels hold data: the same ground on both grids."""
    y, x = np.mgrid[row0 : row0 + rows, 0:side].astype(np.float32)
    y, x = (y + 0.5) / side - 0.5, (x + 0.5) / side - 0.5
    cos, sin = np.cos(np.radians(TURN_DEG)), np.sin(np.radians(TURN_DEG))
    return (np.abs(cos * x + sin * y) < SHARE) & (np.abs(cos * y - sin * x) < SHARE)


def turned(image: np.ndarray, quarter: int, mirror: int) -> np.ndarray:
    """Turn by quarters and mirror, the same way on both grids."""
    image = np.rot90(image, quarter, axes=(1, 2))
    return image[:, :, ::-1] if mirror else image


def main(folder: Path, size: int, seed: int = 7, bands: int = 4) -> None:
    """Write pan.tif and ms.tif; bands beyond the fourth are the first ones again, with noise of their own."""
    if size % SIDE:
        raise SystemExit(f"N = {size}: a multiple of {SIDE}, please")
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    seen = [observe(make_truth(SIDE, rng=rng), CAMERA, rng=rng) for _ in range(min(4, (size // SIDE) ** 2))]
    profile = {
        "driver": "GTiff", "dtype": "uint16", "tiled": True, "blockxsize": 512, "blockysize": 512,
        "compress": "deflate", "predictor": 2, "crs": "EPSG:32632", "nodata": 0, "BIGTIFF": "IF_SAFER",
    }  # fmt: skip
    coarse = size // RATIO
    with (
        rasterio.open(
            folder / "pan.tif", "w", width=size, height=size, count=1,
            transform=from_origin(500000, 5400000, 0.5, 0.5), **profile,
        ) as pan,
        rasterio.open(
            folder / "ms.tif", "w", width=coarse, height=coarse, count=bands, interleave="pixel",
            transform=from_origin(500000, 5400000, 2, 2), **profile,
        ) as ms,
    ):  # fmt: skip
        if bands == 4:
            ms.descriptions = BANDS[:4]
        for row in tqdm(range(0, size, SIDE), unit="strip"):
            choices = [
                (rng.integers(len(seen)), rng.integers(4), rng.integers(2)) for _ in range(size // SIDE)
            ]
            for target, place, side, total in ((pan, 0, SIDE, size), (ms, 1, SIDE // RATIO, coarse)):
                strip = np.concatenate([turned(seen[i][place], q, m) for i, q, m in choices], axis=2)
                if place == 1:
                    strip = strip[[band % len(strip) for band in range(bands)]]
                noise = NOISE["pan" if place == 0 else "ms"] * rng.standard_normal(strip.shape, np.float32)
                top = row * side // SIDE
                stored = np.clip(np.rint(strip + noise), 1, 2047).astype(np.uint16)
                stored *= valid(top, side, total)
                target.write(stored, window=((top, top + side), (0, total)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *map(int, sys.argv[3:]))
