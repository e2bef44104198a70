"""Areas: boxes, windows and vector files as windows on the PAN grid."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from geofuse.errors import AreaError, CorruptError, FormatError, GeorefError
from geofuse.geometry import Window
from geofuse.nouns import GeoJson
from geofuse.rasters.image import Grid
from geofuse.rasters.opening import sniffing
from geofuse.scenes import sidecars
from geofuse.scenes.projecting import (
    EDGE_POINTS,
    Points,
    full_turn,
    projector,
    rectangle,
    same_crs,
    span,
    to_map,
    to_pixels,
)

LONLAT = "OGC:CRS84"
GEOJSON_BYTES = 16 << 20
MARGIN_SHARE = 0.01

Bounds = tuple[float, float, float, float]

_MAGIC = {
    ".gpkg": re.compile(rb"SQLite format 3\x00.{52}(?:GPKG|GP10|GP11)", re.DOTALL),
    ".fgb": re.compile(rb"fgb\x03fgb"),
    ".shp": re.compile(rb"\x00\x00\x27\x0a"),
}
_POLYGONS = "a GeoJSON of polygons"
_CRS_NAME = re.compile(r"(?:urn:ogc:def:crs:(EPSG|OGC):[0-9.]*:|(EPSG|OGC):)(\w{1,10})", re.ASCII)


def window_of(
    scene_fine_grid: Grid,
    *,
    bbox: Sequence[float] | None = None,
    aoi: str | None = None,
    window: Sequence[int] | None = None,
    geometry: GeoJson | None = None,
) -> tuple[Window | None, GeoJson | None]:
    """Return the window of an area on the PAN grid, and the area as a GeoJSON geometry for the record.

    The product is rectangular: the window holds every PAN pixel whose centre lies in the bounding rectangle,
    along the PAN's rows and columns, of the area's part near the PAN. The area is one of `bbox`, west, south,
    east, north in degrees (west > east crosses the antimeridian), `aoi`, a vector file (GeoJSON, GeoPackage,
    FlatGeobuf, shapefile) of polygons, `geometry`, a GeoJSON object of polygons, or `window`, row, column,
    height and width in PAN pixels; with none of them the answer is (None, None). The window is
    (row0, row1, col0, col1), half-open; the geometry is in longitude and latitude, None for `window`. Raises
    AreaError for an area that is malformed, empty, or outside, GeorefError for a PAN without a coordinate system.
    """
    asked = {"bbox": bbox, "aoi": aoi, "window": window, "geometry": geometry}
    given = [name for name, value in asked.items() if value is not None]
    if len(given) > 1:
        raise AreaError(" and ".join(given) + " given", wanted=f"at most one of {', '.join(asked)}")
    if geometry is not None:
        return _of_shapes(scene_fine_grid, *_shapes(geometry, None), None)
    if bbox is not None:
        return _of_bbox(scene_fine_grid, bbox)
    if aoi is not None:
        return _of_file(scene_fine_grid, aoi)
    if window is not None:
        return _of_window(scene_fine_grid, window), None
    return None, None


def _of_window(grid: Grid, window: Sequence[int]) -> Window:
    text, wanted = f"window {_listed(window)}", "ROW COL HEIGHT WIDTH, whole numbers, HEIGHT and WIDTH over 0"
    if len(window) != 4 or any(isinstance(v, bool) or not math.isfinite(v) or int(v) != v for v in window):
        raise AreaError(text, wanted=wanted)
    row, col, height, width = (int(value) for value in window)
    if height <= 0 or width <= 0:
        raise AreaError(text, wanted=wanted)
    row0, row1 = max(0, row), min(grid.height, row + height)
    col0, col1 = max(0, col), min(grid.width, col + width)
    if row0 >= row1 or col0 >= col1:
        raise AreaError(f"{text} outside", wanted=f"part of {grid.height} rows and {grid.width} columns")
    return row0, row1, col0, col1


def _of_bbox(grid: Grid, bbox: Sequence[float]) -> tuple[Window, GeoJson]:
    wanted = "W S E N in degrees, -180 <= W, E <= 180, -90 <= S < N <= 90"
    text = f"bbox {_listed(bbox)}"
    if len(bbox) != 4 or not all(math.isfinite(value) for value in bbox):
        raise AreaError(text, wanted=wanted)
    west, south, east, north = (float(value) for value in bbox)
    stop = east if west <= east else east + 360.0
    if max(abs(west), abs(east)) > 180.0 or not -90.0 <= south < north <= 90.0 or stop <= west:
        raise AreaError(text, wanted=wanted)
    near, move = _near(grid), projector(LONLAT, grid.crs)
    parts = []
    for turn in (-720.0, -360.0, 0.0, 360.0, 720.0):  # a box across the antimeridian may go on to 540 degrees
        low = max(west + turn, near[0]), max(south, near[1])
        high = min(stop + turn, near[2]), min(north, near[3])
        if low[0] < high[0] and low[1] < high[1]:
            parts.append(move(rectangle(low, high)))
    return _covering(grid, parts, text), _box_geometry(west, south, stop, north)


def _box_geometry(west: float, south: float, stop: float, north: float) -> GeoJson:
    spans = [(west, stop)] if stop <= 180.0 else [(west, 180.0), (-180.0, stop - 360.0)]
    rings = [[[w, south], [e, south], [e, north], [w, north], [w, south]] for w, e in spans if w < e]
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings}
    return {"type": "MultiPolygon", "coordinates": [[ring] for ring in rings]}


def _lonlat_bounds(grid: Grid) -> Bounds:
    """Return the PAN's west, south, east, north in degrees, all on one turn of longitude."""
    if not grid.crs:
        raise GeorefError("PAN without a coordinate system", wanted="one, to place an area on it")
    size = float(grid.width), float(grid.height)
    outline = np.vstack([[[size[0] / 2, size[1] / 2]], rectangle((0.0, 0.0), size)])
    places = projector(grid.crs, LONLAT)(to_map(grid, outline))
    if not np.isfinite(places).all():
        raise GeorefError("PAN beyond the domain of its projection", wanted="a PAN with a place on earth")
    places[:, 0] += 360.0 * np.round((places[0, 0] - places[:, 0]) / 360.0)
    (west, south), (east, north) = places.min(axis=0), places.max(axis=0)
    poles = projector(LONLAT, grid.crs)(np.array([[0.0, -90.0], [0.0, 90.0]]))
    for pole, at in zip((-90.0, 90.0), to_pixels(grid, poles), strict=True):
        if 0.0 <= at[0] <= size[0] and 0.0 <= at[1] <= size[1]:
            west, east, south, north = west - 360.0, east + 360.0, min(south, pole), max(north, pole)
    return float(west), float(south), float(east), float(north)


