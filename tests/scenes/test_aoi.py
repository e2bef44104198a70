from __future__ import annotations

import json
import math
import sqlite3

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Transformer
from rasterio.warp import transform_bounds
from rasterio.windows import from_bounds

from geofuse.errors import AreaError, GeorefError
from geofuse.rasters.image import Grid
from geofuse.scenes.aoi import window_of
from tests.scenes.rasters import north_up
from tests.scenes.test_relating import placed, turned, unplaced

X, Y = 500000.0, 5400000.0
UTM32 = CRS.from_epsg(32632).to_wkt()
GRID = Grid(UTM32, tuple(north_up(X, Y, 0.5))[:6], 4000, 6000)
LONLAT_GRID = Grid(CRS.from_epsg(4326).to_wkt(), tuple(north_up(9.0, 48.75, 1e-5))[:6], 4000, 6000)


def lonlat(x, y, crs=32632):
    return Transformer.from_crs(crs, 4326, always_xy=True).transform(x, y)


def box_around(col0, row0, col1, row1, grid=GRID, crs=32632):
    """Return W S E N of a rectangle given by pixel corners, by its corners alone."""
    cols, rows = np.array([col0, col1, col1, col0]), np.array([row0, row0, row1, row1])
    lon, lat = lonlat(*placed(grid.transform, cols, rows), crs)
    return float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())


def write_area(path, shapes, crs="EPSG:4326", **more):
    geopandas.GeoDataFrame(geometry=shapes, crs=crs).to_file(path, **more)
    return str(path)


def test_nothing_asked_is_nothing():
    assert window_of(GRID) == (None, None)


def test_only_one_area_may_be_asked_for():
    with pytest.raises(AreaError, match="bbox and window given"):
        window_of(GRID, bbox=(0, 0, 1, 1), window=(0, 0, 1, 1))


@pytest.mark.parametrize(
    ("window", "found"),
    [
        ((10, 20, 30, 40), (10, 40, 20, 60)),
        ((-10, -20, 30, 40), (0, 20, 0, 20)),
        ((3990, 5990, 30, 40), (3990, 4000, 5990, 6000)),
        ((-5, -5, 99999, 99999), (0, 4000, 0, 6000)),
    ],
)
def test_a_window_is_clipped_to_the_pan(window, found):
    assert window_of(GRID, window=window) == (found, None)


@pytest.mark.parametrize(
    "window",
    [
        (10, 20, 30),
        (10, 20, 30, 40, 50),
        (10, 20, 0, 40),
        (10, 20, 30, -1),
        (1.5, 0, 10, 10),
        (math.nan, 0, 10, 10),
        (4000, 0, 10, 10),
        (0, -10, 10, 10),
        (),
    ],
)
def test_a_malformed_or_outside_window(window):
    with pytest.raises(AreaError, match="window"):
        window_of(GRID, window=window)


def test_a_box_in_pan_degrees_by_hand():
    # the centres of columns 100 to 199 and rows 50 to 149, and a third of a pixel more
    grid = LONLAT_GRID
    west, north = placed(grid.transform, 100.5 - 0.33, 50.5 - 0.33)
    east, south = placed(grid.transform, 199.5 + 0.33, 149.5 + 0.33)
    found, geometry = window_of(grid, bbox=(west, south, east, north))
    assert found == (50, 150, 100, 200)
    assert shapely.from_geojson(json.dumps(geometry)).bounds == pytest.approx((west, south, east, north))


def test_a_centre_on_the_border_counts():
    grid = Grid(LONLAT_GRID.crs, (0.25, 0.0, 8.0, 0.0, -0.25, 50.0), 16, 16)
    assert window_of(grid, bbox=(8.375, 49.125, 8.875, 49.625))[0] == (1, 4, 1, 4)


