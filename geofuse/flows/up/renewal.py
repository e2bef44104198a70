"""Deployments that an older geofuse left with the server, and what each needs to run again."""

from __future__ import annotations

import logging

from geofuse.flows.settings import DEPLOYED_AS
from geofuse.flows.up.place import UpPlaces
from geofuse.flows.up.server_api import ask_all

RENAMED = {
    "flows.scene.fuse_scene": "geofuse.flows.scene.fuse_scene",
    "flows.inbox.watch_inbox": "geofuse.flows.inbox.watch_inbox",
    "flows.batches.fuse_batch": "geofuse.flows.batches.fuse_batch",
    "flows.batches.reprocess": "geofuse.flows.batches.reprocess",
    "flows.training.train_scenes": "geofuse.flows.training.train_scenes",
    "flows.tending.clean_up": "geofuse.flows.cleanup.clean_up",
}
"""Entrypoints of 0.3, whose package `flows` is gone, and what they are now."""

_log = logging.getLogger(__name__)


def renewals(place: UpPlaces) -> list[str]:
    """Return a line for what 0.3 left with this server: what this start renews, and what a person must."""
    try:
        found = [(each, str(each.get("entrypoint"))) for each in ask_all(place, "deployments")]
        old = [(each, before) for each, before in found if before in RENAMED]
        flows = {each["id"]: each["name"] for each in ask_all(place, "flows")} if old else {}
    except (OSError, ValueError, LookupError) as error:
        _log.warning("deployments of the server not looked at: %s", error)
        return []
    named = sorted(
        (f"{flows.get(each.get('flow_id', ''), '?')}/{each['name']}", before) for each, before in old
    )
    own = [name for name, _ in named if name.endswith(f"/{DEPLOYED_AS}")]
    lines = [f"{', '.join(own)}: deployed by geofuse 0.3, renewed by this start"] if own else []
    return lines + [
        f"{name}: deployed by geofuse 0.3, its entrypoint {before} is gone; "
        f"write {RENAMED[before]} into its prefect.yaml and run `prefect deploy` again"
        for name, before in named
        if name not in own
    ]
