"""The inbox: what is still copied waits, what was there is not run twice, what is bad is parked with its reason."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import arrivals
import numpy as np
import pytest

from geofuse.archive import catalog
from geofuse.cli import main
from geofuse.config import RunConfig, config_from, config_to_json
from geofuse.errors import CorruptError, GeofuseError, ProductError
from geofuse.files import write_json
from geofuse.line.inbox_run import look_and_run, run_or_tell
from geofuse.line.scene_ledger import LedgerRow, claimed, ledger, put, rows
from geofuse.line.scene_ref import SceneRef
from geofuse.line.sources.inbox import scan
from geofuse.line.sources.manifest import check_manifest
from geofuse.line.stage_records import job_folder

SETTLE_S, PATIENCE_S = 60.0, 3600.0


@pytest.fixture(scope="module")
def deliveries(truth: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two whole scenes, to be copied."""
    folder = tmp_path_factory.mktemp("deliveries")
    for number, name in enumerate(("one", "two")):
        arrivals.deliver(folder / name, truth, number, side=256)
    return folder


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def config_of(folder: Path, **sections: dict[str, Any]) -> RunConfig:
    values: dict[str, Any] = {
        "fuse": {"method": "gsa", "calibrate": False},
        "encode": {"level": 1},
        "work": {"scheduler": "serial", "workers": 1, "retries": 0, "backoff": 0},
        "assess": {"enabled": False},
        "inbox": {"folder": str(folder), "settle": SETTLE_S, "patience": PATIENCE_S},
        "catalog": {"folder": str(folder.parent / "archive")},
        "accept": {"profile": _lenient(folder.parent)},
    }
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    return config_from(values)


def _lenient(folder: Path) -> str:
    path = folder / "all.yaml"
    path.write_text("profile: all\nversion: 1\nchecks: {}\n")
    return str(path)


def at(seconds: float) -> Any:
    """Return a clock that is so far ahead."""
    return lambda: time.time() + seconds


def states(config: RunConfig) -> dict[str, tuple[str, str]]:
    return {Path(row.source).name: (row.state, row.code) for row in rows(config)}


def test_a_folder_that_is_still_copied_waits(deliveries: Path, inbox: Path) -> None:
    config = config_of(inbox)
    files = sorted((deliveries / "one").iterdir())
    (inbox / "one").mkdir()
    for number, path in enumerate(files):  # one file a minute
        (waiting,) = scan(config, clock=at(50.0 * number)).waiting
        assert "still changing" in waiting.reason
        shutil.copy(path, inbox / "one" / path.name)
    arrived = 50.0 * len(files)
    assert scan(config, clock=at(arrived)).waiting[0].reason == "still changing"
    assert scan(config, clock=at(arrived + 50)).ready == ()
    (ready,) = scan(config, clock=at(arrived + 70)).ready
    assert ready.name == "one"


