"""What a STAC API or a static STAC catalogue has of what is wanted: bounded, and one bad item is that item's fault."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from geofuse.archive.footprints import area_of
from geofuse.archive.stac_item import acquired_span
from geofuse.config import StacConfig
from geofuse.errors import ReadError, UsageError
from geofuse.line.sources.web import Web

if TYPE_CHECKING:
    import pystac

DEEPEST = 32
"""Catalogues within catalogues."""
TimeSpan = tuple[datetime | None, datetime | None]


@dataclass(slots=True)
class FoundItems:
    """What a search gave."""

    items: list[pystac.Item] = field(default_factory=list)
    """Newest first where the source says so."""
    faults: list[tuple[str, str]] = field(default_factory=list)
    """What was named an item and is none, or a part of the source that does not answer; and why."""


def search(source: StacConfig, web: Web) -> FoundItems:
    """Return the items a source has of what is wanted, at most `limit`.

    An item whose clouds are unknown is not found where a limit of clouds is given. Raises ReadError where the
    source does not answer, UsageError where it is none.
    """
    span, area = _span(source.datetime), area_of(bbox=source.bbox, aoi=source.aoi)
    root = _document(source.url, source, web)
    if root.get("type") not in ("Catalog", "Collection"):
        raise UsageError(
            f"{str(root.get('type', 'no STAC'))[:80]}",
            wanted="a STAC API, catalogue or collection",
            path=source.url,
        )
    found = FoundItems()
    dynamic = any(link.get("rel") == "search" for link in _links(root))
    told = _of_api(source, area, web) if dynamic else _of_catalog(root, source, web, found)
    try:
        for value, place in told:
            item = _item(value, place, found)
            if item is not None and _is_wanted(item, source, area, span, found):
                found.items.append(item)
            if len(found.items) + len(found.faults) >= source.limit:
                break
    except ReadError as fault:
        if not found.items:
            raise
        found.faults.append((source.url, f"the search broke off after {len(found.items)} items: {fault}"))
    return found


def _of_api(source: StacConfig, area: Any, web: Web) -> Iterator[tuple[Any, str]]:
    """Give the items of a search, page by page, as they were sent."""
    import pystac
    from pystac_client import Client
    from pystac_client.stac_api_io import StacApiIO
    from shapely.geometry import mapping

    class Reader(StacApiIO):  # pystac-client's own seam
        """Reads within bounds, and nothing but the web."""

        def read_text(self, source: Any, *args: Any, **kwargs: Any) -> str:
            if isinstance(source, str):
                return self.request(source, *args, **kwargs)
            return super().read_text(source, *args, **kwargs)

        def request(
            self, href: str, method: str | None = None, headers: Any = None, parameters: Any = None
        ) -> str:
            if (method or "GET").upper() == "POST":
                return web.text(href, method="POST", headers=_plain(headers), json=parameters)
            return web.text(href, headers=_plain(headers), params=parameters)

    try:
        client = Client.open(source.url, stac_io=Reader())
        asked = client.search(
            collections=list(source.collections) or None,
            intersects=mapping(area) if area is not None else None,
            datetime=source.datetime,
            limit=min(100, source.limit),
        )
        for value in asked.items_as_dicts():
            yield value, source.url
    except ReadError:
        raise
    except (pystac.STACError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as fault:
        raise _failed(source.url, fault) from fault
    except Exception as fault:
        if type(fault).__module__.startswith("pystac_client"):
            raise _failed(source.url, fault) from fault
        raise


def _failed(url: str, fault: Exception) -> ReadError:
    return ReadError(
        f"the search failed: {type(fault).__name__}: {str(fault)[:200]}", do="run it again later", path=url
    )


def _plain(headers: Any) -> dict[str, str]:
    """Return the headers that a page's link may ask for: never who we are."""
    told = headers if isinstance(headers, dict) else {}
    return {str(name): str(value) for name, value in told.items() if str(name).lower() == "accept"}


def _of_catalog(
    root: dict[str, Any], source: StacConfig, web: Web, found: FoundItems
) -> Iterator[tuple[Any, str]]:
    """Walk a static catalogue, each document once; a part that cannot be read is noted and left out."""
    seen = {source.url}
    waiting = [(root, source.url, 0)]
    while waiting:
        here, place, depth = waiting.pop(0)
        for link in _links(here):
            if link.get("rel") not in ("item", "child") or not isinstance(link.get("href"), str):
                continue
            href = _joined(place, link["href"])
            if href in seen:
                continue
            seen.add(href)
            try:
                value = _document(href, source, web)
            except ReadError as fault:
                if web.asked > web.bounds.requests:
                    raise
                found.faults.append((href[:200], str(fault)))
                continue
            if value.get("type") == "Feature":
                yield value, href
            elif depth + 1 < DEEPEST:
                waiting.append((value, href, depth + 1))


def _links(value: dict[str, Any]) -> list[dict[str, Any]]:
    links = value.get("links")
    return [link for link in links if isinstance(link, dict)] if isinstance(links, list) else []


def _joined(place: str, href: str) -> str:
    """Return where a link leads; from a document on disk, a path is relative to its folder."""
    if "://" in href or "://" in place:
        return urljoin(place, href)
    return str((Path(place).parent / href).resolve())


def _document(url: str, source: StacConfig, web: Web) -> dict[str, Any]:
    """Read a STAC document; one that lies elsewhere must not lead to files of this machine."""
    try:
        if "://" not in url and "://" not in source.url:
            web.asked += 1
            text = Path(url).read_text("utf-8")
        else:
            text = web.text(url)
        value = json.loads(text)
    except ReadError as fault:
        raise ReadError(f"no answer that is STAC: {fault.found}", do=fault.do, path=url) from fault
    except (OSError, ValueError, RecursionError) as fault:
        raise ReadError(
            f"no answer that is STAC: {str(fault)[:200]}", do="check the address", path=url
        ) from fault
    return value if isinstance(value, dict) else {}


def _item(value: Any, place: str, found: FoundItems) -> pystac.Item | None:
    """Make an item of what was sent; None, and a fault noted, where it is none."""
    import pystac

    name = str(value.get("id", "?"))[:120] if isinstance(value, dict) else "?"
    try:
        if not isinstance(value, dict) or not isinstance(value.get("id"), str) or not value["id"]:
            raise ValueError("no id")
        item = pystac.Item.from_dict(value, href=place, preserve_dict=False)
        if not all(isinstance(asset.href, str) and asset.href for asset in item.assets.values()):
            raise ValueError("an asset without an address")
        return item
    except Exception as fault:  # whatever a stranger's JSON makes of a parser, it is that item's fault
        found.faults.append((name, f"no STAC item: {type(fault).__name__}: {str(fault)[:200]}"))
        return None


def _span(text: str | None) -> TimeSpan:
    if text is None:
        return None, None
    first, mark, last = text.partition("/")
    ends = [acquired_span(end) if end not in ("", "..") else None for end in (first, last if mark else first)]
    start = datetime.fromisoformat(ends[0][0]) if ends[0] else None
    return start, datetime.fromisoformat(ends[1][1]) if ends[1] else None


def _is_wanted(item: pystac.Item, source: StacConfig, area: Any, span: TimeSpan, found: FoundItems) -> bool:
    try:
        return _wanted(item, source, area, span)
    except Exception as fault:  # a geometry, a time or a number that is none
        found.faults.append((item.id[:120], f"no STAC item: {type(fault).__name__}: {str(fault)[:200]}"))
        return False


def _wanted(item: pystac.Item, source: StacConfig, area: Any, span: TimeSpan) -> bool:
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
