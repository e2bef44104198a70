"""The list of items, an item, its numbers at a place, its picture, its record and report."""

from __future__ import annotations

import json
import math
from hashlib import blake2b
from html import escape
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import JSONResponse, Response

from geofuse.archive.catalog_index import seconds
from geofuse.archive.footprints import area_of
from geofuse.archive.stac_item import acquired_span
from geofuse.clips.clip import FORMATS
from geofuse.errors import GeofuseError, MissingError, UsageError
from geofuse.metrics.table import installed, row_of
from geofuse.nouns import Foreign
from geofuse.scenes.projecting import projector, to_pixels
from geofuse.serve.answers import ConfigAnswer, PointAnswer, PointBandAnswer, ServedMetric
from geofuse.serve.http.access import Grant, demand
from geofuse.serve.http.dependencies import Door, TheDoor, TheRow, TheVisitor, known_only, root_of
from geofuse.serve.http.faults import RESPONSES
from geofuse.serve.maps.masks import mask_at
from geofuse.serve.maps.painting import encode, picture
from geofuse.serve.maps.rasters import Raster, mask_of, raster_at, read_scaled, scaled_shape
from geofuse.serve.maps.rendering import band_names, look_of
from geofuse.serve.stac.archive import IndexRow, Search
from geofuse.serve.stac.item_views import detail, facets, feature, physical_scale, report_key
from geofuse.version import __version__

MOST_ITEMS = 500
QUICKLOOK_PX = 1024
REPORT_CSP = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox allow-scripts"
)
"""A report is one file that needs nothing else; it runs in a sandbox without this server's origin."""
router = APIRouter(prefix="/api", tags=["items"], responses=RESPONSES, dependencies=[Depends(known_only)])


@router.get("/config", response_model=Foreign)
async def config(door: TheDoor) -> ConfigAnswer:
    """What the page needs to know of the server."""
    settings, limits = door.settings, door.settings.limits
    base = settings.basemap
    return {
        "version": __version__,
        "title": settings.title,
        "basemap": None
        if base is None
        else {"url": base.url, "attribution": base.attribution, "max_zoom": base.max_zoom},
        "formats": [
            {"id": form.key, "label": form.label, "extension": form.extension} for form in FORMATS.values()
        ],
        "metrics": [
            ServedMetric(**row_of(metric), shown=list(metric.shown)) for metric in installed().metrics
        ],
        "limits": {
            "clip_px": limits.clip_px,
            "clip_bytes": limits.clip_bytes,
            "upload_bytes": limits.upload_bytes,
        },
    }


