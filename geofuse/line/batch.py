"""Many scenes by a list: what they will cost, in which order they run, what became of them.

The list is a CSV with a head: `scene`, or `pan` and `ms` (several files with ; between them), `priority` (larger
first), and any key of a configuration, such as `fuse.method`, that is other for that scene.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

from geofuse.config import RunConfig, config_with
from geofuse.errors import ConfigError, GeofuseError, UsageError
from geofuse.files import read_json, write_bytes
from geofuse.line.events import Tell, may_retry, quiet
from geofuse.line.inbox_run import run_or_tell
from geofuse.line.scene_ledger import FAILED, JUDGED, LedgerRow, digested, ledger, select
from geofuse.line.scene_ref import SceneRef, scene_key, scene_ref
from geofuse.line.scene_run import COST, Outcome
from geofuse.line.stage_records import job_folder

CSV_BYTES = 16 << 20
ROUNDS = 2
"""Times all that failed and may succeed later is run once more, after the others."""
COLUMNS = ("scene", "pan", "ms", "priority")
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


class SummaryRow(TypedDict):
    """One line of a batch's summary."""

    name: str
    source: str | None
    state: str
    verdict: str
    code: str
    reason: str
    cpu_s: float | str
    seconds: float | str
    out: str
    item: str
    key: str


SUMMARY = tuple(SummaryRow.__annotations__)


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


def summary_rows(done: Sequence[tuple[BatchRow, Outcome]]) -> list[SummaryRow]:
    """Return one line of the summary for each scene."""
    found = []
    for row, outcome in done:
        cost = read_json(job_folder(row.config, outcome.key) / COST) if outcome.key else None
        values: SummaryRow = {
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
        found.append(values)
    return found


def write_summary(path: Path, done: Sequence[tuple[BatchRow, Outcome]]) -> None:
    """Write the summary as CSV, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, SUMMARY, lineterminator="\n")
    writer.writeheader()
    writer.writerows(summary_rows(done))
    write_bytes(path, text.getvalue().encode())
