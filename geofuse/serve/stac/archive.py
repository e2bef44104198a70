"""The catalogue as the server knows it: every item's summary in memory, brought up to date as items change.

Reads only. An item's file that changes, appears or goes is seen within a second or so of the next question.
"""

from __future__ import annotations

import json
import logging
import os
import stat
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geofuse.archive.catalog import servable
from geofuse.archive.catalog_index import item_files, seconds
from geofuse.archive.footprints import meets, packed, place_words
from geofuse.errors import MissingError
from geofuse.nouns import GeoJson, StacJson
from geofuse.serve.http.access import Grant, Visitor, grant_of

FRESH_S = 1.0
"""How long what was seen of the folder counts as now."""
Stamp = tuple[int, int, int]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IndexRow:
    """What the server keeps of an item."""

    id: str
    """The item's name."""
    collection: str
    """Its sensor."""
    href: str
    """Its file, relative to the catalogue."""
    stamp: Stamp
    """Size, mtime_ns and inode of that file: tells this state of the item from another."""
    start: float
    """Acquisition, seconds since 1970; of its beginning where only the day is known."""
    stop: float
    """Its end."""
    bounds: tuple[float, float, float, float]
    """West, south, east, north; east over 180 across the antimeridian."""
    footprint: bytes
    """WKB in longitude and latitude."""
    geometry: GeoJson
    """The same as GeoJSON."""
    bbox: list[float]
    """As STAC writes it."""
    properties: StacJson
    """STAC's, of the item."""
    assets: dict[str, StacJson]
    """STAC's, of the item."""

    @property
    def access(self) -> str:
        """Its access class."""
        return str(self.properties["geofuse:access"])

    @property
    def title(self) -> str:
        """Its scene and where that is; of several products of a scene the same."""
        scene = self.properties.get("geofuse:scene")
        told = f"{scene}, {place_words(self.bounds)}" if scene else self.properties.get("title", self.id)
        return str(told)

    @property
    def version(self) -> str:
        """What changes whenever the item does: part of addresses that may be kept for long."""
        return f"{self.properties['version']}-{self.stamp[1]:x}"


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for; an item must meet all that is not None."""

    area: Any = None
    """A shapely geometry in longitude and latitude."""
    start: float | None = None
    """Acquired at or after this, seconds since 1970."""
    stop: float | None = None
    """Acquired at or before this."""
    sensor: str | None = None
    """The collection."""
    cloud_max: float | None = None
    """Percent; an item whose clouds are unknown is not found."""
    verdict: str | None = None
    """PASS or REVIEW, as the acceptance profile said."""
    words: str | None = None
    """All of these words occur in its name, title, method or sensor."""


class Archive:
    """The items of one catalogue; may be asked from any thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = servable(folder).resolve()
        self._rows: dict[str, IndexRow] = {}
        self._broken: dict[str, Stamp] = {}
        self._seen = float("-inf")
        self._state = 0
        self._lock = threading.Lock()

    def refresh(self) -> None:
        """Look at the folder, unless that was just done; takes as long as 10,000 files' times take."""
        with self._lock:
            if time.monotonic() - self._seen < FRESH_S:
                return
            rows, broken = dict(self._rows), {}
            known = {row.href: row for row in rows.values()}
            new = not rows and not self.folder.is_dir()
            found = {} if new else dict(item_files(self.folder))
            for href in known.keys() - found.keys():
                del rows[known[href].id]
            for href, stamp in found.items():
                if (href in known and known[href].stamp == stamp) or self._broken.get(href) == stamp:
                    if href not in known:
                        broken[href] = stamp
                    continue
                row = _row(self.folder, href, stamp)
                if row is None:
                    broken[href] = stamp
                    if href in known:
                        del rows[known[href].id]
                else:
                    rows[row.id] = row
            if rows != self._rows:
                self._state += 1
            self._rows, self._broken, self._seen = rows, broken, time.monotonic()

    def forget(self) -> None:
        """Let the next `refresh` look, whenever the last one was."""
        self._seen = float("-inf")

    @property
    def state(self) -> int:
        """Counts the changes that were seen."""
        return self._state

    @property
    def stale(self) -> bool:
        """Whether `refresh` would look."""
        return time.monotonic() - self._seen >= FRESH_S

    def row(self, item_id: str, visitor: Visitor) -> tuple[IndexRow, Grant]:
        """Return an item and what may be done with it; MissingError where there is none the visitor may know of."""
        row = self._rows.get(item_id)
        grant = grant_of(row.access, visitor) if row else None
        if row is None or grant is None or not grant.view:
            raise MissingError("no such item")
        return row, grant

    def search(self, search: Search, visitor: Visitor) -> list[IndexRow]:
        """Return what is found and may be known of, newest first."""
        found = [
            row for row in self._rows.values() if grant_of(row.access, visitor).view and _fits(row, search)
        ]
        if search.area is not None and found:
            near = _boxes_meet(found, search.area.bounds)
            found = [row for row, close in zip(found, near, strict=True) if close]
            met = meets([row.footprint for row in found], search.area) if found else ()
            found = [row for row, close in zip(found, met, strict=True) if close]
        return sorted(found, key=lambda row: (-row.start, row.id))

    def hidden(self, visitor: Visitor) -> int:
        """Return how many items a visitor may not know of."""
        return sum(not grant_of(row.access, visitor).view for row in self._rows.values())

    def item(self, row: IndexRow) -> StacJson:
        """Read an item whole, as it lies in the catalogue."""
        try:
            value: StacJson = json.loads(self.within(row.href).read_bytes())
        except (OSError, ValueError) as fault:
            raise MissingError("no such item, any more") from fault
        return value

    def asset_path(self, row: IndexRow, key: str) -> Path:
        """Return where an asset of an item lies; MissingError where it is not a file inside the catalogue."""
        asset = row.assets.get(key)
        if asset is None:
            raise MissingError("no such asset")
        return self.within(str(Path(row.href).parent / asset["href"]))

    def within(self, href: str) -> Path:
        """Return a path inside the catalogue that a name leads to; nothing leads out of it, no link either."""
        path = self.folder / href
        try:
            real = path.resolve(strict=True)
            plain = stat.S_ISREG(os.lstat(path).st_mode)
        except (OSError, RuntimeError, ValueError) as fault:
            raise MissingError("no such file") from fault
        if not plain or not real.is_relative_to(self.folder):
            _log.warning("%s leads out of the catalogue, or is no plain file; it is not served", path)
            raise MissingError("no such file")
        return real


