"""The page's own files, and what tells a monitor how the server is."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, PlainTextResponse, Response

from geofuse.errors import MissingError
from geofuse.serve.http.dependencies import TheDoor
from geofuse.serve.settings import Basemap
from geofuse.serve.stac.items import unchanged

STATIC = Path(__file__).parent / "static"
UNBUILT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>geofuse: the page is not built</title>
<style>body { font: 16px/1.5 sans-serif; max-width: 40em; margin: 4em auto; padding: 0 1em }</style>
<h1>The page is not built</h1>
<p>The server runs: <a href="api/items">its items</a> and <a href="openapi.json">its description</a> are there. Only
the page is missing, which is made when the package is installed:</p>
<pre>pip install -e .</pre>
<p>Then start <code>geofuse serve</code> again.</p>
"""
MEDIA = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
    ".json": "application/json",
    ".map": "application/json",
    ".ico": "image/x-icon",
    ".md": "text/plain; charset=utf-8",
}
router = APIRouter(include_in_schema=False)


@router.get("/")
async def page(request: Request, door: TheDoor) -> Response:
    """The page."""
    path = STATIC / "index.html"
    try:
        data = await door.aside(path.read_bytes)
    except OSError:
        csp = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
        return Response(UNBUILT, 503, {"content-security-policy": csp}, "text/html")
    tag = f'"{blake2b(data, digest_size=12).hexdigest()}"'
    headers = {
        "etag": tag,
        "cache-control": "no-cache",
        "content-security-policy": page_csp(door.settings.basemap),
    }
    if unchanged(request, tag):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type="text/html", headers=headers)


def page_csp(basemap: Basemap | None) -> str:
    """Return what the page may load: its own, and the base map where one is configured.

    >>> "https://tiles.example" in page_csp(Basemap("https://tiles.example/{z}/{x}/{y}.png"))
    True
    """
    outside = ""
    if basemap is not None:
        parts = urlsplit(basemap.url.partition("{")[0])
        outside = f" {parts.scheme}://{parts.netloc}"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; "
        f"img-src 'self' data: blob:{outside}; connect-src 'self'; font-src 'self'; frame-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


@router.get("/assets/{name}")
async def asset(name: str) -> Response:
    """A file of the page, whose name changes with its content."""
    path = STATIC / "assets" / name
    if Path(name).name != name or path.suffix not in MEDIA or not path.is_file() or path.is_symlink():
        raise MissingError("no such file")
    return FileResponse(
        path,
        media_type=MEDIA[path.suffix],
        headers={"cache-control": "public, max-age=31536000, immutable"},
    )


@router.get("/favicon.ico")
async def favicon() -> Response:
    """Nothing: the page brings its own."""
    return Response(status_code=204, headers={"cache-control": "public, max-age=86400"})


@router.get("/robots.txt")
async def robots() -> Response:
    """Ask crawlers to stay away."""
    return PlainTextResponse("User-agent: *\nDisallow: /\n")


@router.get("/healthz")
async def healthz(door: TheDoor) -> Response:
    """Whether the catalogue can be read."""
    await door.fresh()
    return PlainTextResponse("ok\n")


@router.get("/metrics")
async def metrics(door: TheDoor) -> Response:
    """Counts so far, as Prometheus reads them."""
    lines = []
    for name, value in sorted(door.counts.items()):
        if name.endswith("xx"):
            lines.append(f'geofuse_responses_total{{class="{name}"}} {value}')
        else:
            lines.append(f"geofuse_{name}_total {value}")
    return Response("\n".join([*lines, ""]), media_type="text/plain; version=0.0.4")
