"""The catalogue: a folder of STAC items that any STAC reader opens, moved and served as it stands.

DIR/catalog.json leads to DIR/SENSOR/collection.json, that to DIR/SENSOR/ID/ID.json with its files beside it, all
by relative links. The items are the truth; collections, index and footprints are made from them, by `bring_up_to_date`,
after every change. One process changes a catalogue at a time, holding its lock; readers take none.
"""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

from geofuse.archive.catalog_assets import old_versions, remove_drafts, sweep
from geofuse.archive.catalog_index import (
    CatalogEntry,
    Query,
    discard_index,
    entries_of,
    extents,
    footprint_rows,
    keep_note,
    note,
    opened_index,
    state,
)
from geofuse.archive.footprints import FILES, stac_bbox, write_footprints
from geofuse.archive.rights import rights_of
from geofuse.archive.stac_item import providers, superseded_json
from geofuse.archive.stac_schemas import schema_problems
from geofuse.errors import ExistsError, LockedError, ProductError, UsageError, VerifyError
from geofuse.files import read_json, sync, write_bytes, write_faults, write_json
from geofuse.locks import locked
from geofuse.nouns import StacJson
from geofuse.scenes.sensors.table import SENSORS
from geofuse.scenes.sensors.table import sensor as sensor_named

CATALOG = "catalog.json"
COLLECTION = "collection.json"
WAIT_S = 600.0
_PATIENCE_S = 0.05
_log = logging.getLogger(__name__)


@contextmanager
def held(folder: Path, wait_s: float = WAIT_S) -> Iterator[None]:
    """Hold a catalogue's lock, waiting for others to leave; raises LockedError after `wait_s` seconds."""
    deadline = time.monotonic() + wait_s
    with write_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lock = locked(folder / CATALOG)
    while True:
        try:
            lock.__enter__()
            break
        except LockedError as fault:
            if time.monotonic() > deadline:
                raise LockedError(
                    f"another process has been changing this catalogue for {wait_s:.0f} s",
                    do="wait for it and run the same command again",
                    path=str(folder),
                ) from fault
            time.sleep(_PATIENCE_S)
            lock = locked(folder / CATALOG)
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def begin(folder: Path) -> None:
    """Make a folder a catalogue if it is none yet; raises ExistsError where something else lies in it."""
    if (folder / CATALOG).exists():
        checked(folder)
        return
    others = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    if others:
        raise ExistsError(
            f"a folder without {CATALOG} that holds {others[0]}",
            wanted="a catalogue, or an empty folder",
            path=str(folder),
        )
    _write_catalog(folder, [])


def checked(folder: Path) -> Path:
    """Return the folder if it is a catalogue; raises UsageError if not."""
    found = read_json(folder / CATALOG)
    if found is None or found.get("type") != "Catalog":
        raise UsageError("no catalogue", wanted=f"a folder with a STAC {CATALOG}", path=str(folder))
    return folder


def servable(folder: Path) -> Path:
    """Return the folder if it is a catalogue or can become one: empty, or not there yet where its parent is.

    Raises UsageError if not.
    """
    if folder.is_dir():
        new = all(path.name.startswith(".") for path in folder.iterdir())
    else:
        new = not folder.exists() and folder.parent.is_dir()
    if not new:
        return checked(folder)
    _log.warning("%s: no catalogue yet; it begins with the first product that is published", folder)
    return folder


def item_folder(folder: Path, collection: str, item_id: str) -> Path:
    """Return where an item and its files lie."""
    return folder / collection / item_id


def read_item(folder: Path, collection: str, item_id: str) -> StacJson | None:
    """Read an item; None where there is none. Raises VerifyError for one that is damaged."""
    return _read(item_folder(folder, collection, item_id) / f"{item_id}.json")


def _read(path: Path) -> StacJson | None:
    found = read_json(path)
    whole = found is not None and {"id", "assets", "links", "properties"} <= found.keys()
    if not whole and path.exists():
        raise VerifyError(
            "a damaged item",
            wanted="STAC that geofuse wrote",
            do="bring it back from a copy, or remove its folder and publish the product again",
            path=str(path),
        )
    return found


