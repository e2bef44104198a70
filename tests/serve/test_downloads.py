"""Whole files: by range and with resume, as they were when the answer began, refused when damaged, in little memory."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import socket
import threading
import time
from pathlib import Path

import psutil
import pytest
from conftest import DAY, OPEN, Site, running
from site_files import sparse_item

from geofuse.cli import main
from geofuse.errors import UsageError
from geofuse.serve.http.file_response import RangeFault, ranges_of
from geofuse.serve.settings import Settings

DATA = f"/api/items/{OPEN}/download/data"


@pytest.fixture
def own(product: Path, tmp_path: Path) -> Settings:
    """A catalogue that may be harmed."""
    folder = tmp_path / "archive"
    arguments = ["publish", str(product), "--catalog", str(folder), "--id", OPEN, "--access", "open"]
    assert main([*arguments, "--acquired", DAY]) == 0
    return Settings(folder=folder, tokens=tmp_path / "tokens.json", audit=tmp_path / "audit.jsonl")


def test_a_whole_file_and_what_is_said_of_it(site: Site) -> None:
    answer = site.ask(DATA)
    assert answer.body == site.product.read_bytes()
    assert answer.headers["etag"] == f'"{hashlib.sha256(answer.body).hexdigest()[:32]}"'
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-disposition"] == f'attachment; filename="{OPEN}.tif"'
    assert site.ask(DATA, If_None_Match=answer.headers["etag"]).status == 304
    stop = time.monotonic() + 5
    while not site.audit.exists() or '"asset": "data"' not in site.audit.read_text():
        assert time.monotonic() < stop
        time.sleep(0.05)
    line = json.loads(site.audit.read_text().splitlines()[0])
    assert {"time", "user", "client", "item", "version", "bytes", "whole"} <= line.keys()
    assert site.audit.stat().st_mode & 0o077 == 0


def test_resume_gives_the_same_bytes(site: Site) -> None:
    whole = site.product.read_bytes()
    tag = site.ask(DATA, "HEAD").headers["etag"]
    got = b""
    for stop in (1000, 65_537, 300_001, len(whole)):
        answer = site.ask(DATA, Range=f"bytes={len(got)}-{stop - 1}", If_Range=tag)
        assert answer.status == 206
        assert answer.headers["content-range"] == f"bytes {len(got)}-{stop - 1}/{len(whole)}"
        got += answer.body
    assert got == whole
    changed = site.ask(DATA, Range="bytes=10-", If_Range='"another"')
    assert (changed.status, changed.body) == (200, whole)
    assert site.ask(DATA, Range="bytes=-7").body == whole[-7:]
    assert site.ask(DATA, Range="pages=1-2").body == whole


def test_several_ranges(site: Site) -> None:
    whole = site.product.read_bytes()
    spans = [(5, 9), (100, 100), (2000, 70_000)]
    answer = site.ask(DATA, Range="bytes=" + ", ".join(f"{first}-{last}" for first, last in spans))
    assert answer.status == 206
    boundary = answer.headers["content-type"].partition("boundary=")[2].encode()
    parts = answer.body.split(b"\r\n--" + boundary)
    assert parts[-1] == b"--\r\n"
    for part, (first, last) in zip(parts[1:-1], spans, strict=True):
        head, _, body = part.partition(b"\r\n\r\n")
        assert f"bytes {first}-{last}/{len(whole)}".encode() in head
        assert body == whole[first : last + 1]
    assert len(answer.body) == int(answer.headers["content-length"])


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("bytes=9-3", 400),
        ("bytes=a-b", 400),
        ("bytes=", 400),
        ("bytes=-", 400),
        ("bytes", 400),
        ("bytes=1-2-3", 400),
        ("bytes=" + "9" * 400 + "-", 400),
        ("bytes=999999999999-", 416),
        ("bytes=-0", 416),
        ("bytes=0-5,3-9", 416),
        ("bytes=" + ",".join(f"{at * 10}-{at * 10 + 1}" for at in range(9)), 416),
        ("bytes=" + ",".join("0-" for _ in range(400)), 416),
    ],
)
def test_malformed_and_greedy_ranges(site: Site, text: str, status: int) -> None:
    answer = site.ask(DATA, Range=text)
    assert answer.status == status
    assert set(answer.json()) == {"code", "message"}
    if status == 416:
        assert answer.headers["content-range"] == f"bytes */{site.product.stat().st_size}"


def test_ranges_by_themselves() -> None:
    assert ranges_of("bytes=0-0,-1", 10, 8) == [(0, 1), (9, 10)]
    assert ranges_of("bytes=5-100", 10, 8) == [(5, 10)]
    assert ranges_of("bytes=-100", 10, 8) == [(0, 10)]
    with pytest.raises(RangeFault):
        ranges_of("bytes=0-", 0, 8)
    with pytest.raises(UsageError):
        ranges_of("bytes=--1", 10, 8)


def test_a_damaged_product_is_refused_and_not_cut(own: Settings, product: Path) -> None:
    (path,) = own.folder.glob(f"generic/{OPEN}/v1/{OPEN}.tif")
    with running(own, product) as site:
        assert site.ask(DATA).status == 200
        with path.open("r+b") as file:
            file.seek(200_000)
            byte = file.read(1)[0]
            file.seek(200_000)
            file.write(bytes([byte ^ 1]))
        for _ in range(2):
            refused = site.ask(DATA)
            assert (refused.status, refused.json()["code"]) == (409, "verify")
            assert str(own.folder).encode() not in refused.body
        assert site.ask(DATA, Range="bytes=0-9").status == 409
        job = site.post("/api/clips", {"item": OPEN}).json()
        stop = time.monotonic() + 20
        while job["state"] in ("queued", "running"):
            assert time.monotonic() < stop
            time.sleep(0.02)
            job = site.ask(f"/api/clips/{job['id']}").json()
        assert job["state"] == "failed"
        assert site.ask(f"/api/clips/{job['id']}/file").status == 404
        path.write_bytes(product.read_bytes())
        assert site.ask(DATA).body == product.read_bytes()


def test_a_product_replaced_midway_is_delivered_as_it_was(
    own: Settings, product: Path, tmp_path: Path
) -> None:
    (path,) = own.folder.glob(f"generic/{OPEN}/v1/{OPEN}.tif")
    whole = path.read_bytes()
    with running(own, product) as site, socket.create_connection(("127.0.0.1", site.port)) as wire:
        site.ask(DATA, "HEAD")
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        wire.sendall(f"GET {DATA} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        got = wire.recv(4096)
        other = tmp_path / "other.tif"
        other.write_bytes(b"another product" * 100_000)
        other.replace(path)
        time.sleep(0.3)
        while piece := wire.recv(1 << 16):
            got += piece
        head, _, body = got.partition(b"\r\n\r\n")
        assert b"200 OK" in head
        assert body == whole
        assert site.ask(DATA).status == 409  # what lies there now is not what the item says


def test_a_link_out_of_the_catalogue_is_not_followed(own: Settings, product: Path, tmp_path: Path) -> None:
    (path,) = own.folder.glob(f"generic/{OPEN}/v1/{OPEN}.tif")
    elsewhere = tmp_path / "elsewhere.tif"
    shutil.copy(path, elsewhere)
    path.unlink()
    path.symlink_to(elsewhere)
    with running(own, product) as site:
        assert site.ask(DATA).status == 404
        assert site.ask(f"/api/items/{OPEN}").status == 404
        inside = path.with_name("copy.tif")
        shutil.copy(elsewhere, inside)
        path.unlink()
        path.symlink_to(inside)
        assert site.ask(DATA).status == 404
        path.unlink()
        os.mkfifo(path)
        assert site.ask(DATA).status == 404


@pytest.mark.slow
def test_32_downloads_of_a_gibibyte_take_little_memory(own: Settings, product: Path) -> None:
    digest = sparse_item(own.folder, OPEN, 1 << 30)
    with running(own, product) as site:
        assert site.ask(DATA, "HEAD").status == 200
        site.ask(DATA, Range="bytes=0-1000000")
        me = psutil.Process()
        before, most, going = me.memory_info().rss, 0, True
        found: list[str] = []

        def fetch() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", site.port)
            connection.request("GET", DATA)
            answer, seen, buffer = connection.getresponse(), hashlib.sha256(), bytearray(1 << 16)
            while count := answer.readinto(buffer):
                seen.update(memoryview(buffer)[:count])
            connection.close()
            found.append(seen.hexdigest())

        clients = [threading.Thread(target=fetch) for _ in range(32)]
        for client in clients:
            client.start()
        while going:
            most = max(most, me.memory_info().rss)
            time.sleep(0.2)
            going = any(client.is_alive() for client in clients)
    assert found == [digest] * 32
    assert most - before < 32 << 20  # the 32 clients' own 2 MiB of buffers in it