def test_a_file_that_grows_starts_the_wait_anew(deliveries: Path, inbox: Path) -> None:
    config = config_of(inbox)
    shutil.copytree(deliveries / "one", inbox / "one")
    band = next((inbox / "one").glob("*_B3.TIF"))
    whole = band.read_bytes()
    band.write_bytes(whole[: len(whole) // 2])
    assert scan(config, clock=at(50)).ready == ()
    band.write_bytes(whole)
    assert scan(config, clock=at(100)).waiting[0].reason == "still changing"
    assert len(scan(config, clock=at(170)).ready) == 1


def test_a_scene_that_lacks_something_waits_and_is_parked_when_patience_ends(
    deliveries: Path, inbox: Path
) -> None:
    config = config_of(inbox)
    shutil.copytree(deliveries / "one", inbox / "one")
    metadata = next((inbox / "one").glob("*_MTL.txt"))
    text = metadata.read_text()
    metadata.unlink()
    (waiting,) = scan(config, clock=at(SETTLE_S + 1)).waiting
    assert "not whole yet" in waiting.reason
    assert "MTL.txt" in waiting.reason
    (parked,) = scan(config, clock=at(PATIENCE_S + 60)).parked
    assert (parked.code, "MTL.txt" in parked.reason) == ("scene", True)
    assert sorted(path.name for path in inbox.iterdir()) == ["one"]  # nothing is moved
    metadata.write_text(text)
    assert len(scan(config, clock=at(PATIENCE_S + 70)).waiting) == 1
    assert len(scan(config, clock=at(2 * PATIENCE_S)).ready) == 1


def test_the_same_scene_gives_one_product_however_often_it_comes(deliveries: Path, inbox: Path) -> None:
    config = config_of(inbox)
    shutil.copytree(deliveries / "one", inbox / "one")
    (ready,) = scan(config, clock=at(SETTLE_S + 1)).ready
    assert run_or_tell(config, _ref(ready)).state == "published"
    assert scan(config, clock=at(100)).ready == ()
    shutil.rmtree(inbox / "one")  # the same folder again
    shutil.copytree(deliveries / "one", inbox / "one", copy_function=shutil.copyfile)
    shutil.copytree(deliveries / "one", inbox / "copy")  # and its copy, and its archive
    arrivals.bundle(deliveries / "one", inbox / "bundle.tar")
    scan(config, clock=at(200))
    found = scan(config, clock=at(1000))
    assert found.ready == found.waiting == ()
    assert {row.name for row in found.duplicates} == {"copy", "bundle"}
    assert states(config)["one"] == ("published", "")
    assert len(catalog.find(inbox.parent / "archive")) == 1
    other = config_of(inbox, fuse={"method": "brovey"})  # another configuration is other work
    assert len(scan(other, clock=at(2000)).ready) == 1


def _ref(row: LedgerRow) -> SceneRef:
    assert row.ref is not None
    return row.ref


def test_a_new_delivery_under_the_same_name_supersedes(deliveries: Path, inbox: Path) -> None:
    config = config_of(inbox, inbox={"settle": 0})
    shutil.copytree(deliveries / "one", inbox / "one")
    assert [each.state for each in look_and_run(config).outcomes] == ["published"]
    band = next((inbox / "one").glob("*_B3.TIF"))
    import rasterio

    with rasterio.open(band, "r+") as file:
        file.write(file.read() + 1)
    (outcome,) = look_and_run(config).outcomes
    (entry,) = catalog.find(inbox.parent / "archive")
    assert (outcome.state, entry.version) == ("published", "2")


def test_archives_and_pairs_arrive_too_and_other_files_are_left_alone(deliveries: Path, inbox: Path) -> None:
    config = config_of(inbox, inbox={"settle": 0, "patience": 0}, catalog={"acquired": "2024-05-01"})
    arrivals.bundle(deliveries / "one", inbox / "whole.tar")
    cut = arrivals.bundle(deliveries / "two", inbox / "cut.tar")
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 3])
    (inbox / "packed.tar.gz").write_bytes(b"\x1f\x8b" + bytes(600))
    (inbox / "pair").mkdir()
    one = deliveries / "one"
    shutil.copy(next(one.glob("*_B8.TIF")), inbox / "pair" / "some_pan.tif")
    for band in ("B2", "B3", "B4"):
        shutil.copy(next(one.glob(f"*_{band}.TIF")), inbox / "pair" / f"ms_{band.lower()}.tif")
    (inbox / "notes.txt").write_text("hello")
    shutil.copytree(deliveries / "two", inbox / ".hidden")
    shutil.copytree(deliveries / "two", inbox / "two.part")
    outcomes = {each.name: each.state for each in look_and_run(config).outcomes}
    assert outcomes == {"whole": "published", "pair": "published"}
    found = states(config)
    assert found.pop("cut.tar")[0] == "parked"
    assert found.pop("packed.tar.gz") == ("parked", "format")
    assert found == {"whole.tar": ("published", ""), "pair": ("published", "")}


def test_lists_of_checksums(deliveries: Path, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    shutil.copytree(deliveries / "one", folder)
    with pytest.raises(ProductError, match="no list of checksums"):
        check_manifest(str(folder), required=True)
    files = sorted(folder.iterdir())
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in files]
    (folder / "SHA256SUMS").write_text("\n".join(lines) + "\n")
    md5 = [f"{hashlib.md5(path.read_bytes()).hexdigest()} *{path.name}" for path in files[:2]]
    (folder / "some.md5").write_text("\n".join(md5))
    assert check_manifest(str(folder), required=True) == len(files) + 2
    bundle = arrivals.bundle(folder, tmp_path / "one.tar")
    assert check_manifest(str(bundle), required=True) == len(files) + 2
    (tmp_path / "one.tar.sha256").write_text(f"{hashlib.sha256(bundle.read_bytes()).hexdigest()}  one.tar")
    assert check_manifest(str(bundle)) == len(files) + 3
    data = bytearray(files[0].read_bytes())
    data[-1] ^= 1
    files[0].write_bytes(data)
    with pytest.raises(CorruptError, match=r"wanted .* as (SHA256SUMS|some\.md5) says"):
        check_manifest(str(folder))
    files[1].unlink()
    files[0].unlink()
    with pytest.raises(ProductError, match=r"which (SHA256SUMS|some\.md5) names"):
        check_manifest(str(folder))
    (folder / "SHA256SUMS").write_text("not a checksum")
    with pytest.raises(ProductError, match="line 1 is no checksum"):
        check_manifest(str(folder))


