"""The ledger of scenes: what arrived, what was done with it, in one SQLite file beside the catalogue.

One row for each place a scene came from and configuration it was met with. A row says "running" only while
somebody holds the scene's lock, which the system takes from a process that dies; who finds the lock free knows.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from geofuse.config import RunConfig, config_digest, config_to_json, state_folder
from geofuse.errors import GeofuseError, LockedError, ReadError, WriteError
from geofuse.files import made, write_faults, write_json
from geofuse.line.events import may_retry
from geofuse.line.scene_ref import SceneRef, ref_from_json, ref_to_json, scene_key, source_of, with_digest
from geofuse.line.stage_records import job_folder
from geofuse.locks import locked
from geofuse.nouns import Json, to_json
from geofuse.rasters.opening.sniffing import file_of
from geofuse.rasters.pixels import input_sha256

log = logging.getLogger(__name__)
LEDGER = "scenes.sqlite"
CONFIGURATION = "configuration.json"
"""What a scene was run with: a decision may come long after."""
VERSION = 1
WAIT_S = 60.0
WAITING, READY, RUNNING, PARKED, DUPLICATE = "waiting", "ready", "running", "parked", "duplicate"
PUBLISHED, REVIEWED, REJECTED, UNPUBLISHED, FAILED = (
    *("published", "review", "rejected", "unpublished"),
    "failed",
)
STATES = (*(WAITING, READY, RUNNING, PUBLISHED, REVIEWED, REJECTED, UNPUBLISHED, FAILED, PARKED, DUPLICATE),)
"""waiting: not complete; ready: may be taken up; parked: needs a person; failed: may be taken up again later."""
JUDGED = (PUBLISHED, REVIEWED, REJECTED, UNPUBLISHED)
"""States in which there is a product: the same scene is not run again."""

_TABLES = """
CREATE TABLE scenes (
  source TEXT, config TEXT, key TEXT, name TEXT, ref TEXT, state TEXT, verdict TEXT, code TEXT, reason TEXT,
  attempts INTEGER, not_before REAL, seen REAL, updated REAL, out TEXT, item TEXT,
  signature TEXT, rests REAL, known TEXT,
  PRIMARY KEY (source, config)
) WITHOUT ROWID;
CREATE INDEX scenes_by_key ON scenes (key);
CREATE TABLE sums (path TEXT PRIMARY KEY, stamp TEXT, sha256 TEXT) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """What the ledger knows of a scene under a configuration."""

    source: str
    """Where it lies."""
    config: str
    """Digest of the configuration."""
    key: str
    """Of contents and configuration; empty before the contents were read."""
    name: str
    """What people call it."""
    ref: SceneRef | None
    """The scene; None where what lies there is none yet."""
    state: str
    """One of `STATES`."""
    verdict: str
    """PASS, REVIEW or REJECT; empty before it was judged."""
    code: str
    """Code of the fault; empty without one."""
    reason: str
    """Why it is in this state, in one line."""
    attempts: int
    """Runs that were begun."""
    not_before: float
    """Seconds since 1970 before which it is not taken up again."""
    seen: float
    """First time it was seen."""
    updated: float
    """Last time anything changed."""
    out: str
    """The product."""
    item: str
    """Its item in the catalogue."""
    signature: str
    """Of the names, sizes and times of what lies there."""
    rests: float
    """Since when that did not change."""
    known: str
    """The signature that was there when the contents were read."""


_NAMES = tuple(LedgerRow.__slots__)


def ledger_path(config: RunConfig) -> Path:
    """Return the ledger's file."""
    return state_folder(config) / LEDGER


@contextmanager
def ledger(config: RunConfig) -> Iterator[sqlite3.Connection]:
    """Open the ledger, making it where it is not there; each statement is a transaction of its own."""
    path = ledger_path(config)
    with write_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        made(path)
    try:
        with closing(sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)) as found:
            _prepare(found)
            yield found
    except sqlite3.Error as fault:
        raise WriteError(
            f"the ledger of scenes: {fault}", do="free some space or mend the file", path=str(path)
        ) from fault


def _prepare(found: sqlite3.Connection) -> None:
    if found.execute("PRAGMA user_version").fetchone()[0] == VERSION:
        return
    found.execute("BEGIN IMMEDIATE")
    if found.execute("PRAGMA user_version").fetchone()[0] != VERSION:
        for statement in _TABLES.strip().split(";\n"):
            found.execute(statement.rstrip(";"))
        found.execute(f"PRAGMA user_version = {VERSION}")
    found.execute("COMMIT")


def new_row(source: str, config: RunConfig, name: str) -> LedgerRow:
    """Return the row of something that was seen for the first time."""
    moment = time.time()
    return LedgerRow(
        *(source, config_digest(config), "", name, None, WAITING, "", "", "", 0, 0.0),
        *(moment, moment, "", "", "", moment, ""),
    )


def put(book: sqlite3.Connection, row: LedgerRow) -> LedgerRow:
    """Write a row; returns it as it is now."""
    row = replace(row, updated=time.time())
    values = asdict(row) | {"ref": json.dumps(ref_to_json(row.ref)) if row.ref else None}
    marks = ", ".join("?" * len(_NAMES))
    book.execute(
        f"REPLACE INTO scenes ({', '.join(_NAMES)}) VALUES ({marks})", [values[name] for name in _NAMES]
    )
    return row


