"""Many scenes by a list: what they will cost, in which order they run, what became of them.

The list is a CSV with a head: `scene`, or `pan` and `ms` (several files with ; between them), `priority` (larger
first), and any key of a configuration, such as `fuse.method`, that is other for that scene.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
import os
import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from geofuse.config import RunConfig, config_with, output_folder, state_folder
from geofuse.errors import ConfigError, ExistsError, GeofuseError, UsageError
from geofuse.files import read_json, write_bytes
from geofuse.line.events import Tell, quiet
from geofuse.line.inbox_run import run_or_tell
from geofuse.line.pipeline_faults import may_retry
from geofuse.line.scene_ledger import FAILED, JUDGED, LedgerRow, digested, ledger, select
from geofuse.line.scene_ref import SceneRef, opened, scene_key, scene_ref
from geofuse.line.scene_run import COST, Outcome
from geofuse.line.stage_records import JOBS, SceneJob, job_folder, product_path
from geofuse.run.inspecting import plan_summary
from geofuse.run.planning import make_plan
from geofuse.run.request import request_of

CSV_BYTES = 16 << 20
RECENT = 50
"""Scenes that tell what others will cost."""
ROUNDS = 2
"""Times all that failed and may succeed later is run once more, after the others."""
CPU_S_PER_MPX, CPU_S_PER_SCENE = 1.6, 2.0
"""Of closed forms with calibration and assessment, before this machine has done any: measured on 2 cores."""
COLUMNS = ("scene", "pan", "ms", "priority")
SUMMARY = ("name", "source", "state", "verdict", "code", "reason", "cpu_s", "seconds", "out", "item", "key")
RunOne = Callable[[RunConfig, SceneRef], Outcome]


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One line of a list."""

    line: int
    """Its number in the file."""
    config: RunConfig
    """What is wanted of it."""
    ref: SceneRef
    """The scene."""
    priority: float = 0.0
    """Larger ones run first."""


def read_manifest(path: Path, config: RunConfig) -> list[BatchRow]:
    """Read a list of scenes, in the order in which they run: by priority, then as they stand.

    Relative paths are relative to the list. Raises ConfigError naming the line and the column.
    """
    try:
        if path.stat().st_size > CSV_BYTES:
            raise ConfigError("more than 16 MiB", wanted="a list of scenes", path=str(path))
        lines = list(csv.reader(io.StringIO(path.read_text("utf-8-sig"))))
    except FileNotFoundError as fault:
        raise ConfigError("no such file", wanted="a CSV of scenes", path=str(path)) from fault
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise ConfigError(f"no CSV: {fault}", path=str(path)) from fault
    numbered = [
        (number, cells) for number, cells in enumerate(lines, 1) if any(cell.strip() for cell in cells)
    ]
    if not numbered:
        raise ConfigError("no lines", wanted="a head and one line for each scene", path=str(path))
    head = [cell.strip() for cell in numbered[0][1]]
    _check_head(head, str(path))
    found = [_batch_row(number, head, cells, config, path) for number, cells in numbered[1:]]
    return sorted(found, key=lambda row: (-row.priority, row.line))


def _check_head(head: Sequence[str], where: str) -> None:
    for name in head:
        if head.count(name) > 1:
            raise ConfigError(f"column {name!r} twice", wanted="each column once", path=where)
        if name not in COLUMNS and "." not in name:
            near = difflib.get_close_matches(name, COLUMNS, n=1)
            raise ConfigError(
                f"unknown column {name!r}",
                wanted=", ".join(COLUMNS) + " or a key such as fuse.method",
                do=f"did you mean {near[0]}?" if near else "",
                path=where,
            )
    if "scene" not in head and not {"pan", "ms"} <= set(head):
        raise ConfigError("no column scene", wanted="scene, or pan and ms", path=where)


def _batch_row(
    number: int, head: Sequence[str], cells: Sequence[str], config: RunConfig, path: Path
) -> BatchRow:
    where = f"{path}, line {number}"
    if len(cells) > len(head):
        raise ConfigError(f"{len(cells)} cells", wanted=f"{len(head)}, as the head has", path=where)
    told = {name: cell.strip() for name, cell in zip(head, cells, strict=False) if cell.strip()}
    values: dict[str, dict[str, object]] = {"scene": {}}
    for name in [name for name in told if "." in name]:
        section, _, key = name.partition(".")
        values.setdefault(section, {})[key] = _value(told[name])
    values["scene"] |= {"path": told.get("scene", ""), "pan": "", "ms": []}
    if "scene" not in told:
        files = [each for each in told.get("ms", "").split(";") if each]
        values["scene"] |= {"pan": told.get("pan", ""), "ms": files}
    try:
        priority = float(told.get("priority", 0.0))
        own = config_with(config, values, path.absolute().parent, where=where)
        return BatchRow(number, own, scene_ref(own, digest=False), priority)
    except ValueError as fault:
        raise ConfigError(f"priority {told['priority']!r}", wanted="a number", path=where) from fault
    except UsageError as fault:
        raise ConfigError(f"no scene ({fault.wanted})", path=where) from fault


def _value(text: str) -> Any:
    """Read a cell as JSON where it is any, as a list where it has semicolons, else as text."""
    try:
        return json.loads(text)
    except ValueError:
        return [each.strip() for each in text.split(";")] if ";" in text else text


