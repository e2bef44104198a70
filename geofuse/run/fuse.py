"""The main job: first pass (collect and fit), second pass (apply, tile by tile), one commit. Resumable at any point.

Tasks carry a plan and an index; a part holds a tile's final bytes; only the coordinator writes anything else.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from geofuse.errors import (
    ChangedError,
    CorruptError,
    ExistsError,
    FormatError,
    GeorefError,
    PixelError,
    ReadError,
)
from geofuse.files import sha256_of, write_bytes, write_json
from geofuse.kernels.finish import finish
from geofuse.locks import locked
from geofuse.methods import table
from geofuse.methods.base import After, Params
from geofuse.methods.sharpen.back_projection import finished
from geofuse.methods.sums import merge
from geofuse.rasters import ledger
from geofuse.rasters.cog import assemble, check_part, encode_tile, write_part
from geofuse.rasters.pixels import input_sha256, read_reduced
from geofuse.rasters.preview import choose_rgb, quicklook
from geofuse.rasters.sniffing import with_sha256
from geofuse.run.executors import Executor, Threads
from geofuse.run.patch_reading import Job, job_of, mask_of, read_patch
from geofuse.run.plan import (
    Plan,
    Tile,
    collect_blocks,
    fingerprint,
    plan_from_json,
    plan_tiles,
    plan_to_json,
    swaths,
)
from geofuse.run.planning import check_disk, check_out
from geofuse.run.record import (
    asset_paths,
    check_unchanged,
    companions,
    finish_half_pair,
    provenance,
    publish_product,
    read_record,
)
from geofuse.run.sampling import sample_cores
from geofuse.version import __version__

log = logging.getLogger(__name__)
QUICKLOOK_PX = 1024
Progress = Callable[[str, int, int, int], None]
"""Called with stage, pixels done, pixels in all, pixels taken over from an earlier run."""


def silent(stage: str, done: int, total: int, resumed: int) -> None:
    """Show nothing."""


def fuse_to_cog(
    plan: Plan, out: Path, *, runner: Executor, overwrite: bool = False, progress: Progress = silent
) -> dict[str, Any]:
    """Run a plan into OUT.tif with OUT.json, OUT.png and perhaps OUT.mask.tif; returns the provenance.

    The same plan again is a no-op; after a crash it goes on to the same bytes. Raises ExistsError where OUT is
    another product and may not be overwritten, LockedError while another run writes it.
    """
    out = out.absolute()
    key = fingerprint(plan, __version__)
    check_out(plan, out)
    with locked(out):
        record = _already_there(out, key, mask=plan.mask is not None, overwrite=overwrite)
        if record is None:
            check_disk(plan, out)
            with _inputs_at_rest(plan), Checksums(plan) as checksums:
                record = _run(plan, out, key, runner, progress, checksums)
        ledger.remove_parts(out)
    return record


def fuse_parts(
    plan: Plan, out: Path, *, runner: Executor, overwrite: bool = False, progress: Progress = silent
) -> None:
    """Do all of `fuse_to_cog` but the product itself: fit, and make every part that is not there.

    Nothing is left to do where the product is there. Raises what `fuse_to_cog` raises.
    """
    out = out.absolute()
    key = fingerprint(plan, __version__)
    check_out(plan, out)
    with locked(out):
        if _already_there(out, key, mask=plan.mask is not None, overwrite=overwrite) is None:
            check_disk(plan, out)
            with _inputs_at_rest(plan):
                params = _params(plan, out, key, runner, progress)
                folder, parts_key = ledger.parts_dir(out), f"{key}-{plan.tile_px}"
                _apply_all(plan, params, folder, parts_key, runner=runner, progress=progress)
            check_unchanged(plan)


@contextmanager
def _inputs_at_rest(plan: Plan) -> Iterator[None]:
    """Let a fault of an input that is no longer what it was say so."""
    try:
        yield
    except (FormatError, CorruptError, PixelError, GeorefError):
        check_unchanged(plan)
        raise


def _already_there(out: Path, key: str, *, mask: bool, overwrite: bool) -> dict[str, Any] | None:
    """Return the record of the same product; None where there is nothing, or what may be overwritten."""
    finish_half_pair(out)
    record = read_record(ledger.json_path(out))
    if out.exists():
        if record is not None and record["fingerprint"] == key and _whole(out, record):
            return record
        found = "is there already, made from other inputs or parameters"
    else:
        there = [path for path in companions(out, mask=mask) if path.exists()]
        if not there or (record is not None and record["assets"]["data"].get("name") == out.name):
            return None
        found = f"{there[0].name} is there already, and not of an earlier run"
    if overwrite:
        return None
    raise ExistsError(
        found, wanted="a new name", do="choose another --out, or say --overwrite", path=str(out)
    )


def _whole(out: Path, record: dict[str, Any]) -> bool:
    """Whether all assets are there with the recorded checksums."""
    paths = asset_paths(out, record)
    return all(path.is_file() and sha256_of(path) == checksum for path, checksum in paths)


def _run(
    plan: Plan, out: Path, key: str, runner: Executor, progress: Progress, checksums: Checksums
) -> dict[str, Any]:
    params = _params(plan, out, key, runner, progress)
    folder = ledger.parts_dir(out)
    try:
        counts, assets = _make(plan, params, out, folder=folder, key=key, runner=runner, progress=progress)
    except CorruptError:  # a part was damaged on the disk: whatever does not prove itself is made again, once
        counts, assets = _make(plan, params, out, folder=folder, key=key, runner=runner, progress=progress)
    check_unchanged(plan)
    summed = checksums.result()
    inputs = tuple(with_sha256(item, summed[item["path"]]) for item in plan.inputs)
    record = provenance(
        replace(plan, inputs=inputs),
        fingerprint=key,
        fit={"paper": table.get(plan.method).about.paper, "params": params.values},
        assets=assets,
        counts=counts,
    )
    write_json(ledger.staged_path(out, ledger.json_path(out), key), record)
    publish_product(out, key, folder / "product.tif", mask=plan.mask is not None)
    return record


def _params(plan: Plan, out: Path, key: str, runner: Executor, progress: Progress) -> Params:
    """Return what is fitted, or what an earlier run fitted for the same output."""
    known = ledger.open_ledger(out, f"{key}-{plan.tile_px}")
    if "params" in known:
        return Params(**known["params"])
    params = fit_plan(plan, runner, progress)
    ledger.update_ledger(out, {**known, "params": asdict(params), "calibration": plan.calibration})
    return params


def _make(
    plan: Plan, params: Params, out: Path, *, folder: Path, key: str, runner: Executor, progress: Progress
) -> tuple[dict[str, int], dict[str, Any]]:
    """Make what is missing of the parts, and the product from them; returns counters and assets."""
    parts_key = f"{key}-{plan.tile_px}"
    extras = _apply_all(plan, params, folder, parts_key, runner=runner, progress=progress)
    names = dict.fromkeys(name for extra in extras for name in extra)
    counts = {name: sum(extra.get(name, 0) for extra in extras) for name in names}
    if not counts["valid"]:
        raise _nothing_valid()
    progress("assemble", 0, 1, 0)
    assets = _assemble_all(plan, out, key, folder)
    progress("assemble", 1, 1, 0)
    return counts, assets


def _nothing_valid() -> PixelError:
    return PixelError(
        "no pixel is valid in both images",
        wanted="some overlap of valid pixels",
        do="check nodata and area",
    )


def _nothing_to_measure(method: str) -> PixelError:
    """Return the fault of small areas, in which no MS pixel has its centre."""
    return PixelError(
        f"no MS pixel to measure what {method} needs on",
        wanted="some in the area whose centre is valid in both images",
        do=f"check nodata, choose a larger area, or --method {table.BASELINE}",
    )


def fit_plan(plan: Plan, runner: Executor, progress: Progress = silent) -> Params:
    """Run the first pass over the whole output and fit the method once."""
    method, job = table.get(plan.method), job_of(plan)
    blocks = collect_blocks(plan)
    if method.about.sampled:
        cores = plan.sample or sample_cores(plan)
        blocks = tuple(Tile(index, 0, index, core) for index, core in enumerate(cores))
    text = json.dumps(plan_to_json(plan))
    state: dict[str, Any] = {}
    for one in method.passes(job.options):
        found = runner.map(_collect_block, (text, one.name, dict(state)), blocks)
        state[one.name] = functools.reduce(merge, _counted(found, blocks, f"measure {one.name}", progress))
        if one.needed and not state[one.name].count:
            raise _nothing_valid() if one.grid == "fine" else _nothing_to_measure(plan.method)
    params = method.fit(state, job.observation, options=job.options)
    return Params(params.method, json.loads(json.dumps(params.values)))


def _counted(results: Iterable[Any], tiles: Sequence[Tile], stage: str, progress: Progress) -> Iterable[Any]:
    total = sum(map(_pixels, tiles))
    done = 0
    progress(stage, 0, total, 0)
    for tile, result in zip(tiles, results, strict=True):
        done += _pixels(tile)
        progress(stage, done, total, 0)
        yield result


def _pixels(tile: Tile) -> int:
    row0, row1, col0, col1 = tile.core
    return (row1 - row0) * (col1 - col0)


@functools.lru_cache(maxsize=8)
def _job(text: str) -> tuple[Plan, Job]:
    plan = plan_from_json(json.loads(text))
    return plan, job_of(plan)


def _collect_block(shared: tuple[str, str, Mapping[str, Any]], block: Tile) -> Any:
    """Collect one pass over one block: a task."""
    text, name, state = shared
    plan, job = _job(text)
    patch = read_patch(plan, block.core, job.pedestal)
    method = table.get(plan.method)
    return method.collect(name, patch, job.observation, options=job.options, state=state)


@dataclass(frozen=True, slots=True)
class Core:
    """One core, fused."""

    pixels: np.ndarray[Any, Any]
    """Stored values (rows, cols, B)."""
    valid: np.ndarray[Any, Any]
    """Which pixels are valid (rows, cols)."""
    counts: dict[str, int]
    """Valid pixels; values that saturated; values that moved off nodata."""
    mask: np.ndarray[Any, Any] | None
    """The mask asset's values (rows, cols, 1), where the plan has one."""


