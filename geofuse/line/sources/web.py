"""Reading from the web within bounds: time, silence, rate, size, redirects, and who is shown the token.

What answers may be broken or hostile: each bound is a ReadError with what was found, never a wait without end.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from geofuse.errors import ReadError
from geofuse.version import __version__


@dataclass(frozen=True, slots=True)
class TransferLimits:
    """What an answer may take."""

    connect_s: float = 15.0
    """Until a connection is made."""
    silence_s: float = 60.0
    """Without a byte."""
    head_s: float = 60.0
    """Until an answer's header is whole."""
    text_s: float = 120.0
    """A document, whole."""
    text_bytes: int = 64 << 20
    """A document's size."""
    total_s: float = 12 * 3600.0
    """A file, whole."""
    rate: int = 1024
    """Bytes a second that a file must come with, over each `rate_s`."""
    rate_s: float = 60.0
    """Time that the rate is taken over."""
    redirects: int = 5
    """Followed for one request."""
    requests: int = 1000
    """Documents read for one search."""


@dataclass(slots=True)
class Answer:
    """An answer that has begun."""

    status: int
    """HTTP status."""
    headers: Mapping[str, str]
    """Its header, names in lower case."""
    pieces: Iterator[bytes]
    """Its body as it comes."""


@dataclass(slots=True)
class Web:
    """Reads for one source; only that source's own host is shown the token, and no host a redirect leads to."""

    source: str
    """The source's address."""
    token: str | None = None
    """Its bearer token."""
    bounds: TransferLimits = field(default_factory=TransferLimits)
    """What an answer may take."""
    asked: int = 0
    """Documents read so far."""

    def text(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        params: Any = None,
    ) -> str:
        """Read a document; raises ReadError where it does not come, whole, within its bounds."""
        self.asked += 1
        if self.asked > self.bounds.requests:
            raise ReadError(
                f"more than {self.bounds.requests} documents for one search",
                do="ask for less: an area, a time, a collection",
                path=self.source,
            )
        stop = time.monotonic() + self.bounds.text_s
        got: list[bytes] = []
        size = 0
        with self.opened(url, method=method, headers=headers, json=json, params=params) as answer:
            if answer.status != 200:
                raise ReadError(f"HTTP {answer.status}", do="check the address, or try again later", path=url)
            for piece in answer.pieces:
                got.append(piece)
                size += len(piece)
                if size > self.bounds.text_bytes:
                    raise ReadError(f"a document of more than {self.bounds.text_bytes} bytes", path=url)
                if time.monotonic() > stop:
                    raise ReadError(
                        f"{size} bytes in {self.bounds.text_s:g} s, and no end",
                        do="try again later",
                        path=url,
                    )
        try:
            return b"".join(got).decode("utf-8")
        except UnicodeDecodeError as fault:
            raise ReadError(f"no text: {fault.reason}", wanted="UTF-8", path=url) from fault

    @contextmanager
    def opened(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        params: Any = None,
    ) -> Iterator[Answer]:
        """Ask, following redirects; gives the answer as it comes. Every fault of the line is a ReadError."""
        wait = httpx.Timeout(self.bounds.silence_s, connect=self.bounds.connect_s)
        once = httpx.Limits(max_keepalive_connections=0)
        watch = _Watch(self.bounds.head_s)
        try:
            with httpx.Client(timeout=wait, limits=once, verify=_trust()) as client:
                sent = _request(client, method, url, headers, json=json, params=params)
                for _ in range(self.bounds.redirects + 1):
                    answer = self._sent(client, sent, watch)
                    if not answer.is_redirect:
                        break
                    sent = _redirected(client, sent, answer)
                    answer.close()
                else:
                    raise ReadError(f"more than {self.bounds.redirects} redirects", path=url)
                try:
                    yield Answer(answer.status_code, answer.headers, self._pieces(answer, url))
                finally:
                    answer.close()
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError) as fault:
            if isinstance(fault, ReadError):
                raise
            raise ReadError(
                watch.reason or _reason(fault, self.bounds), do="try again later", path=url
            ) from fault

    def _sent(self, client: httpx.Client, request: httpx.Request, watch: _Watch) -> httpx.Response:
        if request.url.scheme not in ("http", "https"):
            raise ReadError("no address on the web", wanted="http or https", path=str(request.url))
        request.headers.pop("Authorization", None)
        if self.token and _place(request.url) == _place(httpx.URL(self.source)):
            request.headers["Authorization"] = f"Bearer {self.token}"
        request.extensions["trace"] = watch.trace
        with watch:
            return client.send(request, stream=True)

    def _pieces(self, answer: httpx.Response, url: str) -> Iterator[bytes]:
        """Give a body's pieces, as long as they come fast enough."""
        begun = mark = time.monotonic()
        since = 0
        for piece in answer.iter_raw():
            yield piece
            now = time.monotonic()
            since += len(piece)
            if now - begun > self.bounds.total_s:
                raise ReadError(f"no end after {self.bounds.total_s:g} s", do="try again later", path=url)
            if now - mark > self.bounds.rate_s:
                if since < self.bounds.rate * (now - mark):
                    raise ReadError(
                        f"{since} bytes in {now - mark:.0f} s",
                        do="try again when the line is better",
                        path=url,
                    )
                mark, since = now, 0