def _near(grid: Grid) -> Bounds:
    """Return a lon/lat box a little bigger than the PAN: what lies beyond may fold over in its projection."""
    west, south, east, north = _lonlat_bounds(grid)
    wide, high = MARGIN_SHARE * (east - west), MARGIN_SHARE * (north - south)
    return west - wide, max(-90.0, south - high), east + wide, min(90.0, north + high)


def _covering(grid: Grid, parts: Sequence[Points], text: str) -> Window:
    """Return the smallest window that holds what each part's bounding rectangle covers of the PAN."""
    turn = full_turn(grid.crs)
    found = []
    for places in parts:
        for shift in (-turn, 0.0, turn) if turn else (0.0,):
            placed = to_pixels(grid, places + np.array([shift, 0.0]))
            (left, top), (right, bottom) = placed.min(axis=0), placed.max(axis=0)
            rows, cols = span(top, bottom, grid.height), span(left, right, grid.width)
            if rows[0] < rows[1] and cols[0] < cols[1]:
                found.append((*rows, *cols))
    if not found:
        bounds = " ".join(f"{degrees:.4f}" for degrees in _lonlat_bounds(grid))
        raise AreaError(f"no PAN pixel in {text}", wanted=f"an area that meets the scene, W S E N {bounds}")
    row0, row1, col0, col1 = zip(*found, strict=True)
    return min(row0), max(row1), min(col0), max(col1)


def _of_file(grid: Grid, path: str) -> tuple[Window, GeoJson]:
    return _of_shapes(grid, *_read_area(path), path)


def lonlat_area(path: str | None = None, geometry: GeoJson | None = None) -> tuple[Any, int]:
    """Return an area's polygons as one shape in longitude and latitude, and how many features made it.

    The area is a vector file or a GeoJSON object. Raises AreaError as `window_of` does.
    """
    import shapely

    shapes, crs = _shapes(geometry, None) if path is None else _read_area(path)
    shape = _one_shape(shapes, path)
    plain = same_crs(crs, LONLAT)
    lonlat = shape if plain else shapely.transform(_dense(shape), projector(crs, LONLAT))
    if not np.isfinite(shapely.get_coordinates(lonlat)).all():
        raise AreaError("an area without longitude and latitude", wanted="one on earth", path=path)
    return lonlat, len(shapes)


def _one_shape(shapes: Any, path: str | None) -> Any:
    import shapely

    shape = shapely.force_2d(shapely.union_all(shapely.make_valid(shapes)))
    if not shape.area > 0.0 or not np.isfinite(shape.bounds).all():
        raise AreaError("no polygon in the area", wanted="at least one", path=path)
    return shape


def _of_shapes(grid: Grid, shapes: Any, crs: str, path: str | None) -> tuple[Window, GeoJson]:
    import shapely

    shape = _one_shape(shapes, path)
    near = _near(grid)
    lonlat = shapely.transform(_dense(shape), projector(crs, LONLAT))
    if not np.isfinite(shapely.get_coordinates(lonlat)).all():
        raise AreaError("an area without longitude and latitude", wanted="one on earth", path=path)
    if same_crs(crs, grid.crs):
        parts = [shapely.get_coordinates(part) for part in shapely.get_parts(shape)]
    else:
        parts = _parts_near(lonlat, near, grid.crs)
    return _covering(grid, parts, f"area {path}" if path else "the area"), json.loads(
        shapely.to_geojson(lonlat)
    )