def test_a_box_against_another_implementation():
    box = box_around(1000, 500, 3000, 2500)
    found, _ = window_of(GRID, bbox=box)
    other = from_bounds(
        *transform_bounds("EPSG:4326", "EPSG:32632", *box, densify_pts=99), north_up(X, Y, 0.5)
    )
    wanted = [other.row_off, other.row_off + other.height, other.col_off, other.col_off + other.width]
    assert np.abs(np.array(found) - wanted).max() <= 0.501


@pytest.mark.parametrize("degrees", [0.0, 25.0, 180.0])
def test_a_box_holds_the_centres_inside_and_no_line_without_one(degrees):
    grid = Grid(UTM32, tuple(turned(X, Y, 20.0, degrees))[:6], 400, 600)
    box = box_around(150, 120, 250, 210, grid)
    (row0, row1, col0, col1), _ = window_of(grid, bbox=box)
    rows, cols = np.mgrid[0 : grid.height : 1, 0 : grid.width : 1] + 0.5
    lon, lat = lonlat(*placed(grid.transform, cols, rows))
    inside = (lon >= box[0]) & (lon <= box[2]) & (lat >= box[1]) & (lat <= box[3])
    used_rows, used_cols = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    assert (row0, col0) == pytest.approx((used_rows[0], used_cols[0]), abs=1)
    assert (row1, col1) == pytest.approx((used_rows[-1] + 1, used_cols[-1] + 1), abs=1)
    assert row0 <= used_rows[0]
    assert col0 <= used_cols[0]
    assert row1 > used_rows[-1]
    assert col1 > used_cols[-1]


def test_a_box_bigger_than_the_scene_or_the_projection():
    whole = (0, 4000, 0, 6000)
    assert window_of(GRID, bbox=(0.0, 40.0, 20.0, 60.0))[0] == whole
    assert window_of(GRID, bbox=(-180.0, -90.0, 180.0, 90.0))[0] == whole
    assert window_of(LONLAT_GRID, bbox=(-180.0, -90.0, 180.0, 90.0))[0] == whole
    middle, _ = lonlat(*placed(GRID.transform, 3000.0, 2000.0))
    row0, row1, col0, col1 = window_of(GRID, bbox=(middle, -90.0, 180.0, 90.0))[0]
    assert (row0, row1, col1) == (0, 4000, 6000)
    assert col0 == pytest.approx(3000, abs=2)


@pytest.mark.parametrize(
    "bbox",
    [
        (9.0, 48.0, 9.0, 49.0),
        (9.0, 49.0, 9.1, 48.0),
        (9.0, 48.0, 9.1, 48.0),
        (9.0, 48.0, 9.1),
        (9.0, 48.0, 9.1, math.nan),
        (9.0, 48.0, math.inf, 49.0),
        (9.0, -91.0, 9.1, 49.0),
        (500000.0, 5390000.0, 501000.0, 5400000.0),
        (180.0, 48.0, -180.0, 49.0),
    ],
)
def test_a_malformed_box(bbox):
    with pytest.raises(AreaError, match="W S E N in degrees"):
        window_of(GRID, bbox=bbox)


@pytest.mark.parametrize("grid", [GRID, LONLAT_GRID])
@pytest.mark.parametrize(
    "bbox", [(29.0, 48.0, 30.0, 49.0), (-171.0, 48.0, -170.0, 49.0), (48.7, 9.0, 48.8, 9.1)]
)
def test_a_box_elsewhere_says_where_the_scene_is(grid, bbox):
    with pytest.raises(AreaError, match=r"no PAN pixel in bbox .*the scene, W S E N 9\.0000 48\.7"):
        window_of(grid, bbox=bbox)


def test_a_box_between_two_centres_is_empty():
    box = box_around(100.6, 100.6, 101.4, 101.4)
    with pytest.raises(AreaError, match="no PAN pixel"):
        window_of(GRID, bbox=box)


def test_a_box_needs_a_coordinate_system():
    with pytest.raises(GeorefError):
        window_of(Grid("", GRID.transform, 10, 10), bbox=(0, 0, 1, 1))


