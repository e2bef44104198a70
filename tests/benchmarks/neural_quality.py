"""How `pan-gan-ms` compares with ridge + back-projection where the truth is known.

python -m tests.benchmarks.neural_quality: Wald's protocol on real windows, a camera before real pixels, and drawn
landscapes no network was trained on; every pair's model is estimated anew from the pair alone, and every product is
made by the path of `geofuse fuse`, gate and all.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from geofuse.landscape.camera import Camera, make_truth, observe
from geofuse.learn.adapt import adapted_request
from geofuse.metrics import reference as metrics
from geofuse.quality.scoring import read_raster
from geofuse.quality.simulate_wald import simulate_wald
from geofuse.quality.simulated_pair import CORNER, CRS, PAN_SIZE_M, write_pair
from geofuse.rasters.cog import CogSpec, checked_spec, write_cog
from geofuse.run.calibrating import calibrated_plan
from geofuse.run.executors import Serial
from geofuse.run.fuse import fuse_to_cog
from geofuse.run.plans.request import Request, make_request
from geofuse.scenes.opening import open_pair, open_scene

DATA = Path(os.environ.get("GEOFUSE_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
LANDSAT = {
    "Landsat 8, clear window": (960, 2, 244, 838),
    "Landsat 8, east": (462, 622, 480, 620),
    "Landsat 8, north-east": (2, 622, 460, 620),
}
SEEDS = (9001, 9002, 9003, 9004, 9005)


def landsat(folder: Path) -> Iterator[tuple[str, Path]]:
    """Reduce real windows by Wald's protocol, with their own estimated model."""
    scene = open_scene(str(DATA / "landsat8"))
    for name, window in LANDSAT.items():
        place = folder / name.replace(" ", "_").replace(",", "")
        simulate_wald(scene, make_request(bands=["blue", "green", "red", "nir"], window=window), place)
        yield name, place


def sentinel(folder: Path) -> Iterator[tuple[str, Path]]:
    """Put a camera before Sentinel-2's 10 m bands."""
    import h5py

    with h5py.File(DATA / "sentinel2" / "S2A_MSIL1C_20170527_T33UUB.mat") as file:
        truth = np.transpose(np.array(file["im10"]), (0, 2, 1))[[2, 1, 0, 3]].astype(np.float32)
    for ratio in (4, 3, 2):
        camera = Camera(
            (0.30, 0.31, 0.33, 0.28), (0.15, 0.3, 0.4, 0.15), 0.0, float(ratio), (0.6, -0.4), (), 2.0
        )
        place = folder / f"sentinel_{ratio}"
        pan, ms = observe(truth, camera, rng=np.random.default_rng(5))
        for file_name, image, size in (("pan", pan, 1), ("ms", ms, ratio), ("reference", truth, 1)):
            _write(place / f"{file_name}.tif", image, PAN_SIZE_M * size)
        yield f"Sentinel-2, a camera of ratio {ratio}", place


