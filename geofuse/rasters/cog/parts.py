"""Parts: files that hold tiles in their final bytes until the product is laid down.

Layout: magic, length and CRC of the header, the header (JSON), then one section per image: the blocks' sizes
(uint32), their frames, the rest. The header has each section's length and CRC: a part is trusted only whole.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypedDict

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from geofuse.errors import CorruptError
from geofuse.files import read_faults, replacing
from geofuse.rasters.cog.blocks import EncodedTile, Picture, TileLevel, framed, rest_shape, tile_levels
from geofuse.rasters.cog.spec import CogSpec, block_key

MAGIC = b"geofuse1"
PREAMBLE = struct.Struct("<8sII")
"""Magic, length of the header, CRC of the header."""
READ_BYTES = 1 << 22
HEADER_LIMIT_BYTES = 1 << 24
"""No header is longer; a torn or foreign file may say so."""


@dataclass(frozen=True, slots=True)
class Section:
    """One image of one part, as its header and its table of sizes describe it."""

    path: Path
    """The part."""
    start: int
    """Where the section begins: its table of sizes."""
    length: int
    """Bytes of the section."""
    crc: int
    """CRC-32 of the section."""
    places: tuple[TileLevel, ...]
    """Where its blocks lie, level by level."""
    sizes: NDArray[np.uint32]
    """Bytes of each block; 0 where sparse."""
    rest_shape: tuple[int, int, int] | None
    """Shape of the rest, at the section's end."""


class _ImageHeader(TypedDict):
    """Where one image's section is, and what it is of."""

    key: str
    tile: list[int]
    length: int
    crc: int


class _Header(TypedDict):
    """What a part begins with."""

    fingerprint: str
    extra: dict[str, int]
    images: list[_ImageHeader]


def write_part(
    path: Path | str, images: Sequence[EncodedTile], *, fingerprint: str, extra: Mapping[str, int]
) -> None:
    """Write the tiles as one part: under another name, synced, then renamed.

    `extra` are a few numbers that `check_part` gives back. Raises WriteError; then nothing new is there.
    """
    sections = [(_section_bytes(image), image) for image in images]
    header = json.dumps(
        {
            "fingerprint": fingerprint,
            "extra": extra,
            "images": [
                {
                    "key": image.key,
                    "tile": [image.tile_row, image.tile_col, image.tile_px],
                    "length": sum(map(len, section)),
                    "crc": _crc(section),
                }
                for section, image in sections
            ],
        }
    ).encode()
    with replacing(Path(path)) as temporary, open(temporary, "xb") as file:
        file.write(PREAMBLE.pack(MAGIC, len(header), _crc([header])) + header)
        for section, _ in sections:
            file.writelines(section)