def antimeridian_grids():
    x, y = Transformer.from_crs(4326, 32660, always_xy=True).transform(180.0, -17.0)
    projected = Grid(CRS.from_epsg(32660).to_wkt(), (10.0, 0.0, x - 20000.0, 0.0, -10.0, y), 3000, 4000)
    east = Grid(CRS.from_epsg(4326).to_wkt(), (1e-4, 0.0, 179.8, 0.0, -1e-4, -17.0), 3000, 4000)
    west = Grid(CRS.from_epsg(4326).to_wkt(), (1e-4, 0.0, -180.2, 0.0, -1e-4, -17.0), 3000, 4000)
    return [projected, east, west]


@pytest.mark.parametrize("grid", antimeridian_grids())
@pytest.mark.parametrize(
    ("west", "east"),
    [(179.9, -179.9), (179.9, 180.0), (-180.0, -179.9), (170.0, -179.9), (-180.0, 180.0), (179.9, -170.0)],
)
def test_boxes_at_the_antimeridian(grid, west, east):
    found, geometry = window_of(grid, bbox=(west, -17.2, east, -17.1))
    projected = "UTM" in grid.crs
    rows, cols = np.mgrid[found[0] : found[1] : 60, 0 : grid.width] + 0.5
    x, y = placed(grid.transform, cols, rows)
    lon, lat = lonlat(x, y, 32660) if projected else (x, y)
    turns = (lon - west) % 360.0
    inside = (
        (turns <= (east - west) % 360.0 if east - west != 360.0 else True) & (lat <= -17.1) & (lat >= -17.2)
    )
    used = np.flatnonzero(inside.any(axis=0))
    assert found[2:] == pytest.approx((used[0], used[-1] + 1), abs=4 if projected else 1)
    shape = shapely.from_geojson(json.dumps(geometry))
    assert shape.bounds[0] >= -180.0
    assert shape.bounds[2] <= 180.0
    assert shape.area == pytest.approx(((east - west) % 360.0 or 360.0) * 0.1)


@pytest.mark.parametrize("suffix", ["geojson", "json", "gpkg", "fgb", "shp"])
@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32632", "EPSG:3857"])
def test_a_vector_file_of_any_kind_and_system(tmp_path, suffix, crs):
    # a triangle in the PAN's own system: its bounding rectangle is known exactly
    corners = [
        placed(GRID.transform, *corner) for corner in ((1000.2, 800.2), (2000.7, 900.4), (1500.0, 1700.9))
    ]
    shape = shapely.Polygon(corners)
    frame = geopandas.GeoDataFrame(geometry=[shape], crs="EPSG:32632").to_crs(crs)
    path = tmp_path / f"a.{suffix}"
    driver = {"driver": "GeoJSON"} if suffix.endswith("json") else {}
    frame.to_file(path, **driver)
    found, geometry = window_of(GRID, aoi=str(path))
    assert found == (800, 1701, 1000, 2001)
    x, y = lonlat(*np.array(corners).T)
    wanted = shapely.Polygon(np.stack([x, y], axis=1))
    assert shapely.from_geojson(json.dumps(geometry)).symmetric_difference(wanted).area < 1e-9


def test_the_union_of_several_parts(tmp_path):
    def square(col, row, side):
        return shapely.Polygon(
            [
                placed(GRID.transform, col + dx, row + dy)
                for dx, dy in ((0, 0), (side, 0), (side, side), (0, side))
            ]
        )

    shapes = [square(100, 200, 50), square(900, 700, 60), square(-5000, 300, 10), square(120, 210, 50)]
    path = write_area(tmp_path / "a.gpkg", shapes, crs="EPSG:32632")
    assert window_of(GRID, aoi=path)[0] == (200, 760, 100, 960)


