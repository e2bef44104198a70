"""The engine with work that is no fusion: a plane of numbers drawn from a seed file, tile by tile."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from geofuse.errors import ChangedError, ExistsError, LockedError, PixelError
from geofuse.files import sha256_of
from geofuse.locks import locked
from geofuse.methods import table
from geofuse.methods.base import Options
from geofuse.rasters.cog import CogSpec
from geofuse.rasters.ledger import json_path, mask_path, part_path, parts_dir
from geofuse.rasters.pixels import identity
from geofuse.run.engine import Laid, TilePixels, produce, produce_parts
from geofuse.run.executors import Executor, Serial, Threads
from geofuse.run.plans.tiles import Tile
from geofuse.run.progress import Progress, silent
from geofuse.run.records.product_files import verify
from tests.scenes.readings import UTM

HEIGHT, WIDTH, TILE_PX = 1300, 1100, 512
TILES = 9


def spec(dtype: str, colors: tuple[str, ...]) -> CogSpec:
    """A product of so many bands."""
    count = len(colors)
    return CogSpec(
        height=HEIGHT,
        width=WIDTH,
        bands=count,
        dtype=dtype,
        nodata=None,
        crs=UTM,
        transform=(2.0, 0.0, 500_000.0, 0.0, -2.0, 4_000_000.0),
        descriptions=tuple("" for _ in colors),
        colors=colors,
        scales=(1.0,) * count,
        offsets=(0.0,) * count,
        tags={},
    )


def draw(shared: tuple[int, str, int], tile: Tile) -> TilePixels:
    """Draw a tile: a task. Dies, as if killed, at the tile it is told to."""
    base, _, fatal = shared
    if tile.index == fatal:
        os._exit(9)
    row0, row1, col0, col1 = tile.core
    rows, cols = np.mgrid[row0:row1, col0:col1]
    pixels = np.stack([(base + 3 * rows + cols) % 60_000, (base + rows * cols) % 60_000], axis=-1)
    valid = (rows + cols) % 7 != 0
    counts = {"valid": int(valid.sum()), "odd": int((pixels % 2).sum())}
    return TilePixels(pixels.astype(np.uint16), valid, counts, valid.astype(np.uint8)[:, :, None])


class Drawing:
    """Planes drawn from the number in a file."""

    stage, names, tile_px, workers, size_bytes = "draw", ("red", "nir"), TILE_PX, 2, 1 << 20

    def __init__(self, source: Path, *, fatal: int = -1, log: list[str] | None = None) -> None:
        self.source, self.fatal, self.log = source, fatal, log if log is not None else []
        self.inputs = (identity(str(source)),)
        self.key = self.inputs[0]["header"][:32]
        self.data, self.mask = spec("uint16", ("red", "nir")), spec("uint8", ("gray",))
        self.task: Callable[[Any, Tile], TilePixels] = draw

    def ordered(self, tiles: Sequence[Tile]) -> Sequence[Tile]:
        """From the last to the first."""
        return tiles[::-1]

    def prepare(self, runner: Executor, progress: Progress) -> dict[str, Any]:
        """Read the number."""
        self.log.append("prepare")
        return {"base": int(self.source.read_text())}

    def shared(self, prepared: dict[str, Any]) -> tuple[int, str, int]:
        """Return the number."""
        return prepared["base"], "", self.fatal

    def record(self, laid: Laid) -> dict[str, Any]:
        """Return what went in and came out."""
        self.log.append("record")
        return {
            "fingerprint": self.key,
            "inputs": list(laid.inputs),
            "assets": laid.assets,
            "counts": laid.counts,
            "base": laid.prepared["base"],
            "grid": {"height": HEIGHT, "width": WIDTH, "transform": list(self.data.transform)},
        }


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The file that is drawn from."""
    path = tmp_path / "seed.txt"
    path.write_text("41")
    return path


