"""One look at the inbox, and every scene that is ready run to its end, whatever happens to the others."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from geofuse.config import RunConfig
from geofuse.errors import GeofuseError, LockedError
from geofuse.line.events import Tell, quiet
from geofuse.line.scene_ledger import RUNNING, LedgerRow, died, ledger, row_of
from geofuse.line.scene_ref import SceneRef, source_of
from geofuse.line.scene_run import Outcome, failed, run_scene
from geofuse.line.sources.inbox import Scan, scan

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InboxRun:
    """What a look at the inbox led to."""

    scan: Scan
    """What was found."""
    outcomes: tuple[Outcome, ...]
    """How each scene ended that was ready."""
    faults: tuple[str, ...] = ()
    """Why the source of downloads, or an item of it, could not be had; what had arrived was run all the same."""


def look_and_run(config: RunConfig, *, tell: Tell = quiet) -> InboxRun:
    """Fetch what is to be fetched, look, and run what is ready; faults of a scene end that scene alone.

    Raises what `scan` raises.
    """
    faults = fetch_faults(config)
    found = scan(config)
    outcomes = [
        run_or_tell(config, row.ref, tell=tell)
        for row in found.ready
        if row.ref is not None and still_ready(config, row)
    ]
    return InboxRun(found, tuple(outcomes), faults)


def fetch_faults(config: RunConfig) -> tuple[str, ...]:
    """Fetch what a STAC source has that is new; returns what could not be had, and why."""
    if config.stac is None:
        return ()
    from geofuse.line.sources.stac import fetch

    try:
        return tuple(f"{each.item}: {each.fault}" for each in fetch(config.stac) if each.fault)
    except GeofuseError as fault:
        return (str(fault),)


def still_ready(config: RunConfig, row: LedgerRow) -> bool:
    """Say whether nobody else took a scene up since it was found."""
    with ledger(config) as book:
        now = row_of(book, row.source, config)
    return now is not None and (now.state, now.key, now.attempts) == (row.state, row.key, row.attempts)


def run_or_tell(config: RunConfig, ref: SceneRef, *, tell: Tell = quiet) -> Outcome:
    """Run a scene; its fault is in the outcome, and in the ledger."""
    try:
        return run_scene(config, ref, tell=tell)
    except LockedError as fault:
        with ledger(config) as book:
            row = row_of(book, source_of(ref), config)
        if row is None or row.state != RUNNING or died(config, row):
            return failed(config, ref, fault)
        return Outcome(ref.name, row.key, RUNNING, message="another process is at it")
    except GeofuseError as fault:
        log.info("%s: [%s] %s", ref.name, fault.code, fault)
        return failed(config, ref, fault)
    except Exception as fault:  # a fault nobody foresaw must not end the others
        log.exception("%s", ref.name)
        told = GeofuseError(f"{type(fault).__name__}: {fault}")
        return replace(failed(config, ref, told), code="internal")
