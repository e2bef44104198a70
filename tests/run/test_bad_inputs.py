"""Broken, odd and hostile files through the whole pipeline: pixels or one named line, touching nothing else.

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
from geofuse.rasters.pixels import inspect
from tests.scenes.rasters import landsat_folder, mtl_collection1, tar_of

REPOSITORY = Path(__file__).parents[2]
BAD = Path(os.environ.get("GEOFUSE_BAD", REPOSITORY / "../shared/bad")).resolve()
FILES = sorted(str(path) for path in BAD.glob("*/*") if path.is_file())
SECONDS = 5.0
"""What one command may take of a free core."""
MARK = "/nowhere/the-commands-begin-here"

needs_bad = pytest.mark.skipif(not FILES, reason=f"no folder of bad rasters at {BAD}")
needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None, reason="no strace here to see what is opened"
)


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
def streams(folder: Path) -> Iterator[dict[str, str]]:
    """Catch what is printed, also by libraries in C."""
    said: dict[str, str] = {}
    with tempfile.TemporaryFile(dir=folder) as out, tempfile.TemporaryFile(dir=folder) as err:
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
    began, worked = time.monotonic(), time.process_time()
    with streams(product.parent.parent) as said:
        try:
            ended: object = main(arguments)
        except BaseException as error:
            ended = repr(error)
    seconds, worked = time.monotonic() - began, time.process_time() - worked
    left = sorted(path.name for path in product.parent.iterdir() if not path.name.startswith("."))
    return {
        "arguments": arguments,
        "status": ended,
        **said,
        "seconds": seconds,
        "worked": worked,
        "left": left,
    }


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
        found.append(attempt(["calibrate", *pair, "--json"], out))
        if found[-1]["status"] == 0:
            json.loads(found[-1]["out"], parse_constant=lambda name: 1 / 0)
        command = ["fuse", *pair, "--out", str(out), "--scheduler", "serial", "--level", "1", "--no-progress"]
        found.append(attempt(command, out))
        if found[-1]["status"] == 0:
            found.append(attempt(["verify", str(out)], out))
            json.loads(out.with_suffix(".json").read_text(), parse_constant=lambda name: 1 / 0)
    copy.unlink()
    return found


def script(
    report: Path, folder: Path, files: list[str], before: list[str]
) -> subprocess.CompletedProcess[str]:
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
        assert one["worked"] < SECONDS, one
        assert one["seconds"] < 4 * SECONDS, "this machine may be busy with other things; a hang has no end"
        if one["status"] == 0:
            assert one["err"] == "", one
            assert one["arguments"][0] in ("inspect", "calibrate") or "x.tif" in one["left"]
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


def hostile(folder: Path) -> list[str]:
    """Write rasters that point elsewhere, or have files beside them that do."""
    folder.mkdir()
    secret = write(folder.parent / "secret.tif", np.full((1, 32, 32), 66, "uint8"), north_up(2.0))
    vrt = (
        '<VRTDataset rasterXSize="32" rasterYSize="32"><SRS>EPSG:32632</SRS>'
        "<GeoTransform>500000, 2, 0, 5400000, 0, -2</GeoTransform>"
        '<VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f'<SourceFilename relativeToVRT="0">{secret}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>'
    )
    served = (
        '<GDAL_WMS><Service name="TMS"><ServerUrl>http://127.0.0.1:9/${z}</ServerUrl></Service></GDAL_WMS>'
    )
    texts = {
        "vrt.tif": vrt,
        "wms.tif": served,
        "remote-vrt.tif": vrt.replace(str(secret), "/vsicurl/http://127.0.0.1:9/a.tif"),
        "html.tif": "<!DOCTYPE html><html><script src='http://127.0.0.1:9/'></script></html>",
        "json.tif": json.dumps({"type": "gdal_streamed_alg", "command_line": f"gdal raster read {secret}"}),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    plain = write(folder / "plain.tif", np.full((1, 32, 32), 7, "uint8"), north_up(2.0))
    masked = write(folder / "masked.tif", np.full((1, 32, 32), 7, "uint8"), north_up(2.0))
    for ending in (".ovr", ".aux.xml", ".vrt"):
        Path(f"{plain}{ending}").write_text(vrt)
    Path(f"{masked}.msk").write_text(vrt)  # what it masks would be taken for data: refused, not ignored
    for ending in (".wld", ".tfw", ".tab", ".aux", ".rrd", ".xml", ".prj"):
        plain.with_suffix(ending).write_text(vrt)
    pointing = write(folder / "pointing.tif", np.full((1, 32, 32), 7, "uint8"), north_up(2.0))
    with rasterio.open(pointing, "r+") as file:
        file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=f"{plain}.vrt")
    cut = write(folder / "cut.tif", np.arange(1024, dtype="uint8").reshape(1, 32, 32), north_up(2.0))
    cut.write_bytes(cut.read_bytes()[:-100])
    return [*(str(folder / name) for name in texts), str(plain), str(masked), str(pointing), str(cut)]


@needs_strace
def test_fusing_hostile_files_opens_them_and_the_output_and_nothing_else(tmp_path: Path) -> None:
    room = tmp_path / "room"
    (room / "none").mkdir(parents=True)
    files = hostile(tmp_path / "inputs")
    nasty = (
        "nested_VRTDataset.vrt",
        "test_ers_recursive.tar",
        "python_ones.vrt",
        "truncated.jp2",
        "byte_truncated.tif",
    )
    files += [path for path in FILES if os.path.basename(path) in nasty]
    trace = tmp_path / "trace"
    calls = "open,openat,openat2,creat,rename,renameat,renameat2,unlink,mkdir,socket,connect,execve"
    done = script(
        tmp_path / "report",
        room,
        files,
        ["strace", "-f", "-s", "4096", "-o", str(trace), "-e", f"trace={calls},access,stat,newfstatat"],
    )
    assert done.returncode == 0, done.stderr
    found = reports(tmp_path / "report")
    fused = {
        os.path.basename(path): [one["status"] for one in many if one["arguments"][0] == "fuse"]
        for path, many in found.items()
    }
    assert fused.pop("plain.tif") == [0, 0]
    assert {code for codes in fused.values() for code in codes} == {2}
    text = trace.read_text(errors="replace")
    later = text[text.index(MARK) :].splitlines()
    assert not [line for line in later if re.search(r"\b(socket|connect)\(.*INET|execve\(", line)]
    touched = {
        name
        for line in later
        if not re.search(r"\b(access|stat|newfstatat)\(", line)
        for name in re.findall(r'"([^"]*)"', line)
    }
    system = ("/usr/", "/lib", "/etc/", "/proc", "/sys", "/dev", os.path.expanduser("~/.gdal/gdalrc"))
    python = (sys.prefix, sys.base_prefix, os.path.dirname(os.__file__))
    own = (str(REPOSITORY / "geofuse"), str(Path(__file__).parent), str(room), str(tmp_path / "report"))
    strange = {name for name in touched if not name.startswith((*system, *python, *own))}
    read = {
        f"{path}{ending}" for path in files for ending in (".aux.xml", ".msk")
    }  # by our own parser, as a TIFF
    strange -= read
    assert strange <= set(files)
    assert set(files) - strange <= {path for path in files if path.endswith(".tar")}


def test_a_world_file_places_pan(tmp_path: Path) -> None:
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        pan = write(tmp_path / "pan.tif", np.full((1, 64, 64), 50, "uint8"), Affine.identity())
    ms = write(tmp_path / "ms.tif", np.full((2, 16, 16), 60, "uint8"), north_up(2.0))
    (tmp_path / "pan.tfw").write_text("0.5\n0\n0\n-0.5\n500002.25\n5399997.75\n")
    out = fuse(tmp_path / "x.tif", pan, ms)
    with rasterio.open(out) as made:
        assert made.transform == Affine(0.5, 0.0, 500002.0, 0.0, -0.5, 5399998.0)
        assert made.shape == (60, 60)
    # a spoiled one is said, and then there is no place
    (tmp_path / "pan.tfw").write_text("0.5\n0\n0\n__import__('os')\n500002.25\n5399997.75\n")
    assert status(tmp_path / "y.tif", pan, ms) == 2


RPB_NUMBERS = {
    **{"errBias": "1.5", "errRand": "0.1", "lineOffset": "60", "sampOffset": "70", "latOffset": "48.75"},
    **{"longOffset": "9.0005", "heightOffset": "100", "lineScale": "60", "sampScale": "70"},
    **{"latScale": "0.0003", "longScale": "0.0005", "heightScale": "500"},
    **{"lineNumCoef": "(0, -1" + ", 0" * 18 + ")", "lineDenCoef": "(1" + ", 0" * 19 + ")"},
    **{"sampNumCoef": "(0, 1" + ", 0" * 18 + ")", "sampDenCoef": "(1" + ", 0" * 19 + ")"},
}
RPB = "\n".join(
    [
        *('satId = "WV02";', 'bandId = "P";', 'SpecId = "RPC00B";', "BEGIN_GROUP = IMAGE"),
        *(f"  {name} = {value};" for name, value in RPB_NUMBERS.items()),
        *("END_GROUP = IMAGE", "END;", ""),
    ]
)
IMD = """version = "R";
satId = "WV02";
BEGIN_GROUP = IMAGE_1
  satId = "WV02";
  firstLineTime = 2019-05-06T10:11:12.500000Z;
  cloudCover = 0.010;
  meanSunEl = 55.5;
