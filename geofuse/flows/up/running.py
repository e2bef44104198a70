"""All of it started, kept running and stopped, until it is told to."""

from __future__ import annotations

import fcntl
import importlib.util
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from geofuse.config import RunConfig
from geofuse.errors import LockedError, WorkerError
from geofuse.flows.settings import disks, event_log
from geofuse.flows.up.children import Child, children_of
from geofuse.flows.up.place import UpPlaces, checked_place, reachable
from geofuse.flows.up.renewal import renewals
from geofuse.flows.up.server_api import ask

START_SECONDS = 240.0
"""For a server to answer: 6 to 25 s is usual, the first start makes the database."""


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


def missing() -> str:
    """Name a package of the extra `flows` that is not installed; empty where all are."""
    return next((name for name in ("prefect", "prometheus_client") if not importlib.util.find_spec(name)), "")


def has_page() -> bool:
    """Whether the analysts' page is installed, with what it needs."""
    names = ("geofuse.serve", "uvicorn", "titiler.core")
    return all(
        importlib.util.find_spec(name.split(".")[0]) and importlib.util.find_spec(name) for name in names
    )


def wait_healthy(place: UpPlaces, alive: Callable[[], bool], seconds: float = START_SECONDS) -> None:
    """Wait for the server to answer; WorkerError where it ends first, or takes too long."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up and alive():
        try:
            ask(place, "health")
        except (OSError, ValueError):
            time.sleep(0.5)
        else:
            return
    raise WorkerError(
        "Prefect's server does not answer",
        wanted=f"an answer at {place.api}",
        do=f"look at {place.state / 'logs' / 'server.log'}",
    )


def run_up(config: RunConfig, place: UpPlaces, *, say: Callable[[str], None]) -> None:
    """Start everything and keep it running, until SIGINT or SIGTERM; then stop it, the worker first."""
    place = checked_place(place)
    stop = threading.Event()
    with alone(place.state), ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM):
            stack.callback(signal.signal, number, signal.signal(number, lambda *_: stop.set()))
        children = children_of(config, place)
        stack.callback(_stop_all, children)
        old = _start_all(children, place, stop)
        if stop.is_set():
            return
        for line in old:
            say(f"deployed   {line}")
        _announce(config, place, say)
        while not stop.wait(0.5):
            for child in children:
                child.tend()
        say("stopping: a scene at work goes on at the next start")


def _start_all(children: list[Child], place: UpPlaces, stop: threading.Event) -> list[str]:
    """Start the server, then the others; returns what is to be said of deployments that were there before."""
    server, *others = children
    server.start()
    wait_healthy(
        place, lambda: not stop.is_set() and server.process is not None and server.process.poll() is None
    )
    old = renewals(place) if not stop.is_set() else []
    for child in others:
        child.start()
    return old


def _stop_all(children: list[Child]) -> None:
    """Stop the worker before the server it reports to."""
    for child in sorted(children, key=lambda child: child.name == "server"):
        child.stop()


def _announce(config: RunConfig, place: UpPlaces, say: Callable[[str], None]) -> None:
    from geofuse.flows.metrics import serve_metrics

    base = f"http://{reachable(place.host)}"
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
