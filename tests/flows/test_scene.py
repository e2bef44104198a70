"""`fuse-scene` on a real server: states, artifacts, retries, reviews, the GPU's limit."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from operating import Server, until
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, FlowRunFilter
from prefect.client.schemas.objects import Artifact, FlowRun, State, TaskRun
from prefect.concurrency.sync import concurrency

from geofuse.archive.catalog import find
from geofuse.config import RunConfig, config_to_json
from geofuse.files import sha256_of
from geofuse.flows.deploy import ensure_limit
from geofuse.flows.eventlog import read_events
from geofuse.flows.scene import fuse_scene
from geofuse.flows.settings import event_log
from geofuse.line.pipeline import STAGES
from geofuse.line.scene_ref import scene_ref
from geofuse.line.scene_run import run_scene

pytestmark = pytest.mark.usefixtures("server")
Drop = Callable[..., Path]
Configured = Callable[..., RunConfig]
Sections = dict[str, dict[str, Any]]


def run_of(state: State[Any]) -> tuple[FlowRun, dict[str, TaskRun], list[Artifact]]:
    """Ask the server for a run, its tasks by name, and its artifacts, once it knows how they ended."""
    run_id = state.state_details.flow_run_id
    assert run_id is not None
    chosen = FlowRunFilter.model_validate({"id": {"any_": [run_id]}})
    with get_client(sync_client=True) as client:

        def tasks() -> dict[str, TaskRun] | None:
            found = client.read_task_runs(flow_run_filter=chosen)
            ended = found and all(task.state and task.state.is_final() for task in found)
            return {task.name: task for task in found} if ended else None

        known = until(tasks, 30, "final task runs")
        wanted = ArtifactFilter.model_validate({"flow_run_id": {"any_": [run_id]}})
        return client.read_flow_run(run_id), known, client.read_artifacts(artifact_filter=wanted)


def events(config: RunConfig, kind: str) -> list[dict[str, Any]]:
    """Return the events of a kind."""
    return [event for _, event in read_events(event_log(config)) if event["event"] == kind]


def test_a_scene_is_a_run_with_eight_tasks_and_a_page(
    tmp_path: Path, drop: Drop, configured: Configured
) -> None:
    config = configured()
    folder = drop(tmp_path / "inbox", "alpha")
    state = fuse_scene(config_to_json(config), str(folder), return_state=True)
    assert state.name == "Completed", state
    assert state.message is not None
    assert state.message.startswith("PASS: published as ")
    run, tasks, artifacts = run_of(state)
    assert set(tasks) == set(STAGES)
    assert {task.state.name for task in tasks.values() if task.state} == {"Completed"}
    method = next(iter(events(config, "published")))["out"].split("_")[-2]
    assert run.name == f"alpha {method}"
    page = next(found for found in artifacts if found.type == "markdown")
    assert page.key == "alpha"
    for word in ("data:image/jpeg;base64,", "PASS", "R-ERGAS", "MTF gain", "SHA-256", "catalogue"):
        assert word in str(page.data), word
    (bar,) = [found for found in artifacts if found.type == "progress" and found.key == "alpha-fuse"]
    assert float(str(bar.data)) == 100.0
    (item,) = find(tmp_path / "catalog")
    assert item.id in state.message

    again = fuse_scene(config_to_json(config), str(folder), return_state=True)
    _, tasks, _ = run_of(again)
    assert {name for name, task in tasks.items() if task.state and task.state.name == "Skipped"} >= {
        *("inspect", "calibrate", "plan", "fuse", "mosaic", "assess")
    }
    assert len(find(tmp_path / "catalog")) == 1


def test_without_prefect_the_bytes_are_the_same(tmp_path: Path, drop: Drop, configured: Configured) -> None:
    folder = drop(tmp_path / "inbox", "beta")
    made = []
    for number in range(2):
        config = configured(
            catalog={"folder": str(tmp_path / f"catalog{number}")}, scene={"path": str(folder)}
        )
        if number:
            made.append(run_scene(config, scene_ref(config)).out)
        else:
            state = fuse_scene(config_to_json(config), return_state=True)
            made.append(state.result()["out"])
    assert sha256_of(made[0]) == sha256_of(made[1])


def test_bad_input_fails_once_with_its_code_and_calls_the_hook(
    tmp_path: Path, drop: Drop, configured: Configured
) -> None:
    told = tmp_path / "told.json"
    code = f"import sys; open({str(told)!r}, 'w').write(sys.stdin.read())"
    config = configured(hooks={"on_failure": [{"command": [sys.executable, "-c", code]}]})
    folder = drop(tmp_path / "inbox", "gamma")
    pan = folder / "gamma_pan.tif"
    pan.write_bytes(pan.read_bytes()[:3000])
    state = fuse_scene(config_to_json(config), str(folder), return_state=True)
    assert state.is_failed()
    assert state.message is not None
    assert state.message.startswith("[corrupt] ")
    assert "gamma_pan.tif" in state.message
    _, tasks, artifacts = run_of(state)
    assert {name: task.run_count for name, task in tasks.items()} == {"inspect": 1}
    assert "not tried again" in str(artifacts[0].data)
    heard = json.loads(told.read_text())
    assert (heard["event"], heard["code"], heard["scene"]) == ("failed", "corrupt", "gamma")


def test_a_bad_configuration_is_a_failed_run_that_names_the_key(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("catalog: {foldr: archive}\n")
    state = fuse_scene(str(path), str(tmp_path), return_state=True)
    assert state.is_failed()
    assert state.message is not None
    assert state.message.startswith("[config] ")
    assert "did you mean folder?" in state.message


def test_storage_that_comes_back_is_tried_again(
    tmp_path: Path, drop: Drop, configured: Configured, quick: Sections
) -> None:
    config = configured(**quick, work={"retries": 4, "backoff": 0.3})
    folder = drop(tmp_path / "inbox", "delta")
    obstacle = tmp_path / "catalog"
    obstacle.write_text("a file where the catalogue should be\n")

    def mend() -> None:
        until(lambda: events(config, "stage_failed"), 60, "failed stage", 0.05)
        obstacle.unlink()

    mender = threading.Thread(target=mend)
    mender.start()
    state = fuse_scene(config_to_json(config), str(folder), return_state=True)
    mender.join()
    assert state.is_completed(), state
    _, tasks, _ = run_of(state)
    assert tasks["publish"].run_count >= 2
    assert all(task.run_count == 1 for name, task in tasks.items() if name != "publish")
    assert events(config, "stage_failed")[0]["may_retry"] is True
    assert len(find(tmp_path / "catalog")) == 1


PROFILE = """\
profile: {name}
version: 3
checks:
  r_ergas: {{{level}_above: 0.0, why: nothing is that good}}
