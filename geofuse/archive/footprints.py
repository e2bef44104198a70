"""Footprints: the valid areas of products in longitude and latitude, and the vector files that hold them all."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from geofuse.errors import GeorefError
from geofuse.files import share, sync, write_faults
from geofuse.nouns import GeoJson
from geofuse.rasters.image import Grid
from geofuse.scenes.aoi import LONLAT, window_of
from geofuse.scenes.projecting import EDGE_POINTS, projector

DECIMALS = 7
"""Of a degree: a centimetre."""
STRAIGHTEN_SHARE = 5e-5
"""Of the footprint's extent: how far an edge may bend between two points and still be drawn straight."""
COLUMNS = (
    "id",
    "collection",
    "start",
    "stop",
    "cloud_cover",
    "access",
    "license",
    "attribution",
    "version",
    "href",
)
"""Of the vector files, beside the geometry."""
FILES = ("footprints.parquet", "footprints.gpkg")
_WORLD = Grid(LONLAT, (1e-7, 0.0, -180.0, 0.0, -1e-7, 90.0), 1_800_000_000, 3_600_000_000)
"""The whole of it on a grid finer than any area, for the one reader of areas that there is."""


def lonlat_footprint(geometry: GeoJson, crs: str) -> GeoJson:
    """Return an outline in a CRS as a GeoJSON geometry in longitude and latitude.

    Edges are bent as the projection bends them; what crosses the antimeridian is cut there, and what holds a
    pole reaches it (RFC 7946, 3.1.6 and 3.1.9). Raises GeorefError where the projection does not reach.
    """
    move = projector(crs, LONLAT)
    shape = shapely.geometry.shape(geometry)
    west, south, east, north = shape.bounds
    dense = shapely.segmentize(shape, max(east - west, north - south) / (4 * EDGE_POINTS))
    parts = [_on_one_turn(part, move) for part in shapely.get_parts(dense)]
    whole = shapely.union_all(shapely.make_valid(np.array(parts, dtype=object)))
    west, south, east, north = whole.bounds
    straight = shapely.make_valid(shapely.simplify(whole, STRAIGHTEN_SHARE * max(east - west, north - south)))
    cut = shapely.get_parts(shapely.set_precision(_on_the_world(straight), 10.0**-DECIMALS))
    polygons = [part for part in cut if part.geom_type == "Polygon" and part.area > 0.0]
    if not polygons:
        raise GeorefError("a footprint of no area in longitude and latitude", wanted="one on earth")
    joined = polygons[0] if len(polygons) == 1 else shapely.multipolygons(polygons)
    found: GeoJson = json.loads(shapely.to_geojson(shapely.orient_polygons(joined)))
    return found


def _on_the_world(shape: Any) -> Any:
    """Cut a shape at the antimeridian and bring what is beyond back."""
    world = shapely.box(-180.0, -90.0, 180.0, 90.0)
    turns = [
        shapely.intersection(shapely.transform(shape, lambda at, by=turn: at + np.array([by, 0.0])), world)
        for turn in (-360.0, 0.0, 360.0)
    ]
    return shapely.union_all(turns)


def area_of(*, bbox: Sequence[float] | None = None, aoi: str | None = None) -> Any:
    """Return an area to search, W S E N or a vector file of polygons, as a shapely geometry; None for neither.

    In longitude and latitude, cut at the antimeridian. Raises AreaError for one that is malformed or empty.
    """
    _, geometry = window_of(_WORLD, bbox=bbox, aoi=aoi)
    return None if geometry is None else _on_the_world(shapely.make_valid(shapely.geometry.shape(geometry)))


def _on_one_turn(polygon: Any, move: Any) -> Any:
    """Project a polygon so that its longitudes run on without a jump, beyond 180 degrees where they must."""
    outer = _unwrapped(move(shapely.get_coordinates(polygon.exterior)))
    middle = outer[:, 0].mean()
    holes = []
    for ring in polygon.interiors:
        inner = _unwrapped(move(shapely.get_coordinates(ring)))
        inner[:, 0] += 360.0 * np.round((middle - inner[:, 0].mean()) / 360.0)
        holes.append(inner)
    gap = outer[-1, 0] - outer[0, 0]
    if abs(gap) > 180.0:  # the ring goes round a pole: it closes along the pole itself
        pole = 90.0 if outer[:, 1].mean() > 0.0 else -90.0
        outer = np.vstack([outer, [[outer[-1, 0], pole], [outer[0, 0], pole], outer[0]]])
    return shapely.Polygon(outer, holes)


def _unwrapped(places: NDArray[np.float64]) -> NDArray[np.float64]:
    if not np.isfinite(places).all():
        raise GeorefError("a footprint beyond the domain of its projection", wanted="one on earth")
    return np.stack([np.unwrap(places[:, 0], period=360.0), places[:, 1]], axis=1)


def footprint_bounds(geometry: GeoJson) -> tuple[float, float, float, float]:
    """Return west, south, east, north; east is over 180 where the footprint crosses the antimeridian.

    >>> footprint_bounds({"type": "Point", "coordinates": [3.0, 4.0]})
    (3.0, 4.0, 3.0, 4.0)
    """
    return _bounds(_shape(geometry))


def _bounds(shape: Any) -> tuple[float, float, float, float]:
    west, south, east, north = shapely.bounds(shape).tolist()
    if (west, east) == (-180.0, 180.0):
        boxes = shapely.bounds(shapely.get_parts(shape))
        turned = boxes + np.where(boxes[:, 2:3] <= 0.0, [[360.0, 0.0, 360.0, 0.0]], 0.0)
        if np.ptp(turned[:, [0, 2]]) < 360.0:
            west, east = float(turned[:, 0].min()), float(turned[:, 2].max())
    return west, south, east, north


