"""What stands before every request: who asks, how many at once, which host, how long; what every answer carries.

Plain ASGI, for it is on the way of every tile.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from geofuse.errors import TokenError
from geofuse.serve.http.access import Visitor
from geofuse.serve.http.faults import RETRY_S, fault_body
from geofuse.serve.http.tokens import Keyring
from geofuse.serve.settings import Settings

COOKIE = "geofuse_session"
UPLOADS = "/api/uploads"
HEALTH = "/healthz"
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
    """Wraps an application; `working` counts the requests inside it, all of them whole: none waits for its body."""

    def __init__(self, app: ASGIApp, settings: Settings, keyring: Keyring, counts: dict[str, int]) -> None:
        self.app, self.settings, self.keyring, self.counts = app, settings, keyring, counts
        self.working = 0
        self.held_bytes = 0
        self.by_address: Counter[str] = Counter()

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
        body = _Body(self, scope, receive)
        try:
            await body.taken_in()
            await self._worked(scope, body, answer)
        except _Refused as fault:
            await answer.refuse(*fault.told)
        except ClientGone:
            pass
        finally:
            body.let_go()

    async def _worked(self, scope: Scope, body: _Body, answer: _Answer) -> None:
        """Give a whole request its slot and hand it on; health has always one."""
        address = (scope.get("client") or ("",))[0]
        if scope["path"] != HEALTH:
            self._no_slot(address)
        self.working += 1
        self.by_address[address] += 1
        try:
            if scope["method"] == "HEAD":  # as GET, and the server below leaves the body out
                scope = {**scope, "method": "GET", "state": {**scope["state"], "head": True}}
            await self.app(scope, body.receive, answer.send)
        except Exception:
            _log.exception("%s %s", scope["method"], scope["path"])
            await answer.refuse(500, "error", "the server failed; it is in its log")
        finally:
            self.working -= 1
            self.by_address[address] -= 1
            if not self.by_address[address]:
                del self.by_address[address]

    def _no_slot(self, address: str) -> None:
        """Raise the refusal where all slots are taken, or this address has its share of them."""
        limits = self.settings.limits
        if self.working >= limits.requests:
            raise _Refused(503, "busy", f"{self.working} requests at work; try again in {RETRY_S} s")
        if self.by_address[address] >= limits.requests_each:
            raise _Refused(
                503, "busy", f"{self.by_address[address]} of your requests at work; try again in {RETRY_S} s"
            )

    def _refusal(self, scope: Scope) -> tuple[int, str, str] | None:
        """Return status, code and message for what is not let in; note who asks in the scope."""
        headers = dict(scope["headers"])
        if len(scope["raw_path"]) + len(scope["query_string"]) > LONGEST_TARGET:
            return 414, "limit", f"an address longer than {LONGEST_TARGET} bytes"
        if sum(len(name) + len(value) for name, value in scope["headers"]) > LONGEST_HEADER:
            return 431, "limit", f"a header of more than {LONGEST_HEADER} bytes"
        if not self._host_known(headers.get(b"host", b"").decode("latin-1")):
            return 421, "host", "a host name this server does not answer to"
        if scope["method"] not in SAFE and _foreign(headers):
            return 403, "access", "a change asked for by another site's page"
        if b"transfer-encoding" in headers and b"content-length" in headers:
            return 400, "http", "a body of two lengths: Content-Length with Transfer-Encoding"
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


class _Body:
    """A request's body, taken in whole before the request gets a slot, within bounds of time, rate and size."""

    def __init__(self, guard: Guard, scope: Scope, receive: Receive) -> None:
        self.guard, self.limits, self.forward = guard, guard.settings.limits, receive
        self.most = guard._most(scope)
        self.pieces: list[bytes] = []
        self.bytes = 0
        self.given = False

    async def taken_in(self) -> None:
        """Read all of it; raises the refusal where it is too slow, too large, or too much with all others'."""
        clock = asyncio.get_running_loop().time
        begun = clock()
        more = True
        while more:
            stop = min(clock() + self.limits.body_gap_s, begun + self.limits.body_s)
            try:
                async with asyncio.timeout_at(stop):
                    message = await self.forward()
            except TimeoutError as fault:
                raise _Refused(408, "slow", "the request did not arrive in time") from fault
            if message["type"] == "http.disconnect":
                raise ClientGone
            self._keep(message.get("body", b""))
            more = message.get("more_body", False)
            passed = clock() - begun
            if more and self.bytes < self.limits.body_rate * (passed - self.limits.body_gap_s):
                raise _Refused(
                    408, "slow", f"the request came slower than {self.limits.body_rate} bytes a second"
                )

    def _keep(self, piece: bytes) -> None:
        self.pieces.append(piece)
        self.bytes += len(piece)
        self.guard.held_bytes += len(piece)
        if self.bytes > self.most:
            raise _Refused(413, "limit", f"a body of more than {self.most} bytes")
        if self.guard.held_bytes > self.limits.bodies_bytes:
            raise _Refused(503, "busy", f"too many bodies at once; try again in {RETRY_S} s")

    async def receive(self) -> Message:
        """Give the application the body, then what comes after it: the client's leaving."""
        if self.given:
            return await self.forward()
        self.given = True
        return {"type": "http.request", "body": b"".join(self.pieces), "more_body": False}

    def let_go(self) -> None:
        """Give the memory back."""
        self.guard.held_bytes -= self.bytes
        self.pieces.clear()


class ClientGone(Exception):
    """The client left before its request was whole."""


class _Refused(Exception):
    """A request that is refused: status, code and message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.told = (status, code, message)


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
        if status in (400, 408, 413, 503):  # what still comes of its body is nobody's next request
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
