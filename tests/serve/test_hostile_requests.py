"""Requests that mean harm: each is refused with the right status, and nothing leaks."""

from __future__ import annotations

import io
import json
import os
import socket
import sqlite3
import stat
import struct
import time
import zipfile
from pathlib import Path
from typing import Any

import geopandas
import pytest
import shapely
from conftest import OPEN, SECRET, Site
from test_api import middle_tile

from geofuse.serve.http.tokens import new_token

ITEM = f"/api/items/{OPEN}"
SQUARE = shapely.box(9.0, 48.7, 9.01, 48.71)
LEAKS = ("Traceback", "root:", "/tmp/", "/home/", "site-packages", 'File "')


def clean(body: bytes) -> bool:
    text = body.decode("latin-1")
    return not any(mark in text for mark in LEAKS)


PATHS = [
    ("/../../../etc/passwd", 404),
    ("/%2e%2e/%2e%2e/etc/passwd", 404),
    ("/assets/..%2f..%2f__init__.py", 404),
    ("/assets/%2e%2e%2fpages.py", 404),
    ("/assets/....//pages.py", 404),
    ("/assets/index.html%00.js", 404),
    ("/api/items/..%2f..%2f..%2fetc%2fpasswd", 404),
    ("/api/items/%2e%2e", 404),
    ("/api/items/..%5c..%5cwindows", 404),
    ("/api/items/" + "A" * 3000, 404),
    ("/api/items/" + "A" * 9000, 414),
    ("/api/items/%00", 404),
    ("/api/items/%ff%fe", 404),
    (f"{ITEM}/download/..%2f..%2f..%2findex.sqlite", 404),
    (f"{ITEM}/download/../../index.sqlite", 404),
    (f"{ITEM}/download/%2fetc%2fpasswd", 404),
    (f"{ITEM}/download/data%00.txt", 404),
    (f"{ITEM}/download/data?path=/etc/passwd", 400),
    (f"{ITEM}/tiles/1/0/0.png?url=http://169.254.169.254/latest/meta-data/", 400),
    (f"{ITEM}/tiles/1/0/0.png?url=file:///etc/passwd", 400),
    (f"{ITEM}/tiles/1/0/0.png?expression=b1*1e9", 400),
    (f"{ITEM}/tiles/1/0/0.png?bands=__import__('os')", 400),
    (f"{ITEM}/tiles/1/0/0.png?bands=" + ",".join(["red"] * 40), 400),
    (f"{ITEM}/tiles/1/0/0.png?range=nan,inf", 400),
    (f"{ITEM}/tiles/1/0/0.png?range=5,1", 400),
    (f"{ITEM}/tiles/1/0/0.png?range=" + "1," * 150, 400),
    (f"{ITEM}/tiles/1/0/0.png?gamma=0", 400),
    (f"{ITEM}/tiles/1/0/0.png?gamma=nan", 400),
    (f"{ITEM}/tiles/1/0/0.png?size=65536", 400),
    (f"{ITEM}/tiles/1/5/0.png", 404),
    (f"{ITEM}/tiles/25/0/0.png", 400),
    (f"{ITEM}/tiles/-1/0/0.png", 400),
    (f"{ITEM}/tiles/99999999999999999999/0/0.png", 400),
    (f"{ITEM}/tiles/1/0/0.exe", 400),
    (f"{ITEM}/point?lon=1e400&lat=0", 400),
    (f"{ITEM}/point?lon=0&lat=91", 400),
    (f"{ITEM}/point?lon=nan&lat=0", 400),
    ("/api/items?bbox=1,2,3", 400),
    ("/api/items?bbox=nan,nan,nan,nan", 400),
    ("/api/items?bbox=0,0,0,0", 400),
    ("/api/items?datetime=2024-13-99", 400),
    ("/api/items?datetime=2025-01-01/2024-01-01", 400),
    ("/api/items?datetime=" + "9" * 99, 400),
    ("/api/items?limit=1000000", 400),
    ("/api/items?offset=-1", 400),
    ("/api/items?cloud_max=1e999", 400),
    ("/api/items?q=" + "%27%3B%20DROP%20TABLE%20items%3B--", 200),
    ("/api/clips/../../etc/passwd", 404),
    ("/api/clips/" + "x" * 24, 404),
    ("/api/clips/" + "x" * 24 + "/file", 404),
    ("/api/nothing", 404),
    ("/index.sqlite", 404),
    ("/.tokens.json", 404),
    ("/footprints.parquet", 404),
]


