"""The application: its parts put together, and the server that runs it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib import import_module

import uvicorn
from fastapi import FastAPI

from geofuse.errors import UsageError
from geofuse.serve.http.audit import Audit
from geofuse.serve.http.dependencies import Door
from geofuse.serve.http.digests import Digests
from geofuse.serve.http.faults import add_handlers
from geofuse.serve.http.guard import Guard
from geofuse.serve.http.protocol import protocol_with
from geofuse.serve.http.tokens import Keyring
from geofuse.serve.maps.tiling import Tiler
from geofuse.serve.orders.downloads import check_product
from geofuse.serve.orders.jobs import Jobs
from geofuse.serve.settings import Settings, beside
from geofuse.serve.stac.archive import Archive
from geofuse.version import __version__

ROUTERS = (
    *("http.sessions", "stac.items", "maps.tiles", "maps.matrices", "orders.downloads", "orders.clips"),
    *("maps.wmts", "stac.stac_api", "stac.features", "maps.styles", "pages"),
)
"""Modules of this room with a `router` each; the first that matches answers."""
THREADS = 8
SENDERS = 4
LOOPBACK = ("127.0.0.1", "::1", "localhost")
_log = logging.getLogger(__name__)


def make_app(settings: Settings) -> FastAPI:
    """Make the application over a catalogue; raises UsageError where there is none and none can begin."""
    counts: dict[str, int] = {}
    archive = Archive(settings.folder)
    keyring = Keyring(settings.tokens or beside(settings.folder, ".tokens.json"))
    digests = Digests()
    door = Door(
        settings=settings,
        archive=archive,
        keyring=keyring,
        tiler=Tiler(archive, settings.limits, counts),
        threads=ThreadPoolExecutor(THREADS, "serve"),
        senders=ThreadPoolExecutor(SENDERS, "send"),
        digests=digests,
        jobs=Jobs(settings.limits, lambda item: check_product(archive, digests, item)),
        audit=Audit(settings.audit or beside(settings.folder, ".audit.jsonl")),
        counts=counts,
    )

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        door.tiler.close()
        door.jobs.close()
        for pool in (door.threads, door.senders):
            pool.shutdown(wait=False, cancel_futures=True)

    app = FastAPI(
        title="geofuse",
        version=__version__,
        summary="Fused satellite images: find, look, cut, fetch.",
        docs_url=None,
        redoc_url=None,
        lifespan=life,
    )
    app.state.door = door
    add_handlers(app)
    for name in ROUTERS:
        app.include_router(import_module(f"geofuse.serve.{name}").router)
    app.add_middleware(Guard, settings=settings, keyring=keyring, counts=counts)
    return app


def serve(settings: Settings, *, host: str, port: int) -> None:
    """Serve until interrupted; raises UsageError for a host beyond loopback without tokens."""
    if host not in LOOPBACK and not settings.token_required:
        raise UsageError(f"host {host} without tokens", wanted="a token from everybody beyond loopback")
    uvicorn.Server(configured(make_app(settings), settings, host=host, port=port)).run()


def configured(app: FastAPI, settings: Settings, *, host: str, port: int) -> uvicorn.Config:
    """Return how the application is run: deadlines, one process, no word of who serves."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=protocol_with(settings.limits),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=settings.public_url is not None,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=10,
        h11_max_incomplete_event_size=32 << 10,
    )
