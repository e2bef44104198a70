"""A product as a STAC item: its record, its footprint and its rights in the words of STAC 1.1.0."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from geofuse.archive.footprints import footprint_bounds, place_words, stac_bbox
from geofuse.archive.rights import Rights, rights_to_json
from geofuse.archive.stac_schemas import EXTENSIONS
from geofuse.errors import UsageError
from geofuse.nouns import GeoJson, StacJson
from geofuse.rasters.opening.sniffing import TAR, file_of
from geofuse.run.records.documents import ProductRecord
from geofuse.run.records.record_inputs import InputRecord
from geofuse.scenes.projecting import crs_name
from geofuse.scenes.sensors.sensor import band_of
from geofuse.scenes.sensors.table import sensor_or_generic

if TYPE_CHECKING:
    import pystac

    from geofuse.rasters.opening.headers import RasterFacts

COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
KIND = "fused"
ROLES = {
    "data": ("data",),
    "mask": ("mask", "data-mask"),
    "quicklook": ("quicklook", "overview", "thumbnail"),
    "input": ("input", "source"),
    "report": ("report", "metadata"),
    "provenance": ("provenance", "metadata"),
}
_MEDIA = {".tif": COG_TYPE, ".png": "image/png", ".json": "application/json", ".html": "text/html"}
_COMMON_NAMES = (
    *("coastal", "blue", "green", "red", "rededge", "yellow", "pan", "nir", "nir08", "nir09", "cirrus"),
    *("swir16", "swir22", "lwir", "lwir11", "lwir12"),
)
_METRES_PER_DEGREE = 111_195.0


@dataclass(frozen=True, slots=True)
class AssetFile:
    """A file of a product as it lies in the catalogue."""

    key: str
    """Its name among the item's assets: "data", "mask", "input", "quicklook", "report", "provenance", ..."""
    role: str
    """One of `ROLES`."""
    href: str
    """Relative to the item."""
    size: int
    """Bytes."""
    sha256: str
    """Of its bytes, hexadecimal."""


@dataclass(frozen=True, slots=True)
class Draft:
    """All that makes an item, but for its version and the times of its publication."""

    item_id: str
    """Unique in its collection."""
    record: ProductRecord
    """The product's provenance."""
    facts: RasterFacts
    """What its header says."""
    footprint: GeoJson
    """GeoJSON geometry of the valid area in longitude and latitude."""
    rights: Rights
    """What may be done with it."""
    acquired: tuple[str, str]
    """First and last moment of the acquisition, ISO 8601 UTC; the same where the moment is known."""


def item_id_of(record: ProductRecord) -> str:
    """Return the name a product's item has by default: of its scene, its kind, and its area if it is a part.

    >>> item_id_of({"scene": {"id": "LC8 0200"}, "parameters": {"area": None}})
    'LC8-0200-030deb-fused'
    """
    scene = str(record["scene"]["id"])
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", scene)[:120].strip("-") or "scene"
    if slug != scene:  # two scenes whose names differ in what was left out must not meet
        slug = f"{slug}-{sha256(scene.encode()).hexdigest()[:6]}"
    area = record["parameters"].get("area")
    part = f"-{sha256(repr(area).encode()).hexdigest()[:8]}" if area else ""
    return f"{slug}-{KIND}{part}"


