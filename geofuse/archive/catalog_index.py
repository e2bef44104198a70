"""The index of a catalogue: what a search asks of 10,000 items, in one SQLite file beside them.

Never the truth. It is held against the items' files each time it is used (their sizes and times: a hundred
thousand a second), so an item that was copied in, edited, or published by a process that was killed is found all
the same; a file that is missing, damaged or of another version is made anew.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from geofuse.archive.footprints import COLUMNS, joined_bounds, meets, packed
from geofuse.files import made

INDEX = "index.sqlite"
VERSION = 1
"""Of the table below; an index of another is made anew."""
WAIT_S = 30.0

_TABLE = """
CREATE TABLE items (
  href TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, inode INTEGER,
  id TEXT, collection TEXT, start REAL, stop REAL, cloud_cover REAL,
  access TEXT, license TEXT, attribution TEXT, version TEXT,
  west REAL, south REAL, east REAL, north REAL, footprint BLOB
) WITHOUT ROWID;
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
"""
_STAMP = ("size", "mtime_ns", "inode")
_VALUES = (
    "href",
    *_STAMP,
    *(name for name in COLUMNS if name != "href"),
    *("west", "south", "east", "north", "footprint"),
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """What the index knows of one item."""

    id: str
    """The item's."""
    collection: str
    """The sensor."""
    start: float
    """Acquisition, or its beginning where only the day is known: seconds since 1970, UTC."""
    stop: float
    """Its end."""
    cloud_cover: float | None
    """Percent; None where unknown."""
    access: str
    """"open", "view-only" or "internal"."""
    license: str
    """SPDX identifier, or "other"."""
    attribution: str
    """Credit line."""
    version: str
    """Counts the deliveries and reprocessings, from 1."""
    href: str
    """The item's file, relative to the catalogue."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is searched for; an item must meet all that is not None."""

    area: Any = None
    """A shapely geometry in longitude and latitude, from `footprints.area_of`, that the footprint must meet."""
    start: float | None = None
    """Acquired at or after this: seconds since 1970, UTC."""
    stop: float | None = None
    """Acquired at or before this."""
    cloud_cover_max: float | None = None
    """Percent; an item whose clouds are unknown is not found."""
    sensor: str | None = None
    """The collection."""


@contextmanager
def opened_index(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open a catalogue's index, brought up to date with its items.

    Where the folder cannot be written to, the index is made in memory.
    """
    with closing(_connected(folder)) as index:
        yield index


def _connected(folder: Path) -> sqlite3.Connection:
    path = folder / INDEX
    try:
        return _current(folder, made(path))
    except OSError as fault:
        _log.warning("%s: %s; searching without it", path, fault.strerror)
        return _current(folder, ":memory:")
    except sqlite3.OperationalError as fault:
        _log.warning("%s: %s; searching without it", path, fault)
        return _current(folder, ":memory:")
    except sqlite3.DatabaseError as fault:
        _log.warning("%s: %s; it is made anew", path, fault)
        discard_index(folder)
        return _current(folder, made(path))


def discard_index(folder: Path) -> None:
    """Remove the index; the next use makes it anew."""
    for name in (INDEX, f"{INDEX}-journal"):
        (folder / name).unlink(missing_ok=True)


def _current(folder: Path, path: Path | str) -> sqlite3.Connection:
    index = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
    try:
        index.execute("PRAGMA synchronous = OFF")  # lost, it is made anew
        _refresh(folder, index)
    except BaseException:
        index.close()
        raise
    return index


def _refresh(folder: Path, index: sqlite3.Connection) -> None:
    """Read the items whose files are new or changed, forget those whose files are gone."""
    if index.execute("PRAGMA user_version").fetchone()[0] == VERSION and not _changes(folder, index):
        return  # the common case takes no lock
    index.execute("BEGIN IMMEDIATE")
    try:
        if index.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            for table in ("items", "notes"):
                index.execute(f"DROP TABLE IF EXISTS {table}")
            for statement in _TABLE.strip().split(";\n"):
                index.execute(statement)
            index.execute(f"PRAGMA user_version = {VERSION}")
        changes = _changes(folder, index)
        marks = ", ".join("?" * len(_VALUES))
        for href, stamp in changes.items():
            row = None if stamp is None else _row(folder, href, stamp)
            if row is None:
                index.execute("DELETE FROM items WHERE href = ?", (href,))
            else:
                index.execute(f"REPLACE INTO items ({', '.join(_VALUES)}) VALUES ({marks})", row)
        index.execute("COMMIT")
    except BaseException:
        index.rollback()
        raise


def _changes(folder: Path, index: sqlite3.Connection) -> dict[str, tuple[int, int, int] | None]:
    """Return the files that differ from what is known of them, with their stamps; None for those gone."""
    known = {row[0]: row[1:] for row in index.execute(f"SELECT href, {', '.join(_STAMP)} FROM items")}
    found = dict(item_files(folder))
    changed: dict[str, tuple[int, int, int] | None] = {
        href: stamp for href, stamp in found.items() if known.get(href) != stamp
    }
    return {**changed, **dict.fromkeys(known.keys() - found.keys())}


def item_files(folder: Path) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Yield each item's file, relative to the catalogue, with its size, mtime_ns and inode."""
    for sensor in _folders(folder):
        for name in _folders(folder / sensor):
            try:
                facts = os.stat(f"{folder}/{sensor}/{name}/{name}.json")
            except (FileNotFoundError, NotADirectoryError):
                continue
            yield f"{sensor}/{name}/{name}.json", (facts.st_size, facts.st_mtime_ns, facts.st_ino)


def _folders(path: Path) -> list[str]:
    with os.scandir(path) as entries:
        return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())


