"""Laying a product down: every byte is in a part or in the spool already and is copied to its place."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from geofuse.errors import UsageError
from geofuse.files import read_faults, replacing, sha256_of, write_faults
from geofuse.rasters.cog.blocks import EncodedTile, encode_tile, framed
from geofuse.rasters.cog.layout import Layout, lay_out
from geofuse.rasters.cog.parts import Section, read_rest, read_section, verified
from geofuse.rasters.cog.pyramid import Runner, Spooled, in_turn, spool_overviews
from geofuse.rasters.cog.spec import (
    BLOCK_PX,
    CogSpec,
    abreast,
    depth_of,
    frames_of,
    levels,
    tile_grid,
)

BytesDone = Callable[[int, int], None]
"""Called as the file grows: bytes written, bytes in all."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """A file that has been laid down whole."""

    size_bytes: int
    """Its length."""
    sha256: str
    """Its digest, hexadecimal."""


def assemble(
    out: Path | str,
    spec: CogSpec,
    part_paths: Sequence[Path | str],
    *,
    tile_px: int,
    image: int = 0,
    progress: BytesDone | None = None,
    run: Runner = in_turn,
) -> Assembled:
    """Write the product at `out` from the parts of its tiles, row by row, and sync it.

    `image` says which of the parts' images; `run` encodes the coarse overviews' blocks. Every part is verified
    while it is copied. The bytes do not depend on the tiles' size. `out` should be a temporary name: on any
    fault it is removed. Raises WriteError, ReadError, CorruptError naming a bad part, UsageError if the
    number of parts is wrong.
    """
    out = Path(out)
    rows, cols = tile_grid(spec, tile_px)
    if len(part_paths) != rows * cols:
        raise UsageError(f"{len(part_paths)} parts", wanted=f"{rows * cols}, one a tile")
    sections = [
        read_section(Path(path), spec, image=image, tile=(*divmod(index, cols), tile_px))
        for index, path in enumerate(part_paths)
    ]
    try:
        with write_faults(out), tempfile.TemporaryFile(dir=out.parent) as spool:
            coarse = spool_overviews(
                spec,
                depth_of(tile_px) + 1,
                lambda row, col: read_rest(sections[row * cols + col], spec),
                spool=spool,
                run=run,
            )
            layout = lay_out(spec, [*_sizes_from(sections, spec, tile_px), *(c.sizes for c in coarse)])
            with open(out, "w+b", buffering=0) as file:
                writer = _Writer(file, layout, progress)
                writer.put(0, layout.head)
                _copy_spool(spool, coarse, writer, wide=abreast(spec))
                for section in sections:
                    _copy_section(section, writer)
                os.fsync(file.fileno())
        return _digested(out)
    except BaseException:
        with suppress(OSError):
            out.unlink()
        raise


def write_cog(
    path: Path | str, array: NDArray[Any], spec: CogSpec, *, valid: NDArray[np.bool_] | None = None
) -> Assembled:
    """Write a whole array (h, w, bands) at `path`, at once or not at all; the same bytes as from parts.

    `valid` (h, w) as in `encode_tile`. Raises WriteError; UsageError for an array that does not fit the spec.
    """
    tile_px = BLOCK_PX
    while tile_px < max(spec.height, spec.width):
        tile_px *= 2
    tile = encode_tile(array, spec, tile_row=0, tile_col=0, tile_px=tile_px, valid=valid)
    frames = iter(tile.frames)
    sizes = _split_sizes(tile, spec)
    layout = lay_out(spec, sizes)
    with replacing(Path(path)) as temporary:
        with open(temporary, "xb", buffering=0) as file:
            writer = _Writer(file, layout, None)
            writer.put(0, layout.head)
            for places in layout.places:
                for place in places.flat:
                    writer.put(int(place), next(frames))
        return _digested(temporary)


class _Writer:
    """Puts bytes at their places in the file, the space reserved first."""

    def __init__(self, file: BinaryIO, layout: Layout, progress: BytesDone | None) -> None:
        self.handle, self.layout, self.progress, self.done = file.fileno(), layout, progress, 0
        try:
            os.posix_fallocate(self.handle, 0, layout.size_bytes)
        except OSError as fault:
            if fault.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise

    def put(self, place: int, data: bytes | memoryview) -> None:
        """Write all of `data` at `place`."""
        view = memoryview(data)
        while view:
            put = os.pwrite(self.handle, view, place)
            view, place, self.done = view[put:], place + put, self.done + put
        if self.progress is not None:
            self.progress(self.done, self.layout.size_bytes)


def _sizes_from(sections: Sequence[Section], spec: CogSpec, tile_px: int) -> list[NDArray[np.uint32]]:
    """Join the sections' sizes into one array (planes, rows, cols) per level the tiles hold."""
    found = [np.zeros(frames_of(spec, size), np.uint32) for size in levels(spec)[: depth_of(tile_px) + 1]]
    for section in sections:
        at = 0
        for place, sizes in zip(section.places, found, strict=True):
            _, rows, cols = place.shape
            count = place.shape[0] * rows * cols
            part = section.sizes[at : at + count].reshape(place.shape)
            sizes[:, place.row : place.row + rows, place.col : place.col + cols] = part
            at += count
    return found


def _split_sizes(tile: EncodedTile, spec: CogSpec) -> list[NDArray[np.uint32]]:
    """Split the sizes of a tile that is the whole image by level."""
    shapes = [frames_of(spec, size) for size in levels(spec)]
    ends = np.cumsum([np.prod(shape) for shape in shapes])
    return [part.reshape(shape) for part, shape in zip(np.split(tile.sizes, ends[:-1]), shapes, strict=True)]


def _copy_section(section: Section, writer: _Writer) -> None:
    """Copy one tile's frames: those of one plane and block row lie side by side in the part and the file."""
    runs, targets = [], []
    at = 0
    for level, place in enumerate(section.places):
        count, rows, cols = place.shape
        lengths = framed(section.sizes[at : at + count * rows * cols]).reshape(place.shape).sum(axis=2)
        starts = writer.layout.places[level][:, place.row : place.row + rows, place.col]
        runs += lengths.reshape(-1).tolist()
        targets += starts.reshape(-1).tolist()
        at += count * rows * cols
    for run, chunk in verified(section, runs):
        writer.put(targets[run], chunk)
        targets[run] += len(chunk)


def _copy_spool(spool: BinaryIO, coarse: Sequence[Spooled], writer: _Writer, *, wide: int) -> None:
    """Copy the spooled levels, which are the last of the layout's; `wide` frames of a block lie side by side."""
    first = len(writer.layout.places) - len(coarse)
    for level, spooled in enumerate(coarse, first):
        lengths = framed(spooled.sizes)
        for row, col in np.ndindex(spooled.starts.shape):
            spool.seek(int(spooled.starts[row, col]))
            for plane in range(len(lengths)):
                here = slice(col * wide, (col + 1) * wide)
                data = spool.read(int(lengths[plane, row, here].sum()))
                writer.put(int(writer.layout.places[level][plane, row, col * wide]), data)


def _digested(path: Path) -> Assembled:
    """Read the file back."""
    digest = sha256_of(path)
    with read_faults(path):
        return Assembled(path.stat().st_size, digest)
