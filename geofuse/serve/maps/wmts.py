"""Map layers for a GIS: WMTS 1.0.0 (OGC 07-057r7) with an item as a layer and a look as a style; plain XYZ tiles.

Names are the items' own titles and the looks' own names; no address shows a path or takes an expression.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated
from xml.etree import ElementTree

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from geofuse.errors import MissingError, UsageError
from geofuse.serve.http.access import Grant
from geofuse.serve.http.dependencies import Door, TheDoor, TheRow, TheVisitor, known_only, root_of
from geofuse.serve.http.faults import RESPONSES
from geofuse.serve.maps.painting import DEEPEST, HALF_M, TilePlace
from geofuse.serve.maps.rasters import raster_at
from geofuse.serve.maps.rendering import band_names, presets_of
from geofuse.serve.maps.tiles import Level, TileIndex, tile_response
from geofuse.serve.maps.tiling import Asked
from geofuse.serve.stac.archive import IndexRow, Search
from geofuse.serve.stac.item_views import zooms

MATRIX_SET = "WebMercatorQuad"
SCALE_0 = 559_082_264.028_717_8
"""Scale denominator of level 0: 256 pixels of 0.28 mm round the equator (OGC 17-083r4, annex D.1)."""
MOST_LAYERS = 500
"""In one document, newest first; the rest are reached by their own documents, the page, STAC and OGC API."""
MOST_LATITUDE = 85.051_128_779_806_59
NAMES = {
    "": "http://www.opengis.net/wmts/1.0",
    "ows": "http://www.opengis.net/ows/1.1",
    "xlink": "http://www.w3.org/1999/xlink",
}
CAPABILITIES = "/wmts/1.0.0/WMTSCapabilities.xml"
router = APIRouter(tags=["gis"], responses=RESPONSES)
StyleInPath = Annotated[str, Path(max_length=40, description="true, cir, ...: the looks an item has")]


@router.get(CAPABILITIES, response_class=Response, dependencies=[Depends(known_only)])
async def capabilities(request: Request, door: TheDoor, visitor: TheVisitor) -> Response:
    """All layers, newest first."""
    archive = await door.fresh()
    rows = [archive.row(row.id, visitor) for row in archive.search(Search(), visitor)[:MOST_LAYERS]]
    return await _document(request, door, rows)


@router.get(
    "/wmts/1.0.0/{id}/WMTSCapabilities.xml", response_class=Response, dependencies=[Depends(known_only)]
)
async def one_layer(request: Request, door: TheDoor, found: TheRow) -> Response:
    """The layer of one item."""
    return await _document(request, door, [found])


@router.get(
    "/wmts/1.0.0/{id}/{style}/WebMercatorQuad/{z}/{y}/{x}.png",
    response_class=Response,
    dependencies=[Depends(known_only)],
)
async def by_path(
    request: Request, door: TheDoor, found: TheRow, style: StyleInPath, z: Level, y: TileIndex, x: TileIndex
) -> Response:
    """A tile, addressed as the capabilities say: row before column."""
    return await tile_response(request, door, found, TilePlace(z, x, y), _asked(found[0], style))


@router.get("/xyz/{id}/{z}/{x}/{y}.png", response_class=Response, dependencies=[Depends(known_only)])
async def xyz(
    request: Request,
    door: TheDoor,
    found: TheRow,
    z: Level,
    x: TileIndex,
    y: TileIndex,
    style: Annotated[str | None, Query(max_length=40, description="true, cir, ...")] = None,
) -> Response:
    """A tile by the scheme of most maps on the web."""
    return await tile_response(request, door, found, TilePlace(z, x, y), _asked(found[0], style))


@router.get("/wmts", response_class=Response)
async def by_keys(request: Request, door: TheDoor, visitor: TheVisitor) -> Response:
    """The same by keys and values: SERVICE=WMTS with REQUEST=GetCapabilities or GetTile; case does not matter."""
    said = {key.casefold(): value for key, value in request.query_params.items()}
    if said.get("service", "WMTS").casefold() != "wmts":
        raise UsageError("a SERVICE that is not here", wanted="WMTS")
    wanted = said.get("request", "GetCapabilities").casefold()
    if wanted == "getcapabilities":
        return await capabilities(request, door, visitor)
    if wanted != "gettile":
        raise UsageError("a REQUEST that is not known", wanted="GetCapabilities or GetTile")
    if said.get("tilematrixset") != MATRIX_SET or said.get("format", "image/png") != "image/png":
        raise UsageError("a TILEMATRIXSET or FORMAT that is not here", wanted=f"{MATRIX_SET}, image/png")
    found = (await door.fresh()).row(said.get("layer", ""), visitor)
    z, x, y = (_whole(said.get(key)) for key in ("tilematrix", "tilecol", "tilerow"))
    place = TilePlace(z, x, y)
    return await tile_response(request, door, found, place, _asked(found[0], said.get("style") or None))


def _whole(text: str | None) -> int:
    if not text or not text.isascii() or not text.isdigit() or len(text) > 9:
        raise UsageError("a TILEMATRIX, TILEROW or TILECOL that is no number")
    return int(text)


def _asked(row: IndexRow, style: str | None) -> Asked:
    """Return the look that a style stands for; its stretch is the product's own percentiles."""
    looks = {look["id"]: look["bands"] for look in presets_of(band_names(row))}
    if style is None or style == "default":
        return Asked(bands=",".join(next(iter(looks.values()))))
    if style not in looks:
        raise MissingError("no such style", wanted=" or ".join(looks))
    return Asked(bands=",".join(looks[style]))