@pytest.mark.parametrize(("path", "status"), PATHS, ids=[path[:60] for path, _ in PATHS])
def test_paths_and_parameters(site: Site, path: str, status: int) -> None:
    answer = site.ask(path)
    assert answer.status == status, answer.body[:200]
    assert clean(answer.body)
    if status >= 400:
        assert set(answer.json()) == {"code", "message"}
        assert len(answer.body) < 1000


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("DELETE", ITEM, 405),
        ("PUT", "/api/items", 405),
        ("TRACE", "/", 405),
        ("POST", f"{ITEM}/download/data", 405),
        ("PROPFIND", "/api/items", 405),
    ],
)
def test_methods(site: Site, method: str, path: str, status: int) -> None:
    answer = site.ask(path, method)
    assert answer.status == status
    assert clean(answer.body)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Host": ""}, 421),
        ({"X-Forwarded-For": "10.0.0.1", "X-Forwarded-Proto": "https"}, 200),
        ({"Authorization": "Basic YTpi"}, 401),
        ({"Authorization": "Bearer " + "A" * 3000}, 401),
        ({"Cookie": "geofuse_session=" + "A" * 3000}, 200),
        ({"If-None-Match": "W/" + '"a",' * 900}, 200),
    ],
)
def test_headers(site: Site, headers: dict[str, str], status: int) -> None:
    answer = site.ask("/api/items", **headers)
    assert answer.status == status
    assert clean(answer.body)
    assert SECRET.encode() not in answer.body


@pytest.mark.parametrize(
    ("path", "body", "kind", "status"),
    [
        ("/api/clips", b"{", "application/json", 400),
        ("/api/clips", b"[" * 100_000, "application/json", 400),
        ("/api/clips", b'{"item": "x"}', "text/plain", 400),
        ("/api/clips", json.dumps({"item": OPEN, "path": "/etc/passwd"}).encode(), "application/json", 400),
        ("/api/clips", json.dumps({"item": OPEN, "format": "exe"}).encode(), "application/json", 400),
        (
            "/api/clips",
            json.dumps({"item": OPEN, "crs": "file:///etc/passwd"}).encode(),
            "application/json",
            400,
        ),
        ("/api/clips", json.dumps({"item": OPEN, "crs": "EPSG:999999"}).encode(), "application/json", 400),
        ("/api/clips", json.dumps({"item": OPEN, "bbox": [0, 0, 1, 1]}).encode(), "application/json", 400),
        ("/api/clips", json.dumps({"item": OPEN, "bands": ["red"] * 2}).encode(), "application/json", 400),
        ("/api/clips", json.dumps({"item": OPEN, "bands": ["x"] * 900}).encode(), "application/json", 400),
        ("/api/clips", b'{"item": "%s", "bbox": [NaN, 0, 1, 1]}' % OPEN.encode(), "application/json", 400),
        (
            "/api/clips",
            b'{"item": "%s", "geometry": {"type": "Polygon"}}' % OPEN.encode(),
            "application/json",
            400,
        ),
        ("/api/clips", b'{"item": "../../etc/passwd"}', "application/json", 404),
        ("/api/session", b'{"token": "gf_x"}', "application/json", 401),
        ("/api/session", b'{"token": {"$ne": null}}', "application/json", 400),
        ("/api/uploads", b"no multipart", "multipart/form-data; boundary=x", 400),
        ("/api/uploads", b"", "multipart/form-data", 400),
    ],
)
def test_bodies(site: Site, path: str, body: bytes, kind: str, status: int) -> None:
    answer = site.ask(path, "POST", body=body, Content_Type=kind)
    assert answer.status == status, answer.body[:200]
    assert clean(answer.body)
    assert set(answer.json()) == {"code", "message"}


