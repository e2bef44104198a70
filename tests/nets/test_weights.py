"""Weights on disk: what was saved comes back; what is damaged, foreign or unfit is one line."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from geofuse.errors import WeightsError
from geofuse.files import sha256_of
from geofuse.nets.weights import (
    Card,
    check_contract,
    find_weights,
    load_weights,
    read_card,
    save_weights,
    shipped,
)

torch = pytest.importorskip("torch")
models = pytest.importorskip("geofuse.nets.arch.ms_residual")

SPEC = models.MsSpec(2, bands=3, width=8, blocks=1)
NAMES = ("blue", "green", "red")


def made(path: Path, **changes: Any) -> Path:
    torch.manual_seed(1)
    net = models.MsGenerator(SPEC)
    card = Card("tiny", "pan-gan-ms", asdict(SPEC), 2, net.halo, NAMES, training={"data": "none"})
    save_weights(path, net, replace(card, **changes))
    return path


def test_saved_weights_come_back_and_are_the_same_bytes_again(tmp_path: Path) -> None:
    first, second = made(tmp_path / "a.safetensors"), made(tmp_path / "b.safetensors")
    assert first.read_bytes() == second.read_bytes()
    net, card = load_weights(first, sha256=sha256_of(first))
    assert card.bands == NAMES
    assert card == read_card(first)
    assert json.loads(first.with_suffix(".json").read_text())["training"] == {"data": "none"}
    assert not net.training
    torch.manual_seed(1)
    fresh = models.MsGenerator(SPEC)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), fresh.parameters(), strict=True))
    assert {path.name for path in tmp_path.iterdir()} == {
        "a.safetensors",
        "a.json",
        "b.safetensors",
        "b.json",
    }


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)


def _pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"weights": [1.0]}))


def _torch_saved(path: Path) -> None:
    torch.save({"weights": torch.ones(2)}, path)


def _bare(path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"x": torch.ones(3)}, path)


def _edited(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"pan-gan-ms", b"pan-gan-mx", 1))


def _other_halo(path: Path) -> None:
    made(path, halo=3)


def _other_spec(path: Path) -> None:
    made(path, spec={**asdict(SPEC), "width": 16})


def _unknown_spec(path: Path) -> None:
    made(path, spec={**asdict(SPEC), "depth": 4})


def _not_finite(path: Path) -> None:
    net = models.MsGenerator(SPEC)
    with torch.no_grad():
        net.leave.bias[0] = float("nan")
    save_weights(path, net, Card("tiny", "pan-gan-ms", asdict(SPEC), 2, net.halo))


SPOILT = {
    _cut: "damaged|cut off",
    _flip: "not those the card was written for",
    _pickled: "a pickle, which may run code",
    _torch_saved: "a pickle, which may run code",
    _bare: "without a card",
    _edited: "weights of pan-gan-mx",
    _other_halo: "card says ratio 2, halo 3; wanted ratio 2, halo 1",
    _other_spec: "do not fit its network",
    _unknown_spec: "do not fit its network",
    _not_finite: "not finite",
    lambda path: path.write_bytes(b""): "no safetensors file, or cut off",
    lambda path: path.write_text("<html><body>not found</body></html>"): "no safetensors file",
    Path.unlink: "no such weights",
}


@pytest.mark.parametrize(("spoil", "said"), SPOILT.items(), ids=SPOILT.values())
def test_spoilt_weights_are_one_line(tmp_path: Path, spoil: Any, said: str) -> None:
    path = made(tmp_path / "tiny.safetensors")
    spoil(path)
    with pytest.raises(WeightsError, match=said) as caught:
        load_weights(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_weights_than_planned_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="not the weights that were planned with"):
        load_weights(made(tmp_path / "tiny.safetensors"), sha256="0" * 64)


UNFIT: dict[str, dict[str, Any]] = {
    "weights of pan-gan-ms; wanted weights of pan-gan": {"kind": "pan-gan"},
    "made for ratio 2, the pair's is 4": {"ratio": (4.0, 4.0)},
    "the pair's is 2 x 2.5": {"ratio": (2.0, 2.5)},
    "made for 3 bands, the pair has 2": {"bands": ("blue", "green")},
    "say --bands blue,green,red": {"bands": ("red", "green", "blue")},
}


@pytest.mark.parametrize(("said", "change"), UNFIT.items(), ids=UNFIT)
def test_weights_for_another_pair_are_refused(said: str, change: dict[str, Any]) -> None:
    card = Card("tiny", "pan-gan-ms", asdict(SPEC), 2, 1, NAMES)
    fits: dict[str, Any] = {"kind": "pan-gan-ms", "ratio": (2.0, 2.0), "bands": NAMES}
    check_contract(card, **fits)
    check_contract(card, **{**fits, "bands": ("1", "2", "3")})  # numbered, not named
    with pytest.raises(WeightsError, match=said):
        check_contract(card, **{**fits, **change})


def test_a_name_or_a_file_finds_weights(tmp_path: Path) -> None:
    path = made(tmp_path / "tiny.safetensors")
    fits: dict[str, Any] = {"kind": "pan-gan-ms", "bands": NAMES, "ratio": (2.0, 2.0)}
    assert find_weights(str(path), **fits) == path
    with pytest.raises(WeightsError, match="no such weights"):
        find_weights("nothing", **fits)
    with pytest.raises(WeightsError, match="no shipped weights of pan-gan-ms for 3 bands at ratio 7"):
        find_weights(None, **{**fits, "ratio": (7.0, 7.0)})


@pytest.mark.parametrize("path", shipped().values(), ids=shipped())
def test_shipped_weights_are_small_and_whole(path: Path) -> None:
    assert path.stat().st_size < 1_000_000
    _, card = load_weights(path)
    assert card.name == path.stem
    assert card.training
