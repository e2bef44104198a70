"""From a scene and what is wanted of it to a Plan: grids, tiles, bytes; refuses before a pixel is read."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from geofuse.errors import AreaError, MemoryLimitError, UsageError
from geofuse.geometry import AxisMap, moved
from geofuse.methods import base, table
from geofuse.methods.observation import Observation
from geofuse.methods.sharpen.back_projection import margin_px
from geofuse.rasters.cog import encoding_of, expected_bytes
from geofuse.rasters.image import Grid, Image, files_of
from geofuse.rasters.pixels import identity
from geofuse.run.memory import (
    BASE_BYTES,
    TORCH_BYTES,
    available_memory,
    output_bytes,
    run_bytes,
    sample_bytes,
    task_bytes_of,
)
from geofuse.run.plan import Plan
from geofuse.run.product_files import check_disk, check_place
from geofuse.run.product_spec import data_spec, dtype_of, encoding_notes, mask_spec
from geofuse.run.request import Request
from geofuse.run.tiles import BLOCK_PX, checked_tile_px, tiles_of
from geofuse.scenes.aoi import window_of
from geofuse.scenes.bands import select_bands, with_nodata
from geofuse.scenes.readers.table import READERS
from geofuse.scenes.relating import Relation, relate
from geofuse.scenes.scene import Scene
from geofuse.scenes.sensors.table import SENSORS
from geofuse.tables import Plugin, Table

DEFAULT_TILE_PX = 1024


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found out from the pixels before planning."""

    method: str
    """The method `auto` came to, or the one asked for."""
    observation: Observation
    """How the coarse image came from the fine one, for the output's bands."""
    shares: tuple[float, ...] = ()
    """Share of the method's detail each band keeps."""
    rounds: int = 0
    """Rounds of back-projection."""
    sample: tuple[tuple[int, int, int, int], ...] = ()
    """Cores of the windows it was found in."""
    calibration: dict[str, Any] | None = None
    """The report."""
    network_shares: tuple[float, ...] = ()
    """Share of a network's residual that each band gets by the gate; empty: all of it."""


