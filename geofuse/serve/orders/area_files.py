"""Areas that strangers send: GeoJSON, GeoPackage, zipped Shapefile, KML. Told apart by their bytes, never trusted.

Text is parsed here, strictly. What only GDAL can read is read in a process of its own, with a bound on its time
and memory (`python -m geofuse.serve.orders.area_files FILE`): it may hang or die, the server does not.
"""

from __future__ import annotations

import io
import json
import re
import stat
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from geofuse.errors import AreaError, GeofuseError, LimitError
from geofuse.nouns import GeoJson, Json
from geofuse.serve.answers import AreaAnswer

WANTED = "GeoJSON, GeoPackage, a zipped Shapefile or KML, of polygons"
MOST_POINTS = 50_000
MOST_FEATURES = 10_000
MEMBERS = 64
MEMBER_BYTES = 64 << 20
ARCHIVE_BYTES = 128 << 20
READ_S = 20
READ_BYTES = 1 << 30
SHAPEFILE = (".shp", ".shx", ".dbf", ".prj", ".cpg")
KML = re.compile(r"\{http://(?:www\.opengis\.net/kml/2\.2|earth\.google\.com/kml/2\.[0-2])\}")
_GPKG = re.compile(rb"SQLite format 3\x00.{52}(?:GPKG|GP10|GP11)", re.DOTALL)


def area_of_upload(name: str, data: bytes) -> AreaAnswer:
    """Return an uploaded area: name, features, geometry in longitude and latitude, area_km2.

    Raises AreaError for what is none of the formats or malformed, LimitError for what is too much.
    """
    shown = re.sub(r"[^\w .()+-]", "_", PurePosixPath(name.replace("\\", "/")).name)[:80] or "area"
    if data.startswith(b"PK\x03\x04"):
        shape, count = _from_archive(data)
    elif _GPKG.match(data[:72]):
        shape, count = _from_files({"area.gpkg": data}, "area.gpkg")
    else:
        shape, count = _from_text(data)
    return _area_answer(shown, shape, count)


def _area_answer(name: str, shape: Any, count: int) -> AreaAnswer:
    import shapely
    from pyproj import Geod

    points = int(shapely.get_num_coordinates(shape))
    if points > MOST_POINTS or count > MOST_FEATURES:
        raise LimitError(
            f"an area of {count} features and {points} points",
            wanted=f"{MOST_FEATURES} and {MOST_POINTS} at most",
            do="simplify it",
        )
    whole = shapely.orient_polygons(shape)
    side = abs(Geod(ellps="WGS84").geometry_area_perimeter(whole)[0])
    return {
        "name": name,
        "features": count,
        "geometry": json.loads(shapely.to_geojson(whole)),
        "area_km2": round(side / 1e6, 6),
    }


def _from_text(data: bytes) -> tuple[Any, int]:
    from geofuse.scenes.aoi import lonlat_area

    try:
        text = data.decode("utf-8-sig").lstrip()
    except UnicodeDecodeError as fault:
        raise AreaError("a file that is none of the formats", wanted=WANTED) from fault
    if text.startswith("<"):
        return lonlat_area(geometry=_kml_polygons(data))
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise AreaError("a file that is none of the formats", wanted=WANTED) from fault
    if not isinstance(value, dict):
        raise AreaError("JSON that is no GeoJSON", wanted=WANTED)
    return lonlat_area(geometry=value)