def test_two_at_once_make_one_product(deliveries: Path, inbox: Path, tmp_path: Path) -> None:
    config = config_of(inbox, inbox={"settle": 0})
    path = tmp_path / "run.yaml"
    write_json(path, config_to_json(config))
    for name in ("one", "two"):
        shutil.copytree(deliveries / name, inbox / name)
    command = [sys.executable, "-m", "geofuse.cli", "inbox", str(path), "--json", "--no-progress"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    told = [json.loads(child.communicate(timeout=120)[0]) for child in both]
    assert [child.returncode for child in both] == [0, 0]
    ran = [each["state"] for one in told for each in one["ran"]]
    assert ran.count("published") >= 2
    assert set(ran) <= {"published", "running"}
    assert [entry.version for entry in catalog.find(inbox.parent / "archive")] == ["1", "1"]
    assert {row.attempts for row in rows(config)} == {1}


def test_a_died_run_is_taken_up_again_but_not_for_ever(deliveries: Path, inbox: Path) -> None:
    config = config_of(inbox, inbox={"settle": 0, "attempts": 2})
    shutil.copytree(deliveries / "one", inbox / "one")
    (ready,) = scan(config).ready
    with claimed(config, _ref(ready)):
        assert scan(config).ready == ()  # somebody is at it
        assert states(config)["one"] == ("running", "")
    for attempt in (1, 2):
        with ledger(config) as book:  # what a killed process leaves: a row, and a lock that nobody holds
            put(book, LedgerRow(**{**_fields(rows(config)[0]), "state": "running", "attempts": attempt}))
        found = scan(config)
        assert len(found.ready) == (attempt == 1)
    assert (found.parked[0].code, found.parked[0].reason) == ("worker", "its run died 2 times")


def _fields(row: LedgerRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in LedgerRow.__slots__}


def test_a_fault_of_the_storage_is_tried_again_later_then_parked(deliveries: Path, inbox: Path) -> None:
    config = config_of(inbox, inbox={"settle": 0, "attempts": 2}, work={"backoff": 100})
    shutil.copytree(deliveries / "one", inbox / "one")
    (ready,) = scan(config).ready
    folder = job_folder(config, ready.key)
    (folder / "plan.json").mkdir(parents=True)
    assert run_or_tell(config, _ref(ready)).code == "write"
    assert scan(config).ready == ()
    assert states(config)["one"] == ("failed", "write")
    (again,) = scan(config, clock=at(300)).ready
    assert run_or_tell(config, _ref(again)).retry
    assert states(config)["one"] == ("parked", "write")


def test_an_arrival_that_breaks_the_look_does_not_hide_the_others(
    deliveries: Path, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(inbox, inbox={"settle": 0})
    for name in ("one", "two"):
        shutil.copytree(deliveries / name, inbox / name)
    import geofuse.line.sources.inbox as module

    real = module.opened

    def broken(ref: SceneRef) -> Any:
        if ref.name == "one":
            raise ZeroDivisionError("oh")
        return real(ref)

    monkeypatch.setattr(module, "opened", broken)
    found = scan(config)
    assert [row.name for row in found.ready] == ["two"]
    assert [(row.name, row.code) for row in found.parked] == [("one", "internal")]


def test_files_that_changed_since_they_were_found_are_looked_at_again(deliveries: Path, inbox: Path) -> None:
    config = config_of(inbox, inbox={"settle": 0})
    shutil.copytree(deliveries / "one", inbox / "one")
    (ready,) = scan(config).ready
    shutil.copytree(deliveries / "two", inbox / "other")
    for path in (inbox / "one").iterdir():
        path.unlink()
    for path in (inbox / "other").iterdir():
        path.rename(inbox / "one" / path.name)
    (inbox / "other").rmdir()
    assert run_or_tell(config, _ref(ready)).code == "changed"
    assert states(config)["one"] == ("waiting", "changed")
    (again,) = scan(config).ready
    assert again.key != ready.key
    assert run_or_tell(config, _ref(again)).state == "published"


def test_an_unforeseen_fault_parks_its_scene_and_the_others_run(
    deliveries: Path, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(inbox, inbox={"settle": 0})
    for name in ("one", "two"):
        shutil.copytree(deliveries / name, inbox / name)
    import geofuse.line.scene_run as whole

    real = whole.run_stage

    def broken(name: str, config: RunConfig, ref: SceneRef, **more: Any) -> Any:
        if ref.name == "one" and name == "fuse":
            raise ZeroDivisionError("oh")
        return real(name, config, ref, **more)

    monkeypatch.setattr(whole, "run_stage", broken)
    assert [each.state for each in look_and_run(config).outcomes] == ["failed", "published"]
    assert states(config) == {"one": ("parked", "internal"), "two": ("published", "")}


def test_the_command_looks_runs_and_lists(
    deliveries: Path, inbox: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = config_of(inbox, inbox={"settle": 0})
    path = tmp_path / "run.yaml"
    write_json(path, config_to_json(config))
    shutil.copytree(deliveries / "one", inbox / "one")
    assert main(["inbox", str(path), "--look"]) == 0
    assert "1 ready\n  one" in capsys.readouterr().out
    assert main(["inbox", str(path), "--no-progress"]) == 0
    assert "published" in capsys.readouterr().out
    assert main(["inbox", str(path), "--list"]) == 0
    assert "published" in capsys.readouterr().out
    assert main(["inbox", "--catalog", str(tmp_path / "x")]) == 2


def _small_files_only() -> None:
    """Let the disk be full after 100 KB of a file."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def _in_a_child(config: RunConfig, row: LedgerRow, folder: Path, **options: Any) -> subprocess.Popen[bytes]:
    values = config_to_json(config)
    ref = _ref(row)
    values["scene"] = {**values["scene"], "path": ref.path}
    path = folder / f"{row.key}.yaml"
    write_json(path, values)
    command = [sys.executable, "-m", "geofuse.cli", "run", str(path), "--no-progress"]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **options)


def unattended(config: RunConfig, planted: list[arrivals.Planted], folder: Path) -> None:
    """Run the set as an operator's night goes: one disk that is full once, one process that is killed."""
    by_place = {str(each.folder): each for each in planted}
    for row in scan(config).ready:
        fault = by_place[row.source].fault
        if fault == "disk_full":
            child = _in_a_child(config, row, folder, preexec_fn=_small_files_only)
            assert child.wait(120) == 4
        elif fault == "killed":
            child = _in_a_child(config, row, folder)
            while not (job_folder(config, row.key) / "plan.json").exists():
                assert child.poll() is None
                time.sleep(0.005)
            os.kill(child.pid, signal.SIGKILL)
            assert child.wait(60) == -signal.SIGKILL
        else:
            run_or_tell(config, _ref(row))
    again = scan(config)
    assert {by_place[row.source].fault for row in again.ready} == {"disk_full", "killed"}
    for row in again.ready:
        run_or_tell(config, _ref(row))


def check(config: RunConfig, planted: list[arrivals.Planted]) -> None:
    found = {row.source: row for row in rows(config)}
    assert len(found) == len(planted)
    for each in planted:
        row = found[str(each.folder)]
        assert (row.state, row.verdict, row.code) == (each.state, each.verdict, each.code), row.reason
        assert bool(row.reason) == (each.verdict != "PASS")
    assert catalog.find(Path(str(config.catalog.folder))) != []
    published = [each for each in planted if each.state == "published"]
    assert len(catalog.find(Path(str(config.catalog.folder)))) == len(published)


def night(inbox: Path, truth: np.ndarray, good: int) -> None:
    planted = arrivals.planted_set(inbox, truth, good=good)
    config = config_from(
        {
            "inbox": {"folder": str(inbox), "settle": 0, "patience": 0},
            "encode": {"level": 1},
            "work": {"scheduler": "serial", "workers": 1, "retries": 0, "backoff": 0},
            "assess": {"html": False},
            "catalog": {"folder": str(inbox.parent / "archive")},
        }
    )
    unattended(config, planted, inbox.parent)
    check(config, planted)
    assert scan(config).ready == ()


def test_eight_faults_among_good_scenes_end_unattended_with_the_right_verdicts(
    inbox: Path, truth: np.ndarray
) -> None:
    night(inbox, truth, good=2)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_forty_scenes_with_eight_faults_end_unattended_with_the_right_verdicts(
    inbox: Path, truth: np.ndarray
) -> None:
    night(inbox, truth, good=32)


def test_what_is_parked_is_a_geofuse_error_with_a_code(truth: np.ndarray, tmp_path: Path) -> None:
    from geofuse.line.scene_ref import opened

    folder = arrivals.deliver(tmp_path / "bad", truth, 3, side=256, fault="truncated")
    with pytest.raises(GeofuseError) as caught:
        opened(SceneRef("bad", str(folder)))
    assert caught.value.code == "corrupt"