async def _document(request: Request, door: Door, rows: list[tuple[IndexRow, Grant]]) -> Response:
    root = root_of(request, door.settings)
    data = await door.aside(_capabilities, door, rows, root)
    headers = {"cache-control": "private, no-cache"}
    return Response(data, media_type="application/xml", headers=headers)


def _capabilities(door: Door, rows: Iterable[tuple[IndexRow, Grant]], root: str) -> bytes:
    for prefix, name in NAMES.items():
        ElementTree.register_namespace(prefix, name)
    top = ElementTree.Element(_name("Capabilities"), {"version": "1.0.0"})
    service = _add(top, "ows:ServiceIdentification")
    _add(service, "ows:Title", door.settings.title)
    _add(service, "ows:Abstract", "Fused satellite images, each in its looks.")
    _add(service, "ows:ServiceType", "OGC WMTS")
    _add(service, "ows:ServiceTypeVersion", "1.0.0")
    operations = _add(top, "ows:OperationsMetadata")
    for name in ("GetCapabilities", "GetTile"):
        _operation(operations, name, f"{root}/wmts?")
    contents = _add(top, "Contents")
    for row, grant in rows:
        _layer(contents, door, row, grant, root)
    _matrix_set(contents)
    _add(top, "ServiceMetadataURL", attributes={"xlink:href": root + CAPABILITIES})
    ElementTree.indent(top)
    data: bytes = ElementTree.tostring(top, encoding="utf-8", xml_declaration=True)
    return data


def _operation(operations: ElementTree.Element, name: str, address: str) -> None:
    operation = _add(operations, "ows:Operation", attributes={"name": name})
    got = _add(_add(_add(operation, "ows:DCP"), "ows:HTTP"), "ows:Get", attributes={"xlink:href": address})
    constraint = _add(got, "ows:Constraint", attributes={"name": "GetEncoding"})
    _add(_add(constraint, "ows:AllowedValues"), "ows:Value", "KVP")


