"""What GDAL keeps beside a raster: FILE.aux.xml (its Persistent Auxiliary Metadata) and FILE.msk, read by ourselves.

An allow-list: nodata, scale, offset, description and colour of bands, CRS and transform. No entity, no reference, no
other file is followed. Source: GDAL's raster data model and its GDALPamDataset, whose order of precedence is kept:
a georeference of the .aux.xml goes before the file's own, what it says of a band only fills what the file leaves open.
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from xml.parsers import expat

from geofuse.errors import FormatError, GeofuseError, PixelError
from geofuse.rasters.opening import sniffing
from geofuse.rasters.opening.headers import RasterFacts

LARGEST_BYTES = 4 << 20
DEEPEST = 12
MOST_BANDS = 65536
_BAND = ("PAMDataset", "PAMRasterBand")
_NUMBERS = {"NoDataValue": "nodata", "Scale": "scale", "Offset": "offset"}
_TEXTS = {"Description": "description", "ColorInterp": "color"}
_HEX = re.compile(r"[0-9A-Fa-f]{16}", re.ASCII)


@dataclass(slots=True)
class PamBand:
    """What is said of one band; None where nothing is."""

    nodata: float | None = None
    """Value that marks an invalid pixel."""
    scale: float | None = None
    """Physical value = scale * stored + offset."""
    offset: float | None = None
    """See scale."""
    description: str | None = None
    """Its name."""
    color: str | None = None
    """GDAL's colour interpretation, lower case."""


@dataclass(slots=True)
class Pam:
    """What an .aux.xml says that geofuse takes."""

    bands: dict[int, PamBand] = field(default_factory=dict)
    """By 1-based number."""
    crs: str | None = None
    """WKT, or whatever it is: who uses it checks it."""
    transform: tuple[float, float, float, float, float, float] | None = None
    """Affine a, b, c, d, e, f at pixel corners."""


def pam_beside(path: str) -> tuple[Pam | None, tuple[str, ...]]:
    """Return what lies in PATH.aux.xml, and warnings: one that cannot be read is ignored as a whole, and named."""
    sidecar = f"{path}.aux.xml"
    if path.startswith(sniffing.TAR) or not os.path.lexists(sidecar):
        return None, ()
    try:
        with sniffing.opened(sidecar) as span:
            data = sniffing.bytes_at(span, 0, LARGEST_BYTES + 1)
        if len(data) > LARGEST_BYTES:
            raise FormatError("too big", wanted=f"at most {LARGEST_BYTES} bytes", path=sidecar)
        return parse_pam(data), ()
    except GeofuseError as fault:
        return None, (f"{sidecar}: {fault.found}; ignored",)


def mask_beside(path: str) -> str | None:
    """Return the mask file beside a raster, PATH.msk, whose zeros mark invalid pixels; None where there is none."""
    sidecar = f"{path}.msk"
    return sidecar if not path.startswith(sniffing.TAR) and os.path.lexists(sidecar) else None


def with_pam(facts: RasterFacts, wkt_of: Callable[[str], str]) -> tuple[RasterFacts, tuple[str, ...]]:
    """Return a raster's facts with what lies beside it, in GDAL's order of precedence, and warnings.

    ``wkt_of`` turns a coordinate reference system's text into WKT; FormatError where it is none.
    """
    pam, warnings = pam_beside(facts.path)
    if pam is None:
        return facts, warnings
    grid, has_transform = facts.grid, facts.has_transform
    if pam.transform is not None:
        grid, has_transform = replace(grid, transform=pam.transform), True
    if pam.crs is not None:
        try:
            grid = replace(grid, crs=wkt_of(pam.crs))
        except FormatError as fault:
            warnings = (f"{facts.path}.aux.xml: {fault.found}; ignored",)
    told = [pam.bands.get(number, PamBand()) for number in range(1, len(facts.dtypes) + 1)]
    scaled = [(s, o) != (1.0, 0.0) for s, o in zip(facts.scales, facts.offsets, strict=True)]
    open_color = ("undefined", "gray")
    colors = tuple(
        one.color if one.color is not None and own in open_color else own
        for one, own in zip(told, facts.colors, strict=True)
    )
    return replace(
        facts,
        grid=grid,
        has_transform=has_transform,
        nodata=tuple(one.nodata if own is None else own for one, own in zip(told, facts.nodata, strict=True)),
        scales=tuple(
            own if tagged or one.scale is None else one.scale
            for one, own, tagged in zip(told, facts.scales, scaled, strict=True)
        ),
        offsets=tuple(
            own if tagged or one.offset is None else one.offset
            for one, own, tagged in zip(told, facts.offsets, scaled, strict=True)
        ),
        descriptions=tuple(own or one.description for one, own in zip(told, facts.descriptions, strict=True)),
        colors=colors,
        alpha=facts.alpha or (colors.index("alpha") + 1 if "alpha" in colors else None),
    ), warnings


