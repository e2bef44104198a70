"""Checksums of files as they lie on the disk, each read once in each of its states."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import Any

from geofuse.files import sha256_by

REMEMBERED = 10_000


class Digests:
    """Which files were found to be what their items say: each is read once in each of its states."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Any, ...], str] = OrderedDict()
        self._lock = threading.Lock()
        self._reading: dict[tuple[Any, ...], threading.Lock] = {}

    def digest(self, descriptor: int) -> str:
        """Return the SHA-256 of an open file."""
        facts = os.fstat(descriptor)
        key = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns)
        with self._lock:
            turn = self._reading.setdefault(key, threading.Lock())
        with turn:
            if key not in self._known:
                found = sha256_by(lambda at, count: os.pread(descriptor, count, at), facts.st_size)
                with self._lock:
                    self._known[key] = found
                    while len(self._known) > REMEMBERED:
                        self._known.popitem(last=False)
            self._reading.pop(key, None)
            return self._known[key]
