"""A product is opened again, its input made and its scene run anew from its record alone, by whichever reader."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from scenery import CORNER, north_up, write

from geofuse.archive.input_image import write_input
from geofuse.cli import main
from geofuse.errors import ChangedError, PluginError, ProductError
from geofuse.line.scene_ref import SceneRef, opened, ref_from_json, ref_to_json, with_digest
from geofuse.rasters.pixels import inspect
from geofuse.run.records.reopening import is_there, recorded_scene, reopened
from geofuse.run.records.since_03 import opened_of_03
from geofuse.scenes.scene import Given


def planes(count: int, side: int, seed: int) -> NDArray[np.uint16]:
    rng = np.random.default_rng(seed)
    ground = np.kron(rng.uniform(200, 900, (side // 8 + 1, side // 8 + 1)), np.ones((8, 8)))[:side, :side]
    return np.stack([ground * (1 + 0.1 * band) for band in range(count)]).astype(np.uint16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A PAN and three MS bands, each a file, whose names do not sort PAN first."""
    made = tmp_path / "delivery"
    made.mkdir()
    write(made / "z_pan.tif", planes(1, 128, 1), north_up(0.5), nodata=0)
    for number in range(3):
        write(made / f"band{number}.tif", planes(1, 32, 2)[:1] + number, north_up(2.0), nodata=0)
    return made


def fused(out: Path, *words: object) -> dict[str, Any]:
    asked = ["fuse", *map(str, words), "--out", str(out), "--method", "brovey", "--no-progress"]
    assert main([*asked, "--scheduler", "serial", "--no-calibrate"]) == 0
    found: dict[str, Any] = json.loads(out.with_suffix(".json").read_text())
    return found


def same_input(tmp_path: Path, out: Path, record: dict[str, Any], beside: Path) -> NDArray[Any]:
    made = tmp_path / "input.tif"
    assert write_input(made, record, inspect(str(out)), beside=beside)
    with rasterio.open(made) as file:
        return file.read()


def test_the_record_names_reader_source_role_and_pieces(folder: Path, tmp_path: Path) -> None:
    record = fused(tmp_path / "out.tif", folder, "--bands", "2")
    scene = record["scene"]
    assert scene["reader"] == "pair"
    assert [(one["role"], Path(one["path"]).name) for one in scene["source"]] == [
        ("pan", "z_pan.tif"),
        *(("ms", f"band{number}.tif") for number in range(3)),
    ]
    assert [(one["role"], Path(one["path"]).name) for one in record["inputs"]] == [
        ("pan", "z_pan.tif"),
        ("ms", "band1.tif"),
    ]
    assert scene["images"][1] == {
        "role": "ms",
        "bands": [{"name": "2", "pieces": [{"path": str(folder / "band1.tif"), "index": 1}]}],
    }


def test_a_product_of_some_bands_is_opened_again_with_all_of_them(folder: Path, tmp_path: Path) -> None:
    """By 0.3's rules the second band of three was the first of one: its input was another, or none."""
    record = fused(tmp_path / "out.tif", folder, "--bands", "2")
    scene, chosen = reopened(record, tmp_path)
    assert [scene.image("ms").bands[index].name for index in chosen] == ["2"]
    found = same_input(tmp_path, tmp_path / "out.tif", record, tmp_path)
    np.testing.assert_array_equal(found, planes(1, 32, 2) + 1)


def test_a_moved_product_finds_its_files_beside_it(folder: Path, tmp_path: Path) -> None:
    record = fused(folder / "out.tif", "--pan", folder / "z_pan.tif", "--ms", folder / "band0.tif")
    there = tmp_path / "elsewhere"
    shutil.move(folder, there)
    found = recorded_scene(record, there)
    assert is_there(found)
    assert not is_there(recorded_scene(record))
    assert found.given == (Given("pan", str(there / "z_pan.tif")), Given("ms", str(there / "band0.tif")))
    assert same_input(tmp_path, there / "out.tif", record, there).shape == (1, 32, 32)


