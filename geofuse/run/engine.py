"""The engine: lock, parts, resume, retry, commit, record, for any work that is done tile by tile.

Tasks carry JSON-able values and a tile; a part holds a tile's final bytes; only the coordinator writes anything
else. After a crash the same work goes on to the same bytes; done twice, it is done once.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from geofuse.errors import CorruptError, PixelError
from geofuse.files import write_bytes, write_json
from geofuse.locks import locked
from geofuse.rasters import ledger
from geofuse.rasters.cog import CogSpec, assemble, check_part, encode_tile, write_part
from geofuse.rasters.opening.sniffing import Identity
from geofuse.rasters.pixels import read_reduced
from geofuse.rasters.preview import choose_rgb, quicklook
from geofuse.run.executors import Executor, Threads
from geofuse.run.plans.inputs import Checksums, at_rest, check_unchanged
from geofuse.run.plans.tiles import Tile, tiles_of
from geofuse.run.progress import Progress, silent
from geofuse.run.records.documents import Asset, ProductRecord
from geofuse.run.records.product_files import (
    OnDisk,
    already_there,
    check_disk,
    check_place,
    companions,
)

QUICKLOOK_PX = 1024
Prepared = TypeVar("Prepared")
"""What a work finds out first: each work's own document, of JSON values."""


@dataclass(frozen=True, slots=True)
class TilePixels:
    """What a task makes of a tile."""

    pixels: NDArray[Any]
    """Stored values (rows, cols, B)."""
    valid: NDArray[np.bool_]
    """Which pixels are valid (rows, cols)."""
    counts: dict[str, int]
    """What is told of it, added up over all tiles; "valid": how many pixels are."""
    mask: NDArray[np.uint8] | None = None
    """The mask's values (rows, cols, 1), where the work has one."""


@dataclass(frozen=True, slots=True)
class Laid(Generic[Prepared]):
    """A product that lies complete on the disk, not yet under its name."""

    inputs: tuple[Identity, ...]
    """Every input, with the SHA-256 of all of it."""
    prepared: Prepared
    """What `TiledWork.prepare` gave."""
    assets: dict[str, Asset]
    """Its files by their roles: data, mask, quicklook."""
    counts: dict[str, int]
    """The tiles' counts, added up."""


class TiledWork(Protocol[Prepared]):
    """A product in tiles: what it is, what is found out first, what a tile is, what is told of it afterwards."""

    @property
    def stage(self) -> str:
        """What the making of tiles is called while it is shown."""
        ...

    @property
    def key(self) -> str:
        """Fingerprint of the product: the same work has the same, whatever its tiles."""
        ...

    @property
    def inputs(self) -> Sequence[Identity]:
        """Every file that is read."""
        ...

    @property
    def data(self) -> CogSpec:
        """The product's file."""
        ...

    @property
    def mask(self) -> CogSpec | None:
        """The mask's, where there is one."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """Names of the bands, by which the quicklook's colours are chosen."""
        ...

    @property
    def tile_px(self) -> int:
        """Side of a tile: 512 times a power of two."""
        ...

    @property
    def workers(self) -> int:
        """Tasks at a time."""
        ...

    @property
    def size_bytes(self) -> int:
        """What the product takes on a disk, about."""
        ...

    @property
    def task(self) -> Callable[[Any, Tile], TilePixels]:
        """A function of a module, called with `shared`'s value and a tile, anywhere."""
        ...

    def ordered(self, tiles: Sequence[Tile]) -> Sequence[Tile]:
        """Put tiles into the order in which they are best made."""
        ...

    def prepare(self, runner: Executor, progress: Progress) -> Prepared:
        """Find out what all tiles need; JSON values, kept until the product is there."""
        ...

    def shared(self, prepared: Prepared) -> Any:
        """Return what every task is given: small, and fit to travel."""
        ...

    def record(self, laid: Laid[Prepared]) -> ProductRecord:
        """Return what is told of the product, JSON values; it has the work's key, the assets and the grid."""
        ...


def produce(
    work: TiledWork[Any], out: Path, *, runner: Executor, overwrite: bool = False, progress: Progress = silent
) -> ProductRecord:
    """Make OUT.tif with OUT.json, OUT.png and perhaps OUT.mask.tif; returns the record.

    The same work again is a no-op; after a crash it goes on to the same bytes. Raises ExistsError where OUT is
    another product and may not be overwritten, LockedError while another run writes it.
    """
    out = out.absolute()
    check_place(out, work.inputs, mask=work.mask is not None)
    with locked(out):
        record = already_there(OnDisk(out), work.key, mask=work.mask is not None, overwrite=overwrite)
        if record is None:
            check_disk(out, work.size_bytes)
            with at_rest(work.inputs), Checksums(work.inputs) as checksums:
                record = _make(work, out, runner, progress, checksums)
        ledger.remove_parts(out)
    return record


def produce_parts(
    work: TiledWork[Any], out: Path, *, runner: Executor, overwrite: bool = False, progress: Progress = silent
) -> None:
    """Do all of `produce` but the product itself: prepare, and make every part that is not there.

    Nothing is left to do where the product is there. Raises what `produce` raises.
    """
    out = out.absolute()
    check_place(out, work.inputs, mask=work.mask is not None)
    with locked(out):
        there = already_there(OnDisk(out), work.key, mask=work.mask is not None, overwrite=overwrite)
        if there is None:
            check_disk(out, work.size_bytes)
            with at_rest(work.inputs):
                make_parts(work, _prepared(work, out, runner, progress), out, runner, progress)
            check_unchanged(work.inputs)