def checked_item_id(text: str) -> str:
    """Return a name that may be an item's, for it is a folder's too; raises UsageError for another."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,150}", text, re.ASCII):
        raise UsageError(
            f"item id {text!r}", wanted="letters, digits, dots, dashes and underscores, at most 151"
        )
    return text


def acquired_span(text: str) -> tuple[str, str]:
    """Return the first and last moment that a time or a day means, in UTC; raises UsageError for another text.

    >>> acquired_span("2024-05-12T12:00:00+02:00")
    ('2024-05-12T10:00:00Z', '2024-05-12T10:00:00Z')
    >>> acquired_span("2024-05-12")
    ('2024-05-12T00:00:00Z', '2024-05-12T23:59:59.999999Z')
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as fault:
        raise UsageError(
            f"time {text!r}", wanted="ISO 8601, such as 2024-05-12T10:00:00Z or 2024-05-12"
        ) from fault
    moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    whole_day = re.fullmatch(r"\d{4}-\d\d-\d\d|\d{8}", text, re.ASCII)
    last = moment + timedelta(days=1, microseconds=-1) if whole_day else moment
    return _iso(moment), _iso(last)


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def now() -> str:
    """Return the time, as items have it."""
    return _iso(datetime.now(UTC).replace(microsecond=0))


def item_json(draft: Draft, files: Sequence[AssetFile], *, version: int, previous: str | None) -> StacJson:
    """Return the STAC item of a product as JSON values; `previous` leads to the version it supersedes.

    Links are relative and lead to a collection one folder up and a catalogue two folders up. "created" and
    "updated" are now.
    """
    import pystac

    first, last = (datetime.fromisoformat(text) for text in draft.acquired)
    item = pystac.Item(
        id=draft.item_id,
        geometry=draft.footprint,
        bbox=stac_bbox(footprint_bounds(draft.footprint)),
        datetime=first if first == last else None,
        start_datetime=None if first == last else first,
        end_datetime=None if first == last else last,
        properties=_properties(draft) | {"version": str(version), "deprecated": False},
        collection=draft.record["scene"]["sensor"],
    )
    for file in files:
        item.add_asset(file.key, _asset(file, draft))
    for rel, target in (("root", "../../catalog.json"), ("collection", "../collection.json")):
        item.add_link(pystac.Link(rel, target, "application/json"))
    item.add_link(pystac.Link("parent", "../collection.json", "application/json"))
    if draft.rights.terms_url:
        item.add_link(pystac.Link("license", draft.rights.terms_url, title=draft.rights.terms))
    if previous:
        item.add_link(pystac.Link("predecessor-version", previous, "application/geo+json"))
    for source in draft.record["inputs"]:
        item.add_link(_source(source))
    found: StacJson = item.to_dict(include_self_link=False, transform_hrefs=False)
    named = {key.partition(":")[0] for key in found["properties"]} | {"eo", "file", "raster", "version"}
    names = {"proj": "projection"}
    found["stac_extensions"] = sorted(
        EXTENSIONS[names.get(name, name)] for name in named if names.get(name, name) in EXTENSIONS
    )
    plain: StacJson = json.loads(json.dumps(found))  # as it reads back: lists, not tuples
    return plain


def _properties(draft: Draft) -> StacJson:
    record, rights = draft.record, draft.rights
    scene, known, calibration = record["scene"], record["scene"]["metadata"], record.get("calibration")
    moment = now()
    clouds, elevation = known.get("cloud_cover_percent"), known.get("sun_elevation_deg")
    azimuth, off_nadir = known.get("sun_azimuth_deg"), known.get("off_nadir_deg")
    told = {
        "title": f"{scene['id']}, {place_words(footprint_bounds(draft.footprint))}",
        "created": moment,
        "updated": moment,
        "platform": str(known["spacecraft"]).lower().replace("_", "-") if known.get("spacecraft") else None,
        "gsd": gsd_m(draft),
        "license": rights.license,
        "attribution": rights.attribution or None,
        "providers": providers(rights),
        "eo:cloud_cover": clouds if _within(clouds, 0.0, 100.0) else None,
        "view:sun_elevation": elevation if _within(elevation, -90.0, 90.0) else None,
        "view:sun_azimuth": azimuth % 360.0 if _within(azimuth, -360.0, 360.0) else None,
        "view:off_nadir": abs(off_nadir) if _within(off_nadir, -90.0, 90.0) else None,
        "processing:software": {"geofuse": record["geofuse"], **record["versions"]},
        "processing:lineage": f"{record['method']['name']}: one fine and one coarse image of {scene['id']} fused "
        f"from {len(record['inputs'])} files; all parameters are in the asset `provenance`",
        "geofuse:scene": scene["id"],
        "geofuse:fingerprint": record["fingerprint"],
        "geofuse:inputs": inputs_digest(record),
        "geofuse:method": record["method"]["name"],
        "geofuse:access": rights.access,
        "geofuse:calibration_confidence": calibration["confidence"] if calibration else None,
        "geofuse:rights": rights_to_json(rights),
        "geofuse:valid_share": round(
            record["counts"]["valid"] / (record["grid"]["height"] * record["grid"]["width"]), 6
        ),
        "geofuse:warnings": record["warnings"] or None,
    }
    told |= _acceptance(record.get("acceptance"))
    return {name: value for name, value in told.items() if value is not None} | _projection(draft)