def fuse_core(plan: Plan, job: Job, params: Params, core: tuple[int, int, int, int]) -> Core:
    """Fuse one core."""
    margin = plan.margin_px
    grown = core[0] - margin, core[1] + margin, core[2] - margin, core[3] + margin
    patch = read_patch(plan, grown, job.pedestal)
    height, width = patch.valid.shape
    valid = patch.valid[margin : height - margin, margin : width - margin]
    made = finished(
        table.get(plan.method),
        patch,
        params,
        job.observation,
        options=job.options,
        core=core,
        after=After(plan.rounds, plan.shares),
    )
    counts = {"valid": int(valid.sum()), "saturated": 0, "moved": 0}
    pixels = np.empty((*valid.shape, len(plan.bands)), plan.spec.dtype)
    for rows, part in made.strips:
        _, saturated, moved = finish(
            part, valid[rows], job.pedestal, dtype=plan.spec.dtype, nodata=plan.spec.nodata, out=pixels[rows]
        )
        counts["saturated"] += saturated
        counts["moved"] += moved
    counts |= made.counts
    patch = replace(patch, core=core, valid=valid)
    return Core(pixels, valid, counts, mask_of(plan, patch, job.pedestal) if plan.mask else None)


def _apply_tile(shared: tuple[str, dict[str, Any], str, str], tile: Tile) -> dict[str, int]:
    """Fuse, encode and store one tile: a task. Returns its counters."""
    text, params, folder, key = shared
    plan, job = _job(text)
    core = fuse_core(plan, job, Params(**params), tile.core)
    encode = functools.partial(encode_tile, tile_row=tile.row, tile_col=tile.col, tile_px=plan.tile_px)
    images = [encode(core.pixels, plan.spec, valid=None if plan.spec.validity == "nodata" else core.valid)]
    if plan.mask and core.mask is not None:
        images.append(encode(core.mask, plan.mask))
    write_part(ledger.part_path(Path(folder), tile.index), images, fingerprint=key, extra=core.counts)
    return core.counts