def check_mask(mask: RasterFacts, facts: RasterFacts) -> None:
    """Raise PixelError where a mask beside a raster is not one plane of the raster's size."""
    if (mask.grid.height, mask.grid.width) != (facts.grid.height, facts.grid.width) or len(mask.dtypes) != 1:
        found = f"a mask of {len(mask.dtypes)} bands of {mask.grid.height} x {mask.grid.width} pixels"
        raise PixelError(
            found,
            wanted=f"one band of {facts.grid.height} x {facts.grid.width}, as {facts.path} has",
            do="remove it, or write one mask for all bands",
            path=mask.path,
        )


def parse_pam(data: bytes) -> Pam:
    """Return what an .aux.xml says; FormatError for one with entities, off its grammar, or with numbers that are none.

    >>> parse_pam(b'<PAMDataset><PAMRasterBand band="1"><Scale>0.1</Scale></PAMRasterBand></PAMDataset>').bands[1].scale
    0.1
    """
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = reader.refuse
    parser.EntityDeclHandler = reader.refuse
    parser.ExternalEntityRefHandler = reader.refuse
    parser.StartElementHandler = reader.begin
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(data, True)
    except expat.ExpatError as fault:
        raise FormatError(
            f"no whole XML ({expat.errors.messages[fault.code]})", wanted="GDAL's .aux.xml"
        ) from None
    if reader.root != "PAMDataset":
        raise FormatError(f"XML of {str(reader.root)[:40]}", wanted="PAMDataset")
    return reader.pam


class _Reader:
    """Takes the elements of the allow-list as they come."""

    def __init__(self) -> None:
        self.pam, self.root = Pam(), ""
        self.path: list[str] = []
        self.attributes: dict[str, str] = {}
        self.said: list[str] = []
        self.number = 0

    def refuse(self, *_: object) -> int:
        """Refuse what could name another file or grow without end."""
        raise FormatError("a document type or an entity", wanted="plain XML")

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        """Enter an element."""
        self.root = self.root or name
        self.path.append(name)
        if len(self.path) > DEEPEST:
            raise FormatError("elements too deep", wanted=f"at most {DEEPEST}")
        self.attributes, self.said = attributes, []
        if tuple(self.path) == _BAND:
            text = attributes.get("band", "")
            self.number = int(text) if text.isdecimal() and len(text) < 6 else 0
            if not 0 < self.number <= MOST_BANDS:
                raise FormatError(f"band {text[:20]!r}", wanted=f"1 to {MOST_BANDS}")
            self.pam.bands.setdefault(self.number, PamBand())

    def text(self, piece: str) -> None:
        """Keep an element's text."""
        self.said.append(piece)

    def end(self, name: str) -> None:
        """Leave an element, and take it where it is wanted."""
        said = "".join(self.said).strip()
        if tuple(self.path[:-1]) == _BAND:
            self._take(name, said)
        elif self.path == ["PAMDataset", "SRS"] and said:
            self.pam.crs = said
        elif self.path == ["PAMDataset", "GeoTransform"]:
            c, a, b, f, d, e = self._six(said)
            self.pam.transform = (a, b, c, d, e, f)
        self.path.pop()
        self.said = []

    def _take(self, name: str, said: str) -> None:
        band = self.pam.bands[self.number]
        if name in _TEXTS and said:
            setattr(band, _TEXTS[name], said.lower() if name == "ColorInterp" else said)
        elif name == "NoDataValue":
            band.nodata = self._exact(said)
        elif name in _NUMBERS:
            setattr(band, _NUMBERS[name], _finite(said))

    def _exact(self, said: str) -> float:
        """Return a nodata value: GDAL writes its bits beside it where the text would round them."""
        bits = self.attributes.get("le_hex_equiv", "")
        if _HEX.fullmatch(bits):
            return float(struct.unpack("<d", bytes.fromhex(bits))[0])
        return math.nan if said.lower() in ("nan", "-nan") else _finite(said)

    def _six(self, said: str) -> list[float]:
        numbers = [_finite(text) for text in said.split(",")]
        if len(numbers) != 6:
            raise FormatError(f"{len(numbers)} numbers", wanted="the 6 of a GeoTransform")
        return numbers


def _finite(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or "_" in text:
        raise FormatError(f"{text[:30]!r}, which is no number", wanted="a finite number")
    return value
