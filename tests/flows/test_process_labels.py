"""Runs whose process is gone are seen to have ended; those whose process lives are left alone."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any
from uuid import UUID

import psutil
import pytest
from operating import until
from prefect import flow, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.events import emit_event
from prefect.states import Running

from geofuse.flows.process_labels import BORN, HEARTBEAT, HOST, PID, is_gone, reap

pytestmark = pytest.mark.usefixtures("server")


@flow(name="idle")
def idle() -> None:
    """Do nothing."""


def under_way(**labels: Any) -> UUID:
    """Make a run that says it is running, with the mark of a process."""
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(idle, state=Running())
        client.update_flow_run_labels(run.id, labels)
    return run.id


def read(run_id: UUID) -> FlowRun:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(run_id)


def state_of(run_id: UUID) -> str:
    state = read(run_id).state
    assert state is not None
    return str(state.name)


def test_only_a_run_whose_process_is_gone_is_ended() -> None:
    import socket

    here = socket.gethostname()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    mark = {HOST: here, PID: child.pid, BORN: str(psutil.Process(child.pid).create_time())}
    alive, reused, elsewhere = (
        under_way(**mark),
        under_way(**{**mark, BORN: "1.0"}),
        under_way(**{**mark, HOST: "elsewhere"}),
    )
    try:
        assert [is_gone(read(each)) for each in (alive, reused, elsewhere)] == [False, True, None]
        assert reap() == 1
        assert [state_of(each) for each in (alive, reused, elsewhere)] == ["Running", "Crashed", "Running"]
    finally:
        child.kill()
        child.wait()
    assert reap() == 1
    assert [state_of(each) for each in (alive, elsewhere)] == ["Crashed", "Running"]
    emit_event(event=HEARTBEAT, resource={"prefect.resource.id": f"prefect.flow-run.{elsewhere}"})
    until(lambda: heard(elsewhere), 30, "heartbeat")
    assert reap(silence_s=600.0) == 0
    time.sleep(1.0)
    assert reap(silence_s=1.0) == 1
    assert state_of(elsewhere) == "Crashed"


def heard(run_id: UUID) -> bool:
    """Say whether the server knows of a heartbeat."""
    wanted = {"resource": {"id": [f"prefect.flow-run.{run_id}"]}, "event": {"name": [HEARTBEAT]}}
    with get_client(sync_client=True) as client:
        return bool(client.request("POST", "/events/filter", json={"filter": wanted}).json()["events"])


def test_a_worker_that_starts_ends_what_nobody_marked() -> None:
    forgotten = under_way()
    assert reap() == 0
    assert reap(starting=True) == 1
    assert state_of(forgotten) == "Crashed"
