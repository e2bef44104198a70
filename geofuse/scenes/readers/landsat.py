"""Landsat 8 and 9 Level-1 deliveries: which files belong together, and what their MTL says."""

from __future__ import annotations

import os
import re
import tarfile
from dataclasses import dataclass

from geofuse.errors import CorruptError, FormatError, GeofuseError, ProductError, ReadError
from geofuse.rasters import sniffing
from geofuse.scenes import sidecars
from geofuse.scenes.sensors.table import SENSORS

MTL_BYTES = 1 << 20
MOST_FILES = 10_000
WANTED = "one Landsat 8 or 9 Level-1 scene: *_B2.TIF to *_B5.TIF, *_B8.TIF and *_MTL.txt"
PAN_BAND = 8
NEEDED_BANDS = (2, 3, 4, 5, PAN_BAND)

_PART = re.compile(
    r"(L[A-Z]\d[A-Z0-9_]*?)_((?:SR_|ST_)?B\d{1,2}|BQA|QA_PIXEL|QA_RADSAT|MTL)\.(TIFF?|TXT)", re.ASCII
)
_COLLECTION_ID = re.compile(r"L[CO]0([89])_(L[12][A-Z]{2})_\d{6}_\d{8}_\d{8}_(0[12])_(?:T1|T2|RT)", re.ASCII)
_OLDER_ID = re.compile(r"L[CO]([89])\d{13}[A-Z]{3}\d\d", re.ASCII)
_ENTRY = re.compile(r'\s*([A-Z][A-Z0-9_]*)\s*=\s*(?:"([^"]*)"|([^\s"]+))\s*', re.ASCII)
_FLOAT = re.compile(r"[+-]?\d{1,20}(?:\.\d{0,20})?(?:[Ee][+-]?\d{1,2})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Listing:
    """The regular files of a folder or archive."""

    where: str
    """The folder or archive."""
    files: tuple[tuple[str, str], ...]
    """Base name and the path to open, per file."""


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
    quality: tuple[str, str] | None
    """Quality file and the layout of its bits, if there is one."""
    mtl: dict[str, str]
    """The metadata file's entries, groups dropped."""


def list_folder(path: str) -> Listing:
    """List the regular files directly inside a folder."""
    try:
        with os.scandir(path) as entries:
            names = sorted(entry.name for entry in entries if entry.is_file())
    except OSError as fault:
        raise ReadError(f"folder cannot be read: {fault.strerror}", path=path) from fault
    _few(len(names), path)
    return Listing(path, tuple((name, os.path.join(path, name)) for name in names))


def list_tar(path: str) -> Listing:
    """List the regular files of an uncompressed tar; links, devices and sparse members do not count.

    Nothing is unpacked: the paths name a member, `tar:/abs/bundle.tar!MEMBER`. Raises CorruptError for a
    damaged archive.
    """
    place = os.path.abspath(path)
    if "!" in place:
        raise FormatError("an archive with ! in its path", wanted="a path without", do="rename it", path=path)
    # the index keeps one of two members of the same name; here both count, as two files of one band
    whole = set(sniffing.members(path))
    _few(len(whole), path)
    try:
        with tarfile.open(path, "r:") as archive:
            names = [member.name for member in archive if member.isreg() and member.name in whole]
    except (tarfile.TarError, ValueError, OverflowError) as fault:
        raise CorruptError(
            "damaged tar archive", wanted="a whole one", do="fetch it again", path=path
        ) from fault
    except OSError as fault:
        raise ReadError(f"archive cannot be read: {fault.strerror}", path=path) from fault
    return Listing(path, tuple((os.path.basename(name), f"tar:{place}!{name}") for name in sorted(names)))


def _few(count: int, path: str) -> None:
    if count > MOST_FILES:
        raise ProductError(f"more than {MOST_FILES} files", wanted=WANTED, path=path)


def delivery(listing: Listing) -> Delivery:
    """Find the one Landsat scene among the files.

    Raises ProductError, naming what was found and what is wanted, where there is none or more than one, a
    band twice, PAN or one of bands 2 to 5 missing, a Level-2 product, or no metadata belonging to the files.
    """
    parts: dict[str, dict[str, str]] = {}
    for name, path in listing.files:
        match = _PART.fullmatch(name.upper())
        if match is None or (match[2] == "MTL") != (match[3] == "TXT"):
            continue
        held = parts.setdefault(match[1], {})
        if match[2] in held:
            raise ProductError(f"{match[2]} twice ({name})", wanted="each band once", path=listing.where)
        held[match[2]] = path
    if not parts:
        do = "name single rasters as PAN and MS"
        raise ProductError("no Landsat files", wanted=WANTED, do=do, path=listing.where)
    if len(parts) > 1:
        found = ", ".join(sorted(parts)[:3])
        raise ProductError(f"{len(parts)} scenes: {found}", wanted="one scene", path=listing.where)
    ((scene_id, held),) = parts.items()
    sensor, collection = _identify(scene_id, listing.where)
    bands = {number: held[f"B{number}"] for number in range(1, 12) if f"B{number}" in held}
    lacking = [number for number in NEEDED_BANDS if number not in bands]
    if lacking:
        names = ", ".join(f"{scene_id}_B{number}.TIF" for number in lacking)
        raise ProductError(f"no {names}", wanted=WANTED, path=listing.where)
    if "MTL" not in held:
        raise ProductError(f"no {scene_id}_MTL.txt", wanted=WANTED, path=listing.where)
    mtl = parse_mtl(read_text(held["MTL"]), path=held["MTL"])
    _belongs(mtl, scene_id, held["MTL"])
    quality = held.get("QA_PIXEL" if collection == "c2" else "BQA")
    return Delivery(
        listing.where,
        scene_id,
        sensor,
        bands,
        (quality, f"landsat-{collection}") if quality else None,
        mtl,
    )


def scene_files(listing: Listing) -> list[tuple[str, str]]:
    """Return those of the files that belong to Landsat scenes: bands, quality, metadata."""
    return [(name, path) for name, path in listing.files if _PART.fullmatch(name.upper())]


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


def read_text(path: str) -> str:
    """Read a metadata file, in a folder or a tar; raises ProductError for one that is empty or over 1 MiB."""
    try:
        return sidecars.read_small(path, MTL_BYTES).decode("ascii", "replace")
    except FormatError as fault:
        raise ProductError(f"metadata: {fault.found}", wanted="a Landsat MTL", path=path) from fault


def parse_mtl(text: str, *, path: str) -> dict[str, str]:
    """Return the entries of an MTL file of any generation, groups dropped; of equal keys the first counts.

    Raises ProductError for a file that is empty, cut, or no MTL.

    >>> parse_mtl('GROUP = L1_METADATA_FILE\\n  WRS_PATH = 20\\nEND_GROUP = L1_METADATA_FILE\\nEND', path="x")
    {'WRS_PATH': '20'}
    """
    found: dict[str, str] = {}
    groups: list[str] = []
    wanted = "a whole Landsat MTL"
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        if line.strip() == "END":
            break
        match = _ENTRY.fullmatch(line)
        if match is None or not (groups or match[1] == "GROUP"):
            raise ProductError(f"line {number} is no metadata entry", wanted=wanted, path=path)
        key, value = match[1], match[2] if match[2] is not None else match[3]
        if key == "GROUP":
            if not groups and value not in ("L1_METADATA_FILE", "LANDSAT_METADATA_FILE"):
                raise ProductError(f"metadata of kind {value[:40]}", wanted=wanted, path=path)
            groups.append(value)
        elif key == "END_GROUP":
            if groups.pop() != value:
                raise ProductError(f"line {number} ends another group", wanted=wanted, path=path)
        else:
            found.setdefault(key, value)
    else:
        raise ProductError("metadata without its END", wanted=wanted, do="fetch it again", path=path)
    if groups or not found:
        raise ProductError("metadata without its entries", wanted=wanted, do="fetch it again", path=path)
    return found


def number_of(mtl: dict[str, str], key: str, *, path: str) -> float | None:
    """Return a number of the MTL, None where there is no entry; raises ProductError for a malformed one."""
    text = mtl.get(key)
    if text is None:
        return None
    if not _FLOAT.fullmatch(text):
        raise ProductError(f"{key} = {text[:40]!r}", wanted="a number", path=path)
    return float(text)


def _belongs(mtl: dict[str, str], scene_id: str, path: str) -> None:
    """Refuse the metadata of another scene, by the file names it lists or, without any, by its own id."""
    level = mtl.get("PROCESSING_LEVEL") or mtl.get("DATA_TYPE") or ""
    if level.startswith("L2"):
        raise ProductError(f"metadata of a Level-2 product ({level[:10]})", wanted="Level-1", path=path)
    named = {mtl[key].upper() for key in mtl if key.startswith("FILE_NAME_BAND_")}
    others = sorted(name for name in named if not name.startswith(f"{scene_id}_"))
    if not named:
        ids = {mtl[key].upper() for key in ("LANDSAT_PRODUCT_ID", "LANDSAT_SCENE_ID") if key in mtl}
        others = [] if scene_id in ids else sorted(ids) or ["no scene"]
    if others:
        raise ProductError(
            f"metadata of another scene ({others[0][:60]})", wanted=f"that of {scene_id}", path=path
        )


def acquired(found: Delivery) -> str | None:
    """Return the acquisition time of the scene's centre, None where the MTL has none or a malformed one."""
    day, time = found.mtl.get("DATE_ACQUIRED", ""), found.mtl.get("SCENE_CENTER_TIME", "")
    try:
        return sidecars.utc(f"{day}T{time}")
    except GeofuseError:
        return None


def radiometry(found: Delivery, band: int) -> tuple[float | None, float | None, float | None]:
    """Return gain and offset to TOA reflectance, without sun-angle correction, and the saturated number.

    None where the MTL does not say: thermal bands have no reflectance.
    """
    values = [
        number_of(found.mtl, f"{key}_BAND_{band}", path=found.where)
        for key in ("REFLECTANCE_MULT", "REFLECTANCE_ADD", "QUANTIZE_CAL_MAX")
    ]
    gain, offset, top = values
    known = gain is not None and offset is not None and gain > 0.0
    return (gain, offset, top) if known else (None, None, top)


def metadata(found: Delivery) -> dict[str, str | int | float]:
    """Return what belongs into the provenance: sun, clouds, place, level, terms; JSON values only."""
    sensor, mtl = SENSORS[found.sensor], found.mtl
    decimals = {
        "sun_elevation_deg": "SUN_ELEVATION",
        "sun_azimuth_deg": "SUN_AZIMUTH",
        "cloud_cover_percent": "CLOUD_COVER",
        "earth_sun_distance_au": "EARTH_SUN_DISTANCE",
    }
    known = {name: number_of(mtl, key, path=found.where) for name, key in decimals.items()}
    roll = number_of(mtl, "ROLL_ANGLE", path=found.where)  # the view's angle at the scene's centre: LSDS-1822
    known["off_nadir_deg"] = None if roll is None else abs(roll)
    place = {name: number_of(mtl, name.upper(), path=found.where) for name in ("wrs_path", "wrs_row")}
    collection = mtl.get("COLLECTION_NUMBER", "")
    return {
        "spacecraft": mtl.get("SPACECRAFT_ID", sensor.title)[:40],
        "level": (mtl.get("PROCESSING_LEVEL") or mtl.get("DATA_TYPE") or "L1")[:10],
        "collection": f"{int(collection):02d}"
        if re.fullmatch(r"\d{1,2}", collection, re.ASCII)
        else "pre-collection",
        **{name: value for name, value in known.items() if value is not None},
        **{name: int(value) for name, value in place.items() if value is not None},
        "radiometry": "top-of-atmosphere reflectance; sun-angle correction not applied",
        "attribution": sensor.attribution,
        "licence": sensor.licence,
        "access": sensor.access,
    }
