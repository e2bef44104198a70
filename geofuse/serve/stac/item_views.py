"""Items in the words of the page: a feature of the list, the whole of one item."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from geofuse.nouns import Json, StacJson
from geofuse.rasters.image import Grid
from geofuse.scenes.projecting import crs_name, projector, rectangle, to_map
from geofuse.scenes.sensors.table import sensor_or_generic
from geofuse.serve.answers import (
    BandAnswer,
    DetailAnswer,
    DownloadAnswer,
    FacetsAnswer,
    FeatureAnswer,
    InputAnswer,
    ItemFacts,
    SummaryAnswer,
    TimesAnswer,
)
from geofuse.serve.http.access import Grant
from geofuse.serve.maps.painting import DEEPEST, HALF_M
from geofuse.serve.maps.rasters import Raster, mask_of, raster_at
from geofuse.serve.maps.rendering import BandStats, band_names, presets_of, stats_of
from geofuse.serve.stac.archive import Archive, IndexRow

BINS = 40
"""Of the list's histogram of times."""
BEYOND = 2
"""Zoom levels offered beyond the one at which a pixel is one pixel."""
LEAST_ZOOM_PX = 64
"""A product is worth showing where it is this long on the screen."""
TITLES = {
    "data": "Fused image (COG)",
    "mask": "Mask: clouds, shadows, saturation (COG)",
    "input": "Unsharpened input (COG)",
    "quicklook": "Quicklook (PNG)",
    "provenance": "Provenance (JSON)",
    "report": "Quality report",
}


def when(row: IndexRow) -> str:
    """Return the time of acquisition, or its beginning where only the day is known."""
    return str(row.properties.get("datetime") or row.properties["start_datetime"])


def facts_of(row: IndexRow, grant: Grant) -> ItemFacts:
    """Return what is said of an item wherever it is named."""
    said = row.properties
    height, width = said.get("proj:shape") or (0, 0)
    return {
        "title": row.title,
        "datetime": when(row),
        "sensor": row.collection,
        "collection": row.collection,
        "cloud_cover": said.get("eo:cloud_cover"),
        "verdict": said.get("geofuse:verdict"),
        "method": said.get("geofuse:method"),
        "version": row.version,
        "gsd_m": said.get("gsd"),
        "width": width,
        "height": height,
        "access": row.access,
        "attribution": said.get("attribution", ""),
        "license": said.get("license", "other"),
        "bytes": row.assets["data"].get("file:size"),
        "quality": quality_of(row),
        "quicklook": f"/api/items/{row.id}/quicklook.png?v={row.version}",
        "updated": said.get("updated"),
        "has_input": "input" in row.assets,
        "scale": grant.scale,
    }


def summary(row: IndexRow, grant: Grant) -> SummaryAnswer:
    """Return what the list says of an item."""
    return {**facts_of(row, grant), "bands": band_names(row)}


def quality_of(row: IndexRow) -> dict[str, Json]:
    """Return the numbers an item brings of how good it is."""
    known = dict(row.properties.get("geofuse:quality") or {})
    for name, key in (
        ("calibration_confidence", "geofuse:calibration_confidence"),
        ("valid_share", "geofuse:valid_share"),
    ):
        if key in row.properties:
            known.setdefault(name, row.properties[key])
    return known


def feature(row: IndexRow, grant: Grant) -> FeatureAnswer:
    """Return an item as the list has it."""
    return {
        "type": "Feature",
        "id": row.id,
        "geometry": row.geometry,
        "bbox": row.bbox,
        "properties": summary(row, grant),
    }


def facets(rows: Sequence[IndexRow], timeless: Sequence[IndexRow]) -> FacetsAnswer:
    """Return what may be chosen from: `timeless` is what all filters but that of the time have found."""
    sensors = Counter(row.collection for row in rows)
    verdicts = Counter(str(row.properties.get("geofuse:verdict")) for row in rows)
    return {
        "sensors": [{"id": name, "count": count} for name, count in sorted(sensors.items())],
        "verdicts": [
            {"id": name, "count": count} for name, count in sorted(verdicts.items()) if name != "None"
        ],
        "datetime": _span(timeless),
        "histogram": _histogram(timeless),
    }


def _span(rows: Sequence[IndexRow]) -> list[str] | None:
    if not rows:
        return None
    return [_iso(min(row.start for row in rows)), _iso(max(row.stop for row in rows))]


