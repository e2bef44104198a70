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


def driver_of(head: bytes) -> Driver | None:
    """Return the driver that a file's first bytes call for, None where none is named for them.

    >>> driver_of(b"II*\\0").name, driver_of(b"%PDF")
    ('GTiff', None)
    """
    return next((driver for driver in DRIVERS if head.startswith(driver.magics)), None)


def driver_named(name: str) -> Driver:
    """Return the driver of GDAL's name; raises KeyError for one that no image may name."""
    return {driver.name: driver for driver in DRIVERS}[name]
