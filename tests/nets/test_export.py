"""ONNX says what torch says, at sizes and numbers of bands it was not exported with."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from geofuse.cli import main
from geofuse.nets import table
from geofuse.nets.weights import Card, load_weights, save_weights

torch = pytest.importorskip("torch")
models = pytest.importorskip("geofuse.nets.arch.ms_residual")
pan_gan = pytest.importorskip("geofuse.nets.arch.pan_gan")
onnxruntime = pytest.importorskip("onnxruntime")

CASES = {
    "any bands": ("pan-gan-ms", models.MsSpec(4, width=8, blocks=1, trunk=1)),
    "three bands": ("pan-gan-ms", models.MsSpec(2, bands=3, width=8, blocks=2, act="relu")),
    "pan-gan": ("pan-gan", pan_gan.PanGanSpec(3, 8, 8)),
}


@pytest.mark.parametrize("case", CASES)
def test_onnx_gives_what_torch_gives(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kind, spec = CASES[case]
    torch.manual_seed(3)
    net = table.build(kind, asdict(spec))
    if kind == "pan-gan-ms":
        torch.nn.init.normal_(net.leave.weight)
    path, out = tmp_path / "net.safetensors", tmp_path / "net.onnx"
    save_weights(path, net, Card("net", kind, asdict(spec), getattr(spec, "ratio", 0), net.halo))
    assert main(["export", str(path), "--out", str(out), "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    card = json.loads(session.get_modelmeta().custom_metadata_map["card"])
    assert card["name"] == "net"
    assert written["bytes"] == out.stat().st_size
    exact, _ = load_weights(path)
    for bands, height, width in ((3, 12, 9), (3 if case != "any bands" else 5, 7, 15)):
        given = _planes(kind, spec, bands, (height, width), net.halo)
        with torch.inference_mode():
            wanted = exact(*given).numpy()
        feed = {name: plane.numpy() for name, plane in zip(written["inputs"], given, strict=True)}
        found = session.run(None, feed)[0]
        assert found.shape == wanted.shape
        assert abs(found - wanted).max() < 1e-4 * max(1.0, abs(wanted).max())
    assert {file.name for file in tmp_path.iterdir()} == {"net.safetensors", "net.json", "net.onnx"}


def _planes(kind: str, spec: Any, bands: int, size: tuple[int, int], halo: int) -> tuple[Any, ...]:
    height, width = size[0] + 2 * halo, size[1] + 2 * halo
    if kind == "pan-gan":
        return (torch.rand(2, bands + 1, height, width),)
    return torch.rand(2, spec.common_channels, height, width), torch.rand(
        2, bands, spec.own_channels, height, width
    )


def test_a_place_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "nothing", "--out", str(tmp_path / "a.bin")]) == 2
    assert "ends in .onnx" in capsys.readouterr().err
    assert main(["export", "nothing", "--out", str(tmp_path / "a.onnx")]) == 2
    assert "error [weights] nothing: no such weights" in capsys.readouterr().err
