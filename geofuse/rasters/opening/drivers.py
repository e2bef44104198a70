"""Which GDAL driver may open which file, by its first bytes, and with which settings. No GDAL in here."""

from __future__ import annotations

from dataclasses import dataclass, field

CACHE_BYTES = 24 << 20
"""GDAL's own cache of blocks, in each process."""
SETTINGS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_GEOREF_SOURCES": "INTERNAL",
    "GDAL_TIFF_INTERNAL_MASK_TO_8BIT": "YES",
    # hidden threads would escape our ear, and parallelism has its own home
    "GDAL_NUM_THREADS": "1",
    # a mapped file that shrinks kills the process
    "GTIFF_VIRTUAL_MEM_IO": "NO",
    "GTIFF_DIRECT_IO": "NO",
    "GTIFF_IGNORE_READ_ERRORS": "NO",
    "GTIFF_FORCE_RGBA": "NO",
    "GTIFF_POINT_GEO_IGNORE": "NO",
}
"""Configuration of GDAL while it reads: nothing but the file itself."""


@dataclass(frozen=True, slots=True)
class Driver:
    """A format that is read."""

    name: str
    """GDAL's name of the driver: the only one a file of the format is opened with."""
    title: str
    """The format's name for people."""
    magics: tuple[bytes, ...]
    """First bytes of its files, any of them."""
    options: dict[str, str] = field(default_factory=dict)
    """Open options of the driver."""
    subdatasets: bool = False
    """Whether a file may hold several rasters, each by a name."""


DRIVERS = (
    Driver("GTiff", "a TIFF", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    Driver("JP2OpenJPEG", "a JPEG 2000 raster", (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")),
)
WANTED = " or ".join(driver.title for driver in DRIVERS)


_OTHERS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (0, b"GIF8", "a GIF picture"),
    (8, b"WEBP", "a WebP picture"),
    (0, b"PK\3\4", "a ZIP archive"),
    (0, b"PK\5\6", "an empty ZIP archive"),
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"BZh", "a bzip2 file"),
    (0, b"\xfd7zXZ", "an xz file"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd file"),
    (0, b"7z\xbc\xaf", "a 7z archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x89HDF", "an HDF5 or NetCDF-4 file"),
    (0, b"\x0e\x03\x13\x01", "an HDF4 file"),
    (0, b"CDF", "a NetCDF file"),
    (0, b"NITF", "a NITF file"),
    (0, b"NSIF", "a NITF file"),
    (0, b"EHFA_HEADER_TAG", "an ERDAS Imagine file"),
    (0, b"PCIDSK", "a PCIDSK file"),
    (0, b"ENVI", "an ENVI header"),
    (0, b"SIMPLE  =", "a FITS file"),
    (0, b"GRIB", "a GRIB file"),
    (0, b"MATLAB", "a MATLAB file"),
    (0, b"SQLite format 3", "an SQLite file"),
    (0, b"%PDF", "a PDF"),
)
_MARKUP: tuple[tuple[bytes, str], ...] = (
    (b"<vrtdataset", "a VRT (XML that points at other files)"),
    (b"<gdal_wms", "a WMS description (XML that points at a server)"),
    (b"<pamdataset", "an auxiliary XML file"),
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<", "an XML file"),
    (b"{", "a JSON text"),
)


def driver_of(head: bytes) -> Driver | None:
    """Return the driver that a file's first bytes call for, None where none is named for them.

    >>> driver_of(b"II*\\0").name, driver_of(b"%PDF")
    ('GTiff', None)
    """
    return next((driver for driver in DRIVERS if head.startswith(driver.magics)), None)


def driver_named(name: str) -> Driver:
    """Return the driver of GDAL's name; raises KeyError for one that no image may name."""
    return {driver.name: driver for driver in DRIVERS}[name]


def format_name(head: bytes) -> str:
    """Say what a file that is not read is, by its first bytes."""
    for at, magic, what in _OTHERS:
        if head[at : at + len(magic)] == magic:
            return what
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<?xml"):
        text = text.partition(b"?>")[2].lstrip() or b"<"
    for magic, what in _MARKUP:
        if text.lower().startswith(magic):
            return what
    return f"an unknown format (it begins with {head[:8]!r})"
