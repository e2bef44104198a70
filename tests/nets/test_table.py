"""The table of networks: its rows say the truth of what they stand for; loading it needs no torch."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from geofuse.config import load_training
from geofuse.errors import MethodError, PluginError, WeightsError
from geofuse.nets import table
from geofuse.nets.table import NETWORKS, build, designed, network_of, trainer_of
from geofuse.nets.weights import Card, read_card, save_weights, shipped

ROOT = Path(__file__).resolve().parents[2]


def test_reading_the_table_loads_no_torch() -> None:
    code = "import sys; from geofuse.nets.table import network_of as n; n('pan-gan'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("row", NETWORKS.own, ids=lambda row: row.name)
def test_a_row_builds_trains_and_exports_what_it_names(row: table.Row) -> None:
    torch = pytest.importorskip("torch")
    network = network_of(row.name)
    config = next(
        found
        for path in sorted((ROOT / "configs" / "train").glob("*.yaml"))
        if (found := load_training(path)).method == row.name
    )
    spec = designed(row.name, asdict(config.network))
    net = build(row.name, table.spec_values(spec))
    assert net.halo == spec.halo
    example = table.example_of(row.name, net)
    assert torch.isfinite(net(*example.inputs)).all()
    assert callable(trainer_of(row.name))
    assert bool(config.network.bands) or network.any_bands
    assert {read_card(path).kind for path in shipped().values()} == {one.name for one in NETWORKS.own}


def test_a_network_without_a_part_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "PAN_GAN", replace(table.PAN_GAN, trainer="", example=""))
    with pytest.raises(MethodError, match="the network pan-gan of geofuse has no trainer"):
        trainer_of("pan-gan")
    with pytest.raises(MethodError, match="did you mean pan-gan"):
        network_of("pan-gam")
    monkeypatch.setattr(table, "PAN_GAN", replace(table.PAN_GAN, name="gan"))
    with pytest.raises(PluginError, match="calls itself 'gan'"):
        network_of("pan-gan")


def test_weights_say_which_package_their_network_is_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    network = network_of("pan-gan-ms")
    assert network.yields
    spec = designed(
        "pan-gan-ms", {"ratio": 2, "bands": None, "width": 8, "blocks": 1, "trunk": 0, "act": "relu"}
    )
    net = build("pan-gan-ms", asdict(spec))
    path = tmp_path / "own.safetensors"
    save_weights(path, net, Card("own", "pan-gan-ms", asdict(spec), 2, net.halo))
    assert "origin" not in path.with_suffix(".json").read_text()
    foreign = table.Row("tiny-net", "geofuse.nets.table:PAN_GAN_MS", "", "", "tiny-rows", "0.4")
    monkeypatch.setattr(NETWORKS, "own", (*NETWORKS.own, foreign))
    save_weights(path, net, Card("own", "tiny-net", asdict(spec), 2, net.halo))
    assert read_card(path).origin == {"package": "tiny-rows", "version": "0.4"}
    monkeypatch.undo()
    with pytest.raises(
        PluginError, match=r"own\.safetensors: there is no network 'tiny-net' here: it is from tiny-rows"
    ):
        read_card(path)
    with pytest.raises(WeightsError, match="no such weights"):
        read_card(tmp_path / "gone.safetensors")