def _kml_polygons(data: bytes) -> GeoJson:
    """Return a KML's polygons as GeoJSON; no document type, no entity, nothing from elsewhere."""
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    try:
        root = fromstring(data, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as fault:
        raise AreaError(
            "XML that is malformed, or has a document type or entities", wanted="plain KML"
        ) from fault
    mark = KML.match(root.tag)
    if mark is None:
        raise AreaError("XML that is no KML", wanted=WANTED)
    polygons = []
    for polygon in root.iter(f"{mark[0]}Polygon"):
        rings = [
            _ring(ring.text or "")
            for side in ("outerBoundaryIs", "innerBoundaryIs")
            for ring in polygon.iterfind(f"{mark[0]}{side}/{mark[0]}LinearRing/{mark[0]}coordinates")
        ]
        if rings:
            polygons.append(rings)
    if not polygons:
        raise AreaError("KML without polygons", wanted="at least one")
    features = [
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": rings}} for rings in polygons
    ]
    return {"type": "FeatureCollection", "features": features}


def _ring(text: str) -> list[list[float]]:
    try:
        return [[float(number) for number in place.split(",")[:2]] for place in text.split()]
    except ValueError as fault:
        raise AreaError("KML with coordinates that are no numbers", wanted="longitude,latitude") from fault


def _from_archive(data: bytes) -> tuple[Any, int]:
    """Read a zipped Shapefile, or a KMZ; nothing is unpacked but what is wanted, under names of ours."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = _checked(archive.infolist())
            shapes = [name for name in members if name.endswith(".shp")]
            texts = [name for name in members if name.endswith(".kml")]
            if not shapes and len(texts) == 1:
                return _from_text(_unpacked(archive, members[texts[0]]))
            if len(shapes) != 1:
                raise AreaError(f"an archive with {len(shapes)} shapefiles", wanted="one")
            stem = shapes[0].removesuffix(".shp")
            files = {
                f"area{suffix}": _unpacked(archive, members[stem + suffix])
                for suffix in SHAPEFILE
                if stem + suffix in members
            }
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as fault:
        raise AreaError("a damaged or encrypted archive", wanted=WANTED) from fault
    if "area.shx" not in files or "area.prj" not in files:
        raise AreaError("a shapefile without its .shx or .prj", wanted=".shp, .shx, .dbf and .prj together")
    return _from_files(files, "area.shp")


def _checked(members: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Return the members by lower-case name; raises for names that lead out, links, and bombs."""
    if len(members) > MEMBERS:
        raise LimitError(f"an archive of {len(members)} files", wanted=f"{MEMBERS} at most")
    if sum(member.file_size for member in members) > ARCHIVE_BYTES:
        raise LimitError("an archive that unpacks to too much", wanted=f"{ARCHIVE_BYTES >> 20} MiB at most")
    found: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        name = member.filename
        parts = PurePosixPath(name).parts
        mode = member.external_attr >> 16
        if name.startswith("/") or ".." in parts or re.search(r"[\\:\x00-\x1f]", name):
            raise AreaError("an archive with a name that leads out of it", wanted="plain names")
        if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_IFMT(mode) == 0):
            raise AreaError("an archive with a link in it", wanted="plain files")
        if not member.is_dir():
            found[name.lower()] = member
    return found


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Return a member's bytes, counted as they come: what it says of its size is not believed."""
    with archive.open(member) as file:
        data = file.read(MEMBER_BYTES + 1)
    if len(data) > MEMBER_BYTES:
        raise LimitError(
            "an archive that unpacks to too much", wanted=f"{MEMBER_BYTES >> 20} MiB a file at most"
        )
    return data


def _from_files(files: dict[str, bytes], main: str) -> tuple[Any, int]:
    """Let another process read files that only GDAL can."""
    import shapely

    with tempfile.TemporaryDirectory(prefix="geofuse-area-") as folder:
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        try:
            done = subprocess.run(
                [sys.executable, "-m", __spec__.name, str(Path(folder) / main)],
                capture_output=True,
                timeout=READ_S,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired as fault:
            raise AreaError("a file that takes too long to read", wanted="a simpler one") from fault
    try:
        said = json.loads(done.stdout)
    except ValueError as fault:
        raise AreaError("a file that cannot be read", wanted=WANTED) from fault
    if "found" in said:
        raise AreaError(said["found"], wanted=said["wanted"] or WANTED)
    return shapely.from_geojson(json.dumps(said["geometry"])), int(said["features"])


def _read_apart(path: str) -> None:
    """Read a file under limits and print what is in it."""
    import resource

    import shapely

    from geofuse.scenes.aoi import lonlat_area

    resource.setrlimit(resource.RLIMIT_CPU, (READ_S, READ_S))
    resource.setrlimit(resource.RLIMIT_DATA, (READ_BYTES, READ_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        shape, count = lonlat_area(path)
        said: dict[str, Json] = {"geometry": json.loads(shapely.to_geojson(shape)), "features": count}
    except GeofuseError as fault:
        said = {"found": fault.found, "wanted": fault.wanted}
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    _read_apart(sys.argv[1])
