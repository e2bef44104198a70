"""Map tiles of an item, by the Web Mercator scheme that maps on the web and GIS share."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from geofuse.archive.footprints import area_of
from geofuse.errors import UsageError
from geofuse.nouns import Foreign
from geofuse.serve.answers import RangesAnswer
from geofuse.serve.http.access import Grant
from geofuse.serve.http.dependencies import Door, TheDoor, TheRow, known_only
from geofuse.serve.http.faults import RESPONSES
from geofuse.serve.maps.painting import DEEPEST, FORMATS, TilePlace
from geofuse.serve.maps.rasters import mask_of, raster_at
from geofuse.serve.maps.rendering import HIGH, LOW, ViewStretch, band_names, chosen_bands, ranges_in
from geofuse.serve.maps.tiling import Asked
from geofuse.serve.stac.archive import IndexRow
from geofuse.serve.stac.items import kept_for, numbers, unchanged

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


@router.get("/api/items/{id}/ranges", response_model=Foreign)
async def ranges(
    door: TheDoor,
    found: TheRow,
    bbox: Annotated[str, Query(description="W,S,E,N in degrees", max_length=200)],
    bands: Annotated[str, Query(description="one name or three", max_length=200)],
    low: Annotated[float, Query(ge=0, le=100, allow_inf_nan=False, description="percentile")] = LOW,
    high: Annotated[float, Query(ge=0, le=100, allow_inf_nan=False, description="percentile")] = HIGH,
) -> RangesAnswer:
    """Black and white of bands by the pixels in a box that are no clouds: a stretch by what is in view."""
    row, grant = found
    box = numbers(bbox)
    area_of(bbox=box)
    if low >= high:
        raise UsageError(f"percentiles {low:g} to {high:g}", wanted="black below white")

    def measured() -> RangesAnswer:
        names = band_names(row)
        chosen = tuple(dict.fromkeys(chosen_bands(bands, names)))
        raster = raster_at(door.archive.asset_path(row, "data"))
        spans = ranges_in(
            raster, mask_of(door.archive, row), chosen, box, ViewStretch(low, high, grant.scale)
        )
        return {"bands": [names[at] for at in chosen], "ranges": [list(span) for span in spans]}

    return await door.aside(measured)


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
