"""A network fuses a scene from the command line: the same bytes for any tiles and workers, refusals at plan time."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from geofuse.cli import main
from geofuse.nets.weights import Card, save_weights
from geofuse.quality.simulated_pair import SimulatedPair

torch = pytest.importorskip("torch")
models = pytest.importorskip("geofuse.nets.arch.ms_residual")

WINDOW = ("--window", "100", "80", "640", "700")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that adds a little at random."""
    torch.manual_seed(6)
    spec = models.MsSpec(4, width=8, blocks=1, trunk=1)
    net = models.MsGenerator(spec)
    torch.nn.init.normal_(net.leave.weight, std=0.05)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, net, Card("tiny", "pan-gan-ms", asdict(spec), 4, net.halo))
    return path


def fuse(pair: SimulatedPair, out: Path, weights: Path, *more: str) -> int:
    return main(
        [
            *("fuse", "--pan", str(pair.pan), "--ms", str(pair.ms), "--out", str(out), *WINDOW),
            *("--method", "pan-gan-ms", "--network", str(weights), "--no-progress", *more),
        ]
    )


def record_of(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(out.with_suffix(".json").read_text())
    return found


def test_tiles_and_workers_do_not_change_a_byte(
    pair: SimulatedPair, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = ("--no-calibrate", "--back-projections", "2")
    first, second = tmp_path / "a.tif", tmp_path / "b.tif"
    assert fuse(pair, first, weights, *plain, "--tile", "512", "--workers", "2") == 0
    moved = tmp_path / "elsewhere.safetensors"
    moved.write_bytes(weights.read_bytes())
    assert fuse(pair, second, moved, *plain, "--tile", "1024", "--workers", "1") == 0
    assert first.read_bytes() == second.read_bytes()
    record = record_of(first)
    network = record["parameters"]["network"]
    assert network["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert network["device"] == "cpu"
    assert network["measured"]["precision"] == network["precision"]
    assert record["fingerprint"] == record_of(second)["fingerprint"]
    capsys.readouterr()
    assert fuse(pair, first, weights, *plain) == 0  # there already: nothing is done
    assert main(["verify", str(first)]) == 0


def test_the_gate_gives_ridge_where_nothing_is_gained(
    pair: SimulatedPair, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "gated.tif"
    assert fuse(pair, out, weights) == 0
    record = record_of(out)
    assert record["method"]["name"] == "ridge"
    gate = record["calibration"]["gate"]
    assert not gate["used"]
    assert gate["shares"] == [0.0] * 4
    assert len(gate["unsupported"]) == len(gate["unsupported_bound"]) == 4
    assert any("does not gain on ridge + back-projection" in note for note in record["warnings"])


REFUSED = {
    "pan-gan-ms at ratio 4.016": ("--method", "pan-gan-ms"),
    "wanted auto, cpu, cuda or cuda:N": ("--method", "pan-gan-ms", "--device", "gpu"),
    "nothing: no such weights": ("--method", "pan-gan", "--network", "nothing"),
    "a network's weights are named with --network": ("--weights", "some.safetensors"),
}


def test_refusals_are_one_line_and_read_no_pixel(
    pair: SimulatedPair, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import rasterio

    skewed = tmp_path / "skewed.tif"
    with rasterio.open(pair.ms) as source:
        profile, values = source.profile, source.read()
    profile.update(driver="GTiff", transform=profile["transform"] @ profile["transform"].scale(1.004))
    for key in ("predictor", "blockxsize", "blockysize", "tiled"):
        profile.pop(key, None)
    with rasterio.open(skewed, "w", **profile) as target:
        target.write(values)
    for said, options in REFUSED.items():
        ms = skewed if "4.016" in said else pair.ms
        assert main(["plan", "--pan", str(pair.pan), "--ms", str(ms), *options]) == 2, said
        line = capsys.readouterr().err
        assert said in line
        assert line.count("\n") == 1
    assert main(["plan", "--pan", str(pair.pan), "--ms", str(pair.ms), "--method", "gsa"]) == 0
    if not torch.cuda.is_available():
        device = ("--method", "pan-gan-ms", "--network", str(weights), "--device", "cuda:1")
        assert main(["plan", "--pan", str(pair.pan), "--ms", str(pair.ms), *device]) == 2
        assert "no CUDA devices here" in capsys.readouterr().err


def test_without_torch_methods_are_listed_and_networks_say_what_to_install(
    pair: SimulatedPair, weights: Path
) -> None:
    code = f"""
import sys
sys.modules["torch"] = None  # as if it were not installed
from geofuse.cli import main
assert main(["methods"]) == 0
status = main(["plan", "--pan", {str(pair.pan)!r}, "--ms", {str(pair.ms)!r},
               "--method", "pan-gan-ms", "--network", {str(weights)!r}])
sys.exit(10 + status)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 12, done.stderr
    assert "pan-gan-ms" in done.stdout
    assert done.stderr.strip() == (
        "geofuse: error [method] networks need torch, which is not installed; pip install 'geofuse[neural]'"
    )
