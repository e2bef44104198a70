"""Areas sent in, clips estimated, cut and fetched."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, File, Request, UploadFile
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from geofuse.clips.clip import Credit, Cut, Wish, parsed_ranges, plan_clip
from geofuse.errors import GeofuseError, LimitError, MissingError
from geofuse.nouns import Foreign, GeoJson
from geofuse.serve.answers import AreaAnswer, ClipAnswer, EstimateAnswer, FetchNote
from geofuse.serve.http.access import demand
from geofuse.serve.http.dependencies import Door, TheDoor, TheVisitor, known_only
from geofuse.serve.http.faults import INTERNAL, RESPONSES
from geofuse.serve.http.file_response import Held
from geofuse.serve.maps.rasters import mask_of, raster_at
from geofuse.serve.maps.rendering import band_names, stats_of
from geofuse.serve.orders.area_files import area_of_upload
from geofuse.serve.orders.downloads import file_answer
from geofuse.serve.orders.jobs import clip_answer
from geofuse.serve.stac.archive import IndexRow
from geofuse.serve.stac.item_views import when

MEDIA = {".tif": "image/tiff", ".zip": "application/zip", ".nc": "application/x-netcdf"}
router = APIRouter(prefix="/api", tags=["clips"], responses=RESPONSES, dependencies=[Depends(known_only)])
Number = Annotated[float, Field(allow_inf_nan=False)]


class ClipWish(BaseModel):
    """What is to be cut: one of geometry and bbox, or neither for all of it."""

    model_config = ConfigDict(extra="forbid")

    item: str = Field(max_length=200)
    """Id of the item."""
    geometry: GeoJson | None = None
    """GeoJSON of polygons, in longitude and latitude."""
    bbox: Annotated[list[Number], Field(min_length=4, max_length=4)] | None = None
    """West, south, east, north in degrees."""
    bands: list[Annotated[str, Field(max_length=100)]] = Field(default=[], max_length=500)
    """Names, in the order wanted; none: all, or true colour for a picture."""
    format: Literal["cog", "gtiff", "jpeg", "png", "netcdf", "zarr"] = "cog"
    """What file."""
    crs: str | None = Field(default=None, pattern=r"^EPSG:\d{4,6}$")
    """None: the product's own grid, without resampling."""
    range: str | None = Field(default=None, max_length=200)
    """Of a picture: "low,high", or one of each band by semicolons; None: the percentiles of the page."""
    gamma: float | None = Field(default=None, ge=0.1, le=10.0, allow_inf_nan=False)
    """Of a picture."""


@router.post("/uploads", response_model=Foreign)
async def upload(door: TheDoor, file: Annotated[UploadFile, File()]) -> AreaAnswer:
    """Read an area: GeoJSON, GeoPackage, zipped Shapefile, KML or KMZ, at most 10 MiB; nothing of it is kept."""
    data = await file.read()
    return await door.aside(area_of_upload, file.filename or "area", data)


@router.post("/clips/estimate", response_model=Foreign)
async def estimate(door: TheDoor, visitor: TheVisitor, wish: ClipWish) -> EstimateAnswer:
    """Say what a clip would be, and whether it may be; a refusal is an answer here, with its reason."""
    row, grant = (await door.fresh()).row(wish.item, visitor)
    limits = door.settings.limits
    cut: Cut | None = None
    reason = None
    try:
        demand(grant.clip, "a clip")
        cut = await door.aside(_planned, door, row, wish)
        _check(cut, door)
    except GeofuseError as fault:
        if fault.code in INTERNAL:
            raise
        reason = fault.found if not fault.wanted else f"{fault.found}; wanted {fault.wanted}"
    if cut is None:
        window, size, estimated = None, (0, 0), 0
    else:
        row0, row1, col0, col1 = cut.native
        window = [row0, col0, row1 - row0, col1 - col0]
        size, estimated = (cut.spec.width, cut.spec.height), cut.estimate_bytes
    return {
        "window": window,
        "width": size[0],
        "height": size[1],
        "bytes_estimate": estimated,
        "limit_px": limits.clip_px,
        "limit_bytes": limits.clip_bytes,
        "allowed": cut is not None and reason is None,
        "reason": reason,
    }


