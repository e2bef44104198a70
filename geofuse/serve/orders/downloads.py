"""Whole files of an item, by its id: verified before the first byte leaves, by range, with resume."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from geofuse.archive.stac_item import multihash
from geofuse.errors import BusyError, MissingError, VerifyError
from geofuse.serve.answers import FetchNote
from geofuse.serve.http.access import Visitor, demand
from geofuse.serve.http.audit import who
from geofuse.serve.http.dependencies import Door, TheDoor, TheRow, TheVisitor, known_only
from geofuse.serve.http.digests import Digests
from geofuse.serve.http.faults import RESPONSES
from geofuse.serve.http.file_response import FileAnswer, Held, RangeFault, ranges_of
from geofuse.serve.stac.archive import Archive, IndexRow
from geofuse.serve.stac.items import report_text, unchanged, without_paths

PLAIN = frozenset({"provenance", "report"})
"""Roles whose JSON names the paths of the machine that fused: they leave without them."""
router = APIRouter(tags=["downloads"], responses=RESPONSES, dependencies=[Depends(known_only)])


def held_file(door: Door, row: IndexRow, key: str) -> Held:
    """Open an asset and make sure of it; raises VerifyError for one that is damaged, MissingError."""
    path, asset = door.archive.asset_path(row, key), row.assets[key]
    descriptor = _opened(path)
    try:
        if multihash(door.digests.digest(descriptor)) != asset["file:checksum"]:
            raise VerifyError(
                "this file is not what its record says, so it is not delivered",
                do="tell whoever runs the catalogue; `geofuse catalog verify` finds it",
                path=str(path),
            )
    except BaseException:
        os.close(descriptor)
        raise
    return Held(
        descriptor,
        os.fstat(descriptor).st_size,
        f'"{asset["file:checksum"][4:36]}"',
        asset.get("type", "application/octet-stream"),
        path.name,
    )


def check_product(archive: Archive, digests: Digests, item_id: str) -> None:
    """Raise VerifyError where an item's product is damaged: nothing is cut from it either."""
    row, _ = archive.row(item_id, Visitor(trusted=True))
    descriptor = _opened(archive.asset_path(row, "data"))
    try:
        if multihash(digests.digest(descriptor)) != row.assets["data"]["file:checksum"]:
            raise VerifyError("this product is not what its record says, so nothing is cut from it")
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as fault:
        raise MissingError("no such file", path=str(path)) from fault
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise MissingError("no such file", path=str(path))
    return descriptor


@router.get("/api/items/{id}/download/{asset}", response_class=Response)
async def download(
    request: Request, door: TheDoor, visitor: TheVisitor, found: TheRow, asset: str
) -> Response:
    """A file of an item, whole or by `Range` (at most 8, `If-Range` is heeded); refused where it is damaged."""
    row, grant = found
    if asset not in row.assets:
        raise MissingError("no such asset", wanted=", ".join(sorted(row.assets)) if grant.download else "")
    demand(grant.download, "a download")
    roles = row.assets[asset].get("roles", ())
    if PLAIN & set(roles) and row.assets[asset].get("type") == "application/json":
        path = await door.aside(door.archive.asset_path, row, asset)
        record = without_paths(json.loads(await door.aside(Path.read_bytes, path)))
        headers = {"content-disposition": f'attachment; filename="{path.name}"'}
        return JSONResponse(record, headers=headers)
    if "report" in roles and row.assets[asset].get("type") == "text/html":
        name = Path(row.assets[asset]["href"]).name
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(
            await door.aside(report_text, door, row, asset), media_type="text/html", headers=headers
        )
    if door.counts.get("downloads_now", 0) >= door.settings.limits.downloads:
        raise BusyError(f"{door.settings.limits.downloads} files are being sent", do="try again later")
    held = await _held(door, row, asset, visitor)
    return file_answer(request, door, held, what={"item": row.id, "version": row.version, "asset": asset})


async def _held(door: Door, row: IndexRow, asset: str, visitor: Any) -> Held:
    try:
        return await door.aside(held_file, door, row, asset)
    except VerifyError:  # replaced with its item in the second since that was looked at?
        door.archive.forget()
        newer, _ = (await door.fresh()).row(row.id, visitor)
        if newer.version == row.version or asset not in newer.assets:
            raise
        return await door.aside(held_file, door, newer, asset)


def file_answer(request: Request, door: Door, held: Held, *, what: FetchNote) -> Response:
    """Answer with a held file, by what the request says of ranges and of what the client has."""
    limits, headers = door.settings.limits, request.headers
    head = bool(request.scope["state"].get("head"))
    if unchanged(request, held.tag):
        os.close(held.descriptor)
        return Response(status_code=304, headers={"etag": held.tag, "cache-control": "private, no-cache"})
    spans = None
    try:
        if "range" in headers and _same(headers.get("if-range"), held):
            spans = ranges_of(headers["range"], held.size, limits.ranges)
    except RangeFault:
        os.close(held.descriptor)
        message = f"ranges the file has not, or more than {limits.ranges}, or some that overlap"
        return JSONResponse(
            {"code": "range", "message": message}, 416, {"content-range": f"bytes */{held.size}"}
        )
    except BaseException:
        os.close(held.descriptor)
        raise
    door.counts["downloads_now"] = door.counts.get("downloads_now", 0) + 1
    began = datetime.now(UTC)

    def told(sent: int, whole: bool) -> None:
        door.counts["downloads_now"] -= 1
        door.counts["downloads"] = door.counts.get("downloads", 0) + 1
        door.counts["download_bytes"] = door.counts.get("download_bytes", 0) + sent
        seconds = round((datetime.now(UTC) - began).total_seconds(), 3)
        line = {**who(request), **what, "ranges": spans, "bytes": sent, "whole": whole, "seconds": seconds}
        asyncio.get_running_loop().run_in_executor(door.threads, lambda: door.audit.note(**line))

    return FileAnswer(held, spans, door.senders, told, head=head)


def _same(condition: str | None, held: Held) -> bool:
    """Whether a Range is to be heeded: without If-Range, or where that names this very content."""
    return condition is None or condition.strip() == held.tag
