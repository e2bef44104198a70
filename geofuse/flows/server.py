"""Prefect's server and UI, with one thing added: the UI may speak to nobody but its own server."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from starlette.types import Message, Send

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' ws://{host} wss://{host}; frame-ancestors 'self'"
)
"""Content-Security-Policy: the bundled UI asks an outside host for feature flags; a browser now refuses that."""
ORPHAN_SECONDS = 2.0


class InsideOnly:
    """The application, its pages sent with the policy."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Any, send: Send) -> None:
        """Pass a request on; add one header to its answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")

        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                header = (b"content-security-policy", POLICY.format(host=host).encode("latin-1"))
                message = {**message, "headers": [*message.get("headers", []), header]}
            await send(message)

        await self.app(scope, receive, with_policy)


def create_app() -> InsideOnly:
    """Make the application, as uvicorn's factory; it ends when the process that started it is gone."""
    from prefect.server.api.server import create_app as prefect_app

    leash()
    return InsideOnly(prefect_app(final=True))


def leash() -> None:
    """End this process soon after its parent: a killed `geofuse up` leaves no server behind."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(ORPHAN_SECONDS)
        os.kill(os.getpid(), 15)

    threading.Thread(target=watch, name="geofuse-leash", daemon=True).start()
