"""What a batch will cost, scene by scene and in all, before anything is made."""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from geofuse.config import RunConfig, output_folder, state_folder
from geofuse.errors import ExistsError, GeofuseError
from geofuse.files import read_json
from geofuse.line.batch import BatchRow
from geofuse.line.scene_ref import opened
from geofuse.line.scene_run import COST
from geofuse.line.stage_records import JOBS, SceneJob, product_path
from geofuse.run.plans.inspecting import plan_summary
from geofuse.run.plans.planning import make_plan
from geofuse.run.plans.request import request_of

RECENT = 50
"""Scenes that tell what others will cost."""
CPU_S_PER_MPX, CPU_S_PER_SCENE = 1.6, 2.0
"""Of closed forms with calibration and assessment, before this machine has done any: measured on 2 cores."""


class SceneEstimate(TypedDict):
    """What one line of a batch will cost; of one that cannot be planned why, and nothing else."""

    line: int
    name: str
    priority: float
    name_has_key: bool
    method: str
    out: str
    mpx: float
    tiles: int
    cpu_s: float
    memory_bytes: int
    output_bytes: int
    parts_bytes: int
    catalog_bytes: int
    code: str
    message: str


class BatchPlan(TypedDict):
    """What a batch will cost, line by line and in all."""

    scenes: list[SceneEstimate]
    scenes_ok: int
    scenes_bad: int
    mpx: float
    cpu_s: float
    output_bytes: int
    parts_bytes: int
    catalog_bytes: int
    cpu_hours: float
    memory_bytes: int
    disk_needed_bytes: int
    disk_free_bytes: int
    fits: bool


def batch_plan(batch: Sequence[BatchRow]) -> BatchPlan:
    """Return what a batch will cost, scene by scene and in all; reads headers only, writes nothing.

    What cannot be planned is told with its fault. Raises ExistsError where two lines would make one product.
    """
    rates: dict[tuple[Path, str], float] = {}
    found = []
    for row in batch:
        kind = state_folder(row.config), row.config.fuse.method
        if kind not in rates:
            rates[kind] = cpu_s_per_mpx(row.config)
        found.append(_estimate(row, rates[kind]))
    _check_names(found)
    good = [each for each in found if not each["code"]]
    cpu_s = sum(each["cpu_s"] for each in good)
    output = sum(each["output_bytes"] for each in good)
    catalog = sum(each["catalog_bytes"] for each in good)
    largest = max((each["parts_bytes"] for each in good), default=0)
    needed = output + catalog + largest
    free = _free_bytes(output_folder(batch[0].config) if batch else Path())
    return {
        "scenes": found,
        "scenes_ok": len(good),
        "scenes_bad": len(found) - len(good),
        "mpx": sum(each["mpx"] for each in good),
        "cpu_s": cpu_s,
        "output_bytes": output,
        "parts_bytes": sum(each["parts_bytes"] for each in good),
        "catalog_bytes": catalog,
        "cpu_hours": round(cpu_s / 3600.0, 3),
        "memory_bytes": max((each["memory_bytes"] for each in good), default=0),
        "disk_needed_bytes": needed,
        "disk_free_bytes": free,
        "fits": needed <= free,
    }


def _estimate(row: BatchRow, rate: float) -> SceneEstimate:
    told: SceneEstimate = {
        "line": row.line,
        "name": row.ref.name,
        "priority": row.priority,
        "name_has_key": "{key}" in row.config.output.name,
        "method": row.config.fuse.method,
        "out": "",
        "mpx": 0.0,
        "tiles": 0,
        "cpu_s": 0.0,
        "memory_bytes": 0,
        "output_bytes": 0,
        "parts_bytes": 0,
        "catalog_bytes": 0,
        "code": "",
        "message": "",
    }
    try:
        scene = opened(row.ref)
        plan = make_plan(scene, request_of(row.config))
    except GeofuseError as fault:
        told["code"], told["message"] = fault.code, str(fault)
        return told
    summary = plan_summary(plan)
    mpx = plan.grid.height * plan.grid.width / 1e6
    job = SceneJob(row.config, "KEY", Path())
    written: int = summary["output_bytes_estimate"]
    told["out"] = str(product_path(job, scene, row.config.fuse.method))
    told["mpx"] = round(mpx, 3)
    told["tiles"] = summary["tiles"]
    told["cpu_s"] = round(CPU_S_PER_SCENE + rate * mpx, 1)
    told["memory_bytes"] = summary["bytes_in_memory"]
    told["output_bytes"] = written
    told["parts_bytes"] = written
    told["catalog_bytes"] = written if row.config.catalog.folder else 0
    return told


def _check_names(found: Sequence[SceneEstimate]) -> None:
    """Refuse two lines with one product's name, unless a key in it will tell them apart."""
    seen: dict[str, int] = {}
    for each in found:
        name = each["out"]
        if not name or each["name_has_key"]:
            continue
        if name in seen:
            raise ExistsError(
                f"lines {seen[name]} and {each['line']} would make one product, {name}",
                wanted="a name of its own for each",
                do="put {key} into output.name, or write output.name into a column",
            )
        seen[name] = each["line"]


def cpu_s_per_mpx(config: RunConfig) -> float:
    """Return the CPU seconds a megapixel takes by the configuration's method: as the last scenes here did."""
    costs = []
    for place in sorted((state_folder(config) / JOBS).glob(f"*/{COST}"), key=os.path.getmtime)[-RECENT:]:
        cost = read_json(place) or {}
        if cost.get("method") == config.fuse.method and cost.get("mpx") and cost.get("cpu_s"):
            costs.append((cost["cpu_s"] - CPU_S_PER_SCENE) / cost["mpx"])
    return max(statistics.median(costs), 0.1) if costs else CPU_S_PER_MPX


def _free_bytes(folder: Path) -> int:
    place = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    return shutil.disk_usage(place).free
