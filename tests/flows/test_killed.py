"""Processes and servers that die in the middle of a scene: what the UI says, what comes of the scene."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from operating import ROOT, Server, geofuse_up, started_server, stop, until
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from test_up import asked, configured, runs

from geofuse.archive.catalog import find, load
from geofuse.config import config_to_json, load_config
from geofuse.files import sha256_of
from geofuse.flows.process_labels import PID
from geofuse.landscape.camera import Camera, make_truth
from geofuse.line.scene_ref import ref_of_path, with_digest
from geofuse.line.scene_run import run_scene
from geofuse.quality.simulated_pair import SimulatedPair, write_pair

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
PARTS = "catalog.state/products/.*.parts/*.part"


@pytest.fixture(scope="module")
def broad_pair(tmp_path_factory: pytest.TempPathFactory) -> SimulatedPair:
    """A pair whose fusion takes a while: PAN 4096 x 4096."""
    camera = Camera((0.3,) * 4, (0.15, 0.3, 0.3, 0.2), ratio=4.0, noise_sigma=1.0)
    truth = np.tile(make_truth(1024, rng=np.random.default_rng(5)), (1, 4, 4))
    return write_pair(tmp_path_factory.mktemp("broad"), truth, camera, slant_deg=0.0, seed=5)


@pytest.fixture
def broad(broad_pair: SimulatedPair, tmp_path: Path) -> Callable[[Path], Path]:
    """Drop it into a folder."""

    def drop(inbox: Path) -> Path:
        folder = inbox / "broad"
        folder.mkdir(parents=True)
        shutil.copy(broad_pair.pan, folder / "broad_pan.tif")
        shutil.copy(broad_pair.ms, folder / "broad_ms.tif")
        return folder

    return drop


TEXT = """\
inbox: {settle: 0}
catalog: {acquired: "2024-05-12T10:00:00Z"}
fuse: {method: ridge}
work: {tile_px: 512, workers: 1, retries: 2, backoff: 2s}
assess: {enabled: false}
accept: {profile: anything.yaml}
"""


def prepared(folder: Path) -> str:
    """Write the configuration."""
    (folder / "anything.yaml").write_text("profile: anything\nversion: 1\nchecks: {}\n")
    return configured(folder, TEXT)


def undisturbed(config: str, scene: Path, folder: Path) -> str:
    """Fuse it without Prefect, elsewhere; returns the product's SHA-256."""
    values = config_to_json(load_config(config))
    values["output"]["folder"] = str(folder / "calm")
    values["state"]["folder"] = str(folder / "calm.state")
    from geofuse.config import config_from

    return sha256_of(run_scene(config_from(values), with_digest(ref_of_path(str(scene)))).out)


def product_sum(catalog: Path) -> str:
    """Return the SHA-256 of the only product of a catalogue."""
    (entry,) = find(catalog)
    item = load(catalog, entry)
    (data,) = [asset for asset in item["assets"].values() if "data" in asset["roles"]]
    return sha256_of(str((catalog / entry.href).parent / data["href"]))


def at_work(folder: Path, count: int = 4) -> Callable[[], Any]:
    """Say whether so many tiles are done and the scene is not."""
    return lambda: len(list(folder.glob(PARTS))) >= count


def ended_states(client: Any) -> list[str]:
    return [run.state.name for run in runs(client, "fuse-scene") if run.state and run.state.is_final()]


def test_a_killed_process_is_seen_and_the_next_run_makes_the_same_bytes(
    tmp_path: Path, broad: Callable[[Path], Path]
) -> None:
    config = prepared(tmp_path)
    scene = broad(tmp_path / "inbox")
    with geofuse_up(tmp_path, "--config", config, "--every", "15s", "--no-page") as (_, place):
        until(at_work(tmp_path), 600, "tiles")
        with asked(place) as client:
            (run,) = [r for r in runs(client, "fuse-scene") if r.state and r.state.is_running()]
            os.kill(int(str(run.labels[PID])), signal.SIGKILL)
            killed = time.monotonic()
            until(lambda: not client.read_flow_run(run.id).state.is_running(), 90, "end of the run")
            print(f"not Running {time.monotonic() - killed:.1f} s after SIGKILL")
            left = len(list(tmp_path.glob(PARTS)))
            assert left >= 4
            until(lambda: "Completed" in ended_states(client), 900, "second run", 2.0)
            assert sorted(ended_states(client)) == ["Completed", "Crashed"]
            until(lambda: all_final(client, run), 60, "end of the tasks of the dead run")
    assert product_sum(tmp_path / "catalog") == undisturbed(config, scene, tmp_path)


