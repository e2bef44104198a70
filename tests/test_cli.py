"""The command line as people and schedulers use it: output, errors, exit statuses."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from geofuse import errors
from geofuse.cli import main
from geofuse.methods.table import METHODS, NETWORKS
from geofuse.quality.simulated_pair import SimulatedPair


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run geofuse in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "geofuse.cli", *arguments], capture_output=True, text=True, check=False
    )


def pair_options(pair: SimulatedPair) -> list[str]:
    return ["--pan", str(pair.pan), "--ms", str(pair.ms)]


def test_help_comes_at_once() -> None:
    best = 9.0
    for _ in range(5):
        begun = time.perf_counter()
        done = run("--help")
        best = min(best, time.perf_counter() - begun)
        assert done.returncode == 0
        assert "fuse" in done.stdout
    assert best < 0.3


def test_every_command_explains_itself_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("fuse", "plan", "inspect", "methods", "verify", "demo"):
        with pytest.raises(SystemExit) as stop:
            main([command, "--help"])
        assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "geofuse fuse LC" in text


@pytest.mark.parametrize(
    ("arguments", "code", "status", "says"),
    [
        (["fuse", "--out", "x.tif"], "usage", 2, "SCENE"),
        (["fuse", "nowhere", "--out", "x.tif"], "", 2, "nowhere"),
        (["fuse", "PAIR", "--out", "x.tif", "--method", "gsaa"], "method", 2, "did you mean gsa"),
        (["fuse", "PAIR", "--out", "x.tif", "--bands", "rde"], "band", 2, "red"),
        (["fuse", "PAIR", "--out", "x.tif", "--tile", "700"], "usage", 2, "--tile 512"),
        (["fuse", "PAIR", "--out", "x.tif", "--workers", "0"], "usage", 2, "1 or more"),
        (["fuse", "PAIR", "--out", "x.tif", "--back-projections", "-1"], "usage", 2, "0 or more"),
        (["fuse", "PAIR", "--out", "x.tif", "--memory", "5x"], "usage", 2, "4GiB"),
        (["fuse", "PAIR", "--out", "x.tif", "--memory", "100MB"], "memory", 3, "smaller --tile"),
        (["fuse", "PAIR", "--out", "x.tif", "--compress", "zip"], "usage", 2, "zstd"),
        (["fuse", "PAIR", "--out", "x.tif", "--no-calibrate", "--scheduler", "moon"], "usage", 2, "threads"),
        (
            ["fuse", "PAIR", "--out", "x.tif", "--no-calibrate", "--scheduler", "tcp://127.0.0.1:9"],
            "worker",
            4,
            "scheduler",
        ),
        (["fuse", "PAIR", "--out", "none/x.tif"], "write", 4, "folder"),
        (["fuse", "PAIR", "--out", "x.tif", "--window", "0", "0", "0", "5"], "area", 2, ""),
        (["fuse", "PAIR", "--out", "x.tif", "--bbox", "1", "1", "2", "2"], "area", 2, ""),
        (["fuse", "PAIR", "--out", "x.tif", "--method", "brovey", "--weights", "1,2"], "usage", 2, "4 bands"),
        (["fuse", "PAIR", "--out", "x.tif", "--weights", "1,2,3,4"], "usage", 2, "method brovey"),
        (["fuse", "PAIR", "--out", "x.tif", "--memory=-4g"], "usage", 2, "-4g"),
        (["fuse", "PAIR", "nowhere", "--out", "x.tif"], "usage", 2, "SCENE together with --pan"),
        (
            ["fuse", "PAIR", "--out", "x.tif", "--level", "3", "--level", "4"],
            "usage",
            2,
            "--level a second time",
        ),
        (
            ["fuse", "PAIR", "--out", "x.tif", "--compress", "none", "--level", "9"],
            "usage",
            2,
            "--compress zstd",
        ),
        (["fuse", "PAIR", "--out", "x.tif", "--force", "--no-calibrate"], "usage", 2, "no --no-calibrate"),
        (["fuse", "PAIR", "--out", "x.tif", "--work", "w"], "usage", 2, "s3://"),
        (["plan", "PAIR", "--method", "gsa", "--network", "no.safetensors"], "usage", 2, "pan-gan"),
        (["plan", "PAIR", "--method", "gsa", "--device", "cuda:7"], "usage", 2, "pan-gan"),
        (["plan", "PAIR", "--work", "w"], "usage", 2, "without --out"),
        (["assess", "x.tif", "PAIR", "--window", "0", "0", "9", "9"], "usage", 2, "its own area"),
        (["accept", "--catalog", "x", "--by", "me"], "usage", 2, "--by without ID"),
        (["up", "--no-page", "--page-port", "0"], "usage", 2, "--page-port with --no-page"),
        (["clip", "x.tif", "--gamma", "2", "--out", "y.tif"], "usage", 2, "a stretch with format cog"),
        (["clip", "x.tif", "--licensed", "--out", "y.tif"], "usage", 2, "--licensed with a product's file"),
        (["run", "pair", "--scene", "a", "--pan", "b"], "usage", 2, "--scene together with --pan"),
        (
            ["bench", "PAIR", "--methods", "auto", "--back-projections", "1", "--out", "b"],
            "usage",
            2,
            "auto alone",
        ),
        (["simulate", "PAIR", "--noise", "1", "--out", "d"], "usage", 2, "--noise with a scene"),
        (["fuse", "PAIR", "--out", "x.tif", "--teil", "512"], "usage", 2, "--help"),
        (["fly"], "usage", 2, "fuse"),
        (["verify", "nothing.tif"], "verify", 2, "no such product"),
        (["demo", "--size", "100"], "usage", 2, "256"),
    ],
)
def test_faults_are_one_line_with_code_and_status(
    pair: SimulatedPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], code: str, status: int, says: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    given = [part for word in arguments for part in (pair_options(pair) if word == "PAIR" else [word])]
    assert main(given) == status
    text = capsys.readouterr().err
    assert text.startswith(f"geofuse: error [{code}" if code else "geofuse: error [")
    assert text.count("\n") == 1
    assert says in text
    assert not list(tmp_path.glob("*.tif"))


def test_json_is_one_object_and_nothing_else(pair: SimulatedPair, tmp_path: Path) -> None:
    out = tmp_path / "x.tif"
    commands = [
        ["fuse", *pair_options(pair), "--out", str(out), "--json", "--level", "1", "--no-calibrate"],
        ["plan", *pair_options(pair), "--json"],
        ["inspect", *pair_options(pair), "--json"],
        ["methods", "--json"],
        ["verify", str(out), "--json"],
    ]
    for command in commands:
        done = run(*command)
        assert done.returncode == 0, done.stderr
        assert isinstance(json.loads(done.stdout), dict)
        assert done.stderr == "", "no bar where nobody looks"


def test_methods_lists_all_with_paper_and_family(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [method["name"] for method in listed["methods"]] == [*METHODS, *NETWORKS]
    assert all(method["paper"] and method["family"] and method["ratios"] for method in listed["methods"])
    assert main(["methods"]) == 0
    assert "mtf-glp-hpm-r" in capsys.readouterr().out


def test_plan_reads_no_pixels(
    pair: SimulatedPair, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import geofuse.run.patch_reading as patches

    def refuse(*arguments: object) -> None:
        raise AssertionError("pixels were read")

    monkeypatch.setattr(patches, "read_window", refuse)
    assert main(["plan", *pair_options(pair), "--tile", "512", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tiles"] == 9
    assert found["grid"]["height"] == found["grid"]["width"] == 1280
    assert found["axis_y"] == {"scale": 0.25, "offset": -0.375}
    assert found["bytes_in_memory"] > found["workers"] * found["bytes_per_task"] > 0
    assert main(["plan", *pair_options(pair)]) == 0
    assert "9 of" not in capsys.readouterr().out


def test_inspect_shows_bands_grids_and_radiometry(landsat: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(landsat)]) == 0
    text = capsys.readouterr().out
    for word in ("landsat8", "B5", "WGS 84 / UTM zone 16N", "2e-05 * DN -0.1", "0.5 * fine -0.5"):
        assert word in text
    assert main(["inspect", str(landsat), "--json", "--window", "10", "20", "30", "40"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["area_px"] == [10, 40, 20, 60]
    assert found["default_bands"] == ["blue", "green", "red", "nir"]


def test_the_plan_shrinks_the_tile_to_the_memory_but_never_an_asked_one(
    pair: SimulatedPair, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["plan", *pair_options(pair), "--workers", "2", "--json"]
    assert main([*command, "--memory", "2GiB"]) == 0
    large = json.loads(capsys.readouterr().out)
    assert main([*command, "--memory", str(large["bytes_in_memory"] - 1)]) == 0
    assert json.loads(capsys.readouterr().out)["tile_px"] < large["tile_px"]
    assert (
        main([*command, "--memory", str(large["bytes_in_memory"] - 1), "--tile", str(large["tile_px"])]) == 3
    )


def test_too_small_a_disk_is_refused_before_reading(
    pair: SimulatedPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    assert main(["fuse", *pair_options(pair), "--no-calibrate", "--out", str(tmp_path / "x.tif")]) == 3
    assert "[disk]" in capsys.readouterr().err
    assert main(["plan", *pair_options(pair), "--out", str(tmp_path / "x.tif")]) == 3


def test_every_fault_has_a_stable_code_and_survives_a_process_border() -> None:
    import pickle

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert {kind.exit_status for kind in kinds} == {2, 3, 4}
    for kind in kinds:
        fault = kind("found", wanted="w", do="d", path="p")
        again = pickle.loads(pickle.dumps(fault))
        assert type(again) is kind
        assert str(again) == str(fault) == "p: found; wanted w; d"
