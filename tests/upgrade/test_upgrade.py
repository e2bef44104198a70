"""What 0.3 left on disk opens, verifies, serves, reprocesses and reruns as a no-op, or says in one line what to do."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import fixture
from fixture import items, restored

from geofuse.cli import main
from geofuse.config import RunConfig, config_digest, load_config, load_training
from geofuse.line.scene_ledger import rows

SCENE = "LC08_L1TP_193024_20240501_20240528_02_T1-fused"
PAN = "pan-fused"
PAIR = ("--pan", "pair/pan.tif", "--ms", "pair/ms.tif", "--scheduler", "serial", "--no-progress")


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For tests that only look."""
    return restored(tmp_path_factory.mktemp("upgrade") / "looked-at")


@pytest.fixture
def used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """For tests that go on working in it; it is the current folder."""
    root = restored(tmp_path / "upgrade")
    monkeypatch.chdir(root)
    return root


def run_config(root: Path) -> RunConfig:
    return load_config(root / "run.yaml")


def states(root: Path) -> dict[str, tuple[str, str]]:
    return {row.name: (row.state, row.verdict) for row in rows(run_config(root))}


def test_the_fixture_is_of_0_3_and_no_machine(untouched: Path) -> None:
    assert json.loads((untouched / "sharp.json").read_text())["geofuse"] == "0.3.0"
    for path in fixture.MADE.rglob("*"):
        assert path.is_dir() or not {b"/tmp/", b"/home/", b"/root/"} & {
            word for word in (b"/tmp/", b"/home/", b"/root/") if word in path.read_bytes()
        }, path


