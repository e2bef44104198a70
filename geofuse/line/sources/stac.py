"""Scenes from a STAC API or a static STAC catalogue: searched, downloaded whole, then as good as any in the inbox.

An item becomes a folder that appears when all its assets are there with the size and checksum the item says.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shutil
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from geofuse.archive.footprints import area_of
from geofuse.archive.stac_item import acquired_span
from geofuse.config import StacConfig, surroundings
from geofuse.errors import CorruptError, ProductError, ReadError, UsageError
from geofuse.files import read_json, sync, write_faults, write_json
from geofuse.line.scene_ref import STAC_ITEM
from geofuse.line.sources.downloads import TIMEOUT_S, check_whole, download
from geofuse.rasters.ledger import locked
from geofuse.scenes.readers import landsat
from geofuse.version import __version__

if TYPE_CHECKING:
    import pystac

FETCHED = ".fetched.json"
MOST_BYTES = 64 << 20
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
    source: StacConfig, *, progress: Callable[[str, int, int, int], None] | None = None
) -> list[Fetched]:
    """Search, and download what is not there yet; what an item lacks does not stop the others.

    Raises ReadError where the search itself fails, LockedError while another process downloads.
    """
    folder = Path(source.folder)
    with write_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / FETCHED):
        known = read_json(folder / FETCHED) or {}
        found = []
        for item in search(source):
            place, name = folder / _folder_name(item, known), f"{item.collection_id}/{item.id}"
            stamp = _stamp(item, source)
            if (known.get(name) or {}).get("stamp") == stamp:  # a folder that is gone was cleaned up
                found.append(Fetched(item.id, str(place), new=False))
                continue
            try:
                _fetch_item(item, place, source, progress)
            except (ReadError, CorruptError, ProductError) as fault:
                found.append(Fetched(item.id, str(place), new=False, fault=str(fault)))
                continue
            known[name] = {"stamp": stamp, "folder": place.name}
            write_json(folder / FETCHED, known)
            found.append(Fetched(item.id, str(place), new=True))
    return found


def search(source: StacConfig) -> list[pystac.Item]:
    """Return the items a source has of what is wanted, newest first where the source says so, at most `limit`.

    An item whose clouds are unknown is not found where a limit of clouds is given. Raises ReadError where the
    source does not answer, UsageError where it is none.
    """
    import pystac

    span = _span(source.datetime)
    area = area_of(bbox=source.bbox, aoi=source.aoi)
    root = _read(source.url)
    if root.get("type") not in ("Catalog", "Collection"):
        raise UsageError(
            f"{root.get('type', 'no STAC')}", wanted="a STAC API, catalogue or collection", path=source.url
        )
    dynamic = any(link.get("rel") == "search" for link in root.get("links", []))
    try:
        items = _of_api(source, area) if dynamic else _of_catalog(source)
        wanted = (item for item in items if _wanted(item, source, area, span))
        return list(islice(wanted, source.limit))
    except (OSError, pystac.STACError, ValueError, KeyError) as fault:
        raise ReadError(f"the search failed: {fault}", do="run it again later", path=source.url) from fault
    except Exception as fault:
        if type(fault).__module__.startswith(("pystac_client", "requests", "urllib3")):
            raise ReadError(
                f"the search failed: {fault}", do="run it again later", path=source.url
            ) from fault
        raise


def _read(url: str) -> dict[str, Any]:
    try:
        found = json.loads(_text(url, url))
    except (OSError, http.client.HTTPException, ValueError) as fault:
        raise ReadError(f"no answer that is STAC: {fault}", do="check the address", path=url) from fault
    return found if isinstance(found, dict) else {}


def _text(href: str, source: str) -> str:
    """Read a STAC document; one that lies elsewhere must not lead to files of this machine."""
    if "://" not in href and "://" not in source:
        return Path(href).read_text("utf-8")
    if not href.startswith(("http://", "https://")):
        raise ValueError(f"{href}, which is not on the web")
    headers = {"User-Agent": f"geofuse/{__version__}", **_headers(href, source)}
    with urllib.request.urlopen(urllib.request.Request(href, headers=headers), timeout=TIMEOUT_S) as answer:
        return str(answer.read(MOST_BYTES).decode("utf-8"))


def _of_api(source: StacConfig, area: Any) -> Iterable[pystac.Item]:
    import pystac_client
    from shapely.geometry import mapping

    client = pystac_client.Client.open(source.url, headers=_headers(source.url, source.url))
    asked = client.search(
        collections=list(source.collections) or None,
        intersects=mapping(area) if area is not None else None,
        datetime=source.datetime,
        limit=min(100, source.limit),
    )
    return asked.items()


def _of_catalog(source: StacConfig) -> Iterator[pystac.Item]:
    import pystac
    from pystac.stac_io import DefaultStacIO

    url = source.url

    class Reader(DefaultStacIO):  # pystac's own seam
        """Reads as `_text` does."""

        def read_text(self, source: Any, *args: Any, **kwargs: Any) -> str:
            return _text(os.fspath(source), url)

    root = pystac.read_file(source.url, stac_io=Reader())
    assert isinstance(root, pystac.Catalog)
    yield from root.get_items(recursive=True)


def _headers(url: str, source: str) -> dict[str, str]:
    """Return the token for the source's own host; nobody else is shown it."""
    token = surroundings().stac_token
    same = urlsplit(url).netloc == urlsplit(source).netloc and "://" in url
    return {"Authorization": f"Bearer {token}"} if token and same else {}


