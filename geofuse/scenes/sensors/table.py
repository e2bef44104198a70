"""What each sensor is: bands, wavelengths, MTF gains, bit depth, ratio, fill, terms of use, quality bits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from geofuse.errors import ProductError

NODATA, SATURATED, CLOUD, SHADOW, SNOW, CIRRUS = 1, 2, 4, 8, 16, 32

_BGRN = ("blue", "green", "red", "nir")


@dataclass(frozen=True, slots=True)
class SensorBand:
    """One band of a sensor."""

    name: str
    """Canonical name."""
    wavelength_nm: float
    """Centre wavelength."""
    mtf_gain: float
    """MTF at the band's own Nyquist frequency."""
    aliases: tuple[str, ...] = ()
    """The provider's and other common names."""
    thermal: bool = False
    """Emissive band."""


@dataclass(frozen=True, slots=True)
class Sensor:
    """One sensor, as its provider describes it."""

    key: str
    """Name in Scene.sensor."""
    title: str
    """Name for people."""
    bands: tuple[SensorBand, ...]
    """Coarse bands in the provider's order; empty where a file's bands cannot be known beforehand."""
    pan: SensorBand | None
    """Fine band; None where the fine image is itself multispectral."""
    mtf_gain: float
    """MTF of a coarse band that is not in `bands`."""
    ratio: float
    """Nominal coarse pixel over fine pixel."""
    bits: int
    """Significant bits of a stored number."""
    fill: float | None
    """Stored value of a pixel without data, where no tag says so; None if there is no convention."""
    default: tuple[str, ...]
    """Bands fused when none are named; empty for all that are not thermal."""
    licence: str
    """Terms of use, in a few words."""
    attribution: str
    """Credit line."""
    access: str
    """"open", "registered", "commercial" or "unknown"."""


def _pan(wavelength_nm: float, mtf_gain: float, *aliases: str) -> SensorBand:
    return SensorBand("pan", wavelength_nm, mtf_gain, aliases)


def _oli(key: str, title: str) -> Sensor:
    # Centre wavelengths: Landsat 8 Data Users Handbook (LSDS-1574), tables of the OLI and TIRS bands.
    rows = (
        ("coastal", 442.96, ("B1", "1")),
        ("blue", 482.04, ("B2", "2")),
        ("green", 561.41, ("B3", "3")),
        ("red", 654.59, ("B4", "4")),
        ("nir", 864.67, ("B5", "5", "nir08")),
        ("swir1", 1608.86, ("B6", "6", "swir16")),
        ("swir2", 2200.73, ("B7", "7", "swir22")),
        ("cirrus", 1373.43, ("B9", "9")),
        ("thermal1", 10895.0, ("B10", "10", "lwir11")),
        ("thermal2", 12005.0, ("B11", "11", "lwir12")),
    )
    return Sensor(
        key,
        title,
        tuple(SensorBand(name, nm, 0.30, also, name.startswith("thermal")) for name, nm, also in rows),
        _pan(589.50, 0.15, "B8", "8"),
        mtf_gain=0.30,
        ratio=2.0,
        bits=16,
        fill=0.0,
        default=_BGRN,
        licence="public domain",
        attribution="Image courtesy of the U.S. Geological Survey",
        access="open",
    )


_WORLDVIEW = ("coastal", "blue", "green", "yellow", "red", "rededge", "nir", "nir2")
_WORLDVIEW_NM = (425.0, 480.0, 545.0, 605.0, 660.0, 725.0, 832.5, 950.0)
_MAXAR = "© Maxar Technologies"

# key, title, wavelengths and gains of the MS bands, wavelength and gain of PAN, bits, credit line.
# Wavelengths: middle of the band edges of the data sheets. MTF gains: Aiazzi et al. 2006, PE&RS 72(5),
# Vivone et al. 2015, IEEE TGRS 53(5), and the makers' figures.
_COMMERCIAL: tuple[tuple[str, str, tuple[float, ...], tuple[float, ...], float, float, int, str], ...] = (
    ("quickbird", "QuickBird", (485, 560, 660, 830), (0.34, 0.32, 0.30, 0.22), 675, 0.15, 11, _MAXAR),
    ("ikonos", "IKONOS", (480.5, 550.5, 665, 805), (0.26, 0.28, 0.29, 0.28), 675, 0.17, 11, _MAXAR),
    ("geoeye1", "GeoEye-1", (480, 545, 672.5, 850), (0.23,) * 4, 625, 0.16, 11, _MAXAR),
    ("worldview2", "WorldView-2", _WORLDVIEW_NM, (0.35,) * 7 + (0.27,), 625, 0.11, 11, _MAXAR),
    (
        "worldview3",
        "WorldView-3",
        _WORLDVIEW_NM,
        (0.325, 0.355, 0.360, 0.350, 0.365, 0.360, 0.335, 0.315),
        625,
        0.14,
        11,
        _MAXAR,
    ),
    ("worldview4", "WorldView-4", (480, 545, 672.5, 850), (0.23,) * 4, 625, 0.16, 11, _MAXAR),
    ("pleiades", "Pléiades", (490, 550, 660, 850), (0.30,) * 4, 650, 0.15, 12, "© CNES, Airbus DS"),
    ("spot6", "SPOT 6/7", (485, 560, 660, 825), (0.30,) * 4, 597.5, 0.15, 12, "© Airbus DS"),
    ("gf2", "GaoFen-2", (485, 555, 660, 830), (0.30,) * 4, 675, 0.15, 10, "© CNSA/CRESDA"),
)


