"""Scenes from a STAC API or a static STAC catalogue: searched, downloaded whole, then as good as any in the inbox.

An item becomes a folder that appears when all its assets are there with the size and checksum the item says.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict
from urllib.parse import unquote, urlsplit

from geofuse.config import StacConfig, surroundings
from geofuse.errors import CorruptError, ProductError, ReadError
from geofuse.files import read_json, sync, write_faults, write_json
from geofuse.line.scene_ref import STAC_ITEM
from geofuse.line.sources.downloads import check_whole, download
from geofuse.line.sources.stac_search import search
from geofuse.line.sources.web import TransferLimits, Web
from geofuse.locks import locked
from geofuse.scenes.opening import delivery_in
from geofuse.scenes.readers.base import names_only
from geofuse.scenes.readers.pair import RASTERS

if TYPE_CHECKING:
    import pystac

FETCHED = ".fetched.json"
FIRST_PARKED_S = 600.0
LONGEST_PARKED_S = 86400.0
_CHECKSUMS = {"1220": "sha256", "1114": "sha1", "1340": "sha512", "d50110": "md5"}
"""Multihash codes with their lengths, and the digests they mean."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of an item."""

    item: str
    """Its id."""
    folder: str
    """Where its assets are."""
    new: bool
    """Whether they were downloaded now."""
    fault: str = ""
    """Why it could not be had; empty if it could."""


def fetch(
    source: StacConfig,
    *,
    progress: Callable[[str, int, int, int], None] | None = None,
    bounds: TransferLimits | None = None,
    clock: Callable[[], float] = time.time,
) -> list[Fetched]:
    """Search, and download what is not there yet; what an item lacks does not stop the others.

    An item that could not be had is parked: it is tried again later and later, at once when it has changed.
    Raises ReadError where the search itself fails, LockedError while another process downloads.
    """
    folder = Path(source.folder)
    with write_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / FETCHED):
        web = Web(source.url, surroundings().stac_token, bounds or TransferLimits())
        found = search(source, web)
        parked = [Fetched(name, "", new=False, fault=reason) for name, reason in found.faults]
        return [*(_had(item, source, web, progress, clock) for item in found.items), *parked]


def _had(
    item: pystac.Item,
    source: StacConfig,
    web: Web,
    progress: Callable[[str, int, int, int], None] | None,
    clock: Callable[[], float],
) -> Fetched:
    """Have one item: it is there already, or parked, or downloaded now."""
    folder = Path(source.folder)
    known = read_json(folder / FETCHED) or {}
    place, name = folder / _folder_name(item, known), f"{item.collection_id}/{item.id}"
    try:
        stamp = _stamp(item, source)
    except (TypeError, ValueError, AttributeError, LookupError) as fault:
        return Fetched(item.id, str(place), new=False, fault=f"assets that are none: {fault}")
    before = known.get(name) or {}
    if before.get("stamp") == stamp:
        if not before.get("fault"):  # a folder that is gone was cleaned up
            return Fetched(item.id, str(place), new=False)
        if clock() < before["again"]:
            return Fetched(item.id, str(place), new=False, fault=f"parked: {before['fault']}")
    told: Parked = {"stamp": stamp, "folder": place.name}
    fault_text = ""
    try:
        _fetch_item(item, place, source, web, progress)
    except (ReadError, CorruptError, ProductError) as fault:
        tries = before.get("tries", 0) + 1 if before.get("stamp") == stamp else 1
        again = clock() + min(LONGEST_PARKED_S, FIRST_PARKED_S * 2.0 ** (tries - 1))
        fault_text = str(fault)
        told = {**told, "fault": fault_text, "tries": tries, "again": again}
    write_json(folder / FETCHED, {**known, name: told})
    return Fetched(item.id, str(place), new=not fault_text, fault=fault_text)


class Parked(TypedDict):
    """What is kept of an item between two looks."""

    stamp: str
    """By what it is known again."""
    folder: str
    """Name of its folder."""
    fault: NotRequired[str]
    """Why it could not be had."""
    tries: NotRequired[int]
    """How often it was tried."""
    again: NotRequired[float]
    """When it is tried next, seconds since 1970."""


def _stamp(item: pystac.Item, source: StacConfig) -> str:
    """Return what tells one state of an item from another: when it was updated, what its assets are."""
    files = [
        f"{key} {asset.href} {asset.extra_fields.get('file:checksum')}"
        for key, asset in sorted(chosen_assets(item, source).items())
    ]
    return " ".join([str(item.properties.get("updated")), *files])


