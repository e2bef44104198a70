"""The ledger beside an output: small files whole or not at all, one run at a time, parts that outlive a crash."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from geofuse.errors import WriteError
from geofuse.files import read_json, write_bytes, write_json
from geofuse.rasters.ledger import (
    give_names,
    json_path,
    mask_path,
    open_ledger,
    part_path,
    parts_dir,
    png_path,
    remove_parts,
    staged_path,
    update_ledger,
)

REPOSITORY = Path(__file__).parents[2]


def test_names_beside_an_output() -> None:
    out = Path("/data/a.b.tif")
    assert json_path(out) == Path("/data/a.b.json")
    assert png_path(out) == Path("/data/a.b.png")
    assert mask_path(out) == Path("/data/a.b.mask.tif")
    assert parts_dir(out) == Path("/data/.a.b.tif.parts")
    assert part_path(parts_dir(out), 12) == Path("/data/.a.b.tif.parts/tile-0000012.part")
    staged = [staged_path(out, final(out), "f00") for final in (json_path, png_path, mask_path)]
    assert [path.name for path in staged] == ["f00.json", "f00.png", "f00.mask.tif"]
    assert {path.parent for path in staged} == {parts_dir(out)}


def test_json_is_the_same_bytes_for_the_same_value(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"b": [1, 2.5, None], "a": "ü"})
    write_json(tmp_path / "b", {"a": "ü", "b": [1, 2.5, None]})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read_json(tmp_path / "a") == {"a": "ü", "b": [1, 2.5, None]}


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[1]", b"7", b"null", b"\xff\xfe{}", b"[" * 100_000, b'{"a": 1}}', b'{"a": 1'],
    ids=lambda data: repr(data[:10]),
)
def test_what_is_no_json_object_is_nothing(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    assert read_json(tmp_path / "a") is None
    assert read_json(tmp_path / "absent") is None
    assert read_json(tmp_path) is None


def test_small_files_are_replaced_whole_and_nothing_else_stays(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"old")
    write_bytes(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    with pytest.raises(WriteError, match="none"):
        write_bytes(tmp_path / "none" / "a", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_parts_outlive_the_same_plan_and_a_torn_ledger_but_no_other_plan(tmp_path: Path) -> None:
    out = tmp_path / "x.tif"
    known = open_ledger(out, "one")
    assert known == {"key": "one"}
    part = part_path(parts_dir(out), 3)
    part.write_bytes(b"work")
    update_ledger(out, {**known, "params": {"method": "exp"}})
    assert open_ledger(out, "one") == {"key": "one", "params": {"method": "exp"}}
    assert part.exists()
    (parts_dir(out) / "ledger.json").write_bytes(b'{"key": "on')
    assert open_ledger(out, "one") == {"key": "one"}, "what a torn ledger knew is not trusted"
    assert part.exists(), "parts prove themselves"
    assert open_ledger(out, "two") == {"key": "two"}
    assert not part.exists()
    remove_parts(out)
    remove_parts(out)
    assert not list(tmp_path.iterdir())


def test_a_ledger_that_cannot_be_made_is_a_write_error(tmp_path: Path) -> None:
    parts_dir(tmp_path / "x.tif").write_text("a file of that name")
    with pytest.raises(WriteError):
        open_ledger(tmp_path / "x.tif", "one")
    with pytest.raises(WriteError):
        open_ledger(tmp_path / "none" / "x.tif", "one")


def test_a_product_gets_its_name_before_its_companions(tmp_path: Path) -> None:
    out = tmp_path / "x.tif"
    open_ledger(out, "key")
    draft = parts_dir(out) / "product.tif"
    draft.write_bytes(b"product")
    finals = [png_path(out), json_path(out)]
    for final in finals:
        staged_path(out, final, "f00").write_bytes(final.suffix.encode())
    began = time.time()
    give_names(out, "f00", finals, draft)
    assert out.read_bytes() == b"product"
    assert [final.read_bytes() for final in finals] == [b".png", b".json"]
    assert os.listdir(parts_dir(out)) == ["ledger.json"]
    assert time.time() - began < 5.0
    with pytest.raises(WriteError, match=r"x\.tif"):
        give_names(out, "f00", finals, draft)
    assert out.read_bytes() == b"product"
    assert json.loads((parts_dir(out) / "ledger.json").read_text()) == {"key": "key"}
