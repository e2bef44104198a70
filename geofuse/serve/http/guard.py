"""What stands before every request: who asks, how many at once, which host, how long; what every answer carries.

Plain ASGI, for it is on the way of every tile.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from geofuse.errors import TokenError
from geofuse.serve.http.access import Visitor
from geofuse.serve.http.faults import RETRY_S, fault_body
from geofuse.serve.http.tokens import Keyring
from geofuse.serve.settings import Settings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "geofuse_session"
UPLOADS = "/api/uploads"
LONGEST_TARGET = 4096
LONGEST_HEADER = 16 << 10
DRAIN_BYTES = 64 << 20
OPEN_PATHS = re.compile(r"/|/assets/[^/]+|/favicon\.ico|/robots\.txt|/healthz|/api/session")
"""What is answered without a token where one is required: the page's own files, and the way to sign in."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"geolocation=(self), camera=(), microphone=(), payment=()"),
)
STRICT_CSP = b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""For everything that does not bring its own: data is no page."""
_log = logging.getLogger(__name__)


class Guard:
    """Wraps an application; `working` counts the requests inside it."""

    def __init__(self, app: App, settings: Settings, keyring: Keyring, counts: dict[str, int]) -> None:
        self.app, self.settings, self.keyring, self.counts = app, settings, keyring, counts
        self.working = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = _Answer(send, self.counts)
        refusal = self._refusal(scope)
        if refusal is not None:
            if refusal[0] == 413:
                await self._drained(scope, receive)
            await answer.refuse(*refusal)
            return
        self.working += 1
        try:
            if scope["method"] == "HEAD":  # as GET, and the server below leaves the body out
                scope = {**scope, "method": "GET", "state": {**scope["state"], "head": True}}
            await self.app(scope, self._bounded(scope, receive, answer), answer.send)
        except _Refused:
            pass
        except Exception:
            _log.exception("%s %s", scope["method"], scope["path"])
            await answer.refuse(500, "error", "the server failed; it is in its log")
        finally:
            self.working -= 1

    def _refusal(self, scope: Scope) -> tuple[int, str, str] | None:
        """Return status, code and message for what is not let in; note who asks in the scope."""
        headers = dict(scope["headers"])
        if self.working >= self.settings.limits.requests:
            return 503, "busy", f"{self.working} requests at work; try again in {RETRY_S} s"
        if len(scope["raw_path"]) + len(scope["query_string"]) > LONGEST_TARGET:
            return 414, "limit", f"an address longer than {LONGEST_TARGET} bytes"
        if sum(len(name) + len(value) for name, value in scope["headers"]) > LONGEST_HEADER:
            return 431, "limit", f"a header of more than {LONGEST_HEADER} bytes"
        if not self._host_known(headers.get(b"host", b"").decode("latin-1")):
            return 421, "host", "a host name this server does not answer to"
        if scope["method"] not in SAFE and _foreign(headers):
            return 403, "access", "a change asked for by another site's page"
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._most(scope):
            return 413, "limit", f"a body of more than {self._most(scope)} bytes"
        return self._identified(scope, headers)

    def _identified(self, scope: Scope, headers: dict[bytes, bytes]) -> tuple[int, str, str] | None:
        visitor, wrong = Visitor(trusted=self.settings.trust_local), None
        token = token_in(headers)
        if token is not None:
            try:
                visitor = Visitor(self.keyring.user_of(token).user, trusted=True)
            except TokenError as fault:
                wrong = f"{fault.found}; {fault.do}"
        scope["state"] = {**scope.get("state", {}), "visitor": visitor}
        if OPEN_PATHS.fullmatch(scope["path"]):
            return None
        if wrong is not None and b"authorization" in headers:
            return 401, "token", wrong
        if self.settings.token_required and visitor.user is None:
            return 401, "token", wrong or "a token is wanted, as `Authorization: Bearer TOKEN`"
        return None

    def _host_known(self, host: str) -> bool:
        name = re.sub(r":\d+$", "", host)
        return "*" in self.settings.hosts or name.lower() in self.settings.hosts

    def _most(self, scope: Scope) -> int:
        limits = self.settings.limits
        return limits.upload_bytes if scope["path"] == UPLOADS else limits.body_bytes

    async def _drained(self, scope: Scope, receive: Receive) -> None:
        """Take in a body that is too large, within bounds: a client that still sends hears no refusal."""
        left = DRAIN_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(self.settings.limits.body_s):
                while left > 0:
                    message = await receive()
                    left -= len(message.get("body", b""))
                    if not message.get("more_body", False):
                        return

    def _bounded(self, scope: Scope, receive: Receive, answer: _Answer) -> Receive:
        """Return a `receive` that waits so long and takes so much of a body, no more, and says so itself."""
        if scope["method"] in SAFE:
            return receive
        most, limits = self._most(scope), self.settings.limits
        clock = asyncio.get_running_loop().time
        seen, done, stop = 0, False, clock() + 4.0 * limits.body_s

        async def bounded() -> Message:
            nonlocal seen, done
            if done:  # what comes after the body is the client's leaving: that may take its time
                return await receive()
            try:
                async with asyncio.timeout_at(min(clock() + limits.body_s, stop)):
                    message = await receive()
            except TimeoutError as fault:
                await answer.refuse(408, "slow", "the request did not arrive in time")
                raise _Refused from fault
            seen += len(message.get("body", b""))
            if seen > most:
                await answer.refuse(413, "limit", f"a body of more than {most} bytes")
                raise _Refused
            done = not message.get("more_body", False)
            return message

        return bounded


class _Refused(Exception):
    """A body went on beyond its bounds, and the client has been told."""


class _Answer:
    """Sends an answer with what every answer carries."""

    def __init__(self, send: Send, counts: dict[str, int]) -> None:
        self.forward, self.counts, self.started, self.over = send, counts, False, False

    async def send(self, message: Message) -> None:
        """Send on a message; nothing more after a refusal."""
        if self.over:
            return
        if message["type"] == "http.response.start":
            self.started = True
            key = f"{message['status'] // 100}xx"
            self.counts[key] = self.counts.get(key, 0) + 1
            present = {name for name, _ in message["headers"]}
            message["headers"] = [
                *message["headers"],
                *(pair for pair in HEADERS if pair[0] not in present),
                *(
                    []
                    if b"content-security-policy" in present
                    else [(b"content-security-policy", STRICT_CSP)]
                ),
                *([] if b"cache-control" in present else [(b"cache-control", b"no-store")]),
            ]
        await self.forward(message)

    async def refuse(self, status: int, code: str, message: str) -> None:
        """Send a refusal, unless an answer has begun: then that is cut off."""
        if self.started:
            raise ConnectionAbortedError(message)
        body = fault_body(code, message)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if status == 503:
            headers.append((b"retry-after", str(RETRY_S).encode()))
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if status in (408, 413):
            headers.append((b"connection", b"close"))
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})
        self.over = True


def token_in(headers: dict[bytes, bytes]) -> str | None:
    """Return the token of a request's header, else of its cookie; never of its address."""
    kind, _, text = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if kind.lower() == "bearer" and text:
        return text.strip()
    for part in headers.get(b"cookie", b"").decode("latin-1").split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE and value:
            return value
    return "" if b"authorization" in headers else None


def _foreign(headers: dict[bytes, bytes]) -> bool:
    """Whether a browser says that another site's page asks."""
    site = headers.get(b"sec-fetch-site", b"same-origin")
    if site in (b"cross-site", b"same-site"):
        return True
    origin = headers.get(b"origin", b"").decode("latin-1")
    return bool(origin) and urlsplit(origin).netloc != headers.get(b"host", b"").decode("latin-1")
