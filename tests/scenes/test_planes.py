"""Warps onto another grid, against pyproj and GDAL's warper."""

from __future__ import annotations

import math

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.warp import Resampling, reproject
from readings import UTM, noise, source_of, whole, write

from geofuse.errors import GeorefError, UsageError
from geofuse.rasters import pixels
from geofuse.rasters.image import Grid
from geofuse.rasters.pixels import read_raw, read_window
from geofuse.rasters.validity import good

ZONE_32 = pyproj.CRS("EPSG:32632").to_wkt()
DEGREES = pyproj.CRS("EPSG:4326").to_wkt()


@pytest.fixture(autouse=True)
def _no_handles():
    yield
    pixels.close_handles()


COS, SIN = 100.0 * math.cos(math.radians(10.0)), 100.0 * math.sin(math.radians(10.0))
TURN = Affine(COS, -SIN, 500_000.0, -SIN, -COS, 5_700_000.0)


def ramp_source(tmp_path, transform, crs, *, target, size=(90, 110)):
    """A float ramp in the file's own columns and rows, with a hole, to be read on another grid."""
    row, col = np.mgrid[: size[0], : size[1]]
    planes = np.stack([col * 3.0 + row, 1000.0 - row * 2.0]).astype("float32")
    planes[0, 40:44, 50:53] = -1.0
    path = write(tmp_path / "a.tif", planes, nodata=-1.0, crs=crs, transform=transform)
    return source_of(path, warped=True, grid=target)


def mapped(affine, x, y):
    a, b, c, d, e, f = affine
    return a * x + b * y + c, d * x + e * y + f


def places(target, transform, crs):
    """Where the target's pixel centres lie in the file, by pyproj and affine alone."""
    row, col = np.mgrid[: target.height, : target.width] + 0.5
    x, y = mapped(target.transform, col, row)
    x, y = pyproj.Transformer.from_crs(target.crs, crs, always_xy=True).transform(x, y)
    col, row = mapped(tuple(~transform)[:6], np.asarray(x), np.asarray(y))
    return row - 0.5, col - 0.5


TARGETS = {
    "turned": (TURN, UTM, Grid(UTM, (100.0, 0.0, 497_000.0, 0.0, -100.0, 5_703_000.0), 150, 160)),
    "zone": (
        Affine(100.0, 0.0, 500_000.0, 0.0, -100.0, 5_700_000.0),
        UTM,
        Grid(ZONE_32, (100.0, 0.0, 912_000.0, 0.0, -100.0, 5_716_000.0), 140, 150),
    ),
    "degrees": (
        Affine(100.0, 0.0, 500_000.0, 0.0, -100.0, 5_700_000.0),
        UTM,
        Grid(DEGREES, (0.0015, 0.0, 14.99, 0.0, -0.0009, 51.46), 110, 120),
    ),
}


@pytest.mark.parametrize("name", TARGETS)
def test_a_warped_ramp_is_the_ramp_and_valid_exactly_where_the_pixel_under_it_is(tmp_path, name):
    transform, crs, target = TARGETS[name]
    source = ramp_source(tmp_path, transform, crs, target=target)
    values, valid = read_window(source, (0, 1), whole(source))
    row, col = places(target, transform, crs)
    near_row, near_col = np.floor(row + 0.5).astype(int), np.floor(col + 0.5).astype(int)
    inside = (near_row >= 0) & (near_row < 90) & (near_col >= 0) & (near_col < 110)
    hole = (near_row >= 40) & (near_row < 44) & (near_col >= 50) & (near_col < 53)
    doubtful = (np.abs(row + 0.5 - np.rint(row + 0.5)) < 1e-5) | (
        np.abs(col + 0.5 - np.rint(col + 0.5)) < 1e-5
    )
    assert 1000 < inside.sum() < inside.size  # the target reaches beyond the file
    assert (inside & hole).any()
    np.testing.assert_array_equal(valid[~doubtful], (inside & ~hole)[~doubtful])
    assert (values[:, ~valid] == 0).all()
    # 2 pixels off the hole and the border, where all 16 pixels are there: exact for a linear ramp
    core = (row > 1) & (row < 88) & (col > 1) & (col < 108)
    far = core & ~((row > 37) & (row < 46) & (col > 47) & (col < 55))
    np.testing.assert_allclose(values[0, far], (3.0 * col + row)[far], atol=1e-2, rtol=0)
    np.testing.assert_allclose(values[1, far], (1000.0 - 2.0 * row)[far], atol=1e-2, rtol=0)
    # elsewhere within half a pixel's slope: nodata (-1) never bleeds in
    np.testing.assert_allclose(values[0, valid], (3.0 * col + row)[valid], atol=2.1)


