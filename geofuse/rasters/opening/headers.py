"""What headers say: the facts GDAL tells, and a walk over a TIFF's directories before GDAL may see them.

The walk finds torn tables, loops, absurd sizes and odd pixels. Nothing here decodes a pixel, believes a
declared size, or reads more than the file holds.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geofuse.errors import CorruptError, PixelError
from geofuse.rasters.image import FLOAT_DTYPES, WHOLE_DTYPES, Grid
from geofuse.rasters.opening.sniffing import Span, bytes_at

MAX_SIDE = 2**31 - 1
MAX_BANDS = 4096
MAX_BLOCK_BYTES = 512 << 20
MAX_TABLE = 1_000_000
MAX_TAGS = 4096
MAX_IFDS = 1000

# field type -> numpy type, for those that can hold an offset or a size
_INTEGERS = {1: "u1", 3: "u2", 4: "u4", 9: "i4", 13: "u4", 16: "u8", 17: "i8", 18: "u8"}
_BLACK_IS_ZERO, _RGB, _YCBCR = 1, 2, 6
_PHOTOMETRIC_REFUSED = {
    0: "white is zero",
    3: "a palette",
    4: "a transparency mask",
    5: "CMYK",
    6: "YCbCr without JPEG compression",
    8: "CIELab",
    9: "ICCLab",
    10: "ITULab",
    32803: "a colour filter array",
    32844: "LogL",
    32845: "LogLuv",
    34892: "linear raw",
}
_UNCOMPRESSED, _JPEG = 1, 7
_PRINTING_INKS = {"cyan", "magenta", "yellow", "black"}


@dataclass(frozen=True, slots=True)
class RasterFacts:
    """What a raster's header says; no pixels read."""

    path: str
    """As the user wrote it."""
    driver: str
    """GTiff or JP2OpenJPEG."""
    grid: Grid
    """Its grid; crs "" where there is none, transform identity where there is none."""
    has_transform: bool
    """Whether the transform is the file's own."""
    gcps: int
    """Number of ground control points."""
    rpcs: dict[str, str] | None
    """Items of GDAL's RPC metadata domain."""
    dtypes: tuple[str, ...]
    """numpy name per band."""
    nodata: tuple[float | None, ...]
    """Per band."""
    descriptions: tuple[str | None, ...]
    """Per band."""
    colors: tuple[str, ...]
    """GDAL's colour interpretation per band, lower case."""
    scales: tuple[float, ...]
    """Scale tag per band."""
    offsets: tuple[float, ...]
    """Offset tag per band."""
    block: tuple[int, int]
    """Native block, rows and columns, of band 1."""
    alpha: int | None
    """1-based alpha band, no image band."""
    internal_mask: bool
    """A mask lies inside the file."""
    point: bool
    """Georeferenced by pixel centres in the file; the grid here is by corners all the same."""
    tags: dict[str, str]
    """Default metadata domain."""
    bits: int | None = None
    """Of a detector with fewer bits than the type has; None where the type is used whole."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One tag of a TIFF directory."""

    kind: int
    """Field type."""
    count: int
    """Number of values."""
    inline: bytes
    """The value field itself: 4 bytes, or 8 in a BigTIFF."""