END_GROUP = IMAGE_1
END;
"""


def test_rpcs_and_metadata_beside_the_files_are_honoured(tmp_path: Path) -> None:
    pan = write(tmp_path / "pan.tif", np.full((1, 64, 64), 50, "uint16"), north_up(0.5))
    ms = write(tmp_path / "ms.tif", np.full((4, 16, 16), 60, "uint16"), north_up(2.0))
    (tmp_path / "pan.RPB").write_text(RPB)
    (tmp_path / "ms.IMD").write_text(IMD)
    out = fuse(tmp_path / "x.tif", pan, ms, "--bands", "nir,red", "--window", "4", "8", "40", "40")
    with rasterio.open(out) as made:
        assert made.descriptions == ("nir", "red")
        assert (made.rpcs.line_off, made.rpcs.samp_off) == (56.0, 62.0)
        assert made.rpcs.err_bias == 1.5
    found = record(out)["scene"]
    assert found["sensor"] == "worldview2"
    assert found["acquired"].startswith("2019-05-06T10:11:12")
    assert found["metadata"]["sun_elevation_deg"] == 55.5


PARTS = ("B2", "B3", "B4", "B5", "B8")
OLD_ID = "LC80200392015216LGN00"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: (folder / f"{OLD_ID}_B4.TIF").unlink(), f"no {OLD_ID}_B4.TIF"),
        (lambda folder: (folder / f"{OLD_ID}_B8.TIF").unlink(), f"no {OLD_ID}_B8.TIF"),
        (lambda folder: (folder / f"{OLD_ID}_MTL.txt").unlink(), f"no {OLD_ID}_MTL.txt"),
        (lambda folder: (folder / f"{OLD_ID}_MTL.txt").write_text(""), "empty"),
        (lambda folder: (folder / f"{OLD_ID}_MTL.txt").write_text("GROUP = L1_METADATA_FILE\n"), "END"),
        (lambda folder: shutil.copy(folder / f"{OLD_ID}_B4.TIF", folder / f"{OLD_ID}_B4.tiff"), "B4 twice"),
        (lambda folder: (folder / f"{OLD_ID}_B3.TIF").write_bytes(b"II*\0"), "B3.TIF"),
        (lambda folder: shutil.copy(folder / f"{OLD_ID}_B8.TIF", folder / f"{OLD_ID}_B3.TIF"), "B3.TIF"),
    ],
    ids=["no B4", "no PAN", "no MTL", "empty MTL", "cut MTL", "B4 twice", "B3 torn", "B3 on PAN's grid"],
)
def test_scenes_that_are_not_whole_are_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Any, says: str
) -> None:
    folder = landsat_folder(tmp_path / "scene", OLD_ID, parts=PARTS, mtl=mtl_collection1(OLD_ID, PARTS))
    assert main(["fuse", str(folder), "--out", str(tmp_path / "good.tif"), "--no-progress"]) == 0
    spoil(folder)
    capsys.readouterr()
    for command in (["inspect", str(folder)], ["fuse", str(folder), "--out", str(tmp_path / "x.tif")]):
        assert main(command) == 2
        text = capsys.readouterr().err
        assert text.startswith("geofuse: error [")
        assert says in text
        assert text.count("\n") == 1
    assert not (tmp_path / "x.tif").exists()


def test_the_real_scene_in_a_tar_gives_the_same_product(landsat: Path, tmp_path: Path) -> None:
    bundle = tar_of(landsat, tmp_path / "bundle.tar")
    command = ["--window", "300", "200", "520", "530", "--no-progress", "--level", "1", "--out"]
    for scene, name in ((str(landsat), "folder.tif"), (bundle, "tar.tif")):
        assert main(["fuse", scene, *command, str(tmp_path / name)]) == 0
    for ending in (".tif", ".mask.tif", ".png"):
        assert (tmp_path / f"folder{ending}").read_bytes() == (tmp_path / f"tar{ending}").read_bytes()
    assert pixels(tmp_path / "tar.tif").any()
    folder, tar = record(tmp_path / "folder.tif"), record(tmp_path / "tar.tif")
    assert [item["sha256"] for item in folder["inputs"]] == [item["sha256"] for item in tar["inputs"]]


if __name__ == "__main__":
    with open(sys.argv[1], "w") as lines:
        room = Path(sys.argv[2])
        good = write(room / "good.tif", np.full((2, 32, 32), 7, "uint8"), north_up(2.0))
        status(
            room / "good-out.tif", fitting_pan(str(good), room / "pan.tif"), good
        )  # loads all there is to load
        os.path.exists(MARK)  # a name that strace shows
        for one in sys.argv[3:]:
            print(json.dumps({"path": one, "found": put_through(one, room)}), file=lines, flush=True)