def test_a_warp_is_the_same_in_every_window_and_beyond_the_grid(tmp_path):
    transform, crs, _ = TARGETS["zone"]
    target = Grid(ZONE_32, (50.0, 0.0, 912_500.0, 0.0, -50.0, 5_716_500.0), 300, 310)
    source = ramp_source(tmp_path, transform, crs, target=target)
    values, valid = read_window(source, (0, 1), whole(source))
    assert valid.any()
    assert not valid.all()
    padded = np.pad(values, ((0, 0), (20, 20), (20, 20)), mode="symmetric")
    for window in ((0, 37, 0, 41), (250, 300, 255, 258), (-20, 5, 300, 330)):
        part, seen = read_window(source, (0, 1), window)
        rows, cols = slice(window[0] + 20, window[1] + 20), slice(window[2] + 20, window[3] + 20)
        np.testing.assert_array_equal(part, padded[:, rows, cols])
        np.testing.assert_array_equal(seen, np.pad(valid, 20, mode="symmetric")[rows, cols])


def test_a_warp_is_the_cubic_of_gdals_warper(tmp_path):
    planes = noise(1, 60, 60, dtype="float32")
    path = write(tmp_path / "a.tif", planes, transform=TURN)
    target = Grid(UTM, (100.0, 0.0, 499_500.0, 0.0, -100.0, 5_700_900.0), 70, 70)
    values, valid = read_window(source_of(path, warped=True, grid=target), (0,), (0, 70, 0, 70))
    theirs = np.full((1, 70, 70), np.nan, "float32")
    reproject(
        planes,
        theirs,
        src_transform=TURN,
        src_crs=UTM,
        dst_transform=Affine(*target.transform),
        dst_crs=UTM,
        src_nodata=np.nan,
        dst_nodata=np.nan,
        resampling=Resampling.cubic,
    )
    row, col = places(target, TURN, UTM)
    core = (row > 1) & (row < 58) & (col > 1) & (col < 58)
    assert core.sum() > 2000
    assert valid[core].all()
    np.testing.assert_allclose(values[0, core], theirs[0, core], atol=0.02)


def test_masks_hold_through_a_warp_and_a_far_target_is_all_invalid(tmp_path):
    planes = noise(1, 40, 40, dtype="uint8")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = write(tmp_path / "a.tif", planes, transform=TURN)
        with rasterio.open(path, "r+") as file:
            file.write_mask(np.add.outer(np.arange(40), np.arange(40)) % 7 != 0)
    near = Grid(UTM, (100.0, 0.0, 500_000.0, 0.0, -100.0, 5_700_000.0), 45, 45)
    _, valid = read_window(source_of(path, warped=True, grid=near), (0,), (0, 45, 0, 45))
    row, col = places(near, TURN, UTM)
    under = np.floor(row + 0.5).astype(int), np.floor(col + 0.5).astype(int)
    inside = (under[0] >= 0) & (under[0] < 40) & (under[1] >= 0) & (under[1] < 40)
    np.testing.assert_array_equal(valid, inside & ((under[0] + under[1]) % 7 != 0))
    for far in (
        Grid(UTM, (100.0, 0.0, 9_000_000.0, 0.0, -100.0, 0.0), 30, 30),
        Grid(DEGREES, (0.1, 0.0, 100.0, 0.0, -0.1, 95.0), 30, 30),  # no such latitude
    ):
        values, valid = read_window(source_of(path, warped=True, grid=far), (0,), (0, 30, 0, 30))
        assert not valid.any()
        assert not values.any()
    with pytest.raises(UsageError, match="warped"):
        read_raw(source_of(path, warped=True, grid=near), 0, (0, 1, 0, 1))


def test_a_warp_without_a_system_or_from_a_far_finer_file_is_refused(tmp_path):
    path = write(tmp_path / "a.tif", noise(1, 3000, 3000, dtype="uint8"), transform=TURN)
    for crs, step, found in (
        ("", 100.0, "without"),
        ("nonsense", 100.0, "nonsense"),
        (UTM, 2000.0, "4 to 1"),
    ):
        grid = Grid(crs, (step, 0.0, 500_000.0, 0.0, -step, 5_700_000.0), 300, 300)
        with pytest.raises(GeorefError, match=found):
            read_window(source_of(path, warped=True, grid=grid), (0,), (0, 9, 0, 9))


@given(st.floats(allow_nan=True, allow_infinity=True), st.integers(0, 255))
def test_a_byte_is_nodata_only_where_the_number_is_that_byte(nodata, value):
    assert bool(good(np.array([value], np.uint8), nodata)[0]) == (nodata != value)