def check_part(path: Path | str, *, fingerprint: str) -> dict[str, int] | None:
    """Return a part's `extra` if it is whole, unharmed and made under `fingerprint`; else None.

    Reads all of it. Raises ReadError where the storage fails.
    """
    path = Path(path)
    if not path.is_file():
        return None
    try:
        with read_faults(path), open(path, "rb") as file:
            header, start = _header(file)
            if header["fingerprint"] != fingerprint:
                return None
            for image in header["images"]:
                if _crc(_chunks(file, image["length"])) != image["crc"]:
                    return None
                start += image["length"]
            if start != os.fstat(file.fileno()).st_size:
                return None
            return {str(name): int(value) for name, value in header["extra"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def read_section(path: Path, spec: CogSpec, *, image: int, tile: tuple[int, int, int]) -> Section:
    """Read what a part says of one image; `tile` is the row, column and size it must be of.

    Reads only header and sizes: `verified` reads the rest. Raises CorruptError, ReadError.
    """
    row, col, tile_px = tile
    places = tile_levels(spec, tile_row=row, tile_col=col, tile_px=tile_px)
    rest = rest_shape(spec, tile_row=row, tile_col=col, tile_px=tile_px)
    count = sum(math.prod(place.shape) for place in places)
    if not path.is_file():
        raise bad_part(path, "it is missing")
    try:
        with read_faults(path), open(path, "rb") as file:
            header, start = _header(file)
            start += sum(entry["length"] for entry in header["images"][:image])
            entry = header["images"][image]
            file.seek(start)
            sizes = np.frombuffer(_exactly(file, 4 * count), "<u4")
    except (ValueError, KeyError, TypeError, IndexError) as fault:
        raise bad_part(path, str(fault)) from fault
    section = Section(path, start, entry["length"], entry["crc"], places, sizes, rest)
    if entry["key"] != block_key(spec) or entry["tile"] != list(tile):
        raise bad_part(path, "it is of another tile or product")
    if section.length != 4 * count + int(framed(sizes).sum()) + rest_bytes(section, spec):
        raise bad_part(path, "its sizes do not add up")
    return section


def read_rest(section: Section, spec: CogSpec) -> Picture:
    """Read a section's rest: its pixels, and behind them their validity. Raises CorruptError, ReadError."""
    assert section.rest_shape is not None
    size = rest_bytes(section, spec)
    try:
        with read_faults(section.path), open(section.path, "rb") as file:
            file.seek(section.start + section.length - size)
            data = _exactly(file, size)
        pixels = np.frombuffer(data, spec.dtype, math.prod(section.rest_shape)).reshape(section.rest_shape)
        if spec.validity == "nodata":
            return Picture(pixels, None)
        return Picture(pixels, np.frombuffer(data, np.uint8, offset=pixels.nbytes).reshape(pixels.shape[:2]))
    except ValueError as fault:
        raise bad_part(section.path, str(fault)) from fault


def verified(section: Section, runs: Sequence[int]) -> Iterator[tuple[int, memoryview]]:
    """Read a section once, in order, giving each run of frames in chunks: (index of the run, bytes).

    `runs` are the lengths of consecutive runs behind the table of sizes; what follows them is read but not
    given. Raises CorruptError at the end if the section's CRC is not what it was written with; ReadError.
    """
    lead = 4 * section.sizes.size
    lengths = [lead, *runs, section.length - lead - sum(runs)]
    buffer = memoryview(bytearray(min(READ_BYTES, max(lengths))))
    crc = 0
    with _opened(section.path) as file:
        file.seek(section.start)
        for index, length in enumerate(lengths):
            left = length
            while left:
                chunk = buffer[: _filled(file, buffer[: min(left, len(buffer))], section.path)]
                left -= len(chunk)
                crc = _crc([chunk], crc)
                if 0 < index <= len(runs):
                    yield index - 1, chunk
    if crc != section.crc:
        raise bad_part(section.path, "its checksum is wrong")


def rest_bytes(section: Section, spec: CogSpec) -> int:
    """Return the bytes of a section's rest."""
    if section.rest_shape is None:
        return 0
    height, width, bands = section.rest_shape
    return height * width * (bands * np.dtype(spec.dtype).itemsize + (spec.validity != "nodata"))


def bad_part(path: Path, found: str) -> CorruptError:
    """Name a part that cannot be used."""
    return CorruptError(
        f"damaged part: {found}", do="run the same command again: it is made anew", path=str(path)
    )


def _section_bytes(image: EncodedTile) -> list[Any]:
    rest = [] if image.rest is None else [image.rest.pixels, image.rest.valid]
    flat = [each.reshape(-1).view(np.uint8) for each in rest if each is not None]
    return [image.sizes.astype("<u4").tobytes(), *image.frames, *flat]


def _header(file: BinaryIO) -> tuple[_Header, int]:
    """Return a part's header and where its first section begins; ValueError if it is none."""
    magic, length, crc = PREAMBLE.unpack(_exactly(file, PREAMBLE.size))
    if magic != MAGIC or length > HEADER_LIMIT_BYTES:
        raise ValueError("it is no part")
    text = _exactly(file, length)
    if _crc([text]) != crc:
        raise ValueError("its header is damaged")
    header: _Header = json.loads(text)
    return header, PREAMBLE.size + length


def _exactly(file: BinaryIO, size: int) -> bytes:
    got = file.read(size)
    if len(got) != size:
        raise ValueError("it ends early")
    return got


def _chunks(file: BinaryIO, length: int) -> Iterator[bytes]:
    while length:
        chunk = _exactly(file, min(length, READ_BYTES))
        length -= len(chunk)
        yield chunk


def _opened(path: Path) -> BinaryIO:
    with read_faults(path):
        return open(path, "rb", buffering=0)


def _filled(file: BinaryIO, buffer: memoryview, path: Path) -> int:
    """Read into the buffer what is there; a fault here is the part's, not that of the file being written."""
    with read_faults(path):
        got: int = file.readinto(buffer)  # type: ignore[attr-defined]
    if not got:
        raise bad_part(path, "it ends early")
    return got


def _crc(pieces: Iterable[Any], crc: int = 0) -> int:
    for piece in pieces:
        crc = imagecodecs.deflate_crc32(piece, crc)
    return crc
