"""Footprints for a GIS: OGC API - Features 1.0 (OGC 17-069r4), and one GeoPackage of all that may be seen."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from geofuse.archive.footprints import COLUMNS, joined_bounds, stac_bbox, write_footprints
from geofuse.errors import MissingError
from geofuse.nouns import GeoJson, StacJson
from geofuse.serve.http.access import Grant
from geofuse.serve.http.dependencies import TheDoor, TheRow, TheVisitor, known_only, root_of
from geofuse.serve.http.faults import RESPONSES
from geofuse.serve.stac.archive import IndexRow, Search
from geofuse.serve.stac.item_views import summary, when
from geofuse.serve.stac.items import numbers, unchanged
from geofuse.serve.stac.stac_api import (
    GEOJSON,
    JSON,
    OPENAPI,
    Asking,
    BboxQuery,
    Time,
    answer,
    link,
    matching,
)

CONFORMS = (
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/oas30",
)
NAME = "footprints"
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
GEOPACKAGE = "application/geopackage+sqlite3"
MOST, USUAL = 10_000, 100
router = APIRouter(tags=["gis"], responses=RESPONSES, dependencies=[Depends(known_only)])


@router.get("/ogc")
async def landing(request: Request, door: TheDoor) -> Response:
    """What there is."""
    root = root_of(request, door.settings)
    links = [
        link("self", f"{root}/ogc", JSON),
        link("service-desc", f"{root}/openapi.json", OPENAPI),
        link("service-doc", f"{root}/", "text/html"),
        link("conformance", f"{root}/ogc/conformance", JSON),
        link("data", f"{root}/ogc/collections", JSON),
    ]
    text = "The valid areas of fused satellite images."
    return answer({"title": door.settings.title, "description": text, "links": links})


@router.get("/ogc/conformance")
async def conformance() -> Response:
    """What this API keeps to."""
    return answer({"conformsTo": list(CONFORMS)})


@router.get("/ogc/collections")
async def collections(request: Request, door: TheDoor, visitor: TheVisitor) -> Response:
    """The one collection."""
    root = root_of(request, door.settings)
    rows = (await door.fresh()).search(Search(), visitor)
    links = [link("self", f"{root}/ogc/collections", JSON)]
    return answer({"links": links, "collections": [_collection(rows, root)]})


@router.get("/ogc/collections/footprints")
async def collection(request: Request, door: TheDoor, visitor: TheVisitor) -> Response:
    """What it is and how far it reaches."""
    rows = (await door.fresh()).search(Search(), visitor)
    return answer(_collection(rows, root_of(request, door.settings)))


@router.get("/ogc/collections/footprints/items")
async def items(
    request: Request,
    door: TheDoor,
    visitor: TheVisitor,
    bbox: BboxQuery = None,
    datetime: Time = None,
    limit: Annotated[int, Query(ge=1, description=f"{MOST} at most are given")] = USUAL,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> Response:
    """Footprints as GeoJSON, newest first."""
    archive = await door.fresh()
    asking = Asking(bbox=numbers(bbox) if bbox else None, datetime=datetime)
    address = f"{root_of(request, door.settings)}/ogc/collections/{NAME}/items"

    def found() -> StacJson:
        rows = matching(archive, asking, visitor)
        page = rows[offset : offset + min(limit, MOST)]
        links = [link("self", f"{address}?{urlencode(request.query_params)}", GEOJSON)]
        if page and offset + len(page) < len(rows):
            said = {**request.query_params, "offset": offset + len(page)}
            links.append(link("next", f"{address}?{urlencode(said)}", GEOJSON))
        return {
            "type": "FeatureCollection",
            "features": [_feature(*archive.row(row.id, visitor)) for row in page],
            "links": links,
            "numberMatched": len(rows),
            "numberReturned": len(page),
        }

    return answer(await door.aside(found), GEOJSON)


@router.get("/ogc/collections/footprints/items/{id}")
async def item(request: Request, door: TheDoor, found: TheRow) -> Response:
    """One footprint."""
    root = root_of(request, door.settings)
    address = f"{root}/ogc/collections/{NAME}"
    links = [
        link("self", f"{address}/items/{found[0].id}", GEOJSON),
        link("collection", address, JSON),
        link("alternate", f"{root}/stac/collections/{found[0].collection}/items/{found[0].id}", GEOJSON),
    ]
    return answer({**_feature(*found), "links": links}, GEOJSON)


@router.get("/footprints.gpkg", response_class=Response)
async def geopackage(request: Request, door: TheDoor, visitor: TheVisitor) -> Response:
    """All footprints that the visitor may know of, as one file."""
    archive = await door.fresh()
    tag = f'"footprints-{archive.state}-{visitor.trusted}"'
    headers = {
        "etag": tag,
        "cache-control": "private, no-cache",
        "content-disposition": 'attachment; filename="footprints.gpkg"',
    }
    if unchanged(request, tag):
        return Response(status_code=304, headers=headers)
    rows = archive.search(Search(), visitor)
    if not rows:
        raise MissingError("no footprints: there is no item you may know of")
    return Response(await door.aside(_geopackage, rows), media_type=GEOPACKAGE, headers=headers)


def _geopackage(rows: Sequence[IndexRow]) -> bytes:
    with tempfile.TemporaryDirectory(prefix="geofuse-") as folder:
        write_footprints(Path(folder), [_columns(row) for row in rows])
        return (Path(folder) / "footprints.gpkg").read_bytes()


def _columns(row: IndexRow) -> tuple[Any, ...]:
    said = row.properties
    known = {
        "id": row.id,
        "collection": row.collection,
        "start": row.start,
        "stop": row.stop,
        "cloud_cover": said.get("eo:cloud_cover"),
        "access": row.access,
        "license": said.get("license", "other"),
        "attribution": said.get("attribution", ""),
        "version": str(said["version"]),
        "href": row.href,
    }
    return (*(known[name] for name in COLUMNS), row.footprint)


def _feature(row: IndexRow, grant: Grant) -> GeoJson:
    """Return a footprint with what fits into the columns of a table."""
    said = summary(row, grant)
    told = {name: value for name, value in said.items() if not isinstance(value, dict)}
    told["bands"] = ", ".join(said["bands"])
    return {"type": "Feature", "id": row.id, "geometry": row.geometry, "properties": {"id": row.id, **told}}


def _collection(rows: Sequence[IndexRow], root: str) -> StacJson:
    address = f"{root}/ogc/collections/{NAME}"
    extent = {}
    if rows:
        box = stac_bbox(joined_bounds([row.bounds for row in rows]))
        times = [when(min(rows, key=lambda row: row.start)), when(max(rows, key=lambda row: row.stop))]
        extent = {
            "spatial": {"bbox": [box], "crs": CRS84},
            "temporal": {"interval": [times]},
        }
    return {
        "id": NAME,
        "title": "Footprints",
        "description": "The valid areas of the products, with what is known of each.",
        "itemType": "feature",
        "crs": [CRS84],
        "extent": extent,
        "links": [
            link("self", address, JSON),
            link("items", f"{address}/items", GEOJSON),
            link("enclosure", f"{root}/footprints.gpkg", GEOPACKAGE),
        ],
    }
