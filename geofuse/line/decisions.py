"""What a person says about a product that waits: it is published then, or never."""

from __future__ import annotations

import difflib
from dataclasses import replace
from datetime import UTC, datetime

from geofuse.config import RunConfig, config_from
from geofuse.errors import UsageError
from geofuse.files import read_json, write_json
from geofuse.line.answers import DecisionDocument, answers_of
from geofuse.line.events import Tell, quiet
from geofuse.line.pipeline import run_stage
from geofuse.line.scene_ledger import CONFIGURATION, REVIEWED, LedgerRow, ledger, put, rows
from geofuse.line.scene_run import outcome_of
from geofuse.line.stage_records import job_folder


def waiting(config: RunConfig) -> list[LedgerRow]:
    """Return the scenes whose products wait for a person."""
    return [row for row in rows(config) if row.state == REVIEWED]


class Decided(DecisionDocument):
    """What was said, and where the scene stands now."""

    name: str
    key: str
    state: str
    item: str


def decide(config: RunConfig, scene: str, *, by: str, accept: bool, tell: Tell = quiet) -> Decided:
    """Accept or reject a product that waits, by its scene's name, its item or its key; publishes what is accepted.

    The configuration of the run itself holds, not `config`, which says where the state is. Raises UsageError
    where nothing of that name waits.
    """
    row = _find(config, scene)
    folder = job_folder(config, row.key)
    own = _own_config(config, row)
    assert row.ref is not None
    said: DecisionDocument = {
        "by": by,
        "accepted": accept,
        "at": datetime.now(UTC).replace(microsecond=0).isoformat(),
    }
    write_json(folder / "decision.json", said)
    accepted = run_stage("accept", own, row.ref, tell=tell)
    published = run_stage("publish", own, row.ref, tell=tell)
    outcome = outcome_of(own, row.ref, answers_of({"accept": accepted, "publish": published}))
    word = "accepted" if accept else "rejected"
    with ledger(config) as book:
        put(
            book, replace(row, state=outcome.state, item=outcome.item, reason=f"{word} by {by}: {row.reason}")
        )
    return {"name": row.name, "key": row.key, "state": outcome.state, "item": outcome.item, **said}


def _own_config(config: RunConfig, row: LedgerRow) -> RunConfig:
    """Return the configuration that the scene was run with."""
    found = read_json(job_folder(config, row.key) / CONFIGURATION)
    if found is None:
        raise UsageError(
            "the configuration of the run is gone",
            do="run the scene again",
            path=str(job_folder(config, row.key)),
        )
    return config_from(found)


def _find(config: RunConfig, scene: str) -> LedgerRow:
    found = waiting(config)
    names = [
        row
        for row in found
        if scene in (row.name, row.key) or (len(scene) >= 8 and row.key.startswith(scene))
    ]
    if len(names) == 1:
        return names[0]
    if names:
        keys = ", ".join(row.key[:8] for row in names)
        raise UsageError(f"{len(names)} products of {scene} wait", wanted=f"one of the keys {keys}")
    near = difflib.get_close_matches(scene, [row.name for row in found], n=1)
    raise UsageError(
        f"no product of {scene!r} waits",
        wanted=", ".join(row.name for row in found[:10]) or "one that does",
        do=f"did you mean {near[0]}?" if near else "",
    )
