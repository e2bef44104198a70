"""Faults as they leave the server: a code and one line, the right status, no path, no trace."""

from __future__ import annotations

import json
import logging
import re

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from geofuse.errors import GeofuseError
from geofuse.nouns import Foreign

STATUS = {
    **dict.fromkeys(("usage", "config", "band", "area", "georef", "format", "corrupt", "scene"), 400),
    "token": 401,
    "access": 403,
    "missing": 404,
    "limit": 413,
    "busy": 503,
    "locked": 503,
    **dict.fromkeys(("changed", "read", "write", "worker"), 503),
    **dict.fromkeys(("verify", "pixels"), 409),
    **dict.fromkeys(("memory", "disk"), 507),
}
"""HTTP status of each fault's code; 500 for others."""
INTERNAL = frozenset({"corrupt", "read", "write", "changed", "worker", "disk", "memory"})
"""Faults of ours, whose words are for our log."""
RETRY_S = 2
_WORDS = {400: "usage", 401: "token", 403: "access", 404: "missing", 405: "method", 413: "limit"}
_log = logging.getLogger(__name__)


class Fault(BaseModel):
    """What a refusal says."""

    code: str
    """Stable, for programs."""
    message: str
    """One line, for people."""


RESPONSES: dict[int | str, Foreign] = {
    status: {"model": Fault, "description": text}
    for status, text in (
        (400, "What was asked for cannot be"),
        (401, "A token is wanted"),
        (403, "The item's access class forbids it"),
        (404, "No such thing, or none you may know of"),
        (409, "The product is not what its record says"),
        (413, "More than the server takes or gives at once"),
        (503, "Busy: try again after the time in Retry-After"),
    )
}
"""For routers: what all of them may answer."""


def fault_body(code: str, message: str) -> bytes:
    """Return a refusal's body."""
    return json.dumps({"code": code, "message": message}).encode()


def fault_response(fault: GeofuseError) -> Response:
    """Return what a client hears of a fault; its path stays here."""
    status = STATUS.get(fault.code, 500)
    if fault.code in INTERNAL or status == 500:
        _log.error("[%s] %s", fault.code, fault)
        message = "the server could not read or write what it needs" if status != 400 else fault.found
    else:
        wish = f"; wanted {fault.wanted}" if fault.wanted else ""
        advice = f"; {fault.do}" if fault.do else ""
        message = f"{fault.found}{wish}{advice}"
    headers = {}
    if status == 503:
        headers["retry-after"] = str(RETRY_S)
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse({"code": fault.code, "message": _plain(message)}, status, headers)


def _plain(text: str) -> str:
    """Return one line of text without control characters."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", text)[:500]


def add_handlers(app: FastAPI) -> None:
    """Make an application answer faults in our way."""
    app.add_exception_handler(GeofuseError, _of_geofuse)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)


async def _of_geofuse(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, GeofuseError)
    return fault_response(fault)


async def _of_validation(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, RequestValidationError)
    first = fault.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:])[:80]
    return JSONResponse({"code": "usage", "message": _plain(f"{place}: {first['msg']}")}, 400)


async def _of_http(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, HTTPException)
    code = _WORDS.get(fault.status_code, "usage" if fault.status_code < 500 else "error")
    body = {"code": code, "message": _plain(str(fault.detail))}
    return JSONResponse(body, fault.status_code, dict(fault.headers or {}))
