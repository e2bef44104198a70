"""The connection itself: deadlines for slow clients and a cap on connections, beneath any request."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from geofuse.serve.http.faults import RETRY_S, fault_body
from geofuse.serve.settings import ServeLimits

_log = logging.getLogger(__name__)


def protocol_with(limits: ServeLimits) -> type[asyncio.Protocol]:
    """Return the protocol with a server's own deadlines."""
    return type("Guarded", (Guarded,), {"limits": limits})


class Guarded(H11Protocol):
    """uvicorn's protocol, closing what sends its header, or takes our answer, too slowly."""

    limits = ServeLimits()
    """Its deadlines; a server's own by `protocol_with`."""

    _head: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give a new connection its time for a first request; turn away one too many."""
        super().connection_made(transport)
        self.waiting_since: float | None = self.loop.time()
        if len(self.connections) > self.limits.connections and not self._one_closed():
            self._turn_away(transport)
            return
        self._head = self.loop.call_later(self.limits.head_s, self._late)

    def data_received(self, data: bytes) -> None:
        """Take bytes; a header that began must be whole in its time, however it trickles."""
        before = self.cycle
        super().data_received(data)
        self._note_waiting()
        if self.cycle is not before or (self.cycle is not None and not self.cycle.response_complete):
            self._calm("_head")
        elif self._head is None and not self.transport.is_closing():
            self._head = self.loop.call_later(self.limits.head_s, self._late)

    def pause_writing(self) -> None:
        """Give the client its time to take what is waiting."""
        super().pause_writing()
        self._calm("_stuck")
        self._stuck = self.loop.call_later(self.limits.send_s, self._give_up)

    def resume_writing(self) -> None:
        """Note that it did."""
        super().resume_writing()
        self._calm("_stuck")

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all clocks."""
        self._calm("_head")
        self._calm("_stuck")
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in our words."""
        body = fault_body("http", "no valid HTTP request")
        headers = [
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def on_response_complete(self) -> None:
        """Note that nothing is asked of us any more."""
        super().on_response_complete()
        self._note_waiting()

    def _note_waiting(self) -> None:
        """Note since when this connection has had no whole request: its first byte does not make one."""
        busy = (
            self.conn.their_state is h11.DONE and self.cycle is not None and not self.cycle.response_complete
        )
        if busy:
            self.waiting_since = None
        elif self.waiting_since is None:
            self.waiting_since = self.loop.time()

    def _one_closed(self) -> bool:
        """Close the connection that has waited longest without a whole request, to make room for this one."""
        others = [
            each
            for each in self.connections
            if isinstance(each, Guarded) and each is not self and each.waiting_since is not None
        ]
        if not others:
            return False
        longest = min(others, key=lambda each: each.waiting_since or 0.0)
        _log.info("%s: closed, it held one of %d connections", longest.client, self.limits.connections)
        longest.connections.discard(longest)
        longest.transport.abort()
        return True

    def _turn_away(self, transport: asyncio.Transport) -> None:
        body = fault_body("busy", "too many connections; try again later")
        lines = (
            "HTTP/1.1 503 Service Unavailable",
            f"retry-after: {RETRY_S}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            "connection: close",
        )
        transport.write("\r\n".join((*lines, "", "")).encode() + body)
        transport.close()

    def _late(self) -> None:
        self._head = None
        _log.info("%s: closed, no request within %g s", self.client, self.limits.head_s)
        self.transport.abort()

    def _give_up(self) -> None:
        self._stuck = None
        _log.info("%s: closed, it did not take its answer within %g s", self.client, self.limits.send_s)
        self.transport.abort()

    def _calm(self, name: str) -> None:
        timer: Any = getattr(self, name)
        if timer is not None:
            timer.cancel()
            setattr(self, name, None)
