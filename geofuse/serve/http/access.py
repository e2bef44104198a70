"""Who asks, and what the access class of an item lets them do."""

from __future__ import annotations

from dataclasses import dataclass

from geofuse.archive.rights import VIEW_ONLY_SCALE
from geofuse.errors import AccessError


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks."""

    user: str | None = None
    """Whom the token names; None without one."""
    trusted: bool = False
    """May see internal items: has a token, or sits at the machine where that is enough."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a visitor may do with an item."""

    view: bool
    """Know of it and look at it."""
    clip: bool
    """Cut pieces out of it."""
    download: bool
    """Fetch its files."""
    native: bool
    """See it at its own scale."""

    @property
    def scale(self) -> int:
        """How many of its pixels, along an axis, become one before they leave the server."""
        return 1 if self.native else VIEW_ONLY_SCALE


def grant_of(access: str, visitor: Visitor) -> Grant:
    """Return what a visitor may do with an item of an access class; of an unknown class, as if internal.

    >>> grant_of("view-only", Visitor()).scale, grant_of("internal", Visitor()).view
    (4, False)
    """
    if access == "open":
        return Grant(view=True, clip=True, download=True, native=True)
    if access == "view-only":
        return Grant(view=True, clip=False, download=False, native=False)
    return Grant(view=visitor.trusted, clip=visitor.trusted, download=visitor.trusted, native=visitor.trusted)


def demand(granted: bool, what: str) -> None:
    """Raise AccessError where something is not granted."""
    if not granted:
        raise AccessError(f"{what} of an item that may only be looked at", do="ask the owner of the data")
