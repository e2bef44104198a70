"""Cleaning up by the rules of retention: parts, downloads, copies of what is published, old versions."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from geofuse.archive import catalog
from geofuse.archive.catalog_assets import intact
from geofuse.config import RunConfig, output_folder, state_folder
from geofuse.errors import LockedError
from geofuse.files import read_json, write_faults
from geofuse.line.answers import Cleaned
from geofuse.line.pipeline import report_files
from geofuse.line.scene_ledger import JUDGED, PUBLISHED, REJECTED, RUNNING, UNPUBLISHED, LedgerRow, rows
from geofuse.line.stage_records import JOBS, job_folder
from geofuse.locks import locked
from geofuse.rasters.ledger import json_path, mask_path, png_path

DONE_WITH = (PUBLISHED, REJECTED, UNPUBLISHED)


@dataclass(frozen=True, slots=True)
class Rubbish:
    """Something that may go."""

    kind: str
    """parts, records, downloads or products."""
    path: Path
    """File or folder."""
    size: int
    """Bytes."""


def clean(config: RunConfig, *, dry_run: bool = False, clock: Callable[[], float] = time.time) -> Cleaned:
    """Remove what retention does not keep; returns what that was, by kind, and the bytes it took.

    Nothing that a run holds is touched, no input, and no product whose item is not whole in the catalogue.
    """
    now = clock()
    found = [*_parts(config, now), *_records(config, now), *_downloads(config, now), *_products(config, now)]
    if not dry_run:
        for each in found:
            _remove(each.path)
    versions = _superseded(config, dry_run=dry_run)

    def removed(kind: str) -> list[str]:
        return [str(each.path) for each in found if each.kind == kind]

    return {
        "dry_run": dry_run,
        "parts": removed("parts"),
        "records": removed("records"),
        "downloads": removed("downloads"),
        "products": removed("products"),
        "superseded_versions": versions,
        "bytes": sum(each.size for each in found),
    }


def _parts(config: RunConfig, now: float) -> Iterator[Rubbish]:
    """Yield the parts of products nobody went on with, and of downloads."""
    folder = output_folder(config)
    for place in sorted(folder.glob(".*.parts")) if folder.is_dir() else ():
        out = folder / place.name.removeprefix(".").removesuffix(".parts")
        if now - _newest(place) > config.retention.parts and _free(out):
            yield Rubbish("parts", place, _size(place))
    if config.stac is not None:
        for place in sorted(Path(config.stac.folder).glob(".*.part")):
            if now - _newest(place) > config.retention.parts:
                yield Rubbish("parts", place, _size(place))


def _free(out: Path) -> bool:
    """Whether no run writes the product."""
    try:
        with locked(out):
            return True
    except LockedError:
        return False


def _records(config: RunConfig, now: float) -> Iterator[Rubbish]:
    """Yield the records of scenes that came to nothing; those of products stay with them."""
    needed = {row.key for row in rows(config) if row.state in (*JUDGED, RUNNING)}
    folder = state_folder(config) / JOBS
    for place in sorted(folder.iterdir()) if folder.is_dir() else ():
        if (
            place.name not in needed
            and now - _newest(place) > config.retention.parts
            and _free(place / "claim")
        ):
            yield Rubbish("records", place, _size(place))


def _downloads(config: RunConfig, now: float) -> Iterator[Rubbish]:
    """Yield downloaded scenes that are done with; what waits for a decision or a repair stays."""
    if config.stac is None:
        return
    root = Path(config.stac.folder).absolute()
    for row in rows(config):
        place = Path(row.source)
        old = now - row.updated > config.retention.downloads
        if place.parent == root and place.is_dir() and row.state in DONE_WITH and old:
            yield Rubbish("downloads", place, _size(place))


def _products(config: RunConfig, now: float) -> Iterator[Rubbish]:
    """Yield the copies of what the catalogue has whole, and the pixels of what was rejected; reports stay."""
    if config.retention.products is None:
        return
    for row in rows(config):
        out = Path(row.out) if row.out else None
        if out is None or not out.is_file() or now - row.updated <= config.retention.products:
            continue
        files = [out, mask_path(out)]
        if row.state == PUBLISHED and _kept_by_catalog(config, row):
            files += [png_path(out), json_path(out), *report_files(out)]
        elif row.state != REJECTED:
            continue
        for path in files:
            if path.is_file():
                yield Rubbish("products", path, path.stat().st_size)


def _kept_by_catalog(config: RunConfig, row: LedgerRow) -> bool:
    """Whether the scene's item is there and its files are whole."""
    said = (read_json(job_folder(config, row.key) / "publish.json") or {}).get("answer") or {}
    if not config.catalog.folder or not said.get("item"):
        return False
    folder = Path(config.catalog.folder)
    item = catalog.read_item(folder, said["collection"], said["item"])
    place = catalog.item_folder(folder, said["collection"], said["item"])
    if item is None:
        return False
    return all(intact(place, asset) for asset in item["assets"].values())


def _superseded(config: RunConfig, *, dry_run: bool) -> int:
    if config.retention.superseded is None or not config.catalog.folder:
        return 0
    folder = Path(config.catalog.folder)
    if not (folder / catalog.CATALOG).is_file():
        return 0
    if dry_run:
        return catalog.count_superseded(folder, keep=config.retention.superseded)
    return catalog.remove_superseded(folder, keep=config.retention.superseded)


def _newest(place: Path) -> float:
    """Return when anything in a folder changed last."""
    times = [os.lstat(place).st_mtime]
    for folder, _, names in os.walk(place):
        times += [os.lstat(os.path.join(folder, name)).st_mtime for name in names]
    return max(times)


def _size(place: Path) -> int:
    if place.is_file():
        return place.stat().st_size
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())


def _remove(place: Path) -> None:
    with write_faults(place):
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
