"""TIFF directories (IFDs), classic and BigTIFF, little-endian: entries to bytes and back.

A directory is a list of tags, sorted by their numbers, and a pointer to the next directory:

    classic   count (2)  |  tag (2)  type (2)  number of values (4)  value (4)  |  ...  |  next directory (4)
    BigTIFF   count (8)  |  tag (2)  type (2)  number of values (8)  value (8)  |  ...  |  next directory (8)

Values that do not fit the field of 4 or 8 bytes lie elsewhere, and the field says where. Source: TIFF 6.0,
section 2; the BigTIFF design of libtiff.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHORT, LONG, LONG8 = 3, 4, 16
KIND_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
KIND_BYTES |= {16: 8, 17: 8, 18: 8}
"""Bytes of one value of each TIFF type."""

SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
SAMPLES, PLANAR, PREDICTOR, TILE_WIDTH, TILE_HEIGHT = 277, 284, 317, 322, 323
TILE_OFFSETS, TILE_COUNTS, EXTRA_SAMPLES, SAMPLE_FORMAT = 324, 325, 338, 339
GDAL_NODATA, LERC_PARAMETERS = 42113, 50674
REDUCED_BIT, MASK_BIT = 1, 4
"""Of the subfile type: the directory is an overview; it is a transparency mask."""

TAGS_LIMIT = 4096
"""No honest directory has more."""
Read = Callable[[int, int], bytes]
"""Gives `size` bytes at `offset`, or fewer at the file's end."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag of a directory."""

    tag: int
    """TIFF tag."""
    kind: int
    """TIFF type of the values."""
    count: int
    """How many values."""
    data: bytes
    """The values, little-endian."""


def shorts(tag: int, *values: int) -> Entry:
    """Make an entry of 16-bit values."""
    return Entry(tag, SHORT, len(values), struct.pack(f"<{len(values)}H", *values))


def longs(tag: int, *values: int) -> Entry:
    """Make an entry of 32-bit values."""
    return Entry(tag, LONG, len(values), struct.pack(f"<{len(values)}I", *values))


def values(entry: Entry) -> NDArray[np.uint64]:
    """Return the values of an entry of unsigned integers (n,), or none for other types."""
    dtype = {1: "u1", SHORT: "<u2", LONG: "<u4", LONG8: "<u8"}.get(entry.kind)
    if dtype is None:
        return np.zeros(0, np.uint64)
    return np.frombuffer(entry.data, dtype).astype(np.uint64)


def head_of(ghost: bytes, directories: Sequence[Sequence[Entry]], *, big: bool) -> bytes:
    """Lay out a file's head: header, ghost area, directories with their values, the blocks' arrays.

    Offsets and sizes of the blocks go behind all directories, as GDAL's COG driver writes them: a reader of
    the first kilobytes finds all else.
    """
    word = 8 if big else 4
    ordered = [sorted(entries, key=lambda entry: entry.tag) for entries in directories]
    start = at = _even((16 if big else 8) + len(ghost))
    places, starts = [], []
    for entries in ordered:
        starts.append(at)
        at, where = _placed(entries, _even(at + _directory_bytes(len(entries), big=big)), word, arrays=False)
        places.append(where)
    for entries, where in zip(ordered, places, strict=True):
        at, more = _placed(entries, at, word, arrays=True)
        where |= more
    head = bytearray(at)
    form = ("<2sHHHQ", b"II", 43, 8, 0, start) if big else ("<2sHI", b"II", 42, start)
    _put(head, 0, struct.pack(*form) + ghost)
    for entries, where, here, after in zip(ordered, places, starts, [*starts[1:], 0], strict=True):
        _put(head, here, _directory(entries, where, after, big=big))
        for entry in entries:
            if entry.tag in where:
                _put(head, where[entry.tag], entry.data)
    return bytes(head)


def _placed(entries: Sequence[Entry], at: int, word: int, *, arrays: bool) -> tuple[int, dict[int, int]]:
    """Place the values that do not fit their entry, or those of the blocks' arrays, from `at` on."""
    where = {}
    for entry in entries:
        if len(entry.data) > word and (entry.tag in (TILE_OFFSETS, TILE_COUNTS)) == arrays:
            where[entry.tag], at = at, _even(at + len(entry.data))
    return at, where


def _put(head: bytearray, at: int, data: bytes) -> None:
    head[at : at + len(data)] = data


def read_directory(read: Read, offset: int, *, big: bool) -> tuple[list[Entry], int, int]:
    """Read the directory at `offset`: its entries, the next one's offset (0: none), where all of it ends.

    Raises ValueError where it is damaged.
    """
    head = _bytes(read, offset, 8 if big else 2)
    number = int.from_bytes(head, "little")
    if number > TAGS_LIMIT:
        raise ValueError(f"directory at {offset} claims {number} tags")
    form, word = _entry_form(big=big), 8 if big else 4
    body = _bytes(read, offset + len(head), number * form.size + word)
    entries, end = [], offset + len(head) + len(body)
    for tag, kind, count, field in form.iter_unpack(body[:-word]):
        size = KIND_BYTES.get(kind, 1) * count
        data = field[:size]
        if size > word:
            place = int.from_bytes(field, "little")
            data, end = _bytes(read, place, size), max(end, place + size)
        entries.append(Entry(tag, kind, count, data))
    return entries, int.from_bytes(body[-word:], "little"), end


def _directory(entries: Sequence[Entry], where: dict[int, int], following: int, *, big: bool) -> bytes:
    form, word = _entry_form(big=big), 8 if big else 4
    lines = [len(entries).to_bytes(8 if big else 2, "little")]
    for entry in entries:
        field = where[entry.tag].to_bytes(word, "little") if entry.tag in where else entry.data
        lines.append(form.pack(entry.tag, entry.kind, entry.count, field))
    return b"".join([*lines, following.to_bytes(word, "little")])


def _entry_form(*, big: bool) -> struct.Struct:
    """Return the form of an entry: tag, type, count, value or its offset."""
    return struct.Struct("<HHQ8s" if big else "<HHI4s")


def _directory_bytes(number: int, *, big: bool) -> int:
    return 8 + 20 * number + 8 if big else 2 + 12 * number + 4


def _even(at: int) -> int:
    return at + at % 2


def _bytes(read: Read, offset: int, size: int) -> bytes:
    got = read(offset, size)
    if len(got) != size:
        raise ValueError(f"{size} bytes at {offset} reach beyond the file")
    return got