def chosen_assets(item: pystac.Item, source: StacConfig) -> dict[str, pystac.Asset]:
    """Return the assets that are wanted: those named, else those that make a scene."""
    if source.assets:
        return {key: item.assets[key] for key in source.assets if key in item.assets}
    files = {key: _file_name(key, asset) for key, asset in item.assets.items()}
    match = delivery_in(names_only([(name, key) for key, name in files.items()]))
    if match is not None:
        own = {entry.path for entry in match.files}
    else:
        own = {key for key, name in files.items() if name.lower().endswith(RASTERS)}
    return {key: asset for key, asset in item.assets.items() if key in own}


def _file_name(key: str, asset: pystac.Asset) -> str:
    """Return the name a file gets: its own, with what says that it is PAN."""
    name = re.sub(r"[^\w.+-]", "_", unquote(urlsplit(asset.href).path).rsplit("/", 1)[-1]).lstrip(".") or key
    bands = [*asset.extra_fields.get("eo:bands", []), *asset.extra_fields.get("bands", [])]
    pan = "pan" in (
        key.lower(),
        *(str(band.get("common_name") or band.get("name")).lower() for band in bands),
    )
    if not pan or "pan" in name.lower() or delivery_in(names_only([(name, name)])) is not None:
        return name
    return f"pan_{name}"


def _fetch_item(
    item: pystac.Item,
    place: Path,
    source: StacConfig,
    web: Web,
    progress: Callable[[str, int, int, int], None] | None,
) -> None:
    wanted = chosen_assets(item, source)
    lacking = sorted(set(source.assets) - set(wanted))
    if lacking or not wanted:
        raise ProductError(
            f"item {item.id} has no asset {', '.join(lacking) or 'that makes a scene'}",
            wanted="one of " + ", ".join(item.assets),
            do="name them as stac.assets",
        )
    staged = place.with_name(f".{place.name}.part")
    with write_faults(staged):
        staged.mkdir(exist_ok=True)
    names = {key: _file_name(key, asset) for key, asset in wanted.items()}
    twice = sorted(name for name, count in Counter(names.values()).items() if count > 1)
    if twice:
        raise ProductError(f"item {item.id} has several assets called {twice[0]}", wanted="one of each name")
    for key, asset in wanted.items():
        href = asset.get_absolute_href() or asset.href
        target = staged / names[key]
        said = _said(asset)
        if "://" in href and not href.startswith("file:"):
            download(href, target, said, web=web, progress=progress)
        else:
            _copy(href, target, said, source)
    with write_faults(place):
        write_json(staged / STAC_ITEM, item.to_dict(include_self_link=False, transform_hrefs=False))
        if place.is_dir():
            shutil.rmtree(place)
        staged.replace(place)
        sync(place.parent)


def _copy(href: str, target: Path, said: Mapping[str, Any], source: StacConfig) -> None:
    """Copy an asset of a catalogue that lies on this machine, and only of such a one."""
    if "://" in source.url:
        raise ProductError("an asset on this machine in a catalogue that is not", path=href)
    path = href.removeprefix("file://")
    if not os.path.isfile(path):
        raise ReadError("the asset is not there", path=href)
    with write_faults(target):
        shutil.copyfile(path, target)
    check_whole(target, said, href)


def _said(asset: pystac.Asset) -> dict[str, Any]:
    """Return what the item says of a file: size, and the kind and digits of a checksum."""
    size = asset.extra_fields.get("file:size")
    told: dict[str, Any] = {"size": size if isinstance(size, int) and size >= 0 else None}
    text = str(asset.extra_fields.get("file:checksum") or "").lower()
    for code, kind in _CHECKSUMS.items():
        if text.startswith(code):
            told |= {"kind": kind, "digest": text.removeprefix(code)}
    return told


def _folder_name(item: pystac.Item, known: Mapping[str, Any]) -> str:
    """Return an item's folder: its id where that is a name and nobody else has it, else with a digest."""
    own = f"{item.collection_id}/{item.id}"
    if own in known:
        return str(known[own]["folder"])
    slug = re.sub(r"[^\w+-]", "_", item.id)[:120] or "item"
    taken = {told["folder"] for told in known.values()}
    if slug != item.id or slug in taken:
        slug = f"{slug}-{hashlib.sha256(own.encode()).hexdigest()[:6]}"
    return slug
