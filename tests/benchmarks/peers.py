"""Time whole-process pansharpening to a COG: the peers and geofuse in turn on the same scene and the same codec.

Compare CPU seconds, as ratios of medians of one run: machines are noisy, and wall time most of all.

    python tests/benchmarks/make_scene.py /tmp/s4 4096
    python tests/benchmarks/peers.py /tmp/s4 --runs 5

Peers: gdal_pansharpen.py and gdal_translate of the system (Debian: gdal-bin, python3-gdal); with --python312 a Python
that has rasterio >= 1.5, whose GDAL is 3.12. What is not there is left out and said. All write 512-px blocks, pixel
interleave, predictor 2, overviews; `..._cache256` has GDAL's block cache at 256 MB, for a fair look at memory.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import rasterio

COG = "-co PREDICTOR=2 -co BIGTIFF=IF_SAFER -co NUM_THREADS=ALL_CPUS"
LEAN = ["--no-calibrate", "--back-projections", "0"]
COPY = """
import sys, rasterio, rasterio.shutil
source, out, codec, level = sys.argv[1:]
with rasterio.Env(GDAL_NUM_THREADS="ALL_CPUS"):
    rasterio.shutil.copy(source, out, driver="COG", compress=codec, level=level, predictor=2,
                         num_threads="ALL_CPUS", bigtiff="IF_SAFER")
"""


@dataclass(frozen=True, slots=True)
class Turn:
    """One run of one command."""

    name: str
    """Who."""
    cpu_s: float
    """User and system time of the whole process tree."""
    wall_s: float
    """Elapsed time."""
    peak_mb: float
    """Largest resident size of any process in it, 1e6 bytes."""
    output_mb: float
    """Size of the product, 1e6 bytes."""


def commands(
    scene: Path, out: Path, codec: str, level: int, *, methods: list[str], python312: str | None
) -> dict[str, list[str]]:
    """Return what is to be timed, by name."""
    pan, ms, vrt = str(scene / "pan.tif"), str(scene / "ms.tif"), str(out / "pansharpened.vrt")
    found: dict[str, list[str]] = {}
    if shutil.which("gdal_pansharpen.py"):
        subprocess.run(
            ["gdal_pansharpen.py", "-q", "-of", "VRT", "-threads", "ALL_CPUS", "-r", "cubic", pan, ms, vrt],
            check=True,
        )
        options = [*COG.split(), "-co", f"COMPRESS={codec.upper()}", "-co", f"LEVEL={level}"]
        target = str(out / "gdal.tif")
        found["gdal"] = ["gdal_translate", "-q", "-of", "COG", *options, vrt, target]
        if python312:
            found["gdal312"] = [python312, "-c", COPY, vrt, target, codec, str(level)]
        best = "gdal312" if python312 else "gdal"
        found[f"{best}_cache256"] = ["env", "GDAL_CACHEMAX=256", *found[best]]
    else:
        print("no gdal_pansharpen.py: only geofuse is timed", file=sys.stderr)
    for method in methods:
        lean = LEAN if method != "auto" else []
        found[f"geofuse_{method}"] = [
            sys.executable, "-m", "geofuse.cli", "fuse", "--pan", pan, "--ms", ms, "--method", method, *lean,
            "--compress", codec, "--level", str(level), "--interleave", "pixel", "--overwrite", "--no-progress",
            "--out", str(out / "geofuse.tif"),
        ]  # fmt: skip
    return found


def timed(name: str, command: list[str], out: Path) -> Turn:
    """Run one command and measure it and its children."""
    for product in ("gdal.tif", "geofuse.tif", "geofuse.json"):
        (out / product).unlink(missing_ok=True)
    begun = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - begun
    if status:
        raise SystemExit(f"{name} failed: {' '.join(command)}")
    made = next(path for path in (out / "gdal.tif", out / "geofuse.tif") if path.exists())
    cpu = usage.ru_utime + usage.ru_stime
    return Turn(name, cpu, wall, usage.ru_maxrss * 1024 / 1e6, made.stat().st_size / 1e6)


def machine() -> str:
    """Describe the machine in a line."""
    names = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    limit = resource.getpagesize() * os.sysconf("SC_PHYS_PAGES") / 2**30
    name = names[0] if names else platform.processor()
    return f"{len(names)} x {name}, {limit:.0f} GiB, Python {platform.python_version()}"


def about(scene: Path) -> dict[str, float]:
    """Return the size of a scene."""
    with rasterio.open(scene / "pan.tif") as pan, rasterio.open(scene / "ms.tif") as ms:
        return {"megapixels": pan.width * pan.height / 1e6, "bands": ms.count}


def table(turns: list[Turn], against: str | None) -> str:
    """Lay medians out as Markdown, with ratios of CPU seconds against one peer."""
    head = "| command | CPU s | wall s | peak MB | output MB |" + (
        f" CPU against {against} |" if against else ""
    )
    lines = [head, "|---" * (head.count("|") - 1) + "|"]
    medians = {}
    for name in dict.fromkeys(turn.name for turn in turns):
        mine = [turn for turn in turns if turn.name == name]
        medians[name] = [
            statistics.median(getattr(turn, key) for turn in mine)
            for key in ("cpu_s", "wall_s", "peak_mb", "output_mb")
        ]
    for name, (cpu, wall, peak, size) in medians.items():
        ratio = f" {cpu / medians[against][0]:.2f} |" if against else ""
        lines.append(f"| {name} | {cpu:.2f} | {wall:.2f} | {peak:.0f} | {size:.1f} |{ratio}")
    return "\n".join(lines)


def main() -> None:
    """Time everybody in turn and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scene", type=Path, help="folder with pan.tif and ms.tif")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--codec", default="zstd")
    parser.add_argument("--level", type=int, default=9)
    parser.add_argument(
        "--methods", default="brovey", help="comma-separated; auto keeps calibration and back-projection"
    )
    parser.add_argument("--python312", help="a Python with rasterio >= 1.5")
    parser.add_argument(
        "--only", default=".", help="regular expression: time these only, such as 'gdal$|geofuse'"
    )
    parser.add_argument("--json", type=Path, help="write all turns to this file, for plot.py")
    parser.add_argument("--no-warm-up", action="store_true", help="the caches are warm already")
    given = parser.parse_args()
    out = given.scene / "out"
    out.mkdir(exist_ok=True)
    work = commands(
        given.scene,
        out,
        given.codec,
        given.level,
        methods=given.methods.split(","),
        python312=given.python312,
    )
    work = {name: command for name, command in work.items() if re.search(given.only, name)}
    if not given.no_warm_up:
        for command in work.values():
            timed("warm-up", command, out)
    turns = [timed(name, command, out) for _ in range(given.runs) for name, command in work.items()]
    print(f"{given.codec} {given.level}, medians of {given.runs} in turn; {machine()}\n")
    against = next((name for name in ("gdal312", "gdal") if name in work), None)
    print(table(turns, against))
    if given.json:
        told = {**about(given.scene), "codec": given.codec, "level": given.level, "machine": machine()}
        given.json.write_text(json.dumps({**told, "turns": [asdict(turn) for turn in turns]}, indent=1))


if __name__ == "__main__":
    main()
