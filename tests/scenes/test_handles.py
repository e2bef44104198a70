"""Open files under way: change, damage, holes, threads, forks and bounds."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from readings import NORTH_UP, noise, read_all, source_of, whole, write

from geofuse.errors import ChangedError, CorruptError, FormatError, GeofuseError
from geofuse.rasters import pixels
from geofuse.rasters.opening import handles
from geofuse.rasters.pixels import inspect, read_window

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_handles():
    yield
    pixels.close_handles()


def test_a_change_under_way_is_noticed_and_the_next_read_begins_anew(tmp_path):
    first, second = noise(1, 8, 8), noise(1, 8, 8, seed=1)
    path = write(tmp_path / "a.tif", first)
    source = source_of(path)
    read_window(source, (0,), whole(source))
    write(tmp_path / "new.tif", second)
    os.replace(tmp_path / "new.tif", path)
    with pytest.raises(ChangedError, match="changed") as caught:
        read_window(source, (0,), whole(source))
    assert (caught.value.path, caught.value.exit_status) == (path, 4)
    np.testing.assert_array_equal(read_window(source, (0,), whole(source))[0], second)
    os.remove(path)
    with pytest.raises(ChangedError, match="vanished"):
        read_window(source, (0,), whole(source))


@pytest.mark.parametrize(
    ("planes", "options", "found"),
    [
        (noise(1, 9, 8), {}, "9 x 8 pixels now"),
        (noise(2, 8, 8, dtype="int32"), {}, "int32 now"),
        (noise(1, 8, 8), {}, "1 bands now"),
        (noise(2, 8, 8), {"driver": "JP2OpenJPEG"}, "JP2OpenJPEG now"),
    ],
)
def test_another_raster_in_the_place_of_the_one_that_was_planned_is_noticed(tmp_path, planes, options, found):
    path = write(tmp_path / "a.tif", noise(2, 8, 8))
    source = source_of(path)
    os.remove(path)
    write(path, planes, **options)
    with pytest.raises(ChangedError, match=found):
        read_window(source, (0, 1), whole(source))


class Layered:
    """The bytes of small rasters and their pixels; a class, for hypothesis prints its arguments."""

    def __init__(self, folder):
        tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16}
        jp2 = {"driver": "JP2OpenJPEG", "QUALITY": 100, "REVERSIBLE": "YES"}
        options = {
            "plain.tif": tiles,
            "zstd.tif": {"compress": "zstd", "blockysize": 8},
            "one.jp2": jp2,
            "tiles.jp2": jp2 | {"BLOCKXSIZE": 32, "BLOCKYSIZE": 32},
        }
        self.planes = noise(2, 64, 64, dtype="uint8")
        self.files = {
            name: Path(write(folder / name, self.planes, **more)).read_bytes()
            for name, more in options.items()
        }


@pytest.fixture(scope="module")
def layered(tmp_path_factory):
    return Layered(tmp_path_factory.mktemp("layered"))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["plain.tif", "zstd.tif", "one.jp2", "tiles.jp2"]), st.floats(0, 0.9999), st.booleans()
)
def test_a_cut_file_is_an_error_and_never_zeros(tmp_path, layered, name, share, filled):
    whole_file = layered.files[name]
    cut = int(share * len(whole_file))
    # a torn transfer may leave zeros to the end; only JPEG 2000 can tell them from pixels
    zeros = len(whole_file) - cut if filled and name.endswith("jp2") else 0
    path = tmp_path / name
    path.write_bytes(whole_file[:cut] + bytes(zeros))
    with pytest.raises((CorruptError, FormatError)):
        read_all(str(path))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["plain.tif", "zstd.tif"]),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_a_mangled_header_is_facts_or_a_named_error(tmp_path, layered, name, changes):
    data = bytearray(layered.files[name])
    for at, value in changes:
        data[at] = value
    path = tmp_path / name
    path.write_bytes(data)
    try:
        source = source_of(str(path))
        corner = (0, min(64, source.grid.height), 0, min(64, source.grid.width))
        values, _ = read_window(source, tuple(range(len(source.bands))), corner)
    except GeofuseError as error:
        line, named = str(error), error.path
    else:
        assert np.isfinite(values).all()
        return
    assert "\n" not in line
    assert named == str(path)


def test_damage_that_gdal_only_mutters_is_an_error_every_time(tmp_path, capfd):
    """libjpeg fills a cut scan with grey and warns; an application may have hushed rasterio's log."""
    ramp = np.add.outer(np.arange(64), np.arange(64)).astype("uint8")[None]
    path = Path(write(tmp_path / "a.tif", ramp, compress="jpeg"))
    data = bytearray(path.read_bytes())
    scan = data.index(b"\xff\xda")
    data[scan + 60 :] = bytes(len(data) - scan - 60)
    path.write_bytes(data)
    logging.getLogger("rasterio").setLevel(logging.CRITICAL)
    try:
        source = source_of(str(path))
        for _ in range(2):  # the second time the block would come from GDAL's cache
            with pytest.raises(CorruptError, match=r"window \(0, 64, 0, 64\)") as caught:
                read_window(source, (0,), whole(source))
            assert caught.value.path == str(path)
    finally:
        logging.getLogger("rasterio").setLevel(logging.NOTSET)
    assert capfd.readouterr() == ("", "")


