"""Footprints hold the true valid area, wherever on earth, and other programs read the files of them."""

from __future__ import annotations

import json
import math
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pyogrio
import pytest
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Geod

from geofuse.archive.footprints import (
    COLUMNS,
    area_of,
    footprint_bounds,
    lonlat_footprint,
    meets,
    overlap_share,
    packed,
    stac_bbox,
    write_footprints,
)
from geofuse.errors import AreaError, CorruptError, GeorefError, PixelError
from geofuse.rasters.cog import CogSpec, checked_spec, write_cog
from geofuse.rasters.valid_area import OUTLINE_PX, valid_area

GEOD = Geod(ellps="WGS84")
UTM = "EPSG:32632"


def product(
    path: Path,
    valid: NDArray[np.bool_],
    *,
    dtype: str = "uint8",
    nodata: float | None = 0.0,
    crs: str = UTM,
    step: float = 10.0,
    corner: tuple[float, float] = (500_000.0, 5_400_000.0),
) -> str:
    """Write a COG (H, W) that is valid where told."""
    empty = 0.0 if nodata is None else nodata
    spec = checked_spec(
        CogSpec(
            height=valid.shape[0],
            width=valid.shape[1],
            bands=1,
            dtype=dtype,
            nodata=nodata,
            crs=CRS(crs).to_wkt("WKT1_GDAL"),
            transform=(step, 0.0, corner[0], 0.0, -step, corner[1]),
            descriptions=("red",),
            colors=("gray",),
            compress="deflate",
            level=1,
        )
    )
    write_cog(path, np.where(valid, 7, empty).astype(dtype)[..., None], spec)
    return str(path)


def slanted(height: int, width: int, *, slope: float, swath: int) -> NDArray[np.bool_]:
    """Return a swath `swath` pixels wide that moves right by `slope` pixels a row."""
    row, col = np.indices((height, width), dtype=np.float32)
    left = slope * (row + 0.5)
    return (col + 0.5 >= left) & (col + 0.5 < left + swath)


def ground_area(geometry: dict[str, Any]) -> float:
    """Return square metres on the ellipsoid, by another library's integral, holes taken off."""
    area, _ = GEOD.geometry_area_perimeter(shapely.geometry.shape(geometry))
    return abs(area)


@pytest.mark.parametrize(("height", "width"), [(700, 900), (3 * OUTLINE_PX, OUTLINE_PX + 77)])
def test_a_slanted_swath_has_its_true_area(tmp_path: Path, height: int, width: int) -> None:
    slope, swath = 0.2, width // 2
    outline = valid_area(product(tmp_path / "x.tif", slanted(height, width, slope=slope, swath=swath)))
    shape = shapely.geometry.shape(outline)
    rows_inside = min(height, (width - swath) / slope)
    true_px = swath * rows_inside
    if rows_inside < height:  # the swath leaves the image: its right edge is cut
        below = height - rows_inside
        true_px += swath * below - slope * below**2 / 2
    assert shape.area == pytest.approx(100.0 * true_px, rel=0.01)
    assert len(shapely.get_coordinates(shape)) < 40
    footprint = lonlat_footprint(outline, UTM)
    assert ground_area(footprint) == pytest.approx(100.0 * true_px / 0.9996**2, rel=0.01)
    west, south, east, north = footprint_bounds(footprint)
    box = shapely.geometry.mapping(shapely.box(west, south, east, north))
    assert ground_area(footprint) < 0.9 * ground_area(box)


def test_lakes_stay_and_specks_go(tmp_path: Path) -> None:
    valid = np.ones((600, 800), bool)
    valid[100:200, 300:500] = False
    rng = np.random.default_rng(5)
    valid[rng.integers(0, 600, 300), rng.integers(0, 800, 300)] = False
    shape = shapely.geometry.shape(valid_area(product(tmp_path / "x.tif", valid)))
    assert shape.area == pytest.approx(100.0 * (600 * 800 - 100 * 200), rel=0.002)
    assert len(shape.interiors) == 1
    assert shape.interiors[0].bounds == (503_000.0, 5_398_000.0, 505_000.0, 5_399_000.0)


