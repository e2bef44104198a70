"""Map tiles of an item, by the Web Mercator scheme that maps on the web and GIS share."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from geofuse.serve.http.access import Grant
from geofuse.serve.http.dependencies import Door, TheDoor, TheRow, known_only
from geofuse.serve.http.faults import RESPONSES
from geofuse.serve.maps.painting import DEEPEST, FORMATS, TilePlace
from geofuse.serve.maps.tiling import Asked
from geofuse.serve.stac.archive import IndexRow
from geofuse.serve.stac.items import kept_for, unchanged

router = APIRouter(tags=["tiles"], responses=RESPONSES, dependencies=[Depends(known_only)])
Level = Annotated[int, Path(ge=0, le=DEEPEST)]
TileIndex = Annotated[int, Path(ge=0, lt=2**DEEPEST)]


@router.get("/api/items/{id}/tiles/{z}/{x}/{y}.{form}", response_class=Response)
async def tile(
    request: Request,
    door: TheDoor,
    found: TheRow,
    z: Level,
    x: TileIndex,
    y: TileIndex,
    form: Literal["png", "webp", "jpg"],
    layer: Annotated[Literal["fused", "input"], Query()] = "fused",
    bands: Annotated[str | None, Query(description="one name (grey) or three", max_length=200)] = None,
    range: Annotated[str | None, Query(description="low,high or three by semicolons", max_length=200)] = None,
    gamma: Annotated[float, Query(ge=0.1, le=10.0, allow_inf_nan=False)] = 1.0,
    size: Annotated[Literal["256", "512"], Query()] = "256",
    v: Annotated[str | None, Query(description="the item's version", max_length=60)] = None,
) -> Response:
    """A tile of the fused image or of the unsharpened input; transparent where there is nothing."""
    asked = Asked(layer, bands, range, gamma, form)
    return await tile_response(request, door, found, TilePlace(z, x, y, int(size)), asked, version=v)


async def tile_response(
    request: Request,
    door: Door,
    found: tuple[IndexRow, Grant],
    place: TilePlace,
    asked: Asked,
    *,
    version: str | None = None,
) -> Response:
    """Answer with a tile, or that the client has it: for this route, XYZ and WMTS."""
    row, grant = found
    tag = f'"{door.tiler.tag(row, grant, place, asked)}"'
    headers = {"etag": tag, "cache-control": kept_for(version, row)}
    if unchanged(request, tag):
        return Response(status_code=304, headers=headers)
    data = await door.tiler.tile(row, grant, place, asked)
    return Response(data, media_type=FORMATS[asked.form], headers=headers)
