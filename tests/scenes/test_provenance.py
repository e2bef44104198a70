"""The record beside a product: complete, the same for the same, readable by anyone, and a product held against it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasters import landsat_folder, mtl_collection1, pair

from geofuse.cli import main
from geofuse.errors import ChangedError, VerifyError
from geofuse.files import write_json
from geofuse.rasters.image import Band, Piece
from geofuse.rasters.ledger import json_path, mask_path, open_ledger, parts_dir, png_path, staged_path
from geofuse.rasters.opening.sniffing import with_sha256
from geofuse.run.plans.inputs import check_unchanged
from geofuse.run.plans.planning import make_plan
from geofuse.run.plans.request import make_request
from geofuse.run.records.product_files import asset_paths, finish_half_pair, read_record, verify
from geofuse.run.records.record import provenance, radiometry
from geofuse.scenes.opening import open_pair
from geofuse.version import __version__

SCENE_ID = "LC80200392015216LGN00"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product with a mask, and its scene beside it."""
    folder = tmp_path_factory.mktemp("made")
    scene = landsat_folder(folder / SCENE_ID, SCENE_ID, mtl=mtl_collection1(SCENE_ID))
    assert main(["fuse", str(scene), "--out", str(folder / "x.tif"), "--no-progress", "--level", "1"]) == 0
    return folder / "x.tif"


@pytest.fixture
def product(made: Path, tmp_path: Path) -> Path:
    """A copy to harm."""
    for path in (made, json_path(made), png_path(made), mask_path(made)):
        shutil.copy2(path, tmp_path)
    return tmp_path / "x.tif"


