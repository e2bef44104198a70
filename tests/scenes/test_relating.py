from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Transformer
from rasterio.control import GroundControlPoint

from geofuse.errors import GeorefError
from geofuse.geometry import AxisMap, axis_from_grids
from geofuse.rasters.image import Band, Grid, Image, Piece
from geofuse.rasters.pixels import read_window
from geofuse.scenes import projecting
from geofuse.scenes.opening import open_pair
from geofuse.scenes.relating import relate
from geofuse.scenes.scene import Scene
from tests.scenes.rasters import UTM32, north_up, pair, write
from tests.scenes.test_sidecars import rpb_text

X, Y = 500000.0, 5400000.0
BAD = Path(os.environ.get("GEOFUSE_BAD", Path(__file__).resolve().parents[2].parent / "shared" / "bad"))


def opened(folder, **more):
    fine, coarse = pair(folder, **more)
    return open_pair(fine, [coarse])


def turned(x, y, step, degrees):
    """Return a north-up grid turned counter-clockwise around its corner."""
    cos, sin = step * math.cos(math.radians(degrees)), step * math.sin(math.radians(degrees))
    return Affine(cos, sin, x, sin, -cos, y)


def placed(transform, cols, rows):
    a, b, c, d, e, f = tuple(transform)[:6]
    return a * cols + b * rows + c, d * cols + e * rows + f


def unplaced(transform, x, y):
    """Return column and row, at pixel corners."""
    a, b, c, d, e, f = tuple(transform)[:6]
    return tuple(np.linalg.solve([[a, b], [d, e]], [x - c, y - f]))


def coarse_of_fine(relation, row, col):
    """Return where the axis maps put the centre of a PAN pixel on the MS."""
    return (
        relation.axis_y.scale * row + relation.axis_y.offset,
        relation.axis_x.scale * col + relation.axis_x.offset,
    )