def _span(text: str | None) -> tuple[datetime | None, datetime | None]:
    if text is None:
        return None, None
    first, mark, last = text.partition("/")
    ends = [acquired_span(end) if end not in ("", "..") else None for end in (first, last if mark else first)]
    start = datetime.fromisoformat(ends[0][0]) if ends[0] else None
    return start, datetime.fromisoformat(ends[1][1]) if ends[1] else None


def _wanted(
    item: pystac.Item, source: StacConfig, area: Any, span: tuple[datetime | None, datetime | None]
) -> bool:
    """Say whether an item is what was asked for: not every API does what it was asked."""
    from shapely.geometry import shape

    if source.collections and item.collection_id not in source.collections:
        return False
    clouds = item.properties.get("eo:cloud_cover")
    if source.cloud_cover_max is not None and (clouds is None or clouds > source.cloud_cover_max):
        return False
    first = item.datetime or item.common_metadata.start_datetime
    last = item.datetime or item.common_metadata.end_datetime
    if first is not None and last is not None:
        first, last = (each if each.tzinfo else each.replace(tzinfo=UTC) for each in (first, last))
        if (span[0] and last < span[0]) or (span[1] and first > span[1]):
            return False
    return area is None or (item.geometry is not None and bool(shape(item.geometry).intersects(area)))


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
    listed = landsat.Listing("", tuple((name, key) for key, name in files.items()))
    own = {key for _, key in landsat.scene_files(listed)}
    if not own:
        rasters = (".tif", ".tiff", ".jp2")
        own = {key for key, name in files.items() if name.lower().endswith(rasters)}
    return {key: asset for key, asset in item.assets.items() if key in own}


def _file_name(key: str, asset: pystac.Asset) -> str:
    """Return the name a file gets: its own, with what says that it is PAN."""
    name = re.sub(r"[^\w.+-]", "_", unquote(urlsplit(asset.href).path).rsplit("/", 1)[-1]).lstrip(".") or key
    bands = [*asset.extra_fields.get("eo:bands", []), *asset.extra_fields.get("bands", [])]
    pan = "pan" in (
        key.lower(),
        *(str(band.get("common_name") or band.get("name")).lower() for band in bands),
    )
    is_landsat = landsat.scene_files(landsat.Listing("", ((name, name),)))
    return f"pan_{name}" if pan and not is_landsat and "pan" not in name.lower() else name


def _fetch_item(
    item: pystac.Item,
    place: Path,
    source: StacConfig,
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
    for key, asset in wanted.items():
        href = asset.get_absolute_href() or asset.href
        target = staged / _file_name(key, asset)
        said = _said(asset)
        if "://" in href and not href.startswith("file:"):
            download(href, target, said, headers=_headers(href, source.url), progress=progress)
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
    told: dict[str, Any] = {"size": asset.extra_fields.get("file:size")}
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