@router.post("/clips", status_code=202)
async def clip(door: TheDoor, visitor: TheVisitor, wish: ClipWish) -> Response:
    """Cut; answers at once with a job to ask after."""
    row, grant = (await door.fresh()).row(wish.item, visitor)
    demand(grant.clip, "a clip")
    cut = await door.aside(_planned, door, row, wish)
    _check(cut, door)
    job = door.jobs.add(cut, row.id, visitor.user)
    return JSONResponse(clip_answer(job), 202, {"location": f"/api/clips/{job.id}"})


@router.get("/clips/{job}", response_model=Foreign)
async def clip_state(door: TheDoor, visitor: TheVisitor, job: str) -> ClipAnswer:
    """How far a clip is."""
    return clip_answer(door.jobs.get(job, visitor.user))


@router.delete("/clips/{job}", response_model=Foreign)
async def cancel(door: TheDoor, visitor: TheVisitor, job: str) -> ClipAnswer:
    """Stop a clip, or forget a finished one."""
    found = door.jobs.get(job, visitor.user)
    door.jobs.cancel(found)
    return clip_answer(found)


@router.get("/clips/{job}/file", response_class=Response)
async def clip_file(request: Request, door: TheDoor, visitor: TheVisitor, job: str) -> Response:
    """A finished clip, whole or by `Range`."""
    found = door.jobs.get(job, visitor.user)
    row, grant = (await door.fresh()).row(found.item, visitor)
    demand(grant.clip, "a clip")  # what may be done with the item may have changed since
    if found.state != "done":
        raise MissingError(f"a clip that is {found.state}", do="ask again when it is done")
    try:
        descriptor = os.open(found.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as fault:
        raise MissingError("no such clip, any more") from fault
    media = MEDIA.get(found.cut.form.extension, "application/octet-stream")
    held = Held(descriptor, os.fstat(descriptor).st_size, f'"{found.id}"', media, found.name)
    what: FetchNote = {
        "item": row.id,
        "version": row.version,
        "clip": list(found.cut.native),
        "format": found.cut.form.key,
    }
    return file_answer(request, door, held, what=what)


def _planned(door: Door, row: IndexRow, wish: ClipWish) -> Cut:
    path = door.archive.asset_path(row, "data")
    names = band_names(row)
    ranges = parsed_ranges(wish.range) if wish.range else None
    if ranges is None and wish.format in ("jpeg", "png"):
        ranges = _percentiles(door, row, wish.bands)
    asked = Wish(
        bbox=wish.bbox,
        geometry=wish.geometry,
        bands=tuple(wish.bands),
        form=wish.format,
        crs=wish.crs,
        ranges=ranges,
        gamma=wish.gamma or 1.0,
    )
    return plan_clip(path, names, asked, credit_of(row))


def _percentiles(door: Door, row: IndexRow, bands: list[str]) -> tuple[tuple[float, float], ...] | None:
    """Return the page's own stretch of the bands named; None lets the clip measure its own."""
    names, stats = (
        band_names(row),
        stats_of(raster_at(door.archive.asset_path(row, "data")), mask_of(door.archive, row)),
    )
    if not bands or not set(bands) <= set(names):
        return None
    return tuple((stats[names.index(name)].low, stats[names.index(name)].high) for name in bands)


def credit_of(row: IndexRow) -> Credit:
    """Return what a clip says of where it is from."""
    said = row.properties
    rights = said.get("geofuse:rights") or {}
    return Credit(
        item=row.id,
        title=f"{row.title} ({row.id})",
        attribution=str(said.get("attribution") or ""),
        license=str(said.get("license") or ""),
        terms=str(rights.get("terms_url") or rights.get("terms") or ""),
        acquired=when(row),
    )


def _check(cut: Cut, door: Door) -> None:
    limits, values = door.settings.limits, cut.pixels * cut.spec.bands
    if values > limits.clip_px:
        raise LimitError(
            f"a clip of {values / 1e6:.0f} million values",
            wanted=f"{limits.clip_px / 1e6:.0f} million at most",
            do="take a smaller area, fewer bands, or the whole product",
        )
    if cut.estimate_bytes > limits.clip_bytes:
        raise LimitError(
            f"a clip of about {cut.estimate_bytes >> 20} MiB",
            wanted=f"{limits.clip_bytes >> 20} MiB at most",
            do="take a smaller area, fewer bands, or the whole product",
        )