def _histogram(rows: Sequence[IndexRow]) -> TimesAnswer | None:
    if not rows:
        return None
    starts = np.array([row.start for row in rows])
    low, high = float(starts.min()), float(starts.max())
    if low == high:
        low, high = low - 43_200.0, high + 43_200.0
    counts, edges = np.histogram(starts, BINS, (low, high))
    return {"edges": [_iso(float(edge)) for edge in edges], "counts": [int(count) for count in counts]}


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def zooms(row: IndexRow, raster: Raster, grant: Grant) -> tuple[int, int]:
    """Return the first level at which an item is worth showing, and the last at which there is more to see."""
    _, south, _, north = row.bounds
    cosine = max(math.cos(math.radians((south + north) / 2.0)), 0.05)
    pixel_m = float(row.properties.get("gsd") or 1.0) * grant.scale / cosine
    native = math.log2(2.0 * HALF_M / 256.0 / pixel_m)
    side_m = max(raster.shape) * pixel_m / grant.scale
    first = math.floor(math.log2(2.0 * HALF_M / 256.0 * LEAST_ZOOM_PX / side_m))
    last = min(math.ceil(native) + (BEYOND if grant.native else 0), DEEPEST)
    return max(0, min(first, last)), max(0, last)


def detail(archive: Archive, row: IndexRow, grant: Grant, root: str) -> DetailAnswer:
    """Return the whole of an item as the page asks for it; reads its header and, the first time, its overview."""
    raster = raster_at(archive.asset_path(row, "data"))
    grid, names = raster.facts.grid, band_names(row)
    own = raster_at(archive.asset_path(row, "input")) if "input" in row.assets else None
    first, last = zooms(row, raster, grant)
    name = crs_name(grid.crs)
    return {
        **facts_of(row, grant),
        "id": row.id,
        "geometry": row.geometry,
        "bbox": row.bbox,
        "item": public_item(archive.item(row), row, grant, root),
        "crs": name if name.startswith("EPSG:") else None,
        "crs_name": name,
        "wkt": grid.crs,
        "transform": list(grid.transform),
        "bounds_lonlat": row.bbox,
        "bounds_3857": bounds_in(grid, "EPSG:3857"),
        "bands": [
            _band(row, raster, at, stats) for at, stats in enumerate(stats_of(raster, mask_of(archive, row)))
        ],
        "presets": presets_of(names),
        "has_input": own is not None,
        "input": _input(own, row, grid),
        "min_zoom": first,
        "max_zoom": last,
        "rights": {
            "view": grant.view,
            "clip": grant.clip,
            "download": grant.download,
            "native": grant.native,
        },
        "downloads": downloads_of(row, grant),
        "report": f"/api/items/{row.id}/report" if grant.native and report_key(row) else None,
        "provenance": f"/api/items/{row.id}/provenance",
        "quality": quality_of(row),
        "links": links_of(row, root),
    }


def links_of(row: IndexRow, root: str) -> dict[str, str]:
    """Return the addresses to paste into a GIS."""
    return {
        "wmts": f"{root}/wmts/1.0.0/WMTSCapabilities.xml",
        "xyz": f"{root}/xyz/{row.id}/{{z}}/{{x}}/{{y}}.png",
        "stac": f"{root}/stac/collections/{row.collection}/items/{row.id}",
        "qml": f"{root}/api/items/{row.id}/style.qml",
        "qlr": f"{root}/api/items/{row.id}/layer.qlr",
    }


def downloads_of(row: IndexRow, grant: Grant) -> list[DownloadAnswer]:
    """Return the files that may be fetched."""
    if not grant.download:
        return []
    return [
        {
            "asset": key,
            "title": TITLES.get(key, TITLES.get(key.partition("-")[0], key)),
            "bytes": asset.get("file:size"),
            "url": f"/api/items/{row.id}/download/{key}",
            "media_type": asset.get("type", "application/octet-stream"),
        }
        for key, asset in sorted(row.assets.items(), key=lambda pair: (pair[0] != "data", pair[0]))
    ]


def report_key(row: IndexRow) -> str | None:
    """Return the asset that is a report for people, if an item has one."""
    return next(
        (
            key
            for key, asset in sorted(row.assets.items())
            if "report" in asset.get("roles", ()) and asset.get("type") == "text/html"
        ),
        None,
    )