def _row(values: Sequence[Any]) -> LedgerRow:
    found = dict(zip(_NAMES, values, strict=True))
    ref = ref_from_json(json.loads(found["ref"])) if found["ref"] else None
    return LedgerRow(**{**found, "ref": ref})


def select(book: sqlite3.Connection, where: str = "1", values: Sequence[Any] = ()) -> list[LedgerRow]:
    """Return rows by a condition, in the order in which they were seen."""
    found = book.execute(
        f"SELECT {', '.join(_NAMES)} FROM scenes WHERE {where} ORDER BY seen, source", values
    )
    return [_row(values) for values in found.fetchall()]


def rows(config: RunConfig, *, all_configurations: bool = True) -> list[LedgerRow]:
    """Return what the ledger knows, in the order in which it was seen; nothing where there is no ledger."""
    if not ledger_path(config).exists():
        return []
    with ledger(config) as book:
        if all_configurations:
            return select(book)
        return select(book, "config = ?", [config_digest(config)])


def row_of(book: sqlite3.Connection, source: str, config: RunConfig) -> LedgerRow | None:
    """Return what is known of a place under a configuration."""
    found = select(book, "source = ? AND config = ?", [source, config_digest(config)])
    return found[0] if found else None


def summed(book: sqlite3.Connection, path: str) -> str:
    """Return a file's SHA-256, as noted where the file did not change since; reads it otherwise."""
    facts = os.stat(file_of(path))
    stamp = f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns} {facts.st_ino}"
    row = book.execute("SELECT stamp, sha256 FROM sums WHERE path = ?", [path]).fetchone()
    if row is not None and row[0] == stamp:
        return str(row[1])
    found = input_sha256(path)
    book.execute("REPLACE INTO sums (path, stamp, sha256) VALUES (?, ?, ?)", [path, stamp, found])
    return found


def digested(config: RunConfig, ref: SceneRef) -> SceneRef:
    """Return a scene with the digest of what its files hold now; those that were read before are not read again.

    Raises ReadError where a file is gone or unreadable, and what listing the scene's files raises.
    """
    try:
        with ledger(config) as book:
            return with_digest(ref, lambda path: summed(book, path))
    except OSError as fault:
        raise ReadError(f"cannot be read: {fault.strerror}", path=source_of(ref)) from fault


def row_to_json(row: LedgerRow) -> Json:
    """Turn a row into JSON values."""
    return to_json(row)


@dataclass
class Claim:
    """A scene that is being worked on: by this process, until it is settled or let go."""

    row: LedgerRow
    """What the ledger says."""
    settled: LedgerRow | None = None
    """What it shall say."""

    def settle(self, **changes: Any) -> None:
        """Say how it ended: state, verdict, code, reason, out, item."""
        self.settled = replace(self.row, **changes)


@contextmanager
def claimed(config: RunConfig, ref: SceneRef) -> Iterator[Claim]:
    """Hold a scene for this process's life; the ledger says so, and afterwards how it ended.

    A fault that leaves the block is recorded: the scene is taken up again later where that may help, else it is
    parked. Raises LockedError where another process holds the scene.
    """
    key = scene_key(config, ref)
    folder = job_folder(config, key)
    with write_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "claim"):
        with ledger(config) as book:
            row = row_of(book, source_of(ref), config) or new_row(source_of(ref), config, ref.name)
            row = replace(row, key=key, ref=ref, attempts=row.attempts + 1, state=RUNNING, code="", reason="")
            row = put(book, row)
        write_json(folder / CONFIGURATION, config_to_json(config))
        claim = Claim(row)
        try:
            yield claim
        except BaseException as fault:
            try:
                _record(config, _after(row, fault, config))
            except WriteError as also:  # a full disk: the row says "running", its free lock that it is not
                log.warning("%s: %s", ref.name, also)
            raise
        _record(config, claim.settled or replace(row, state=READY, reason="let go before it was done"))


def _record(config: RunConfig, row: LedgerRow) -> None:
    with ledger(config) as book:
        put(book, row)


def _after(row: LedgerRow, fault: BaseException, config: RunConfig) -> LedgerRow:
    """Return a row after a fault: later again, looked at again, or parked."""
    if isinstance(fault, KeyboardInterrupt | SystemExit):
        return replace(row, state=READY, attempts=row.attempts - 1, reason="stopped")
    code = fault.code if isinstance(fault, GeofuseError) else "internal"
    told = str(fault) if isinstance(fault, GeofuseError) else f"{type(fault).__name__}: {fault}"
    row = replace(row, code=code, reason=told)
    if code == "changed":
        return replace(row, state=WAITING, rests=time.time(), signature="")
    if may_retry(fault) and row.attempts < config.inbox.attempts:
        wait_s = config.work.backoff * 2.0**row.attempts
        return replace(row, state=FAILED, not_before=time.time() + wait_s)
    return replace(row, state=PARKED)


def died(config: RunConfig, row: LedgerRow) -> bool:
    """Say whether a scene that is said to be running is not: its lock is free."""
    try:
        with locked(job_folder(config, row.key) / "claim"):
            return True
    except LockedError:
        return False
