"""Hostile and broken inputs: each answered in seconds by pixels or one named line, nothing else opened.

Run as a script, `python test_hostile.py PATH ...`, it answers for each path with one line of JSON; the tests
run it so, for a crash or a hang must not take them along.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from readings import source_of

from geofuse.errors import FormatError, GeofuseError, PixelError
from geofuse.rasters import pixels
from geofuse.rasters.opening import sniffing
from geofuse.rasters.pixels import inspect, read_reduced, read_window

REPOSITORY = Path(__file__).parents[2]
BAD = Path(os.environ.get("GEOFUSE_BAD", REPOSITORY / "../shared/bad")).resolve()
FILES = sorted(str(path) for path in BAD.glob("*/*") if path.is_file())
SECONDS = 5.0
MARK = "/nowhere/the-answers-begin-here"

needs_bad = pytest.mark.skipif(not FILES, reason=f"no folder of bad rasters at {BAD}")
needs_strace = pytest.mark.skipif(
    subprocess.run(["sh", "-c", "command -v strace"], capture_output=True).returncode != 0,
    reason="no strace here to see what is opened",
)


def corners(path):
    """Read the first and the last 64 x 64 pixels, and all of it made small."""
    source = source_of(path)
    height, width = source.grid.height, source.grid.width
    indices = tuple(range(len(source.bands)))
    for window in ((0, 64, 0, 64), (height - 64, height, width - 64, width)):
        values, valid = read_window(source, indices, window)
        assert values.shape == (len(indices), 64, 64)
        assert np.isfinite(values).all()
        assert not values[:, ~valid].any()
    assert np.isfinite(read_reduced(path, 16)[0]).all()


def answer(path):
    """Say what came of reading a path: "fine", or the error's code and text, and in how many seconds."""
    began = time.monotonic()
    try:
        corners(path)
        code, text = "fine", ""
    except GeofuseError as error:
        code, text = error.code, str(error)
    except BaseException as error:
        code, text = "UNNAMED", repr(error)
    return {"path": path, "code": code, "text": text, "seconds": time.monotonic() - began}


def script(*paths, before=()):
    """Answer for paths in a child process, under a command such as strace."""
    command = [*before, sys.executable, __file__, *map(str, paths)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"},
    )


@pytest.fixture(scope="module")
def answers():
    done = script(*FILES)
    found = {one["path"]: one for one in map(json.loads, done.stdout.splitlines())}
    return found, done


@needs_bad
@pytest.mark.parametrize("path", FILES, ids=lambda path: os.path.relpath(path, BAD))
def test_every_bad_file_is_read_or_named_in_seconds(answers, path):
    found, done = answers
    assert path in found, f"the child died with {done.returncode}: {done.stderr[-500:]}"
    one = found[path]
    assert one["code"] in ("fine", "format", "corrupt", "pixels"), one["text"]
    assert one["seconds"] < SECONDS
    if one["code"] != "fine":
        assert one["text"].startswith(path)
        assert "\n" not in one["text"]
        assert len(one["text"]) > len(path) + 10


@needs_bad
def test_nothing_is_printed_meanwhile(answers):
    assert answers[1].stderr == ""
    assert answers[1].returncode == 0


# Files of gdal_odd that are refused; all others must be read right.
REFUSED = {
    "1bit_2bands.tif": "1-bit",
    "byte_JXL.tif": "codec JXL",
    "cfloat32.tif": "complex",
    "cielab.tif": "CIELab",
    "cint16.tif": "complex",
    "cint32_big_endian.tif": "complex",
    "complex_non_zero_real_zero_imag.tif": "complex",
    "float32_minwhite.tif": "white is zero",
    "int64.tif": "int64",
    "int64_full_range.tif": "int64",
    "miniswhite.tif": "white is zero",
    "next_literalrow.tif": "2-bit",
    "oddsize1bit.tif": "1-bit",
    "rgbsmall_cmyk.tif": "CMYK",
    "test_gcp_antimeridian_unwrap.vrt": "VRT",
    "thunder.tif": "4-bit",
    "uint16_sgilog.tif": "LogL",
    "uint64.tif": "uint64",
    "uint64_full_range.tif": "uint64",
}
# The same image in a layout that tifffile reads.
SAME_AS = {"int24.tif": "int10.tif"}
# Decoders differ in how they spread chroma.
LOSSY = {"rgbsmall_JPEG_ycbcr.tif": 16.0}
ODD = [path for path in FILES if "/gdal_odd/" in path]