def test_a_crossed_polygon_is_mended(tmp_path):
    corners = [placed(GRID.transform, *corner) for corner in ((100, 100), (200, 200), (200, 100), (100, 200))]
    path = write_area(tmp_path / "a.gpkg", [shapely.Polygon(corners)], crs="EPSG:32632")
    assert window_of(GRID, aoi=path)[0] == (100, 200, 100, 200)


def test_long_edges_are_bent_as_the_projection_bends_them(tmp_path):
    # a parallel over 6 degrees bows by 3 km in UTM: its middle lies further south than its ends
    grid = Grid(UTM32, (100.0, 0.0, 200000.0, 0.0, -100.0, 5500000.0), 3000, 6000)
    shape = shapely.box(6.0, 47.0, 12.0, 49.0)
    path = write_area(tmp_path / "a.geojson", [shape])
    area, _ = window_of(grid, aoi=path)
    box, _ = window_of(grid, bbox=shape.bounds)
    assert np.abs(np.array(area) - box).max() <= 1
    bottom = Transformer.from_crs(4326, 32632, always_xy=True).transform(9.0, 47.0)
    assert area[1] == pytest.approx(unplaced(grid.transform, *bottom)[1], abs=1)


def text_area(tmp_path, value, name="a.geojson"):
    path = tmp_path / name
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return str(path)


RING = [[9.01, 48.71], [9.02, 48.71], [9.02, 48.72], [9.01, 48.72], [9.01, 48.71]]
POLYGON = {"type": "Polygon", "coordinates": [RING]}


@pytest.mark.parametrize(
    "value",
    [
        POLYGON,
        {"type": "Feature", "properties": {}, "geometry": POLYGON},
        {
            "type": "FeatureCollection",
            "features": [{"type": "Feature", "properties": None, "geometry": POLYGON}],
        },
        {
            "type": "FeatureCollection",
            "features": [
                {"type": "Feature", "properties": {}, "geometry": None},
                {"type": "Feature", "properties": {}, "geometry": POLYGON},
            ],
        },
        {
            "type": "GeometryCollection",
            "geometries": [POLYGON, {"type": "Point", "coordinates": [9.0, 48.7]}],
        },
        {"type": "Polygon", "coordinates": [[[*corner, 100.0] for corner in RING]]},
        {**POLYGON, "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}},
        {**POLYGON, "crs": {"type": "name", "properties": {"name": "EPSG:4326"}}},
    ],
)
def test_geojson_in_all_its_forms(tmp_path, value):
    found, _ = window_of(LONLAT_GRID, aoi=text_area(tmp_path, value))
    assert found == (3000, 4000, 1000, 2000)


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ("", "empty"),
        ("{", "malformed GeoJSON"),
        ("[]", "malformed"),
        ("null", "malformed"),
        ("{}", "malformed"),
        ('{"type": "Polygon", "coordinates": [[[NaN, 1], [2, 3], [4, 5], [NaN, 1]]]}', "malformed"),
        ('{"type": "Polygon", "coordinates": [[[1e999, 1], [2, 3], [4, 5], [1e999, 1]]]}', "malformed"),
        ('{"type": "Polygon", "coordinates": 5}', "malformed"),
        ('{"type": "Polygon", "coordinates": []}', "no polygon"),
        ('{"type": "FeatureCollection", "features": []}', "no polygon"),
        ('{"type": "FeatureCollection", "features": 7}', "malformed"),
        ('{"type": "Point", "coordinates": [9.0, 48.7]}', "no polygon"),
        ('{"type": "LineString", "coordinates": [[9.0, 48.7], [9.01, 48.71]]}', "no polygon"),
        ("[" * 100_000, "malformed"),
        ('{"type": "GeometryCollection", "geometries": [' * 3000, "malformed"),
        ("\xff\xfe", "malformed"),
        ("<OGRVRTDataSource/>", "malformed"),
        (json.dumps({**POLYGON, "crs": {"type": "name", "properties": {"name": "+init=file:x"}}}), "crs"),
        (json.dumps({**POLYGON, "crs": {"type": "name", "properties": {"name": "EPSG:999999"}}}), "crs"),
        (json.dumps({**POLYGON, "crs": "EPSG:4326"}), "malformed"),
        (
            json.dumps({"type": "Polygon", "coordinates": [[[500000.0 + x, 5.4e6 + y] for x, y in RING]]}),
            "not degrees",
        ),
        (" " * ((16 << 20) + 1), "too big"),
    ],
)
def test_a_malformed_geojson_is_refused_in_one_line(tmp_path, value, match):
    with pytest.raises(AreaError, match=match) as caught:
        window_of(LONLAT_GRID, aoi=text_area(tmp_path, value))
    assert len(str(caught.value).splitlines()) == 1


