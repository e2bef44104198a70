"""The inbox: which scenes have arrived whole, and are new. It looks and writes down; it starts and moves nothing.

A scene is a folder or an archive directly in the watched folder. It is taken up when it has rested, when its
header files say it is whole, and its list of checksums, if there is one, agrees. What lies there is known by
its contents: a copy under another name is a duplicate, the same name with other contents is a new delivery.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from geofuse.config import RunConfig
from geofuse.errors import BandError, CorruptError, FormatError, GeofuseError, ProductError, ReadError
from geofuse.line.scene_ledger import (
    DUPLICATE,
    FAILED,
    JUDGED,
    PARKED,
    READY,
    RUNNING,
    WAITING,
    LedgerRow,
    died,
    ledger,
    new_row,
    put,
    row_of,
    select,
    summed,
)
from geofuse.line.scene_ref import SceneRef, opened, ref_of_path, scene_key, with_digest
from geofuse.line.sources.manifest import check_manifest
from geofuse.scenes.bands import select_bands

log = logging.getLogger(__name__)
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip")
UNFINISHED = (".part", ".partial", ".tmp", ".filepart", ".crdownload", ".download", ".aria2")
MOST_FILES = 10_000
AT_ONCE = 200
"""Rows in one transaction: each costs a wait for the disk."""
INCOMPLETE = (ProductError, CorruptError, FormatError, BandError)
"""Faults that more bytes may cure, as long as nobody's patience has ended."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What one look found."""

    ready: tuple[LedgerRow, ...]
    """May be taken up now, the first seen first."""
    waiting: tuple[LedgerRow, ...]
    """Still arriving, or waiting to be tried again; `reason` says which."""
    parked: tuple[LedgerRow, ...]
    """Need a person."""
    duplicates: tuple[LedgerRow, ...]
    """The same contents as another."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What a look goes by."""

    config: RunConfig
    """What is wanted."""
    book: sqlite3.Connection
    """The ledger."""
    now: float
    """Seconds since 1970."""
    pending: list[tuple[LedgerRow | None, LedgerRow]] = field(default_factory=list)
    """Rows as they were and as they are to be, not written yet."""
    seen: dict[str, LedgerRow] = field(default_factory=dict)
    """Rows as the ledger has them now, by their place."""


def scan(config: RunConfig, *, clock: Callable[[], float] = time.time) -> Scan:
    """Look at everything in the inbox and among the downloads, once; safe to call by several at any time.

    Raises ReadError where a folder cannot be read, WriteError where the ledger cannot be written.
    """
    with ledger(config) as book:
        look = _Look(config, book, clock())
        for path, settle_s in arrivals(config):
            _looked_at(look, path, settle_s)
        _write(look)
    found = sorted(look.seen.values(), key=lambda row: (row.seen, row.source))
    ready = [row for row in found if row.state == READY][: config.inbox.limit]
    return Scan(
        tuple(ready),
        tuple(row for row in found if row.state in (WAITING, FAILED)),
        tuple(row for row in found if row.state == PARKED),
        tuple(row for row in found if row.state == DUPLICATE),
    )


def arrivals(config: RunConfig) -> Iterator[tuple[str, float]]:
    """Yield what lies in the inbox and among the downloads, and how long each must have rested."""
    if config.inbox.folder:
        yield from ((path, config.inbox.settle) for path in _entries(config.inbox.folder))
    if config.stac is not None and os.path.isdir(config.stac.folder):
        yield from ((path, 0.0) for path in _entries(config.stac.folder))


def _entries(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as listed:
            entries = sorted(listed, key=lambda entry: entry.name)
    except OSError as fault:
        raise ReadError(f"the inbox cannot be read: {fault.strerror}", path=folder) from fault
    for entry in entries:
        name = entry.name.lower()
        if name.startswith((".", "_")) or name.endswith(UNFINISHED):
            continue
        if entry.is_dir() or (entry.is_file() and name.endswith(ARCHIVES)):
            yield entry.path


def _looked_at(look: _Look, path: str, settle_s: float) -> None:
    """Bring the row of one arrival up to date."""
    before = row_of(look.book, path, look.config)
    row = before or new_row(path, look.config, Path(path).name)
    try:
        row = _rested(row, look, first=before is None)
    except OSError:
        return  # gone meanwhile, or not to be looked into now: the next look will tell
    if row.state == RUNNING:
        row = _revived(row, look.config)
    elif look.now - row.rests < settle_s:
        row = _arriving(row, "still changing")
    else:
        if row.state == FAILED and row.not_before <= look.now:
            row = replace(row, state=READY)
        if row.known != row.signature or row.state == WAITING:
            row = replace(_identified(row, look), known=row.signature)
    look.seen[path] = row
    if row != before:
        look.pending.append((before, row))
    if len(look.pending) >= AT_ONCE:
        _write(look)


def _rested(row: LedgerRow, look: _Look, *, first: bool) -> LedgerRow:
    """Note since when nothing changed: by the system's own times at first sight, else by this look."""
    signature, newest = _signature(row.source)
    if signature == row.signature:
        return row
    rests = min(newest, look.now) if first or not row.signature else look.now
    return replace(row, signature=signature, rests=rests)


def _signature(source: str) -> tuple[str, float]:
    """Return a digest of the names, sizes and times of all files, and the newest time any of them changed."""
    found, newest = [], os.stat(source).st_mtime  # a folder that is made just now is empty
    for place in _files(source):
        try:
            facts = os.stat(place)
        except OSError:
            continue  # gone meanwhile: the next look sees another signature
        found.append([os.path.relpath(place, source), facts.st_size, facts.st_mtime_ns])
        newest = max(newest, facts.st_ctime, facts.st_mtime)
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:32], newest


