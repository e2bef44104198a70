"""The event log: one JSON object a line, for machines; and the hook that calls a person."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Required, TypedDict, cast

from geofuse.config import HookConfig

ROTATE_BYTES = 64 * 2**20


class LoggedEvent(TypedDict, total=False):
    """A line of the log: what its readers look at; there may be more."""

    time: Required[str]
    event: Required[str]
    scene: str
    key: str
    stage: str
    seconds: float
    skipped: bool
    may_retry: bool
    code: str
    state: str
    message: str


_log = logging.getLogger(__name__)


def record(log: Path | None, event: str, **facts: Any) -> None:
    """Append one event; a log that cannot be written is a warning, never the end of a scene.

    One write to a file opened for appending: lines of many processes do not mix.
    """
    if log is None:
        return
    line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **facts})
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(descriptor, line.encode() + b"\n")
        finally:
            os.close(descriptor)
    except OSError as error:
        _log.warning("event log %s: %s", log, error)


def read_events(log: Path, offset: int = 0) -> Iterator[tuple[int, LoggedEvent]]:
    """Yield each whole event after a byte offset, with the offset that follows it; torn lines are passed over."""
    try:
        stream = log.open("rb")
    except FileNotFoundError:
        return
    with stream:
        stream.seek(offset)
        for line in stream:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                yield offset, cast(LoggedEvent, event)


def rotate(log: Path, limit_bytes: int = ROTATE_BYTES) -> bool:
    """Put a log that has grown beyond the limit aside as LOG.1; says whether it did."""
    if not log.exists() or log.stat().st_size < limit_bytes:
        return False
    log.replace(log.with_name(f"{log.name}.1"))
    return True


def call_hooks(hooks: Iterable[HookConfig], log: Path | None, facts: Mapping[str, Any]) -> int:
    """Tell each hook: a command (JSON on its standard input) or a web hook (JSON by POST); returns how many heard.

    A hook that fails is an event and a warning, no fault of the scene.
    """
    told = 0
    for hook in hooks:
        name = hook.webhook or " ".join(hook.command)
        try:
            _call(hook, json.dumps(facts).encode())
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            _log.warning("hook %s: %s", name, error)
            record(log, "hook_failed", hook=name, reason=str(error), scene=facts.get("scene"))
        else:
            record(log, "hook_told", hook=name, about=facts.get("event"), scene=facts.get("scene"))
            told += 1
    return told


def _call(hook: HookConfig, body: bytes) -> None:
    if hook.webhook:
        request = urllib.request.Request(hook.webhook, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=hook.timeout):
            return
    subprocess.run(hook.command, input=body, check=True, timeout=hook.timeout, capture_output=True)