def _commercial() -> Iterator[Sensor]:
    for key, title, wavelengths_nm, gains, pan_nm, pan_gain, bits, credit in _COMMERCIAL:
        names = _BGRN if len(wavelengths_nm) == 4 else _WORLDVIEW
        yield Sensor(
            key,
            title,
            tuple(
                SensorBand(name, nm, gain, ("nir1",) if name == "nir" else ())
                for name, nm, gain in zip(names, wavelengths_nm, gains, strict=True)
            ),
            _pan(pan_nm, pan_gain),
            mtf_gain=gains[0],
            ratio=4.0,
            bits=bits,
            fill=0.0,
            default=(),
            licence="the provider's end-user licence",
            attribution=credit,
            access="commercial",
        )


def _sentinel2() -> Sensor:
    rows = (
        ("coastal", 442.7, 0.32, ("B1", "B01")),
        ("blue", 492.4, 0.26, ("B2", "B02")),
        ("green", 559.8, 0.28, ("B3", "B03")),
        ("red", 664.6, 0.24, ("B4", "B04")),
        ("rededge", 704.1, 0.38, ("B5", "B05", "rededge1")),
        ("rededge2", 740.5, 0.34, ("B6", "B06")),
        ("rededge3", 782.8, 0.34, ("B7", "B07")),
        ("nir", 832.8, 0.26, ("B8", "B08")),
        ("nir2", 864.7, 0.33, ("B8A", "nir08")),
        ("watervapour", 945.1, 0.26, ("B9", "B09", "nir09")),
        ("swir1", 1613.7, 0.22, ("B11", "swir16")),
        ("swir2", 2202.4, 0.23, ("B12", "swir22")),
    )
    return Sensor(
        "sentinel2",
        "Sentinel-2 MSI",
        tuple(SensorBand(name, nm, gain, also) for name, nm, gain, also in rows),
        None,
        mtf_gain=0.30,
        ratio=2.0,
        bits=16,
        fill=0.0,
        default=(),
        licence="Copernicus: free, full and open",
        attribution="Contains modified Copernicus Sentinel data",
        access="open",
    )


def _generic() -> Sensor:
    return Sensor(
        "generic",
        "unknown sensor",
        (),
        _pan(650.0, 0.15),
        mtf_gain=0.30,
        ratio=4.0,
        bits=16,
        fill=None,
        default=(),
        licence="unknown",
        attribution="",
        access="unknown",
    )


def _prisma() -> Sensor:
    return Sensor(
        "prisma",
        "PRISMA",
        (),
        _pan(550.0, 0.20),
        mtf_gain=0.30,
        ratio=6.0,
        bits=16,
        fill=0.0,
        default=(),
        licence="ASI licence to use",
        attribution="© Italian Space Agency (ASI)",
        access="registered",
    )


SENSORS: dict[str, Sensor] = {
    sensor.key: sensor
    for sensor in (
        _oli("landsat8", "Landsat 8 OLI/TIRS"),
        _oli("landsat9", "Landsat 9 OLI-2/TIRS-2"),
        *_commercial(),
        _prisma(),
        _sentinel2(),
        _generic(),
    )
}

SATELLITES: dict[str, str] = {
    "QB02": "quickbird",
    "IK01": "ikonos",
    "IK02": "ikonos",
    "GE01": "geoeye1",
    "WV02": "worldview2",
    "WV03": "worldview3",
    "WV04": "worldview4",
}
"""The `satId` of a DigitalGlobe .IMD file, and the sensor it means."""

