"""A source that breaks, lies and never ends: each mode ends in time with its reason, and the good item is taken."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from geofuse.config import StacConfig, config_from
from geofuse.errors import GeofuseError
from geofuse.line.sources import downloads
from geofuse.line.sources.stac import Fetched, fetch
from geofuse.line.sources.web import TransferLimits

SECRET = "token-that-must-not-leave"
QUICK = TransferLimits(
    **{"connect_s": 1.0, "silence_s": 0.4, "head_s": 0.8, "text_s": 1.2, "text_bytes": 200_000},
    **{"total_s": 1.5, "rate": 5000, "rate_s": 0.3, "redirects": 3, "requests": 12},
)
DEADLINE_S = 12.0
DATA = b"II*\0" + bytes(5000)
BOX = [7.0, 50.0, 8.0, 51.0]
RING = [[[7.0, 50.0], [8.0, 50.0], [8.0, 51.0], [7.0, 51.0], [7.0, 50.0]]]
Handler = BaseHTTPRequestHandler
Deed = Callable[[Handler, "Source"], None]


@dataclass
class Source:
    """A source of one good item, and what it does at one place instead."""

    deeds: dict[str, Deed] = field(default_factory=dict)
    """By path."""
    more: list[Any] = field(default_factory=list)
    """Items beside the good one."""
    links: list[Any] = field(default_factory=list)
    """Links of the search's page."""
    url: str = ""
    other: str = ""
    """A host that is not the source's."""
    shown: list[tuple[str, str | None]] = field(default_factory=list)
    """Host and token of every request."""


def item(source: Source, name: str, href: str, **told: Any) -> dict[str, Any]:
    asset = {"href": href, "file:size": len(DATA), **told}
    return {
        **{"type": "Feature", "stac_version": "1.0.0", "id": name, "collection": "c", "links": []},
        **{"geometry": {"type": "Polygon", "coordinates": RING}, "bbox": BOX},
        "properties": {"datetime": "2024-05-12T10:00:00Z"},
        "assets": {"pan": asset},
    }


def good(source: Source) -> dict[str, Any]:
    told = {"file:checksum": "1220" + hashlib.sha256(DATA).hexdigest()}
    return item(source, "good", f"{source.url}/good.tif", **told)


def send(request: Handler, body: bytes, status: int = 200, **headers: str) -> None:
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def answer(request: Handler, source: Source) -> None:
    request.rfile.read(int(request.headers.get("Content-Length") or 0))
    del request.headers["Content-Length"]
    source.shown.append((request.headers["Host"], request.headers.get("Authorization")))
    path = request.path.partition("?")[0]
    if path in source.deeds:
        return source.deeds[path](request, source)
    if path == "/":
        links = [
            {"rel": "search", "href": f"{source.url}/search", "type": "application/geo+json", "method": m}
            for m in ("GET", "POST")
        ]
        conforms = ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"]
        landing = {"type": "Catalog", "id": "t", "stac_version": "1.0.0", "description": "t", "links": links}
        return send(request, json.dumps({**landing, "conformsTo": conforms}).encode())
    if path == "/search":
        page = {"type": "FeatureCollection", "features": [*source.more, good(source)], "links": source.links}
        return send(request, json.dumps(page).encode())
    if path.endswith(".tif"):
        return send(request, DATA)
    return send(request, b"none", 404)


@contextmanager
def running(source: Source) -> Iterator[Source]:
    class Answers(Handler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            with suppress(OSError):
                answer(self, source)

        do_POST = do_GET

    servers = [ThreadingHTTPServer((host, 0), Answers) for host in ("127.0.0.1", "127.0.0.2")]
    for server in servers:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    source.url, source.other = (f"http://{s.server_address[0]}:{s.server_port}" for s in servers)
    try:
        yield source
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def silent(request: Handler, _: Source) -> None:
    time.sleep(3.0)


def half_head(request: Handler, _: Source) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Ty")
    time.sleep(3.0)


def drip_head(request: Handler, _: Source) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    for _number in range(200):
        request.wfile.write(b"a")
        time.sleep(0.05)


def drip_body(request: Handler, _: Source) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5004\r\n\r\n")
    for _number in range(200):
        request.wfile.write(b" ")
        time.sleep(0.05)


def half_body(request: Handler, _: Source) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5004\r\n\r\n" + DATA[:2000])
    request.close_connection = True


def stop_in_body(request: Handler, _: Source) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5004\r\n\r\n" + DATA[:2000])
    time.sleep(3.0)


def endless(request: Handler, _: Source) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    request.close_connection = True
    stop = time.monotonic() + 8.0
    while time.monotonic() < stop:
        request.wfile.write(b" " * 4000)
        time.sleep(0.01)


def too_long(request: Handler, _: Source) -> None:
    send(request, DATA + b"more")


def too_short(request: Handler, _: Source) -> None:
    send(request, DATA[:-4])


def more_than_said(request: Handler, _: Source) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + DATA + b"more")
    request.close_connection = True


