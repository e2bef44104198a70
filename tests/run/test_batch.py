"""Lists of scenes, catalogues made anew, and what is cleaned up."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import arrivals
import numpy as np
import pytest

from geofuse.archive import catalog
from geofuse.archive.catalog_check import catalog_problems
from geofuse.cli import main
from geofuse.config import RunConfig, config_from, config_to_json
from geofuse.errors import ConfigError, ExistsError, GeofuseError, WriteError
from geofuse.files import write_json
from geofuse.line.batch import read_manifest, run_batch, summary_rows, write_summary
from geofuse.line.batch_cost import batch_plan
from geofuse.line.cleaning import clean
from geofuse.line.inbox_run import run_or_tell
from geofuse.line.pipeline import report_files
from geofuse.line.reprocess import stale_items
from geofuse.line.scene_ledger import rows
from geofuse.line.scene_ref import SceneRef
from geofuse.line.scene_run import Outcome, failed
from geofuse.line.stage_records import job_folder

DAY_S = 86400.0


@pytest.fixture(scope="module")
def scenes(truth: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    for number, name in enumerate(("a", "b", "bad")):
        fault = "no_metadata" if name == "bad" else ""
        arrivals.deliver(folder / name, truth, number, side=256, fault=fault)
    return folder


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return config_of(tmp_path)


def config_of(folder: Path, **sections: dict[str, Any]) -> RunConfig:
    profile = folder / "all.yaml"
    profile.write_text("profile: all\nversion: 1\nchecks: {}\n")
    values: dict[str, Any] = {
        "fuse": {"method": "gsa", "calibrate": False},
        "encode": {"level": 1},
        "work": {"scheduler": "serial", "workers": 1, "retries": 0, "backoff": 0},
        "assess": {"enabled": False},
        "accept": {"profile": str(profile)},
        "catalog": {"folder": str(folder / "archive")},
    }
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    return config_from(values)


def write_list(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_list_is_read_by_priority_with_keys_of_its_own(
    scenes: Path, tmp_path: Path, config: RunConfig
) -> None:
    pan, ms = next((scenes / "a").glob("*_B8.TIF")), sorted((scenes / "a").glob("*_B[2-4].TIF"))
    path = write_list(
        tmp_path / "list.csv",
        "scene,pan,ms,priority,fuse.method,scene.bands",
        f"{scenes / 'a'},,,,,red;green",
        "",
        f"{scenes / 'b'},,,5,brovey,",
        f",{pan},{';'.join(map(str, ms))},-1,,",
    )
    batch = read_manifest(path, config)
    assert [row.line for row in batch] == [4, 2, 5]
    assert [row.config.fuse.method for row in batch] == ["brovey", "gsa", "gsa"]
    assert batch[1].config.scene.bands == ("red", "green")
    assert [one.role for one in batch[2].ref.files] == ["pan", "ms", "ms", "ms"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["scen,priority", "a,1"], r"unknown column 'scen'; .*did you mean scene\?"),
        (["scene,scene", "a,b"], "twice"),
        (["priority", "1"], "no column scene"),
        (["scene,fuse.metod", "a,gsa"], r"line 2.*unknown key fuse\.metod.*did you mean method"),
        (["scene,priority", "a,high"], r"line 2.*priority 'high'"),
        (["scene", "a,b"], "line 2: 2 cells"),
        (["scene,priority", ",3"], r"line 2.*no scene"),
        ([""], "no lines"),
    ],
)
def test_lists_that_are_off(lines: list[str], said: str, tmp_path: Path, config: RunConfig) -> None:
    with pytest.raises(ConfigError, match=said):
        read_manifest(write_list(tmp_path / "list.csv", *lines), config)


def test_a_dry_run_tells_costs_and_faults_and_writes_nothing(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_list(tmp_path / "list.csv", "scene", *(str(scenes / name) for name in ("a", "b", "bad")))
    config = config_of(tmp_path)
    plan = batch_plan(read_manifest(path, config))
    assert (plan["scenes_ok"], plan["scenes_bad"], plan["fits"]) == (2, 1, True)
    assert [each["code"] for each in plan["scenes"]] == ["", "", "scene"]
    assert plan["mpx"] == pytest.approx(2 * 256 * 256 / 1e6, rel=0.02)
    assert plan["cpu_s"] > 0
    assert plan["disk_needed_bytes"] > 2 * 256 * 256 * 4 * 2
    run = tmp_path / "run.yaml"
    write_json(run, config_to_json(config))
    before = sorted(tmp_path.rglob("*"))
    assert main(["batch", str(path), "--config", str(run), "--dry-run"]) == 2  # one scene is bad
    assert "2 scenes, 0.1 Mpx" in capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before


def test_two_lines_that_would_make_one_product_are_refused_before_anything_runs(
    scenes: Path, tmp_path: Path
) -> None:
    path = write_list(tmp_path / "list.csv", "scene", str(scenes / "a"), str(scenes / "a"))
    batch = read_manifest(path, config_of(tmp_path, output={"name": "{scene}"}))
    with pytest.raises(ExistsError, match="lines 2 and 3 would make one product"):
        batch_plan(batch)


def test_only_what_failed_runs_again_and_the_summary_says_what_became_of_all(
    scenes: Path, tmp_path: Path, config: RunConfig
) -> None:
    path = write_list(tmp_path / "list.csv", "scene", *(str(scenes / name) for name in ("a", "bad", "b")))
    batch = read_manifest(path, config)
    ran: list[str] = []

    def one(config: RunConfig, ref: SceneRef) -> Outcome:
        ran.append(ref.name)
        if ref.name == "b" and ran.count("b") == 1:  # the disk is full, once
            return failed(config, ref, WriteError("no space left on device"))
        return run_or_tell(config, ref)

    done = run_batch(batch, one=one)
    assert ran == ["a", "bad", "b", "b"]  # what has no metadata is not tried again
    assert [(each.name, each.state) for _, each in done] == [
        *(("a", "published"), ("bad", "failed"), ("b", "published")),
    ]
    write_summary(tmp_path / "done.csv", done)
    with (tmp_path / "done.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["state"] for line in lines] == ["published", "failed", "published"]
    assert lines[1]["code"] == "scene"
    assert float(lines[0]["cpu_s"]) > 0
    assert Path(lines[0]["out"]).is_file()
    ran.clear()
    again = run_batch(batch, one=one)
    assert ran == ["bad"]  # the command again: what is done is done
    assert [each.state for _, each in again] == ["published", "failed", "published"]
    assert batch_plan(batch)["scenes"][0]["cpu_s"] < 60.0  # by what the scenes took here
    assert len(summary_rows(again)) == 3


def test_the_batch_command_writes_its_summary(
    scenes: Path, tmp_path: Path, config: RunConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_list(tmp_path / "list.csv", "scene", str(scenes / "a"))
    run = tmp_path / "run.yaml"
    write_json(run, config_to_json(config))
    assert main(["batch", str(path), "--config", str(run), "--json", "--no-progress"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["scenes"][0]["state"] == "published"
    assert (tmp_path / "list.done.csv").is_file()


def test_reprocessing_makes_anew_what_another_configuration_made(
    scenes: Path, tmp_path: Path, config: RunConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "archive"
    for name in ("a", "b"):
        assert run_or_tell(config, SceneRef(name, str(scenes / name))).state == "published"
    assert stale_items(config) == []
    assert len(stale_items(config, everything=True)) == 2
    other = config_of(tmp_path, fuse={"method": "brovey"})
    found = stale_items(other)
    assert {each.because for each in found} == {"made by another configuration"}
    assert stale_items(other, own=True) == []
    run = tmp_path / "new.yaml"
    write_json(run, config_to_json(other))
    assert main(["reprocess", "--config", str(run), "--dry-run"]) == 0
    assert "another configuration" in capsys.readouterr().out
    assert main(["reprocess", "--config", str(run), "--no-progress", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["ran"]) == 2
    entries = catalog.find(folder)
    assert [entry.version for entry in entries] == ["2", "2"]
    assert {catalog.load(folder, entry)["properties"]["geofuse:method"] for entry in entries} == {"brovey"}
    assert stale_items(other) == []
    assert catalog_problems(folder) == (2, [])


def test_an_item_of_another_release_or_whose_inputs_are_gone(
    scenes: Path, tmp_path: Path, config: RunConfig
) -> None:
    own = tmp_path / "own"
    shutil.copytree(scenes / "a", own)
    run_or_tell(config, SceneRef("own", str(own)))
    folder = tmp_path / "archive"
    place = folder / catalog.find(folder)[0].href
    item = json.loads(place.read_text())
    item["properties"]["processing:software"]["geofuse"] = "0.0.1"
    write_json(place, item)
    (found,) = stale_items(config)
    assert found.because == "made by release 0.0.1"
    shutil.rmtree(own)
    shutil.rmtree(tmp_path / "archive.state")  # nothing is remembered but the item itself
    (gone,) = stale_items(config)
    assert (gone.ref, gone.because) == (None, "its inputs are gone")
    shutil.copytree(scenes / "a", own)
    (back,) = stale_items(config)
    assert back.ref == SceneRef(back.ref.name if back.ref else "", str(own), reader="landsat")


def test_clean_keeps_what_is_needed(scenes: Path, tmp_path: Path, config: RunConfig) -> None:
    later = config_of(
        tmp_path, retention={"parts": "1d", "products": "10d", "superseded": 1}, fuse={"method": "brovey"}
    )
    third = config_of(tmp_path, retention={"superseded": 1}, fuse={"method": "exp"})
    ref = SceneRef("a", str(scenes / "a"))
    outcomes = [run_or_tell(each, ref) for each in (config, later, third)]
    out = Path(outcomes[-1].out)
    parts = out.parent / ".killed.tif.parts"
    parts.mkdir()
    (parts / "tile-0000000.part").write_bytes(b"x" * 1000)
    with pytest.raises(GeofuseError):
        raise _fault(config, scenes)
    now = rows(config)[0].updated
    assert clean(later, clock=lambda: now)["bytes"] == 0
    dry = clean(later, dry_run=True, clock=lambda: now + 11 * DAY_S)
    assert dry["parts"] == [str(parts)]
    assert len(dry["records"]) == 1
    assert out.is_file()
    assert parts.is_dir()
    done = clean(later, clock=lambda: now + 11 * DAY_S)
    assert (done["parts"], done["records"]) == (dry["parts"], dry["records"])
    assert not parts.exists()
    folder = tmp_path / "archive"
    assert catalog_problems(folder) == (1, [])
    (entry,) = catalog.find(folder)
    assert sorted(path.name for path in (folder / entry.href).parent.glob("v*")) == ["v2", "v3"]
    assert not out.exists()  # the catalogue has it
    assert run_or_tell(third, ref).state == "published"


def _fault(config: RunConfig, scenes: Path) -> GeofuseError:
    """Leave the records of a scene that came to nothing."""
    other = replace(config, fuse=replace(config.fuse, method="nothing"))
    outcome = run_or_tell(other, SceneRef("b", str(scenes / "b")))
    assert outcome.code == "method"
    assert job_folder(other, outcome.key or rows(other)[-1].key).is_dir()
    return GeofuseError(outcome.message)


def test_pixels_of_what_was_rejected_go_and_its_report_stays(scenes: Path, tmp_path: Path) -> None:
    profile = tmp_path / "hard.yaml"
    profile.write_text("profile: hard\nversion: 1\nchecks: {nodata_share: {reject_above: -1}}\n")
    config = config_of(
        tmp_path,
        accept={"profile": str(profile)},
        assess={"enabled": True},
        retention={"products": "1d"},
    )
    outcome = run_or_tell(config, SceneRef("a", str(scenes / "a")))
    out = Path(outcome.out)
    assert outcome.state == "rejected"
    clean(config, clock=lambda: rows(config)[0].updated + 2 * DAY_S)
    assert not out.exists()
    assert report_files(out)[0].is_file()
    assert json.loads(out.with_suffix(".json").read_text())["acceptance"]["verdict"] == "REJECT"