def commit_item(folder: Path, item: StacJson, before: StacJson | None) -> None:
    """Make an item visible in one step; `before` is the version it supersedes, which stays reachable by it.

    Raises ProductError for an item that is not valid STAC: nothing is written then.
    """
    place = item_folder(folder, item["collection"], item["id"])
    problems = schema_problems(item)
    if problems:
        raise ProductError(f"an item that is not valid STAC: {problems[0]}", path=str(place))
    if before is not None:
        name = version_folder(before)
        write_json(place / name / f"{before['id']}-{name}.json", superseded_json(before, name))
    write_json(place / f"{item['id']}.json", item)


def version_folder(item: StacJson) -> str:
    """Return the name of the folder that holds the files of an item's current version."""
    return f"v{item['properties']['version']}"


def find(folder: Path, query: Query | None = None) -> list[CatalogEntry]:
    """Return the items a query finds, all without one, by time of acquisition."""
    with opened_index(checked(folder)) as index:
        return entries_of(index, query)


def find_item(folder: Path, item_id: str) -> CatalogEntry:
    """Return an item by its id; raises UsageError, with the nearest id, where there is none."""
    known = {entry.id: entry for entry in find(folder)}
    if item_id not in known:
        near = get_close_matches(item_id, known, n=1)
        do = f"did you mean {near[0]}?" if near else "see `geofuse catalog list`"
        raise UsageError(f"no item {item_id!r}", do=do, path=str(folder))
    return known[item_id]


def load(folder: Path, entry: CatalogEntry) -> StacJson:
    """Read an entry's item; raises UsageError where it is gone meanwhile."""
    item = read_json(folder / entry.href)
    if item is None:
        raise UsageError(f"item {entry.id!r} is gone or unreadable", path=str(folder / entry.href))
    return item


def remove(folder: Path, item_id: str) -> None:
    """Remove an item with all its versions and files."""
    with held(checked(folder)):
        entry = find_item(folder, item_id)
        with opened_index(folder) as index:  # links go first: a reader must not be led to what is gone
            _settle_links(folder, index, [other for other in entries_of(index) if other.href != entry.href])
        with write_faults(folder / entry.href):
            (folder / entry.href).unlink()
            sync((folder / entry.href).parent)
            shutil.rmtree((folder / entry.href).parent)
        bring_up_to_date(folder)


def remove_superseded(folder: Path, item_id: str | None = None, *, keep: int = 0) -> int:
    """Remove the old versions of an item, or of all, but for the newest `keep`; returns how many went."""
    with held(checked(folder)):
        entries = [find_item(folder, item_id)] if item_id else find(folder)
        count = 0
        for entry in entries:
            place, item = (folder / entry.href).parent, load(folder, entry)
            old = old_versions(place, item)
            first = max(0, len(old) - keep)
            gone, kept = old[:first], old[first:]
            count += len(gone)
            if gone:
                oldest = kept[0] / f"{item['id']}-{kept[0].name}.json" if kept else folder / entry.href
                _drop_predecessor(oldest)  # links go first: a reader must not be led to what is gone
                with write_faults(place):
                    for path in gone:
                        shutil.rmtree(path)
            sweep(place, load(folder, entry))
        bring_up_to_date(folder)
        return count


def count_superseded(folder: Path, *, keep: int = 0) -> int:
    """Return how many old versions `remove_superseded` would remove."""
    entries = find(checked(folder))
    found = [old_versions((folder / entry.href).parent, load(folder, entry)) for entry in entries]
    return sum(max(0, len(old) - keep) for old in found)


def _drop_predecessor(path: Path) -> None:
    item = read_json(path)
    if item is not None:
        links = [link for link in item["links"] if link["rel"] != "predecessor-version"]
        write_json(path, {**item, "links": links})


def rebuild(folder: Path) -> int:
    """Make collections, index and footprints anew from the items, and sweep what killed runs left.

    Returns the number of items.
    """
    with held(checked(folder)):
        discard_index(folder)
        for sensor in _sensor_folders(folder):
            for place in [path for path in sensor.iterdir() if path.is_dir()]:
                _sweep_place(place)
        return bring_up_to_date(folder)


