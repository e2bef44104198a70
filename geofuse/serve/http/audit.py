"""The audit log: who fetched what, when, how much of it. One JSON line each, only ever added to."""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import Request

from geofuse.serve.answers import VisitorNote


class Audit:
    """Adds lines to a file that its owner alone can read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def note(self, **said: Any) -> None:
        """Write a line; whole lines only, also where several servers write."""
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"), **said}
        data = (json.dumps(line, ensure_ascii=True) + "\n").encode()
        with self._lock:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, data)
            finally:
                os.close(descriptor)


def who(request: Request) -> VisitorNote:
    """Return what is known of who asks."""
    visitor = request.scope["state"]["visitor"]
    return {"user": visitor.user, "client": request.client.host if request.client else None}