def test_the_catalogue_is_whole(untouched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", "verify", str(untouched / "archive")]) == 0
    assert "2 items, no problems" in capsys.readouterr().out
    assert main(["catalog", "list", str(untouched / "archive")]) == 0
    listed = capsys.readouterr().out
    assert SCENE in listed
    assert PAN in listed


def test_products_verify(untouched: Path) -> None:
    made = [untouched / "sharp.tif", *(untouched / "archive.state" / "products").glob("*_gsa_*.tif")]
    made = [path for path in made if not path.name.endswith(".mask.tif")]
    made += [place.parent / item["assets"]["data"]["href"] for place, item in items(untouched)]
    assert len(made) == 4
    for path in made:
        assert main(["verify", str(path)]) == 0, path


def test_a_product_is_cut(untouched: Path, tmp_path: Path) -> None:
    out = tmp_path / "piece.tif"
    assert (
        main(["clip", str(untouched / "sharp.tif"), "--window", "8", "8", "40", "50", "--out", str(out)]) == 0
    )
    assert out.stat().st_size


def test_the_catalogue_is_served(untouched: Path) -> None:
    pytest.importorskip("fastapi")
    from fastapi.testclient import TestClient

    from geofuse.serve.app import make_app
    from geofuse.serve.settings import Settings

    with TestClient(
        make_app(Settings(untouched / "archive", trust_local=True)), base_url="http://localhost"
    ) as client:
        found = client.get("/stac/search").json()["features"]
        assert {item["id"] for item in found} == {SCENE, PAN}
        for item in found:
            assert client.get(f"/stac/collections/{item['collection']}/items/{item['id']}").status_code == 200


@pytest.mark.parametrize(
    "name", ["run.yaml", "configs/landsat.yaml", "configs/pair.yaml", "configs/cluster-gpu.yaml"]
)
def test_a_configuration_is_known_by_its_digest(untouched: Path, name: str) -> None:
    """Else everything that was made by it would be out of date."""
    digests = json.loads((untouched / "digests.json").read_text())
    assert config_digest(load_config(untouched / name)) == digests[name]


@pytest.mark.parametrize("name", ["any-x2", "any-x3", "any-x4", "landsat-pan-gan"])
def test_a_training_is_read(untouched: Path, name: str) -> None:
    assert load_training(untouched / "configs" / "train" / f"{name}.yaml").name == name


def test_the_inbox_leaves_what_is_done_and_finishes_what_was_killed(used: Path) -> None:
    assert states(used) == {"one": ("published", "PASS"), "two": ("running", "")}
    product = next((used / "archive.state" / "products").glob("*193024*_gsa_*.json"))
    record = product.read_bytes()
    assert main(["inbox", "run.yaml", "--no-progress"]) == 0
    assert states(used) == {"one": ("published", "PASS"), "two": ("published", "PASS")}
    assert product.read_bytes() == record
    assert len(list(items(used))) == 3
    assert all(item["properties"]["version"] == "1" for _, item in items(used))
    assert not list((used / "archive.state" / "products").glob(".*.parts"))
    assert main(["catalog", "verify", "archive"]) == 0
    assert main(["inbox", "run.yaml", "--no-progress"]) == 0
    assert len(list(items(used))) == 3


def test_a_killed_fusion_is_made_whole(used: Path) -> None:
    assert (used / ".killed.tif.parts" / "ledger.json").exists()
    assert main(["fuse", *PAIR, "--method", "ridge", "--out", "killed.tif"]) == 0
    assert not (used / ".killed.tif.parts").exists()
    assert main(["verify", "killed.tif"]) == 0


def test_the_same_fusion_again_says_what_to_do(used: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The product is of another release: it stays until somebody says so."""
    words = ["fuse", *PAIR, "--method", "mtf-glp-hpm-r", "--level", "9", "--out", "sharp.tif"]
    before = (used / "sharp.tif").read_bytes()
    assert main(words) == 2
    told = capsys.readouterr().err.strip()
    assert len(told.splitlines()) == 1
    assert "--overwrite" in told
    assert (used / "sharp.tif").read_bytes() == before
    assert main([*words, "--overwrite"]) == 0
    assert main(["verify", "sharp.tif"]) == 0
    assert main(words) == 0
    assert main(["publish", "sharp.tif", "--catalog", "archive"]) == 0
    assert main(["catalog", "verify", "archive"]) == 0


def test_a_product_of_0_3_is_published_with_its_input(used: Path) -> None:
    """Its record names no reader."""
    made = next((used / "archive.state" / "products").glob("*193024*_gsa_????????.tif"))
    for product, more in ((made, []), (used / "sharp.tif", ["--acquired", "2024-05-12"])):
        assert main(["publish", str(product), "--catalog", "new", *more]) == 0
    found = [json.loads(place.read_text()) for place in sorted(used.glob("new/*/*/*.json"))]
    assert len(found) == 2
    assert all("input" in item["assets"] for item in found)


def test_the_catalogue_is_made_anew(used: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reprocess", "--catalog", "archive", "--config", "run.yaml", "--all", "--dry-run"]) == 0
    assert "gone" not in capsys.readouterr().out
    assert main(["reprocess", "--catalog", "archive", "--config", "run.yaml", "--all", "--no-progress"]) == 0
    versions = {item["id"]: item["properties"]["version"] for _, item in items(used)}
    assert versions == {SCENE: "2", PAN: "1"}  # the pair waits for a person: 0.3 had not judged it
    assert main(["reprocess", "--catalog", "archive", "--config", "run.yaml", "--dry-run"]) == 0
    assert SCENE not in capsys.readouterr().out
    assert main(["catalog", "verify", "archive"]) == 0


def test_the_state_may_be_gone(used: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Then the items' own records say which scene they were made of."""
    shutil.rmtree(used / "archive.state")
    assert main(["reprocess", "--catalog", "archive", "--config", "run.yaml", "--all", "--no-progress"]) == 0
    told = capsys.readouterr().out
    assert "gone" not in told
    assert main(["catalog", "verify", "archive"]) == 0


def test_weights_of_0_3_fuse(used: Path) -> None:
    pytest.importorskip("torch")
    words = [
        "--method",
        "pan-gan-ms",
        "--no-calibrate",
        "--network",
        "tiny/tiny.safetensors",
        "--device",
        "cpu",
        "--out",
        "net.tif",
    ]
    assert main(["fuse", *PAIR, *words]) == 0
    record = json.loads((used / "net.json").read_text())
    assert "tiny" in json.dumps(record["parameters"]["network"])


def test_a_training_elsewhere_says_what_to_do(used: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A checkpoint belongs to its folder; what was trained stays."""
    pytest.importorskip("torch")
    weights = (used / "tiny" / "tiny.safetensors").read_bytes()
    assert main(["train", "tiny.yaml", "--device", "cpu", "--no-progress"]) == 2
    told = capsys.readouterr().err.strip()
    assert len(told.splitlines()) == 1
    assert "--overwrite" in told
    assert (used / "tiny" / "tiny.safetensors").read_bytes() == weights


def test_every_deployment_of_0_3_has_a_new_entrypoint(untouched: Path) -> None:
    """What `geofuse up` then says of them is tested with a server."""
    pytest.importorskip("prefect")
    from geofuse.flows.up.renewal import RENAMED

    for deployment in json.loads((untouched / "deployments.json").read_text()):
        module, _, name = RENAMED[deployment["entrypoint"]].rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))