@dataclass(frozen=True, slots=True)
class _Tiff:
    """How to read the directories of one TIFF."""

    span: Span
    """Its bytes."""
    order: str
    """struct's byte order sign."""
    big: bool
    """A BigTIFF: 64-bit offsets."""
    leaders: bool
    """Each block is preceded by its size, as in GDAL's COGs, so its length in the table may be 0."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """How an image is cut into strips or tiles."""

    blocks: int
    """Number of them, over all planes."""
    down: int
    """Rows of them."""
    whole_bytes: int
    """Decoded size of one."""
    last_bytes: int
    """Decoded size of one in the last row: strips end with the image, tiles are padded."""
    tiled: bool
    """Tiles, not strips."""
    compressed: bool
    """Stored size differs from decoded size."""


def check_tiff(span: Span) -> None:
    """Walk the chain of directories without believing any count; check those GDAL reads pixels from.

    Raises CorruptError for a header that is cut, loops or declares absurd sizes, and PixelError for a colour
    space or bit depth that cannot be fused.
    """
    head = bytes_at(span, 0, 512)
    order = "<" if head[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", head, 2)[0] == 43
    if len(head) < (16 if big else 8):
        raise CorruptError("a TIFF cut inside its header", do="fetch it again", path=span.path)
    tiff = _Tiff(span, order, big, b"BLOCK_LEADER=SIZE_AS_UINT4" in head)
    if big and struct.unpack_from(order + "HH", head, 4) != (8, 0):
        raise CorruptError("a BigTIFF with offsets that are not 8 bytes", path=span.path)
    at = int(struct.unpack_from(order + ("Q" if big else "I"), head, 8 if big else 4)[0])
    seen: set[int] = set()
    while at:
        if at in seen:
            raise CorruptError("TIFF directories that loop", path=span.path)
        if len(seen) >= MAX_IFDS:
            raise CorruptError(f"more than {MAX_IFDS} TIFF directories", path=span.path)
        tags, following = _directory(tiff, at)
        mask = bool(_number(tiff, tags, 254, 0) & 4)
        if not seen or mask:
            _check_image(tiff, tags, mask=mask and bool(seen))
        seen.add(at)
        at = following
    if not seen:
        raise CorruptError("a TIFF without a directory", path=span.path)


def check_pixels(facts: RasterFacts, bits: int) -> None:
    """Raise PixelError for pixels that cannot be fused; `bits` is the fewest that GDAL widened to a byte."""
    found = ""
    odd = [kind for kind in facts.dtypes if kind not in WHOLE_DTYPES + FLOAT_DTYPES]
    if odd:
        found = f"{'complex' if odd[0].startswith('complex') else odd[0]} pixels"
    elif "palette" in facts.colors:
        found = "pixels that are indices into a palette"
    elif set(facts.colors) >= _PRINTING_INKS:
        found = "pixels stored as CMYK"
    elif bits < 8:
        found = f"{bits}-bit pixels"
    elif len(facts.dtypes) == 1 and facts.alpha:
        found = "an alpha band and nothing else"
    if found:
        wanted = f"one number a band, {', '.join(WHOLE_DTYPES + FLOAT_DTYPES)}"
        raise PixelError(found, wanted=wanted, path=facts.path)


def _directory(tiff: _Tiff, at: int) -> tuple[dict[int, _Entry], int]:
    """Return a directory's tags, the first of duplicates, and the offset of the next one."""
    number, width, place = ("Q", 20, "Q") if tiff.big else ("H", 12, "I")
    lead = struct.calcsize(tiff.order + number)
    raw = bytes_at(tiff.span, at, lead)
    if len(raw) < lead:
        raise CorruptError(
            f"a TIFF directory at byte {at}, beyond the file's end at {tiff.span.size}",
            do="fetch it again",
            path=tiff.span.path,
        )
    count = int(struct.unpack(tiff.order + number, raw)[0])
    if not 0 < count <= MAX_TAGS:
        raise CorruptError(f"a TIFF directory of {count} tags", path=tiff.span.path)
    tail = struct.calcsize(tiff.order + place)
    raw = bytes_at(tiff.span, at + lead, count * width + tail)
    if len(raw) < count * width:
        raise CorruptError("a TIFF cut inside a directory", do="fetch it again", path=tiff.span.path)
    tags: dict[int, _Entry] = {}
    for code, kind, many, inline in struct.iter_unpack(
        tiff.order + ("HHQ8s" if tiff.big else "HHI4s"), raw[: count * width]
    ):
        tags.setdefault(code, _Entry(kind, many, inline))
    # a last directory whose closing zero was cut off is the end of the chain for every reader
    following = (
        int(struct.unpack_from(tiff.order + place, raw, count * width)[0])
        if len(raw) == count * width + tail
        else 0
    )
    return tags, following


def _numbers(tiff: _Tiff, entry: _Entry, most: int) -> NDArray[np.uint64]:
    """Return up to `most` integer values of a tag (n,), reading no more than the file holds."""
    kind = _INTEGERS.get(entry.kind)
    if kind is None:
        raise CorruptError(f"a TIFF tag of numbers with field type {entry.kind}", path=tiff.span.path)
    dtype = np.dtype(tiff.order + kind)
    if entry.count * dtype.itemsize <= len(entry.inline):
        raw = entry.inline[: entry.count * dtype.itemsize]
    else:
        at = int(struct.unpack(tiff.order + ("Q" if tiff.big else "I"), entry.inline)[0])
        if at + entry.count * dtype.itemsize > tiff.span.size:
            raise CorruptError(
                f"a TIFF table of {entry.count} entries that overruns the file",
                do="fetch it again",
                path=tiff.span.path,
            )
        raw = bytes_at(tiff.span, at, min(entry.count, most) * dtype.itemsize)
    found = np.frombuffer(raw, dtype)[:most]
    if dtype.kind == "i" and (found < 0).any():
        raise CorruptError("a negative size or offset in a TIFF table", path=tiff.span.path)
    return found.astype(np.uint64)


def _number(tiff: _Tiff, tags: dict[int, _Entry], code: int, default: int) -> int:
    entry = tags.get(code)
    if entry is None or not entry.count:
        return default
    return int(_numbers(tiff, entry, 1)[0])


def _check_image(tiff: _Tiff, tags: dict[int, _Entry], *, mask: bool) -> None:
    """Refuse an image if its sizes are absurd, its pixels cannot be fused, or its tables are torn."""
    layout = _layout(tiff, tags)
    # libtiff cuts a lone uncompressed strip into rows itself
    alone = layout.blocks == 1 and not layout.compressed and not layout.tiled
    needed = layout.whole_bytes // _number(tiff, tags, 257, 1) if alone else layout.whole_bytes
    if needed > MAX_BLOCK_BYTES:
        raise CorruptError(
            f"blocks of {needed} bytes decoded", wanted=f"at most {MAX_BLOCK_BYTES}", path=tiff.span.path
        )
    if not mask:
        _check_pixels(tiff, tags)
    _check_tables(tiff, tags, layout)