def test_a_product_is_made_told_verified_and_made_once(source: Path, tmp_path: Path) -> None:
    out, log = tmp_path / "x.tif", []
    record = produce(Drawing(source, log=log), out, runner=Threads(2))
    assert verify(out) == json.loads(json_path(out).read_text()) == record
    assert record["inputs"][0]["sha256"] == sha256_of(source)
    assert record["counts"]["valid"] == int(
        ((np.add.outer(np.arange(HEIGHT), np.arange(WIDTH))) % 7 != 0).sum()
    )
    with rasterio.open(out) as product, rasterio.open(mask_path(out)) as mask:
        assert product.read(2, window=((700, 701), (900, 901)))[0, 0] == (41 + 700 * 900) % 60_000
        assert mask.read(1)[0, 7] == 0
    before = out.stat()
    assert produce(Drawing(source, fatal=0, log=log), out, runner=Serial()) == record
    assert (out.stat().st_ino, out.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert log == ["prepare", "record"]
    assert not parts_dir(out).exists()


def test_killed_it_goes_on_to_the_same_bytes(source: Path, tmp_path: Path) -> None:
    reference, out = tmp_path / "reference.tif", tmp_path / "x.tif"
    produce(Drawing(source), reference, runner=Serial())
    code = (
        "from pathlib import Path; from tests.run.test_engine import *;"
        f"produce(Drawing(Path({str(source)!r}), fatal=4), Path({str(out)!r}), runner=Serial())"
    )
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 9
    kept = {path.name: path.stat().st_mtime_ns for path in parts_dir(out).glob("*.part")}
    assert sorted(kept) == [part_path(tmp_path, index).name for index in range(5, TILES)]
    assert not out.exists()
    log: list[str] = []
    shown: list[tuple[str, int, int, int]] = []
    produce_parts(Drawing(source, log=log), out, runner=Serial(), progress=lambda *step: shown.append(step))
    assert log == [], "what was prepared before the kill is taken over"
    assert shown[0][0] == "draw"
    assert shown[0][1] == shown[0][3] > 0, "what lies there is told as taken over"
    assert {name: (parts_dir(out) / name).stat().st_mtime_ns for name in kept} == kept
    part = part_path(parts_dir(out), 7)
    part.write_bytes(part.read_bytes()[:-1] + b"x")  # and one that was damaged since is made again
    produce(Drawing(source), out, runner=Threads(2))
    assert sha256_of(out) == sha256_of(reference)
    assert sha256_of(mask_path(out)) == sha256_of(mask_path(reference))


def test_other_work_another_run_and_a_changed_input_are_refused(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "x.tif"
    produce(Drawing(source), out, runner=Serial())
    source.write_text("42")
    with pytest.raises(ExistsError, match="made from other inputs"):
        produce(Drawing(source), out, runner=Serial())
    assert produce(Drawing(source), out, runner=Serial(), overwrite=True)["base"] == 42
    other = tmp_path / "y.tif"
    with locked(other), pytest.raises(LockedError):
        produce(Drawing(source), other, runner=Serial())
    work = Drawing(source)
    source.write_text("430")
    with pytest.raises(ChangedError, match=r"seed\.txt: changed"):
        produce(work, other, runner=Serial())
    assert not other.exists()


def test_nothing_valid_is_no_product(source: Path, tmp_path: Path) -> None:
    work = Drawing(source)
    work.task = draw_nothing
    with pytest.raises(PixelError, match="no pixel is valid"):
        produce(work, tmp_path / "x.tif", runner=Serial(), progress=silent)


def draw_nothing(shared: Any, tile: Tile) -> TilePixels:
    """Draw a tile without a valid pixel."""
    made = draw(shared, tile)
    return TilePixels(made.pixels, made.valid & False, {"valid": 0}, made.mask)


def test_the_runner_knows_no_method_and_no_pass_by_name() -> None:
    """And looks for nothing behind the protocol."""
    passes = {one.name for name in table.METHODS for one in table.get(name).passes(Options(("a",), 2.0))}
    names = {*table.names(), *passes} - {"fine", "coarse", "exp"}
    found = []
    for path in (Path(__file__).resolve().parents[2] / "geofuse" / "run").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and node.value in names:
                found.append(f"{path.name}: {node.value}")
    assert {"haze", "ridge", "pan-gan-ms"} <= names
    assert not found