def _make(
    work: TiledWork[Any], out: Path, runner: Executor, progress: Progress, checksums: Checksums
) -> ProductRecord:
    prepared = _prepared(work, out, runner, progress)
    try:
        counts, assets = _laid_down(work, prepared, out, runner, progress)
    except CorruptError:  # a part was damaged on the disk: whatever does not prove itself is made again, once
        counts, assets = _laid_down(work, prepared, out, runner, progress)
    check_unchanged(work.inputs)
    record = work.record(Laid(checksums.result(), prepared, assets, counts))
    write_json(ledger.staged_path(out, ledger.json_path(out), work.key), record)
    names = companions(out, mask=work.mask is not None)
    ledger.give_names(out, work.key, names, ledger.parts_dir(out) / "product.tif")
    return record


def _parts_key(work: TiledWork[Any]) -> str:
    """Return what identifies a part: whose, and in which cut."""
    return f"{work.key}-{work.tile_px}"


def _prepared(work: TiledWork[Prepared], out: Path, runner: Executor, progress: Progress) -> Prepared:
    """Return what was prepared, by an earlier run for the same output too."""
    known = ledger.open_ledger(out, _parts_key(work))
    prepared: Prepared | None = known.get("prepared")
    if prepared is None:
        prepared = work.prepare(runner, progress)
        ledger.update_ledger(out, {**known, "prepared": prepared})
    return prepared


def _laid_down(
    work: TiledWork[Prepared], prepared: Prepared, out: Path, runner: Executor, progress: Progress
) -> tuple[dict[str, int], dict[str, Asset]]:
    """Make what is missing of the parts, and the product from them; returns counters and assets."""
    each = make_parts(work, prepared, out, runner, progress)
    names = dict.fromkeys(name for counts in each for name in counts)
    counts = {name: sum(one.get(name, 0) for one in each) for name in names}
    if not counts["valid"]:
        raise nothing_valid()
    progress("assemble", 0, 1, 0)
    assets = lay_down(work, out)
    progress("assemble", 1, 1, 0)
    return counts, assets


def nothing_valid() -> PixelError:
    """Return the fault of a product without a pixel."""
    return PixelError(
        "no pixel is valid in both images",
        wanted="some overlap of valid pixels",
        do="check nodata and area",
    )


def make_parts(
    work: TiledWork[Prepared], prepared: Prepared, out: Path, runner: Executor, progress: Progress
) -> list[dict[str, int]]:
    """Make every part that is not there yet; returns all counts in the tiles' order."""
    folder, key = ledger.parts_dir(out), _parts_key(work)
    tiles = tiles_of(work.data.height, work.data.width, work.tile_px)
    known = {tile.index: check_part(ledger.part_path(folder, tile.index), fingerprint=key) for tile in tiles}
    missing = [tile for tile in work.ordered(tiles) if known[tile.index] is None]
    total = sum(tile.pixels for tile in tiles)
    done = resumed = total - sum(tile.pixels for tile in missing)
    progress(work.stage, done, total, resumed)
    files = (work.data, work.mask, work.tile_px, str(folder), key)
    shared = (work.task, work.shared(prepared), files)
    for tile, counts in zip(missing, runner.map(_make_part, shared, missing), strict=True):
        known[tile.index] = counts
        done += tile.pixels
        progress(work.stage, done, total, resumed)
    return [found for tile in tiles if (found := known[tile.index]) is not None]


def _make_part(
    shared: tuple[Callable[[Any, Tile], TilePixels], Any, tuple[CogSpec, CogSpec | None, int, str, str]],
    tile: Tile,
) -> dict[str, int]:
    """Make, encode and store one tile: a task. Returns its counts."""
    task, given, (data, mask, tile_px, folder, key) = shared
    made = task(given, tile)
    encode = functools.partial(encode_tile, tile_row=tile.row, tile_col=tile.col, tile_px=tile_px)
    images = [encode(made.pixels, data, valid=None if data.validity == "nodata" else made.valid)]
    if mask is not None and made.mask is not None:
        images.append(encode(made.mask, mask))
    write_part(ledger.part_path(Path(folder), tile.index), images, fingerprint=key, extra=made.counts)
    return made.counts


def lay_down(work: TiledWork[Any], out: Path) -> dict[str, Asset]:
    """Lay the product, its mask and its quicklook down, complete but not yet under their names."""
    folder = ledger.parts_dir(out)
    tiles = tiles_of(work.data.height, work.data.width, work.tile_px)
    parts = [ledger.part_path(folder, tile.index) for tile in tiles]
    draft = folder / "product.tif"
    run = Threads(work.workers).map
    made = assemble(draft, work.data, parts, image=0, tile_px=work.tile_px, run=run)
    assets = {"data": Asset(name=out.name, bytes=made.size_bytes, sha256=made.sha256)}
    if work.mask:
        final = ledger.mask_path(out)
        staged = ledger.staged_path(out, final, work.key)
        mask = assemble(staged, work.mask, parts, image=1, tile_px=work.tile_px, run=run)
        assets["mask"] = Asset(name=final.name, bytes=mask.size_bytes, sha256=mask.sha256)
    pixels, valid = read_reduced(str(draft), QUICKLOOK_PX)
    png = quicklook(np.moveaxis(pixels, 0, -1), valid, rgb=choose_rgb(work.names))
    final = ledger.png_path(out)
    write_bytes(ledger.staged_path(out, final, work.key), png)
    digest = hashlib.sha256(png).hexdigest()
    assets["quicklook"] = Asset(name=final.name, bytes=len(png), sha256=digest)
    return assets
