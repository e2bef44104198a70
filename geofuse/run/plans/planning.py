"""From a scene and what is wanted of it to a Plan: grids, tiles, bytes; refuses before a pixel is read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from geofuse.errors import MemoryLimitError, UsageError
from geofuse.methods import base, table
from geofuse.methods.observation import Observation
from geofuse.methods.sharpen.back_projection import margin_px
from geofuse.rasters.image import Grid
from geofuse.run.findings import Findings
from geofuse.run.plans.headers import Headers, headers_of, identities, input_paths
from geofuse.run.plans.memory import (
    BASE_BYTES,
    TORCH_BYTES,
    available_memory,
    output_bytes,
    run_bytes,
    sample_bytes,
    task_bytes_of,
)
from geofuse.run.plans.plan import Pair, Plan
from geofuse.run.plans.product_spec import data_spec, dtype_of, encoding_notes, mask_spec
from geofuse.run.plans.request import Request
from geofuse.run.plans.takes import check_takes
from geofuse.run.plans.tiles import BLOCK_PX, checked_tile_px, tiles_of
from geofuse.run.records.product_files import check_disk, check_place
from geofuse.scenes.bands import select_bands
from geofuse.scenes.readers.table import READERS
from geofuse.scenes.scene import Scene
from geofuse.scenes.sensors.table import SENSORS
from geofuse.tables import Plugin, Table

DEFAULT_TILE_PX = 1024


def make_plan(scene: Scene, request: Request, found: Findings | None = None) -> Plan:
    """Decide everything; raises the errors of inputs, bands, area, memory. Reads headers only.

    Without findings the sensor table's figures stand, with the request's shift, and no back-projection but
    what it asks for: `geofuse.run.calibrating.calibrated_plan` plans with what the pixels say.
    """
    return plan_on(headers_of(scene, request), request, found)


def plan_on(headers: Headers, request: Request, found: Findings | None = None) -> Plan:
    """Decide everything on what the headers said; raises what `make_plan` raises. Reads no raster."""
    scene, relation, grid = headers.scene, headers.relation, headers.grid
    method = table.get(found.method if found else request.fuse.method)
    bands = select_bands(scene, request.scene.bands)
    looked_at = tuple(range(len(relation.guide.bands)))
    check_takes(method.about, len(looked_at), targets=1)
    chosen = [relation.target.bands[index] for index in bands]
    found = found or Findings(
        method.about.name,
        Observation(tuple(band.mtf_gain for band in chosen), request.fuse.shift_px or (0.0, 0.0)),
        rounds=request.fuse.back_projections or 0,
    )
    pair = Pair(
        guide=relation.guide,
        guide_bands=looked_at,
        target=relation.target,
        bands=bands,
        origin=headers.origin,
        axis_y=headers.axis_y,
        axis_x=headers.axis_x,
        observation=found.observation,
    )
    options = _options(pair, request, method.about, found, grid)
    reach = method.halo(pair.observation, options=options)
    spec = data_spec(
        scene,
        relation,
        chosen,
        grid,
        origin=headers.origin,
        about=f"{scene.scene_id} fused by {method.about.name}",
        encoding=_encoding(request),
        attribution=request.attribution,
    )
    plan = Plan(
        scene=scene,
        pairs=(pair,),
        grid=grid,
        method=method.about.name,
        options=options,
        spec=spec,
        mask=mask_spec(scene, spec),
        reach=(reach.fine_px, reach.coarse_cpx),
        tile_px=BLOCK_PX,
        workers=request.work.workers or os.cpu_count() or 1,
        bytes_per_task=0,
        area=headers.asked,
        inputs=identities(headers, input_paths(relation, scene.find("quality"), bands)),
        notes=(*scene.warnings, *relation.notes, *_notes_of(found, options.names), *encoding_notes(spec)),
        margin_px=margin_px(pair.observation, found.rounds, options),
        shares=found.shares,
        rounds=found.rounds,
        sample=found.sample,
        calibration=found.calibration,
        sample_bytes=(sample_bytes(grid, options) if request.fuse.calibrate else 0)
        + (TORCH_BYTES if options.network else 0),
        plugins=_plugins(scene, method.about.name),
    )
    return _with_tiles(plan, request)


def _plugins(scene: Scene, method: str) -> tuple[Plugin, ...]:
    """Return what is not geofuse's own of what reads, knows and fuses the scene."""
    named: tuple[tuple[Table[Any], str], ...] = ((READERS, scene.reader), (SENSORS, scene.sensor))
    read = (one for rows, name in named if name in rows for one in rows.plugin(name))
    return (*read, *table.plugin(method))


