"""Putting products into a catalogue, finding them again, cutting pieces out of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from geofuse.api.answers import Product, Report
from geofuse.api.scenes import PathText
from geofuse.config.errands import ClipFormat, ClipOptions

if TYPE_CHECKING:
    from geofuse.archive.catalog_index import CatalogEntry
    from geofuse.clips.clip import TellPixels
    from geofuse.config.sections import Access

LIMIT = 100
INTERVAL = "A/B, A/.., ../B or one time or day, ISO 8601"


class ClipKeywords(TypedDict, total=False):
    """What is cut, into what."""

    bbox: Sequence[float] | None
    aoi: PathText | None
    window: Sequence[int] | None
    bands: Sequence[str] | None
    format: ClipFormat | None
    crs: str | None
    ranges: Sequence[tuple[float, float]] | None
    gamma: float


class SearchKeywords(TypedDict, total=False):
    """What items are to be like; no more than ``limit`` are returned."""

    bbox: Sequence[float] | None
    intersects: PathText | None
    datetime: str | None
    cloud_cover_max: float | None
    sensor: str | None
    limit: int


def publish(
    product: PathText | Product,
    catalog: PathText,
    *,
    access: Access | None = None,
    license: str | None = None,
    attribution: str | None = None,
    acquired: str | None = None,
    id: str | None = None,
    reports: Sequence[PathText] = (),
) -> Report:
    """Put a product, with its OUT.json, into the STAC catalogue in the folder ``catalog``, as `geofuse publish --json`.

    The catalogue is made if it is not there; rights are the sensor's where not given. Raises RightsError, ExistsError,
    VerifyError for a product that is damaged.
    """
    from geofuse.archive import publishing

    path = product.address if isinstance(product, Product) else os.fspath(product)
    wishes = publishing.Wishes(
        access=access,
        license_id=license,
        attribution=attribution,
        acquired=acquired,
        item_id=id,
        reports=tuple(Path(each) for each in reports),
    )
    return Report(f"published {path}", publishing.publish(Path(path), Path(catalog), wishes))


def search(catalog: PathText, **wanted: Unpack[SearchKeywords]) -> Report:
    """Find items of a catalogue by place, time and clouds, as `geofuse catalog search --json`: a FeatureCollection.

    ``bbox`` is west, south, east, north in degrees, ``intersects`` a vector file of polygons, ``datetime`` "A/B",
    "A/..", "../B" or one day. Unknown clouds do not count. Raises UsageError, AreaError.
    """
    folder = Path(catalog)
    found, limit = find_items(folder, **wanted), wanted.get("limit", LIMIT)
    return Report(f"{len(found)} items of {folder}", collection_of(folder, found, limit))


def collection_of(folder: Path, found: Sequence[CatalogEntry], limit: int) -> dict[str, object]:
    """Return the first items of those found as a GeoJSON FeatureCollection."""
    from geofuse.archive.catalog import load

    items = [load(folder, entry) for entry in found[:limit]]
    counts = {"numberMatched": len(found), "numberReturned": len(items)}
    return {"type": "FeatureCollection", "features": items, **counts}


def find_items(folder: Path, **wanted: Unpack[SearchKeywords]) -> list[CatalogEntry]:
    """Return all entries of a catalogue that fit, by time."""
    from geofuse.archive.catalog import find
    from geofuse.archive.catalog_index import Query
    from geofuse.archive.footprints import area_of
    from geofuse.errors import UsageError
    from geofuse.run.plans.request import known_only

    known_only(SearchKeywords, wanted)
    limit, place = wanted.get("limit", LIMIT), wanted.get("intersects")
    if limit < 1:
        raise UsageError(f"limit {limit}", wanted="at least 1")
    start, stop = interval(wanted.get("datetime"))
    query = Query(
        area=area_of(bbox=wanted.get("bbox"), aoi=os.fspath(place) if place is not None else None),
        start=start,
        stop=stop,
        cloud_cover_max=wanted.get("cloud_cover_max"),
        sensor=wanted.get("sensor"),
    )
    return find(folder, query)


def interval(text: str | None) -> tuple[float | None, float | None]:
    """Read A/B into its first and last second; None: open."""
    from geofuse.archive.catalog_index import seconds
    from geofuse.archive.stac_item import acquired_span
    from geofuse.errors import UsageError

    if text is None:
        return None, None
    first, mark, last = text.partition("/")
    if not mark:
        last = first
    ends = [None if end in ("", "..") else acquired_span(end) for end in (first, last)]
    start, stop = (seconds(ends[0][0]) if ends[0] else None), (seconds(ends[1][1]) if ends[1] else None)
    if start is not None and stop is not None and start > stop:
        raise UsageError(f"datetime {text}", wanted=INTERVAL + ", A before B")
    return start, stop


def clip(
    item: PathText | Product,
    out: PathText,
    *,
    catalog: PathText | None = None,
    licensed: bool = False,
    overwrite: bool = False,
    progress: TellPixels | None = None,
    **wish: Unpack[ClipKeywords],
) -> Report:
    """Cut a piece out of a product on its own grid, without resampling, as `geofuse clip --json`; writes ``out``.

    ``item`` is an item's .json, a product, or an id in ``catalog``. The area is one of ``bbox`` (degrees), ``aoi`` (a
    vector file) and ``window`` (row, column, height, width of the product); all of it where none is given. ``crs``
    ("EPSG:n") resamples; ``ranges`` and ``gamma`` stretch a picture. Raises AccessError, ExistsError, AreaError.
    """
    from geofuse.clips.clip import Wish
    from geofuse.clips.clip_items import form_of, plan_item_clip, write_item_clip
    from geofuse.run.plans.request import known_only

    known_only(ClipKeywords, wish)
    place = Path(out)
    area, ranges = wish.get("aoi"), wish.get("ranges")
    asked = Wish(
        bbox=wish.get("bbox"),
        aoi=os.fspath(area) if area is not None else None,
        window=wish.get("window"),
        bands=tuple(wish.get("bands") or ()),
        form=form_of(place, wish.get("format")),
        crs=wish.get("crs"),
        ranges=tuple(ranges) if ranges is not None else None,
        gamma=wish.get("gamma", ClipOptions().gamma),
    )
    named = item.address if isinstance(item, Product) else os.fspath(item)
    folder = Path(catalog) if catalog is not None else None
    cut = plan_item_clip(named, asked, catalog_folder=folder, licensed=licensed)
    facts = write_item_clip(cut, place, progress or _silent, overwrite=overwrite)
    return Report(f"clip {place}", {**facts})


def _silent(done: int, total: int) -> None:
    """Tell nobody."""
