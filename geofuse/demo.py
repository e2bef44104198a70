"""A simulated scene with known truth: fields, roads, roofs, water; fused, written, shown and scored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

import numpy as np

from geofuse.errors import UsageError
from geofuse.landscape.camera import Camera, make_truth
from geofuse.quality.simulated_pair import (
    SimulatedPair,
    open_simulated,
    read_product,
    scores,
    write_before_after,
    write_pair,
)
from geofuse.run.calibrating import calibrated_plan
from geofuse.run.executors import Serial, Threads
from geofuse.run.fuse import fuse_to_cog
from geofuse.run.plans.request import Request, make_request
from geofuse.run.progress import Progress, silent

SLANT_DEG = 8.0
CAMERA = Camera(
    mtf_gains=(0.30, 0.30, 0.30, 0.28),
    pan_weights=(0.12, 0.30, 0.30, 0.18),
    pan_extra=0.10,
    ratio=4.0,
    noise_sigma=1.5,
)
"""A very-high-resolution satellite: 0.5 m PAN, 2 m MS, PAN reaching beyond the bands."""


class DemoScores(TypedDict):
    """What the demo found."""

    scores: list[dict[str, object]]
    files: list[str]


def run_demo(
    folder: Path, *, size: int, method: str, seed: int = 7, progress: Progress = silent
) -> DemoScores:
    """Simulate, fuse, score; returns files and scores. Writes into ``folder``, which may exist.

    Scores are against the truth, which no real scene has: ERGAS, SAM in degrees, and R-ERGAS, the consistency with
    the MS image itself.
    """
    if size < 256 or size % 4:
        raise UsageError(f"--size {size}", wanted="a multiple of 4, at least 256")
    folder.mkdir(parents=True, exist_ok=True)
    progress("simulate", 0, size * size, 0)
    truth = make_truth(size, rng=np.random.default_rng(seed))
    pair = write_pair(folder, truth, CAMERA, slant_deg=SLANT_DEG, seed=seed)
    progress("simulate", size * size, size * size, 0)
    plain = _fused(pair, folder / "upsampled.tif", make_request(method="exp", calibrate=False), progress)
    fused = _fused(pair, folder / "fused.tif", make_request(method=method), progress)
    return _judged(pair, folder, {"exp": plain, method: fused})


def _fused(pair: SimulatedPair, out: Path, request: Request, progress: Progress) -> Path:
    plan = calibrated_plan(open_simulated(pair), request, out, progress=progress)
    runner = Threads(plan.workers) if plan.workers > 1 else Serial()
    fuse_to_cog(plan, out, runner=runner, overwrite=True, progress=progress)
    return out


def _judged(pair: SimulatedPair, folder: Path, images: dict[str, Path]) -> DemoScores:
    scene = open_simulated(pair)
    bands = len(scene.image("ms").bands)
    truth, _ = read_product(pair.truth, bands, scene.image("pan").grid)
    ms = read_product(pair.ms, bands, scene.image("ms").grid)
    rows, pictures = [], {}
    for name, path in images.items():
        fused, valid = read_product(path, bands, scene.image("pan").grid)
        rows.append({"image": name, **scores(fused, truth, valid, ms=ms, camera=CAMERA)})
        pictures[name] = fused
    pan, _ = read_product(pair.pan, 1, scene.image("pan").grid)
    picture = folder / "before_after.png"
    method = list(images)[-1]
    made_by = json.loads(images[method].with_suffix(".json").read_text())["method"]["name"]
    titles = ("MS, upsampled (2 m)", "PAN (0.5 m)", f"fused by {made_by} (0.5 m)")
    write_before_after(picture, pictures["exp"], pan, pictures[method], valid=valid, titles=titles)
    files = [pair.pan, pair.ms, pair.truth, *images.values(), picture]
    return {"scores": rows, "files": [str(path) for path in files]}