def check_axes(relation):
    """Check the axis maps against the two transforms, at the PAN's corners and inside."""
    fine, coarse = relation.guide.grid.transform, relation.target.grid.transform
    height, width = relation.guide.grid.height, relation.guide.grid.width
    for row, col in (
        (0, 0),
        (0, width - 1),
        (height - 1, 0),
        (height - 1, width - 1),
        (height // 2, width // 3),
    ):
        wanted_col, wanted_row = unplaced(coarse, *placed(fine, col + 0.5, row + 0.5))
        assert coarse_of_fine(relation, row, col) == pytest.approx(
            (wanted_row - 0.5, wanted_col - 0.5), abs=1e-5
        )


def test_half_a_pixel_as_landsat(tmp_path):
    relation = relate(
        opened(tmp_path, pan=north_up(X - 7.5, Y + 7.5, 15.0), ms=north_up(X, Y, 30.0), pan_shape=(19, 23))
    )
    assert relation.axis_y == relation.axis_x == AxisMap(0.5, -0.5)
    # the centre of PAN pixel 0 lies on the MS's outer edge; of 19 rows all, of 23 columns all are covered
    assert (relation.rows, relation.cols, relation.notes) == ((0, 19), (0, 23), ())
    check_axes(relation)


@pytest.mark.parametrize(
    ("dx", "dy", "rows", "cols"),
    [
        (0.0, 0.0, (0, 40), (0, 48)),
        (1.0, 0.0, (0, 40), (2, 48)),  # the MS begins two PAN pixels further right
        (-1.0, 0.0, (0, 40), (0, 46)),
        (0.25, 0.0, (0, 40), (0, 48)),  # half a PAN pixel: a centre on the border counts
        (0.26, 0.0, (0, 40), (1, 48)),
        (0.0, -3.0, (6, 40), (0, 48)),
        (20.0, -16.0, (32, 40), (40, 48)),
    ],
)
def test_golden_windows_of_a_moved_ms(tmp_path, dx, dy, rows, cols):
    relation = relate(opened(tmp_path, ms=north_up(X + dx, Y + dy, 2.0)))
    assert (relation.rows, relation.cols) == (rows, cols)
    share = (rows[1] - rows[0]) * (cols[1] - cols[0]) / (40 * 48)
    wanted = () if share == 1.0 else (f"fusing the intersection: {100 * share:.4g} % of PAN",)
    assert relation.notes == wanted
    check_axes(relation)


def test_a_ratio_that_is_no_whole_number(tmp_path):
    relation = relate(
        opened(tmp_path, pan=north_up(X, Y, 0.498), pan_shape=(39, 47), ms=north_up(X - 0.31, Y + 0.2, 2.0))
    )
    assert relation.ratio == pytest.approx((2.0 / 0.498, 2.0 / 0.498), rel=1e-12)
    assert relation.axis_x == axis_from_grids(X, 0.498, X - 0.31, 2.0)
    assert not relation.target.warped
    check_axes(relation)


def test_pixels_that_are_not_square(tmp_path):
    relation = relate(opened(tmp_path, pan=north_up(X, Y, 0.5, 0.25), ms=north_up(X, Y, 2.0, 1.5)))
    assert relation.ratio == (6.0, 4.0)
    check_axes(relation)


def test_degrees(tmp_path):
    relation = relate(
        opened(tmp_path, crs="EPSG:4326", pan=north_up(8.0, 48.0, 2.0**-14), ms=north_up(8.0, 48.0, 2.0**-12))
    )
    assert (relation.ratio, relation.rows, relation.cols) == ((4.0, 4.0), (0, 40), (0, 48))
    assert not relation.target.warped


def test_both_south_up(tmp_path):
    south_up = [Affine(step, 0.0, X, 0.0, step, Y) for step in (0.5, 2.0)]
    relation = relate(opened(tmp_path, pan=south_up[0], ms=south_up[1]))
    assert relation.axis_y == AxisMap(0.25, -0.375)
    assert (relation.rows, relation.cols, relation.target.warped) == ((0, 40), (0, 48), False)


def test_both_rotated_alike(tmp_path):
    relation = relate(opened(tmp_path, pan=turned(X, Y, 0.5, 30.0), ms=turned(X, Y, 2.0, 30.0)))
    assert not relation.target.warped
    assert (relation.rows, relation.cols) == ((0, 40), (0, 48))
    assert (relation.axis_y.scale, relation.axis_y.offset) == pytest.approx((0.25, -0.375), abs=1e-9)
    check_axes(relation)


def test_a_turn_too_small_to_matter_is_no_warp(tmp_path):
    skewed = turned(X, Y, 2.0, math.degrees(0.005 / 12))
    relation = relate(opened(tmp_path, ms=skewed))
    assert not relation.target.warped
    # off by half of what the skew moves at the far end: under .003 coarse pixels
    middle = unplaced(skewed, *placed(relation.guide.grid.transform, 24.0, 20.0))
    assert coarse_of_fine(relation, 19.5, 23.5) == pytest.approx((middle[1] - 0.5, middle[0] - 0.5), abs=1e-6)


def test_one_coordinate_system_under_two_names(tmp_path):
    esri = CRS.from_epsg(32632).to_wkt("WKT1_ESRI")
    relation = relate(opened(tmp_path, ms_crs=esri))
    assert not relation.target.warped
    assert relation.ratio == (4.0, 4.0)


def test_a_vertical_datum_or_a_shift_attached_does_not_matter():
    plain = CRS.from_epsg(32632).to_wkt()
    compound = CRS.from_string("EPSG:32632+5773").to_wkt()
    bound = CRS.from_proj4("+proj=utm +zone=32 +datum=WGS84 +towgs84=0,0,0 +type=crs").to_wkt()
    assert projecting.same_crs(plain, compound)
    assert projecting.same_crs("EPSG:4326", "OGC:CRS84")
    assert projecting.same_crs("EPSG:4979", "EPSG:4326")
    assert not projecting.same_crs(plain, "EPSG:32633")
    assert projecting.same_crs(bound, plain)
    assert (projecting.crs_name(compound), projecting.crs_name("EPSG:4326")) == ("EPSG:32632", "EPSG:4326")


def write_slope(path, shape, transform, crs, slope):
    """Write an MS whose value is `slope` of the place: what a right warp gives back anywhere."""
    rows, cols = np.mgrid[0 : shape[0], 0 : shape[1]] + 0.5
    values = slope(*placed(transform, cols, rows)).astype(np.float32)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=shape[0],
        width=shape[1],
        count=1,
        dtype="float32",
        crs=crs,
        transform=transform,
    ) as out:
        out.write(values, 1)
    return str(path)


