"""Stages in a row: done once, resumed where killed, judged by limits, published or not, the same as by hand."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import arrivals
import numpy as np
import pytest
import rasterio
import scenery
import stac_pydantic

from geofuse.archive import catalog
from geofuse.archive.catalog_check import catalog_problems
from geofuse.cli import main
from geofuse.config import RunConfig, config_from, config_to_json
from geofuse.errors import ExistsError, LockedError, MatchError, UsageError, WriteError
from geofuse.line.decisions import decide, waiting
from geofuse.line.events import Event, may_retry
from geofuse.line.pipeline import STAGES, report_files, run_stage
from geofuse.line.scene_ledger import claimed, rows
from geofuse.line.scene_ref import SceneRef, scene_key, scene_ref, with_digest
from geofuse.line.scene_run import run_scene
from geofuse.line.stage_records import job_folder
from geofuse.metrics.rows import BUILT_IN
from geofuse.quality.accept import judged, measured, profile_for

Make = Callable[..., RunConfig]
STRICT = "profile: strict\nversion: 2\nchecks:\n  r_ergas: {review_above: 0.0, why: test}\n"
HARD = "profile: hard\nversion: 1\nchecks:\n  r_ergas: {reject_above: 0.0, why: test}\n"


@pytest.fixture(scope="module")
def delivery(truth: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return arrivals.deliver(tmp_path_factory.mktemp("delivery") / "scene", truth, 4, side=256)


@pytest.fixture
def make(delivery: Path, tmp_path: Path) -> Make:
    """Return a maker of cheap configurations for the scene."""

    def config(**sections: dict[str, Any]) -> RunConfig:
        values: dict[str, Any] = {
            "scene": {"path": str(delivery)},
            "fuse": {"method": "gsa", "calibrate": False},
            "encode": {"level": 1},
            "work": {"scheduler": "serial", "workers": 1, "retries": 0, "backoff": 0},
            "accept": {"profile": _profile(tmp_path, "profile: own\nversion: 1\nchecks: {}\n")},
            "catalog": {"folder": str(tmp_path / "archive")},
        }
        for name, section in sections.items():
            values[name] = {**values.get(name, {}), **section}
        return config_from(values)

    return config


def _profile(folder: Path, text: str) -> str:
    path = folder / f"{text.split()[1]}.yaml"
    path.write_text(text)
    return str(path)


def heard() -> tuple[list[Event], Callable[[Event], None]]:
    events: list[Event] = []
    return events, events.append


def test_a_scene_goes_through_all_stages_once(make: Make, tmp_path: Path) -> None:
    config = make(catalog={"attribution": "by our own people", "access": "internal"})
    ref = scene_ref(config)
    events, tell = heard()
    outcome = run_scene(config, ref, tell=tell)
    assert (outcome.state, outcome.verdict, outcome.reasons) == ("published", "PASS", ())
    kinds = [(event.kind, event.stage) for event in events if event.kind != "progress"]
    assert kinds[0] == ("scene_started", "")
    assert [stage for kind, stage in kinds if kind == "stage_ended"] == list(STAGES)
    assert kinds[-1] == ("scene_ended", "")
    assert {event.data["what"] for event in events if event.kind == "progress"} >= {"fuse", "assemble"}
    assert all(json.loads(json.dumps(event.data)) == event.data for event in events)
    out = Path(outcome.out)
    assert all(path.is_file() for path in report_files(out))
    with rasterio.open(out) as product:
        assert product.tags()["TIFFTAG_COPYRIGHT"] == "by our own people"
    folder = Path(str(config.catalog.folder))
    assert catalog_problems(folder) == (1, [])
    item = catalog.load(folder, catalog.find_item(folder, outcome.item))
    said, record = item["properties"], scenery.record(out)
    assert (said["view:off_nadir"], said["view:sun_elevation"], said["eo:cloud_cover"]) == (0.001, 57.25, 1.5)
    assert said["geofuse:verdict"] == record["acceptance"]["verdict"] == "PASS"
    assert said["geofuse:accept_profile"] == "own 1"
    assert said["geofuse:access"] == "internal"
    assert said["attribution"] == "by our own people"
    assert said["geofuse:quality"]["r_ergas"] == record["acceptance"]["measured"]["r_ergas"]
    assert {asset["roles"][0] for asset in item["assets"].values()} == {
        *("data", "mask", "input", "quicklook", "report", "provenance"),
    }
    for model, place in (
        (stac_pydantic.Catalog, "catalog.json"),
        (stac_pydantic.Collection, "landsat8/collection.json"),
        (stac_pydantic.Item, f"landsat8/{outcome.item}/{outcome.item}.json"),
    ):
        model.model_validate_json((folder / place).read_text())
    before = out.stat().st_mtime_ns
    events, tell = heard()
    again = run_scene(config, ref, tell=tell)
    assert replace(again, seconds={}) == replace(outcome, seconds={})
    assert all(event.data["skipped"] for event in events if event.kind == "stage_ended")
    assert out.stat().st_mtime_ns == before
    assert len(catalog.find(folder)) == 1


def test_by_hand_by_command_and_by_configuration_the_bytes_are_the_same(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = make()
    path = tmp_path / "run.yaml"
    path.write_text(json.dumps(config_to_json(config)))  # JSON is YAML
    assert main(["run", str(path), "--json", "--no-progress"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    by_hand = tmp_path / "hand.tif"
    assert main([
        *("fuse", config.scene.path, "--out", str(by_hand), "--method", "gsa", "--no-calibrate"),
        *("--level", "1", "--scheduler", "threads", "--no-progress"),
    ]) == 0  # fmt: skip
    assert by_hand.read_bytes() == Path(outcome["out"]).read_bytes()


def test_a_scene_killed_while_it_fuses_goes_on_to_the_same_bytes(make: Make, tmp_path: Path) -> None:
    whole = run_scene(make(catalog={"folder": str(tmp_path / "whole")}), scene_ref(make()))
    config = make()
    path = tmp_path / "run.yaml"
    path.write_text(json.dumps(config_to_json(config)))
    ref = scene_ref(config)
    folder = job_folder(config, scene_key(config, ref))
    child = subprocess.Popen(
        [sys.executable, "-m", "geofuse.cli", "run", str(path)], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not (folder / "plan.json").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    child.kill()
    child.wait()
    assert (folder / "plan.json").exists()
    (row,) = rows(config)
    assert (row.state, row.attempts) == ("running", 1)
    events, tell = heard()
    outcome = run_scene(config, ref, tell=tell)
    skipped = {event.stage for event in events if event.kind == "stage_ended" and event.data["skipped"]}
    assert skipped >= {"inspect", "calibrate", "plan"}
    assert outcome.state == "published"
    assert Path(outcome.out).read_bytes() == Path(whole.out).read_bytes()


def test_a_cluster_that_speaks_tls_makes_the_same_bytes(make: Make, tmp_path: Path) -> None:
    from distributed import LocalCluster, Security

    whole = run_scene(make(catalog={"folder": str(tmp_path / "whole")}), scene_ref(make()))
    security = Security.temporary()
    files = {"ca": security.tls_ca_file, "cert": security.tls_client_cert, "key": security.tls_client_key}
    for name, text in files.items():
        (tmp_path / f"{name}.pem").write_text(str(text))
    tls = {name: str(tmp_path / f"{name}.pem") for name in files}
    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        host="127.0.0.1",
        protocol="tls",
        security=security,
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
    ) as cluster:
        address = cluster.scheduler_address
        assert address.startswith("tls://")
        bare = make(work={"scheduler": address})
        with pytest.raises(UsageError, match="without certificates"):
            run_scene(bare, scene_ref(bare))
        lost = make(work={"scheduler": address, "tls": {**tls, "ca": str(tmp_path / "none.pem")}})
        with pytest.raises(UsageError, match="no such certificate"):
            run_scene(lost, scene_ref(lost))
        config = make(work={"scheduler": address, "tls": tls})
        outcome = run_scene(config, scene_ref(config))
    assert Path(outcome.out).read_bytes() == Path(whole.out).read_bytes()


def test_a_damaged_or_lost_product_is_made_again(make: Make) -> None:
    config = make()
    ref = scene_ref(config)
    out = Path(run_scene(config, ref).out)
    good = out.read_bytes()
    out.unlink()
    assert run_scene(config, ref).state == "published"
    assert out.read_bytes() == good
    report_files(out)[0].unlink()
    run_scene(config, ref)
    assert report_files(out)[0].is_file()


def test_review_waits_for_a_person_who_is_named_on_the_item(make: Make, tmp_path: Path) -> None:
    config = make(accept={"profile": _profile(tmp_path, STRICT)})
    ref = scene_ref(config)
    outcome = run_scene(config, ref)
    assert (outcome.state, outcome.verdict, outcome.item) == ("review", "REVIEW", "")
    assert "r_ergas" in outcome.reasons[0]
    assert [row.key for row in waiting(config)] == [outcome.key]
    assert not (tmp_path / "archive").exists()
    with pytest.raises(UsageError, match="did you mean scene"):
        decide(config, "scena", by="Ann", accept=True)
    done = decide(config, "scene", by="Ann", accept=True)
    assert done["state"] == "published"
    folder = tmp_path / "archive"
    said = catalog.load(folder, catalog.find_item(folder, done["item"]))["properties"]
    assert (said["geofuse:verdict"], said["geofuse:accepted_by"]) == ("REVIEW", "Ann")
    assert scenery.record(Path(outcome.out))["acceptance"]["decision"]["accepted"] is True
    assert waiting(config) == []
    assert run_scene(config, ref).state == "published"


def test_what_a_person_or_the_numbers_reject_is_never_published(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = make(accept={"profile": _profile(tmp_path, STRICT)})
    run_scene(config, scene_ref(config))
    where = ["--catalog", str(config.catalog.folder)]
    assert main(["accept", *where]) == 0
    assert "r_ergas" in capsys.readouterr().out
    assert main(["accept", "scene", "--by", "Ann", "--reject", *where]) == 0
    assert "rejected" in capsys.readouterr().out
    assert main(["accept", "scene", "--by", "Ann", *where]) == 2
    assert run_scene(config, scene_ref(config)).state == "rejected"
    hard = make(accept={"profile": _profile(tmp_path, HARD)})
    outcome = run_scene(hard, scene_ref(hard))
    assert (outcome.state, outcome.verdict) == ("rejected", "REJECT")
    assert report_files(Path(outcome.out))[0].is_file()
    assert not (tmp_path / "archive").exists()


def test_another_version_of_a_profile_judges_again_and_nothing_else(make: Make, tmp_path: Path) -> None:
    config = make(accept={"profile": _profile(tmp_path, "profile: mine\nversion: 1\nchecks: {}\n")})
    ref = scene_ref(config)
    run_scene(config, ref)
    _profile(tmp_path, "profile: mine\nversion: 2\nchecks: {d_s: {review_above: 9}}\n")
    events, tell = heard()
    outcome = run_scene(config, ref, tell=tell)
    done = [event.stage for event in events if event.kind == "stage_ended" and not event.data["skipped"]]
    assert done == ["accept", "publish"]
    folder = tmp_path / "archive"
    item = catalog.load(folder, catalog.find_item(folder, outcome.item))
    assert item["properties"]["geofuse:accept_profile"] == "mine 2"
    assert catalog_problems(folder) == (1, [])


def test_two_scenes_of_one_name_are_refused(make: Make, truth: np.ndarray, tmp_path: Path) -> None:
    config = make(output={"name": "{sensor}_{scene}"})
    run_scene(config, scene_ref(config))
    other = arrivals.deliver(tmp_path / "scene", truth[:, ::-1], 4, side=256)
    config = make(output={"name": "{sensor}_{scene}"}, scene={"path": str(other)})
    with pytest.raises(ExistsError, match=r"wanted a template that tells them apart"):
        run_scene(config, scene_ref(config))
    assert [row.state for row in rows(config)] == ["published", "parked"]


def test_faults_that_a_retry_may_cure_are_tried_again_and_others_not(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make(work={"retries": 2, "backoff": 0.5})
    ref = scene_ref(config)
    place = job_folder(config, scene_key(config, ref)) / "plan.json"
    place.mkdir(parents=True)  # nothing can be written there
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            place.rmdir()

    assert run_scene(config, ref, sleep=sleep).state == "published"
    assert waits == [0.5, 1.0]
    bad = make(fuse={"method": "gsa", "calibrate": True}, work={"retries": 2})
    wrong = arrivals.deliver(Path(bad.scene.path).parent / "wrong", _other(), 5, side=512, fault="wrong_pan")
    bad = make(fuse={"calibrate": True}, work={"retries": 2}, scene={"path": str(wrong)})
    waits.clear()
    events, tell = heard()
    with pytest.raises(MatchError):
        run_scene(bad, scene_ref(bad), tell=tell, sleep=waits.append)
    assert waits == []
    (failure,) = [event for event in events if event.kind == "stage_failed"]
    assert (failure.stage, failure.data["code"], failure.data["may_retry"]) == ("calibrate", "match", False)
    assert rows(bad)[-1].state == "parked"
    assert may_retry(WriteError("full"))
    shutil.rmtree(wrong)


def _other() -> np.ndarray:
    rng = np.random.default_rng(8)
    return (2000.0 * scenery.landscape(rng, 4, 600)).astype(np.float32)


def test_one_process_at_a_time_holds_a_scene(make: Make) -> None:
    config = make()
    ref = with_digest(SceneRef("scene", config.scene.path))
    with claimed(config, ref), pytest.raises(LockedError):
        run_scene(config, ref)
    assert rows(config)[0].state == "ready"


def test_stages_out_of_order_say_so(make: Make) -> None:
    config = make()
    with pytest.raises(UsageError, match="calibrate was not done"):
        run_stage("plan", config, scene_ref(config))
    with pytest.raises(UsageError, match="stage 'fuze'"):
        run_stage("fuze", config, scene_ref(config))


@pytest.mark.parametrize(
    ("limits", "value", "verdict"),
    [
        ({"review_above": 1.0}, 1.0, "PASS"),
        ({"review_above": 1.0}, 1.01, "REVIEW"),
        ({"review_above": 1.0, "reject_above": 2.0}, 2.5, "REJECT"),
        ({"review_below": 0.0}, -0.1, "REVIEW"),
        ({"reject_below": 0.5, "review_below": 0.9}, 0.4, "REJECT"),
        ({"review_below": 0.5}, None, "PASS"),
        ({"review_below": 0.5, "unknown": "reject"}, None, "REJECT"),
    ],
)
def test_limits(limits: dict[str, Any], value: float | None, verdict: str, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(json.dumps({"profile": "p", "version": 1, "checks": {"r_ergas": limits}}))
    found = judged(profile_for(str(path), ""), {"r_ergas": value})
    assert found["verdict"] == verdict
    assert bool(found["reasons"]) == (verdict != "PASS")


def test_every_check_can_be_measured_on_a_real_run(make: Make) -> None:
    config = make()
    outcome = run_scene(config, scene_ref(config))
    record = scenery.record(Path(outcome.out))
    values = json.loads(report_files(Path(outcome.out))[1].read_text())
    found = measured(record, values, Path(outcome.out))
    names = {name for metric in BUILT_IN for name in (metric.key, *metric.also) if not metric.referenced}
    assert set(found) == names
    unknown = {name for name, value in found.items() if value is None}
    assert unknown <= {"calibration_confidence", "match_r2", "no_harm_share", "hold_out_gain", "seams"}
    assert found["cloud_share"] == 0.0
    assert found["nodata_share"] < 0.05