def archive(members: dict[str, bytes], *, mode: int = 0, compressed: bool = True) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as made:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = made.compression
            made.writestr(info, data)
    return memory.getvalue()


def shapefile(folder: Path, crs: str = "EPSG:32632") -> dict[str, bytes]:
    folder.mkdir()
    frame = geopandas.GeoDataFrame({"a": [1]}, geometry=[SQUARE], crs="EPSG:4326").to_crs(crs)
    frame.to_file(folder / "field.shp")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def upload(site: Site, name: str, data: bytes) -> Any:
    mark = "frontier"
    head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
    body = head + data + f"\r\n--{mark}--\r\n".encode()
    return site.ask("/api/uploads", "POST", body=body, Content_Type=f"multipart/form-data; boundary={mark}")


def kml(inner: str, head: str = "") -> bytes:
    return (
        f'<?xml version="1.0"?>{head}<kml xmlns="http://www.opengis.net/kml/2.2"><Placemark><Polygon>'
        f"<outerBoundaryIs><LinearRing><coordinates>{inner}</coordinates></LinearRing></outerBoundaryIs>"
        "</Polygon></Placemark></kml>"
    ).encode()


RING = "9,48.7,0 9.01,48.7,0 9.01,48.71,0 9,48.71,0 9,48.7,0"
BOMB = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


def test_honest_areas_are_read(site: Site, tmp_path: Path) -> None:
    geojson = json.dumps({"type": "Feature", "geometry": json.loads(shapely.to_geojson(SQUARE))}).encode()
    package = tmp_path / "field.gpkg"
    geopandas.GeoDataFrame({"a": [1]}, geometry=[SQUARE], crs="EPSG:4326").to_file(package)
    files = shapefile(tmp_path / "shape")
    for name, data in (
        ("field.geojson", geojson),
        ("field.gpkg", package.read_bytes()),
        ("field.zip", archive({f"inner/{name}": data for name, data in files.items()})),
        ("field.kml", kml(RING)),
        ("field.kmz", archive({"doc.kml": kml(RING)})),
    ):
        answer = upload(site, name, data)
        assert answer.status == 200, (name, answer.body)
        said = answer.json()
        assert (said["name"], said["features"]) == (name, 1)
        assert said["area_km2"] == pytest.approx(0.8186, rel=0.01)
        found = shapely.from_geojson(json.dumps(said["geometry"]))
        assert shapely.symmetric_difference(found, SQUARE).area < 0.01 * SQUARE.area, name


