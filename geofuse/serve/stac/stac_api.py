"""The catalogue as a STAC API 1.0.0: core, collections, features and item search, for pystac-client, QGIS and R.

Newest first; a page ends at a place in that order, not at a count, so that nothing is met twice or missed while
scenes arrive.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

import shapely
from fastapi import APIRouter, Body, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from geofuse.archive.footprints import area_of, joined_bounds, stac_bbox
from geofuse.errors import AreaError, MissingError, UsageError
from geofuse.nouns import GeoJson, StacJson
from geofuse.serve.answers import LinkAnswer
from geofuse.serve.http.access import Visitor
from geofuse.serve.http.dependencies import Door, TheDoor, TheRow, TheVisitor, known_only, root_of
from geofuse.serve.http.faults import RESPONSES
from geofuse.serve.stac.archive import Archive, IndexRow, Search
from geofuse.serve.stac.item_views import public_item
from geofuse.serve.stac.items import interval, numbers

CONFORMS = (
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/collections",
    "https://api.stacspec.org/v1.0.0/ogcapi-features",
    "https://api.stacspec.org/v1.0.0/item-search",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/oas30",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
)
GEOJSON, JSON, OPENAPI = (
    "application/geo+json",
    "application/json",
    "application/vnd.oai.openapi+json;version=3.1",
)
MOST, USUAL = 1000, 100
"""Items in a page."""
MOST_VERTICES = 20_000
router = APIRouter(prefix="/stac", tags=["gis"], responses=RESPONSES, dependencies=[Depends(known_only)])
Limit = Annotated[int, Query(ge=1, description=f"items in a page; {MOST} at most are given")]
BboxQuery = Annotated[str | None, Query(description="W,S,E,N in degrees", max_length=200)]
Time = Annotated[str | None, Query(description="A/B, A/.., ../B, or one", max_length=100)]
PageToken = Annotated[str | None, Query(max_length=400)]


class Asking(BaseModel):
    """The body of a search; a member that is not of item search is refused, since it would change what is found."""

    model_config = ConfigDict(extra="forbid")
    collections: list[str] | None = Field(default=None, max_length=1000)
    """Sensors."""
    ids: list[str] | None = Field(default=None, max_length=10_000)
    """Names of items."""
    bbox: list[float] | None = Field(default=None, max_length=6)
    """W, S, E, N in degrees."""
    intersects: GeoJson | None = None
    """A GeoJSON geometry."""
    datetime: str | None = Field(default=None, max_length=100)
    """A/B, A/.., ../B, or one."""
    limit: int = Field(default=USUAL, ge=1)
    """Items in a page."""
    token: str | None = Field(default=None, max_length=400)
    """Where the page before ended."""


@router.get("")
async def landing(request: Request, door: TheDoor, visitor: TheVisitor) -> Response:
    """What there is."""
    here, root = _here(request, door)
    archive = await door.fresh()
    sensors = sorted({row.collection for row in archive.search(Search(), visitor)})
    links = [
        link("self", here, JSON),
        link("root", here, JSON),
        link("conformance", f"{here}/conformance", JSON),
        link("data", f"{here}/collections", JSON),
        {**link("search", f"{here}/search", GEOJSON), "method": "GET"},
        {**link("search", f"{here}/search", GEOJSON), "method": "POST"},
        link("service-desc", f"{root}/openapi.json", OPENAPI),
        link("service-doc", f"{root}/", "text/html"),
        *(link("child", f"{here}/collections/{name}", JSON) for name in sensors),
    ]
    value = {
        "type": "Catalog",
        "stac_version": "1.1.0",
        "id": "geofuse",
        "title": door.settings.title,
        "description": "Fused satellite images with their quality and provenance.",
        "conformsTo": list(CONFORMS),
        "links": links,
    }
    return answer(value)


@router.get("/conformance")
async def conformance() -> Response:
    """What this API keeps to."""
    return answer({"conformsTo": list(CONFORMS)})


@router.get("/collections")
async def collections(request: Request, door: TheDoor, visitor: TheVisitor) -> Response:
    """One collection for each sensor."""
    here, _ = _here(request, door)
    archive = await door.fresh()

    def found() -> StacJson:
        groups: dict[str, list[IndexRow]] = {}
        for row in archive.search(Search(), visitor):
            groups.setdefault(row.collection, []).append(row)
        values = [_collection(archive, name, rows, here) for name, rows in sorted(groups.items())]
        links = [link("self", f"{here}/collections", JSON), link("root", here, JSON)]
        return {
            "collections": values,
            "links": links,
            "numberMatched": len(values),
            "numberReturned": len(values),
        }

    return answer(await door.aside(found))


@router.get("/collections/{collection}")
async def collection(request: Request, door: TheDoor, visitor: TheVisitor, collection: str) -> Response:
    """One of them."""
    here, _ = _here(request, door)
    archive = await door.fresh()
    rows = _of(archive, collection, visitor)
    return answer(await door.aside(_collection, archive, collection, rows, here))


@router.get("/collections/{collection}/items")
async def items(
    request: Request,
    door: TheDoor,
    visitor: TheVisitor,
    collection: str,
    bbox: BboxQuery = None,
    datetime: Time = None,
    limit: Limit = USUAL,
    token: PageToken = None,
    ids: Annotated[str | None, Query(max_length=20_000)] = None,
    collections: Annotated[str | None, Query(max_length=2000, description="that of the path")] = None,
) -> Response:
    """The items of a collection; pystac-client says its name twice."""
    _of(await door.fresh(), collection, visitor)
    if collections not in (None, collection):
        raise UsageError("other collections than that of the path", wanted=collection)
    asking = Asking(
        collections=[collection],
        ids=_names(ids),
        bbox=numbers(bbox) if bbox else None,
        datetime=datetime,
        limit=limit,
        token=token,
    )
    here, _ = _here(request, door)
    return await _search(request, door, visitor, asking, f"{here}/collections/{collection}/items")


@router.get("/collections/{collection}/items/{id}")
async def item(request: Request, door: TheDoor, collection: str, found: TheRow) -> Response:
    """An item."""
    row, grant = found
    if row.collection != collection:
        raise MissingError("no such item")
    root = root_of(request, door.settings)

    def value() -> StacJson:
        return public_item(door.archive.item(row), row, grant, root)

    return answer(await door.aside(value), GEOJSON)


@router.get("/search")
async def search_by_address(
    request: Request,
    door: TheDoor,
    visitor: TheVisitor,
    collections: Annotated[str | None, Query(max_length=2000)] = None,
    ids: Annotated[str | None, Query(max_length=20_000)] = None,
    bbox: BboxQuery = None,
    intersects: Annotated[str | None, Query(description="GeoJSON geometry", max_length=50_000)] = None,
    datetime: Time = None,
    limit: Limit = USUAL,
    token: PageToken = None,
) -> Response:
    """Items by place, time, sensor and name."""
    asking = Asking(
        collections=_names(collections),
        ids=_names(ids),
        bbox=numbers(bbox) if bbox else None,
        intersects=_geometry(intersects),
        datetime=datetime,
        limit=limit,
        token=token,
    )
    here, _ = _here(request, door)
    return await _search(request, door, visitor, asking, f"{here}/search")


@router.post("/search")
async def search_by_body(
    request: Request, door: TheDoor, visitor: TheVisitor, asking: Annotated[Asking, Body()]
) -> Response:
    """The same with what is asked in the body."""
    here, _ = _here(request, door)
    return await _search(request, door, visitor, asking, f"{here}/search")


async def _search(request: Request, door: Door, visitor: Visitor, asking: Asking, address: str) -> Response:
    archive = await door.fresh()
    root = root_of(request, door.settings)

    def found() -> StacJson:
        rows = matching(archive, asking, visitor)
        start = _after(rows, asking.token)
        page = rows[start : start + min(asking.limit, MOST)]
        values = [public_item(archive.item(row), *archive.row(row.id, visitor), root) for row in page]
        links = [link("root", f"{root}/stac", JSON), link("self", address, GEOJSON)]
        if page and start + len(page) < len(rows):
            links.append(_next(request, asking, address, _token(page[-1])))
        return {
            "type": "FeatureCollection",
            "features": values,
            "links": links,
            "numberMatched": len(rows),
            "numberReturned": len(values),
        }

    return answer(await door.aside(found), GEOJSON)


def matching(archive: Archive, asking: Asking, visitor: Visitor) -> list[IndexRow]:
    """Return what a search finds, newest first; raises AreaError, UsageError."""
    if asking.bbox and asking.intersects:
        raise UsageError("bbox and intersects", wanted="one of them")
    start, stop = interval(asking.datetime)
    rows = archive.search(Search(area=_area(asking), start=start, stop=stop), visitor)
    if asking.collections:
        rows = [row for row in rows if row.collection in asking.collections]
    if asking.ids:
        wanted = set(asking.ids)
        rows = [row for row in rows if row.id in wanted]
    return rows


def _area(asking: Asking) -> Any:
    if asking.bbox:
        if len(asking.bbox) not in (4, 6):
            raise AreaError(f"a bbox of {len(asking.bbox)} numbers", wanted="4: W,S,E,N, or 6 with heights")
        west, south, east, north = (
            asking.bbox if len(asking.bbox) == 4 else (*asking.bbox[:2], *asking.bbox[3:5])
        )
        return area_of(bbox=(west, south, east, north))
    if asking.intersects:
        try:
            shape = shapely.from_geojson(json.dumps(asking.intersects))
        except (shapely.errors.ShapelyError, ValueError) as fault:
            raise AreaError("a geometry that is no GeoJSON") from fault
        if shape is None or shape.is_empty or shapely.get_num_coordinates(shape) > MOST_VERTICES:
            raise AreaError(
                "a geometry without a place, or of too many vertices", wanted=f"at most {MOST_VERTICES}"
            )
        return shapely.make_valid(shape)
    return None


def _of(archive: Archive, name: str, visitor: Visitor) -> list[IndexRow]:
    rows = archive.search(Search(sensor=name), visitor)
    if not rows:
        raise MissingError("no such collection")
    return rows


def _collection(archive: Archive, name: str, rows: Sequence[IndexRow], here: str) -> StacJson:
    """Return a collection as it lies in the catalogue, its extents and links those of what may be seen."""
    kept = json.loads(archive.within(f"{name}/collection.json").read_bytes())
    first = min(rows, key=lambda row: row.start).properties
    last = max(rows, key=lambda row: row.stop).properties
    span = [first.get("datetime") or first["start_datetime"], last.get("datetime") or last["end_datetime"]]
    links = [
        link("self", f"{here}/collections/{name}", JSON),
        link("root", here, JSON),
        link("parent", here, JSON),
        link("items", f"{here}/collections/{name}/items", GEOJSON),
        *(link for link in kept["links"] if link["rel"] == "license"),
    ]
    extent = {
        "spatial": {"bbox": [stac_bbox(joined_bounds([row.bounds for row in rows]))]},
        "temporal": {"interval": [span]},
    }
    return {**kept, "extent": extent, "links": links}


def _token(row: IndexRow) -> str:
    return base64.urlsafe_b64encode(json.dumps([row.start, row.id]).encode()).decode().rstrip("=")


def _after(rows: Sequence[IndexRow], token: str | None) -> int:
    """Return where the page begins that comes after a token's item, whether or not that is still there."""
    if token is None:
        return 0
    try:
        start, name = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        place = (-float(start), str(name))
    except (ValueError, TypeError) as fault:
        raise UsageError("a token that is not of this API", wanted="that of the page before") from fault
    return next((at for at, row in enumerate(rows) if (-row.start, row.id) > place), len(rows))


def _next(request: Request, asking: Asking, address: str, token: str) -> LinkAnswer:
    if request.method == "POST":
        body = {**asking.model_dump(exclude_none=True), "token": token}
        return {**link("next", address, GEOJSON), "method": "POST", "body": body}
    said = {**request.query_params, "token": token}
    return {**link("next", f"{address}?{urlencode(said)}", GEOJSON), "method": "GET"}


def _here(request: Request, door: Door) -> tuple[str, str]:
    root = root_of(request, door.settings)
    return f"{root}/stac", root


def link(rel: str, href: str, media: str) -> LinkAnswer:
    """Return a link as STAC and OGC API write it."""
    return {"rel": rel, "href": href, "type": media}


def answer(value: Any, media: str = JSON) -> Response:
    """Return a JSON answer that a client asks for anew each time."""
    return JSONResponse(value, media_type=media, headers={"cache-control": "private, no-cache"})


def _names(text: str | None) -> list[str] | None:
    return [name for name in text.split(",") if name] if text else None


def _geometry(text: str | None) -> GeoJson | None:
    if not text:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise AreaError("a geometry that is no GeoJSON") from fault
    if not isinstance(value, dict):
        raise AreaError("a geometry that is no GeoJSON")
    return value