def _acceptance(said: Mapping[str, Any] | None) -> StacJson:
    """Say what was thought of the product, by which profile or whom; nothing where nobody looked."""
    if not said:
        return {}
    decision = said.get("decision") or {}
    return {
        "geofuse:verdict": said["verdict"],
        "geofuse:verdict_reasons": [reason["text"] for reason in said["reasons"]],
        "geofuse:accept_profile": f"{said['profile']} {said['profile_version']}",
        "geofuse:accepted_by": decision.get("by"),
        "geofuse:accepted_at": decision.get("at"),
        "geofuse:configuration": said.get("configuration"),
        "geofuse:quality": {name: value for name, value in said["measured"].items() if value is not None},
    }


def inputs_digest(record: ProductRecord) -> str:
    """Return what tells one delivery of a scene from another: its files' checksums, digested."""
    return sha256("\n".join(sorted(item["sha256"] for item in record["inputs"])).encode()).hexdigest()


def _within(value: object, low: float, high: float) -> TypeGuard[float]:
    return isinstance(value, int | float) and low <= value <= high


def providers(rights: Rights) -> list[StacJson]:
    """Return who made the inputs and what made the product, as STAC lists them."""
    found: list[StacJson] = []
    if rights.provider:
        name, page = rights.provider
        found.append({"name": name, "roles": ["producer", "licensor"], **({"url": page} if page else {})})
    return [*found, {"name": "geofuse", "roles": ["processor"]}]


def _projection(draft: Draft) -> StacJson:
    from pyproj import CRS

    grid = draft.facts.grid
    a, b, c, d, e, f = grid.transform
    xs = [c + a * col + b * row for col in (0, grid.width) for row in (0, grid.height)]
    ys = [f + d * col + e * row for col in (0, grid.width) for row in (0, grid.height)]
    name = crs_name(grid.crs)
    known = name.startswith("EPSG:")
    return {
        "proj:code": name if known else None,
        **({} if known else {"proj:wkt2": CRS(grid.crs).to_wkt("WKT2_2019")}),
        "proj:shape": [grid.height, grid.width],
        "proj:transform": list(grid.transform),
        "proj:bbox": [min(xs), min(ys), max(xs), max(ys)],
    }


def gsd_m(draft: Draft) -> float:
    """Return the side of a pixel on the ground, in metres: exact in a projection, at the centre in degrees."""
    from pyproj import CRS

    a, b, _, d, e, _ = draft.facts.grid.transform
    side = math.sqrt(abs(a * e - b * d))
    crs = CRS(draft.facts.grid.crs)
    unit = float(crs.axis_info[0].unit_conversion_factor)
    if not crs.is_geographic:
        return float(f"{side * unit:.6g}")
    _, south, _, north = footprint_bounds(draft.footprint)
    shrink = math.sqrt(math.cos(math.radians((south + north) / 2)))
    return float(f"{math.degrees(side * unit) * _METRES_PER_DEGREE * shrink:.4g}")


