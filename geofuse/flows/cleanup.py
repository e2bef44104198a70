"""`clean-up`: parts nobody took up, old downloads, superseded products, and the log of events."""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed

from geofuse.flows.eventlog import record, rotate
from geofuse.flows.settings import ConfigValue, config_of, event_log
from geofuse.line.answers import Cleaned
from geofuse.line.cleaning import clean


@task(task_run_name="clean", cache_policy=NO_CACHE, persist_result=False)
def clean_now(config: ConfigValue, dry_run: bool) -> Cleaned:
    """Remove what the retention of the configuration lets go."""
    return clean(config_of(config), dry_run=dry_run)


@flow(name="clean-up", flow_run_name="clean up", persist_result=False)
def clean_up(config: ConfigValue, dry_run: bool = False) -> State[Any]:
    """Remove parts, downloads and old versions beyond their retention; `dry_run` only says what."""
    done = clean_now(config, dry_run)
    log = event_log(config_of(config))
    rotated = not dry_run and rotate(log)
    counts = {kind: len(found) if isinstance(found, list) else found for kind, found in done.items()}
    record(log, "cleaned", **counts, rotated=rotated)
    told = ", ".join(f"{kind} {count}" for kind, count in counts.items() if kind != "dry_run")
    return Completed(message=f"{'would remove: ' if dry_run else ''}{told}", data=done)
