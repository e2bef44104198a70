"""A file sent in pieces: whole, or the ranges asked for, from one open handle, in bounded memory.

The handle is held from the first byte to the last: a product that is replaced meanwhile is delivered as it was.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from starlette.responses import Response

from geofuse.errors import UsageError

CHUNK_BYTES = 64 << 10
"""Read and handed on at a time; a client that does not take them holds about three of these."""
_RANGE = re.compile(r"(\d{0,19})-(\d{0,19})")
ByteRange = tuple[int, int]


class RangeFault(Exception):
    """Ranges that the file has not, or more of them than are given."""


@dataclass(frozen=True, slots=True)
class Held:
    """An open file that is what its item says."""

    descriptor: int
    """Open for reading; whoever sends it closes it."""
    size: int
    """Bytes."""
    tag: str
    """Strong ETag, quoted: of the content."""
    media_type: str
    """MIME."""
    name: str
    """What it is saved as."""


def ranges_of(text: str, size: int, most: int) -> list[ByteRange] | None:
    """Return the spans (start, stop) that a Range header asks for; None where it is of another unit.

    Raises UsageError for a header that says nothing, RangeFault for what the file has not, for more than `most`
    ranges, and for ranges that overlap.

    >>> ranges_of("bytes=0-1, -2", 10, 8)
    [(0, 2), (8, 10)]
    """
    unit, mark, rest = text.partition("=")
    if unit.strip().lower() != "bytes" and mark:
        return None
    parts = [part.strip() for part in rest.split(",") if part.strip()]
    found = [_RANGE.fullmatch(part) for part in parts]
    if not mark or not found or not all(found):
        raise UsageError("a malformed Range header", wanted="bytes=FIRST-LAST")
    if len(found) > most:
        raise RangeFault
    spans: list[ByteRange] = []
    for match in found:
        assert match is not None
        first, last = match[1], match[2]
        if (not first and not last) or (first and last and int(last) < int(first)):
            raise UsageError("a malformed Range header", wanted="bytes=FIRST-LAST, FIRST up to LAST")
        start = int(first) if first else max(0, size - int(last))
        stop = min(int(last) + 1, size) if first and last else size
        if start < stop:
            spans.append((start, stop))
    ordered = sorted(spans)
    if not spans or any(one[1] > other[0] for one, other in pairwise(ordered)):
        raise RangeFault
    return spans


class FileAnswer(Response):
    """Sends a held file, and tells `told` how many bytes went when it is over."""

    def __init__(
        self,
        held: Held,
        spans: Sequence[ByteRange] | None,
        threads: ThreadPoolExecutor,
        told: Callable[[int, bool], None],
        *,
        head: bool = False,
    ) -> None:
        self.held, self.spans, self.threads, self.told = held, spans, threads, told
        self.background = None
        self.status_code = 200 if spans is None else 206
        self.pieces = self._pieces()
        self.head = head
        length = sum(len(piece) if isinstance(piece, bytes) else piece[1] - piece[0] for piece in self.pieces)
        self.init_headers(self._heads(length))

    def _pieces(self) -> list[bytes | ByteRange]:
        """Return what is sent, in order: bytes as they are, and spans of the file."""
        if self.spans is None:
            return [(0, self.held.size)]
        if len(self.spans) == 1:
            return [self.spans[0]]
        self.mark = secrets.token_hex(12)
        found: list[bytes | ByteRange] = []
        for start, stop in self.spans:
            lines = (
                f"--{self.mark}",
                f"Content-Type: {self.held.media_type}",
                f"Content-Range: bytes {start}-{stop - 1}/{self.held.size}",
            )
            found += [("\r\n".join(("", *lines, "", ""))).encode(), (start, stop)]
        return [*found, f"\r\n--{self.mark}--\r\n".encode()]

    def _heads(self, length: int) -> dict[str, str]:
        held, several = self.held, self.spans is not None and len(self.spans) > 1
        found = {
            "content-type": f"multipart/byteranges; boundary={self.mark}" if several else held.media_type,
            "content-length": str(length),
            "content-disposition": f'attachment; filename="{held.name}"',
            "etag": held.tag,
            "accept-ranges": "bytes",
            "cache-control": "private, no-cache",
        }
        if self.spans is not None and not several:
            start, stop = self.spans[0]
            found["content-range"] = f"bytes {start}-{stop - 1}/{held.size}"
        return found

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send it."""
        sent, gone = 0, asyncio.Event()
        watch = asyncio.create_task(_left(receive, gone))
        try:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            for piece in () if self.head else self.pieces:
                sent += await self._send(piece, send, gone)
            if not gone.is_set():
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            watch.cancel()
            os.close(self.held.descriptor)
            self.told(sent, not gone.is_set())

    async def _send(self, piece: bytes | ByteRange, send: Any, gone: asyncio.Event) -> int:
        if isinstance(piece, bytes):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            return 0
        at, stop = piece
        loop = asyncio.get_running_loop()
        while at < stop and not gone.is_set():
            want = min(CHUNK_BYTES, stop - at)
            data = await loop.run_in_executor(self.threads, os.pread, self.held.descriptor, want, at)
            if not data:
                raise OSError("the file is shorter than it was")
            await send({"type": "http.response.body", "body": data, "more_body": True})
            at += len(data)
        return at - piece[0]


async def _left(receive: Any, gone: asyncio.Event) -> None:
    """Note when the client leaves."""
    while (await receive())["type"] != "http.disconnect":
        pass
    gone.set()
