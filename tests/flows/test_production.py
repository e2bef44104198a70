"""prefect.yaml as operators use it: deployed to a server of their own, run by a worker of a pool."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from operating import ROOT, Server, started_server
from prefect import get_client
from prefect.settings import temporary_settings

from geofuse.errors import UsageError
from geofuse.flows.deploy import lay_down, production_files
from geofuse.flows.settings import DEPLOYED_AS


def test_every_entrypoint_of_prefect_yaml_is_a_flow_of_a_script_beside_it(tmp_path: Path) -> None:
    names = lay_down(tmp_path)
    assert sorted(names) == sorted(production_files())
    deployments = yaml.safe_load((tmp_path / "prefect.yaml").read_text())["deployments"]
    for each in deployments:
        script, _, flow = each["entrypoint"].partition(":")
        assert f'"{flow}"' in (tmp_path / script).read_text()
        assert each["name"] == DEPLOYED_AS
    assert len(deployments) == 6
    assert lay_down(tmp_path) == names, "the same again is no fault"


def test_files_of_somebody_else_are_not_replaced(tmp_path: Path) -> None:
    own = tmp_path / "flows" / "scene.py"
    own.parent.mkdir()
    own.write_text("print('mine')\n")
    with pytest.raises(UsageError, match="with other contents"):
        lay_down(tmp_path)
    assert own.read_text() == "print('mine')\n"
    assert not (tmp_path / "prefect.yaml").exists()


def prefect(server: Server, folder: Path, *words: str) -> str:
    """Run Prefect's command in a folder; returns what it says."""
    command = [sys.executable, "-m", "prefect", *words]
    places = {"GEOFUSE_HOME": str(folder), "GEOFUSE_CONFIG": str(folder / "run.yaml")}
    environment = {**server.surroundings, **places}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("where", ["a folder", "the source tree"])
def test_a_worker_of_a_pool_runs_what_was_deployed(tmp_path: Path, where: str) -> None:
    folder = ROOT
    if where == "a folder":
        folder = tmp_path / "production"
        lay_down(folder)
    config = tmp_path / "run.yaml"
    config.write_text(f"catalog: {{folder: {tmp_path / 'catalog'}}}\n")
    with started_server(tmp_path / "server", auth="ann:secret") as server:
        prefect(server, folder, "work-pool", "create", DEPLOYED_AS, "--type", "process")
        prefect(server, folder, "work-queue", "create", "scenes", "--pool", DEPLOYED_AS, "--limit", "4")
        prefect(server, folder, "--no-prompt", "deploy", "--all")
        settings: dict[str, Any] = {**server.updates, "home": tmp_path / "client"}
        with temporary_settings(updates=settings), get_client(sync_client=True) as client:
            made = {each.entrypoint for each in client.read_deployments()}
            found = client.read_deployment_by_name(f"clean-up/{DEPLOYED_AS}")
            given = {"config": str(config), "dry_run": True}
            run = client.create_flow_run_from_deployment(found.id, parameters=given)
            prefect(server, folder, "worker", "start", "--pool", DEPLOYED_AS, "--run-once", "--limit", "1")
            state = client.read_flow_run(run.id).state
        assert made >= {"flows/scene.py:fuse_scene", "flows/cleanup.py:clean_up"}
        assert len(made) == 6
        assert state is not None
        assert state.is_completed(), state
        assert str(state.message).startswith("would remove")