def hostile_areas(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = shapefile(folder)
    link = stat.S_IFLNK | 0o777
    liar = bytearray(archive({"a.shp": b"\0" * 1000}))
    at = liar.rindex(b"PK\x01\x02")
    liar[at + 24 : at + 28] = struct.pack("<I", 200 << 20)
    return {
        "slip.zip": (archive({"../../etc/cron.d/x.shp": files["field.shp"]}), 400),
        "absolute.zip": (archive({"/etc/x.shp": files["field.shp"]}), 400),
        "backslash.zip": (archive({"..\\x.shp": files["field.shp"]}), 400),
        "drive.zip": (archive({"C:x.shp": files["field.shp"]}), 400),
        "link.zip": (archive({"x.shp": b"/etc/passwd"}, mode=link), 400),
        "bomb.zip": (archive({"x.shp": b"\0" * (80 << 20)} | {"x.shx": b"", "x.prj": b""}), 413),
        "large.zip": (archive({f"{n}.shp": b"\0" * (50 << 20) for n in range(3)}), 413),
        "liar.zip": (bytes(liar), 413),
        "many.zip": (archive({f"{n}.txt": b"" for n in range(100)}), 413),
        "two.zip": (archive({"a.shp": b"", "b.shp": b""}), 400),
        "torn.zip": (archive(files)[:-30], 400),
        "half.zip": (archive({"field.shp": files["field.shp"]}), 400),
        "empty.zip": (archive({"x.shp": b"", "x.shx": b"", "x.prj": b""}), 400),
        "entities.kml": (kml("&l9;", f'<!DOCTYPE kml [<!ENTITY l0 "1,1 ">{BOMB}]>'), 400),
        "outside.kml": (kml("&x;", '<!DOCTYPE kml [<!ENTITY x SYSTEM "file:///etc/passwd">]>'), 400),
        "network.kml": (kml(RING, '<!DOCTYPE kml SYSTEM "http://169.254.169.254/x.dtd">'), 400),
        "other.kml": (b"<html><body/></html>", 400),
        "torn.kml": (kml(RING)[:-20], 400),
        "words.kml": (kml("here, there"), 400),
        "nan.kml": (kml("nan,nan 1,1 2,2 nan,nan"), 400),
        "none.kml": (b'<kml xmlns="http://www.opengis.net/kml/2.2"/>', 400),
        "deep.json": (b'{"a":' * 100_000, 400),
        "point.json": (b'{"type": "Point", "coordinates": [1, 2]}', 400),
        "far.json": (b'{"type":"Polygon","coordinates":[[[1e9,0],[1e9,1],[2e9,1],[1e9,0]]]}', 400),
        "crs.json": (
            b'{"type":"Polygon","crs":{"properties":{"name":"file:///etc/passwd"}},"coordinates":[[[0,0],[1,0],[1,1],[0,0]]]}',
            400,
        ),
        "script.svg": (b'<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>', 400),
        "empty": (b"", 400),
        "noise": (os.urandom(5000), 400),
        "vrt.gpkg": (b"<OGRVRTDataSource><OGRVRTLayer><SrcDataSource>/etc/passwd", 400),
        "points.json": (
            json.dumps(
                json.loads(shapely.to_geojson(shapely.Point(9, 48).buffer(1, quad_segs=40_000)))
            ).encode(),
            413,
        ),
    }


def test_hostile_areas_are_refused(site: Site, tmp_path: Path) -> None:
    before = set(Path("/tmp").glob("geofuse-area-*"))
    wrong = []
    for name, (data, status) in hostile_areas(tmp_path / "shape").items():
        answer = upload(site, name, data)
        if answer.status != status or not clean(answer.body):
            wrong.append((name, answer.status, status, answer.body[:200]))
    assert not wrong
    assert set(Path("/tmp").glob("geofuse-area-*")) == before
    assert upload(site, "big.json", b" " * (11 << 20)).status == 413
    named = upload(site, "../../<script>.kml", kml(RING)).json()["name"]
    assert "<" not in named
    assert "/" not in named


@pytest.mark.slow
def test_a_package_that_never_ends_is_left(site: Site, tmp_path: Path) -> None:
    package = tmp_path / "field.gpkg"
    geopandas.GeoDataFrame({"a": [1]}, geometry=[SQUARE], crs="EPSG:4326").to_file(package, layer="real")
    with sqlite3.connect(package) as file:
        numbers = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c)"
        endless = f"{numbers} SELECT n AS fid, x'00' AS geom FROM c"
        file.execute(f"CREATE VIEW endless AS {endless}")
        file.execute("UPDATE gpkg_contents SET table_name = 'endless', identifier = 'endless'")
        file.execute("UPDATE gpkg_geometry_columns SET table_name = 'endless'")
    began = time.monotonic()
    assert upload(site, "endless.gpkg", package.read_bytes()).status == 400
    assert time.monotonic() - began < 40
    assert site.ask("/healthz").status == 200


def raw(site: Site, data: bytes, wait_s: float = 10.0) -> bytes:
    with socket.create_connection(("127.0.0.1", site.port), timeout=wait_s) as wire:
        wire.sendall(data)
        got = b""
        while piece := wire.recv(1 << 16):
            got += piece
        return got