def check_warp(tmp_path, pan, ms, *, crs=UTM32, ms_crs=UTM32, ratio, rel=1e-3, read=True):
    """Relate a pair that needs a warp; check grid, maps and the pixels read through it."""
    ms_shape = (40, 44)
    to_pan = Transformer.from_crs(ms_crs, crs, always_xy=True)
    centre_x, centre_y = placed(pan, 30.0, 26.0)
    step = abs(pan.determinant) ** 0.5

    def slope(x, y):
        x, y = to_pan.transform(x, y)
        return 100.0 + (x - centre_x) / step + 0.5 * (y - centre_y) / step

    fine = write(tmp_path / "pan.tif", shape=(52, 60), crs=crs, transform=pan)
    coarse = write_slope(tmp_path / "ms.tif", ms_shape, ms, ms_crs, slope)
    scene = open_pair(fine, [coarse])
    relation = relate(scene)
    grid = relation.target.grid
    assert relation.target.warped
    assert relation.ratio == pytest.approx(ratio, rel=rel)
    assert projecting.same_crs(grid.crs, relation.guide.grid.crs)
    check_axes(relation)
    # the lines of the grid fall on whole multiples of its pixel from the PAN's corner
    col0, row0 = unplaced(pan, grid.transform[2], grid.transform[5])
    for line, step_px in ((col0, relation.ratio[1]), (row0, relation.ratio[0])):
        assert line / step_px == pytest.approx(round(line / step_px), abs=1e-6)
    # eight coarse pixels of margin around what is shared
    first = relation.axis_y.scale * (relation.rows[0] - 0.5) + relation.axis_y.offset + 0.5
    last = relation.axis_y.scale * (relation.rows[1] - 0.5) + relation.axis_y.offset + 0.5
    assert 8.0 - 1e-6 <= first < 9.5
    assert 8.0 - 1e-6 <= grid.height - last < 9.5
    assert relate(replace(scene, images=(relation.guide, relation.target))) == relation
    if not read:
        return relation
    values, valid = read_window(relation.target, (0,), (8, grid.height - 8, 8, grid.width - 8))
    rows, cols = np.mgrid[8 : grid.height - 8, 8 : grid.width - 8] + 0.5
    x, y = placed(grid.transform, cols, rows)
    wanted = 100.0 + (x - centre_x) / step + 0.5 * (y - centre_y) / step
    # cubic convolution gives a slope back where all its taps lie inside the MS
    there = Transformer.from_crs(crs, ms_crs, always_xy=True).transform(x, y)
    a, b, c, d, e, f = tuple(ms)[:6]
    solved = np.linalg.solve([[a, b], [d, e]], np.array([there[0] - c, there[1] - f]).reshape(2, -1))
    col, row = solved.reshape(2, *x.shape)
    inside = (np.minimum(col, ms_shape[1] - col) > 2.5) & (np.minimum(row, ms_shape[0] - row) > 2.5)
    assert inside.sum() > 50
    assert valid[inside].all()
    assert np.abs(values[0] - wanted)[inside].max() < 0.05 * max(ratio)
    return relation


def test_rotated_against_each_other(tmp_path):
    ms = turned(X - 8.0, Y + 6.0, 2.0, 20.0)
    relation = check_warp(tmp_path, north_up(X, Y, 0.5), ms, ratio=(4.0, 4.0), rel=1e-9)
    assert relation.notes[0] == "MS and PAN are turned against each other: MS warped (cubic)"


