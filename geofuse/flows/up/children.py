"""The processes of `geofuse up`: started, started again when they end unasked, and stopped."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from geofuse.config import RunConfig, child_surroundings, config_to_json
from geofuse.flows.up.place import UpPlaces, is_loopback, prefect_settings

STOP_SECONDS = 20.0
"""For a child to end by itself: a scene at work stops within 10."""
RESTART_SECONDS = (1.0, 30.0)
"""Shortest and longest pause before a child that died is started again."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Child:
    """A process that is started again when it ends unasked."""

    name: str
    """What people call it."""
    command: list[str]
    """Its command."""
    surroundings: dict[str, str]
    """What it finds around it: Prefect's settings among them."""
    log: Path
    """Where its output goes."""
    process: subprocess.Popen[bytes] | None = None
    """The running process."""
    pause: float = RESTART_SECONDS[0]
    """Seconds before the next start; doubled by each end that came soon."""
    born: float = 0.0
    """When it was started (monotonic)."""
    again: float = field(default=0.0)
    """When it may be started again."""

    def start(self) -> None:
        """Start it in a session of its own, so that Ctrl-C reaches the parent alone."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=self.surroundings,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.born = time.monotonic()

    def tend(self) -> None:
        """Start it again if it ended."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.again:
                self.start()
            return
        status = self.process.poll()
        if status is None:
            return
        lived = now - self.born
        self.pause = RESTART_SECONDS[0] if lived > 60.0 else min(2.0 * self.pause, RESTART_SECONDS[1])
        _log.warning("%s ended with status %s; it is started again in %.0f s", self.name, status, self.pause)
        self.process, self.again = None, now + self.pause

    def stop(self) -> None:
        """Ask it to end; end it, and what it started, where it does not."""
        process = self.process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            _log.warning("%s does not end; it is killed", self.name)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def children_of(config: RunConfig, place: UpPlaces) -> list[Child]:
    """Return server, worker and page, in the order they start."""
    around = child_surroundings(prefect_settings(place))
    settings = place.state / "up.json"
    settings.write_text(json.dumps(config_to_json(config), indent=2))
    commands = {
        "server": server_command(place),
        "worker": [sys.executable, "-m", "geofuse.flows.deploy", "serve", str(settings)],
    }
    if place.page_port:
        page = [
            sys.executable,
            "-m",
            "geofuse.cli",
            "serve",
            str(config.catalog.folder),
            "--host",
            place.host,
        ]
        trust = ["--trust-local"] if is_loopback(place.host) else []
        commands["page"] = [*page, "--port", str(place.page_port), *trust]
    logs = place.state / "logs"
    logs.mkdir(exist_ok=True)
    return [Child(name, command, around, logs / f"{name}.log") for name, command in commands.items()]


def server_command(place: UpPlaces) -> list[str]:
    """Return the command of the server."""
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--factory",
        "geofuse.flows.server:create_app",
        "--host",
        place.host,
    ]
    return [*command, "--port", str(place.port), "--timeout-keep-alive", "5", "--log-level", "warning"]