def status_of(answer: bytes) -> int:
    return int(answer[9:12])


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/9.9\r\nConnection: close\r\n\r\n", 421),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50 + b"\r\n\r\n", 400),
        (
            b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: "
            + b"a" * (20 << 10)
            + b"\r\n\r\n",
            431,
        ),
        (
            b"POST /api/clips HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 9000000\r\nConnection: close\r\n\r\n" + b" " * 9_000_000,
            413,
        ),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        (
            b"POST /api/clips HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
            b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            b"POST /api/clips HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            400,
        ),
        (b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET http://169.254.169.254/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404),
        (b"CONNECT example.org:443 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404),
        (
            b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n",
            404,
        ),
    ],
)
def test_bytes_on_the_wire(site: Site, data: bytes, status: int) -> None:
    answer = raw(site, data)
    assert status_of(answer) in (status, 405) if status == 404 else status_of(answer) == status
    assert clean(answer)


def test_slow_clients_are_left(strict: Site) -> None:
    token, _ = new_token(strict.tokens, "eve", days=1.0)
    time.sleep(1.1)
    # nothing at all, a header that trickles, a body that never comes
    began = time.monotonic()
    assert raw(strict, b"") == b""
    with socket.create_connection(("127.0.0.1", strict.port), timeout=10) as wire:
        gone = False
        for _ in range(60):
            try:
                wire.sendall(b"G")
            except OSError:
                gone = True
                break
            time.sleep(0.1)
        assert gone
    head = (
        f"POST /api/clips HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    ).encode()
    assert status_of(raw(strict, head)) == 408
    # an answer that is not taken
    with socket.socket() as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.connect(("127.0.0.1", strict.port))
        ask = f"GET {ITEM}/download/data HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
        wire.sendall(ask.encode())
        time.sleep(2.5)
        got = 0
        wire.settimeout(5)
        try:
            while piece := wire.recv(1 << 16):
                got += len(piece)
        except OSError:
            pass
        assert got < strict.product.stat().st_size
    assert time.monotonic() - began < 25
    assert strict.ask("/healthz").status == 200


def test_unfinished_requests_take_no_slot_and_old_ones_make_room(strict: Site) -> None:
    token, _ = new_token(strict.tokens, "frank", days=1.0)
    time.sleep(1.1)
    head = (
        f"POST /api/clips HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    ).encode()
    held = []
    try:
        for _ in range(8):  # twice the slots there are
            wire = socket.create_connection(("127.0.0.1", strict.port))
            wire.sendall(head)
            held.append(wire)
        time.sleep(0.2)
        began = time.monotonic()
        assert strict.ask("/api/items", token=token).status == 200
        assert time.monotonic() - began < 0.5
        many = [socket.create_connection(("127.0.0.1", strict.port)) for _ in range(40)]
        time.sleep(0.2)
        assert strict.ask("/healthz").status == 200
        many[0].settimeout(5)
        assert many[0].recv(10) == b""  # the one that waited longest made room
    finally:
        for wire in (*held, *many):
            wire.close()


def test_another_users_clip_is_not_there(site: Site, token: str) -> None:
    job = site.post("/api/clips", {"item": OPEN}, token).json()
    other, _ = new_token(site.tokens, "mallory", days=1.0)
    time.sleep(1.1)
    for who in (None, other):
        assert site.ask(f"/api/clips/{job['id']}", token=who).status == 404
        assert site.ask(f"/api/clips/{job['id']}/file", token=who).status == 404
        assert site.ask(f"/api/clips/{job['id']}", "DELETE", token=who).status == 404
    assert site.ask(f"/api/clips/{job['id']}", token=token).status == 200
    assert site.ask(f"/api/clips/{job['id']}", "DELETE", token=token).status == 200


def test_tiles_refused_for_want_of_room_are_told_so(site: Site) -> None:
    z, x, y = middle_tile(site)
    assert site.ask(f"{ITEM}/tiles/{z}/{x}/{y}.png").status == 200
