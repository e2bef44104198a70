"""`watch-inbox`: which scenes have arrived whole, and a `fuse-scene` run for each."""

from __future__ import annotations

from typing import Any

from prefect import flow, get_client, resume_flow_run, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import State
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed

from geofuse.config import RunConfig
from geofuse.errors import GeofuseError
from geofuse.flows.eventlog import call_hooks, read_events, record
from geofuse.flows.process_labels import mark_run
from geofuse.flows.scene import retry_helps, run_here
from geofuse.flows.settings import DEPLOYED_AS, ConfigValue, config_of, event_log
from geofuse.flows.ui_progress import show_table
from geofuse.line.scene_ledger import PUBLISHED, REJECTED, UNPUBLISHED, LedgerRow, rows
from geofuse.line.scene_ref import ref_to_json
from geofuse.line.sources.inbox import Scan, scan

DEPLOYMENT = f"fuse-scene/{DEPLOYED_AS}"


@task(name="look", task_run_name="look", cache_policy=NO_CACHE, persist_result=False)
def look_at_inbox(config: ConfigValue) -> Scan:
    """Look at the inbox: what is ready, what waits, what is parked."""
    return scan(config_of(config))


@task(
    name="download",
    task_run_name="search and download",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=2,
    retry_delay_seconds=[10, 60],
    retry_condition_fn=retry_helps,
)
def download(config: ConfigValue) -> int:
    """Search a STAC source and download what is new; returns how many scenes there are."""
    from geofuse.line.sources.stac import fetch

    checked = config_of(config)
    return len(fetch(checked.stac)) if checked.stac else 0


@flow(name="watch-inbox", flow_run_name="look at the inbox", persist_result=False)
def watch_inbox(config: ConfigValue) -> State[Any]:
    """Start a `fuse-scene` run for every new whole scene in the inbox, or of a STAC source; move nothing.

    A scene that has a run under way gets no second one. Products that a person decided about since go on.
    """
    mark_run()
    checked = config_of(config)
    notes = []
    if checked.stac:
        try:
            download(config)
        except GeofuseError as error:  # what lies in the inbox is looked at all the same
            notes.append(f"[{error.code}] {error}")
    found = look_at_inbox(config)
    counts = {
        "started": sum(start(config, checked, row) for row in found.ready),
        "waiting": len(found.waiting),
        "parked": len(found.parked),
        "decided": go_on_with_decided(checked),
    }
    tell_parked(checked, found.parked)
    show_table("inbox", [_row(row) for row in rows(checked)], "what the inbox holds")
    record(event_log(checked), "looked", **counts)
    message = "; ".join([", ".join(f"{count} {name}" for name, count in counts.items()), *notes])
    return Completed(name="SourceAway" if notes else "Completed", message=message)


def start(config: ConfigValue, checked: RunConfig, row: LedgerRow) -> bool:
    """Start a run for a scene, unless one is under way; says whether it did.

    Two watchers at a time start one: a run's key is the scene's key and how many runs it had before.
    """
    if row.ref is None:
        return False
    with get_client(sync_client=True) as client:
        before = client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate({"tags": {"all_": [row.key]}})
        )
    if any(run.state is None or not run.state.is_final() for run in before):
        return False
    record(event_log(checked), "scene_queued", scene=row.name, key=row.key)
    try:
        run_deployment(
            DEPLOYMENT,
            parameters={"config": config, "scene": ref_to_json(row.ref)},
            flow_run_name=f"{row.name} {checked.fuse.method}",
            tags=[row.key],
            idempotency_key=f"{row.key}-{len(before)}",
            timeout=0,
            as_subflow=False,
        )
    except ObjectNotFound:  # nobody serves it: this run does the work itself
        run_here(checked, row.ref)
    return True


def go_on_with_decided(config: RunConfig) -> int:
    """Let the runs go on whose products `geofuse accept` decided about; returns how many."""
    decided = {row.key: row for row in rows(config) if row.state in (PUBLISHED, REJECTED, UNPUBLISHED)}
    count = 0
    with get_client(sync_client=True) as client:
        paused = client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate({"state": {"type": {"any_": ["PAUSED"]}}})
        )
    for run in paused:
        row = next((decided[tag] for tag in run.tags if tag in decided), None)
        if row is not None:
            resume_flow_run(run.id, run_input={"accept": row.state != REJECTED, "by": "geofuse accept"})
            count += 1
    return count


def tell_parked(config: RunConfig, parked: tuple[LedgerRow, ...]) -> None:
    """Tell log and hooks of scenes that need a person, once each."""
    log = event_log(config)
    told = {
        (event.get("scene"), event.get("message"))
        for _, event in (read_events(log) if parked else ())
        if event.get("event") in ("scene_parked", "scene_ended")
    }
    for row in parked:
        if (row.name, row.reason) not in told:
            record(log, "scene_parked", scene=row.name, key=row.key, code=row.code, message=row.reason)
            facts = {"event": "parked", "scene": row.name, "code": row.code, "message": row.reason}
            call_hooks(config.hooks.on_failure, log, facts)


def _row(row: LedgerRow) -> dict[str, object]:
    names = ("name", "state", "verdict", "code", "reason", "attempts", "item")
    return {name: getattr(row, name) for name in names}
