"""`geofuse train` for real: a tiny network learns, its weights load back, and a scene fused with them is whole."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from geofuse.cli import main  # noqa: E402
from geofuse.demo import CAMERA  # noqa: E402
from geofuse.files import sha256_of  # noqa: E402
from geofuse.landscape.camera import make_truth  # noqa: E402
from geofuse.nets.weights import load_weights, read_card  # noqa: E402
from geofuse.quality.scoring import read_raster  # noqa: E402
from geofuse.quality.simulated_pair import SimulatedPair, write_pair  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
TINY = """\
name: tiny
method: pan-gan-ms
network: {ratio: 4, width: 12, trunk: 1, blocks: 1}
data:
  simulated: {scenes: 4, held: 2, size_cpx: 64}
schedule: {steps: 200, rate: 3.0e-3, judge_every: 100, save_every: 50, crop_cpx: 16, batch: 4, average: 0.98}
folder: tiny
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("learning")
    (folder / "tiny.yaml").write_text(TINY)
    assert main(["train", str(folder / "tiny.yaml"), "--no-progress", "--device", "cpu"]) == 0
    return folder


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> SimulatedPair:
    folder = tmp_path_factory.mktemp("scene")
    truth = make_truth(512, rng=np.random.default_rng(11))
    return write_pair(folder, truth, CAMERA, slant_deg=0.0, seed=1)


def test_a_tiny_network_learns(tiny: Path) -> None:
    card = read_card(tiny / "tiny" / "tiny.safetensors")
    curve = card.training["curve"]
    assert [row["step"] for row in curve] == [100, 200]
    assert curve[1]["error"] < curve[0]["error"]
    assert all(value < 1.0 for value in card.training["scores"].values())
    assert curve[1]["held_out"] < 0.99
    assert len(card.training["scores"]) == 2
    net, again = load_weights(tiny / "tiny" / "tiny.safetensors")
    assert again == card
    assert net.spec.width == 12
    beside = json.loads((tiny / "tiny" / "tiny.json").read_text())
    assert beside["training"]["data"][0]["license"] == "Apache-2.0"
    assert beside["sha256"] == card.sha256
    assert {path.name for path in (tiny / "tiny" / "samples").iterdir()} == {"0000100.png", "0000200.png"}
    assert str(tiny) not in json.dumps(beside)


def test_the_same_command_again_keeps_the_weights(tiny: Path) -> None:
    path = tiny / "tiny" / "tiny.safetensors"
    before = path.read_bytes()
    assert main(["train", str(tiny / "tiny.yaml"), "--no-progress", "--device", "cpu"]) == 0
    assert load_weights(path)[1].sha256 == read_card(path).sha256
    after = load_weights(path)[0].state_dict()
    path.write_bytes(before)
    assert all(torch.equal(value, after[name]) for name, value in load_weights(path)[0].state_dict().items())


def test_a_changed_configuration_is_refused_and_then_begins_anew(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = tiny / "changed.yaml"
    changed.write_text(TINY.replace("3.0e-3", "1.0e-3").replace("steps: 200", "steps: 4"))
    assert main(["train", str(changed), "--no-progress", "--device", "cpu"]) == 2
    assert "[exists]" in capsys.readouterr().err


def test_a_scene_is_fused_with_the_trained_weights(tiny: Path, scene: SimulatedPair, tmp_path: Path) -> None:
    out = tmp_path / "sharp.tif"
    weights = str(tiny / "tiny" / "tiny.safetensors")
    command = ["fuse", "--pan", str(scene.pan), "--ms", str(scene.ms), "--method", "pan-gan-ms"]
    assert main([*command, "--network", weights, "--device", "cpu", "--out", str(out), "--no-progress"]) == 0
    record = json.loads(out.with_suffix(".json").read_text())
    assert record["parameters"]["network"]["sha256"]
    fused, valid = read_raster(out)
    assert fused.shape == (4, 512, 512)
    assert valid.all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("network: {ratio: 4, widht: 12, trunk: 1, blocks: 1}", "did you mean width"),
        ("network: {ratio: 9, width: 12, trunk: 1, blocks: 1}", "network.ratio: 9"),
    ],
)
def test_configurations_are_checked_at_the_door(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, said: str
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(TINY.replace("network: {ratio: 4, width: 12, trunk: 1, blocks: 1}", change))
    assert main(["train", str(bad)]) == 2
    error = capsys.readouterr().err
    assert "[config]" in error
    assert said in error


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "configs" / "train").glob("*.yaml")), ids=str
)
def test_the_configurations_that_come_along_are_whole(path: Path) -> None:
    from geofuse.config import load_training

    config = load_training(path)
    assert config.name == path.stem
    assert config.data.scenes[0].credit