def _row(folder: Path, href: str, stamp: tuple[int, int, int]) -> tuple[Any, ...] | None:
    """Read an item into a row of the table; None, and a warning, where it is no item."""
    try:
        item = json.loads((folder / href).read_bytes())
        said = item["properties"]
        footprint, bounds = packed(item["geometry"])
        moment = said.get("datetime")
        span = [moment, moment] if moment else [said["start_datetime"], said["end_datetime"]]
        values = {
            **dict(zip(_STAMP, stamp, strict=True)),
            "href": href,
            "id": item["id"],
            "collection": item["collection"],
            "start": seconds(span[0]),
            "stop": seconds(span[1]),
            "cloud_cover": said.get("eo:cloud_cover"),
            "access": said["geofuse:access"],
            "license": said["license"],
            "attribution": said.get("attribution", ""),
            "version": said["version"],
            "footprint": footprint,
            **dict(zip(("west", "south", "east", "north"), bounds, strict=True)),
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        _log.warning("%s: no item of this catalogue (%s: %s)", folder / href, type(fault).__name__, fault)
        return None
    return tuple(values[name] for name in _VALUES)


def seconds(moment: str) -> float:
    """Return an ISO 8601 time as seconds since 1970; one without a zone is UTC. Raises ValueError.

    >>> seconds("1970-01-02T00:00:00Z")
    86400.0
    """
    found = datetime.fromisoformat(moment)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def entries_of(index: sqlite3.Connection, query: Query | None = None) -> list[CatalogEntry]:
    """Return the entries a query finds, all without one: by time of acquisition, then by id."""
    query = query or Query()
    where: list[str] = []
    values: list[Any] = []
    for test, value in (
        ("stop >= ?", query.start),
        ("start <= ?", query.stop),
        ("cloud_cover <= ?", query.cloud_cover_max),
        ("collection = ?", query.sensor),
    ):
        if value is not None:
            where.append(test)
            values.append(value)
    if query.area is not None:
        west, south, east, north = query.area.bounds
        turns = [turn for by in (0.0, 360.0) for turn in (east + by, west + by)]
        where.append("south <= ? AND north >= ? AND (west <= ? AND east >= ? OR west <= ? AND east >= ?)")
        values += [north, south, *turns]
    names = ", ".join(CatalogEntry.__slots__)
    tests = " AND ".join(where) or "1"
    rows = index.execute(
        f"SELECT {names}, footprint FROM items WHERE {tests} ORDER BY start, id", values
    ).fetchall()
    if query.area is not None and rows:
        rows = [
            row for row, met in zip(rows, meets([row[-1] for row in rows], query.area), strict=True) if met
        ]
    return [CatalogEntry(*row[:-1]) for row in rows]


def footprint_rows(index: sqlite3.Connection) -> list[Sequence[Any]]:
    """Return what `footprints.write_footprints` takes."""
    return index.execute(f"SELECT {', '.join(COLUMNS)}, footprint FROM items ORDER BY id").fetchall()


def extents(index: sqlite3.Connection, collection: str) -> tuple[list[float], list[float]]:
    """Return the west, south, east, north and the first and last second of a collection that has items."""
    rows = index.execute(
        "SELECT west, south, east, north, start, stop FROM items WHERE collection = ?", (collection,)
    ).fetchall()
    return list(joined_bounds(rows)), [min(row[4] for row in rows), max(row[5] for row in rows)]


def note(index: sqlite3.Connection, name: str) -> str | None:
    """Return what was noted under a name."""
    row = index.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
    return row[0] if row else None


def keep_note(index: sqlite3.Connection, name: str, value: str) -> None:
    """Note something."""
    index.execute("REPLACE INTO notes (name, value) VALUES (?, ?)", (name, value))


def state(index: sqlite3.Connection) -> str:
    """Return what tells these items from any others: their files' stamps, digested."""
    import hashlib

    digest = hashlib.sha256()
    for row in index.execute(f"SELECT href, {', '.join(_STAMP)} FROM items ORDER BY href"):
        digest.update(repr(row).encode())
    return digest.hexdigest()