"""


@pytest.mark.parametrize(
    ("level", "name", "event"), [("review", "Review", "review"), ("reject", "Rejected", "rejected")]
)
def test_what_is_not_passed_is_not_published_and_somebody_is_told(
    tmp_path: Path, drop: Drop, configured: Configured, quick: Sections, level: str, name: str, event: str
) -> None:
    profile = tmp_path / f"{level}.yaml"
    profile.write_text(PROFILE.format(name=level, level=level))
    told = tmp_path / "told.json"
    code = f"import sys; open({str(told)!r}, 'w').write(sys.stdin.read())"
    hook = [{"command": [sys.executable, "-c", code]}]
    sections = {"fuse": quick["fuse"], "accept": {"profile": str(profile)}}
    config = configured(**sections, hooks={"on_failure": hook, "on_review": hook})
    state = fuse_scene(config_to_json(config), str(drop(tmp_path / "inbox", "eta")), return_state=True)
    assert state.name == name
    assert state.message is not None
    assert level.upper() in state.message
    assert not (tmp_path / "catalog").exists() or not find(tmp_path / "catalog")
    heard = json.loads(told.read_text())
    assert heard["event"] == event
    assert heard["reasons"]
    _, _, artifacts = run_of(state)
    assert f"Verdict: {level.upper()}" in str(next(a for a in artifacts if a.type == "markdown").data)


def test_the_gpu_is_held_once_a_scene_and_waited_for(
    tmp_path: Path, drop: Drop, configured: Configured, quick: Sections, server: Server
) -> None:
    ensure_limit("test-gpu")
    config = configured(**quick, schedule={"gpu_limit": "test-gpu"})
    folder = drop(tmp_path / "inbox", "theta")
    found: list[State[Any]] = []

    def work() -> None:
        from prefect.settings import temporary_settings

        with temporary_settings(updates=server.updates):
            found.append(fuse_scene(config_to_json(config), str(folder), return_state=True))

    thread = threading.Thread(target=work)
    with concurrency("test-gpu", occupy=1, strict=True):
        thread.start()
        until(lambda: [e for e in events(config, "stage_ended") if e["stage"] == "inspect"], 30, "inspect")
        time.sleep(2.0)
        assert not [e for e in events(config, "stage_started") if e["stage"] == "calibrate"]
    thread.join(90)
    assert found[0].is_completed()
