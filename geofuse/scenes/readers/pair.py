"""Two rasters, or more: a PAN and its MS, named by hand, or lying in a folder with "pan" in one name."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from geofuse.errors import BandError, ProductError
from geofuse.rasters.image import Band, Image
from geofuse.rasters.opening import sniffing
from geofuse.scenes import sidecars
from geofuse.scenes.bands import with_nodata
from geofuse.scenes.readers.base import ListedFile, Listing, Match
from geofuse.scenes.readers.rasterfile import (
    RasterFile,
    band_in,
    file_with_sidecars,
    image_in,
    tiled_image,
)
from geofuse.scenes.scene import Given, Scene
from geofuse.scenes.sensors.names import canonical_name, is_thermal
from geofuse.scenes.sensors.sensor import Sensor, band_of, layout
from geofuse.scenes.sensors.table import GENERIC, sensor, sensor_of_satellite

NAME = "pair"
RASTERS = (".tif", ".tiff", ".jp2")
_PAN = re.compile(r"(?:^|[_.-])pan(?:[_.-]|$)|panchromatic", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PairReader:
    """Any PAN and MS."""

    wanted: str = "one raster with pan in its name and its MS"
    """What a folder must hold."""
    last: bool = True
    """Names say little here."""

    def match(self, listing: Listing) -> Match | None:
        """Take a folder with exactly one raster called PAN, and others."""
        rasters = [entry for entry in listing.entries if entry.name.lower().endswith(RASTERS)]
        pan = [entry for entry in rasters if _PAN.search(Path(entry.name).stem)]
        ms = [entry for entry in rasters if entry not in pan]
        if len(pan) != 1 or not ms:
            return None
        given = (Given("pan", pan[0].path), *(Given("ms", entry.path) for entry in ms))
        return Match(NAME, listing.where, (*pan, *ms), given)

    def open(self, match: Match) -> Scene:
        """Open the files that the match gives roles to."""
        paths = {role: [one.path for one in match.given if one.role == role] for role in ("pan", "ms")}
        return open_pair(paths["pan"], paths["ms"])


READER = PairReader()


def named(given: Sequence[Given]) -> Match:
    """Return files named by hand as what this reader opens."""
    files = tuple(ListedFile(os.path.basename(one.path), one.path) for one in given)
    return Match(NAME, "", files, tuple(given))


def open_pair(pan: str | Sequence[str], ms: Sequence[str], *, nodata: float | None = None) -> Scene:
    """Open a PAN of one image band, or its tiles, and its MS: one file of several bands, or several files.

    Bands keep the order of the files. `nodata` overrides the files' own tags. Raises BandError, PixelError,
    ProductError or GeorefError for files that do not make a pair, and what reading headers raises.
    """
    tiles = (pan,) if isinstance(pan, str) else tuple(pan)
    if not (tiles and ms):
        raise ProductError(f"no {'MS' if tiles else 'PAN'} file", wanted="one or more")
    plain = [sniffing.safe_path(path) for path in (*tiles, *ms)]
    paths = [path if path.startswith(sniffing.TAR) else os.path.realpath(path) for path in plain]
    twice = next((name for at, name in enumerate(paths) if name in paths[:at]), None)
    if twice:
        raise ProductError("the same file twice", wanted="different PAN and MS files", path=twice)
    fine, coarse = [file_with_sidecars(path) for path in tiles], [file_with_sidecars(path) for path in ms]
    for file in fine:
        if len(file.facts.dtypes) - bool(file.facts.alpha) != 1:
            found = f"PAN with {len(file.facts.dtypes)} bands"
            raise BandError(
                found, wanted="exactly one image band", do="extract PAN's band", path=file.facts.path
            )
    described = [file.imd for file in (*fine, *coarse) if file.imd]
    satellites = {imd.satellite for imd in described if imd.satellite}
    known = sensor_of_satellite(min(satellites)) if satellites else sensor(GENERIC)
    warnings = [text for file in (*fine, *coarse) for text in file.warnings]
    if len(satellites) > 1:
        known = sensor(GENERIC)
        warnings.append(f"PAN and MS name different satellites: {', '.join(sorted(satellites))}")
    bands = _ms_bands(coarse, known, warnings)
    scene = Scene(
        scene_id=_stem(tiles[0]),
        sensor=known.key,
        images=(_pan_image(fine, known, warnings), image_in("ms", coarse, bands)),
        reader=NAME,
        source=(*(Given("pan", path) for path in tiles), *(Given("ms", path) for path in ms)),
        acquired=next((imd.acquired for imd in described if imd.acquired), None),
        metadata=_metadata(described, known),
        warnings=tuple(warnings),
    )
    return scene if nodata is None else with_nodata(scene, nodata)


def _stem(path: str) -> str:
    if path.startswith(sniffing.TAR):
        path = path.partition("!")[2]
    return os.path.splitext(os.path.basename(path))[0]


def _pan_image(files: Sequence[RasterFile], known: Sensor, warnings: list[str]) -> Image:
    """Return PAN of one file, or of tiles that make one grid."""
    first = files[0]
    at = next(at for at in range(len(first.facts.dtypes)) if at + 1 != first.facts.alpha)
    told = known.pan or sensor(GENERIC).pan
    band = band_in(first, at, warnings)
    band = replace(
        band,
        name="pan",
        aliases=(str(at + 1),),
        wavelength_nm=told.wavelength_nm if told and known.key != GENERIC else None,
        mtf_gain=told.mtf_gain if told else band.mtf_gain,
    )
    return tiled_image("pan", files, (band,))


def _ms_bands(files: Sequence[RasterFile], known: Sensor, warnings: list[str]) -> tuple[Band, ...]:
    """Name each band by the sensor where known, else by description, colour or number, no name twice."""
    places = [
        (file, at) for file in files for at in range(len(file.facts.dtypes)) if at + 1 != file.facts.alpha
    ]
    if not places:
        raise BandError("MS without an image band", wanted="one or more", path=files[0].facts.path)
    order = _layout(files[0].imd, known, len(places))
    made: list[Band] = []
    for number, (file, at) in enumerate(places, 1):
        text = file.facts.descriptions[at]
        meant = order[number - 1] if order else None
        name = meant or canonical_name(text) or canonical_name(file.facts.colors[at])
        if name is None or any(band.name == name for band in made):
            name = str(number)
        told = band_of(known, name)
        described = text.strip()[:60] if text and not text.strip().isdigit() else ""
        aliases = (str(number), described, *(told.aliases if told else ()))
        made.append(
            replace(
                band_in(file, at, warnings),
                name=name,
                aliases=tuple(dict.fromkeys(alias for alias in aliases if alias and alias != name)),
                wavelength_nm=told.wavelength_nm if told else None,
                mtf_gain=told.mtf_gain if told else known.mtf_gain,
                thermal=is_thermal(name),
            )
        )
    return tuple(made)


def _layout(imd: sidecars.Imd | None, known: Sensor, count: int) -> tuple[str, ...] | None:
    """Return the names of an MS file's bands as its .IMD lists them, else as the sensor delivers so many."""
    if imd is not None and len(imd.bands) == count and "pan" not in imd.bands:
        return imd.bands
    found = layout(known, count)
    return tuple(band.name for band in found) if found else None


def _metadata(described: Sequence[sidecars.Imd], known: Sensor) -> dict[str, str | int | float]:
    """Return what the providers' files say, the PAN's before the MS's, and the sensor's terms."""
    names = {
        "satellite": "spacecraft",
        "sun_elevation_deg": "sun_elevation_deg",
        "sun_azimuth_deg": "sun_azimuth_deg",
        "off_nadir_deg": "off_nadir_deg",
        "cloud_cover_percent": "cloud_cover_percent",
    }
    found: dict[str, str | int | float] = {}
    for imd in described:
        for field, name in names.items():
            if getattr(imd, field) is not None:
                found.setdefault(name, getattr(imd, field))
    if known.key != GENERIC:
        found.update(attribution=known.attribution, licence=known.licence, access=known.access)
    return found
