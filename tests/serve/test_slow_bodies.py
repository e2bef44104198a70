"""Bodies that drip: they hold nobody up, cost no memory, and are closed in time."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import OPEN, Site, running

from geofuse.serve.http.guard import Guard
from geofuse.serve.http.tokens import Keyring, new_token
from geofuse.serve.settings import ServeLimits, Settings

SLOW = 200
PATIENCE = ServeLimits(head_s=2.0, body_s=4.0, body_gap_s=2.0, send_s=2.0)


@pytest.fixture(scope="module")
def patient(settings: Settings, product: Path) -> Iterator[Site]:
    with running(replace(settings, limits=PATIENCE), product) as found:
        yield found


def requests_of(site: Site) -> list[tuple[str, str]]:
    paths: dict[str, dict[str, Any]] = site.ask("/openapi.json").json()["paths"]
    return [
        (method.upper(), path.replace("{item_id}", OPEN).replace("{", "").replace("}", ""))
        for path, methods in paths.items()
        for method in methods
    ]


@contextmanager
def dripping(site: Site, token: str | None) -> Iterator[list[socket.socket]]:
    """Hold connections open, on every path in turn, each with a body that comes a byte at a time."""
    wires = []
    who = f"Authorization: Bearer {token}\r\n" if token else ""
    for method, path in itertools.islice(itertools.cycle(requests_of(site)), SLOW):
        wire = socket.create_connection(("127.0.0.1", site.port))
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{who}Content-Type: application/json\r\n"
        wire.sendall(f"{head}Content-Length: 60000\r\n\r\n".encode())
        wires.append(wire)
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(0.1):
            for wire in wires:
                with suppress(OSError):
                    wire.sendall(b" ")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield wires
    finally:
        stop.set()
        thread.join()
        for wire in wires:
            wire.close()


@pytest.mark.parametrize("known", [False, True], ids=["nobody", "somebody"])
def test_dripping_bodies_hold_nobody_up_and_are_closed(patient: Site, known: bool) -> None:
    token = new_token(patient.tokens, f"slow-{known}", days=1.0)[0] if known else None
    before = psutil.Process().memory_info().rss
    with dripping(patient, token) as wires:
        for _ in range(6):
            began = time.monotonic()
            assert patient.ask("/healthz").status == 200
            assert time.monotonic() - began < 1.0
            assert patient.ask("/api/items").status == 200
            time.sleep(0.2)
        assert psutil.Process().memory_info().rss - before < 64 << 20
        give_up = time.monotonic() + PATIENCE.body_s + PATIENCE.head_s + 4.0
        for wire in wires:
            wire.settimeout(max(0.1, give_up - time.monotonic()))
            try:
                while wire.recv(1 << 16):
                    pass
            except ConnectionResetError:
                pass


def ask(guard: Guard, path: str, address: str) -> Any:
    """Send a whole request through the guard; returns its status when it is answered."""

    async def run() -> int:
        said: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            said.append(message)

        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
        }
        headers = [(b"host", b"localhost")]
        await guard({**scope, "headers": headers, "client": (address, 1), "state": {}}, receive, send)
        return int(said[0]["status"])

    return run()


def test_an_address_has_a_share_of_the_slots_and_health_has_its_own(
    settings: Settings, tmp_path: Path
) -> None:
    async def trial() -> list[int]:
        free = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] == "/slow":
                await free.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        limits = ServeLimits(requests=6, requests_each=4)
        guard = Guard(app, replace(settings, limits=limits), Keyring(tmp_path / "tokens.json"), {})
        slow = [asyncio.create_task(ask(guard, "/slow", "10.0.0.1")) for _ in range(4)]
        await asyncio.sleep(0)
        answers = [await ask(guard, "/api/items", who) for who in ("10.0.0.1", "10.0.0.2")]
        slow += [asyncio.create_task(ask(guard, "/slow", f"10.0.1.{n}")) for n in range(2)]
        await asyncio.sleep(0)
        answers += [await ask(guard, path, "10.0.0.3") for path in ("/api/items", "/healthz")]
        free.set()
        assert set(await asyncio.gather(*slow)) == {200}
        return [*answers, await ask(guard, "/api/items", "10.0.0.1")]

    assert asyncio.run(trial()) == [503, 200, 503, 200, 200]


def test_all_bodies_together_are_bounded(settings: Settings, tmp_path: Path) -> None:
    """A body that is too much with the others' is refused before it is held."""

    async def trial() -> int:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            raise AssertionError("the request was not whole")

        said: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b" " * 600, "more_body": True}

        async def send(message: Any) -> None:
            said.append(message)

        guard = Guard(
            app, replace(settings, limits=ServeLimits(bodies_bytes=1000)), Keyring(tmp_path / "t.json"), {}
        )
        scope = {"type": "http", "method": "POST", "path": "/api/clips", "raw_path": b"/api/clips"}
        more = {
            "query_string": b"",
            "headers": [(b"host", b"localhost")],
            "client": ("127.0.0.1", 1),
            "state": {},
        }
        await guard({**scope, **more}, receive, send)
        assert guard.held_bytes == 0
        assert json.loads(said[1]["body"])["code"] == "busy"
        return int(said[0]["status"])

    assert asyncio.run(trial()) == 503