def other_bytes(request: Handler, _: Source) -> None:
    send(request, DATA[:-1] + b"x")


def no_http(request: Handler, _: Source) -> None:
    request.wfile.write(b"\x16\x03\x01 nothing a browser knows\r\n\r\n")
    request.close_connection = True


def reset(request: Handler, _: Source) -> None:
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    request.connection.close()
    request.close_connection = True


def odd_chunk(request: Handler, _: Source) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    request.close_connection = True


def huge_head(request: Handler, _: Source) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 2_000_000 + b"\r\n\r\n")


def status(number: int) -> Deed:
    return lambda request, _: send(request, b"{}", number)


def body(data: bytes) -> Deed:
    return lambda request, _: send(request, data)


def to(where: str, number: int = 302) -> Deed:
    return lambda request, source: send(request, b"", number, Location=where.replace("OTHER", source.other))


def loop(request: Handler, _: Source) -> None:
    send(request, b"", 302, Location=request.path)


BAD_ROOT: dict[str, tuple[Deed, str]] = {
    "silence": (silent, "silence"),
    "half a header": (half_head, "silence"),
    "a header that drips": (drip_head, "no whole answer"),
    "a body that drips": (drip_body, "bytes in|no end"),
    "a body without end": (endless, "more than|no end"),
    "half a body": (half_body, "broke off"),
    "reset": (reset, "reset|broke off|disconnected"),
    "no HTTP": (no_http, "broke off|illegal"),
    "an odd chunk": (odd_chunk, "broke off|illegal|chunk"),
    "an enormous header": (huge_head, "."),
    "500": (status(500), "HTTP 500"),
    "401": (status(401), "HTTP 401"),
    "no JSON": (body(b"<html>"), "no answer that is STAC"),
    "JSON too deep": (body(b"[" * 100_000), "no answer that is STAC"),
    "no text": (body(b"\xff\xfe\x00"), "no text"),
    "a list": (body(b"[]"), "no STAC"),
    "another type": (body(b'{"type": 7}'), "wanted a STAC API"),
    "redirect to a file": (to("file:///etc/passwd"), "file"),
    "redirect to ftp": (to("ftp://127.0.0.1/x"), "ftp"),
    "redirects in a ring": (loop, "redirects"),
}
BAD_ASSET: dict[str, tuple[Deed, str]] = {
    "silence": (silent, "silence"),
    "drip": (drip_body, "bytes in"),
    "no end": (endless, "more than|no end|bytes"),
    "stops": (stop_in_body, "silence"),
    "half": (half_body, "broke off"),
    "too long": (too_long, "5008 bytes are offered"),
    "too short": (too_short, "5000 bytes are offered"),
    "more than said": (more_than_said, "more than the 5004 bytes"),
    "other bytes": (other_bytes, "sha256"),
    "404": (status(404), "HTTP 404"),
    "503": (status(503), "HTTP 503"),
    "redirect to a file": (to("file:///etc/passwd"), "file"),
    "redirects in a ring": (loop, "redirects"),
}
BAD_ITEM: dict[str, tuple[Any, str]] = {
    "a number": (7, "no STAC item"),
    "nothing": ({}, "no STAC item"),
    "no assets": ({"type": "Feature", "id": "x", "stac_version": "1.0.0"}, "no STAC item"),
    "an id that is none": ({"type": "Feature", "id": {"a": 1}}, "no STAC item"),
    "a time that is none": ({"datetime": "yesterday"}, "no STAC item"),
    "an asset on this machine": ("file:///etc/passwd.tif", "on this machine"),
    "an asset by path": ("/etc/passwd.tif", "^$"),
    "an asset without an address": (7, "no STAC item"),
    "a size that is none": ("size", ""),
}


def config(source: Source, folder: Path) -> StacConfig:
    found = config_from({"stac": {"url": f"{source.url}/", "folder": str(folder), "limit": 20}}).stac
    assert found is not None
    return found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "BACKOFF_S", 0.01)
    monkeypatch.setenv("GEOFUSE_STAC_TOKEN", SECRET)


def look(source: Source, folder: Path) -> list[Fetched]:
    """Fetch, within the deadline, and with nobody but the source shown the token."""
    began = time.monotonic()
    try:
        return fetch(config(source, folder), bounds=QUICK)
    finally:
        assert time.monotonic() - began < DEADLINE_S
        own = source.url.removeprefix("http://")
        assert {token for host, token in source.shown if host != own} <= {None}
        assert f"Bearer {SECRET}" in {token for _, token in source.shown}