def test_the_record_says_all_of_it(made: Path) -> None:
    record = json.loads(json_path(made).read_text())
    assert record["geofuse"] == __version__
    assert record["scene"]["id"] == SCENE_ID
    assert record["scene"]["acquired"] == "2017-07-01T16:20:12.500000Z"
    for item in record["inputs"]:
        data = Path(item["path"]).read_bytes()
        assert (item["bytes"], item["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert sorted(item["path"][-7:] for item in record["inputs"]) == [
        *("BQA.TIF", "_B2.TIF", "_B3.TIF", "_B4.TIF", "_B5.TIF", "_B8.TIF")
    ]
    for path, checksum in asset_paths(made, record):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == checksum
    assert [path.name for path, _ in asset_paths(made, record)] == ["x.tif", "x.mask.tif", "x.png"]
    with rasterio.open(made) as file:
        assert record["grid"]["transform"] == list(file.transform)[:6]
        assert (record["grid"]["height"], record["grid"]["width"]) == file.shape
        assert record["nodata"] == file.nodata
    assert record["method"]["name"] == "mtf-glp-hpm-r"
    assert record["parameters"]["bands"] == ["blue", "green", "red", "nir"]
    assert [band["known"] for band in record["radiometry"]["bands"]] == [True] * 4
    assert record["observation"]["mtf_gain"]
    assert set(record["versions"]) >= {"python", "numpy", "rasterio"}


def test_the_same_inputs_give_the_same_record_and_pictures(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.tif"
    scene = str(made.parent / SCENE_ID)
    assert main(["fuse", scene, "--out", str(out), "--no-progress", "--level", "1", "--tile", "2048"]) == 0
    for path in (Path, json_path, png_path, mask_path):
        assert path(out).read_bytes() == path(made).read_bytes()


@pytest.mark.parametrize(
    ("nodata", "said"), [(None, None), (0.0, 0.0), (float("nan"), "nan"), (float("-inf"), "-inf")]
)
def test_the_record_is_json_whatever_nodata_is(tmp_path: Path, nodata: float | None, said: Any) -> None:
    files = pair(tmp_path)
    plan = make_plan(open_pair(files[0], [files[1]]), make_request())
    plan = replace(plan, spec=replace(plan.spec, dtype="float32", nodata=nodata))
    summed = tuple(with_sha256(item, "0") for item in plan.inputs)
    counts = {"valid": 5, "saturated": 3, "moved": 2}
    record = provenance(plan, inputs=summed, fingerprint="f00", paper="", params={}, assets={}, counts=counts)
    assert json.loads(json.dumps(record, allow_nan=False))["nodata"] == said
    assert [text for text in record["warnings"] if text.startswith(("3 ", "2 "))] == [
        "3 values were outside float32 and saturate",
        "2 valid values equal to nodata were moved by one step",
    ]


@pytest.mark.parametrize(
    ("gain", "offset", "pedestal", "known"),
    [(2e-5, -0.1, 5000.0, True), (None, None, 0.0, False), (0.01, 0.0, 0.0, True), (None, 3.0, 0.0, False)],
)
def test_radiometry_is_known_or_said_to_be_unknown(
    gain: float | None, offset: float | None, pedestal: float, known: bool
) -> None:
    found = radiometry(Band("red", (Piece("a.tif"),), "uint16", gain=gain, offset=offset))
    assert found["pedestal_dn"] == pytest.approx(pedestal)
    assert found["known"] is known


def test_a_whole_product_is_verified(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(product)["fingerprint"]
    assert main(["verify", str(product), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["valid"] is True
    assert found["sha256"] == hashlib.sha256(product.read_bytes()).hexdigest()


@pytest.mark.parametrize("role", [json_path, png_path, mask_path, Path])
def test_an_asset_that_is_lost_or_flipped_is_named(product: Path, role: Any) -> None:
    path = role(product)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 8
    if role is not json_path:
        path.write_bytes(data)
        with pytest.raises(VerifyError) as caught:
            verify(product)
        assert caught.value.path == str(path)
    path.unlink()
    with pytest.raises(VerifyError):
        verify(product)


def renewed(product: Path, **grid: Any) -> None:
    """Let the record agree with whatever the product is now."""
    record = json.loads(json_path(product).read_text())
    record["assets"]["data"]["sha256"] = hashlib.sha256(product.read_bytes()).hexdigest()
    record["grid"].update(grid)
    write_json(json_path(product), record)


def test_checksums_alone_do_not_make_a_product(product: Path, tmp_path: Path) -> None:
    renewed(product, height=14)
    with pytest.raises(VerifyError, match="lies on another grid"):
        verify(product)
    with rasterio.open(product) as file:
        grid = {"height": file.height, "width": file.width, "transform": list(file.transform)[:6]}
        profile = {**file.profile, "driver": "GTiff", "crs": None}
        profile.update(tiled=True, blockxsize=512, blockysize=512)
    renewed(product, **grid)
    verify(product)
    with rasterio.open(product, "w", **profile) as file:
        file.write(np.ones((4, file.height, file.width), "uint16"))
    renewed(product)
    with pytest.raises(VerifyError):
        verify(product)
    product.write_bytes(b"not even a TIFF")
    renewed(product)
    with pytest.raises(VerifyError, match="is no valid COG"):
        verify(product)
    with pytest.raises(VerifyError, match="no such product"):
        verify(tmp_path)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value inside a JSON value."""
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*at, key))


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["../../etc/passwd", "/dev/null", ".", "", "x.tif"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_record_spoiled_anywhere_is_accepted_or_refused_by_name(product: Path, data: st.DataObject) -> None:
    path = json_path(product)
    whole = path.read_text()
    record = json.loads(whole)
    at = data.draw(st.sampled_from([place for place in places(record) if place and place[0] != "scene"]))
    holder = record
    for key in at[:-1]:
        holder = holder[key]
    if data.draw(st.booleans()):
        holder[at[-1]] = data.draw(JUNK)
    else:
        del holder[at[-1]]
    try:
        path.write_text(json.dumps(record))
        for out in (product, product.with_name("none.tif")):
            finish_half_pair(out)
        with suppress(VerifyError):
            verify(product)
    finally:
        path.write_text(whole)


def test_a_record_of_something_else_is_none(tmp_path: Path) -> None:
    for value in ({}, {"assets": []}, {"fingerprint": 3, "assets": {"data": {"sha256": "0"}}, "grid": {}}):
        write_json(tmp_path / "a.json", value)
        assert read_record(tmp_path / "a.json") is None
    assert read_record(tmp_path / "b.json") is None


def test_only_the_companions_of_this_product_are_finished(product: Path) -> None:
    """Staged records that are torn, or of a product that never got its name, stay where they are."""
    record = json.loads(json_path(product).read_text())
    key = record["fingerprint"]
    open_ledger(product, "key")
    other = json.loads(json.dumps(record))
    other["fingerprint"], other["assets"]["data"]["sha256"] = "f" * 32, "0" * 64
    write_json(staged_path(product, json_path(product), "f" * 32), other)
    (parts_dir(product) / "e.json").write_text("{")
    png = png_path(product).read_bytes()
    for final in (json_path(product), png_path(product), mask_path(product)):
        final.replace(staged_path(product, final, key))
    png_path(product).write_bytes(b"an old picture")
    staged_path(product, mask_path(product), key).replace(mask_path(product))  # the kill came in between
    finish_half_pair(product)
    assert png_path(product).read_bytes() == png
    assert verify(product)["fingerprint"] == key
    assert sorted(os.listdir(parts_dir(product))) == ["e.json", f"{'f' * 32}.json", "ledger.json"]


def test_inputs_that_do_not_rest_are_named(tmp_path: Path) -> None:
    pan, ms = pair(tmp_path)
    plan = make_plan(open_pair(pan, [ms]), make_request())
    check_unchanged(plan.inputs)
    facts = os.stat(ms)
    os.utime(ms, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    with pytest.raises(ChangedError, match=r"ms\.tif: changed during the run"):
        check_unchanged(plan.inputs)
    os.utime(ms, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    check_unchanged(plan.inputs)
    os.unlink(pan)
    with pytest.raises(ChangedError, match=r"pan\.tif: vanished or unreadable"):
        check_unchanged(plan.inputs)