def test_adapting_is_judged_on_what_it_did_not_learn_from(
    tiny: Path, scene: SimulatedPair, tmp_path: Path
) -> None:
    from geofuse.learn.adapt import SCHEDULE, adapt
    from geofuse.quality.simulated_pair import open_simulated
    from geofuse.run.plans.request import make_request

    out = tmp_path / "own.safetensors"
    short = replace(SCHEDULE, steps=60, judge_every=20)
    start = str(tiny / "tiny" / "tiny.safetensors")
    made = adapt(open_simulated(scene), make_request(), out, weights=start, schedule=short)
    told = read_card(out).training["adapted"]
    assert told["bands"] == ["blue", "green", "red", "nir"]
    assert len(told["shares"]) == 4
    assert all(0.0 <= share <= 1.0 for share in told["shares"])
    assert told["gate"]["gain"] >= told["gain_before"]
    assert made.sha256 == sha256_of(out)
    assert told["steps"] <= 60
    written = out.stat().st_mtime_ns
    again = adapt(open_simulated(scene), make_request(), out, weights=start, schedule=short)
    assert again.sha256 == made.sha256
    assert out.stat().st_mtime_ns == written  # taken over, not learnt again


def test_fuse_adapts_and_records_it(tiny: Path, scene: SimulatedPair, tmp_path: Path) -> None:
    out = tmp_path / "sharp.tif"
    command = ["fuse", "--pan", str(scene.pan), "--ms", str(scene.ms), "--method", "pan-gan-ms", "--adapt"]
    command += ["--network", str(tiny / "tiny" / "tiny.safetensors"), "--device", "cpu", "--no-progress"]
    assert main([*command, "--out", str(out)]) == 0
    record = json.loads(out.with_suffix(".json").read_text())
    weights = tmp_path / "sharp.network.safetensors"
    assert any("adapted to the scene" in warning for warning in record["warnings"])
    told = read_card(weights).training["adapted"]
    assert told["gate"]["blocks"] >= 4
    if told["used"] and record["method"]["name"] == "pan-gan-ms":
        assert record["parameters"]["network"]["sha256"] == sha256_of(weights)
    else:
        assert record["method"]["name"] == "ridge"
    before = weights.stat().st_mtime_ns
    assert main([*command, "--out", str(out)]) == 0  # the same product is there: nothing is done again
    assert weights.stat().st_mtime_ns == before