def test_a_vector_file_elsewhere(tmp_path):
    path = write_area(tmp_path / "a.gpkg", [shapely.box(29.0, 48.0, 30.0, 49.0)])
    with pytest.raises(AreaError, match=r"no PAN pixel in area .*the scene, W S E N 9"):
        window_of(GRID, aoi=path)


def test_a_vector_file_without_a_coordinate_system(tmp_path):
    path = tmp_path / "a.shp"
    geopandas.GeoDataFrame(geometry=[shapely.box(9.0, 48.7, 9.1, 48.8)], crs="EPSG:4326").to_file(path)
    path.with_suffix(".prj").unlink()
    with pytest.raises(AreaError, match="without a coordinate system"):
        window_of(GRID, aoi=str(path))


def test_several_layers_are_ambiguous(tmp_path):
    path = tmp_path / "a.gpkg"
    for layer in ("one", "two"):
        write_area(path, [shapely.box(9.0, 48.7, 9.1, 48.8)], layer=layer)
    with pytest.raises(AreaError, match="2 layers; wanted one"):
        window_of(GRID, aoi=str(path))


def test_files_that_only_look_like_areas(tmp_path):
    vrt = "<OGRVRTDataSource><OGRVRTLayer name='p'><SrcDataSource>/etc/passwd</SrcDataSource></OGRVRTLayer>"
    for name in ("a.gpkg", "a.vrt", "a.shp", "a.kml", "a.fgb", "a.csv", "noextension"):
        with pytest.raises(AreaError, match="not a vector file"):
            window_of(GRID, aoi=text_area(tmp_path, vrt, name))
    sqlite3.connect(tmp_path / "plain.gpkg").execute("create table a (b)").connection.close()
    with pytest.raises(AreaError, match="not a vector file"):
        window_of(GRID, aoi=str(tmp_path / "plain.gpkg"))
    good = write_area(tmp_path / "cut.gpkg", [shapely.box(9.0, 48.7, 9.1, 48.8)])
    with open(good, "r+b") as file:
        file.truncate(2000)
    with pytest.raises(AreaError):
        window_of(GRID, aoi=good)


@pytest.mark.parametrize(
    "path", ["/vsizip/a.zip", "http://127.0.0.1/a.geojson", "<x>.geojson", "a\x00.gpkg", ""]
)
def test_hostile_paths_are_refused(path):
    with pytest.raises(AreaError):
        window_of(GRID, aoi=path)


def test_paths_that_are_no_files(tmp_path):
    folder = tmp_path / "d.geojson"
    folder.mkdir()
    for path in (folder, tmp_path / "nothing.geojson", tmp_path / "nothing.gpkg"):
        with pytest.raises(AreaError):
            window_of(GRID, aoi=str(path))


def polar_grid():
    return Grid(CRS.from_epsg(3413).to_wkt(), (1000.0, 0.0, -300e3, 0.0, -1000.0, 200e3), 500, 700)


@pytest.mark.parametrize(
    "bbox", [(-180.0, 89.0, 180.0, 90.0), (0.0, 89.0, 90.0, 90.0), (100.0, 60.0, -170.0, 89.5)]
)
def test_a_scene_that_holds_a_pole(bbox):
    check_complete(polar_grid(), bbox)