def test_rotated_pan_and_north_up_ms(tmp_path):
    pan = turned(X + 20.0, Y - 20.0, 0.5, -35.0)
    check_warp(tmp_path, pan, north_up(X - 10.0, Y + 10.0, 2.0), ratio=(4.0, 4.0), rel=1e-9)


def test_south_up_against_north_up(tmp_path):
    ms = Affine(2.0, 0.0, X - 20.0, 0.0, 2.0, Y - 60.0)
    relation = check_warp(tmp_path, north_up(X, Y, 0.5), ms, ratio=(4.0, 4.0), rel=1e-9)
    assert (relation.rows, relation.cols, len(relation.notes)) == ((0, 52), (0, 60), 1)


def test_a_quarter_turn(tmp_path):
    ms = Affine(0.0, 2.0, X - 20.0, -3.0, 0.0, Y + 40.0)  # columns run south
    check_warp(tmp_path, north_up(X, Y, 0.5), ms, ratio=(6.0, 4.0), rel=1e-9)


def test_other_projection(tmp_path):
    corner = Transformer.from_crs(32632, 32633, always_xy=True).transform(X - 20.0, Y + 20.0)
    relation = check_warp(
        tmp_path, north_up(X, Y, 0.5), north_up(*corner, 2.0), ms_crs="EPSG:32633", ratio=(4.0, 4.0), rel=0.01
    )
    assert relation.notes == ("MS is in EPSG:32633, PAN in EPSG:32632: MS warped (cubic)",)
    assert (relation.rows, relation.cols) == ((0, 52), (0, 60))


def test_ms_in_degrees(tmp_path):
    lon, lat = Transformer.from_crs(32632, 4326, always_xy=True).transform(X - 20.0, Y + 20.0)
    across = 2.0 / (111320.0 * math.cos(math.radians(lat)))
    check_warp(
        tmp_path,
        north_up(X, Y, 0.5),
        north_up(lon, lat, across, 2.0 / 111200.0),
        ms_crs="EPSG:4326",
        ratio=(4.0, 4.0),
        rel=0.01,
    )


@pytest.mark.parametrize("read", [False, True], ids=["grid", "pixels"])
def test_across_the_antimeridian(tmp_path, read):
    x, y = Transformer.from_crs(4326, 32660, always_xy=True).transform(180.0, -17.0)
    across = 2.0 / (111320.0 * math.cos(math.radians(17.0)))
    relation = check_warp(
        tmp_path,
        north_up(x - 15.0, y, 0.5),
        north_up(180.0 - 20 * across, -16.9998, across, 2.0 / 110700.0),
        crs="EPSG:32660",
        ms_crs="EPSG:4326",
        ratio=(4.0, 4.0),
        rel=0.01,
        read=read,
    )
    assert (relation.rows, relation.cols) == ((0, 52), (0, 60))


def test_partial_overlap_through_a_warp(tmp_path):
    ms = Affine(2.0, 0.0, X + 10.0, 0.0, 2.0, Y - 60.0)  # south-up, from 10 m on: columns 20 to 60 of 60
    relation = check_warp(tmp_path, north_up(X, Y, 0.5), ms, ratio=(4.0, 4.0), rel=1e-9)
    assert (relation.rows, relation.cols) == ((0, 52), (20, 60))
    assert relation.notes[1] == "fusing the intersection: 66.67 % of PAN"


def test_the_overlap_of_a_diamond(tmp_path):
    # an MS of 20 m, turned by 45 degrees, within a PAN of 40 m: half of the square around it
    step = 20.0 / 10
    ms = turned(X + 20.0, Y - 20.0 + 20.0 / math.sqrt(2.0), step, -45.0)
    scene = opened(tmp_path, ms=ms, pan_shape=(80, 80), ms_shape=(10, 10))
    relation = relate(scene)
    reach = 20.0 / math.sqrt(2.0) / 0.5
    wanted = (math.ceil(40.0 - reach - 0.5), math.floor(40.0 + reach - 0.5) + 1)
    assert relation.rows == relation.cols == wanted
    assert relation.notes[1] == f"fusing the intersection: {100 * 400 / 1600:.4g} % of PAN"