def drawn(folder: Path) -> Iterator[tuple[str, Path]]:
    """Draw landscapes from seeds that no training uses, each before a camera of its own."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        place = folder / f"drawn_{seed}"
        place.mkdir()
        camera = Camera(
            tuple(rng.uniform(0.24, 0.36, 4)),
            tuple(np.array([0.12, 0.30, 0.30, 0.18]) * rng.uniform(0.7, 1.3, 4)),
            0.1,
            4.0,
            tuple(rng.uniform(-1.0, 1.0, 2)),
            (),
            float(rng.uniform(0.5, 3.0)),
        )
        made = write_pair(place, make_truth(768, rng=rng), camera, slant_deg=0.0, seed=seed)
        made.truth.rename(place / "reference.tif")
        yield f"drawn landscape {seed}", place


def _write(path: Path, image: np.ndarray, size_m: float) -> None:
    path.parent.mkdir(exist_ok=True)
    stored = np.clip(np.rint(image), 1, 65535).astype(np.uint16)
    spec = CogSpec(
        height=stored.shape[1],
        width=stored.shape[2],
        bands=len(stored),
        dtype="uint16",
        nodata=0.0,
        crs=CRS,
        transform=(size_m, 0.0, CORNER[0], 0.0, -size_m, CORNER[1]),
        descriptions=("blue", "green", "red", "nir")[: len(stored)] if len(stored) > 1 else ("pan",),
        colors=("blue", "green", "red", "nir")[: len(stored)] if len(stored) > 1 else ("gray",),
        compress="deflate",
    )
    write_cog(path, np.ascontiguousarray(np.moveaxis(stored, 0, -1)), checked_spec(spec))


def judged(place: Path, request: Request, label: str) -> dict[str, Any]:
    """Fuse a pair as `geofuse fuse` does; returns ERGAS and SCC against the reference, and CPU seconds."""
    began = time.process_time()
    plan = calibrated_plan(open_pair(str(place / "pan.tif"), [str(place / "ms.tif")]), request)
    out = place / f"{label}.tif"
    record = fuse_to_cog(plan, out, runner=Serial(), overwrite=True)
    fused, valid = read_raster(out)
    truth, known = read_raster(place / "reference.tif")
    ok = valid & known
    return {
        "ergas": metrics.ergas(truth, fused, ratio=plan.options.ratio, valid=ok),
        "scc": metrics.scc(truth, fused, valid=ok),
        "q2n": metrics.q2n(truth, fused, valid=ok),
        "cpu_s": time.process_time() - began,
        "method": record["method"]["name"],
        "network": record["parameters"]["network"],
    }


def row(name: str, place: Path, weights: str | None) -> dict[str, Any]:
    """Compare upsampling, ridge, the shipped weights and adapted ones on a pair."""
    scene = open_pair(str(place / "pan.tif"), [str(place / "ms.tif")])
    found = {method: judged(place, make_request(method=method), method) for method in ("exp", "ridge")}
    shipped = make_request(method="pan-gan-ms", network=weights, device="cpu")
    found["network"] = judged(place, shipped, "network")
    began = time.process_time()
    own, made = adapted_request(scene, shipped, place / "own.tif")
    seconds = time.process_time() - began
    found["adapted"] = {**judged(place, own, "adapted"), "adapt_cpu_s": seconds, "used": made.used}
    return {"name": name, **found}


def pan_gan(weights: str) -> str:
    """Compare Pan-GAN's generator, trained on the Landsat scene, with upsampling on its clear window, as Markdown."""
    lines = ["| product | back-projections | ERGAS | SCC |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as name:
        _, place = next(landsat(Path(name)))
        for method, network in (("exp", None), ("pan-gan", weights), ("ridge", None)):
            for rounds in (0, 3):
                asked = make_request(method=method, network=network, device="cpu", back_projections=rounds)
                found = judged(place, asked, f"{method}_{rounds}")
                lines.append(f"| `{method}` | {rounds} | {found['ergas']:.3f} | {found['scc']:.4f} |")
    return "\n".join(lines)


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as Markdown."""
    lines = [
        "| pair | exp | ridge + bp | pan-gan-ms | adapted | CPU s to adapt |",
        "|---|---|---|---|---|---|",
    ]
    for one in rows:
        base = one["ridge"]["ergas"]
        cells = [
            f"{one[key]['ergas']:.3f} ({100 * (one[key]['ergas'] / base - 1):+.1f} %)"
            for key in ("network", "adapted")
        ]
        lines.append(
            f"| {one['name']} | {one['exp']['ergas']:.3f} | {base:.3f} | {' | '.join(cells)} | "
            f"{one['adapted']['adapt_cpu_s']:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the table; write it as JSON where --out says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", help="weights instead of the shipped ones")
    parser.add_argument("--only", default="", help="pairs whose name holds this")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--pan-gan", metavar="FILE", help="only: weights of pan-gan on the Landsat window")
    arguments = parser.parse_args()
    if arguments.pan_gan:
        print(pan_gan(arguments.pan_gan))
        return
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for make in (landsat, sentinel, drawn):
            for label, place in make(Path(name)):
                if arguments.only in label:
                    rows.append(row(label, place, arguments.network))
                    print(table(rows[-1:]).splitlines()[-1], flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