def _files(source: str) -> list[str]:
    if not os.path.isdir(source):
        return [source]
    found = []
    for folder, _, names in os.walk(source):
        found += [os.path.join(folder, name) for name in names]
        if len(found) > MOST_FILES:
            break
    return sorted(found)


def _revived(row: LedgerRow, config: RunConfig) -> LedgerRow:
    """Take up a scene whose run died, unless it did so too often."""
    if not died(config, row):
        return row
    if row.attempts < config.inbox.attempts:
        return replace(row, state=READY, reason="its run died; it goes on")
    return replace(row, state=PARKED, code="worker", reason=f"its run died {row.attempts} times")


def _arriving(row: LedgerRow, reason: str) -> LedgerRow:
    """Let what is new wait; what is known stays what it is until its contents are known to be others."""
    return replace(row, state=WAITING, reason=reason) if not row.key else row


def _identified(row: LedgerRow, look: _Look) -> LedgerRow:
    """Find out whether an arrival is whole and new; a fault of one must not keep the others from being seen."""
    try:
        ref = with_digest(_whole(row.source, look.config), lambda path: summed(look.book, path))
    except ReadError as fault:
        return replace(row, state=WAITING, code=fault.code, reason=str(fault))
    except INCOMPLETE as fault:
        patient = look.now - row.rests < look.config.inbox.patience
        told = f"not whole yet: {fault}" if patient else str(fault)
        return replace(row, state=WAITING if patient else PARKED, code=fault.code, reason=told, ref=None)
    except GeofuseError as fault:
        return replace(row, state=PARKED, code=fault.code, reason=str(fault))
    except OSError as fault:
        return replace(row, state=WAITING, code="read", reason=f"cannot be read: {fault}")
    except sqlite3.Error:
        raise
    except Exception as fault:
        log.exception("%s", row.source)
        return replace(row, state=PARKED, code="internal", reason=f"{type(fault).__name__}: {fault}")
    _write(look)  # a copy may be among what was seen just now
    return _known_or_new(replace(row, ref=ref, name=ref.name), scene_key(look.config, ref), look)


def _known_or_new(row: LedgerRow, key: str, look: _Look) -> LedgerRow:
    """Tell a duplicate, what is known already, and what is to be run."""
    others = [
        other
        for other in select(look.book, "key = ? AND source != ?", [key, row.source])
        if other.state in JUDGED or (other.state != DUPLICATE and _beside(other, row))
    ]
    if others:
        reason = f"the same contents as {others[0].source}"
        return replace(row, key=key, state=DUPLICATE, code="", reason=reason, verdict="")
    if key == row.key and row.state not in (WAITING, DUPLICATE):
        return row
    return replace(
        row, key=key, state=READY, attempts=0, verdict="", code="", reason="", out="", item="", not_before=0.0
    )


def _beside(one: LedgerRow, other: LedgerRow) -> bool:
    return os.path.dirname(one.source) == os.path.dirname(other.source)


def _whole(source: str, config: RunConfig) -> SceneRef:
    """Return the scene if it is whole: checksums, bands, metadata, headers; raises what it lacks."""
    ref = ref_of_path(source)
    select_bands(opened(ref), config.scene.bands)
    check_manifest(source, required=config.inbox.manifest == "required")  # last: it reads every byte
    return ref


def _write(look: _Look) -> None:
    """Write the rows that changed, but those somebody else changed since they were read."""
    if not look.pending:
        return
    book = look.book
    book.execute("BEGIN IMMEDIATE")
    try:
        for before, after in look.pending:
            current = row_of(book, after.source, look.config)
            if current == before:
                current = put(book, after)
            assert current is not None
            look.seen[after.source] = current
        book.execute("COMMIT")
    except BaseException:
        book.rollback()
        raise
    look.pending.clear()


def scan_to_json(found: Scan) -> dict[str, list[dict[str, str]]]:
    """Turn what a look found into JSON values: names and reasons."""

    def told(rows: tuple[LedgerRow, ...]) -> list[dict[str, str]]:
        return [{"name": row.name, "key": row.key, "code": row.code, "reason": row.reason} for row in rows]

    return {name: told(getattr(found, name)) for name in ("ready", "waiting", "parked", "duplicates")}
