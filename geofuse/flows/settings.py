"""From a flow's parameters, which are JSON, to what the pipeline takes, and the places a configuration means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from geofuse.config import RunConfig, config_from, load_config, state_folder
from geofuse.line.scene_ref import SceneRef, ref_from_json, ref_of_path, scene_ref, with_digest
from geofuse.nouns import Json

Document = dict[str, Any]
"""A JSON object, as a flow's parameters and a stage's answer are: what is in it is said where it is made."""
ConfigValue = str | Document
"""A configuration: the path of its file, or its values."""
SceneValue = str | Document | None
"""A scene: a path, a reference as JSON, or what the configuration names."""

DEPLOYED_AS = "geofuse"
"""Name of every deployment: `fuse-scene/geofuse`."""


def config_of(config: ConfigValue) -> RunConfig:
    """Read a configuration from a file's path, or check one that came as values."""
    return load_config(config) if isinstance(config, str) else config_from(config)


def ref_of(config: RunConfig, scene: SceneValue | Json, *, digest: bool = True) -> SceneRef:
    """Say which scene is meant; with `digest` its files are read to their end, unless that was done before."""
    if not scene:
        return scene_ref(config, digest=digest)
    found = ref_from_json(scene) if isinstance(scene, dict) else ref_of_path(str(scene))
    return with_digest(found) if digest and not found.digest else found


def event_log(config: RunConfig) -> Path:
    """Return the file of events."""
    return Path(config.events.log) if config.events.log else state_folder(config) / "events.jsonl"


def disks(config: RunConfig) -> dict[str, Path]:
    """Return the folders whose disks are watched, by what they are."""
    places = {
        "inbox": config.inbox.folder,
        "catalog": config.catalog.folder,
        "products": config.output.folder,
    }
    return {name: Path(place) for name, place in places.items() if place} | {"state": state_folder(config)}