@pytest.mark.parametrize(
    ("ms", "crs", "match"),
    [
        (north_up(X + 1000.0, Y, 2.0), UTM32, "no overlap"),
        (north_up(X, Y - 20.0 + 1e-9, 2.0), UTM32, "no overlap"),
        (turned(X + 1000.0, Y, 2.0, 20.0), UTM32, "no overlap"),
        (north_up(X, Y, 2.0), "EPSG:32633", "no overlap"),
        (north_up(8.0, 10.0, 1e-5), "EPSG:4326", "no overlap"),
        (north_up(X, Y, 0.25), UTM32, "0.5 x 0.5 times the PAN's.*wrong way round"),
        (north_up(X, Y, 0.4999), UTM32, "0.9998 x 0.9998"),
        (north_up(X, Y, 4.1), UTM32, "8.2 x 8.2 times"),
        (north_up(X, Y, 2.0, 5.0), UTM32, "10 x 4 times"),
        (turned(X - 5.0, Y + 5.0, 9.0, 20.0), UTM32, "18 x 18 times"),
    ],
)
def test_images_that_do_not_belong_together(tmp_path, ms, crs, match):
    scene = opened(tmp_path, ms=ms, ms_crs=crs)
    with pytest.raises(GeorefError, match=match) as caught:
        relate(scene)
    assert "ms.tif" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("step", [0.5, 0.5 - 2e-7, 4.0])
def test_the_ends_of_the_ratio_are_in(tmp_path, step):
    relation = relate(opened(tmp_path, ms=north_up(X, Y, step)))
    assert relation.ratio == pytest.approx((step / 0.5, step / 0.5))
    assert not relation.target.warped


@pytest.mark.parametrize("role", ["PAN", "MS"])
def test_images_that_are_not_georeferenced(tmp_path, role):
    fine, coarse = pair(tmp_path)

    def refused(match, **case):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.tif"
        write(path, shape=(40, 48), **case)
        scene = open_pair(str(path), [coarse]) if role == "PAN" else open_pair(fine, [str(path)])
        with pytest.raises(GeorefError, match=f"{path.name}: {role} {match}"):
            relate(scene)
        return path

    refused("without a coordinate system", crs=None, transform=north_up(X, Y, 1.0))
    bare = refused("without a geotransform")
    bare.with_suffix(".RPB").write_text(rpb_text())
    scene = open_pair(str(bare), [coarse]) if role == "PAN" else open_pair(fine, [str(bare)])
    with pytest.raises(GeorefError, match=f"{role} with RPCs only"):
        relate(scene)
    gcps = [GroundControlPoint(r, c, X + c, Y - r) for r, c in ((0, 0), (0, 48), (40, 0), (40, 48))]
    refused("with 4 GCPs only", gcps=gcps)


@pytest.mark.skipif(not BAD.is_dir(), reason=f"no {BAD}: set GEOFUSE_BAD to the folder of odd rasters")
@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("byte_gcp.tif", "GCPs only"),
        ("byte_gcp_pixelispoint.tif", "GCPs only"),
        ("byte_nogeoref.tif", "without a geotransform"),
        ("byte_rpc.tif", "RPCs only"),
    ],
)
def test_real_odd_rasters(tmp_path, name, match):
    _, coarse = pair(tmp_path)
    with pytest.raises(GeorefError, match=match):
        relate(open_pair(str(BAD / "gdal_odd" / name), [coarse]))


@pytest.mark.parametrize(
    ("place", "value"), [(0, 0.0), (4, 0.0), (0, math.nan), (1, math.nan), (2, math.inf), (5, math.nan)]
)
def test_a_pixel_size_of_zero_or_nan(tmp_path, place, value):
    scene = opened(tmp_path)
    target = scene.image("ms")
    transform = list(target.grid.transform)
    transform[place] = value
    moved = replace(target, grid=replace(target.grid, transform=tuple(transform)))
    broken = replace(scene, images=(scene.image("pan"), moved))
    with pytest.raises(GeorefError, match="MS with a pixel size of zero or NaN"):
        relate(broken)