def make_plan(scene: Scene, request: Request, found: Findings | None = None) -> Plan:
    """Decide everything; raises the errors of inputs, bands, area, memory. Reads headers only.

    Without findings the sensor table's figures stand, with the request's shift, and no back-projection but
    what it asks for: `geofuse.run.calibrating.calibrated_plan` plans with what the pixels say.
    """
    if request.scene.nodata is not None:
        scene = with_nodata(scene, request.scene.nodata)
    method = table.get(found.method if found else request.fuse.method)
    bands = select_bands(scene, request.scene.bands)
    relation = relate(scene)
    guide, target = relation.guide, relation.target
    if target.warped and scene.find("quality"):
        note = "MS is warped: its quality band, which is not, is left out"
        kept = tuple(image for image in scene.images if image.role != "quality")
        scene = replace(scene, images=kept, warnings=(*scene.warnings, note))
    area, asked = window_of(
        guide.grid, bbox=request.scene.bbox, aoi=request.scene.aoi, window=request.scene.window
    )
    rows, cols = _cut(relation.rows, relation.cols, area)
    grid = _grid(guide.grid, rows, cols)
    chosen = [target.bands[index] for index in bands]
    axis_y, axis_x = moved(relation.axis_y, rows[0]), moved(relation.axis_x, cols[0])
    found = found or Findings(
        method.about.name,
        Observation(tuple(band.mtf_gain for band in chosen), request.fuse.shift_px or (0.0, 0.0)),
        rounds=request.fuse.back_projections or 0,
    )
    observation = found.observation
    options = base.Options(
        names=tuple(band.name for band in chosen),
        ratio=2.0 / (axis_y.scale + axis_x.scale),
        largest_ratio=1.0 / min(axis_y.scale, axis_x.scale),
        whole=np.dtype(dtype_of(chosen)).kind != "f",
        weights=_weights(request, len(chosen)) if "weights" in method.about.hears else None,
        network=_network(
            method.about.name, request, found, [band.name for band in chosen], grid, (axis_y, axis_x)
        ),
    )
    reach = method.halo(observation, options=options)
    spec = data_spec(
        scene,
        relation,
        chosen,
        grid,
        origin=(rows[0], cols[0]),
        about=f"{scene.scene_id} fused by {method.about.name}",
        encoding=_encoding(request),
        attribution=request.attribution,
    )
    plan = Plan(
        scene=scene,
        guide=guide,
        target=target,
        bands=bands,
        grid=grid,
        origin=(rows[0], cols[0]),
        axis_y=axis_y,
        axis_x=axis_x,
        method=method.about.name,
        options=_json_values(options),
        observation=_json_values(observation),
        spec=spec,
        mask=mask_spec(scene, spec),
        reach=(reach.fine_px, reach.coarse_cpx),
        tile_px=BLOCK_PX,
        workers=request.work.workers or os.cpu_count() or 1,
        bytes_per_task=0,
        area=asked,
        inputs=tuple(identity(path) for path in input_paths(relation, scene.find("quality"), bands)),
        notes=(*scene.warnings, *relation.notes, *_notes_of(found, options.names), *encoding_notes(spec)),
        margin_px=margin_px(observation, found.rounds, options),
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


def _network(
    method: str,
    request: Request,
    found: Findings,
    names: Sequence[str],
    grid: Grid,
    axes: tuple[AxisMap, AxisMap],
) -> dict[str, Any] | None:
    """Settle weights and device where the method is a network; others never hear of torch."""
    if not table.get(method).about.network:
        return None
    from geofuse.run.networks import least_shares, plan_network

    planned = plan_network(
        method,
        named=request.fuse.network,
        device=request.work.device,
        bands=names,
        ratio=(1.0 / axes[0].scale, 1.0 / axes[1].scale),
        size_px=(grid.height, grid.width),
    )
    return {**planned, "shares": least_shares(planned["shares"], found.network_shares)}


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


def _json_values(noun: Any) -> dict[str, Any]:
    """Return a noun's fields as they come back from JSON: a plan that was shipped equals the one that was made."""
    found: dict[str, Any] = json.loads(json.dumps(asdict(noun)))
    return found


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


def input_paths(relation: Relation, quality: Image | None, bands: Sequence[int]) -> list[str]:
    """Return every file the plan reads, each once: bands before masks, the guide's before the target's."""
    paths = [*files_of(relation.guide), *files_of(relation.target, bands)]
    paths += files_of(quality) if quality else []
    return list(dict.fromkeys(paths))


def _cut(
    rows: tuple[int, int], cols: tuple[int, int], area: tuple[int, int, int, int] | None
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Cut the covered part of PAN to the area."""
    if area is None:
        return rows, cols
    row0, row1 = max(rows[0], area[0]), min(rows[1], area[1])
    col0, col1 = max(cols[0], area[2]), min(cols[1], area[3])
    if row0 >= row1 or col0 >= col1:
        raise AreaError(
            f"rows {area[0]}..{area[1]}, columns {area[2]}..{area[3]} hold nothing of what both images cover",
            wanted=f"some of rows {rows[0]}..{rows[1]}, columns {cols[0]}..{cols[1]}",
            do="choose another area",
        )
    return (row0, row1), (col0, col1)


def _grid(pan: Grid, rows: tuple[int, int], cols: tuple[int, int]) -> Grid:
    a, b, c, d, e, f = pan.transform
    corner = (c + a * cols[0] + b * rows[0], f + d * cols[0] + e * rows[0])
    return Grid(pan.crs, (a, b, corner[0], d, e, corner[1]), rows[1] - rows[0], cols[1] - cols[0])


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


def plan_summary(plan: Plan, out: Path | str | None = None) -> dict[str, Any]:
    """Return what `geofuse plan` shows, as JSON values."""
    tiles = tiles_of(plan.grid.height, plan.grid.width, plan.tile_px)
    return {
        "scene": plan.scene.scene_id,
        "sensor": plan.scene.sensor,
        "method": plan.method,
        "bands": list(plan.options["names"]),
        "grid": asdict(plan.grid),
        "origin_px": list(plan.origin),
        "axis_y": asdict(plan.axis_y),
        "axis_x": asdict(plan.axis_x),
        "ratio": plan.options["ratio"],
        "network": plan.options["network"],
        "dtype": plan.spec.dtype,
        "nodata": None if plan.spec.nodata is None else str(plan.spec.nodata),
        **encoding_of(plan.spec),
        "tile_px": plan.tile_px,
        "tiles": len(tiles),
        "halo_px": plan.reach[0],
        "halo_cpx": plan.reach[1],
        "workers": plan.workers,
        "bytes_per_task": plan.bytes_per_task,
        "bytes_in_memory": run_bytes(plan),
        "output_bytes_plain": expected_bytes(plan.spec),
        "output_bytes_estimate": output_bytes(plan),
        "mask": plan.mask is not None,
        "notes": list(plan.notes),
        "out": str(out) if out else None,
    }
