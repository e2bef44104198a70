"""What a reader of deliveries is: it knows its files by their names, and makes a scene of them.

A reader is one file here, or in a package of one's own with an entry point of the group ``geofuse.readers``.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from geofuse.errors import CorruptError, FormatError, ProductError, ReadError
from geofuse.rasters.opening import sniffing
from geofuse.scenes import sidecars
from geofuse.scenes.scene import Given, Scene

MOST_FILES = 10_000

_PACKED = (b"\x1f\x8b", b"PK\3\4", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf")


@dataclass(frozen=True, slots=True)
class ListedFile:
    """One file of a delivery."""

    name: str
    """Its base name."""
    path: str
    """What to open: a file, or `tar:/abs/bundle.tar!MEMBER`."""
    size: int | None = None
    """Its bytes; None where only names are known."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The regular files of a folder or archive, by name; nothing of them was read."""

    where: str
    """The folder or archive; empty for names that lie elsewhere, such as the assets of a catalogue's item."""
    entries: tuple[ListedFile, ...]
    """The files, sorted by name."""


@dataclass(frozen=True, slots=True)
class Match:
    """What a reader knows of a listing: the files it would open."""

    reader: str
    """The reader's name in the table."""
    where: str
    """The folder or archive; empty for files that were named by hand."""
    files: tuple[ListedFile, ...]
    """Those that belong to the delivery; others beside them do not count."""
    given: tuple[Given, ...]
    """By what the scene can be opened again: the folder or archive, or each image's files with their role."""


class Reader(Protocol):
    """A kind of delivery. Readers are frozen and hold nothing of what they read."""

    @property
    def wanted(self) -> str:
        """One phrase: which files make a delivery."""

    @property
    def last(self) -> bool:
        """Whether it is asked only where no other reader knows the files: for readers that go by little."""

    def match(self, listing: Listing) -> Match | None:
        """Say whether these files are such a delivery, whole or not, by their names alone."""

    def open(self, match: Match) -> Scene:
        """Make the scene; reads headers and metadata, no pixels. Raises what the delivery lacks, by name."""


def listed(path: str) -> Listing:
    """List the files directly in a folder, or those of an uncompressed .tar in place.

    Raises FormatError for anything else, ReadError, CorruptError, and ProductError for more than 10 000 files.
    """
    sniffing.safe_path(path)
    if os.path.isdir(path):
        return list_folder(path)
    with sniffing.opened(path) as span:
        head = sniffing.bytes_at(span, 0, 512)
    wanted = "a folder or an uncompressed .tar with one scene"
    if head.startswith(_PACKED):
        raise FormatError("a compressed archive", wanted=wanted, do="unpack it first", path=path)
    if head[257:262] != b"ustar" and not path.lower().endswith(".tar"):
        do = "name single rasters as PAN and MS"
        raise FormatError("neither a folder nor a tar archive", wanted=wanted, do=do, path=path)
    return list_tar(path)


def list_folder(path: str) -> Listing:
    """List the regular files directly inside a folder; links count where they lead to files."""
    try:
        with os.scandir(path) as entries:
            found = sorted((entry.name, entry.stat().st_size) for entry in entries if entry.is_file())
    except OSError as fault:
        raise ReadError(f"folder cannot be read: {fault.strerror}", path=path) from fault
    _few(len(found), path)
    return Listing(path, tuple(ListedFile(name, os.path.join(path, name), size) for name, size in found))


def list_tar(path: str) -> Listing:
    """List the regular files of an uncompressed tar; links, devices and sparse members do not count.

    Nothing is unpacked: the paths name a member, `tar:/abs/bundle.tar!MEMBER`. Raises CorruptError for a
    damaged archive.
    """
    place = os.path.abspath(path)
    if "!" in place:
        raise FormatError("an archive with ! in its path", wanted="a path without", do="rename it", path=path)
    # the index keeps one of two members of the same name; here both count, as two files of one band
    whole = set(sniffing.members(path))
    _few(len(whole), path)
    try:
        with tarfile.open(path, "r:") as archive:
            found = [
                (member.name, member.size) for member in archive if member.isreg() and member.name in whole
            ]
    except (tarfile.TarError, ValueError, OverflowError) as fault:
        raise CorruptError(
            "damaged tar archive", wanted="a whole one", do="fetch it again", path=path
        ) from fault
    except OSError as fault:
        raise ReadError(f"archive cannot be read: {fault.strerror}", path=path) from fault
    entries = (
        ListedFile(os.path.basename(name), f"tar:{place}!{name}", size) for name, size in sorted(found)
    )
    return Listing(path, tuple(entries))


def names_only(files: Sequence[tuple[str, str]]) -> Listing:
    """Return files that are not here, each by name and by what its owner calls it, as a listing."""
    return Listing("", tuple(ListedFile(name, key) for name, key in files))


def read_text(entry: ListedFile, most_bytes: int) -> str:
    """Read a small text of a delivery; raises FormatError for one that is empty or over `most_bytes`."""
    return sidecars.read_small(entry.path, most_bytes).decode("utf-8", "replace")


def _few(count: int, path: str) -> None:
    if count > MOST_FILES:
        raise ProductError(f"more than {MOST_FILES} files", wanted="one delivery", path=path)
