"""Sharpening as the engine's work: first pass (collect and fit), second pass (apply, tile by tile)."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from geofuse.errors import PixelError
from geofuse.kernels.finish import finish
from geofuse.methods import table
from geofuse.methods.base import After, Params
from geofuse.methods.sharpen.back_projection import finished
from geofuse.methods.sums import merge
from geofuse.run.engine import Laid, TilePixels, nothing_valid, produce, produce_parts
from geofuse.run.executors import Executor
from geofuse.run.patch_reading import Job, job_of, mask_of, read_patch
from geofuse.run.plans.memory import output_bytes
from geofuse.run.plans.plan import Plan, collect_blocks, fingerprint, plan_from_json, plan_to_json, swaths
from geofuse.run.plans.product_spec import tops_of
from geofuse.run.plans.takes import check_takes
from geofuse.run.plans.tiles import Tile
from geofuse.run.progress import Progress, silent
from geofuse.run.records.documents import CalibrationReport, ProductRecord
from geofuse.run.records.record import provenance
from geofuse.run.sampling import sample_cores
from geofuse.tables import check_plugins
from geofuse.version import __version__


def fuse_to_cog(
    plan: Plan, out: Path, *, runner: Executor, overwrite: bool = False, progress: Progress = silent
) -> ProductRecord:
    """Run a plan into OUT.tif with OUT.json, OUT.png and perhaps OUT.mask.tif; returns the provenance.

    The same plan again is a no-op; after a crash it goes on to the same bytes. Raises ExistsError where OUT is
    another product and may not be overwritten, LockedError while another run writes it.
    """
    return produce(Fusing(plan), out, runner=runner, overwrite=overwrite, progress=progress)


def fuse_parts(
    plan: Plan, out: Path, *, runner: Executor, overwrite: bool = False, progress: Progress = silent
) -> None:
    """Do all of `fuse_to_cog` but the product itself: fit, and make every part that is not there.

    Nothing is left to do where the product is there. Raises what `fuse_to_cog` raises.
    """
    produce_parts(Fusing(plan), out, runner=runner, overwrite=overwrite, progress=progress)


class FittedParams(TypedDict):
    """What a method was fitted to: `Params` as JSON values."""

    method: str
    values: dict[str, Any]


class Fitted(TypedDict):
    """What fusing finds out before its tiles."""

    params: FittedParams
    calibration: CalibrationReport | None


class Fusing:
    """A plan as the engine's work."""

    stage = "fuse"

    def __init__(self, plan: Plan) -> None:
        check_takes(table.get(plan.method).about, len(plan.pair.guide_bands), targets=len(plan.pairs))
        self.plan, self.key = plan, fingerprint(plan, __version__)
        check_plugins(plan.plugins)
        self.inputs, self.data, self.mask = plan.inputs, plan.spec, plan.mask
        self.names, self.tile_px, self.workers = plan.options.names, plan.tile_px, plan.workers
        self.size_bytes, self.task = output_bytes(plan), _fuse_tile

    def ordered(self, tiles: Sequence[Tile]) -> Sequence[Tile]:
        """Let neighbours follow one another."""
        return swaths(self.plan, tiles, self.plan.tile_px)

    def prepare(self, runner: Executor, progress: Progress) -> Fitted:
        """Fit the method to the scene."""
        params = fit_plan(self.plan, runner, progress)
        return Fitted(
            params=FittedParams(method=params.method, values=dict(params.values)),
            calibration=self.plan.calibration,
        )

    def shared(self, prepared: Fitted) -> tuple[str, FittedParams]:
        """Return the plan and what was fitted."""
        return json.dumps(plan_to_json(self.plan)), prepared["params"]

    def record(self, laid: Laid[Fitted]) -> ProductRecord:
        """Return the provenance."""
        return provenance(
            self.plan,
            inputs=laid.inputs,
            fingerprint=self.key,
            paper=table.get(self.plan.method).about.paper,
            params=laid.prepared["params"]["values"],
            assets=laid.assets,
            counts=laid.counts,
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
            raise nothing_valid() if one.grid == "fine" else _nothing_to_measure(plan.method)
    params = method.fit(state, job.observation, options=job.options)
    return Params(params.method, json.loads(json.dumps(params.values)))


def _counted(results: Iterable[Any], tiles: Sequence[Tile], stage: str, progress: Progress) -> Iterable[Any]:
    total = sum(tile.pixels for tile in tiles)
    done = 0
    progress(stage, 0, total, 0)
    for tile, result in zip(tiles, results, strict=True):
        done += tile.pixels
        progress(stage, done, total, 0)
        yield result


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


def fuse_core(plan: Plan, job: Job, params: Params, core: tuple[int, int, int, int]) -> TilePixels:
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
    pixels = np.empty((*valid.shape, plan.spec.bands), plan.spec.dtype)
    bands = [pair.target.bands[index] for pair in plan.pairs for index in pair.bands]
    tops = tops_of(bands, plan.spec.dtype)
    for rows, part in made.strips:
        _, saturated, moved = finish(
            part,
            valid[rows],
            job.pedestal,
            dtype=plan.spec.dtype,
            nodata=plan.spec.nodata,
            tops=tops,
            out=pixels[rows],
        )
        counts["saturated"] += saturated
        counts["moved"] += moved
    counts |= made.counts
    patch = replace(patch, core=core, valid=valid)
    return TilePixels(pixels, valid, counts, mask_of(plan, patch, job.pedestal) if plan.mask else None)


def _fuse_tile(shared: tuple[str, FittedParams], tile: Tile) -> TilePixels:
    """Fuse one tile: a task."""
    text, params = shared
    plan, job = _job(text)
    return fuse_core(plan, job, Params(**params), tile.core)
