"""Reading: padding, validity, types, layouts, members and facts; against numpy and tifffile."""

from __future__ import annotations

import hashlib
import io
import math
import os
import tarfile
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import tifffile
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import ColorInterp
from readings import NORTH_UP, UTM, noise, source_of, whole, write

from geofuse.errors import PixelError, UsageError
from geofuse.rasters import pixels
from geofuse.rasters.image import Grid
from geofuse.rasters.opening.sniffing import members
from geofuse.rasters.pixels import inspect, read_raw, read_reduced, read_window


@pytest.fixture(autouse=True)
def _no_handles():
    yield
    pixels.close_handles()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A 5 x 7 image with a hole, and what it and its validity are, padded far beyond both sizes."""
    planes = noise(2, 5, 7)
    planes[0, 1, 2], planes[1, 3, 6] = 0, 0
    path = write(tmp_path_factory.mktemp("small") / "a.tif", planes, nodata=0)
    valid = (planes != 0).all(axis=0)
    pad = 40
    values = np.pad(planes * valid, ((0, 0), (pad, pad), (pad, pad)), mode="symmetric")
    return source_of(path), values.astype(np.float32), np.pad(valid, pad, mode="symmetric"), pad


@settings(max_examples=120, deadline=None)
@given(st.integers(-40, 43), st.integers(1, 41), st.integers(-40, 45), st.integers(1, 41))
def test_any_window_is_padded_as_numpy_pads_symmetrically(small, row, rows, col, cols):
    source, values, valid, pad = small
    window = (row, min(row + rows, 45), col, min(col + cols, 47))
    found, seen = read_window(source, (0, 1), window)
    there = (slice(window[0] + pad, window[1] + pad), slice(window[2] + pad, window[3] + pad))
    np.testing.assert_array_equal(found, values[(slice(None), *there)])
    np.testing.assert_array_equal(seen, valid[there])
    assert found.flags.writeable
    assert seen.dtype == np.bool_


def test_empty_windows_and_raw_windows_beyond_the_grid_are_refused(small):
    source = small[0]
    with pytest.raises(UsageError, match="empty window"):
        read_window(source, (0,), (3, 3, 0, 4))
    with pytest.raises(UsageError, match="beyond the grid"):
        read_raw(source, 0, (-1, 3, 0, 4))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
def test_values_are_exact_in_the_type_that_holds_them(tmp_path, dtype):
    limits = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else np.finfo(dtype)
    low, high = (limits.min, limits.max) if np.dtype(dtype).kind != "f" else (-9e29, 9e29)  # beyond is fill
    planes = np.array([[[low, high, 0, 3]]], dtype)
    source = source_of(write(tmp_path / "a.tif", planes))
    values, valid = read_window(source, (0,), whole(source))
    assert values.dtype == ("float64" if dtype in ("int32", "uint32", "float64") else "float32")
    np.testing.assert_array_equal(values.astype(np.float64), planes.astype(np.float64))
    assert valid.all()
    raw = read_raw(source, 0, (0, 1, 1, 4))
    assert raw.dtype == dtype
    np.testing.assert_array_equal(raw, planes[0, :, 1:])


def test_one_wide_band_makes_all_of_the_read_wide_and_only_then(tmp_path):
    narrow, wide = np.full((1, 2, 2), 7, "uint8"), np.full((1, 2, 2), 4_000_000_001, "uint32")
    source = source_of(write(tmp_path / "n.tif", narrow), write(tmp_path / "w.tif", wide))
    both, _ = read_window(source, (1, 0), whole(source))
    assert both.dtype == np.float64
    assert both[:, 0, 0].tolist() == [4_000_000_001.0, 7.0]
    assert read_window(source, (0,), whole(source))[0].dtype == np.float32


NODATA_TABLE = [
    ("uint8", 0.0, [0, 1, 255], [False, True, True]),
    ("uint8", 255.0, [0, 1, 255], [True, True, False]),
    ("uint8", 256.0, [0, 1, 255], [True, True, True]),  # outside the type
    ("uint8", -1.0, [0, 1, 255], [True, True, True]),  # would wrap to 255
    ("uint8", 0.5, [0, 1, 255], [True, True, True]),  # no whole number
    ("uint8", math.nan, [0, 1, 255], [True, True, True]),
    ("uint8", math.inf, [0, 1, 255], [True, True, True]),
    ("uint8", None, [0, 1, 255], [True, True, True]),
    ("int16", -32768.0, [-32768, 0, 1], [False, True, True]),
    ("int32", 2147483647.0, [2147483647, 2147483646, 0], [False, True, True]),
    ("uint32", 4294967295.0, [4294967295, 0, 1], [False, True, True]),
    ("float32", 0.1, [np.float32(0.1), 0.1000001, 1.0], [False, True, True]),  # after the cast
    ("float32", 1e39, [3.4e38, 0.0, 1.0], [False, True, True]),  # no measurement: somebody's fill
    ("float32", -9999.0, [-9999.0, np.nan, np.inf], [False, False, False]),
    ("float32", math.nan, [np.nan, 0.0, 1.0], [False, True, True]),
    ("float32", None, [-np.inf, np.nan, 1.0], [False, False, True]),
    ("float64", 0.1, [np.float64(np.float32(0.1)), 0.1, 1.0], [False, False, True]),  # rounded once
    ("float64", 0.0, [-0.0, 0.0, 5e-324], [False, False, True]),
]


@pytest.mark.parametrize(("dtype", "nodata", "row", "expected"), NODATA_TABLE)
def test_nodata_is_compared_up_to_the_rounding_of_its_type(tmp_path, dtype, nodata, row, expected):
    path = write(tmp_path / "a.tif", np.array([[row]], dtype))
    source = source_of(path, nodata=[nodata])
    values, valid = read_window(source, (0,), whole(source))
    assert valid[0].tolist() == expected
    assert np.isfinite(values).all()
    assert (values[0, 0, ~valid[0]] == 0).all()
    np.testing.assert_array_equal(values[0, 0, valid[0]], np.array(row, dtype)[valid[0]])


def test_each_band_has_its_own_nodata_and_all_chosen_bands_must_be_valid(tmp_path):
    planes = np.array([[[1, 2, 3, 4]], [[4, 3, 2, 1]]], "int16")
    source = source_of(write(tmp_path / "a.tif", planes), nodata=[1.0, 3.0])
    values, valid = read_window(source, (0, 1), whole(source))
    assert valid[0].tolist() == [False, False, True, True]
    assert values[:, 0].tolist() == [[0, 0, 3, 4], [0, 0, 2, 1]]
    assert read_window(source, (0,), whole(source))[1][0].tolist() == [False, True, True, True]


@pytest.mark.parametrize("kind", ["alpha", "mask", "votes"])
def test_what_masks_a_file_masks_every_band_of_it(tmp_path, kind):
    planes = noise(3, 9, 11, dtype="uint8")
    hidden = np.zeros((9, 11), np.bool_)
    hidden[2:5, 3:7] = True
    path = str(tmp_path / "a.tif")
    if kind == "alpha":
        alpha = np.where(hidden, 0, 7).astype("uint8")[None]  # any opacity is opaque enough
        write(path, np.concatenate([planes, alpha]), photometric="RGB", ALPHA="YES")
    elif kind == "mask":
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            write(path, planes)
            with rasterio.open(path, "r+") as file:
                file.write_mask(~hidden)
    else:
        planes[:, hidden] = 0
        planes[0, 0, 0] = 0  # a zero in one band only does not count
        write(path, planes)
        with rasterio.open(path, "r+") as file:
            file.update_tags(NODATA_VALUES="0 0 0")
    facts = inspect(path)
    assert (facts.alpha, facts.internal_mask) == (4 if kind == "alpha" else None, kind != "alpha")
    source = source_of(path)
    assert len(source.bands) == 3
    for indices in ((0, 1, 2), (1,)):
        values, valid = read_window(source, indices, whole(source))
        np.testing.assert_array_equal(valid, ~hidden)
        np.testing.assert_array_equal(values, planes[list(indices)] * ~hidden)


def test_a_mask_in_one_file_holds_for_bands_in_another(tmp_path):
    planes = noise(1, 4, 4, dtype="uint8")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        masked = write(tmp_path / "m.tif", planes)
        with rasterio.open(masked, "r+") as file:
            file.write_mask(np.eye(4, dtype=np.bool_))
    source = source_of(write(tmp_path / "a.tif", planes), masked)
    assert read_window(source, (0,), whole(source))[1].tolist() == np.eye(4, dtype=np.bool_).tolist()


LAYOUTS = {
    "striped": {"blockysize": 3},
    "tiled": {"tiled": True, "blockxsize": 16, "blockysize": 32},
    "band": {"interleave": "band", "compress": "deflate", "predictor": 2},
    "pixel": {"interleave": "pixel", "compress": "lzw", "tiled": True, "blockxsize": 32, "blockysize": 16},
    "zstd": {"compress": "zstd", "tiled": True, "blockxsize": 16, "blockysize": 16},
    "bigtiff": {"BIGTIFF": "YES"},
    "big-endian": {"ENDIANNESS": "BIG"},
    "big-endian bigtiff": {"ENDIANNESS": "BIG", "BIGTIFF": "YES", "compress": "deflate"},
    "12 bits": {"NBITS": 12},
    "jp2": {"driver": "JP2OpenJPEG", "QUALITY": 100, "REVERSIBLE": "YES"},
    "jp2 tiles": {
        "driver": "JP2OpenJPEG",
        "QUALITY": 100,
        "REVERSIBLE": "YES",
        "BLOCKXSIZE": 32,
        "BLOCKYSIZE": 32,
    },
    "codestream": {"driver": "JP2OpenJPEG", "QUALITY": 100, "REVERSIBLE": "YES", "CODEC": "J2K"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("member", [False, True], ids=["file", "member"])
def test_every_layout_reads_the_same_also_inside_a_tar(tmp_path, layout, member):
    planes = noise(3, 70, 50, high=4096)
    name = "a.j2k" if layout == "codestream" else "a.jp2" if "jp2" in layout else "a.tif"
    path = write(tmp_path / name, planes, **LAYOUTS[layout])
    wanted = "JP2OpenJPEG" if "driver" in LAYOUTS[layout] else "GTiff"
    if member:
        bundle = tmp_path / "b.tar"
        with tarfile.open(bundle, "w") as tar:
            tar.addfile(tarfile.TarInfo("empty"), io.BytesIO())
            tar.add(path, "deep/er/" + name)
        Path(path).unlink()
        path = f"tar:{bundle}!deep/er/{name}"
    facts = inspect(path)
    assert (facts.driver, facts.dtypes, facts.path) == (wanted, ("uint16",) * 3, path)
    source = source_of(path)
    np.testing.assert_array_equal(read_window(source, (0, 1, 2), whole(source))[0], planes)
    np.testing.assert_array_equal(read_window(source, (2, 0), (60, 70, 3, 9))[0], planes[[2, 0], 60:, 3:9])


def test_a_member_has_the_identity_of_its_bytes(tmp_path):
    path = write(tmp_path / "a.tif", noise(1, 300, 300))
    with tarfile.open(tmp_path / "b.tar", "w") as tar:
        tar.add(path, "x.tif")
    data = Path(path).read_bytes()
    name = f"tar:{tmp_path}/b.tar!x.tif"
    assert members(f"{tmp_path}/b.tar") == ("x.tif",)
    real, offset, size = pixels.locate(name)
    assert Path(real).read_bytes()[offset:][:size] == data
    assert pixels.locate(path) == (os.path.realpath(path), 0, None)
    for one in (path, name):
        assert pixels.input_sha256(one) == hashlib.sha256(data).hexdigest()
        found = pixels.identity(one)
        assert found["header"] == hashlib.sha256(data[:65536]).hexdigest()
        assert (found["path"], found["size"]) == (one, len(data))
    assert pixels.identity(name)["mtime_ns"] == os.stat(tmp_path / "b.tar").st_mtime_ns


def test_facts_are_what_was_written(tmp_path):
    path = tmp_path / "a.tif"
    write(path, noise(2, 33, 47), nodata=9, tiled=True, blockxsize=16, blockysize=32)
    with rasterio.open(path, "r+") as file:
        file.descriptions = ("red", None)
        file.scales, file.offsets = (0.5, 1.0), (-2.0, 0.0)
        file.colorinterp = (ColorInterp.red, ColorInterp.undefined)
        file.update_tags(TIFFTAG_SOFTWARE="me", AREA_OR_POINT="Point")
    facts = inspect(str(path))
    assert facts.grid == Grid(facts.grid.crs, tuple(NORTH_UP)[:6], 33, 47)
    assert pyproj.CRS(facts.grid.crs).to_epsg() == 32633
    assert facts.has_transform
    assert (facts.gcps, facts.rpcs, facts.alpha, facts.internal_mask) == (0, None, None, False)
    assert facts.nodata == (9.0, 9.0)
    assert facts.descriptions == ("red", None)
    assert facts.scales == (0.5, 1.0)
    assert facts.offsets == (-2.0, 0.0)
    assert facts.colors == ("red", "undefined")
    assert facts.block == (32, 16)
    assert facts.point
    assert facts.tags["TIFFTAG_SOFTWARE"] == "me"


@pytest.mark.filterwarnings("ignore:The given matrix is equal to Affine.identity")
def test_missing_georeferencing_is_a_fact_and_no_warning(tmp_path):
    path = write(tmp_path / "a.tif", noise(1, 3, 3), crs=None, transform=Affine.identity())
    facts = inspect(path)
    assert facts.grid == Grid("", (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), 3, 3)
    assert not facts.has_transform
    gcps = [rasterio.control.GroundControlPoint(r, c, 3.0 * c, -r) for r, c in ((0, 0), (0, 3), (3, 0))]
    with rasterio.open(path, "w", **_bare(gcps=gcps, crs=UTM)) as file:
        file.write(noise(1, 3, 3))
    assert inspect(path).gcps == 3
    ones = [1.0] * 20
    rpcs = rasterio.rpc.RPC(1, 2, 3, 4, ones, ones, 7, 8, 9, 10, ones, ones, 11, 12)
    with rasterio.open(path, "w", **_bare(rpcs=rpcs)) as file:
        file.write(noise(1, 3, 3))
    found = inspect(path)
    assert float(found.rpcs["LINE_OFF"]) == 7.0
    assert not found.has_transform


def _bare(**options):
    return {"driver": "GTiff", "count": 1, "height": 3, "width": 3, "dtype": "uint16", **options}


@pytest.mark.parametrize(
    ("dtype", "options", "found"),
    [
        ("int8", {}, "int8"),
        ("int64", {}, "int64"),
        ("uint64", {}, "uint64"),
        ("complex64", {}, "complex"),
        ("uint8", {"NBITS": 1}, "1-bit"),
        ("uint8", {"NBITS": 7}, "7-bit"),
        ("uint8", {"photometric": "MINISWHITE"}, "white is zero"),
        ("uint8", {"photometric": "CMYK", "count": 4}, "CMYK"),
        ("uint8", {"photometric": "CIELAB", "count": 3}, "CIELab"),
        ("uint8", {"photometric": "PALETTE"}, "palette"),
    ],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_pixels_that_cannot_be_fused_are_refused_by_name(tmp_path, dtype, options, found):
    path = tmp_path / "a.tif"
    planes = np.ones((options.get("count", 1), 16, 16), dtype)
    with rasterio.open(path, "w", **(_bare(height=16, width=16, dtype=dtype) | options)) as file:
        if found == "palette":
            file.write_colormap(1, {1: (1, 2, 3, 255)})
        file.write(planes)
    with pytest.raises(PixelError, match=found):
        inspect(str(path))


def test_ycbcr_without_jpeg_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((16, 16, 3), "uint8"), photometric="ycbcr", subsampling=(1, 1))
    with pytest.raises(PixelError, match="YCbCr without JPEG"):
        inspect(str(path))


def test_jpeg_in_ycbcr_is_read_as_red_green_blue(tmp_path):
    planes = np.stack([np.full((32, 32), v, "uint8") for v in (200, 100, 50)])
    path = write(tmp_path / "a.tif", planes, compress="jpeg", photometric="ycbcr", interleave="pixel")
    source = source_of(path)
    assert inspect(path).colors == ("red", "green", "blue")
    np.testing.assert_allclose(read_window(source, (0, 1, 2), whole(source))[0], planes, atol=2)


def test_a_reduced_image_averages_what_is_valid(tmp_path):
    planes = noise(2, 60, 90)
    planes[:, :30, :30] = 0
    path = write(tmp_path / "a.tif", planes, nodata=0)
    values, valid = read_reduced(path, 30)
    assert values.shape == (2, 20, 30)
    np.testing.assert_array_equal(valid, ~np.pad(np.ones((10, 10), np.bool_), ((0, 10), (0, 20))))
    blocks = planes.reshape(2, 20, 3, 30, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(values[:, valid], blocks[:, valid], atol=0.51)
    assert (values[:, ~valid] == 0).all()
    np.testing.assert_array_equal(read_reduced(path, 500)[0], planes)
