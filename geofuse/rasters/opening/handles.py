"""Open datasets, each thread its own, and an ear for what GDAL only mutters. No GDAL in here.

Handles are never shared between threads, nor with a forked child: their file offsets and caches are not safe.
"""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from geofuse.errors import ChangedError
from geofuse.rasters.opening.sniffing import file_of

HANDLES = 64

_log = logging.getLogger(__name__)
_GDAL_LOGS = (logging.getLogger("rasterio._env"), logging.getLogger("rasterio._err"))


@dataclass(frozen=True, slots=True)
class Handle:
    """An open dataset, and what its file looked like when it was opened."""

    dataset: Any
    """rasterio's reader."""
    driver: str
    """GDAL driver it was opened with."""
    stamp: tuple[int, int, int, int]
    """Device, inode, size and mtime_ns."""


_here = threading.local()
_filters = threading.Lock()
_abandoned: list[OrderedDict[tuple[str, str], Handle]] = []


def stamp_of(facts: os.stat_result) -> tuple[int, int, int, int]:
    """Return what tells a file from another one, and from itself after a change."""
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns


def handle_of(path: str, driver: str, open_: Callable[[str], Handle]) -> Any:
    """Return this thread's open dataset of a file, opened now or kept; the least used of 64 is closed.

    Raises ChangedError, and forgets the handle, where the file is no longer what it was when it was opened.
    """
    mine = _mine()
    kept = mine.get((path, driver))
    if kept is not None:
        check_handle(path, kept)
        mine.move_to_end((path, driver))
        return kept.dataset
    fresh = open_(path)
    if fresh.driver != driver:
        fresh.dataset.close()
        raise ChangedError(f"the file is {fresh.driver} now, was {driver}", path=path)
    mine[path, driver] = fresh
    if len(mine) > HANDLES:
        mine.popitem(last=False)[1].dataset.close()
    return fresh.dataset


def check_handle(path: str, handle: Handle | None = None) -> None:
    """Raise ChangedError where a file this thread holds open vanished or is another one now."""
    for kept in [handle] if handle else [kept for key, kept in _mine().items() if key[0] == path]:
        try:
            now = stamp_of(os.stat(file_of(path)))
        except OSError as error:
            drop(path)
            raise ChangedError("the file vanished while it was being read", path=path) from error
        if now != kept.stamp:
            drop(path)
            raise ChangedError(
                "the file changed while it was being read", do="start again when it is whole", path=path
            )


def drop(path: str) -> None:
    """Close this thread's datasets of one file."""
    mine = _mine()
    for key in [key for key in mine if key[0] == path]:
        mine.pop(key).dataset.close()


def close_handles() -> None:
    """Close all the datasets this thread holds open."""
    mine = _mine()
    while mine:
        mine.popitem()[1].dataset.close()


@contextmanager
def without_warning(kind: type[Warning]) -> Iterator[None]:
    """Ignore a kind of warning; one thread at a time, for Python's filters are the whole process's."""
    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore", kind)
        yield


@contextmanager
def listening() -> Iterator[list[str]]:
    """Collect what rasterio logs for GDAL in this thread, warnings and worse, instead of passing it on."""
    for log in _GDAL_LOGS:
        if not log.isEnabledFor(logging.WARNING):
            # an application that hushes rasterio would hush damaged pixels too; _hear keeps its silence
            log.setLevel(logging.WARNING)
    outer: list[str] | None = getattr(_here, "heard", None)
    heard: list[str] = []
    _here.heard = heard
    try:
        yield heard
    finally:
        _here.heard = outer
        for text in heard:
            _log.debug("GDAL: %s", text)


def _hear(record: logging.LogRecord) -> bool:
    heard: list[str] | None = getattr(_here, "heard", None)
    if heard is None:
        return logging.getLogger("rasterio").isEnabledFor(record.levelno)
    if record.levelno >= logging.WARNING:
        heard.append(record.getMessage())
    return False


for _gdal_log in _GDAL_LOGS:
    _gdal_log.addFilter(_hear)


def _after_fork() -> None:
    # another thread may hold the lock at the fork, and does not exist in the child
    global _filters
    _filters = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _mine() -> OrderedDict[tuple[str, str], Handle]:
    """Return this thread's handles; a forked child leaves its parent's alone, never closing them either."""
    if getattr(_here, "pid", None) != os.getpid():
        if getattr(_here, "handles", None):
            _abandoned.append(_here.handles)
        _here.handles, _here.pid = OrderedDict(), os.getpid()
    found: OrderedDict[tuple[str, str], Handle] = _here.handles
    return found