def public_item(item: StacJson, row: IndexRow, grant: Grant, root: str) -> StacJson:
    """Return a STAC item with links that lead through this server; no path of the machine, no file refused."""
    here = f"{root}/stac/collections/{row.collection}"
    links = [
        {"rel": "self", "href": f"{here}/items/{row.id}", "type": "application/geo+json"},
        {"rel": "root", "href": f"{root}/stac", "type": "application/json"},
        {"rel": "parent", "href": here, "type": "application/json"},
        {"rel": "collection", "href": here, "type": "application/json"},
        *(link for link in item["links"] if link["rel"] == "license"),
    ]
    assets = {}
    for key, asset in item["assets"].items():
        if grant.download:
            assets[key] = {**asset, "href": f"{root}/api/items/{row.id}/download/{key}"}
        elif key == "quicklook":
            assets[key] = {
                **{name: value for name, value in asset.items() if not name.startswith("file:")},
                "href": f"{root}/api/items/{row.id}/quicklook.png",
            }
    return {**item, "links": links, "assets": assets}


def bounds_in(grid: Grid, crs: str) -> list[float] | None:
    """Return west, south, east, north of a grid in a coordinate system; None where it does not reach.

    In web mercator east is beyond the map's end where the grid crosses the antimeridian.
    """
    outline = rectangle((0.0, 0.0), (float(grid.width), float(grid.height)))
    places = projector(grid.crs, crs)(to_map(grid, outline))
    if not np.isfinite(places).all():
        return None
    if crs == "EPSG:3857":
        places[:, 0] = np.unwrap(places[:, 0], period=2.0 * HALF_M)
        places[:, 0] -= 2.0 * HALF_M * np.floor((places[:, 0].min() + HALF_M) / (2.0 * HALF_M))
    (west, south), (east, north) = places.min(axis=0), places.max(axis=0)
    return [float(west), float(south), float(east), float(north)]


def _band(row: IndexRow, raster: Raster, at: int, stats: BandStats) -> BandAnswer:
    asset, facts = row.assets["data"], raster.facts
    optical = (asset.get("eo:bands") or [{}] * (at + 1))[at]
    micrometres = optical.get("center_wavelength")
    nodata = facts.nodata[at]
    plain = nodata if nodata is None or math.isfinite(nodata) else str(nodata)
    scale, offset = physical_scale(row, raster, at)
    return {
        "name": band_names(row)[at],
        "index": at + 1,
        "nm": round(micrometres * 1000.0, 3) if micrometres else None,
        "dtype": facts.dtypes[at],
        "nodata": plain,
        "scale": scale,
        "offset": offset,
        "unit": unit_of(row, raster, at),
        "stats": {
            "min": stats.least,
            "max": stats.most,
            "p2": stats.low,
            "p98": stats.high,
            "mean": stats.mean,
            "histogram": {
                "counts": list(stats.counts),
                "edges": [float(edge) for edge in np.linspace(*stats.edges, len(stats.counts) + 1)],
            },
        },
    }


def physical_scale(row: IndexRow, raster: Raster, at: int) -> tuple[float, float]:
    """Return what makes a physical value of a band's stored one: scale and offset; 1 and 0 where unknown."""
    held = (row.assets["data"].get("raster:bands") or [{}] * (at + 1))[at]
    return (
        float(held.get("scale", raster.facts.scales[at])),
        float(held.get("offset", raster.facts.offsets[at])),
    )


def unit_of(row: IndexRow, raster: Raster, at: int) -> str:
    """Return what a band's physical values are, in a word."""
    if physical_scale(row, raster, at) == (1.0, 0.0):
        return "DN"
    return sensor_or_generic(row.collection).quantity


def _input(own: Raster | None, row: IndexRow, grid: Grid) -> InputAnswer | None:
    if own is None:
        return None
    a, b, _, d, e, _ = own.facts.grid.transform
    p, q, _, r, s, _ = grid.transform
    ratio = math.sqrt(abs(a * e - b * d) / abs(p * s - q * r))
    height, width = own.shape
    gsd = float(row.properties.get("gsd") or 0.0)
    return {"width": width, "height": height, "gsd_m": round(gsd * ratio, 6), "ratio": round(ratio, 6)}
