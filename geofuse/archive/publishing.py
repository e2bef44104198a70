"""Publishing: a product, verified, becomes an item of a catalogue; told twice it is there once."""

from __future__ import annotations

import glob
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from geofuse.archive import catalog
from geofuse.archive.catalog_assets import (
    AssetSource,
    add_files,
    file_of_asset,
    intact,
    predecessor,
    stage_version,
    sweep,
)
from geofuse.archive.footprints import lonlat_footprint, overlap_share
from geofuse.archive.input_image import write_input
from geofuse.archive.rights import rights_from_json, rights_of, with_wishes
from geofuse.archive.stac_item import (
    AssetFile,
    Draft,
    acquired_span,
    checked_item_id,
    inputs_digest,
    item_id_of,
    item_json,
    multihash,
)
from geofuse.errors import ExistsError, UsageError
from geofuse.files import sha256_of
from geofuse.nouns import StacJson
from geofuse.rasters.ledger import json_path
from geofuse.rasters.pixels import inspect
from geofuse.rasters.valid_area import valid_area
from geofuse.run.records.documents import ProductRecord
from geofuse.run.records.product_files import asset_paths, verify

REPORT_SUFFIXES = (".html", ".json")
SAME_PLACE_SHARE = 0.5
"""Two products of one name are the same scene if they share this part of the larger one."""
SAME_TIME_S = 3600.0
"""And were acquired within this time: a reprocessed delivery may say it a little differently."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the publisher says himself; None leaves it to the item that is there, else to the sensor."""

    access: str | None = None
    """"open", "view-only" or "internal"."""
    license_id: str | None = None
    """SPDX identifier, or "other"."""
    attribution: str | None = None
    """Credit line."""
    acquired: str | None = None
    """Time or day of acquisition, ISO 8601."""
    item_id: str | None = None
    """The item's name, instead of the scene's."""
    reports: tuple[Path, ...] = ()
    """Reports on the product; those beside it, OUT.html and OUT.report.*, are found without being named."""
    wait_s: float = catalog.WAIT_S
    """How long another process may hold the catalogue."""


def publish(out: Path, folder: Path, wishes: Wishes | None = None) -> StacJson:
    """Publish a product into a catalogue, which is made if it is not there; returns what was done.

    Keys of the answer: item, collection, version, href, access, and action: "published"; "superseded", with
    because: "re-delivered" (the inputs are other bytes) or "reprocessed"; "updated" (the same product with
    other words or reports, or with files that were damaged in the catalogue); "unchanged". Raises VerifyError
    for a product that is not what its record says, UsageError where the time of acquisition is unknown,
    ExistsError where another scene has the item's name, LockedError, WriteError.
    """
    wishes = wishes or Wishes()
    record = verify(out)
    facts = inspect(str(out))
    footprint = lonlat_footprint(valid_area(str(out)), facts.grid.crs)
    rights = with_wishes(
        rights_of(record["scene"]["sensor"]),
        access=wishes.access,
        license_id=wishes.license_id,
        attribution=wishes.attribution,
    )
    item_id = checked_item_id(wishes.item_id) if wishes.item_id else item_id_of(record)
    sensor = record["scene"]["sensor"]
    known = wishes.acquired or record["scene"]["acquired"]
    span = acquired_span(known) if known else None
    with catalog.held(folder, wishes.wait_s):
        catalog.begin(folder)
        _check_one_collection(folder, item_id, sensor)
        before = catalog.read_item(folder, sensor, item_id)
        if before is not None:
            rights = with_wishes(
                rights_from_json(before["properties"]["geofuse:rights"]),
                access=wishes.access,
                license_id=wishes.license_id,
                attribution=wishes.attribution,
            )
            span = span or _span_of(before)
        if span is None:
            raise UsageError(
                "nobody knows when this scene was acquired",
                wanted="--acquired with a time such as 2024-05-12T10:00:00Z, or a day",
                path=str(out),
            )
        draft = Draft(item_id, record, facts, footprint, rights, span)
        action, item = _place(folder, draft, out, before=before, reports=wishes.reports)
        catalog.bring_up_to_date(folder)
    _log.info("%s: %s as %s", out, action, item_id)
    properties = item["properties"]
    told = {
        "item": item_id,
        "collection": sensor,
        "version": properties["version"],
        "href": f"{sensor}/{item_id}/{item_id}.json",
        "access": properties["geofuse:access"],
        "action": action,
    }
    if action == "superseded" and before is not None:
        other = before["properties"]["geofuse:inputs"] != inputs_digest(record)
        told["because"] = "re-delivered" if other else "reprocessed"
    return told


