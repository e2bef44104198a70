"""Landsat 8 and 9 Level-1 deliveries, in a folder or a .tar: which files belong together, and their scene."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from geofuse.errors import ProductError
from geofuse.rasters.image import Band, BitField, BitLayout, Piece
from geofuse.rasters.opening.headers import RasterFacts
from geofuse.rasters.validity import holds
from geofuse.scenes.quality import CIRRUS, CLOUD, NODATA, SATURATED, SHADOW, SNOW
from geofuse.scenes.readers.base import Listing, Match
from geofuse.scenes.readers.landsat_mtl import (
    acquired,
    check_belongs,
    metadata,
    parse_mtl,
    radiometry,
    read_text,
)
from geofuse.scenes.readers.rasterfile import bare_file, image_in, one_grid, type_top
from geofuse.scenes.scene import Given, Scene
from geofuse.scenes.sensors.sensor import Sensor, aliased
from geofuse.scenes.sensors.table import sensor

NAME = "landsat"
WANTED = "one Landsat 8 or 9 Level-1 scene: *_B2.TIF to *_B5.TIF, *_B8.TIF and *_MTL.txt"
PAN_BAND = 8
NEEDED_BANDS = (2, 3, 4, 5, PAN_BAND)

_PART = re.compile(
    r"(L[A-Z]\d[A-Z0-9_]*?)_((?:SR_|ST_)?B\d{1,2}|BQA|QA_PIXEL|QA_RADSAT|MTL)\.(TIFF?|TXT)", re.ASCII
)
_COLLECTION_ID = re.compile(r"L[CO]0([89])_(L[12][A-Z]{2})_\d{6}_\d{8}_\d{8}_(0[12])_(?:T1|T2|RT)", re.ASCII)
_OLDER_ID = re.compile(r"L[CO]([89])\d{13}[A-Z]{3}\d\d", re.ASCII)

QUALITY_LAYOUTS = {
    "landsat-pre": BitLayout(
        "landsat-pre",
        (
            BitField(NODATA, 0, 1, 1),
            BitField(SATURATED, 1, 1, 1),
            BitField(SNOW, 10, 3, 3),
            BitField(CIRRUS, 12, 3, 3),
            BitField(CLOUD, 14, 3, 3),
        ),
    ),
    "landsat-c1": BitLayout(
        "landsat-c1",
        (
            BitField(NODATA, 0, 1, 1),
            BitField(SATURATED, 2, 3, 1),
            BitField(CLOUD, 4, 1, 1),
            BitField(CLOUD, 5, 3, 3),
            BitField(SHADOW, 7, 3, 3),
            BitField(SNOW, 9, 3, 3),
            BitField(CIRRUS, 11, 3, 3),
        ),
    ),
    "landsat-c2": BitLayout(
        "landsat-c2",
        (
            BitField(NODATA, 0, 1, 1),
            BitField(CLOUD, 1, 1, 1),
            BitField(CIRRUS, 2, 1, 1),
            BitField(CLOUD, 3, 1, 1),
            BitField(SHADOW, 4, 1, 1),
            BitField(SNOW, 5, 1, 1),
            BitField(CLOUD, 8, 3, 3),
            BitField(SHADOW, 10, 3, 3),
            BitField(SNOW, 12, 3, 3),
            BitField(CIRRUS, 14, 3, 3),
        ),
    ),
}
"""Bits of the quality bands of each generation. Sources: USGS, Landsat 8 Data Users Handbook (LSDS-1574, versions
1.0 and 4.0), Landsat 8-9 Collection 2 Level 1 Data Format Control Book (LSDS-1822)."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One Landsat scene: its files by band number, and its metadata."""

    where: str
    """The folder or archive."""
    scene_id: str
    """The provider's name of the scene."""
    sensor: str
    """Key into the sensor table."""
    bands: dict[int, str]
    """File of each band found, 8 being PAN."""
    quality: tuple[str, BitLayout] | None
    """Quality file and the layout of its bits, if there is one."""
    mtl: dict[str, str]
    """The metadata file's entries, groups dropped."""


@dataclass(frozen=True, slots=True)
class LandsatReader:
    """Landsat 8 and 9 Level-1 as USGS delivers them, of every collection."""

    wanted: str = WANTED
    """What a delivery must hold."""
    last: bool = False
    """Names say all."""

    def match(self, listing: Listing) -> Match | None:
        """Take bands, quality and metadata of Landsat scenes, be they whole or not."""
        files = tuple(entry for entry in listing.entries if _PART.fullmatch(entry.name.upper()))
        return Match(NAME, listing.where, files, (Given("", listing.where),)) if files else None

    def open(self, match: Match) -> Scene:
        """Open the one scene; raises what `delivery` raises, and what its headers are refused for."""
        return _scene(delivery(match), match)


READER = LandsatReader()