def _layout(tiff: _Tiff, tags: dict[int, _Entry]) -> _Layout:
    path = tiff.span.path
    width, height = _number(tiff, tags, 256, 0), _number(tiff, tags, 257, 0)
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise CorruptError(f"an image of {width} x {height} pixels", wanted=f"1 to {MAX_SIDE}", path=path)
    samples = _number(tiff, tags, 277, 1)
    if not 0 < samples <= MAX_BANDS:
        raise CorruptError(f"an image of {samples} bands", wanted=f"1 to {MAX_BANDS}", path=path)
    tiled = 322 in tags or 323 in tags
    if tiled:
        across_px, down_px = _number(tiff, tags, 322, 0), _number(tiff, tags, 323, 0)
    else:
        across_px, down_px = width, min(_number(tiff, tags, 278, height), height)
    if not (0 < across_px <= MAX_SIDE and 0 < down_px <= MAX_SIDE):
        raise CorruptError(f"blocks of {across_px} x {down_px} pixels", path=path)
    planes = samples if _number(tiff, tags, 284, 1) == 2 else 1
    row_bytes = (across_px * (samples // planes) * _number(tiff, tags, 258, 1) + 7) // 8
    down = -(-height // down_px)
    last_px = down_px if tiled else height - (down - 1) * down_px
    return _Layout(
        blocks=-(-width // across_px) * down * planes,
        down=down,
        whole_bytes=row_bytes * down_px,
        last_bytes=row_bytes * last_px,
        tiled=tiled,
        compressed=_number(tiff, tags, 259, _UNCOMPRESSED) != _UNCOMPRESSED,
    )


def _check_pixels(tiff: _Tiff, tags: dict[int, _Entry]) -> None:
    photometric = _number(tiff, tags, 262, _BLACK_IS_ZERO)
    jpeg = _number(tiff, tags, 259, _UNCOMPRESSED) == _JPEG
    if photometric not in (_BLACK_IS_ZERO, _RGB) and not (photometric == _YCBCR and jpeg):
        what = _PHOTOMETRIC_REFUSED.get(photometric, f"photometric interpretation {photometric}")
        raise PixelError(f"pixels stored as {what}", wanted="one plain number a band", path=tiff.span.path)
    bits = _number(tiff, tags, 258, 1)
    if bits < 8:
        raise PixelError(f"{bits}-bit pixels", wanted="8 bits or more", path=tiff.span.path)


def _check_tables(tiff: _Tiff, tags: dict[int, _Entry], layout: _Layout) -> None:
    """Refuse block tables that are short or point outside the file; a zero offset is an honest hole."""
    path, blocks = tiff.span.path, layout.blocks
    where = tags.get(324) or tags.get(273)
    lengths = tags.get(325) or tags.get(279)
    if where is None or where.count < blocks or (lengths is not None and lengths.count < blocks):
        counts = [entry.count for entry in (where, lengths) if entry is not None]
        raise CorruptError(
            f"an image of {blocks} blocks with tables of {counts} entries", do="fetch it again", path=path
        )
    offsets = _numbers(tiff, where, min(blocks, MAX_TABLE))
    row = np.arange(offsets.size) % layout.down
    # an uncompressed block needs no more than its pixels, whatever length is declared
    needed = np.where(row == layout.down - 1, layout.last_bytes, layout.whole_bytes).astype(np.uint64)
    if lengths is not None:
        stored = _numbers(tiff, lengths, min(blocks, MAX_TABLE))
        needed = stored if layout.compressed else np.minimum(stored, needed)
    elif layout.compressed:
        needed = np.ones_like(offsets)
    torn = _torn(offsets, needed, tiff.span.size, zero=blocks == 1 or tiff.leaders)
    if torn is not None:
        kind = "tile" if layout.tiled else "strip"
        raise CorruptError(
            f"{kind} {torn} of {blocks} lies outside the file of {tiff.span.size} bytes",
            do="fetch it again",
            path=path,
        )


def _torn(offsets: NDArray[np.uint64], lengths: NDArray[np.uint64], size: int, *, zero: bool) -> int | None:
    """Return the first block whose bytes are not in the file, if any."""
    end = np.uint64(size)
    beyond = (offsets >= end) | (lengths > end - np.minimum(offsets, end))
    hole = offsets == 0
    # libtiff measures a lone block without a length itself; among others it would read as silent zeros
    empty = np.zeros_like(hole) if zero else lengths == 0
    bad = np.where(hole, lengths != 0, beyond | empty)
    return int(np.argmax(bad)) if bad.any() else None