def test_a_coordinate_system_that_cannot_be_read(tmp_path):
    scene = opened(tmp_path)
    guide = scene.image("pan")
    other = replace(guide, grid=replace(guide.grid, crs="LOCAL_CS["))
    broken = replace(scene, images=(other, scene.image("ms")))
    with pytest.raises(GeorefError, match="cannot be read"):
        relate(broken)


def test_a_world_file_is_not_enough_for_a_warp(tmp_path):
    fine, _ = pair(tmp_path)
    bare = write(tmp_path / "bare.tif", shape=(10, 12))
    (tmp_path / "bare.tfw").write_text(f"2.0\n0.1\n0.1\n-2.0\n{X}\n{Y}\n")
    with pytest.raises(GeorefError, match=r"bare\.tif: MS placed by a world file"):
        relate(open_pair(fine, [bare]))


def simple(role, grid, path="x.tif"):
    return Image(role, (Band("1", (Piece(path),), "uint16"),), grid, {path: "GTiff"})


@settings(max_examples=100, deadline=None)
@given(
    step=st.floats(0.1, 100.0),
    ratio=st.tuples(st.floats(1.0, 8.0), st.floats(1.0, 8.0)),
    shift=st.tuples(st.floats(-30.0, 30.0), st.floats(-30.0, 30.0)),
    origin=st.tuples(st.floats(1e5, 9e5), st.floats(-9e6, 9e6)),
    degrees=st.floats(-180.0, 180.0),
)
def test_axis_maps_are_the_composition_of_the_grids(step, ratio, shift, origin, degrees):
    fine = turned(*origin, step, degrees)
    a, b, _, d, e, _ = tuple(fine)[:6]
    x, y = placed(fine, *shift)
    coarse = Affine(a * ratio[1], b * ratio[0], x, d * ratio[1], e * ratio[0], y)
    crs = CRS.from_epsg(32632).to_wkt()
    scene = Scene(
        "x",
        "generic",
        (
            simple("pan", Grid(crs, tuple(fine)[:6], 300, 200)),
            simple("ms", Grid(crs, tuple(coarse)[:6], 300, 200)),
        ),
    )
    relation = relate(scene)
    assert (relation.guide, relation.target) == scene.images
    assert (1 / relation.axis_y.scale, 1 / relation.axis_x.scale) == pytest.approx(ratio, rel=1e-6)
    assert relation.axis_x.offset == pytest.approx((0.5 - shift[0]) / ratio[1] - 0.5, abs=1e-4)
    assert relation.axis_y.offset == pytest.approx((0.5 - shift[1]) / ratio[0] - 0.5, abs=1e-4)
    for (start, stop), axis, size in (
        (relation.rows, relation.axis_y, 300),
        (relation.cols, relation.axis_x, 300),
    ):
        inside = [axis.scale * at + axis.offset for at in (start, stop - 1)]
        assert -0.5 - 1e-5 <= min(inside) <= max(inside) <= size - 0.5 + 1e-5


@given(
    st.lists(st.tuples(st.floats(-20.0, 20.0), st.floats(-20.0, 20.0)), min_size=3, max_size=3),
    st.tuples(st.floats(1.0, 20.0), st.floats(1.0, 20.0)),
)
def test_clipping_agrees_with_shapely(corners, high):
    import shapely

    triangle = shapely.Polygon(corners)
    if triangle.area < 1e-3:
        return
    wanted = triangle.intersection(shapely.box(0.0, 0.0, *high))
    part = projecting.clipped(np.array(corners), (0.0, 0.0), high)
    found = shapely.Polygon(part).area if len(part) > 2 else 0.0
    assert found == pytest.approx(wanted.area, abs=1e-6)
    if wanted.area > 1e-3:
        assert (*part.min(axis=0), *part.max(axis=0)) == pytest.approx(wanted.bounds, abs=1e-6)
