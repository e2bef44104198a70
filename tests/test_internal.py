"""Faults nobody foresaw: one line, exit status 70, a report; whatever stage they come from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from geofuse.cli import main
from geofuse.errors import GeofuseError
from geofuse.internal import foreseen
from geofuse.quality.simulated_pair import SimulatedPair

STAGES = (
    "geofuse.rasters.opening.sniffing.opened",
    "geofuse.scenes.relating.has_pixel_size",
    "geofuse.run.fuse.read_patch",
    "geofuse.run.engine.encode_tile",
    "geofuse.run.engine.assemble",
    "geofuse.run.engine.quicklook",
)


def boom(*_: object, **__: object) -> NoReturn:
    raise RuntimeError("a thing\nnobody thought of")


def fuse(pair: SimulatedPair, out: Path) -> int:
    words = ["fuse", "--pan", pair.pan, "--ms", pair.ms, "--out", out, "--method", "gsa", "--no-calibrate"]
    return main([*map(str, words), "--no-progress"])


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "reports"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.mark.parametrize("stage", STAGES)
def test_a_fault_of_our_own_is_a_line_and_a_report(
    stage: str,
    pair: SimulatedPair,
    tmp_path: Path,
    reports: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(stage, boom)
        assert fuse(pair, tmp_path / "o.tif") == 70
    said = capsys.readouterr().err.strip().splitlines()
    told = [line for line in said if "error" in line]
    assert len(told) == 1
    assert told[0].startswith("geofuse: error [internal] RuntimeError: a thing nobody thought of; wanted")
    (report,) = reports.iterdir()
    assert str(report) in told[0]
    text = report.read_text()
    assert "Traceback" in text
    assert "numba" in text
    assert not (tmp_path / "o.tif").exists()
    assert fuse(pair, tmp_path / "o.tif") == 0  # nothing that is left stands in the way


def test_a_fault_of_the_system_has_its_name(
    pair: SimulatedPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def denied(*_: object, **__: object) -> NoReturn:
        raise PermissionError(13, "Permission denied", str(tmp_path / "secret"))

    monkeypatch.setattr("geofuse.scenes.relating.has_pixel_size", denied)
    monkeypatch.setattr("geofuse.run.calibrating.make_plan", denied)
    assert fuse(pair, tmp_path / "o.tif") == 4
    said = capsys.readouterr().err
    assert said.startswith(f"geofuse: error [read] {tmp_path / 'secret'}: permission denied")
    assert len(said.splitlines()) == 1


def test_no_report_where_nothing_can_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    told = foreseen(ValueError("x"))
    assert told.code == "internal"
    assert "no report could be written" in str(told)
    assert isinstance(foreseen(told), GeofuseError)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be a user who may not read everything, where the tests run as root."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_what_may_not_be_read_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path / "none.tif")]) == 2  # what is imported when needed is there before
    capsys.readouterr()
    folder = tmp_path / "closed"
    folder.mkdir()
    (folder / "o.json").write_text(json.dumps({}))
    folder.chmod(0)
    try:
        with as_nobody():
            assert main(["verify", str(folder / "o.tif")]) == 4
    finally:
        folder.chmod(0o755)
    said = capsys.readouterr().err
    assert "permission denied" in said
    assert said.count("\n") == 1