def test_a_block_beyond_the_end_is_found_by_inspect(tmp_path):
    path = Path(write(tmp_path / "a.tif", noise(1, 64, 64), compress="deflate", blockysize=8))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CorruptError, match="strip 7 of 8 lies outside"):
        inspect(str(path))


def test_holes_in_a_sparse_file_are_nodata(tmp_path):
    planes = noise(1, 64, 64)
    path = str(tmp_path / "a.tif")
    profile = {"driver": "GTiff", "count": 1, "height": 64, "width": 64, "dtype": "uint16", "nodata": 0}
    holes = {"tiled": True, "blockxsize": 32, "blockysize": 32, "SPARSE_OK": "TRUE"}
    with rasterio.open(path, "w", **profile, **holes, transform=NORTH_UP) as file:
        file.write(planes[:, :32, :32], window=((0, 32), (0, 32)))
    source = source_of(path)
    values, valid = read_window(source, (0,), whole(source))
    assert valid[:32, :32].all()
    assert valid.sum() == 32 * 32
    np.testing.assert_array_equal(values[0, :32, :32], planes[0, :32, :32])


def test_large_uncompressed_strips_are_no_bomb(tmp_path):
    """libtiff cuts a lone uncompressed strip up itself: a whole scene in one strip is common and harmless."""
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(shape=(30_000, 20_000), dtype="uint8", rowsperstrip=30_000, photometric="minisblack")
    source = source_of(str(path))
    assert read_window(source, (0,), (29_990, 30_000, 0, 5))[0].shape == (1, 10, 5)
    with tifffile.TiffWriter(path) as file:
        file.write(shape=(30_000, 20_000), dtype="uint8", rowsperstrip=28_000, photometric="minisblack")
    with pytest.raises(CorruptError, match="560000000 bytes"):
        inspect(str(path))


def test_threads_read_the_same_pixels_each_through_its_own_handles(tmp_path):
    planes = noise(2, 200, 200)
    paths = [
        write(tmp_path / f"{i}.tif", planes, compress="lzw", blockysize=9, interleave=how)
        for i, how in enumerate(("band", "pixel"))
    ]
    source = source_of(*paths)
    wrong = []

    def read(seed):
        rng = np.random.default_rng(seed)
        for _ in range(25):
            row, col = rng.integers(0, 150, 2)
            values, _ = read_window(source, (0, 3), (row, row + 50, col, col + 50))
            if not np.array_equal(values, planes[:, row : row + 50, col : col + 50]):
                wrong.append((seed, row, col))
        pixels.close_handles()

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_no_more_than_a_bounded_number_of_files_stays_open(tmp_path):
    def held():
        links = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_open(fd)]
        return sum(link.startswith(str(tmp_path)) for link in links)

    paths = [write(tmp_path / f"{i}.tif", np.full((1, 2, 2), i, "uint8")) for i in range(handles.HANDLES + 6)]
    source = source_of(*paths)
    assert held() == 0
    values, _ = read_window(source, tuple(range(len(paths))), whole(source))
    assert values[:, 0, 0].tolist() == list(range(len(paths)))
    assert held() == handles.HANDLES
    pixels.close_handles()
    assert held() == 0


def _is_open(fd):
    try:
        os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return False
    return True


def test_a_forked_child_opens_its_own_handles(tmp_path):
    path = write(tmp_path / "a.tif", noise(1, 64, 64), compress="deflate", blockysize=4)
    script = f"""
        import os, sys
        import numpy as np
        from geofuse.rasters.pixels import inspect, read_window
        from geofuse.rasters.image import Band, Image, Piece
        facts = inspect({path!r})
        source = Image("raster", (Band("1", (Piece(facts.path),), "uint16"),), facts.grid, {{facts.path: facts.driver}})
        first, _ = read_window(source, (0,), (0, 8, 0, 64))
        mine = lambda: sorted(f for f in os.listdir("/proc/self/fd"))
        child = os.fork()
        rest, _ = read_window(source, (0,), (8, 64, 0, 64))
        if child == 0:
            np.save({str(tmp_path / "child.npy")!r}, np.concatenate([first, rest], axis=1))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        np.save({str(tmp_path / "parent.npy")!r}, np.concatenate([first, rest], axis=1))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, cwd=REPOSITORY, timeout=60)
    for who in ("child", "parent"):
        np.testing.assert_array_equal(np.load(tmp_path / f"{who}.npy")[0], noise(1, 64, 64)[0])