def _parts_near(lonlat: Any, near: Bounds, crs: str) -> list[Points]:
    """Return the outlines of an area's parts near the PAN, in the PAN's coordinate system."""
    import shapely

    valid, move = shapely.make_valid(lonlat), projector(LONLAT, crs)
    found = []
    for turn in (-720.0, -360.0, 0.0, 360.0, 720.0):
        shifted = shapely.transform(valid, lambda places, by=turn: places + np.array([by, 0.0]))
        shared = shapely.intersection(shifted, shapely.box(*near))
        found += [
            move(shapely.get_coordinates(_dense(part))) for part in shapely.get_parts(shared) if part.area
        ]
    return found


def _dense(shape: Any) -> Any:
    """Return a shape with points along its edges, so that a projection may bend them."""
    import shapely

    west, south, east, north = shape.bounds
    return shapely.segmentize(shape, max(east - west, north - south) / (4 * EDGE_POINTS))


def _read_area(path: str) -> tuple[Any, str]:
    """Return the geometries of a vector file and the WKT of their coordinate system.

    A GeoJSON is parsed here; the other formats are opened only where extension and first bytes agree, so that
    no other driver takes them.
    """
    extension = os.path.splitext(path)[1].lower()
    wanted = "a GeoJSON, GeoPackage, FlatGeobuf or shapefile"
    try:
        if extension in (".geojson", ".json"):
            return _geojson(sidecars.read_small(path, GEOJSON_BYTES), path)
        with sniffing.opened(path) as span:
            head = sniffing.bytes_at(span, 0, 72)
    except (FormatError, CorruptError) as fault:
        raise AreaError(fault.found, wanted=wanted, path=fault.path) from fault
    if extension not in _MAGIC or not _MAGIC[extension].match(head) or path.startswith(sniffing.TAR):
        raise AreaError("not a vector file geofuse reads", wanted=wanted, path=path)
    return _layer(path)


def _layer(path: str) -> tuple[Any, str]:
    import geopandas
    import pyogrio

    try:
        layers = pyogrio.list_layers(path)
        if len(layers) != 1:
            raise AreaError(f"{len(layers)} layers", wanted="one", path=path)
        frame = geopandas.read_file(path, columns=[])
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, ValueError, RuntimeError) as fault:
        raise AreaError("a vector file that cannot be read", wanted="a valid one", path=path) from fault
    if getattr(frame, "crs", None) is None:
        raise AreaError("an area without a coordinate system", wanted="one", path=path)
    return frame.geometry.to_numpy(), frame.crs.to_wkt()


def _geojson(data: bytes, path: str | None) -> tuple[Any, str]:
    try:
        value = json.loads(data, parse_constant=_refused)
    except (ValueError, RecursionError) as fault:
        raise AreaError("malformed GeoJSON", wanted=_POLYGONS, path=path) from fault
    return _shapes(value, path)


def _shapes(value: Any, path: str | None) -> tuple[Any, str]:
    """Return a GeoJSON's geometries; in longitude and latitude unless its old `crs` member says else."""
    import shapely

    try:
        if value["type"] == "FeatureCollection":
            geometries = [feature["geometry"] for feature in value["features"]]
        else:
            geometries = [value["geometry"] if value["type"] == "Feature" else value]
        texts = [json.dumps(geometry) for geometry in geometries if geometry is not None]
        shapes = np.array(shapely.from_geojson(texts), dtype=object)
        crs = _geojson_crs(value.get("crs"), path)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, shapely.GEOSException) as fault:
        raise AreaError("malformed GeoJSON", wanted=_POLYGONS, path=path) from fault
    farthest = np.abs(shapely.get_coordinates(shapes)).max(axis=0, initial=0.0)
    if crs == LONLAT and (farthest[0] > 360.0 or farthest[1] > 90.0):
        raise AreaError("coordinates that are not degrees", wanted="longitude and latitude", path=path)
    return shapes, crs


def _refused(constant: str) -> float:
    raise ValueError(constant)


def _geojson_crs(member: Any, path: str | None) -> str:
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    if member is None:
        return LONLAT
    match = _CRS_NAME.fullmatch(member["properties"]["name"])
    try:
        if match is None:
            raise CRSError("not an EPSG or OGC name")
        authority, code = match[1] or match[2], match[3]
        crs = CRS.from_authority(authority, code)
    except CRSError as fault:
        raise AreaError("a GeoJSON crs that is not known", wanted="EPSG:n, or none", path=path) from fault
    return LONLAT if same_crs(crs.to_wkt(), LONLAT) else str(crs.to_wkt())


def _listed(values: Sequence[float]) -> str:
    return " ".join(f"{value!s:.24}" for value in values[:5])