def _options(pair: Pair, request: Request, about: base.About, found: Findings, grid: Grid) -> base.Options:
    """Return what a method is told of a pair."""
    chosen = [pair.target.bands[index] for index in pair.bands]
    network = None
    if about.network:
        from geofuse.run.networks import least_shares, plan_network

        network = plan_network(
            about.name,
            named=request.fuse.network,
            device=request.work.device,
            bands=[band.name for band in chosen],
            ratio=(1.0 / pair.axis_y.scale, 1.0 / pair.axis_x.scale),
            size_px=(grid.height, grid.width),
        )
        network = replace(network, shares=least_shares(network.shares, found.network_shares))
    return base.Options(
        names=tuple(band.name for band in chosen),
        ratio=2.0 / (pair.axis_y.scale + pair.axis_x.scale),
        largest_ratio=1.0 / min(pair.axis_y.scale, pair.axis_x.scale),
        whole=np.dtype(dtype_of(chosen)).kind != "f",
        weights=_weights(request, len(chosen)) if "weights" in about.hears else None,
        network=network,
    )


def _encoding(request: Request) -> dict[str, Any]:
    """Return what the request says of the file, as CogSpec's fields."""
    return {**asdict(request.encode), "bigtiff": "yes" if request.encode.bigtiff else "auto"}


def _notes_of(found: Findings, names: Sequence[str]) -> list[str]:
    """Say what was found that an operator should know."""
    notes = list(found.calibration["warnings"]) if found.calibration else []
    for name, share in zip(names, found.shares, strict=False):
        if share < 1.0:
            how = "no detail is injected" if share == 0.0 else f"{share:.0%} of the detail is injected"
            notes.append(f"band {name}: {how}; more did harm in the hold-out")
    return notes


def _weights(request: Request, bands: int) -> tuple[float, ...] | None:
    weights = request.fuse.weights
    if weights is None:
        return None
    if len(weights) != bands or sum(weights) <= 0:
        raise UsageError(
            f"{len(weights)} weights for {bands} bands", wanted="one positive weight for each band"
        )
    total = sum(weights)
    return tuple(weight / total for weight in weights)


def _with_tiles(plan: Plan, request: Request) -> Plan:
    """Choose the tile and count memory: an explicit tile is kept or refused, the default shrinks to fit."""
    work, fewer = request.work, request.work.workers is None
    allowed = work.memory or available_memory()
    side = checked_tile_px(work.tile_px or DEFAULT_TILE_PX)
    while True:
        workers = min(plan.workers, len(tiles_of(plan.grid.height, plan.grid.width, side)))
        plan = replace(plan, tile_px=side, workers=workers, bytes_per_task=task_bytes_of(plan, side))
        needed = run_bytes(plan)
        if needed <= allowed:
            return plan
        if work.tile_px is None and side > BLOCK_PX:
            side //= 2
        elif fewer and plan.workers > 1:
            plan = replace(plan, workers=plan.workers - 1)
        else:
            raise MemoryLimitError(
                f"{workers} tasks of {plan.bytes_per_task / 2**20:.0f} MiB and a base of "
                f"{BASE_BYTES / 2**20:.0f} MiB need {needed / 2**30:.2f} GiB",
                wanted=f"at most {allowed / 2**30:.2f} GiB",
                do="use fewer --workers, a smaller --tile or more --memory",
            )


def check_out(plan: Plan, out: Path) -> None:
    """Refuse a place for the product that is none, or where it or a companion would replace an input."""
    check_place(out, plan.inputs, mask=plan.mask is not None)


def check_room(plan: Plan, out: Path) -> None:
    """Refuse when parts and product will not fit on the output's disk."""
    check_disk(out, output_bytes(plan))
