"""What a server is told when it starts, and its limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServeLimits:
    """How much at once; each bound is said to whoever meets it."""

    requests: int = 96
    """Requests at work; more are told 503."""
    requests_each: int = 64
    """Requests of one address at work; more are told 503. A proxy's own address is not meant: see `public_url`."""
    connections: int = 512
    """Open connections; for one more the one that has waited longest without a request is closed."""
    tiles: int = 32
    """Tiles being made or waiting to be made; more are told 503."""
    tile_cache_bytes: int = 96 << 20
    """Encoded tiles kept in memory."""
    downloads: int = 64
    """Files being sent at a time."""
    ranges: int = 8
    """Byte ranges in a request."""
    head_s: float = 10.0
    """A request's header must be there after this time."""
    body_s: float = 60.0
    """A request's body must be there after this time."""
    body_gap_s: float = 10.0
    """Longest wait for the next piece of a request's body."""
    body_rate: int = 4096
    """Bytes a second that a body must come with, once it has had the time of one gap."""
    bodies_bytes: int = 48 << 20
    """Of all bodies that are held at a time."""
    send_s: float = 30.0
    """Longest wait for a client to take the next 64 KiB."""
    body_bytes: int = 4 << 20
    """Of a request other than an upload."""
    upload_bytes: int = 10 << 20
    """Of an uploaded area."""
    clip_px: int = 400_000_000
    """Pixels times bands of a clip."""
    clip_bytes: int = 2 << 30
    """Estimated bytes of a clip."""
    clips_at_once: int = 1
    """Clips being cut at a time; others wait."""
    clips_waiting: int = 16
    """Clips that may wait."""
    clips_kept_s: float = 3600.0
    """How long a finished clip can be fetched."""
    clips_kept_bytes: int = 8 << 30
    """Disk for finished clips; the oldest go first."""


@dataclass(frozen=True, slots=True)
class Basemap:
    """Tiles of somebody else under the footprints: the one outside address the page may have."""

    url: str
    """With {z}, {x} and {y}."""
    attribution: str = ""
    """Credit line."""
    max_zoom: int = 19
    """Deepest level it has."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server is told when it starts."""

    folder: Path
    """The catalogue."""
    title: str = "geofuse"
    """Shown on the page."""
    basemap: Basemap | None = None
    """None: a graticule."""
    tokens: Path | None = None
    """File of tokens; None: CATALOG.tokens.json beside the catalogue."""
    token_required: bool = False
    """Nothing but the page's own files without a token; always so beyond loopback."""
    trust_local: bool = False
    """Whoever reaches the loopback address may see internal items."""
    public_url: str | None = None
    """How the server is reached from outside, for links; None: as the request says."""
    hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]")
    """Names in the Host header that are answered; "*" takes any."""
    secure_cookie: bool = False
    """The session cookie goes over TLS only."""
    audit: Path | None = None
    """Log of who fetched what, JSON lines; None: CATALOG.audit.jsonl beside the catalogue."""
    limits: ServeLimits = field(default_factory=ServeLimits)
    """How much at once."""


def beside(folder: Path, suffix: str) -> Path:
    """Return the path of a file that belongs to a catalogue but does not lie in it.

    >>> beside(Path("archive"), ".tokens.json").name
    'archive.tokens.json'
    """
    whole = folder.resolve()
    return whole.with_name(whole.name + suffix)
