"""What the routes of one server share, and how a route gets at it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant

from geofuse.errors import UsageError
from geofuse.serve.http.access import Grant, Visitor
from geofuse.serve.http.audit import Audit
from geofuse.serve.http.digests import Digests
from geofuse.serve.http.tokens import Keyring
from geofuse.serve.maps.tiling import Tiler
from geofuse.serve.orders.jobs import Jobs
from geofuse.serve.settings import Settings
from geofuse.serve.stac.archive import Archive, IndexRow

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Door:
    """What the routes of one server share."""

    settings: Settings
    """What the server was told."""
    archive: Archive
    """The catalogue."""
    keyring: Keyring
    """The tokens."""
    tiler: Tiler
    """Makes tiles."""
    threads: ThreadPoolExecutor
    """For work that is not a tile: reading items, statistics, uploads."""
    senders: ThreadPoolExecutor
    """Read the files that are being sent."""
    digests: Digests
    """Which files are known to be whole."""
    jobs: Jobs
    """Clips."""
    audit: Audit
    """Who fetched what."""
    counts: dict[str, int]
    """What happened so far, for /metrics."""

    async def aside(self, work: Callable[..., T], *arguments: Any) -> T:
        """Do what blocks in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, work, *arguments)

    async def fresh(self) -> Archive:
        """Return the catalogue as it is now."""
        if self.archive.stale:
            await self.aside(self.archive.refresh)
        return self.archive


async def door_of(request: Request) -> Door:
    """Return the server's door."""
    found: Door = request.app.state.door
    return found


async def visitor_of(request: Request) -> Visitor:
    """Return who asks, as the guard found out."""
    found: Visitor = request.scope["state"]["visitor"]
    return found


TheDoor = Annotated[Door, Depends(door_of)]
TheVisitor = Annotated[Visitor, Depends(visitor_of)]


async def row_of(id: str, door: TheDoor, visitor: TheVisitor) -> tuple[IndexRow, Grant]:
    """Return the item of a route's path, and what may be done with it."""
    return (await door.fresh()).row(id, visitor)


TheRow = Annotated[tuple[IndexRow, Grant], Depends(row_of)]


async def known_only(request: Request) -> None:
    """Refuse what a route does not know: nothing is ever fetched for, or computed from, an address's words."""
    if not request.scope["query_string"]:
        return
    known = _query_names(request.scope["route"].dependant)
    for name in request.query_params:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise UsageError(
                f"unknown parameter {name[:40]!r}",
                wanted=", ".join(sorted(known)) or "none",
                do=f"did you mean {near[0]}?" if near else "",
            )


def _query_names(dependant: Dependant) -> set[str]:
    found = {field.alias for field in dependant.query_params}
    for inner in dependant.dependencies:
        found |= _query_names(inner)
    return found


def root_of(request: Request, settings: Settings) -> str:
    """Return the address the server is reached by, without a slash at its end."""
    return (settings.public_url or str(request.base_url)).rstrip("/")