def test_islands_are_many_polygons(tmp_path: Path) -> None:
    valid = np.zeros((300, 300), bool)
    valid[10:110, 10:110] = valid[200:280, 200:290] = True
    shape = shapely.geometry.shape(valid_area(product(tmp_path / "x.tif", valid)))
    assert shape.geom_type == "MultiPolygon"
    assert shape.area == pytest.approx(100.0 * (100 * 100 + 80 * 90))


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("float32", math.nan), ("float64", -9999.0), ("int16", -1), ("uint16", None)]
)
def test_validity_is_what_the_product_says(tmp_path: Path, dtype: str, nodata: float | None) -> None:
    valid = np.ones((64, 80), bool)
    valid[:, :30] = False
    shape = shapely.geometry.shape(valid_area(product(tmp_path / "x.tif", valid, dtype=dtype, nodata=nodata)))
    assert shape.area == 100.0 * 64 * (80 if nodata is None else 50)


def test_nothing_valid_and_damage_are_named(tmp_path: Path) -> None:
    path = product(tmp_path / "x.tif", np.zeros((64, 64), bool))
    with pytest.raises(PixelError, match="no valid pixel"):
        valid_area(path)
    path = product(tmp_path / "y.tif", slanted(700, 700, slope=0.3, swath=300))
    data = bytearray(Path(path).read_bytes())
    data[len(data) // 2 :] = b"\xff" * (len(data) - len(data) // 2)
    Path(path).write_bytes(data)
    with pytest.raises(CorruptError):
        valid_area(path)


def box_of(low: tuple[float, float], high: tuple[float, float]) -> dict[str, Any]:
    return dict(shapely.geometry.mapping(shapely.box(*low, *high)))


def test_across_the_antimeridian_it_is_cut_there() -> None:
    outline = box_of((-100_000.0, -100_000.0), (100_000.0, 100_000.0))
    crs = CRS.from_proj4("+proj=laea +lat_0=-17 +lon_0=180 +datum=WGS84").to_wkt()
    footprint = lonlat_footprint(outline, crs)
    assert footprint["type"] == "MultiPolygon"
    places = shapely.get_coordinates(shapely.geometry.shape(footprint))
    assert np.abs(places[:, 0]).max() == 180.0
    assert np.abs(places[:, 0]).min() > 178.9
    assert ground_area(footprint) == pytest.approx(4e10, rel=0.001)
    west, south, east, north = footprint_bounds(footprint)
    assert 178.9 < west < 180.0 < east < 181.1
    assert stac_bbox((west, south, east, north)) == pytest.approx([west, south, east - 360.0, north])


@pytest.mark.parametrize(("crs", "pole"), [("EPSG:3031", -90.0), ("EPSG:3413", 90.0)])
def test_round_a_pole_it_reaches_it(crs: str, pole: float) -> None:
    footprint = lonlat_footprint(box_of((-200_000.0, -300_000.0), (250_000.0, 350_000.0)), crs)
    shape = shapely.geometry.shape(footprint)
    assert shape.is_valid
    for degrees in np.arange(-179.0, 180.0, 17.0):
        assert shape.contains(shapely.Point(degrees, pole - math.copysign(0.5, pole)))
        assert not shape.intersects(shapely.Point(degrees, pole - math.copysign(6.0, pole)))
    west, _, east, _ = footprint_bounds(footprint)
    assert (west, east) == (-180.0, 180.0)


def test_degrees_beyond_180_come_back() -> None:
    footprint = lonlat_footprint(box_of((179.0, 10.0), (181.0, 11.0)), "OGC:CRS84")
    assert footprint_bounds(footprint) == (179.0, 10.0, 181.0, 11.0)
    assert footprint_bounds(lonlat_footprint(box_of((190.0, 0.0), (191.0, 1.0)), "OGC:CRS84"))[0] == -170.0


def test_rings_turn_as_geojson_says_and_edges_bend() -> None:
    hole = shapely.box(3_000_000.0, 1_000_000.0, 3_500_000.0, 1_500_000.0)
    outline = dict(shapely.geometry.mapping(shapely.box(0.0, 0.0, 4_000_000.0, 3_000_000.0) - hole))
    shape = shapely.geometry.shape(lonlat_footprint(outline, "EPSG:3035"))
    assert shapely.is_ccw(shape.exterior)
    assert [shapely.is_ccw(ring) for ring in shape.interiors] == [False]
    assert ground_area(dict(shapely.geometry.mapping(shape))) == pytest.approx(1.175e13, rel=0.001)


def test_beyond_the_projection_is_named() -> None:
    with pytest.raises(GeorefError, match="beyond the domain"):
        lonlat_footprint(box_of((0.0, 0.0), (1e9, 1e9)), "EPSG:3035")


def test_what_two_footprints_share() -> None:
    one, other = box_of((0.0, 0.0), (2.0, 1.0)), box_of((1.0, 0.0), (2.0, 1.0))
    assert overlap_share(one, other) == 0.5
    assert overlap_share(other, one) == 0.5
    assert overlap_share(one, box_of((5.0, 5.0), (6.0, 6.0))) == 0.0


def test_areas_to_search(tmp_path: Path) -> None:
    assert area_of() is None
    assert area_of(bbox=(10.0, 40.0, 11.0, 41.0)).equals(shapely.box(10.0, 40.0, 11.0, 41.0))
    across = area_of(bbox=(179.0, -1.0, -179.0, 1.0))
    assert across.area == pytest.approx(4.0)
    assert across.bounds == (-180.0, -1.0, 180.0, 1.0)
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(box_of((1e-4, 2e-4), (2e-4, 3e-4))))  # ten metres are an area too
    assert area_of(aoi=str(path)).area == pytest.approx(1e-8)
    for bad in ((0.0, 1.0, 2.0, 1.0), (0.0, 0.0, math.nan, 1.0), (0.0, 0.0, 1.0, 91.0)):
        with pytest.raises(AreaError):
            area_of(bbox=bad)
    path.write_text('{"type": "Polygon"}')
    with pytest.raises(AreaError):
        area_of(aoi=str(path))
    shapes = [packed(box_of(*ends))[0] for ends in (((0.0, 0.0), (1.0, 1.0)), ((179.5, 0.0), (179.9, 0.5)))]
    assert meets(shapes, across).tolist() == [False, True]