def _sensor_folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]


def _sweep_place(place: Path) -> None:
    try:
        sweep(place, _read(place / f"{place.name}.json"))
    except VerifyError as fault:  # its files may be all that is left of it
        _log.warning("%s", fault)


def bring_up_to_date(folder: Path) -> int:
    """Bring collections, index and footprints up to date with the items; returns the number of items.

    What is up to date is not written again. For the lock's holder: the drafts of killed runs are removed.
    """
    for place in (folder, *_sensor_folders(folder)):
        remove_drafts(place)
    with opened_index(folder) as index:
        entries = entries_of(index)
        _settle_links(folder, index, entries)
        now = state(index)
        if note(index, "footprints") != now or not all((folder / name).is_file() for name in FILES):
            write_footprints(folder, footprint_rows(index))
            keep_note(index, "footprints", now)
        return len(entries)


def _settle_links(folder: Path, index: sqlite3.Connection, entries: Sequence[CatalogEntry]) -> None:
    """Write the collections and the catalogue for these entries; an item is linked after it is there."""
    by_sensor: dict[str, list[CatalogEntry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.id):
        by_sensor.setdefault(entry.collection, []).append(entry)
    for sensor, held_items in sorted(by_sensor.items()):
        _write_changed(folder / sensor / COLLECTION, _collection(index, sensor, held_items))
    _write_catalog(folder, sorted(by_sensor))
    for place in _sensor_folders(folder):
        if place.name not in by_sensor:
            with write_faults(place):
                if (read_json(place / COLLECTION) or {}).get("type") == "Collection":
                    (place / COLLECTION).unlink()
                if not any(place.iterdir()):
                    place.rmdir()


def _write_catalog(folder: Path, sensors: Sequence[str]) -> None:
    """Write the root; a title and description somebody gave it stay."""
    import pystac

    known = read_json(folder / CATALOG) or {}
    value = pystac.Catalog(
        id=known.get("id", "geofuse"),
        title=known.get("title", "Fused satellite images"),
        description=known.get("description", "Sharp multispectral images, fused by geofuse."),
    ).to_dict(include_self_link=False)
    value["links"] = [
        {"rel": "root", "href": f"./{CATALOG}", "type": "application/json"},
        *(
            {
                "rel": "child",
                "href": f"./{sensor}/{COLLECTION}",
                "type": "application/json",
                "title": _title(sensor),
            }
            for sensor in sensors
        ),
    ]
    _write_changed(folder / CATALOG, value)


def _title(sensor: str) -> str:
    return sensor_named(sensor).title if sensor in SENSORS else sensor


def _collection(index: sqlite3.Connection, sensor: str, entries: Sequence[CatalogEntry]) -> StacJson:
    import pystac

    rights = rights_of(sensor)
    bounds, span = extents(index, sensor)
    moments = [datetime.fromtimestamp(moment, UTC) for moment in span]
    west, south, east, north = bounds
    box = [-180.0, south, 180.0, north] if east - west >= 360.0 else stac_bbox(bounds)
    value = pystac.Collection(
        id=sensor,
        title=f"{_title(sensor)}, fused",
        description=f"Fused images of {_title(sensor)}. {rights.attribution}".strip(),
        extent=pystac.Extent(pystac.SpatialExtent([box]), pystac.TemporalExtent([moments])),
        license=rights.license,
        providers=[pystac.Provider.from_dict(provider) for provider in providers(rights)],
    ).to_dict(include_self_link=False)
    terms = {"rel": "license", "href": rights.terms_url, "title": rights.terms}
    value["links"] = [
        {"rel": "root", "href": f"../{CATALOG}", "type": "application/json"},
        {"rel": "parent", "href": f"../{CATALOG}", "type": "application/json"},
        *([terms] if rights.terms_url else []),
        *(
            {
                "rel": "item",
                "href": f"./{entry.id}/{entry.id}.json",
                "type": "application/geo+json",
            }
            for entry in entries
        ),
    ]
    return dict(value)


def _write_changed(path: Path, value: StacJson) -> None:
    data = (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()
    if not path.is_file() or path.read_bytes() != data:
        write_bytes(path, data)