def test_adapt_says_what_does_not_fit(
    scene: SimulatedPair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong.safetensors"
    wrong.write_bytes(b"\x80\x04K\x01.")
    command = ["adapt", "--pan", str(scene.pan), "--ms", str(scene.ms), "--weights", str(wrong)]
    assert main([*command, "--out", str(tmp_path / "out.safetensors")]) == 2
    assert "a pickle" in capsys.readouterr().err
    assert not (tmp_path / "out.safetensors").exists()


PAN_GAN = """\
name: tiny-gan
method: pan-gan
network: {{ratio: 4, bands: [blue, green, red, nir], first: 8, second: 8, residual: true}}
data:
  scenes:
    - scene: {{pan: {pan}, ms: [{ms}]}}
      credit: drawn by geofuse
      license: Apache-2.0
losses: {{form: matched}}
schedule: {{steps: 30, rate: 1.0e-3, judge_every: 15, warm: 2, crop_cpx: 16, batch: 2, average: 0.9}}
folder: gan
"""


def test_pan_gan_learns_without_a_reference_and_fuses(scene: SimulatedPair, tmp_path: Path) -> None:
    (tmp_path / "gan.yaml").write_text(PAN_GAN.format(pan=scene.pan, ms=scene.ms))
    assert main(["train", str(tmp_path / "gan.yaml"), "--no-progress", "--device", "cpu"]) == 0
    weights = tmp_path / "gan" / "tiny-gan.safetensors"
    card = load_weights(weights)[1]
    assert card.bands == ("blue", "green", "red", "nir")
    assert card.training["scores"][next(iter(card.training["scores"]))] < 1.0
    assert (tmp_path / "gan" / "curve.svg").read_text().startswith("<svg")
    out = tmp_path / "sharp.tif"
    command = ["fuse", "--pan", str(scene.pan), "--ms", str(scene.ms), "--method", "pan-gan"]
    command += ["--network", str(weights), "--device", "cpu", "--no-progress", "--out", str(out)]
    assert main(command) == 0
    assert json.loads(out.with_suffix(".json").read_text())["method"]["name"] == "pan-gan"


def _trained(folder: Path, *, launcher: list[str], kill_after: int | None = None) -> None:
    """Run `geofuse train` in processes of its own; kill it once a checkpoint of that step is there."""
    command = [
        sys.executable,
        *launcher,
        "-m",
        "geofuse.cli",
        "train",
        str(folder / "tiny.yaml"),
        "--no-progress",
    ]
    environment = {
        "PATH": "/usr/bin:/bin",
        "OMP_NUM_THREADS": "1",
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
    }
    running = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    if kill_after is None:
        _, errors = running.communicate(timeout=500)
        assert running.returncode == 0, errors[-2000:]
        return
    while running.poll() is None:
        path = folder / "tiny" / "checkpoint.json"
        if path.exists() and json.loads(path.read_text())["step"] >= kill_after:
            break
        time.sleep(0.01)
    running.kill()
    running.communicate()
    assert not (folder / "tiny" / "tiny.safetensors").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for place in (whole, killed):
        place.mkdir()
        (place / "tiny.yaml").write_text(TINY)
    _trained(whole, launcher=[])
    _trained(killed, launcher=[], kill_after=50)
    _trained(killed, launcher=[])
    weights = [load_weights(place / "tiny" / "tiny.safetensors")[1] for place in (whole, killed)]
    assert weights[0].sha256 == weights[1].sha256
    assert weights[0].training["curve"] == weights[1].training["curve"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_train_together(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    _trained(tmp_path, launcher=["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"])
    card = read_card(tmp_path / "tiny" / "tiny.safetensors")
    alone = read_card(tiny / "tiny" / "tiny.safetensors")
    assert card.training["processes"] == 2
    for name, value in alone.training["scores"].items():
        assert card.training["scores"][name] == pytest.approx(value, abs=2e-3)


def test_real_scenes_are_learnt_from_reduced_and_before_cameras(scene: SimulatedPair, tmp_path: Path) -> None:
    text = TINY.replace(
        "  simulated: {scenes: 4, held: 2, size_cpx: 64}", "  simulated: {scenes: 0, held: 0}"
    )
    real = (
        f"  scenes:\n    - scene: {{pan: {scene.pan}, ms: [{scene.ms}]}}\n      credit: drawn by geofuse\n"
        "      license: Apache-2.0\n      cameras: 1\n      hold_out: 0.25\n"
    )
    text = text.replace("schedule:", real + "schedule:").replace("steps: 200", "steps: 3")
    (tmp_path / "real.yaml").write_text(text.replace("crop_cpx: 16", "crop_cpx: 10"))
    assert main(["train", str(tmp_path / "real.yaml"), "--no-progress", "--device", "cpu"]) == 0
    told = read_card(tmp_path / "tiny" / "tiny.safetensors").training
    assert [row["origin"] for row in told["data"]] == ["reduced", "reduced", "camera"]
    assert [row["held"] for row in told["data"]] == [False, True, False]
    assert len(told["scores"]) == 1
    assert str(tmp_path) not in json.dumps(told)
