"""Decoded cells: shared by threads, decoded once, forgotten where a file is let go."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from geofuse.cli import main
from geofuse.rasters import block_cache
from geofuse.rasters.block_cache import STORE, Store, cell_shape
from geofuse.run.plans import plan


def test_two_threads_never_decode_the_same_cell() -> None:
    store, calls, gate = Store(), Counter(), threading.Barrier(4)

    def load() -> np.ndarray:
        calls["load"] += 1
        return np.ones((1, 2, 2), np.uint8)

    def ask(_: int) -> float:
        gate.wait(10)
        return float(store.get(("a", 1), load).sum())

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == [4.0] * 4
    assert calls["load"] == 1


def test_who_fails_leaves_the_cell_to_the_next() -> None:
    store = Store()

    def fail() -> np.ndarray:
        raise OSError("torn")

    with pytest.raises(OSError, match="torn"):
        store.get(("a", 1), fail)
    assert store.get(("a", 1), lambda: np.zeros((1, 1, 1))).size == 1
    assert not store.loading


def test_the_least_used_make_room_and_a_file_can_be_forgotten() -> None:
    store = Store(room_bytes=250)
    for name in "abc":
        store.get((name, 0), lambda: np.zeros(100, np.uint8))
    assert [key[0] for key in store.cells] == ["b", "c"]
    assert store.bytes == 200
    store.forget("b")
    assert [key[0] for key in store.cells] == ["c"]
    assert store.bytes == 100


@pytest.mark.parametrize(
    ("block", "width", "wanted"),
    [
        ((512, 512), 9000, (512, 512)),
        ((1024, 1024), 9000, (1024, 1024)),
        ((16, 16), 9000, (512, 512)),
        ((1, 9000), 9000, (64, 9000)),
        ((200, 300), 300, (200, 300)),
    ],
)
def test_cells_are_whole_blocks(block: tuple[int, int], width: int, wanted: tuple[int, int]) -> None:
    assert cell_shape(block, width) == wanted


def write(path: Path, size: int, bands: int, step: float, **layout: object) -> None:
    rng = np.random.default_rng(3)
    with rasterio.open(
        path, "w", driver="GTiff", width=size, height=size, count=bands, dtype="uint16", crs="EPSG:32632",
        transform=from_origin(500000, 5400000, step, step), compress="deflate", **layout,
    ) as file:  # fmt: skip
        file.write(rng.integers(100, 900, (bands, size, size), np.uint16))


@pytest.mark.parametrize(
    "layout",
    [{"tiled": True, "blockxsize": 256, "blockysize": 256}, {"blockysize": 16}],
    ids=["blocks", "strips"],
)
@pytest.mark.parametrize(("method", "times"), [("brovey", 1), ("gsa", 2), ("mtf-glp-hpm-r", 2)])
def test_an_input_is_decoded_once_a_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: dict, method: str, times: int
) -> None:
    """Tiles look beyond their cores and threads share none: still every cell is decoded once, in each pass."""
    pan, ms = tmp_path / "pan.tif", tmp_path / "ms.tif"
    write(pan, 2200, 1, 0.5, **layout)
    write(ms, 550, 3, 2.0, interleave="pixel", **layout)
    seen: Counter = Counter()
    load = block_cache._load

    def counted(dataset: object, bands: list[int], area: tuple[int, ...]) -> np.ndarray:
        seen[dataset.name, area] += 1
        return load(dataset, bands, area)

    monkeypatch.setattr(block_cache, "_load", counted)
    STORE.clear()
    words = ["--pan", str(pan), "--ms", str(ms), "--method", method, "--out", str(tmp_path / "x.tif")]
    cut = ["--no-calibrate", "--tile", "512", "--workers", "2", "--level", "1", "--no-progress"]
    assert main(["fuse", *words, *cut]) == 0
    assert {name for name, _ in seen} == {str(pan), str(ms)}
    assert max(seen.values()) <= times


def test_a_scene_wider_than_the_store_is_decoded_twice_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store holds fewer cells than a row of tiles touches: tiles go by swaths."""
    pan, ms = tmp_path / "pan.tif", tmp_path / "ms.tif"
    blocks = {"tiled": True, "blockxsize": 256, "blockysize": 256}
    write(pan, 2200, 1, 0.5, **blocks)
    write(ms, 550, 3, 2.0, interleave="pixel", **blocks)
    seen: Counter = Counter()
    load = block_cache._load

    def counted(dataset: object, bands: list[int], area: tuple[int, ...]) -> np.ndarray:
        seen[dataset.name, area] += 1
        return load(dataset, bands, area)

    monkeypatch.setattr(block_cache, "_load", counted)
    monkeypatch.setattr(STORE, "room", 8 << 20)
    monkeypatch.setattr(plan, "ROOM_BYTES", 8 << 20)
    STORE.clear()
    words = ["--pan", str(pan), "--ms", str(ms), "--method", "mtf-glp-hpm", "--out", str(tmp_path / "x.tif")]
    assert main(["fuse", *words, "--no-calibrate", "--tile", "512", "--level", "1", "--no-progress"]) == 0
    assert len(seen) >= 25
    assert max(seen.values()) <= 2