def _place(
    folder: Path, draft: Draft, out: Path, *, before: StacJson | None, reports: Sequence[Path]
) -> tuple[str, StacJson]:
    """Put a product's files and its item where they belong; returns what that was, and the item."""
    place = catalog.item_folder(folder, draft.record["scene"]["sensor"], draft.item_id)
    sweep(place, before)
    sources = _sources(out, draft, reports)
    with _input_of(folder, out, draft, before) as found:
        return _put(folder, place, draft, before=before, sources=[*sources, *found])


def _put(
    folder: Path,
    place: Path,
    draft: Draft,
    *,
    before: StacJson | None,
    sources: Sequence[AssetSource],
) -> tuple[str, StacJson]:
    if before is not None and _same_product(before, draft.record):
        return _renew(folder, place, draft, before, sources)
    if before is not None:
        _check_same_scene(before, draft)
    version = 1 if before is None else int(before["properties"]["version"]) + 1
    files = stage_version(place, version, sources)
    previous = None
    if before is not None:
        name = catalog.version_folder(before)
        previous = f"./{name}/{draft.item_id}-{name}.json"
    item = item_json(draft, files, version=version, previous=previous)
    catalog.commit_item(folder, item, before)
    return ("published" if before is None else "superseded"), item


@contextmanager
def _input_of(folder: Path, out: Path, draft: Draft, before: StacJson | None) -> Iterator[list[AssetSource]]:
    """Make the product's unsharpened input, where it can be had and is not there already; gone afterwards."""
    if before is not None and _same_product(before, draft.record):
        asset = before["assets"].get("input")
        place = catalog.item_folder(folder, draft.record["scene"]["sensor"], draft.item_id)
        if asset is not None and intact(place, asset):
            yield []
            return
    with tempfile.TemporaryDirectory(dir=folder, prefix=".input-", suffix=".tmp") as drafts:
        made = Path(drafts) / "input.tif"
        there = write_input(made, draft.record, draft.facts, beside=out.parent)
        yield [AssetSource("input", "input", made, f"{draft.item_id}.input.tif")] if there else []


def _renew(
    folder: Path, place: Path, draft: Draft, before: StacJson, sources: Sequence[AssetSource]
) -> tuple[str, StacJson]:
    """Mend what is damaged of a product that is there already, and say of it what is to be said now."""
    version = int(before["properties"]["version"])
    kept = {key: asset for key, asset in before["assets"].items() if intact(place, asset)}
    if any(source.role == "report" for source in sources):
        kept = {key: asset for key, asset in kept.items() if asset["roles"][0] != "report"}
    sources = [_renewed(source, kept) for source in sources]
    wanting = [source for source in sources if source.key not in kept]
    present: dict[str, AssetFile] = {key: file_of_asset(key, asset) for key, asset in kept.items()}
    present |= {file.key: file for file in add_files(place, version, wanting)}
    item = item_json(
        draft,
        [present[key] for key in sorted(present)],
        version=version,
        previous=predecessor(before),
    )
    said, formerly = item["properties"], before["properties"]
    said["created"], moment = formerly["created"], said["updated"]
    said["updated"] = formerly["updated"]
    damaged = [source for source in wanting if source.role != "report"]
    if item == before and not damaged:
        return "unchanged", before
    said["updated"] = moment
    catalog.commit_item(folder, item, None)
    sweep(place, item)
    return "updated", item