def check_complete(grid, bbox):
    """Check that a window holds all lattice pixels whose centre is in the box, and a refusal has none."""
    rows = np.unique(np.linspace(0, grid.height - 1, 33).astype(int))
    cols = np.unique(np.linspace(0, grid.width - 1, 33).astype(int))
    at_row, at_col = (part.ravel() for part in np.meshgrid(rows, cols, indexing="ij"))
    move = Transformer.from_crs(CRS(grid.crs), CRS(4326), always_xy=True)
    lon, lat = move.transform(*placed(grid.transform, at_col + 0.5, at_row + 0.5))
    west, south, east, north = bbox
    wide = east - west if east > west else east - west + 360.0
    inside = ((np.asarray(lon) - west) % 360.0 < wide) & (lat > south) & (lat < north)
    try:
        (row0, row1, col0, col1), geometry = window_of(grid, bbox=bbox)
    except AreaError as fault:
        if "W S E N in degrees" not in str(fault):
            assert not inside.any()
        return
    assert 0 <= row0 < row1 <= grid.height
    assert 0 <= col0 < col1 <= grid.width
    assert shapely.from_geojson(json.dumps(geometry)).is_valid
    held = (at_row >= row0) & (at_row < row1) & (at_col >= col0) & (at_col < col1)
    assert held[inside].all()


@pytest.mark.parametrize("grid", antimeridian_grids())
def test_all_the_world_but_a_sliver_of_the_scene(grid):
    check_complete(grid, (179.997, -17.14, 179.992, -17.13))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([GRID, LONLAT_GRID, polar_grid(), *antimeridian_grids()]),
    st.tuples(*[st.floats(-1.5, 1.5)] * 4),
    st.sampled_from([0.01, 0.1, 1.0, 30.0, 180.0]),
)
def test_any_box_gives_all_its_pixels_or_is_refused(grid, offsets, reach_deg):
    move = Transformer.from_crs(CRS(grid.crs), CRS(4326), always_xy=True)
    lon, lat = move.transform(*placed(grid.transform, grid.width / 2, grid.height / 2))
    west, east = ((lon + reach_deg * offset + 180.0) % 360.0 - 180.0 for offset in offsets[:2])
    south, north = (max(-90.0, min(90.0, lat + reach_deg * offset)) for offset in sorted(offsets[2:]))
    check_complete(grid, (west, south, east, north))


@pytest.mark.parametrize("numbers", [(-400, 0, 0, 1), (0, -100, 1, 1), (0, 0, 0, 0), (1e300, 0, 1, 1)])
def test_boxes_off_the_earth(numbers):
    with pytest.raises(AreaError, match="W S E N in degrees"):
        window_of(GRID, bbox=numbers)


@pytest.mark.parametrize("grid", antimeridian_grids())
def test_an_area_split_at_the_antimeridian(tmp_path, grid):
    halves = [shapely.box(179.9, -17.2, 180.0, -17.1), shapely.box(-180.0, -17.2, -179.9, -17.1)]
    path = write_area(tmp_path / "a.geojson", [shapely.MultiPolygon(halves)])
    found, geometry = window_of(grid, aoi=path)
    assert np.abs(np.array(found) - window_of(grid, bbox=(179.9, -17.2, -179.9, -17.1))[0]).max() <= 1
    assert shapely.from_geojson(json.dumps(geometry)).area == pytest.approx(0.02)


def test_an_area_with_parts_at_the_other_end_of_the_world(tmp_path):
    box = box_around(1000, 500, 3000, 2500)
    far = [shapely.box(-170.0, -80.0, -100.0, 80.0), shapely.box(100.0, -80.0, 179.0, 80.0)]
    path = write_area(tmp_path / "a.gpkg", [shapely.box(*box), *far])
    assert np.abs(np.array(window_of(GRID, aoi=path)[0]) - window_of(GRID, bbox=box)[0]).max() <= 1