def test_a_product_of_tiles_is_opened_again(tmp_path: Path) -> None:
    whole = planes(1, 128, 1)
    tiles = []
    for number, cols in enumerate((slice(0, 50), slice(50, 128))):
        corner = (CORNER[0] + 0.5 * cols.start, CORNER[1])
        tiles.append(
            write(tmp_path / f"t{number}.tif", whole[:, :, cols], north_up(0.5, corner=corner), nodata=0)
        )
    ms = write(tmp_path / "ms.tif", planes(2, 32, 2), north_up(2.0), nodata=0)
    from geofuse.run.calibrating import calibrated_plan
    from geofuse.run.executors import Serial
    from geofuse.run.fuse import fuse_to_cog
    from geofuse.run.plans.request import make_request
    from geofuse.scenes.opening import open_pair

    scene = open_pair([str(tile) for tile in tiles], [str(ms)])
    request = make_request(method="brovey", calibrate=False, workers=1)
    record = fuse_to_cog(calibrated_plan(scene, request), tmp_path / "out.tif", runner=Serial())
    assert [one["role"] for one in record["inputs"]] == ["pan", "pan", "ms"]
    (pan,) = record["scene"]["images"][0]["bands"]
    assert [piece["window"] for piece in pan["pieces"]] == [[0, 128, 0, 50], [0, 128, 50, 128]]
    assert reopened(json.loads(json.dumps(record)), tmp_path)[0] == scene
    ref = SceneRef("x", None, recorded_scene(record).given, reader="pair")
    assert opened(ref_from_json(json.loads(json.dumps(ref_to_json(ref))))) == scene
    assert len(with_digest(ref).digest) == 64


def test_other_bytes_are_told(folder: Path, tmp_path: Path) -> None:
    record = fused(tmp_path / "out.tif", folder)
    write(folder / "band1.tif", planes(1, 32, 9), north_up(2.0), nodata=0)
    with pytest.raises(ChangedError, match=r"band1\.tif: no longer what the product was made from"):
        reopened(record, tmp_path)


def test_a_reader_that_is_gone_is_named(folder: Path, tmp_path: Path) -> None:
    record = fused(tmp_path / "out.tif", folder)
    record["scene"]["reader"] = "dimap"
    record["plugins"] = [{"table": "readers", "name": "dimap", "package": "geofuse-dimap", "version": "2.1"}]
    with pytest.raises(PluginError, match=r"geofuse-dimap 2\.1, which is not installed"):
        reopened(record, tmp_path)


def test_a_scene_put_together_by_hand_has_no_reader(folder: Path, tmp_path: Path) -> None:
    record = fused(tmp_path / "out.tif", folder)
    record["scene"]["reader"] = ""
    with pytest.raises(ProductError, match="put together by hand"):
        recorded_scene(record)


def test_a_folder_in_the_record_is_known_for_a_path(folder: Path, tmp_path: Path, landsat: Path) -> None:
    record = fused(tmp_path / "out.tif", landsat, "--bands", "red", "--window", "0", "0", "256", "256")
    assert record["scene"]["source"] == [{"role": "", "path": str(landsat)}]
    assert {one["role"] for one in record["inputs"]} == {"pan", "ms", "quality"}
    assert same_input(tmp_path, tmp_path / "out.tif", record, tmp_path).shape[0] == 1


@pytest.mark.parametrize(
    ("sensor", "paths", "wanted"),
    [
        ("landsat8", ["a/x_B8.TIF", "a/x_B2.TIF"], ("landsat", (Given("", "a"),))),
        ("landsat9", ["tar:/a/x.tar!x_B8.TIF"], ("landsat", (Given("", "/a/x.tar"),))),
        ("generic", ["p.tif", "m.tif", "m.tif"], ("pair", (Given("pan", "p.tif"), Given("ms", "m.tif")))),
    ],
)
def test_a_record_of_0_3_is_read_by_its_own_rules(sensor: str, paths: list[str], wanted: object) -> None:
    assert opened_of_03(sensor, paths) == wanted
    record = {
        "scene": {"sensor": sensor, "id": "x"},
        "inputs": [{"path": path, "sha256": "0" * 64} for path in paths],
    }
    found = recorded_scene(record)
    assert (found.reader, found.given, found.origin) == (*wanted, None)


def test_a_reference_of_0_3_is_read_by_its_own_rules() -> None:
    old = {
        "name": "x",
        "path": None,
        "pan": "p.tif",
        "ms": ["m.tif"],
        "digest": "d",
        "origin": {"folder": "f"},
    }
    new = SceneRef("x", None, (Given("pan", "p.tif"), Given("ms", "m.tif")), "", "d", {"folder": "f"})
    assert ref_from_json(old) == new
    assert ref_from_json({**old, "path": "s", "pan": None, "ms": []}) == SceneRef(
        "x", "s", digest="d", origin={"folder": "f"}
    )