def delivery(match: Match) -> Delivery:
    """Find the one Landsat scene among the files.

    Raises ProductError, naming what was found and what is wanted, where there is none or more than one, a
    band twice, PAN or one of bands 2 to 5 missing, a Level-2 product, or no metadata belonging to the files.
    """
    parts: dict[str, dict[str, str]] = {}
    for entry in match.files:
        part = _PART.fullmatch(entry.name.upper())
        if part is None or (part[2] == "MTL") != (part[3] == "TXT"):
            continue
        held = parts.setdefault(part[1], {})
        if part[2] in held:
            raise ProductError(f"{part[2]} twice ({entry.name})", wanted="each band once", path=match.where)
        held[part[2]] = entry.path
    if not parts:
        raise ProductError("no Landsat files", wanted=WANTED, path=match.where)
    if len(parts) > 1:
        found = ", ".join(sorted(parts)[:3])
        raise ProductError(f"{len(parts)} scenes: {found}", wanted="one scene", path=match.where)
    ((scene_id, held),) = parts.items()
    sensor, collection = _identify(scene_id, match.where)
    bands = {number: held[f"B{number}"] for number in range(1, 12) if f"B{number}" in held}
    lacking = [number for number in NEEDED_BANDS if number not in bands]
    if lacking:
        names = ", ".join(f"{scene_id}_B{number}.TIF" for number in lacking)
        raise ProductError(f"no {names}", wanted=WANTED, path=match.where)
    if "MTL" not in held:
        raise ProductError(f"no {scene_id}_MTL.txt", wanted=WANTED, path=match.where)
    mtl = parse_mtl(read_text(held["MTL"]), path=held["MTL"])
    check_belongs(mtl, scene_id, held["MTL"])
    quality = held.get("QA_PIXEL" if collection == "c2" else "BQA")
    layout = QUALITY_LAYOUTS[f"landsat-{collection}"]
    return Delivery(match.where, scene_id, sensor, bands, (quality, layout) if quality else None, mtl)


def _identify(scene_id: str, where: str) -> tuple[str, str]:
    new, old = _COLLECTION_ID.fullmatch(scene_id), _OLDER_ID.fullmatch(scene_id)
    if new is not None and new[2].startswith("L2"):
        raise ProductError(
            f"the Level-2 product {scene_id}, which has no PAN",
            wanted="the Level-1 product",
            do="fetch the L1TP delivery of the scene",
            path=where,
        )
    if new is not None:
        return f"landsat{new[1]}", f"c{int(new[3])}"
    if old is not None:
        return f"landsat{old[1]}", "pre"
    raise ProductError(f"{scene_id}, which is no Landsat 8 or 9 image", wanted=WANTED, path=where)


def _scene(found: Delivery, match: Match) -> Scene:
    known = sensor(found.sensor)
    files = {number: bare_file(path) for number, path in found.bands.items()}
    for file in files.values():
        count = len(file.facts.dtypes)
        if count != 1:
            raise ProductError(f"{count} bands", wanted="one band a file", path=file.facts.path)
    made = {number: _band(found, known, number, file.facts) for number, file in files.items()}
    fine = files.pop(PAN_BAND)
    coarse = list(files.values())
    images = [
        image_in("pan", [fine], (made.pop(PAN_BAND),)),
        image_in("ms", coarse, tuple(made.values())),
    ]
    warnings: list[str] = []
    if found.quality is not None:
        place, layout = found.quality
        file = bare_file(place)
        if file.facts.dtypes == ("uint16",):
            one_grid([*coarse, file])
            band = Band("quality", (Piece(place),), "uint16")
            images.append(replace(image_in("quality", [file], (band,)), bit_layout=layout))
        else:
            warnings.append(
                f"{place}: quality band of type {', '.join(file.facts.dtypes)}, not uint16; ignored"
            )
    return Scene(
        scene_id=found.scene_id,
        sensor=known.key,
        images=tuple(images),
        reader=NAME,
        source=match.given,
        acquired=acquired(found.mtl),
        metadata=metadata(found.mtl, known, path=found.where),
        warnings=tuple(warnings),
    )


def _band(found: Delivery, known: Sensor, number: int, facts: RasterFacts) -> Band:
    told = known.pan if number == PAN_BAND else aliased(known, f"B{number}")
    if told is None:
        raise ProductError(f"band {number}", wanted="Landsat's bands 1 to 11", path=facts.path)
    gain, offset, top = radiometry(found.mtl, number, path=found.where)
    tag = facts.nodata[0] if holds(facts.dtypes[0], facts.nodata[0]) else None
    return Band(
        name=told.name,
        pieces=(Piece(facts.path),),
        dtype=facts.dtypes[0],
        aliases=told.aliases,
        nodata=known.fill if tag is None else tag,
        gain=gain,
        offset=offset,
        tag_scale=facts.scales[0],
        tag_offset=facts.offsets[0],
        saturation=type_top(facts.dtypes[0]) if top is None else top,
        wavelength_nm=told.wavelength_nm,
        mtf_gain=told.mtf_gain,
        color=facts.colors[0],
        thermal=told.thermal,
    )