def batch_plan(batch: Sequence[BatchRow]) -> dict[str, Any]:
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
    total = {
        name: sum(each[name] for each in good)
        for name in ("mpx", "cpu_s", "output_bytes", "parts_bytes", "catalog_bytes")
    }
    largest = max((each["parts_bytes"] for each in good), default=0)
    folder = output_folder(batch[0].config) if batch else Path()
    needed = total["output_bytes"] + total["catalog_bytes"] + largest
    free = _free_bytes(folder)
    return {
        "scenes": found,
        "scenes_ok": len(good),
        "scenes_bad": len(found) - len(good),
        **total,
        "cpu_hours": round(total["cpu_s"] / 3600.0, 3),
        "memory_bytes": max((each["memory_bytes"] for each in good), default=0),
        "disk_needed_bytes": needed,
        "disk_free_bytes": free,
        "fits": needed <= free,
    }


def _estimate(row: BatchRow, rate: float) -> dict[str, Any]:
    told: dict[str, Any] = {"line": row.line, "name": row.ref.name, "priority": row.priority}
    told["name_has_key"] = "{key}" in row.config.output.name
    nothing = {"out": "", "mpx": 0.0, "cpu_s": 0.0, "memory_bytes": 0, "tiles": 0}
    nothing |= {"output_bytes": 0, "parts_bytes": 0, "catalog_bytes": 0, "method": row.config.fuse.method}
    try:
        scene = opened(row.ref)
        plan = make_plan(scene, request_of(row.config))
    except GeofuseError as fault:
        return {**told, **nothing, "code": fault.code, "message": str(fault)}
    summary = plan_summary(plan)
    mpx = plan.grid.height * plan.grid.width / 1e6
    job = SceneJob(row.config, "KEY", Path())
    written = summary["output_bytes_estimate"]
    return {
        **told,
        "method": row.config.fuse.method,
        "out": str(product_path(job, scene, row.config.fuse.method)),
        "mpx": round(mpx, 3),
        "tiles": summary["tiles"],
        "cpu_s": round(CPU_S_PER_SCENE + rate * mpx, 1),
        "memory_bytes": summary["bytes_in_memory"],
        "output_bytes": written,
        "parts_bytes": written,
        "catalog_bytes": written if row.config.catalog.folder else 0,
        "code": "",
        "message": "",
    }


def _check_names(found: Sequence[Mapping[str, Any]]) -> None:
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


def run_batch(
    batch: Sequence[BatchRow], *, tell: Tell = quiet, one: RunOne | None = None
) -> list[tuple[BatchRow, Outcome]]:
    """Run the lines of a batch; what failed and may succeed later is run again, alone, after the others.

    Scenes that are done already are not run. `one` runs a scene and raises nothing: flows put theirs there.
    """
    run = one or (lambda config, ref: run_or_tell(config, ref, tell=tell))
    found: dict[int, tuple[BatchRow, Outcome]] = {}
    for row in batch:
        row, done = _done(row)
        found[row.line] = (row, done or run(row.config, row.ref))
    for _ in range(ROUNDS):
        again = [row for row, outcome in found.values() if outcome.state == FAILED and _worth(outcome)]
        for row in again:
            found[row.line] = (row, run(row.config, row.ref))
    return [found[row.line] for row in batch]


def _worth(outcome: Outcome) -> bool:
    """Say whether a failed scene may succeed when it is run again."""
    return outcome.retry


def _done(row: BatchRow) -> tuple[BatchRow, Outcome | None]:
    """Return the line with its scene's digest, and how it ended where it did before."""
    try:
        ref = row.ref if row.ref.digest else digested(row.config, row.ref)
    except GeofuseError as fault:
        return row, Outcome(
            row.ref.name, "", FAILED, code=fault.code, message=str(fault), retry=may_retry(fault)
        )
    key = scene_key(row.config, ref)
    with ledger(row.config) as book:
        before = next((each for each in select(book, "key = ?", [key]) if each.state in JUDGED), None)
    return replace(row, ref=ref), _outcome(before) if before else None


def _outcome(row: LedgerRow) -> Outcome:
    return Outcome(
        row.name, row.key, row.state, row.verdict, (row.reason,) if row.reason else (), row.out, row.item
    )


def summary_rows(done: Sequence[tuple[BatchRow, Outcome]]) -> list[dict[str, Any]]:
    """Return one line of the summary for each scene."""
    found = []
    for row, outcome in done:
        cost = read_json(job_folder(row.config, outcome.key) / COST) if outcome.key else None
        values = {
            "name": outcome.name,
            "source": row.ref.path or row.ref.files[0].path,
            "state": outcome.state,
            "verdict": outcome.verdict,
            "code": outcome.code,
            "reason": "; ".join(outcome.reasons) or outcome.message,
            "cpu_s": (cost or {}).get("cpu_s", ""),
            "seconds": round(sum(outcome.seconds.values()), 1) or "",
            "out": outcome.out,
            "item": outcome.item,
            "key": outcome.key,
        }
        found.append({name: values[name] for name in SUMMARY})
    return found


def write_summary(path: Path, done: Sequence[tuple[BatchRow, Outcome]]) -> None:
    """Write the summary as CSV, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, SUMMARY, lineterminator="\n")
    writer.writeheader()
    writer.writerows(summary_rows(done))
    write_bytes(path, text.getvalue().encode())
