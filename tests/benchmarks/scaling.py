"""How fusion scales over dask workers: measured with 1 and 4, and a model of more from what each step costs.

    python tests/benchmarks/scaling.py FOLDER [--side 4096] [--method ridge] [--tile 512]

Workers are processes with one thread each; their start is not counted, kernels are compiled before. The model:
a scene of N tiles takes first pass + N * tile / workers, but no less than N * coordinator (one process hands
tiles out and hears of them), then assembly, which one process does. It knows nothing of a shared disk's limits.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client, LocalCluster

from geofuse.landscape.camera import Camera, make_truth
from geofuse.quality.simulated_pair import write_pair
from geofuse.run.calibrating import calibrated_plan
from geofuse.run.executors import Dask
from geofuse.run.fuse import fuse_parts, fuse_to_cog
from geofuse.run.plans.plan import plan_tiles
from geofuse.run.plans.request import make_request
from geofuse.scenes.opening import open_pair

TASKS = 2000
TURNS = 3
"""One after the other; the least disturbed counts."""
WORKERS = (1, 2, 10, 100, 1000)
TILES = (64, 400, 1600, 6400)


def nothing(shared: Any, item: int) -> dict[str, int]:
    """Return what a tile's task returns, without its work."""
    return {"valid": item, "saturated": 0, "moved": 0}


def main() -> None:
    """Measure, then print the measured times and the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--method", default="ridge")
    parser.add_argument("--tile", type=int, default=512)
    asked = parser.parse_args()
    camera = Camera((0.3,) * 4, (0.15, 0.3, 0.3, 0.2), ratio=4.0, noise_sigma=1.0)
    times = asked.side // 1024
    truth = np.tile(make_truth(1024, rng=np.random.default_rng(5)), (1, times, times))
    (asked.folder / "scene").mkdir(parents=True, exist_ok=True)
    pair = write_pair(asked.folder / "scene", truth, camera, slant_deg=0.0, seed=5)
    request = make_request(method=asked.method, tile_px=asked.tile, workers=1)
    plan = calibrated_plan(open_pair(str(pair.pan), [str(pair.ms)]), request)
    count = len(plan_tiles(plan))
    turns: dict[int, list[tuple[float, float, float]]] = {1: [], 4: []}
    for _ in range(TURNS):
        for workers, found in turns.items():
            found.append(fused(plan, asked.folder, workers))
    taken = {workers: min(found, key=lambda each: each[0] + each[1]) for workers, found in turns.items()}
    for workers, (first, tiles, assembly) in taken.items():
        print(
            f"{workers} workers: first pass {first:.1f} s, {count} tiles {tiles:.1f} s, assembly {assembly:.1f} s"
        )
    one, four = (first + tiles for first, tiles, _ in (taken[1], taken[4]))
    print(f"4 workers against 1, fusion: {one / four:.2f} times as fast")
    hand = coordinator()
    first, tiles, assembly = taken[1]
    model(first / count, tiles / count, hand, assembly / count)


def fused(plan: Any, folder: Path, workers: int) -> tuple[float, float, float]:
    """Return the seconds of the first pass, of the tiles and of the assembly, kernels compiled before."""
    marks: dict[str, float] = {}
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        for name in ("warm", "timed"):
            out = folder / f"{name}{workers}.tif"
            marks["begun"] = time.monotonic()

            def show(stage: str, done: int, total: int, resumed: int) -> None:
                if stage == "fuse" and done == 0:
                    marks["tiles"] = time.monotonic()

            fuse_parts(plan, out, runner=Dask(client), progress=show)
            marks["assembly"] = time.monotonic()
            fuse_to_cog(plan, out, runner=Dask(client))
            marks["done"] = time.monotonic()
            for path in folder.glob(f"{out.stem}.*"):
                path.unlink()
            shutil.rmtree(folder / f".{out.name}.parts", ignore_errors=True)
    return (
        marks["tiles"] - marks["begun"],
        marks["assembly"] - marks["tiles"],
        marks["done"] - marks["assembly"],
    )


def coordinator() -> float:
    """Return the seconds the coordinating process spends on a tile: scheduler and client in one."""
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        list(Dask(client).map(nothing, {}, range(200)))
        begun = time.process_time()
        list(Dask(client).map(nothing, {"plan": "x" * 8000}, range(TASKS)))
        return (time.process_time() - begun) / TASKS


def model(first: float, tile: float, hand: float, assembly: float) -> None:
    """Print the seconds of scenes of so many tiles on so many workers, and where more workers stop helping."""
    print(f"a tile: {1e3 * tile:.0f} ms of a worker, first pass {1e3 * first:.0f} ms,", end=" ")
    print(f"{1e3 * hand:.2f} ms of the coordinator, {1e3 * assembly:.0f} ms of assembly")
    print("| tiles | " + " | ".join(f"{workers} workers" for workers in WORKERS) + " |")
    for count in TILES:
        row = []
        for workers in WORKERS:
            busy = min(workers, count)
            spread = max((first + tile) * count / busy, hand * count) + assembly * count
            row.append(f"{spread:.0f} s")
        print(f"| {count} | " + " | ".join(row) + " |")
    print(
        f"the coordinator is full at {tile / hand:.0f} workers; assembly takes over at {tile / assembly:.0f}"
    )


if __name__ == "__main__":
    main()
