"""A catalogue made anew: by another configuration, or only what is out of date."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from geofuse.archive import catalog
from geofuse.config import RunConfig, config_digest, config_from
from geofuse.errors import GeofuseError, ProductError, UsageError
from geofuse.files import read_json
from geofuse.line.scene_ledger import CONFIGURATION, rows
from geofuse.line.scene_ref import SceneRef, scene_key, with_digest
from geofuse.line.stage_records import SceneJob, forget, job_folder
from geofuse.nouns import StacJson
from geofuse.quality.accept import profile_for
from geofuse.run.records.product_files import read_record
from geofuse.run.records.reopening import is_there, recorded_scene
from geofuse.version import __version__


@dataclass(frozen=True, slots=True)
class Stale:
    """An item that is to be made anew."""

    item: str
    """Its id."""
    ref: SceneRef | None
    """Its scene; None where the inputs are gone."""
    config: RunConfig
    """By what it is made."""
    because: str
    """Why, in a few words; or why it cannot be."""


def stale_items(
    config: RunConfig, *, everything: bool = False, own: bool = False, sensor: str | None = None
) -> list[Stale]:
    """Return the catalogue's items that are out of date, or all of them, with their scenes.

    Out of date is what another release, configuration, acceptance profile or delivery made. With `own` each
    item's scene keeps the configuration it was run with, where the state remembers it. Raises UsageError
    without a catalogue.
    """
    if not config.catalog.folder:
        raise UsageError("no catalogue", wanted="catalog.folder, or --catalog DIR")
    folder = Path(config.catalog.folder)
    known = {row.item: row for row in rows(config) if row.item and row.ref is not None}
    found = []
    for entry in catalog.find(folder):
        if sensor is not None and entry.collection != sensor:
            continue
        item = catalog.load(folder, entry)
        row = known.get(entry.id)
        wanted = _own_config(config, row.key) if own and row else config
        ref = row.ref if row and row.ref else _ref_of(item, folder / entry.href)
        reasons = list(_reasons(item, wanted, ref))
        if ref is None:
            found.append(Stale(entry.id, None, wanted, "its inputs are gone"))
        elif everything or reasons:
            found.append(Stale(entry.id, ref, wanted, "; ".join(reasons) or "everything was asked for"))
    return found


def start_anew(config: RunConfig, ref: SceneRef) -> None:
    """Let a scene's stages be done again although they were done; finished products of the same plan stay."""
    key = scene_key(config, ref)
    forget(SceneJob(config, key, job_folder(config, key)))


def _own_config(config: RunConfig, key: str) -> RunConfig:
    found = read_json(job_folder(config, key) / CONFIGURATION)
    return config_from(found) if found else config


def _reasons(item: StacJson, config: RunConfig, ref: SceneRef | None) -> Iterator[str]:
    """Yield what is other now than when the item was made."""
    said = item["properties"]
    release = (said.get("processing:software") or {}).get("geofuse")
    if release != __version__:
        yield f"made by release {release}"
    if (said.get("geofuse:configuration") or {}).get("digest") != config_digest(config):
        yield "made by another configuration"
    profile = profile_for(config.accept.profile, item["collection"])
    if said.get("geofuse:accept_profile") != f"{profile.profile} {profile.version}":
        yield f"judged by {said.get('geofuse:accept_profile') or 'nobody'}"
    if ref is not None and ref.digest:
        try:
            if with_digest(ref).digest != ref.digest:
                yield "its inputs changed"
        except GeofuseError:
            yield "its inputs cannot be read"


def _ref_of(item: StacJson, place: Path) -> SceneRef | None:
    """Find the scene of an item by its record; None where the files are not there any more."""
    asset = item["assets"].get("provenance")
    record = read_record(place.parent / asset["href"]) if asset else None
    if record is None:
        return None
    try:
        found = recorded_scene(record)
    except ProductError:
        return None
    if not is_there(found):
        return None
    name, whole = str(record["scene"]["id"]), next((one.path for one in found.given if not one.role), None)
    return SceneRef(name, whole, () if whole else found.given, reader=found.reader)
