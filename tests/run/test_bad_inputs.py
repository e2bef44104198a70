"""Broken, odd and hostile files through the whole pipeline: pixels or one named line, in seconds, touching nothing else.

Run as a script, `python test_bad_inputs.py OUT.json FOLDER FILE ...`, it puts every file through the commands and
writes what came of each; the tests run it so, for a crash or a hang must not take them along.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from scenery import fuse, landscape, north_up, pixels, record, status, write

from geofuse.cli import main
from geofuse.errors import GeofuseError
from geofuse.scenes.pixels import inspect

REPOSITORY = Path(__file__).parents[2]
BAD = Path(os.environ.get("GEOFUSE_BAD", REPOSITORY / "../shared/bad")).resolve()
FILES = sorted(str(path) for path in BAD.glob("*/*") if path.is_file())
SECONDS = 5.0
MARK = "/nowhere/the-commands-begin-here"

needs_bad = pytest.mark.skipif(not FILES, reason=f"no folder of bad rasters at {BAD}")
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="no strace here to see what is opened")


def fitting_pan(ms: str, path: Path) -> Path:
    """Write a PAN of half the pixel size where a raster lies, if that can be told."""
    crs, place, side = "EPSG:32632", north_up(15.0), (64, 64)
    try:
        grid = inspect(ms).grid
        place = Affine(*grid.transform) * Affine.scale(0.5)
        crs, side = grid.crs or crs, (min(2 * grid.height, 300), min(2 * grid.width, 300))
    except GeofuseError:
        pass
    noise = 1000.0 + 200.0 * landscape(np.random.default_rng(0), 1, max(side))[:, : side[0], : side[1]]
    path.unlink(missing_ok=True)
    return write(path, noise.astype("uint16"), place, crs=crs)


@contextmanager
def streams() -> Iterator[dict[str, str]]:
    """Catch what is printed, also by libraries in C."""
    said: dict[str, str] = {}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        kept = [os.dup(number) for number in (1, 2)]
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        try:
            yield said
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, was in zip((1, 2), kept, strict=True):
                os.dup2(was, number)
                os.close(was)
            for name, file in (("out", out), ("err", err)):
                file.seek(0)
                said[name] = file.read().decode("utf-8", "replace")


def attempt(arguments: list[str], product: Path) -> dict[str, Any]:
    """Run a command; say how it ended, what it printed, how long it took and what it left."""
    began = time.monotonic()
    with streams() as said:
        try:
            ended: object = main(arguments)
        except BaseException as error:
            ended = repr(error)
    seconds = time.monotonic() - began
    left = sorted(path.name for path in product.parent.iterdir() if not path.name.startswith("."))
    return {"arguments": arguments, "status": ended, **said, "seconds": seconds, "left": left}


def put_through(path: str, folder: Path) -> list[dict[str, Any]]:
    """Put one file through inspect and fuse: as a scene, as PAN and MS, as the MS of a good PAN."""
    found = [attempt(["inspect", path], folder / "none" / "x.tif")]
    (folder / "copy").mkdir(exist_ok=True)
    copy = folder / "copy" / os.path.basename(path)
    shutil.copyfile(path, copy)
    pan = fitting_pan(path, folder / "pan.tif")
    for fine, coarse in ((path, str(copy)), (str(pan), path)):
        pair = ["--pan", fine, "--ms", coarse]
        out = Path(tempfile.mkdtemp(dir=folder)) / "x.tif"
        found.append(attempt(["inspect", *pair], out))
        command = ["fuse", *pair, "--out", str(out), "--scheduler", "serial", "--level", "1", "--no-progress"]
        found.append(attempt(command, out))
        if found[-1]["status"] == 0:
            found.append(attempt(["verify", str(out)], out))
            json.loads(out.with_suffix(".json").read_text(), parse_constant=lambda name: 1 / 0)
    copy.unlink()
    return found


def script(report: Path, folder: Path, files: list[str], before: list[str]) -> subprocess.CompletedProcess[str]:
    """Run this file as a script in a process of its own, under a command such as strace."""
    return subprocess.run(
        [*before, sys.executable, __file__, str(report), str(folder), *files],
        capture_output=True,
        text=True,
        timeout=280,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"},
    )


def reports(report: Path) -> dict[str, list[dict[str, Any]]]:
    """Read what the script wrote, file by file."""
    return {line["path"]: line["found"] for line in map(json.loads, report.read_text().splitlines())}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[dict[str, Any]]], Any]:
    folder = tmp_path_factory.mktemp("bad")
    (folder / "none").mkdir()
    done = script(folder / "report", folder, FILES, [])
    return reports(folder / "report"), done


@needs_bad
@pytest.mark.parametrize("path", FILES, ids=lambda path: os.path.relpath(path, BAD))
def test_every_bad_file_is_fused_or_named_in_one_line(answers: Any, path: str) -> None:
    found, done = answers
    assert path in found, f"the child died with {done.returncode}: {done.stderr[-2000:]}"
    for one in found[path]:
        assert one["status"] in (0, 2, 3, 4), one
        assert one["seconds"] < SECONDS, one
        if one["status"] == 0:
            assert one["err"] == "", one
            assert one["arguments"][0] == "inspect" or "x.tif" in one["left"]
        else:
            assert re.fullmatch(r"geofuse: error \[[a-z]+\] [^\n]{10,}\n", one["err"]), one
            assert one["out"] == ""
            assert one["left"] == [], "a fault leaves nothing behind that could be taken for a product"


@needs_bad
def test_all_of_them_were_put_through_and_some_were_fused(answers: Any) -> None:
    found, done = answers
    assert (done.returncode, done.stderr) == (0, "")
    fused = [one for many in found.values() for one in many if one["arguments"][0] == "fuse"]
    assert len(fused) == 2 * len(FILES)
    assert sum(one["status"] == 0 for one in fused) > 20
    assert {one["err"].split("]")[0].split("[")[1] for one in fused if one["status"]} >= {"format", "corrupt"}


if __name__ == "__main__":
    with open(sys.argv[1], "w") as lines:
        room = Path(sys.argv[2])
        good = write(room / "good.tif", np.full((2, 32, 32), 7, "uint8"), north_up(2.0))
        status(room / "good-out.tif", fitting_pan(str(good), room / "pan.tif"), good)  # loads all there is to load
        os.path.exists(MARK)  # a name that strace shows
        for one in sys.argv[3:]:
            print(json.dumps({"path": one, "found": put_through(one, room)}), file=lines, flush=True)