def _renewed(source: AssetSource, kept: StacJson) -> AssetSource:
    """Let a record that says more than the one that is there take its place, under a name of its own."""
    asset = kept.get(source.key)
    if source.role != "provenance" or asset is None or source.sha256 is None:
        return source
    if asset["file:checksum"] == multihash(source.sha256):
        return source
    del kept[source.key]
    stem = source.name.removesuffix(".json")
    return replace(source, name=f"{stem}.record-{source.sha256[:8]}.json")


def _sources(out: Path, draft: Draft, reports: Sequence[Path]) -> list[AssetSource]:
    """Return what is copied into the catalogue, and by which names."""
    name, assets = draft.item_id, draft.record["assets"]
    suffixes = {"data": ".tif", "mask": ".mask.tif", "quicklook": ".png"}
    roles = [role for role in suffixes if role in assets]
    found = [
        AssetSource(role, role, path, name + suffixes[role], digest)
        for role, (path, digest) in zip(roles, asset_paths(out, draft.record), strict=True)
    ]
    record = json_path(out)
    found.append(AssetSource("provenance", "provenance", record, f"{name}.json", sha256_of(record)))
    for number, path in enumerate(reports or _reports_beside(out), 1):
        if path.suffix not in REPORT_SUFFIXES or not path.is_file():
            raise UsageError("no report", wanted="a file " + " or ".join(REPORT_SUFFIXES), path=str(path))
        digest = sha256_of(path)
        key = "report" if number == 1 else f"report-{number}"
        # named by its content: a newer report does not overwrite what the item still leads to
        found.append(AssetSource(key, "report", path, f"{name}.report-{digest[:8]}{path.suffix}", digest))
    return found


def _reports_beside(out: Path) -> list[Path]:
    stem = glob.escape(out.stem)
    beside = [*out.parent.glob(f"{stem}.html"), *out.parent.glob(f"{stem}.report.*")]
    return [path for path in sorted(beside) if path.suffix in REPORT_SUFFIXES]


def _same_product(before: StacJson, record: ProductRecord) -> bool:
    data = multihash(record["assets"]["data"]["sha256"])
    known = before["properties"]["geofuse:fingerprint"], before["assets"]["data"]["file:checksum"]
    return bool(known == (record["fingerprint"], data))


def _span_of(item: StacJson) -> tuple[str, str]:
    said = item["properties"]
    moment = said["datetime"]
    return (moment, moment) if moment else (said["start_datetime"], said["end_datetime"])


def _check_one_collection(folder: Path, item_id: str, sensor: str) -> None:
    """Raise ExistsError where a collection of another sensor has an item of that name."""
    others = [entry for entry in catalog.find(folder) if entry.id == item_id and entry.collection != sensor]
    if others:
        raise ExistsError(
            f"an item {item_id} of {others[0].collection}, and this product is of {sensor}",
            do="publish with --id NAME, or remove the other with `geofuse catalog remove`",
            path=str(folder),
        )


def _check_same_scene(before: StacJson, draft: Draft) -> None:
    """Raise ExistsError where the item of that name is of another place or time: it must not be superseded."""
    first, last = (datetime.fromisoformat(text) for text in draft.acquired)
    start, stop = (datetime.fromisoformat(text) for text in _span_of(before))
    apart_s = max((start - last).total_seconds(), (first - stop).total_seconds())
    shared = overlap_share(before["geometry"], draft.footprint)
    if apart_s > SAME_TIME_S or shared < SAME_PLACE_SHARE:
        found = "acquired at another time" if apart_s > SAME_TIME_S else f"sharing {shared:.0%} of its area"
        raise ExistsError(
            f"an item {draft.item_id} of another product, {found}",
            wanted="the same scene, to supersede it",
            do="publish with --id NAME, or remove the other with `geofuse catalog remove`",
        )
