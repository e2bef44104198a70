"""Which process a run is: a mark it leaves with the server, and what is done about runs whose process is gone."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

import httpx
import psutil
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, StateType, TaskRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.runtime import flow_run as running
from prefect.states import Crashed

from geofuse.flows.ui_progress import patiently

HOST, PID, BORN = "geofuse.host", "geofuse.pid", "geofuse.born"
HEARTBEAT = "prefect.flow-run.heartbeat"
REAP_SECONDS, SILENCE_SECONDS = 15.0, 65.0
"""Between two looks; and twice the time between two heartbeats: a dead run is seen within 80 s."""
PAGE = 200
MESSAGE = "Its process is gone. The next look at the inbox takes the scene up where it stopped."
UNDER_WAY = (StateType.RUNNING, StateType.CANCELLING)

_log = logging.getLogger(__name__)


def mark_run() -> None:
    """Leave host, process id and birth of this process with the run; nothing where there is no run."""
    if not running.id:
        return
    process = psutil.Process()
    labels = {HOST: socket.gethostname(), PID: process.pid, BORN: str(process.create_time())}

    def call() -> None:
        with get_client(sync_client=True) as client:
            client.update_flow_run_labels(UUID(str(running.id)), labels)

    patiently(call, "mark of the process")


def is_gone(run: FlowRun) -> bool | None:
    """Say whether a run's process has ended; None where it is another host's, or has left no mark."""
    labels = run.labels or {}
    if labels.get(HOST) != socket.gethostname() or PID not in labels:
        return None
    try:
        process = psutil.Process(int(str(labels[PID])))
        same = abs(process.create_time() - float(str(labels[BORN]))) < 1.0
        return not same or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def reap(*, starting: bool = False, silence_s: float | None = None) -> int:
    """Set runs to Crashed whose process is gone, and the tasks they left; returns how many runs.

    Of this host's processes that is known at once. Those of other hosts are gone where no heartbeat came for
    `silence_s`; None leaves them alone. `starting`: this is the only worker and it has started nothing yet, so
    that a run that is Pending, or Running without a mark, is nobody's either.
    """
    count = 0
    with get_client(sync_client=True) as client:
        kinds = [*UNDER_WAY, StateType.PENDING] if starting else list(UNDER_WAY)
        for run in _runs(client, kinds):
            gone = is_gone(run)
            if gone is None:
                marked = HOST in (run.labels or {})
                gone = _silent(client, run, silence_s) if marked and silence_s else starting and not marked
            if gone:
                client.set_flow_run_state(run.id, Crashed(message=MESSAGE), force=True)
                _log.warning("run %s: %s", run.name, MESSAGE)
                count += 1
        for run in _runs(client, [StateType.CRASHED], limit=50):
            _bury_tasks(client, run)
    return count


def _silent(client: SyncPrefectClient, run: FlowRun, silence_s: float) -> bool:
    """Say whether a run's last heartbeat is that old; one that never had any is not judged by them."""
    wanted = {"event": {"name": [HEARTBEAT]}, "resource": {"id": [f"prefect.flow-run.{run.id}"]}}
    answer = client.request("POST", "/events/filter", json={"filter": wanted, "limit": 1})
    events = answer.json()["events"]
    if not events:
        return False
    last = datetime.fromisoformat(events[0]["occurred"])
    return (datetime.now(UTC) - last).total_seconds() > silence_s


def _runs(client: SyncPrefectClient, kinds: list[StateType], *, limit: int = PAGE) -> Iterator[FlowRun]:
    found = FlowRunFilter.model_validate({"state": {"type": {"any_": kinds}}})
    yield from client.read_flow_runs(
        flow_run_filter=found, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=limit
    )


def _bury_tasks(client: SyncPrefectClient, run: FlowRun) -> None:
    """End the tasks that a dead run left under way: nobody else will."""
    tasks: list[TaskRun] = client.read_task_runs(
        flow_run_filter=FlowRunFilter.model_validate({"id": {"any_": [run.id]}})
    )
    for each in tasks:
        if each.state is None or not each.state.is_final():
            client.set_task_run_state(each.id, Crashed(message=MESSAGE), force=True)


def reap_always(stop: threading.Event) -> threading.Thread:
    """Look every few seconds, in a thread, until told to stop.

    A server that was away is no fault, and what it did not hear of other hosts meanwhile says nothing.
    """

    def work() -> None:
        since = time.monotonic()
        while not stop.wait(REAP_SECONDS):
            heard = time.monotonic() - since > SILENCE_SECONDS
            try:
                reap(silence_s=SILENCE_SECONDS if heard else None)
            except (httpx.HTTPError, OSError) as error:
                since = time.monotonic()
                _log.info("no look for dead runs: %s", error)
            except Exception:
                _log.exception("looking for dead runs")

    thread = threading.Thread(target=work, name="geofuse-reaper", daemon=True)
    thread.start()
    return thread