@router.get("/items")
async def items(
    request: Request,
    door: TheDoor,
    visitor: TheVisitor,
    bbox: Annotated[str | None, Query(description="W,S,E,N in degrees", max_length=200)] = None,
    datetime: Annotated[str | None, Query(description="A/B, A/.., ../B, or one", max_length=100)] = None,
    sensor: Annotated[str | None, Query(max_length=100)] = None,
    cloud_max: Annotated[float | None, Query(ge=0, le=100)] = None,
    verdict: Annotated[str | None, Query(max_length=20)] = None,
    q: Annotated[str | None, Query(description="words", max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_ITEMS)] = 100,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> Response:
    """The items found, newest first, as GeoJSON."""
    archive = await door.fresh()
    start, stop = interval(datetime)
    search = Search(
        area=area_of(bbox=numbers(bbox)) if bbox else None,
        start=start,
        stop=stop,
        sensor=sensor or None,
        cloud_max=cloud_max,
        verdict=verdict or None,
        words=q or None,
    )
    text = repr((archive.state, visitor.trusted, request.scope["query_string"]))
    tag = f'W/"{blake2b(text.encode(), digest_size=12).hexdigest()}"'
    headers = {"etag": tag, "cache-control": "private, no-cache"}
    if unchanged(request, tag):
        return Response(status_code=304, headers=headers)

    def found() -> bytes:
        rows = archive.search(search, visitor)
        timeless = rows
        if start is not None or stop is not None:
            plain = Search(
                search.area, None, None, search.sensor, search.cloud_max, search.verdict, search.words
            )
            timeless = archive.search(plain, visitor)
        shown = [feature(*archive.row(row.id, visitor)) for row in rows[offset : offset + limit]]
        value = {
            "type": "FeatureCollection",
            "features": shown,
            "numberMatched": len(rows),
            "numberReturned": len(shown),
            "facets": facets(rows, timeless),
        }
        return json.dumps(value).encode()

    return Response(await door.aside(found), media_type="application/geo+json", headers=headers)


@router.get("/items/{id}")
async def item(request: Request, door: TheDoor, found: TheRow) -> Response:
    """All of an item."""
    row, grant = found
    value = await door.aside(detail, door.archive, row, grant, root_of(request, door.settings))
    return JSONResponse(value, headers={"cache-control": "private, no-cache"})


@router.get("/items/{id}/point", response_model=Foreign)
async def point(
    door: TheDoor,
    found: TheRow,
    lon: Annotated[float, Query(ge=-360, le=360, allow_inf_nan=False)],
    lat: Annotated[float, Query(ge=-90, le=90, allow_inf_nan=False)],
) -> PointAnswer:
    """What the pixel at a place says: as stored, as physical value, and what the unsharpened input says there.

    Of an item that may only be looked at: the mean of 4 x 4 pixels.
    """
    row, grant = found
    return await door.aside(_point, door, row, grant, (lon, lat))


def _point(door: Any, row: IndexRow, grant: Grant, place: tuple[float, float]) -> PointAnswer:
    raster = raster_at(door.archive.asset_path(row, "data"))
    at, values = _values(raster, place, grant.scale)
    own: list[float] | None = None
    ratio = 1
    if "input" in row.assets:
        coarse = raster_at(door.archive.asset_path(row, "input"))
        _, own = _values(coarse, place, grant.scale)
        ratio = max(1, round(raster.shape[0] / coarse.shape[0]))
    bands: list[PointBandAnswer] = []
    for index, name in enumerate(band_names(row)):
        scale, offset = physical_scale(row, raster, index)
        dn, plain = (None if seen is None else _number(seen[index]) for seen in (values, own))
        bands.append(
            {
                "name": name,
                "dn": dn,
                "physical": None if dn is None else dn * scale + offset,
                "input_dn": plain,
                "input_physical": None if plain is None else plain * scale + offset,
            }
        )
    mask = mask_of(door.archive, row)
    return {
        "mask": mask_at(mask, at, ratio, grant.scale) if mask is not None and at else None,
        "row": at[0] if at else None,
        "col": at[1] if at else None,
        "valid": values is not None,
        "scale": grant.scale,
        "bands": bands,
    }


def _values(
    raster: Raster, place: tuple[float, float], scale: int
) -> tuple[tuple[int, int] | None, list[float] | None]:
    """Return the pixel under a place in longitude and latitude, and its values; None where there are none."""
    where = projector("OGC:CRS84", raster.facts.grid.crs)(np.array([place]))
    col, row = to_pixels(raster.facts.grid, where)[0]
    height, width = raster.shape
    if not (math.isfinite(row) and math.isfinite(col) and 0 <= row < height and 0 <= col < width):
        return None, None
    high, wide = scaled_shape(raster, scale)
    top, left = min(int(row) // scale, high - 1), min(int(col) // scale, wide - 1)
    every = tuple(range(len(raster.facts.dtypes)))
    values, valid = read_scaled(raster, every, (top, top + 1, left, left + 1), scale)
    pixel = (int(row), int(col))
    return pixel, ([float(value) for value in values[:, 0, 0]] if valid[0, 0] else None)


def _number(value: float) -> float | int:
    return int(value) if value.is_integer() else value


@router.get("/items/{id}/quicklook.png", response_class=Response)
async def quicklook(
    request: Request, door: TheDoor, found: TheRow, v: Annotated[str | None, Query(max_length=60)] = None
) -> Response:
    """A small picture."""
    row, grant = found
    tag = f'"{row.version}-{grant.scale}"'
    headers = {"etag": tag, "cache-control": kept_for(v, row)}
    if unchanged(request, tag):
        return Response(status_code=304, headers=headers)
    if grant.native and "quicklook" in row.assets:
        path = await door.aside(door.archive.asset_path, row, "quicklook")
        return Response(await door.aside(Path.read_bytes, path), media_type="image/png", headers=headers)
    data = await door.aside(_picture, door, row, grant)
    return Response(data, media_type="image/png", headers=headers)


def _picture(door: Any, row: IndexRow, grant: Grant) -> bytes:
    raster = raster_at(door.archive.asset_path(row, "data"))
    factor = grant.scale
    while max(raster.shape) > QUICKLOOK_PX * factor:
        factor *= 2
    return encode(picture(raster, look_of(row, raster, mask=mask_of(door.archive, row)), factor), "png")


@router.get("/items/{id}/provenance")
async def provenance(door: TheDoor, found: TheRow) -> Response:
    """How the product was made; of the inputs' paths only their names."""
    row, _ = found
    path = await door.aside(door.archive.asset_path, row, "provenance")
    record = json.loads(await door.aside(Path.read_bytes, path))
    return JSONResponse(without_paths(record), headers={"cache-control": "private, no-cache"})


def without_paths(value: Any) -> Any:
    """Return a record with file names in the place of paths."""
    if isinstance(value, dict):
        return {key: without_paths(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_paths(inner) for inner in value]
    if isinstance(value, str) and "/" in value and _is_path(value):
        return value.partition("!")[2] or value.rstrip("/").rpartition("/")[2]
    return value


def _is_path(text: str) -> bool:
    return text.startswith(("/", "./", "../", "tar:", "~", "file:")) or Path(text).suffix.lower() in (
        *(".tif", ".tiff", ".jp2", ".json", ".txt", ".xml", ".geojson", ".gpkg", ".tar", ".html"),
    )


@router.get("/items/{id}/report", response_class=Response)
async def report(door: TheDoor, found: TheRow) -> Response:
    """The quality report, a page of its own."""
    row, grant = found
    demand(grant.native, "the report, which has details at full scale,")
    key = report_key(row)
    if key is None:
        raise MissingError("no report")
    headers = {"content-security-policy": REPORT_CSP, "cache-control": "private, no-cache"}
    text = await door.aside(report_text, door, row, key)
    return Response(text, media_type="text/html", headers=headers)


def report_text(door: Door, row: IndexRow, key: str) -> str:
    """Return a report's page; of the inputs' paths, which its record has, only the names."""
    text = door.archive.asset_path(row, key).read_text(errors="replace")
    try:
        record = json.loads(door.archive.asset_path(row, "provenance").read_bytes())
        folders = {str(source["path"]).rpartition("/")[0] for source in record["inputs"]}
    except (GeofuseError, OSError, ValueError, KeyError, TypeError):
        return text
    for folder in sorted(folders - {""}, key=len, reverse=True):
        text = text.replace(f"{escape(folder)}/", "").replace(f"{folder}/", "")
    return text


def unchanged(request: Request, tag: str) -> bool:
    """Whether a client has this state of an answer already."""
    known = [part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")]
    return tag.removeprefix("W/") in known or "*" in known


def kept_for(version: str | None, row: IndexRow) -> str:
    """Return how long an answer may be kept: for good where its address names this state of the item."""
    return "private, max-age=31536000, immutable" if version == row.version else "private, no-cache"


def interval(text: str | None) -> tuple[float | None, float | None]:
    """Read A/B, A/.., ../B or one time or day into its first and last second; raises UsageError."""
    if not text:
        return None, None
    first, mark, last = text.partition("/")
    ends = [None if end in ("", "..") else acquired_span(end) for end in (first, last if mark else first)]
    start, stop = (seconds(ends[0][0]) if ends[0] else None), (seconds(ends[1][1]) if ends[1] else None)
    if start is not None and stop is not None and start > stop:
        raise UsageError("an interval that ends before it begins", wanted="A/B, A before B")
    return start, stop


def numbers(text: str) -> list[float]:
    """Read numbers between commas; raises UsageError."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as fault:
        raise UsageError("a bbox that is no numbers", wanted="W,S,E,N in degrees") from fault