def _fits(row: IndexRow, search: Search) -> bool:
    clouds = row.properties.get("eo:cloud_cover")
    tests = (
        search.start is None or row.stop >= search.start,
        search.stop is None or row.start <= search.stop,
        search.sensor is None or row.collection == search.sensor,
        search.cloud_max is None or (clouds is not None and clouds <= search.cloud_max),
        search.verdict is None or row.properties.get("geofuse:verdict") == search.verdict,
    )
    if not all(tests):
        return False
    if not search.words:
        return True
    text = f"{row.id} {row.collection} {row.title} {row.properties.get('geofuse:method', '')}".casefold()
    return all(word in text for word in search.words.casefold().split())


def _boxes_meet(rows: Iterable[IndexRow], bounds: tuple[float, float, float, float]) -> list[bool]:
    west, south, east, north = bounds
    boxes = np.array([row.bounds for row in rows])
    level = (boxes[:, 1] <= north) & (boxes[:, 3] >= south)
    across = [(boxes[:, 0] <= east + turn) & (boxes[:, 2] >= west + turn) for turn in (0.0, 360.0)]
    return list(map(bool, level & (across[0] | across[1])))


def _row(folder: Path, href: str, stamp: Stamp) -> IndexRow | None:
    """Read an item; None, and a warning, where it is none."""
    try:
        item = json.loads((folder / href).read_bytes())
        said = item["properties"]
        footprint, bounds = packed(item["geometry"])
        moment = said.get("datetime")
        span = (moment, moment) if moment else (said["start_datetime"], said["end_datetime"])
        if not isinstance(said["geofuse:access"], str) or not item["assets"]["data"]["bands"]:
            raise ValueError("no access class, or no bands")
        return IndexRow(
            id=item["id"],
            collection=item["collection"],
            href=href,
            stamp=stamp,
            start=seconds(span[0]),
            stop=seconds(span[1]),
            bounds=bounds,
            footprint=footprint,
            geometry=item["geometry"],
            bbox=item["bbox"],
            properties={"version": "0", **said},
            assets=item["assets"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        _log.warning("%s: no item of this catalogue (%s: %s)", folder / href, type(fault).__name__, fault)
        return None
