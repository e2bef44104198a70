"""Memory does not grow with the scene: what the plan promises is what the process takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from geofuse.run.simulating import Pair
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


def test_a_small_run_stays_within_its_plan(pair: Pair, tmp_path: Path) -> None:
    options = ("--pan", str(pair.pan), "--ms", str(pair.ms), "--workers", "2", "--json")
    done = subprocess.run(
        [sys.executable, "-m", "geofuse.cli", "plan", *options], capture_output=True, text=True, check=True
    )
    assert peak_bytes(pair.pan, pair.ms, tmp_path / "x.tif") < json.loads(done.stdout)["bytes_in_memory"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_quarter_gigapixel_takes_less_than_a_gibibyte(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(MAKE_SCENE), str(tmp_path), "16384"], check=True)
    for method in ("mtf-glp-hpm-r", "gsa"):
        out = tmp_path / f"{method}.tif"
        peak = peak_bytes(tmp_path / "pan.tif", tmp_path / "ms.tif", out, "--method", method)
        print(f"{method}: peak {peak / 2**20:.0f} MiB")
        assert peak < 2**30
        out.unlink()