@needs_bad
@pytest.mark.parametrize("path", ODD, ids=os.path.basename)
def test_odd_rasters_are_read_as_tifffile_reads_them_or_refused_by_name(path):
    name = os.path.basename(path)
    if name in REFUSED:
        with pytest.raises((FormatError, PixelError), match=REFUSED[name]):
            inspect(path)
        return
    source = source_of(path)
    height, width = source.grid.height, source.grid.width
    values, valid = read_window(source, tuple(range(len(source.bands))), (0, height, 0, width))
    pixels.close_handles()
    with tifffile.TiffFile(Path(path).with_name(SAME_AS.get(name, name))) as file:
        page = file.pages[0]
        theirs = page.asarray()
        if page.planarconfig == 2:
            theirs = theirs.reshape(page.samplesperpixel, height, width)
        else:
            theirs = np.moveaxis(theirs.reshape(height, width, page.samplesperpixel), -1, 0)
    theirs = theirs[: len(values)].astype(np.float64)
    finite = np.isfinite(theirs).all(axis=0)
    assert not valid[~finite].any()
    np.testing.assert_allclose(values[:, valid], theirs[:, valid], rtol=1e-6, atol=LOSSY.get(name, 0.0))
    if source.bands[0].nodata is None and not source.masks and not source.alpha:
        np.testing.assert_array_equal(valid, finite)
    assert not values[:, ~valid].any()


@needs_bad
def test_masks_and_votes_of_the_odd_rasters_are_what_their_makers_meant():
    def valid(name):
        source = source_of(str(BAD / "gdal_odd" / name))
        indices = tuple(range(len(source.bands)))
        return read_window(source, indices, (0, source.grid.height, 0, source.grid.width))[1]

    with tifffile.TiffFile(BAD / "gdal_odd/test_with_mask_1bit.tif") as file:
        np.testing.assert_array_equal(valid("test_with_mask_1bit.tif"), file.pages[1].asarray() != 0)
    with tifffile.TiffFile(BAD / "gdal_odd/test3_with_mask_8bit.tif") as file:
        np.testing.assert_array_equal(
            valid("test3_with_mask_8bit.tif"), (file.pages[1].asarray() != 0).all(axis=-1)
        )
    with tifffile.TiffFile(BAD / "gdal_odd/test_nodatavalues.tif") as file:
        np.testing.assert_array_equal(
            valid("test_nodatavalues.tif"), (file.pages[0].asarray() != 0).any(axis=-1)
        )


def raster(path, value=7, **options):
    profile = {"driver": "GTiff", "count": 1, "height": 64, "width": 64, "dtype": "uint8"}
    with rasterio.open(
        path, "w", **(profile | options), crs="EPSG:32633", transform=rasterio.Affine(1, 0, 5, 0, -1, 5)
    ) as file:
        file.write(np.full((1, 64, 64), value, "uint8"))
    return str(path)


@needs_bad
def test_bad_archives_are_listed_or_refused():
    for path in FILES:
        if path.endswith(".tar"):
            for name in sniffing.members(path):
                assert answer(f"tar:{path}!{name}")["code"] in ("format", "corrupt")


def opened(trace):
    """Return the paths a trace opens after the mark, and the lines that reach for a network."""
    text = trace.read_text(errors="replace")
    assert MARK in text
    later = text[text.index(MARK) :]
    paths = set(re.findall(r'open(?:at)?\([^"]*"([^"]*)"', later))
    return paths, [line for line in later.splitlines() if re.search(r"\b(socket|connect)\(.*INET", line)]


