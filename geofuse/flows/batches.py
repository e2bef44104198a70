"""`fuse-batch` and `reprocess`: many scenes in one run, each a `fuse-scene` run below it, and a table of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run as running
from prefect.states import Completed, Failed

from geofuse.config import RunConfig
from geofuse.errors import GeofuseError
from geofuse.flows import run_pages
from geofuse.flows.eventlog import record
from geofuse.flows.process_labels import mark_run
from geofuse.flows.scene import run_here
from geofuse.flows.settings import ConfigValue, config_of, event_log
from geofuse.flows.ui_progress import GrowingTable, show_table
from geofuse.line.batch import read_manifest, run_batch, summary_rows, write_summary
from geofuse.line.batch_cost import batch_plan
from geofuse.line.reprocess import stale_items, start_anew
from geofuse.line.scene_ref import SceneRef
from geofuse.line.scene_run import Outcome


def _batch_name() -> str:
    return f"batch {Path(str(running.parameters['manifest'])).stem}"


@flow(name="fuse-batch", flow_run_name=_batch_name, persist_result=False)
def fuse_batch(
    config: ConfigValue, manifest: str, dry_run: bool = False, summary: str | None = None
) -> State[Any]:
    """Fuse the scenes of a CSV manifest, the urgent first; `dry_run` says what it would cost.

    A table shows how each ended, from the first on. What failed and may succeed later is run again, alone,
    after the others; the same manifest again does only what is not done. `summary` is a CSV to write.
    """
    mark_run()
    try:
        batch = read_manifest(Path(manifest), config_of(config))
        plan = batch_plan(batch)
    except GeofuseError as error:
        return Failed(message=f"[{error.code}] {error}")
    name = run_pages.slug(f"batch-{Path(manifest).stem}")
    if dry_run:
        show_table(f"{name}-plan", plan["scenes"], f"{len(batch)} scenes, {plan['cpu_hours']} CPU hours")
        fits = "fits" if plan["fits"] else "does not fit"
        told = f"{plan['scenes_ok']} scenes, {plan['scenes_bad']} bad, {plan['cpu_hours']} CPU hours"
        return Completed(
            message=f"{told}, {plan['disk_needed_bytes'] / 2**30:.2f} GiB, which {fits}", data=plan
        )
    if not plan["fits"]:
        wanted = (
            f"{plan['disk_needed_bytes'] / 2**30:.2f} GiB wanted, {plan['disk_free_bytes'] / 2**30:.2f} free"
        )
        return Failed(message=f"[disk] the batch does not fit: {wanted}; free some space, or split the list")
    seen = _Seen(name, len(batch))
    done = run_batch(batch, one=seen.run)
    seen.table.show(summary_rows(done), "done")
    if summary:
        write_summary(Path(summary), done)
    return _ended(config_of(config), [outcome for _, outcome in done], "batch_ended", manifest)


@flow(name="reprocess", flow_run_name="reprocess", persist_result=False)
def reprocess(
    config: ConfigValue, everything: bool = False, own: bool = False, sensor: str | None = None
) -> State[Any]:
    """Fuse again what of a catalogue is out of date under this configuration, or `everything` of it.

    With `own` each item keeps the configuration it was made with. Items whose inputs are gone are named.
    """
    mark_run()
    checked = config_of(config)
    stale = stale_items(checked, everything=everything, own=own, sensor=sensor)
    seen = _Seen("reprocess", len(stale))
    done = []
    for each in stale:
        if each.ref is None:
            done.append(Outcome(each.item, "", "failed", code="scene", message=each.because))
            continue
        if everything:
            start_anew(each.config, each.ref)
        done.append(seen.run(each.config, each.ref))
    seen.table.show(run_pages.batch_rows(done), "done")
    return _ended(checked, done, "reprocess_ended", str(checked.catalog.folder))


class _Seen:
    """The scenes of a batch that ended so far, in a table that grows."""

    def __init__(self, name: str, count: int) -> None:
        self.table, self.count = GrowingTable(name), count
        self.done: list[Outcome] = []

    def run(self, config: RunConfig, ref: SceneRef) -> Outcome:
        """Run a scene as a run of its own below this one."""
        outcome = run_here(config, ref)
        self.done.append(outcome)
        self.table.show(run_pages.batch_rows(self.done), f"{len(self.done)} of {self.count} scenes")
        return outcome


def _ended(config: RunConfig, done: Sequence[Outcome], event: str, what: str) -> State[Any]:
    counts = Counter(outcome.state for outcome in done)
    message = ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "nothing to do"
    record(event_log(config), event, what=what, **counts)
    return Completed(
        name="WithFailures" if counts["failed"] else "Completed", message=message, data=dict(counts)
    )
