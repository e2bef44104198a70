"""A package of its own adds a method, a network and a metric: installed, used from the command line, named, gone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import geofuse
from geofuse.cli import main
from geofuse.errors import PluginError
from geofuse.landscape.camera import Camera, make_truth
from geofuse.nets.weights import load_weights
from geofuse.quality.simulated_pair import SimulatedPair, write_pair
from geofuse.tables import check_plugins, plugins_in

ROOT = Path(__file__).resolve().parents[1]
CAMERA = Camera(mtf_gains=(0.3,) * 4, pan_weights=(0.15, 0.3, 0.3, 0.2), ratio=4.0, noise_sigma=1.0)
NAMES = {
    "readers": "sample",
    "sensors": "samplesat",
    "methods": "sample-detail",
    "networks": "sample-net",
    "metrics": "sample_bias",
}
TRAINING = """\
name: sample
method: sample-net
network: {ratio: 4, settings: {sample_width: 6}}
data:
  simulated: {scenes: 2, held: 1, size_cpx: 64}
schedule: {steps: 20, rate: 3.0e-3, judge_every: 10, save_every: 10, crop_cpx: 16, batch: 4, average: 0.9}
folder: sample
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, installed by pip into a folder of its own, offline."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(
        ROOT / "tests" / "plugin", folder / "source", ignore=shutil.ignore_patterns("__pycache__")
    )
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index", "--no-build-isolation", "--target", str(folder / "site")]
    subprocess.run([*pip, *offline, "./source"], cwd=folder, check=True, capture_output=True)
    return folder / "site"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Let no module of the package outlive a test: the next may bring another."""
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "geofuse_sample"]:
        del sys.modules[name]


@pytest.fixture
def site(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(installed)
    return installed


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> SimulatedPair:
    truth = make_truth(512, rng=np.random.default_rng(8))
    return write_pair(tmp_path_factory.mktemp("pair"), truth, CAMERA, slant_deg=0.0, seed=8)


def fuse(pair: SimulatedPair, out: Path, *more: str) -> int:
    images = ["--pan", str(pair.pan), "--ms", str(pair.ms)]
    return main(["fuse", *images, "--out", str(out), "--no-progress", "--workers", "1", *more])


def bump(installed: Path, folder: Path, version: str) -> Path:
    """Lay the package into a folder as another version of it."""
    shutil.copytree(installed, folder)
    about = next(folder.glob("*.dist-info"))
    text = (about / "METADATA").read_text().replace("Version: 0.1", f"Version: {version}")
    (about / "METADATA").write_text(text)
    return folder


def test_it_is_listed_with_package_and_version(installed: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{installed}"}
    command = [sys.executable, "-m", "geofuse.cli", "plugins", "--json"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    rows = [row for row in json.loads(done.stdout)["rows"] if row["package"] == "geofuse-sample"]
    assert {row["table"]: row["name"] for row in rows} == NAMES
    assert {(row["version"], row["fault"]) for row in rows} == {("0.1", None)}


def test_what_is_broken_is_listed_with_the_reason_and_stops_nothing_else(
    installed: Path,
    pair: SimulatedPair,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = bump(installed, tmp_path / "broken", "0.9")
    (folder / "geofuse_sample" / "method.py").write_text("raise ImportError('half a file')\n")
    monkeypatch.syspath_prepend(folder)
    assert main(["plugins"]) == 0
    said = capsys.readouterr().out
    assert "geofuse-sample 0.9  broken" in said
    assert "'sample-detail' of geofuse-sample 0.9 cannot be loaded: ImportError: half a file" in said
    assert fuse(pair, tmp_path / "sharp.tif", "--method", "sample-detail") == 2
    assert "[plugin]" in capsys.readouterr().err
    assert main(["methods"]) == 0  # the others can be chosen
    listed = capsys.readouterr().out
    assert "sample-net" in listed
    assert "sample-detail" not in listed
    assert "left out: method 'sample-detail' of geofuse-sample 0.9" in caplog.text


def test_its_method_fuses_and_its_metric_judges(site: Path, pair: SimulatedPair, tmp_path: Path) -> None:
    out = tmp_path / "sharp.tif"
    assert fuse(pair, out, "--method", "sample-detail", "--no-calibrate") == 0
    record = json.loads(out.with_suffix(".json").read_text())
    assert record["method"]["name"] == "sample-detail"
    named = {"table": "methods", "name": "sample-detail", "package": "geofuse-sample", "version": "0.1"}
    assert record["plugins"] == [named]
    images = ["--pan", str(pair.pan), "--ms", str(pair.ms)]
    folder = ["--methods", "exp,sample-detail", "--back-projections", "0", "--out", str(tmp_path / "bench")]
    assert main(["bench", *images, *folder, "--no-calibrate", "--no-progress"]) == 0
    found = json.loads((tmp_path / "bench" / "bench.json").read_text())
    assert {row["method"] for row in found["rows"]} == {"exp", "sample-detail"}
    assert all(np.isfinite(row["sample_bias"]) for row in found["rows"])
    assert found["metrics"]["sample_bias"]["package"] == "geofuse-sample"


def test_its_network_learns_and_fuses(
    site: Path, pair: SimulatedPair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    (tmp_path / "sample.yaml").write_text(TRAINING)
    assert main(["train", str(tmp_path / "sample.yaml"), "--no-progress", "--device", "cpu"]) == 0
    weights = tmp_path / "sample" / "sample.safetensors"
    card = load_weights(weights)[1]
    assert card.origin == {"package": "geofuse-sample", "version": "0.1"}
    assert card.spec["width"] == 6
    out = tmp_path / "sharp.tif"
    assert fuse(pair, out, "--method", "sample-net", "--network", str(weights), "--device", "cpu") == 0
    assert json.loads(out.with_suffix(".json").read_text())["method"]["name"] == "sample-net"
    capsys.readouterr()
    assert main(["export", str(weights), "--out", str(tmp_path / "net.onnx")]) == 2
    assert "the network sample-net of geofuse-sample 0.1 has no export" in capsys.readouterr().err
    sys.path.remove(str(site))
    assert fuse(pair, out, "--method", "pan-gan-ms", "--network", str(weights), "--device", "cpu") == 2
    said = capsys.readouterr().err
    assert "'sample-net' here: it is from geofuse-sample 0.1, which is not installed" in said
    assert main(["train", str(tmp_path / "sample.yaml"), "--no-progress"]) == 2
    assert "there is no network 'sample-net'" in capsys.readouterr().err


def test_another_version_is_another_product_and_a_missing_one_is_named(
    installed: Path,
    pair: SimulatedPair,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "sharp.tif"
    plain = ("--method", "sample-detail", "--no-calibrate")
    with monkeypatch.context() as first:
        first.syspath_prepend(installed)
        assert fuse(pair, out, *plain) == 0
        assert fuse(pair, out, *plain) == 0  # the same again: nothing is done
        assert main(["plugins", "--needed-by", str(out)]) == 0
        assert "methods: sample-detail (geofuse-sample 0.1)" in capsys.readouterr().out
    record = json.loads(out.with_suffix(".json").read_text())
    assert main(["plugins", "--needed-by", str(out)]) == 2
    said = "method 'sample-detail' is from geofuse-sample 0.1, which is not installed"
    assert said in capsys.readouterr().err
    assert fuse(pair, out, *plain) == 2
    assert "there is no method 'sample-detail'" in capsys.readouterr().err
    with pytest.raises(PluginError, match=said):
        geofuse.fuse(str(pair.pan), str(pair.ms), params=record)
    monkeypatch.syspath_prepend(bump(installed, tmp_path / "newer", "0.2"))
    assert fuse(pair, out, *plain) == 2
    assert "[exists]" in capsys.readouterr().err
    assert fuse(pair, tmp_path / "other.tif", *plain) == 0
    newer = json.loads((tmp_path / "other.json").read_text())
    assert newer["plugins"][0]["version"] == "0.2"
    assert newer["fingerprint"] != record["fingerprint"]
    assert newer["assets"]["data"]["sha256"] == record["assets"]["data"]["sha256"]
    with pytest.raises(PluginError, match=r"from geofuse-sample 0\.1, 0\.2 is installed"):
        check_plugins(plugins_in(record))


def test_its_reader_opens_its_deliveries_and_its_sensor_says_what_they_are(
    site: Path, pair: SimulatedPair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "delivery"
    folder.mkdir()
    shutil.copy(pair.pan, folder / "S1_fine.tif")
    assert main(["inspect", str(folder)]) == 2
    assert "1 files; wanted ID_fine.tif and ID_coarse.tif" in capsys.readouterr().err
    shutil.copy(pair.ms, folder / "S1_coarse.tif")
    out = tmp_path / "sharp.tif"
    command = ["fuse", str(folder), "--method", "sample-detail", "--no-calibrate", "--no-progress"]
    assert main([*command, "--out", str(out)]) == 0
    record = json.loads(out.with_suffix(".json").read_text())
    assert (record["scene"]["id"], record["scene"]["sensor"]) == ("S1", "samplesat")
    assert {one["table"] for one in record["plugins"]} == {"readers", "sensors", "methods"}
    assert record["parameters"]["bands"] == ["blue", "green", "red"]
    capsys.readouterr()
    sys.path.remove(str(site))
    assert main(["plugins", "--needed-by", str(out)]) == 2
    assert "reader 'sample' is from geofuse-sample 0.1, which is not installed" in capsys.readouterr().err
    assert main([*command, "--out", str(out)]) == 2
    assert "[scene]" in capsys.readouterr().err
