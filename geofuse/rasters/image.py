"""The nouns of an image: Grid, Piece, Band, Image. Picklable, JSON both ways, no open handles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from geofuse.geometry import Window

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
class Piece:
    """One file's share of a band: all of it, or a tile of a delivery."""

    path: str
    """File that holds it."""
    index: int = 1
    """1-based band index inside that file, or inside its subdataset."""
    subdataset: str = ""
    """Name of the raster inside a file of several; empty where the file is one raster."""
    window: Window | None = None
    """row0, row1, col0, col1 it covers of the band's grid; None: the whole grid."""


@dataclass(frozen=True, slots=True)
class Band:
    """One band of an image, and the files it lies in."""

    name: str
    """Canonical name: "blue", "nir", ..., or "1", "2", ... where nothing better is known."""
    pieces: tuple[Piece, ...]
    """Where it lies: one piece, or the tiles that make its grid, row-major."""
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
    bits: int | None = None
    """Of the detector, where the file says that they are fewer than the type's: nothing made of it goes beyond."""
    description: str = ""
    """What its file calls it."""
    wavelength_nm: float | None = None
    """Centre wavelength."""
    mtf_gain: float = 0.3
    """The sensor's MTF at the coarse Nyquist frequency (a PAN's at its own): a prior."""
    color: str = "undefined"
    """GDAL colour interpretation: red, green, blue, nir, gray, undefined, ..."""
    thermal: bool = False
    """Emissive band: PAN says nothing about it."""

    @property
    def path(self) -> str:
        """File of the first piece, by which messages name the band."""
        return self.pieces[0].path


@dataclass(frozen=True, slots=True)
class BitField:
    """Bits of a quality band that raise a flag."""

    flag: int
    """The flag, one of `geofuse.scenes.quality`."""
    lowest: int
    """Number of the field's lowest bit."""
    mask: int
    """Of the field's bits, once they are shifted down."""
    least: int
    """Smallest value of the field that raises the flag."""


@dataclass(frozen=True, slots=True)
class BitLayout:
    """What the bits of a quality band mean."""

    name: str
    """As its reader calls it, such as "landsat-c2"."""
    fields: tuple[BitField, ...]
    """The fields that are looked at; several may raise one flag."""


@dataclass(frozen=True, slots=True)
class Image:
    """Bands on one grid: files, roles, and what masks them."""

    role: str
    """What it is in its scene: "pan", "ms", "quality", ...; "raster" for a file that stands alone."""
    bands: tuple[Band, ...]
    """In file order, or in the sensor's order."""
    grid: Grid
    """The grid the pixels are read on; differs from the file's where `warped`."""
    drivers: dict[str, str]
    """GDAL driver name of each file: the only one it may be opened with."""
    warped: bool = False
    """Read through a warp onto `grid`: another CRS, or rotated against the guide."""
    alpha: tuple[Piece, ...] = ()
    """Where a band lies whose zeros mark invalid pixels; empty if there is none."""
    masks: tuple[str, ...] = ()
    """Files whose own internal per-dataset mask (TIFF mask IFD) marks invalid pixels."""
    rpcs: dict[str, str] | None = None
    """Rational polynomial coefficients, GDAL's RPC metadata items; carried, not used."""
    block: tuple[int, int] = (512, 512)
    """The files' native block, rows and columns: the largest over the files."""
    bit_layout: BitLayout | None = None
    """How the bits of a "quality" image are read; None for others."""


def files_of(image: Image, indices: Iterable[int] | None = None) -> tuple[str, ...]:
    """Return the files of an image's bands (all, or those of 0-based `indices`) and masks, each once."""
    bands = image.bands if indices is None else [image.bands[index] for index in indices]
    paths = [piece.path for band in bands for piece in band.pieces]
    return tuple(dict.fromkeys([*paths, *(piece.path for piece in image.alpha), *image.masks]))