def _shape(geometry: GeoJson) -> Any:
    """Return a GeoJSON geometry as a shapely one; raises ValueError where it is none."""
    return shapely.from_geojson(json.dumps(geometry))


def joined_bounds(boxes: Sequence[Sequence[float]]) -> tuple[float, float, float, float]:
    """Return the smallest bounds around `footprint_bounds`: they leave out the widest gap on the turn of the earth.

    >>> joined_bounds([(177.0, -19.0, 182.0, -16.0), (-175.0, 0.0, -170.0, 1.0)])
    (177.0, -19.0, 190.0, 1.0)
    >>> joined_bounds([(-10.0, 0.0, 5.0, 1.0), (20.0, 2.0, 30.0, 3.0)])
    (-10.0, 0.0, 30.0, 3.0)
    """
    spans = sorted((float(box[0]), float(box[2])) for box in boxes)
    first, reach = spans[0]
    west, east, widest = first, first, 0.0
    for start, stop in spans:
        if start - reach > widest:
            west, east, widest = start, reach + 360.0, start - reach
        reach = max(reach, stop)
    if first + 360.0 - reach >= widest:
        west, east = first, reach
    if east - west >= 360.0:
        west, east = -180.0, 180.0
    return west, float(min(box[1] for box in boxes)), east, float(max(box[3] for box in boxes))


def stac_bbox(bounds: Sequence[float]) -> list[float]:
    """Return `footprint_bounds` as STAC and GeoJSON write it: west > east across the antimeridian.

    >>> stac_bbox((170.0, -10.0, 190.0, 10.0))
    [170.0, -10.0, -170.0, 10.0]
    """
    west, south, east, north = bounds
    return [west, south, round(east - 360.0, DECIMALS) if east > 180.0 else east, north]


def place_words(bounds: Sequence[float]) -> str:
    """Return where the middle of `footprint_bounds` is, to a tenth of a degree.

    >>> place_words((179.0, -17.0, 182.0, -16.0))
    '16.5° S 179.5° W'
    """
    west, south, east, north = bounds
    lat, lon = (south + north) / 2.0, (west + east) / 2.0
    lon = lon - 360.0 if lon > 180.0 else lon
    return f"{abs(lat):.1f}° {'S' if lat < 0 else 'N'} {abs(lon):.1f}° {'W' if lon < 0 else 'E'}"


def overlap_share(one: GeoJson, other: GeoJson) -> float:
    """Return what two footprints share, as a part of the larger one (in square degrees)."""
    first, second = _shape(one), _shape(other)
    return float(shapely.intersection(first, second).area / max(first.area, second.area))


def packed(geometry: GeoJson) -> tuple[bytes, tuple[float, float, float, float]]:
    """Return a footprint as WKB, and its `footprint_bounds`; raises ValueError for what is no geometry."""
    try:
        shape = _shape(geometry)
    except shapely.GEOSException as fault:
        raise ValueError(f"no GeoJSON geometry: {fault}") from fault
    if shape.is_empty:
        raise ValueError("an empty geometry")
    return bytes(shapely.to_wkb(shape)), _bounds(shape)


def meets(footprints: Sequence[bytes], area: Any) -> NDArray[np.bool_]:
    """Say of each footprint (WKB) whether it meets an area in longitude and latitude, as a shapely geometry."""
    shapely.prepare(area)
    return np.asarray(
        shapely.intersects(shapely.from_wkb(np.array(footprints, dtype=object)), area), np.bool_
    )


def write_footprints(folder: Path, rows: Sequence[Sequence[Any]]) -> None:
    """Write all footprints as GeoParquet 1.1 and GeoPackage, each replaced in one step.

    A row holds the values of `COLUMNS`, then the footprint as WKB. Raises WriteError.
    """
    import geopandas

    columns = list(zip(*rows, strict=True)) or [()] * (len(COLUMNS) + 1)
    table: dict[str, NDArray[Any]] = {
        name: np.array(values, dtype=object) for name, values in zip(COLUMNS, columns[:-1], strict=True)
    }
    for name in ("start", "stop"):
        table[name] = (table[name].astype(np.float64) * 1000.0).round().astype("datetime64[ms]")
    table["cloud_cover"] = table["cloud_cover"].astype(np.float64)
    shapes = shapely.from_wkb(np.array(columns[-1], dtype=object))
    frame = geopandas.GeoDataFrame(table, geometry=shapes, crs=LONLAT)
    for name in ("start", "stop"):
        frame[name] = frame[name].dt.tz_localize("UTC")
    scratch = folder / f".footprints.{uuid.uuid4().hex[:8]}.tmp"  # GDAL judges a file by its extension
    with write_faults(folder / FILES[0]):
        scratch.mkdir()
    try:
        parquet, package = (scratch / name for name in FILES)
        with write_faults(folder / FILES[0]):
            frame.to_parquet(parquet, index=False, schema_version="1.1.0", write_covering_bbox=True)
        with write_faults(folder / FILES[1]):
            frame.to_crs("EPSG:4326").to_file(
                package,
                driver="GPKG",
                layer="footprints",
                engine="pyogrio",
                geometry_type="MultiPolygon",
                promote_to_multi=True,
            )
        for made in (parquet, package):
            with write_faults(folder / made.name):
                share(made)
                sync(made)
                made.replace(folder / made.name)
        with write_faults(folder):
            sync(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