def _asset(file: AssetFile, draft: Draft) -> pystac.Asset:
    import pystac

    more: StacJson = {"file:size": file.size, "file:checksum": multihash(file.sha256)}
    if file.role == "data":
        more |= _bands(draft)
    if file.role == "mask":
        more["raster:bands"] = [{"data_type": "uint8", "sampling": "area"}]
    media = _MEDIA.get(Path(file.href).suffix)
    return pystac.Asset(file.href, media_type=media, roles=list(ROLES[file.role]), extra_fields=more)


def multihash(digest: str) -> str:
    """Return a SHA-256 as a multihash: its code, its length, itself.

    >>> multihash("ab" * 32)[:6]
    '1220ab'
    """
    return f"1220{digest}"


def _bands(draft: Draft) -> StacJson:
    """Describe the bands in the words of STAC 1.1 and of the extensions that its readers know."""
    sensor = sensor_or_generic(draft.record["scene"]["sensor"])
    facts, gsd = draft.facts, gsd_m(draft)
    optical, stored, plain = [], [], []
    for at, (name, known) in enumerate(
        zip(draft.record["parameters"]["bands"], draft.record["radiometry"]["bands"], strict=True)
    ):
        band = band_of(sensor, name)
        also = (*(band.aliases if band else ()), name)
        common = next((word for word in also if word in _COMMON_NAMES), None)
        wavelength = {"center_wavelength": round(band.wavelength_nm / 1000.0, 6)} if band else {}
        optical.append({"name": name, **({"common_name": common} if common else {}), **wavelength})
        stated = facts.scales[at], facts.offsets[at]
        scale, offset = (known["gain"], known["offset"]) if known["known"] else stated
        physical = {} if (scale, offset) == (1.0, 0.0) else {"scale": scale, "offset": offset}
        held = {"data_type": facts.dtypes[at], **_nodata(facts.nodata[at])}
        stored.append({**held, "sampling": "area", "spatial_resolution": gsd, **physical})
        plain.append({"name": name, **held})
    return {"bands": plain, "eo:bands": optical, "raster:bands": stored}


def _nodata(value: float | None) -> StacJson:
    if value is None:
        return {}
    if math.isfinite(value):
        return {"nodata": int(value) if value == int(value) else value}
    return {"nodata": "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"}


def _source(source: InputRecord) -> pystac.Link:
    """Return a link to an input: where it was, its name, its checksum."""
    import pystac

    path = source["path"]
    member = path.partition("!")[2] if path.startswith(TAR) else ""
    place = Path(os.path.abspath(file_of(path))).as_uri() + (f"#{member}" if member else "")
    more = {"file:size": source["bytes"], "file:checksum": multihash(source["sha256"])}
    return pystac.Link("derived_from", place, title=member or Path(path).name, extra_fields=more)


def superseded_json(item: StacJson, folder: str) -> StacJson:
    """Return an item as the old version of itself that lies in `folder`, beside that version's files."""
    old_id = f"{item['id']}-{folder}"
    moved = {"root": "../../../catalog.json", "collection": "../../collection.json"}
    moved["parent"] = moved["collection"]
    links = [
        {**link, "href": moved.get(link["rel"], _lower(link["href"]))}
        for link in item["links"]
        if link["rel"] != "latest-version"
    ]
    latest = {"rel": "latest-version", "href": f"../{item['id']}.json", "type": "application/geo+json"}
    assets = {
        key: {**asset, "href": "./" + asset["href"].removeprefix(f"./{folder}/")}
        for key, asset in item["assets"].items()
    }
    properties = {**item["properties"], "deprecated": True}
    return {**item, "id": old_id, "properties": properties, "assets": assets, "links": [*links, latest]}


def _lower(href: str) -> str:
    """Return a relative link as it is seen from one folder further down."""
    return f"../{href.removeprefix('./')}" if href.startswith("./") else href
