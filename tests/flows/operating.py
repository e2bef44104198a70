"""Starting, asking and killing real servers and real `geofuse up`s."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from geofuse.config import child_surroundings
from geofuse.flows.up.children import Child, server_command
from geofuse.flows.up.place import UpPlaces, prefect_settings
from geofuse.flows.up.running import wait_healthy

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """Let the system choose a port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """A Prefect server of its own."""

    place: UpPlaces
    child: Child

    def start(self) -> None:
        self.child.start()
        process = self.child.process
        wait_healthy(self.place, lambda: process is not None and process.poll() is None)

    def kill(self) -> None:
        assert self.child.process is not None
        self.child.process.kill()
        self.child.process.wait()

    @property
    def updates(self) -> dict[str, Any]:
        """What Prefect's clients in this process must know."""
        return {
            "home": self.place.state / "prefect",
            "api.url": self.place.api,
            "api.auth_string": self.place.auth,
            "client.max_retries": 6,
            "server.analytics_enabled": False,
            "logging.to_api.enabled": True,
        }

    @property
    def surroundings(self) -> dict[str, str]:
        """What Prefect's clients in other processes must know."""
        return child_surroundings({**prefect_settings(self.place), "PYTHONPATH": str(ROOT)})


@contextmanager
def started_server(folder: Path, **more: Any) -> Iterator[Server]:
    """Start a server on a port of its own, and end it."""
    folder.mkdir(parents=True, exist_ok=True)
    place = UpPlaces(folder, port=free_port(), **more)
    around = child_surroundings({**prefect_settings(place), "PYTHONPATH": str(ROOT)})
    server = Server(place, Child("server", server_command(place), around, folder / "server.log"))
    server.start()
    try:
        yield server
    finally:
        server.child.stop()


@contextmanager
def geofuse_up(
    folder: Path, *options: str, before: Sequence[str] = ()
) -> Iterator[tuple[subprocess.Popen[str], UpPlaces]]:
    """Run `geofuse up` on free ports with its folders under `folder`; yields it once it says it is ready.

    The folder it stands in has a package `flows` of its own, as many users' have. `before`: a command that runs it,
    such as strace. What it said is left in `folder`/said.txt.
    """
    own = folder / "flows"
    own.mkdir(exist_ok=True)
    (own / "__init__.py").write_text("raise RuntimeError('somebody else's flows')\n")
    place = UpPlaces(folder / "catalog.state" / "up", port=free_port())
    command = [*before, sys.executable, "-m", "geofuse.cli", "up", "--inbox", str(folder / "inbox")]
    command += ["--catalog", str(folder / "catalog"), "--port", str(place.port), *options]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env=child_surroundings({"PYTHONPATH": str(ROOT)}),
    )
    assert process.stdout is not None
    said: list[str] = []
    for line in process.stdout:
        said.append(line)
        if "Ctrl-C" in line:
            break
    (folder / "said.txt").write_text("".join(said))
    try:
        assert process.poll() is None, "".join(said)
        yield process, place
    finally:
        stop(process)


def stop(process: subprocess.Popen[str]) -> int:
    """End it as a person would, and its children with it."""
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    if process.poll() is None:
        target = family[0] if "strace" in str(process.args) else process
        target.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for child in family:
        if child.is_running():
            child.kill()
    if process.stdout is not None:
        process.stdout.close()
    return process.returncode


def until(found: Callable[[], Any], seconds: float, what: str, pause: float = 0.5) -> Any:
    """Wait until something is found."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        value = found()
        if value:
            return value
        time.sleep(pause)
    raise AssertionError(f"no {what} after {seconds:.0f} s")


def cpu_seconds(who: int) -> float:
    """CPU of this process's ended children, or of another process alone."""
    if who == 0:
        used = os.times()
        return used.children_user + used.children_system
    times = psutil.Process(who).cpu_times()
    return float(times.user + times.system)
