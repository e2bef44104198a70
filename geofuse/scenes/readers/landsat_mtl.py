"""The MTL file of a Landsat Level-1 delivery, of any generation: its entries, radiometry and metadata."""

from __future__ import annotations

import re

from geofuse.errors import FormatError, GeofuseError, ProductError
from geofuse.scenes import sidecars
from geofuse.scenes.sensors.sensor import Sensor

MTL_BYTES = 1 << 20

_ENTRY = re.compile(r'\s*([A-Z][A-Z0-9_]*)\s*=\s*(?:"([^"]*)"|([^\s"]+))\s*', re.ASCII)
_FLOAT = re.compile(r"[+-]?\d{1,20}(?:\.\d{0,20})?(?:[Ee][+-]?\d{1,2})?", re.ASCII)


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


def check_belongs(mtl: dict[str, str], scene_id: str, path: str) -> None:
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


def acquired(mtl: dict[str, str]) -> str | None:
    """Return the acquisition time of the scene's centre, None where the MTL has none or a malformed one."""
    day, time = mtl.get("DATE_ACQUIRED", ""), mtl.get("SCENE_CENTER_TIME", "")
    try:
        return sidecars.utc(f"{day}T{time}")
    except GeofuseError:
        return None


def radiometry(
    mtl: dict[str, str], band: int, *, path: str
) -> tuple[float | None, float | None, float | None]:
    """Return gain and offset to TOA reflectance, without sun-angle correction, and the saturated number.

    None where the MTL does not say: thermal bands have no reflectance.
    """
    values = [
        number_of(mtl, f"{key}_BAND_{band}", path=path)
        for key in ("REFLECTANCE_MULT", "REFLECTANCE_ADD", "QUANTIZE_CAL_MAX")
    ]
    gain, offset, top = values
    known = gain is not None and offset is not None and gain > 0.0
    return (gain, offset, top) if known else (None, None, top)


def metadata(mtl: dict[str, str], known: Sensor, *, path: str) -> dict[str, str | int | float]:
    """Return what belongs into the provenance: sun, clouds, place, level, terms; JSON values only."""
    decimals = {
        "sun_elevation_deg": "SUN_ELEVATION",
        "sun_azimuth_deg": "SUN_AZIMUTH",
        "cloud_cover_percent": "CLOUD_COVER",
        "earth_sun_distance_au": "EARTH_SUN_DISTANCE",
    }
    told = {name: number_of(mtl, key, path=path) for name, key in decimals.items()}
    roll = number_of(mtl, "ROLL_ANGLE", path=path)  # the view's angle at the scene's centre: LSDS-1822
    told["off_nadir_deg"] = None if roll is None else abs(roll)
    place = {name: number_of(mtl, name.upper(), path=path) for name in ("wrs_path", "wrs_row")}
    collection = mtl.get("COLLECTION_NUMBER", "")
    return {
        "spacecraft": mtl.get("SPACECRAFT_ID", known.title)[:40],
        "level": (mtl.get("PROCESSING_LEVEL") or mtl.get("DATA_TYPE") or "L1")[:10],
        "collection": f"{int(collection):02d}"
        if re.fullmatch(r"\d{1,2}", collection, re.ASCII)
        else "pre-collection",
        **{name: value for name, value in told.items() if value is not None},
        **{name: int(value) for name, value in place.items() if value is not None},
        "radiometry": "top-of-atmosphere reflectance; sun-angle correction not applied",
        "attribution": known.attribution,
        "licence": known.licence,
        "access": known.access,
    }
