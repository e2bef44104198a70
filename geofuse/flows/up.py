"""`geofuse up`: server, worker, schedule, metrics and page as children of one process, until it is told to stop."""

from __future__ import annotations

import base64
import fcntl
import importlib.util
import ipaddress
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from geofuse.config import RunConfig, child_surroundings, config_to_json
from geofuse.errors import LockedError, UsageError, WorkerError
from geofuse.flows.settings import disks, event_log

START_SECONDS = 240.0
"""For a server to answer: 6 to 25 s is usual, the first start makes the database."""
STOP_SECONDS = 20.0
"""For a child to end by itself: a scene at work stops within 10."""
RESTART_SECONDS = (1.0, 30.0)
"""Shortest and longest pause before a child that died is started again."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where everything listens and lies."""

    state: Path
    """Prefect's home and database, the settings of the worker, logs."""
    host: str = "127.0.0.1"
    """Address the server listens at."""
    port: int = 4200
    """Its port."""
    auth: str | None = None
    """USER:PASSWORD that server and clients share."""
    page_port: int | None = None
    """Port of the analysts' page; None: no page."""
    metrics_port: int | None = None
    """Port of the metrics; None: none."""

    @property
    def api(self) -> str:
        """The server's address for clients on this machine."""
        return f"http://{_reachable(self.host)}:{self.port}/api"


def checked_place(place: Place) -> Place:
    """Refuse a server that anybody could reach and nobody guards; raises UsageError with the reason."""
    if not _is_loopback(place.host) and not place.auth:
        raise UsageError(
            f"--host {place.host} opens the server to other machines, and it has no authentication: whoever "
            "reaches it could run flows with any parameters",
            wanted="--auth-file with USER:PASSWORD, or loopback",
            do="write one line USER:PASSWORD to a file only you can read and give it as --auth-file",
        )
    if place.auth and ":" not in place.auth:
        raise UsageError("the authentication has no colon", wanted="USER:PASSWORD")
    for port in (place.port, place.page_port, place.metrics_port):
        if port and not _free(place.host, port):
            raise UsageError(
                f"port {port} of {place.host} is taken",
                wanted="a free one",
                do="choose another, or stop what has it",
            )
    return place


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _reachable(host: str) -> str:
    plain = host.strip("[]")
    if plain in ("0.0.0.0", "::"):
        return "127.0.0.1" if plain == "0.0.0.0" else "[::1]"
    return f"[{plain}]" if ":" in plain else plain


def _free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except OSError:
            return False
    return True


def free_port(host: str = "127.0.0.1") -> int:
    """Let the system choose a port."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host.strip("[]"), 0))
        return int(probe.getsockname()[1])


def prefect_settings(place: Place) -> dict[str, str]:
    """Return Prefect's settings for a place: embedded, silent to the world, patient with a server that is away."""
    values = {
        "PREFECT_HOME": str(place.state / "prefect"),
        "PREFECT_PROFILES_PATH": str(place.state / "prefect" / "profiles.toml"),
        "PREFECT_API_URL": place.api,
        "PREFECT_UI_API_URL": "/api",
        "PREFECT_SERVER_API_HOST": place.host,
        "PREFECT_SERVER_API_PORT": str(place.port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_LOGGING_LEVEL": "INFO",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "geofuse",
        "PREFECT_CLIENT_MAX_RETRIES": "6",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_RUNNER_POLL_FREQUENCY": "5",
        "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
        "PREFECT_CLI_COLORS": "false",
    }
    if place.auth:
        values |= {"PREFECT_SERVER_API_AUTH_STRING": place.auth, "PREFECT_API_AUTH_STRING": place.auth}
    return values


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


@contextmanager
def alone(state: Path) -> Iterator[None]:
    """Hold the state folder; LockedError where another living `geofuse up` has it."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LockedError(
                "another `geofuse up` uses this state folder",
                wanted="one for each",
                do="stop it, or give another --state",
                path=str(state),
            ) from error
        yield


def children_of(config: RunConfig, place: Place) -> list[Child]:
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
        trust = ["--trust-local"] if _is_loopback(place.host) else []
        commands["page"] = [*page, "--port", str(place.page_port), *trust]
    logs = place.state / "logs"
    logs.mkdir(exist_ok=True)
    return [Child(name, command, around, logs / f"{name}.log") for name, command in commands.items()]


def server_command(place: Place) -> list[str]:
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


def has_page() -> bool:
    """Whether the analysts' page is installed, with what it needs."""
    names = ("geofuse.serve", "uvicorn", "titiler.core")
    return all(
        importlib.util.find_spec(name.split(".")[0]) and importlib.util.find_spec(name) for name in names
    )


def wait_healthy(place: Place, alive: Callable[[], bool], seconds: float = START_SECONDS) -> None:
    """Wait for the server to answer; WorkerError where it ends first, or takes too long."""
    request = urllib.request.Request(f"{place.api}/health")
    if place.auth:
        request.add_header("Authorization", f"Basic {base64.b64encode(place.auth.encode()).decode()}")
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up and alive():
        try:
            with urllib.request.urlopen(request, timeout=5):
                return
        except (OSError, urllib.error.URLError):
            time.sleep(0.5)
    raise WorkerError(
        "Prefect's server does not answer",
        wanted=f"an answer at {place.api}",
        do=f"look at {place.state / 'logs' / 'server.log'}",
    )


def run_up(config: RunConfig, place: Place, *, say: Callable[[str], None]) -> None:
    """Start everything and keep it running, until SIGINT or SIGTERM; then stop it, the worker first."""
    place = checked_place(place)
    stop = threading.Event()
    with alone(place.state), ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM):
            stack.callback(signal.signal, number, signal.signal(number, lambda *_: stop.set()))
        children = children_of(config, place)
        stack.callback(_stop_all, children)
        _start_all(children, place, stop)
        if stop.is_set():
            return
        _announce(config, place, say)
        while not stop.wait(0.5):
            for child in children:
                child.tend()
        say("stopping: a scene at work goes on at the next start")


def _start_all(children: list[Child], place: Place, stop: threading.Event) -> None:
    server, *others = children
    server.start()
    wait_healthy(
        place, lambda: not stop.is_set() and server.process is not None and server.process.poll() is None
    )
    for child in others:
        child.start()


def _stop_all(children: list[Child]) -> None:
    """Stop the worker before the server it reports to."""
    for child in sorted(children, key=lambda child: child.name == "server"):
        child.stop()


def _announce(config: RunConfig, place: Place, say: Callable[[str], None]) -> None:
    from geofuse.flows.metrics import serve_metrics

    base = f"http://{_reachable(place.host)}"
    when = config.schedule.cron or f"every {config.schedule.every:g} s"
    say(f"inbox      {config.inbox.folder}, looked at {when}")
    say(f"catalogue  {config.catalog.folder}")
    say(f"runs       {base}:{place.port}")
    if place.page_port:
        say(f"page       {base}:{place.page_port}")
    if place.metrics_port is not None:
        port = serve_metrics(event_log(config), disks(config), host=place.host, port=place.metrics_port)
        say(f"metrics    {base}:{port}/metrics")
    say(f"logs       {place.state / 'logs'}")
    say("Ctrl-C stops it all")