_SYNONYMS: dict[str, tuple[str, ...]] = {
    "coastal": ("coastalblue", "coastalaerosol", "ultrablue", "violet"),
    "blue": (),
    "green": (),
    "yellow": (),
    "red": (),
    "rededge": ("rededge1",),
    "rededge2": (),
    "rededge3": (),
    "nir": ("nir1", "nearinfrared", "nearir", "nearinfrared1"),
    "nir2": ("nearinfrared2",),
    "watervapour": ("watervapor",),
    "cirrus": (),
    "swir1": ("swir16", "shortwaveinfrared1"),
    "swir2": ("swir22", "shortwaveinfrared2"),
    "thermal1": ("thermal", "tir", "tirs1", "lwir", "lwir11", "thermalinfrared", "thermalinfrared1"),
    "thermal2": ("tirs2", "lwir12", "thermalinfrared2"),
}
_CANONICAL = {also: name for name, others in _SYNONYMS.items() for also in (name, *others)}

# (flag, lowest bit, field mask, smallest value of the field that raises the flag)
_QUALITY_BITS: dict[str, tuple[tuple[int, int, int, int], ...]] = {
    "landsat-pre": (
        (NODATA, 0, 1, 1),
        (SATURATED, 1, 1, 1),
        (SNOW, 10, 3, 3),
        (CIRRUS, 12, 3, 3),
        (CLOUD, 14, 3, 3),
    ),
    "landsat-c1": (
        (NODATA, 0, 1, 1),
        (SATURATED, 2, 3, 1),
        (CLOUD, 4, 1, 1),
        (CLOUD, 5, 3, 3),
        (SHADOW, 7, 3, 3),
        (SNOW, 9, 3, 3),
        (CIRRUS, 11, 3, 3),
    ),
    "landsat-c2": (
        (NODATA, 0, 1, 1),
        (CLOUD, 1, 1, 1),
        (CIRRUS, 2, 1, 1),
        (CLOUD, 3, 1, 1),
        (SHADOW, 4, 1, 1),
        (SNOW, 5, 1, 1),
        (CLOUD, 8, 3, 3),
        (SHADOW, 10, 3, 3),
        (SNOW, 12, 3, 3),
        (CIRRUS, 14, 3, 3),
    ),
}


def plain(text: str) -> str:
    """Reduce a band's name to what is compared: no spaces, dashes or underscores, lower case.

    >>> plain("Red Edge")
    'rededge'
    """
    return re.sub(r"[\s_-]+", "", text).casefold()


def canonical_name(text: str | None) -> str | None:
    """Return the canonical band name a description means, or None if it means none.

    >>> canonical_name("Near-Infrared"), canonical_name("layer 1")
    ('nir', None)
    """
    return _CANONICAL.get(plain(text)) if text else None


def is_thermal(name: str) -> bool:
    """Say whether a canonical name is that of an emissive band."""
    return name.startswith("thermal")


def layout(sensor: Sensor, count: int) -> tuple[SensorBand, ...] | None:
    """Return the bands a file of `count` bands of this sensor holds, in file order; None if not known.

    All of the sensor's bands, or the four that every very-high-resolution bundle has: blue, green, red, nir.
    """
    if count == len(sensor.bands):
        return sensor.bands
    if count == 4 and sensor.bands:
        found = {band.name: band for band in sensor.bands}
        return tuple(found[name] for name in _BGRN)
    return None


def band_of(sensor: Sensor, name: str) -> SensorBand | None:
    """Return the sensor's coarse band of that canonical name, or None."""
    return next((band for band in sensor.bands if band.name == name), None)


def aliased(sensor: Sensor, alias: str) -> SensorBand | None:
    """Return the sensor's coarse band of that alias, such as "B4", or None."""
    return next((band for band in sensor.bands if alias in band.aliases), None)


def quality_flags(values: NDArray[np.uint16], kind: str) -> NDArray[np.uint8]:
    """Translate a quality band into one layout of flags, whatever its provider's bits.

    Flags: 1 nodata, 2 saturated or dropped, 4 cloud (high confidence; dilated too, where known), 8 cloud
    shadow, 16 snow or ice, 32 cirrus. Any shape in, the same shape out. `kind` is "landsat-pre",
    "landsat-c1" or "landsat-c2"; another raises ProductError. Sources: USGS, Landsat 8 Data Users Handbook
    (LSDS-1574, versions 1.0 and 4.0), Landsat 8-9 Collection 2 Level 1 Data Format Control Book (LSDS-1822).

    >>> quality_flags(np.array([1, 53248, 20480], np.uint16), "landsat-pre")
    array([1, 4, 0], dtype=uint8)
    """
    if kind not in _QUALITY_BITS:
        raise ProductError(f"quality layout {kind!r}", wanted=" or ".join(_QUALITY_BITS))
    return _quality_table(kind)[values]


@cache
def _quality_table(kind: str) -> NDArray[np.uint8]:
    every = np.arange(1 << 16, dtype=np.uint16)
    table = np.zeros(1 << 16, np.uint8)
    for flag, low, mask, least in _QUALITY_BITS[kind]:
        table |= np.where((every >> low) & mask >= least, flag, 0).astype(np.uint8)
    return table
