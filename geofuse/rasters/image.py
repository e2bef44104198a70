"""The nouns of an image: Grid, Band, Source, Quality. Picklable, JSON both ways, no open handles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

WHOLE_DTYPES = ("uint8", "int16", "uint16", "int32", "uint32")
FLOAT_DTYPES = ("float32", "float64")


@dataclass(frozen=True, slots=True)
class Grid:
    """Where an image's pixels lie."""

    crs: str
    """WKT of the coordinate reference system."""
    transform: tuple[float, float, float, float, float, float]
    """Affine a, b, c, d, e, f: x = a col + b row + c, y = d col + e row + f, at pixel corners."""
    height: int
    """Rows."""
    width: int
    """Columns."""


@dataclass(frozen=True, slots=True)
class Band:
    """One band of an image, and the file it is in."""

    name: str
    """Canonical name: "blue", "nir", ..., or "1", "2", ... where nothing better is known."""
    path: str
    """File that holds it."""
    index: int
    """1-based band index inside that file."""
    dtype: str
    """numpy name of the stored type."""
    aliases: tuple[str, ...] = ()
    """Other names it answers to, such as "B4"."""
    nodata: float | None = None
    """Value that marks an invalid pixel; None if there is none. NaN is always invalid."""
    gain: float | None = None
    """Physical value = gain * DN + offset; None where the radiometry is unknown."""
    offset: float | None = None
    """See gain."""
    tag_scale: float = 1.0
    """The file's own scale tag, carried to the output."""
    tag_offset: float = 0.0
    """The file's own offset tag, carried to the output."""
    saturation: float | None = None
    """Stored value at and above which the detector is saturated."""
    wavelength_nm: float | None = None
    """Centre wavelength."""
    mtf_gain: float = 0.3
    """The sensor's MTF at the coarse Nyquist frequency (a PAN's at its own): a prior."""
    color: str = "undefined"
    """GDAL colour interpretation: red, green, blue, nir, gray, undefined, ..."""
    thermal: bool = False
    """Emissive band: PAN says nothing about it."""


@dataclass(frozen=True, slots=True)
class Source:
    """One image on one grid: files, bands, and what masks them."""

    bands: tuple[Band, ...]
    """In file order, or in the sensor's order."""
    grid: Grid
    """The grid the pixels are read on; differs from the file's where `warped`."""
    drivers: dict[str, str]
    """GDAL driver name of each file: the only one it may be opened with."""
    warped: bool = False
    """Read through a warp onto `grid`: another CRS, or rotated against the fine image."""
    alpha: tuple[str, int] | None = None
    """File and 1-based band whose zeros mark invalid pixels."""
    masks: tuple[str, ...] = ()
    """Files whose own internal per-dataset mask (TIFF mask IFD) marks invalid pixels."""
    rpcs: dict[str, str] | None = None
    """Rational polynomial coefficients, GDAL's RPC metadata items; carried, not used."""
    block: tuple[int, int] = (512, 512)
    """The files' native block, rows and columns: the largest over the files."""


@dataclass(frozen=True, slots=True)
class Quality:
    """A quality band and how to read its bits."""

    path: str
    """File that holds it."""
    driver: str
    """GDAL driver to open it with."""
    grid: Grid
    """Its grid."""
    kind: str
    """Bit layout: "landsat-pre", "landsat-c1", "landsat-c2"."""


def grid_from_json(value: dict[str, Any]) -> Grid:
    """Rebuild a grid from JSON values."""
    return Grid(**{**value, "transform": tuple(value["transform"])})


def source_from_json(value: dict[str, Any]) -> Source:
    """Rebuild a source from JSON values."""
    bands = tuple(Band(**{**band, "aliases": tuple(band["aliases"])}) for band in value["bands"])
    alpha = value["alpha"]
    return Source(
        **{
            **value,
            "bands": bands,
            "grid": grid_from_json(value["grid"]),
            "alpha": tuple(alpha) if alpha else None,
            "masks": tuple(value["masks"]),
            "block": tuple(value["block"]),
        }
    )