def rows(count: int) -> list[tuple[Any, ...]]:
    said = ("open", "other", "© X", "1")
    return [
        (f"i{n}", "landsat8", 1.5e9 + n, 1.5e9 + n, None if n else 12.5, *said, f"{n}.json", square(n))
        for n in range(count)
    ]


def square(n: int) -> bytes:
    return packed(box_of((n, 0.0), (n + 1.0, 1.0)))[0]


def test_other_programs_read_the_files(tmp_path: Path) -> None:
    write_footprints(tmp_path, rows(3))
    write_footprints(tmp_path, rows(2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["footprints.gpkg", "footprints.parquet"]
    found = pyarrow.parquet.read_table(tmp_path / "footprints.parquet")
    geo = json.loads(found.schema.metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    assert geo["columns"]["geometry"]["encoding"] == "WKB"
    assert geo["columns"]["geometry"]["bbox"] == [0.0, 0.0, 2.0, 1.0]
    assert "covering" in geo["columns"]["geometry"]
    assert found.column("id").to_pylist() == ["i0", "i1"]
    assert found.column("cloud_cover").to_pylist()[0] == 12.5
    shapes = shapely.from_wkb(found.column("geometry").to_pylist())
    assert [shape.bounds for shape in shapes] == [(0.0, 0.0, 1.0, 1.0), (1.0, 0.0, 2.0, 1.0)]
    layer = pyogrio.read_info(tmp_path / "footprints.gpkg", layer="footprints")
    assert (layer["features"], layer["geometry_type"], layer["crs"]) == (2, "MultiPolygon", "EPSG:4326")
    assert list(layer["fields"]) == list(COLUMNS)
    frame = pyogrio.read_dataframe(tmp_path / "footprints.gpkg")
    assert frame["start"][0].isoformat() == "2017-07-14T02:40:00+00:00"
    with sqlite3.connect(tmp_path / "footprints.gpkg") as package:
        assert package.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert package.execute("SELECT count(*) FROM gpkg_geometry_columns").fetchone() == (1,)
    package.close()


def test_no_items_are_files_too(tmp_path: Path) -> None:
    write_footprints(tmp_path, [])
    assert pyarrow.parquet.read_table(tmp_path / "footprints.parquet").num_rows == 0
    assert pyogrio.read_info(tmp_path / "footprints.gpkg")["features"] == 0