def traced(tmp_path, *paths):
    trace = tmp_path / "trace"
    tracing = ["strace", "-f", "-o", str(trace), "-s", "4096"]
    calls = "trace=openat,open,connect,socket,access,stat,newfstatat,statx"
    done = script(*paths, before=[*tracing, "-e", calls])
    assert done.returncode == 0, done.stderr
    found, network = opened(trace)
    assert network == []
    system = ("/usr/", "/lib", "/etc/", "/proc", "/sys", "/dev", os.path.expanduser("~/.gdal/gdalrc"))
    python = (sys.prefix, sys.base_prefix, os.path.dirname(os.__file__))
    own = (str(REPOSITORY / "geofuse"), __file__)
    strange = {one for one in found if not one.startswith((*system, *python, *own))}
    return strange, [json.loads(line) for line in done.stdout.splitlines()]


@needs_bad
@needs_strace
def test_reading_all_bad_files_opens_them_and_nothing_else(tmp_path):
    strange, answers = traced(tmp_path, *FILES)
    assert len(answers) == len(FILES)
    assert strange <= set(FILES)
    assert len(strange) > 200


@needs_strace
def test_nothing_beside_an_input_is_opened_nor_what_it_points_at(tmp_path):
    secret = raster(tmp_path / "secret.tif", 66)
    vrt = tmp_path / "secret.vrt"
    vrt.write_text(
        '<VRTDataset rasterXSize="64" rasterYSize="64"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f'<SourceFilename relativeToVRT="0">{secret}</SourceFilename></SimpleSource></VRTRasterBand>'
        "</VRTDataset>"
    )
    plain, jp2 = raster(tmp_path / "a.tif"), raster(tmp_path / "b.jp2", driver="JP2OpenJPEG")
    for path in (plain, jp2):
        for ending in (".ovr", ".msk", ".aux.xml", ".vrt"):
            Path(path + ending).write_text(vrt.read_text())
        for ending in (".tfw", ".j2w", ".wld", ".tab", ".IMD", ".RPB", ".aux", ".rrd", ".xml"):
            Path(path).with_suffix(ending).write_text("9\n0\n0\n-9\n0\n0\n")
        Path(path).with_name(Path(path).stem + "_RPC.TXT").write_text("LINE_OFF: 1\n")
    pointing = raster(tmp_path / "c.tif")
    with rasterio.open(pointing, "r+") as file:
        file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(vrt), MASK_OVERVIEW_FILE=str(vrt))
        file.update_tags(ns="GEOLOCATION", X_DATASET=secret, Y_DATASET=secret)
    strange, answers = traced(tmp_path, plain, jp2, pointing)
    assert strange == {plain, jp2, pointing}
    assert [one["code"] for one in answers] == ["fine", "fine", "format"]
    assert "points at another file" in answers[2]["text"]
    for path in (plain, jp2):
        facts = inspect(path)
        assert facts.grid.transform == (1.0, 0.0, 5.0, 0.0, -1.0, 5.0)
        assert (facts.rpcs, facts.internal_mask) == (None, False)
        assert np.abs(read_reduced(path, 32)[0] - 7.0).max() <= 1.0  # JPEG 2000 is lossy here


@needs_strace
@pytest.mark.parametrize("when", ["1+", "17+", "20+", "7", "17"])
def test_a_storage_fault_is_a_read_error_and_one_that_passes_is_read_over(tmp_path, when):
    """Reads 1-6 are our own walk over the header, 7-8 GDAL's; 17 and 20 are the same and a pixel's, later."""
    path = tmp_path / "a.tif"
    noise = np.random.default_rng(0).integers(0, 255, (512, 512)).astype("uint8")
    tifffile.imwrite(path, noise, tile=(64, 64), photometric="minisblack")
    calls = "read,pread64,readv,preadv"
    watched = ["-P", str(path), "-e", f"trace={calls}", "-e", f"inject={calls}:error=EIO:when={when}"]
    done = script(path, before=["strace", "-f", "-o", "/dev/null", *watched])
    found = json.loads(done.stdout)
    assert found["code"] in (["read"] if when.endswith("+") else ["read", "fine"]), found["text"]
    assert found["text"].startswith(str(path)) or found["code"] == "fine"
    if when == "7":
        assert found["code"] == "fine"


if __name__ == "__main__":
    # a path that strace shows, so that what Python itself opens before is not counted
    os.path.exists(MARK)
    for one in sys.argv[1:]:
        print(json.dumps(answer(one)), flush=True)
