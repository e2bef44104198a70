"""A STAC API on loopback: item search with pages, assets with ranges, and faults on request."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CONFORMS = ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"]


@dataclass
class Api:
    """What the server knows, and what it was asked."""

    url: str = ""
    items: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)
    searches: list[dict[str, Any]] = field(default_factory=list)
    downloads: list[tuple[str, str | None]] = field(default_factory=list)
    """Name of the file and the range asked for."""
    cut: dict[str, int] = field(default_factory=dict)
    """Bytes after which the connection breaks, once, by file."""
    busy: int = 0
    """Answers 503 so many times."""
    token: str | None = None
    """Wanted as bearer token for everything."""


@contextmanager
def serving() -> Iterator[Api]:
    """Run the server on a port of its own."""
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            _answer(self, api, None)

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            _answer(self, api, json.loads(self.rfile.read(length)))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(request: BaseHTTPRequestHandler, api: Api, body: dict[str, Any] | None) -> None:
    if api.token and request.headers.get("Authorization") != f"Bearer {api.token}":
        return _send(request, 401, b"{}")
    if request.path.startswith("/files/"):
        return _file(request, api, request.path.removeprefix("/files/"))
    if body is not None and request.path.startswith("/search"):
        api.searches.append(body)
        return _send(request, 200, json.dumps(_found(api, body)).encode(), kind="application/geo+json")
    landing = {
        **{"type": "Catalog", "id": "test", "stac_version": "1.0.0", "description": "test"},
        "conformsTo": CONFORMS,
        "links": [
            {"rel": "self", "href": api.url, "type": "application/json"},
            {"rel": "search", "href": f"{api.url}/search", "type": "application/geo+json", "method": "POST"},
            {"rel": "search", "href": f"{api.url}/search", "type": "application/geo+json", "method": "GET"},
        ],
    }
    return _send(request, 200, json.dumps(landing).encode())


def _found(api: Api, body: dict[str, Any]) -> dict[str, Any]:
    """Answer a search, two items a page; clouds are not this server's strength."""
    found = api.items
    if body.get("collections"):
        found = [item for item in found if item["collection"] in body["collections"]]
    if body.get("datetime"):
        first, last = (_time(end) for end in body["datetime"].split("/"))
        found = [item for item in found if first <= _time(item["properties"]["datetime"]) <= last]
    at = int(body.get("token") or 0)
    links = []
    if at + 2 < len(found):
        more = {**body, "token": str(at + 2)}
        links = [{"rel": "next", "href": f"{api.url}/search", "method": "POST", "body": more}]
    return {"type": "FeatureCollection", "features": found[at : at + 2], "links": links}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _file(request: BaseHTTPRequestHandler, api: Api, name: str) -> None:
    asked = request.headers.get("Range")
    api.downloads.append((name, asked))
    if api.busy:
        api.busy -= 1
        return _send(request, 503, b"busy")
    if name not in api.files:
        return _send(request, 404, b"none")
    data = api.files[name].read_bytes()
    tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
    start = 0
    if asked and request.headers.get("If-Range") == tag:
        start = int(asked.removeprefix("bytes=").rstrip("-"))
    request.send_response(206 if start else 200)
    request.send_header("ETag", tag)
    request.send_header("Content-Length", str(len(data) - start))
    if start:
        request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
    request.end_headers()
    stop = api.cut.pop(name, None)
    request.wfile.write(data[start : len(data) if stop is None else start + stop])
    if stop is not None:
        request.close_connection = True


def _send(request: BaseHTTPRequestHandler, status: int, body: bytes, kind: str = "application/json") -> None:
    request.send_response(status)
    request.send_header("Content-Type", kind)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def add_scene(api: Api, folder: Path, item_id: str, **told: Any) -> dict[str, Any]:
    """Offer a scene folder's files as the assets of an item; returns it."""
    west, south = told.pop("corner", (7.0, 50.0))
    box = [west, south, west + 1.0, south + 1.0]
    ring = [[box[i], box[j]] for i, j in ((0, 1), (2, 1), (2, 3), (0, 3), (0, 1))]
    assets = {}
    for path in sorted(folder.iterdir()):
        name = f"{item_id}/{path.name}"
        api.files[name] = path
        data = path.read_bytes()
        assets[path.stem.rpartition("_")[2]] = {
            "href": f"{api.url}/files/{name}",
            "roles": ["data"],
            "file:size": len(data),
            "file:checksum": "1220" + hashlib.sha256(data).hexdigest(),
        }
    assets["thumb"] = {"href": f"{api.url}/files/{item_id}/thumb.jpg", "roles": ["thumbnail"]}
    item = {
        **{"type": "Feature", "stac_version": "1.0.0", "stac_extensions": [], "id": item_id},
        "collection": told.pop("collection", "landsat-c2l1"),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": box,
        "properties": {"datetime": "2024-05-12T10:00:00Z", "eo:cloud_cover": 5.0, **told},
        "links": [],
        "assets": assets,
    }
    api.items.append(item)
    return item