class _Watch:
    """Closes the connection where an answer's header is not whole in time: one byte now and then is no silence."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.reason = seconds, ""
        self.stream: Any = None
        self.timer: threading.Timer | None = None

    def trace(self, name: str, info: dict[str, Any]) -> None:
        """Note the connection that was made (httpx's trace extension)."""
        if name in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self.stream = info["return_value"]

    def __enter__(self) -> None:
        self.timer = threading.Timer(self.seconds, self._cut)
        self.timer.daemon = True
        self.timer.start()

    def __exit__(self, *_: object) -> None:
        assert self.timer is not None
        self.timer.cancel()

    def _cut(self) -> None:
        self.reason = f"no whole answer in {self.seconds:g} s"
        if self.stream is not None:
            with suppress(OSError):
                self.stream.get_extra_info("socket").shutdown(2)


def _trust() -> ssl.SSLContext:
    """Return the system's own trust, made once: certificates of a house's own authority are there."""
    global _context
    if _context is None:
        _context = ssl.create_default_context()
    return _context


_context: ssl.SSLContext | None = None


def _request(
    client: httpx.Client, method: str, url: str, headers: Mapping[str, str] | None, *, json: Any, params: Any
) -> httpx.Request:
    own = {"User-Agent": f"geofuse/{__version__}", "Accept-Encoding": "identity", **(headers or {})}
    return client.build_request(method, url, headers=own, json=json, params=params or None)


REPEATED = frozenset({"user-agent", "accept-encoding", "range", "if-range", "content-type"})
"""Headers that a redirected request keeps; never who we are."""


def _redirected(client: httpx.Client, sent: httpx.Request, answer: httpx.Response) -> httpx.Request:
    """Return the request that a redirect asks for: 307 and 308 repeat it, the others ask with GET (RFC 9110)."""
    target = sent.url.join(answer.headers["location"])
    if target.scheme not in ("http", "https"):
        raise ReadError(f"a redirect to {target.scheme}:", wanted="http or https", path=str(sent.url))
    keeps = answer.status_code in (307, 308) or sent.method in ("GET", "HEAD")
    headers = {
        name: value
        for name, value in sent.headers.items()
        if name in ("user-agent", "accept-encoding", "range", "if-range", "content-type")
    }
    if keeps:
        return client.build_request(sent.method, target, headers=headers, content=sent.content or None)
    headers.pop("content-type", None)
    return client.build_request("GET", target, headers=headers)


def _place(url: httpx.URL) -> tuple[str, str, int | None]:
    """Return what must be the same for a token to be shown: scheme, host and port."""
    return url.scheme, url.host, url.port


def _reason(fault: Exception, bounds: TransferLimits) -> str:
    if isinstance(fault, httpx.ConnectTimeout):
        return f"no connection in {bounds.connect_s:g} s"
    if isinstance(fault, httpx.TimeoutException):
        return f"silence for {bounds.silence_s:g} s"
    if isinstance(fault, httpx.RemoteProtocolError):
        return f"the answer broke off: {fault}"
    return str(fault) or type(fault).__name__