def _layer(contents: ElementTree.Element, door: Door, row: IndexRow, grant: Grant, root: str) -> None:
    west, south, east, north = row.bounds
    if east > 180.0:
        west, east = -180.0, 180.0
    layer = _add(contents, "Layer")
    _add(layer, "ows:Title", _printable(f"{row.title} ({row.id})"))
    _add(layer, "ows:Abstract", _printable(str(row.properties.get("attribution", ""))))
    box = _add(layer, "ows:WGS84BoundingBox")
    _add(box, "ows:LowerCorner", f"{west} {south}")
    _add(box, "ows:UpperCorner", f"{east} {north}")
    _add(layer, "ows:Identifier", row.id)
    looks = presets_of(band_names(row))
    for look in looks:
        style = _add(layer, "Style", attributes={"isDefault": "true" if look is looks[0] else "false"})
        _add(style, "ows:Title", f"{look['label']} ({', '.join(look['bands'])})")
        _add(style, "ows:Identifier", look["id"])
    _add(layer, "Format", "image/png")
    link = _add(layer, "TileMatrixSetLink")
    _add(link, "TileMatrixSet", MATRIX_SET)
    limits = _add(link, "TileMatrixSetLimits")
    first, last = zooms(row, raster_at(door.archive.asset_path(row, "data")), grant)
    for z in range(first, last + 1):
        _limit(limits, z, (west, south, east, north))
    address = f"{root}/wmts/1.0.0/{row.id}/{{Style}}/{MATRIX_SET}/{{TileMatrix}}/{{TileRow}}/{{TileCol}}.png"
    told = {"format": "image/png", "resourceType": "tile", "template": address}
    _add(layer, "ResourceURL", attributes=told)


def _limit(limits: ElementTree.Element, z: int, bounds: tuple[float, float, float, float]) -> None:
    west, south, east, north = bounds
    limit = _add(limits, "TileMatrixLimits")
    _add(limit, "TileMatrix", str(z))
    (col0, row0), (col1, row1) = tile_of(west, north, z), tile_of(east, south, z)
    for name, value in (
        ("MinTileRow", row0),
        ("MaxTileRow", row1),
        ("MinTileCol", col0),
        ("MaxTileCol", col1),
    ):
        _add(limit, name, str(value))


def tile_of(lon: float, lat: float, z: int) -> tuple[int, int]:
    """Return column and row of the tile that a place in degrees lies in.

    >>> tile_of(-180.0, 85.0, 0), tile_of(0.0, 0.0, 1), tile_of(180.0, -90.0, 2)
    ((0, 0), (1, 1), (3, 3))
    """
    lat = math.radians(min(max(lat, -MOST_LATITUDE), MOST_LATITUDE))
    across = (lon + 180.0) / 360.0
    down = (1.0 - math.asinh(math.tan(lat)) / math.pi) / 2.0
    most = 2**z - 1
    return min(max(int(across * 2**z), 0), most), min(max(int(down * 2**z), 0), most)


def _matrix_set(contents: ElementTree.Element) -> None:
    found = _add(contents, "TileMatrixSet")
    _add(found, "ows:Title", "Google Maps Compatible for the World")
    _add(found, "ows:Identifier", MATRIX_SET)
    _add(found, "ows:SupportedCRS", "urn:ogc:def:crs:EPSG::3857")
    _add(found, "WellKnownScaleSet", "urn:ogc:def:wkss:OGC:1.0:GoogleMapsCompatible")
    for z in range(DEEPEST + 1):
        matrix = _add(found, "TileMatrix")
        _add(matrix, "ows:Identifier", str(z))
        _add(matrix, "ScaleDenominator", repr(SCALE_0 / 2**z))
        _add(matrix, "TopLeftCorner", f"{-HALF_M!r} {HALF_M!r}")
        for name, value in (
            ("TileWidth", 256),
            ("TileHeight", 256),
            ("MatrixWidth", 2**z),
            ("MatrixHeight", 2**z),
        ):
            _add(matrix, name, str(value))


def _add(
    parent: ElementTree.Element, name: str, text: str | None = None, attributes: dict[str, str] | None = None
) -> ElementTree.Element:
    told = {_name(key) if ":" in key else key: value for key, value in (attributes or {}).items()}
    child = ElementTree.SubElement(parent, _name(name), told)
    child.text = text
    return child


def _name(name: str) -> str:
    prefix, mark, local = name.partition(":")
    return f"{{{NAMES[prefix]}}}{local}" if mark else f"{{{NAMES['']}}}{prefix}"


def _printable(text: str) -> str:
    """Return text without what XML 1.0 cannot hold."""
    return "".join(letter for letter in text if letter.isprintable())