def _apply_all(
    plan: Plan, params: Params, folder: Path, key: str, *, runner: Executor, progress: Progress
) -> list[dict[str, int]]:
    """Make every part that is not there yet; returns all counters in the tiles' order."""
    tiles = plan_tiles(plan)
    known = {tile.index: check_part(ledger.part_path(folder, tile.index), fingerprint=key) for tile in tiles}
    missing = [tile for tile in swaths(plan, tiles, plan.tile_px) if known[tile.index] is None]
    total = sum(map(_pixels, tiles))
    done = resumed = total - sum(map(_pixels, missing))
    progress("fuse", done, total, resumed)
    shared = (json.dumps(plan_to_json(plan)), asdict(params), str(folder), key)
    for tile, counts in zip(missing, runner.map(_apply_tile, shared, missing), strict=True):
        known[tile.index] = counts
        done += _pixels(tile)
        progress("fuse", done, total, resumed)
    return [found for tile in tiles if (found := known[tile.index]) is not None]


def _assemble_all(plan: Plan, out: Path, key: str, folder: Path) -> dict[str, Any]:
    """Lay the product, its mask and its quicklook down, complete but not yet under their names."""
    parts = [ledger.part_path(folder, tile.index) for tile in plan_tiles(plan)]
    draft = folder / "product.tif"
    run = Threads(plan.workers).map
    made = assemble(draft, plan.spec, parts, image=0, tile_px=plan.tile_px, run=run)
    assets = {"data": {"name": out.name, "bytes": made.size_bytes, "sha256": made.sha256}}
    if plan.mask:
        final = ledger.mask_path(out)
        staged = ledger.staged_path(out, final, key)
        mask = assemble(staged, plan.mask, parts, image=1, tile_px=plan.tile_px, run=run)
        assets["mask"] = {"name": final.name, "bytes": mask.size_bytes, "sha256": mask.sha256}
    pixels, valid = read_reduced(str(draft), QUICKLOOK_PX)
    image = np.moveaxis(pixels, 0, -1)
    png = quicklook(image, valid, rgb=choose_rgb(plan.options["names"]))
    final = ledger.png_path(out)
    write_bytes(ledger.staged_path(out, final, key), png)
    digest = hashlib.sha256(png).hexdigest()
    assets["quicklook"] = {"name": final.name, "bytes": len(png), "sha256": digest}
    return assets


class Checksums:
    """SHA-256 of every input, computed beside the run in a thread of its own."""

    def __init__(self, plan: Plan) -> None:
        self.paths = [item["path"] for item in plan.inputs]
        self.sums: dict[str, str] = {}
        self.fault: Exception | None = None
        self.thread = threading.Thread(target=self._work, name="geofuse-checksums", daemon=True)

    def _work(self) -> None:
        try:
            for path in self.paths:
                self.sums[path] = input_sha256(path)
        except Exception as error:
            self.fault = error

    def __enter__(self) -> Checksums:
        """Start."""
        self.thread.start()
        return self

    def __exit__(self, *fault: object) -> None:
        """Leave: a daemon thread that only reads needs no farewell."""

    def result(self) -> dict[str, str]:
        """Wait for the sums; ChangedError, or ReadError, where an input could not be read to its end."""
        self.thread.join()
        if isinstance(self.fault, ReadError):
            raise self.fault
        if self.fault is not None:
            raise ChangedError(f"an input could not be summed: {self.fault}") from self.fault
        return self.sums