@pytest.mark.parametrize("mode", BAD_ROOT)
def test_a_root_that_is_none_is_said_in_time(mode: str, tmp_path: Path) -> None:
    deed, reason = BAD_ROOT[mode]
    with running(Source({"/": deed})) as source, pytest.raises(GeofuseError, match=reason) as fault:
        look(source, tmp_path / "d")
    assert "\n" not in str(fault.value)
    assert SECRET not in str(fault.value)


@pytest.mark.parametrize("mode", BAD_ASSET)
def test_a_bad_asset_is_its_items_fault(mode: str, tmp_path: Path) -> None:
    deed, reason = BAD_ASSET[mode]
    with running(Source({"/bad.tif": deed})) as source:
        told = {"file:checksum": "1220" + hashlib.sha256(DATA).hexdigest()}
        source.more = [item(source, "bad", f"{source.url}/bad.tif", **told)]
        found = {each.item: each for each in look(source, tmp_path / "d")}
        assert found["good"].new
        assert not found["good"].fault
        assert re.search(reason, found["bad"].fault), found["bad"].fault
        assert not (tmp_path / "d" / "bad").exists()
        asked = len(source.shown)
        again = {each.item: each.fault for each in look(source, tmp_path / "d")}
        assert again["bad"].startswith("parked: ")
        assert len(source.shown) == asked + 3  # the root twice and the search; nothing is downloaded again


@pytest.mark.parametrize("mode", BAD_ITEM)
def test_a_bad_item_is_its_own_fault(mode: str, tmp_path: Path) -> None:
    what, reason = BAD_ITEM[mode]
    with running(Source()) as source:
        bad = item(source, "bad", f"{source.url}/bad.tif")
        if mode.startswith("an asset"):
            bad["assets"]["pan"]["href"] = what
        elif mode.startswith("a time"):
            bad["properties"] = what
        elif mode.startswith("a size"):
            bad["assets"]["pan"]["file:size"] = [what]
        else:
            bad = what
        source.more = [bad]
        found = look(source, tmp_path / "d")
        assert [each.fault for each in found if each.item == "good"] == [""]
        (fault,) = [each.fault for each in found if each.item != "good"]
        assert re.search(reason, fault), fault
        assert "root:" not in "".join(path.read_text("latin-1") for path in tmp_path.rglob("*.tif"))


def test_pages_without_end_are_counted(tmp_path: Path) -> None:
    with running(Source()) as source:
        source.links = [{"rel": "next", "href": f"{source.url}/search"}]
        found = look(source, tmp_path / "d")
        assert found[0].new
        assert any("more than 12 documents" in each.fault for each in found) or len(found) == 20


def test_a_page_that_leads_to_a_file_of_this_machine_is_not_read(tmp_path: Path) -> None:
    with running(Source()) as source:
        source.links = [{"rel": "next", "href": "/etc/passwd"}]
        found = look(source, tmp_path / "d")
        assert found[0].new
        assert "broke off after 1 items" in found[-1].fault
        assert "root:" not in found[-1].fault


@pytest.mark.parametrize("number", [301, 302, 303, 307, 308])
def test_the_token_stays_with_the_source_on_every_redirect(number: int, tmp_path: Path) -> None:
    """Catalogue, search and asset lead to another host: what is there is taken, the token is not shown."""
    with running(Source()) as source:
        source.deeds = {"/moved.tif": to("OTHER/good.tif", number)}
        source.more = [item(source, "moved", f"{source.url}/moved.tif")]
        found = {each.item: each.fault for each in look(source, tmp_path / "d")}
        assert found == {"moved": "", "good": ""}
        assert source.other.removeprefix("http://") in {host for host, _ in source.shown}
    with running(Source()) as source:
        source.deeds = {
            "/": lambda request, told: (
                to("OTHER/", number)(request, told) if request.headers["Host"] in told.url else None
            )
        }
        source.deeds["/"] = _once_away(number)
        assert [each.fault for each in look(source, tmp_path / "e")] == [""]
    with running(Source()) as source:
        source.deeds["/search"] = _once_away(number)
        assert [each.fault for each in look(source, tmp_path / "f")] == [""]


def _once_away(number: int) -> Deed:
    """Send the source's own visitors to the other host, which answers."""

    def deed(request: Handler, source: Source) -> None:
        if request.headers["Host"] == source.url.removeprefix("http://"):
            return to(f"OTHER{request.path}", number)(request, source)
        return answer(request, Source(url=source.url))

    return deed


def test_a_disk_without_room_is_said_before_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "RESERVE_BYTES", 1 << 60)
    with running(Source()) as source, pytest.raises(GeofuseError, match=r"GiB free; wanted"):
        look(source, tmp_path / "d")