def all_final(client: Any, run: FlowRun) -> bool:
    """Say whether no task of a run is under way any more."""
    found = client.read_task_runs(flow_run_filter=FlowRunFilter.model_validate({"id": {"any_": [run.id]}}))
    return all(task.state and task.state.is_final() for task in found)


def test_after_a_power_cut_the_next_start_goes_on(tmp_path: Path, broad: Callable[[Path], Path]) -> None:
    config = prepared(tmp_path)
    scene = broad(tmp_path / "inbox")
    options = ("--config", config, "--every", "15s", "--no-page")
    with geofuse_up(tmp_path, *options) as (process, _):
        until(at_work(tmp_path), 600, "tiles")
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for member in family:
            member.kill()
        psutil.wait_procs(family, 20)
        process.wait()
    with geofuse_up(tmp_path, *options) as (_, place), asked(place) as client:
        (run,) = [run for run in runs(client, "fuse-scene") if run.start_time][-1:]
        until(lambda: not client.read_flow_run(run.id).state.is_running(), 90, "end of the dead run")
        until(lambda: "Completed" in ended_states(client), 900, "second run", 2.0)
    assert product_sum(tmp_path / "catalog") == undisturbed(config, scene, tmp_path)


def test_a_stopped_scene_goes_on_at_the_next_start(tmp_path: Path, broad: Callable[[Path], Path]) -> None:
    config = prepared(tmp_path)
    broad(tmp_path / "inbox")
    options = ("--config", config, "--every", "15s", "--no-page")
    with geofuse_up(tmp_path, *options) as (process, _):
        until(at_work(tmp_path), 600, "tiles")
        begun = time.monotonic()
        assert stop(process) == 0
        print(f"stopped in {time.monotonic() - begun:.1f} s")
    left = len(list(tmp_path.glob(PARTS)))
    assert left >= 4
    with geofuse_up(tmp_path, *options) as (_, place), asked(place) as client:
        until(lambda: "Completed" in ended_states(client), 900, "second run", 2.0)
    assert len(find(tmp_path / "catalog")) == 1


BARE = """
import sys
from geofuse.flows.scene import fuse_scene
state = fuse_scene(sys.argv[1], sys.argv[2], return_state=True)
print(state.type.value)
"""


def test_a_server_that_is_away_for_half_a_minute_is_waited_for(
    tmp_path: Path, broad: Callable[[Path], Path]
) -> None:
    config = prepared(tmp_path)
    scene = broad(tmp_path / "inbox")
    text = Path(config).read_text().replace("catalog: {", f"catalog: {{folder: {tmp_path / 'catalog'}, ")
    Path(config).write_text(text)
    with started_server(tmp_path / "server") as server:
        command = [sys.executable, "-c", BARE, config, str(scene)]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=server.surroundings, cwd=ROOT)
        until(at_work(tmp_path), 600, "tiles")
        server.kill()
        time.sleep(30.0)
        server.start()
        out, _ = run.communicate(timeout=900)
        assert run.returncode == 0
        assert out.splitlines()[-1] == "COMPLETED"
        check_states(server)


def check_states(server: Server) -> None:
    """Ask whether the server knows how the run and all of its tasks ended."""
    with asked(server.place) as client:

        def found() -> Any:
            (run,) = client.read_flow_runs()
            tasks = client.read_task_runs()
            ended = len(tasks) == 8 and all(task.state and task.state.is_final() for task in tasks)
            return (run, tasks) if ended else None

        run, tasks = until(found, 60, "states of eight tasks")
        assert run.state.name == "Completed"
        assert {task.state.name for task in tasks} == {"Completed"}
