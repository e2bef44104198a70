"""Memory does not grow with the scene: what the plan promises is what the process takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from geofuse.quality.simulated_pair import SimulatedPair
from tests.conftest import ROOT

MAKE_SCENE = ROOT / "tests" / "benchmarks" / "make_scene.py"


# a process is counted at its parent's size until it runs its own program: so a small one stands in between
MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""


def peak_bytes(pan: Path, ms: Path, out: Path, *options: str) -> int:
    """Fuse in a process of its own; return its peak resident size."""
    fuse = [
        sys.executable,
        "-m",
        "geofuse.cli",
        "fuse",
        "--pan",
        str(pan),
        "--ms",
        str(ms),
        "--out",
        str(out),
    ]
    command = [*fuse, "--no-progress", "--workers", "2", "--level", "1", *options]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *command], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_a_small_run_stays_within_its_plan(pair: SimulatedPair, tmp_path: Path) -> None:
    options = ("--pan", str(pair.pan), "--ms", str(pair.ms), "--workers", "2", "--json")
    done = subprocess.run(
        [sys.executable, "-m", "geofuse.cli", "plan", *options], capture_output=True, text=True, check=True
    )
    assert peak_bytes(pair.pan, pair.ms, tmp_path / "x.tif") < json.loads(done.stdout)["bytes_in_memory"]


PLAIN = ("--method", "brovey", "--no-calibrate", "--back-projections", "0")
BOUND_BYTES = 400e6


def test_a_small_run_takes_less_than_400_mb(pair: SimulatedPair, tmp_path: Path) -> None:
    assert peak_bytes(pair.pan, pair.ms, tmp_path / "x.tif", *PLAIN) < BOUND_BYTES


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("side", [4096, 8192, 16384])
def test_memory_does_not_grow_with_the_scene(tmp_path: Path, side: int) -> None:
    """17, 67 and 268 megapixels of PAN, 4 bands, two threads."""
    subprocess.run([sys.executable, str(MAKE_SCENE), str(tmp_path), str(side)], check=True)
    pan, ms, out = (tmp_path / name for name in ("pan.tif", "ms.tif", "out.tif"))
    peak = peak_bytes(pan, ms, out, *PLAIN)
    print(f"{side} x {side}: peak {peak / 1e6:.0f} MB")
    assert peak < BOUND_BYTES
    if side == 16384:
        for method in ("mtf-glp-hpm-r", "gsa"):
            assert peak_bytes(pan, ms, out, "--method", method, "--overwrite") < 2**30


def test_a_closed_form_run_loads_nothing_heavy(pair: SimulatedPair, tmp_path: Path) -> None:
    code = "import sys; from geofuse.cli import main; main(sys.argv[1:]); print('loaded', *sys.modules)"
    fuse = ["fuse", "--pan", str(pair.pan), "--ms", str(pair.ms), "--out", str(tmp_path / "x.tif"), *PLAIN]
    done = subprocess.run([sys.executable, "-c", code, *fuse], capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("loaded"))
    found = {name.split(".")[0] for name in line.split()}
    assert "numba" in found
    assert not found & {"torch", "xarray", "dask", "distributed", "scipy", "geopandas", "boto3", "pydantic"}
