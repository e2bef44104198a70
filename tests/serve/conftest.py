"""A catalogue with an open, a view-only and an internal item, and a real server over it on a free port."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from browsing import chromium

from geofuse.cli import main
from geofuse.quality.simulated_pair import SimulatedPair
from geofuse.serve.app import configured, make_app
from geofuse.serve.http.tokens import new_token
from geofuse.serve.settings import ServeLimits, Settings

ROOT = Path(__file__).resolve().parents[2]
DAY = "2024-05-12T10:05:00Z"
OWED = "Pictures by the example agency"
OPEN, LOOK, SECRET = "open-scene", "look-scene", "secret-scene"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Site:
    """A server and what it serves."""

    port: int
    catalog: Path
    product: Path
    tokens: Path
    audit: Path

    def ask(
        self,
        path: str,
        method: str = "GET",
        *,
        body: bytes | None = None,
        token: str | None = None,
        **headers: str,
    ) -> Answer:
        """Send one request, its path as it is."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            said["Authorization"] = f"Bearer {token}"
        try:
            connection.request(method, path, body, said)
            answer = connection.getresponse()
            known = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, known, answer.read())
        finally:
            connection.close()

    def post(self, path: str, value: Any, token: str | None = None) -> Answer:
        """Send JSON."""
        return self.ask(
            path, "POST", body=json.dumps(value).encode(), token=token, Content_Type="application/json"
        )

    def clip(self, wish: dict[str, Any], token: str | None = None) -> Answer:
        """Cut, wait, and fetch the file."""
        began = self.post("/api/clips", wish, token)
        assert began.status == 202, began.body
        job = began.json()
        stop = time.monotonic() + 60
        while job["state"] in ("queued", "running"):
            assert time.monotonic() < stop
            time.sleep(0.02)
            job = self.ask(f"/api/clips/{job['id']}", token=token).json()
        assert job["state"] == "done", job
        return self.ask(job["url"], token=token)


@contextlib.contextmanager
def running(settings: Settings, product: Path) -> Iterator[Site]:
    """Run a server of our own in this process."""
    config = configured(make_app(settings), settings, host="127.0.0.1", port=0)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    stop = time.monotonic() + 30
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < stop
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    folder = settings.folder
    assert settings.tokens is not None
    assert settings.audit is not None
    try:
        yield Site(port, folder, product, settings.tokens, settings.audit)
    finally:
        server.should_exit = True
        thread.join(30)


@pytest.fixture(scope="session")
def product(pair: SimulatedPair, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product of 1280 x 1280 pixels with a slanted border of nodata."""
    out = tmp_path_factory.mktemp("product") / "scene.tif"
    arguments = ["fuse", "--pan", pair.pan, "--ms", pair.ms, "--out", out, "--method", "sfim"]
    assert main([*map(str, arguments), "--no-calibrate", "--no-progress", "--level", "1"]) == 0
    return out


@pytest.fixture(scope="session")
def catalogue(product: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same product under three access classes."""
    folder = tmp_path_factory.mktemp("served") / "archive"
    for name, access in ((OPEN, "open"), (LOOK, "view-only"), (SECRET, "internal")):
        arguments = ["publish", product, "--catalog", folder, "--id", name, "--access", access]
        assert main([*map(str, arguments), "--acquired", DAY, "--attribution", OWED]) == 0
    return folder


@pytest.fixture(scope="session")
def settings(catalogue: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """What the server of the tests is told."""
    place = tmp_path_factory.mktemp("beside")
    return Settings(folder=catalogue, tokens=place / "tokens.json", audit=place / "audit.jsonl")


@pytest.fixture(scope="session")
def site(settings: Settings, product: Path) -> Iterator[Site]:
    """The server; what it serves must not be changed."""
    with running(settings, product) as found:
        yield found


@pytest.fixture(scope="session")
def token(site: Site) -> str:
    """A token of a user of that server."""
    return new_token(site.tokens, "alice", days=1.0)[0]


@pytest.fixture
def strict(settings: Settings, product: Path) -> Iterator[Site]:
    """A server that wants a token from everybody and has little patience."""
    waits = {"head_s": 0.6, "body_s": 1.8, "body_gap_s": 0.6, "send_s": 0.6}
    limits = ServeLimits(**waits, requests=4, upload_bytes=1 << 20, connections=24)
    with running(replace(settings, token_required=True, limits=limits), product) as found:
        yield found


@pytest.fixture(scope="session")
def built() -> None:
    """The page, built where its sources changed."""
    sys.path.insert(0, str(ROOT))
    import hatch_build

    hatch_build.build_page(ROOT)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real Chromium."""
    with chromium() as found:
        yield found
