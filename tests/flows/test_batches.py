"""`watch-inbox` without a worker, `fuse-batch`, `reprocess`, `clean-up`: each a run with its table."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, FlowRunFilter
from prefect.client.schemas.objects import State

from geofuse.archive.catalog import find
from geofuse.config import RunConfig, config_to_json
from geofuse.flows.batches import fuse_batch, reprocess
from geofuse.flows.cleanup import clean_up
from geofuse.flows.eventlog import read_events
from geofuse.flows.inbox import watch_inbox
from geofuse.flows.settings import event_log
from geofuse.line.scene_ledger import rows

pytestmark = pytest.mark.usefixtures("server")
Drop = Callable[..., Path]
Configured = Callable[..., RunConfig]
Sections = dict[str, dict[str, Any]]


def tables(state: State[Any], kind: str = "table") -> dict[str, Any]:
    """Return the tables a run left, by key."""
    wanted = ArtifactFilter.model_validate({"flow_run_id": {"any_": [state.state_details.flow_run_id]}})
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=wanted)
    return {str(each.key): json.loads(str(each.data)) for each in found if each.type == kind}


def children(state: State[Any]) -> dict[str, str]:
    """Return the runs below a run: name and state."""
    with get_client(sync_client=True) as client:
        wanted = {"parent_flow_run_id": {"any_": [state.state_details.flow_run_id]}}
        found = client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(wanted))
    return {run.name: run.state.name for run in found if run.state}


def test_an_inbox_is_worked_off_once(
    tmp_path: Path, drop: Drop, configured: Configured, quick: Sections
) -> None:
    config = configured(**quick)
    drop(tmp_path / "inbox", "alpha")
    torn = drop(tmp_path / "inbox", "beta") / "beta_pan.tif"
    shutil.copytree(tmp_path / "inbox" / "alpha", tmp_path / "inbox" / "copy-of-alpha")
    torn.write_bytes(torn.read_bytes()[:4000])
    values = config_to_json(config)
    first = watch_inbox(values, return_state=True)
    assert first.message is not None
    assert first.message.startswith("1 started, 1 waiting")
    assert children(first) == {"alpha gsa": "Completed"}
    (item,) = find(tmp_path / "catalog")
    second = watch_inbox(values, return_state=True)
    assert second.message is not None
    assert second.message.startswith("0 started")
    assert children(second) == {}
    assert [found.version for found in find(tmp_path / "catalog")] == [item.version]
    states = {row["name"]: row["state"] for row in tables(second)["inbox"]}
    assert states == {"alpha": "published", "beta": "waiting", "copy-of-alpha": "duplicate"}


def test_a_batch_is_one_run_with_a_table_of_its_scenes(
    tmp_path: Path, drop: Drop, configured: Configured, quick: Sections
) -> None:
    config = configured(**quick)
    names = ("one", "two", "bad")
    for name in names:
        drop(tmp_path / "scenes", name)
    bad = tmp_path / "scenes" / "bad" / "bad_pan.tif"
    bad.write_bytes(bad.read_bytes()[:4000])
    manifest = tmp_path / "list.csv"
    lines = [f"scenes/{name},{priority}" for name, priority in zip(names, (1, 5, 9), strict=True)]
    manifest.write_text("\n".join(["scene,priority", *lines]) + "\n")
    values = config_to_json(config)
    plan = fuse_batch(values, str(manifest), dry_run=True, return_state=True)
    assert plan.message is not None
    assert plan.message.startswith("2 scenes, 1 bad")
    assert not (tmp_path / "catalog").exists()
    summary = tmp_path / "summary.csv"
    done = fuse_batch(values, str(manifest), summary=str(summary), return_state=True)
    assert done.is_completed()
    assert (done.name, done.message) == ("WithFailures", "1 failed, 2 published")
    assert children(done) == {"two gsa": "Completed", "one gsa": "Completed", "bad gsa": "Failed"}
    table = tables(done)["batch-list"]
    assert {row["name"]: (row["state"], row["code"]) for row in table} == {
        "one": ("published", ""),
        "two": ("published", ""),
        "bad": ("failed", "corrupt"),
    }
    with summary.open() as stream:
        assert {row["name"]: row["state"] for row in csv.DictReader(stream)} == {
            row["name"]: row["state"] for row in table
        }
    again = fuse_batch(values, str(manifest), return_state=True)
    assert set(children(again)) == {"bad gsa"}, "what is done is not done again"
    brovey = {"method": "brovey", "calibrate": False}
    other = config_to_json(configured(**{**quick, "fuse": brovey}))
    remade = reprocess(other, return_state=True)
    assert remade.message == "2 published", remade
    assert [found.version for found in find(tmp_path / "catalog")] == ["2", "2"]
    assert reprocess(other, return_state=True).message == "nothing to do"


def test_cleaning_says_what_it_would_remove(
    tmp_path: Path, drop: Drop, configured: Configured, quick: Sections
) -> None:
    config = configured(**quick, retention={"superseded": 0})
    watch = config_to_json(config)
    drop(tmp_path / "inbox", "alpha")
    watch_inbox(watch, return_state=True)
    assert [row.state for row in rows(config)] == ["published"]
    state = clean_up(watch, dry_run=True, return_state=True)
    assert state.message is not None
    assert state.message.startswith("would remove: parts 0")
    assert clean_up(watch, return_state=True).is_completed()
    kinds = [event["event"] for _, event in read_events(event_log(config))]
    assert kinds.count("cleaned") == 2
    assert len(find(tmp_path / "catalog")) == 1
