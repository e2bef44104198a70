"""What a path leads to, before GDAL may see it: links, tar members, fingerprints, magic bytes.

A path is a plain file, or `tar:/abs/bundle.tar!MEMBER` for a member of an uncompressed tar; any other scheme
is refused, and so is whatever is no regular file.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, BinaryIO, NotRequired, TypedDict

from geofuse.errors import CorruptError, FormatError, GeofuseError, ReadError
from geofuse.files import CHUNK_BYTES, sha256_by
from geofuse.rasters.opening.drivers import WANTED, driver_of, format_name

TAR = "tar:"
HOSTILE = ("/vsi", "://", "<", "\0", "\n", "\r")
HEADER_BYTES = 1 << 16
PROBE_SECONDS = 3.0
MAX_MEMBERS = 20_000
MAX_MEMBER_HEADER_BYTES = 1 << 20

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_REASONS = {
    errno.ENOENT: "no such file, or a link that leads nowhere",
    errno.ELOOP: "a link that leads back to itself",
    errno.ENOTDIR: "no such file: a part of its path is not a directory",
    errno.EACCES: "may not be read: permission denied",
    errno.EPERM: "may not be read: permission denied",
    errno.ENAMETOOLONG: "a name longer than the file system allows",
    errno.ENXIO: "a socket or device",
}


class Identity(TypedDict):
    """A cheap fingerprint of an input file."""

    path: str
    """As it was named."""
    size: int
    """Its bytes."""
    mtime_ns: int
    """When it was last changed."""
    header: str
    """SHA-256 of its first 64 KiB."""
    sha256: NotRequired[str]
    """Of all its bytes, once they were read."""


@dataclass(frozen=True, slots=True)
class Span:
    """The open bytes of a file, or of a tar member inside it."""

    path: str
    """As the user wrote it."""
    file: BinaryIO
    """The real file, opened for reading."""
    base: int
    """Where the bytes begin in it."""
    size: int
    """How many there are."""
    mtime_ns: int
    """Modification time of the real file."""


def safe_path(path: str) -> str:
    """Return the path if nothing in it could mean more than a local file to GDAL; else raise FormatError."""
    if not isinstance(path, str) or not path:
        raise FormatError("an empty path", wanted="the path of a file")
    for part in HOSTILE:
        if part in path:
            shown = "".join(c if c.isprintable() else "?" for c in path)
            raise FormatError(
                f"a path that holds {part!r}", wanted="a plain path to a local file", path=shown
            )
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise FormatError("a path that is not UTF-8", do="rename the file", path=ascii(path)) from None
    return path


def locate(path: str) -> tuple[str, int, int | None]:
    """Return the real file behind a path, the byte offset in it and, for a tar member, its size.

    Raises FormatError for what is no regular readable file and CorruptError for a cut tar.
    """
    safe_path(path)
    if not path.startswith(TAR):
        return _real(path, path), 0, None
    bundle, mark, member = path.removeprefix(TAR).partition("!")
    if not mark or not member or not bundle.startswith("/"):
        raise FormatError(
            "a tar path without bundle or member", wanted="tar:/absolute/bundle.tar!MEMBER", path=path
        )
    real = _real(bundle, path)
    found = _index(real, *_stamp(real, path)).get(member)
    if found is None:
        raise FormatError("no such regular, whole member in the archive", path=path)
    return real, *found


def file_of(path: str) -> str:
    """Return the path of the file itself: the bundle's where the path names a member of a tar."""
    return path.removeprefix(TAR).partition("!")[0] if path.startswith(TAR) else path


def members(bundle: str) -> tuple[str, ...]:
    """Return the names of the regular files in an uncompressed tar, in archive order.

    Raises FormatError where it is no tar, CorruptError where it is cut or hostile.
    """
    real = _real(safe_path(bundle), bundle)
    return tuple(_index(real, *_stamp(real, bundle)))


@contextmanager
def opened(path: str) -> Iterator[Span]:
    """Open a file or member for reading, never blocking on a FIFO; yields its Span."""
    real, base, size = locate(path)
    try:
        # O_NONBLOCK: the file may have become a FIFO since it was looked at
        handle = os.open(real, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        raise _no_entry(error, path) from error
    with os.fdopen(handle, "rb", buffering=0) as raw:
        facts = os.fstat(handle)
        _regular(facts, path)
        yield Span(path, raw, base, facts.st_size if size is None else size, facts.st_mtime_ns)


def bytes_at(span: Span, at: int, count: int) -> bytes:
    """Return up to `count` bytes from offset `at`: fewer at the end; storage faults become ReadError."""
    count = min(count, span.size - at)
    if count <= 0:
        return b""
    try:
        span.file.seek(span.base + at)
        found = bytearray()
        while len(found) < count and (more := span.file.read(count - len(found))):
            found += more
    except OSError as error:
        raise ReadError(
            f"reading failed: {error.strerror}", do="check the storage", path=span.path
        ) from error
    return bytes(found)


def identity(path: str) -> Identity:
    """Return a cheap fingerprint of an input: path, size, mtime_ns and the SHA-256 of its first 64 KiB."""
    with opened(path) as span:
        header = hashlib.sha256(bytes_at(span, 0, HEADER_BYTES)).hexdigest()
        return Identity(path=path, size=span.size, mtime_ns=span.mtime_ns, header=header)


def with_sha256(found: Identity, sha256: str) -> Identity:
    """Return an input's fingerprint with the digest of all its bytes."""
    return {**found, "sha256": sha256}


def input_sha256(path: str) -> str:
    """Return the SHA-256 of an input's bytes, a file's or a member's, as hex; never blocking on a FIFO."""
    with opened(path) as span:
        return sha256_by(lambda at, count: bytes_at(span, at, count), span.size)


def probe(path: str) -> None:
    """Read the bytes for a few seconds, so that a fault of the storage shows itself as ReadError."""
    end = time.monotonic() + PROBE_SECONDS
    with opened(path) as span:
        for at in range(0, span.size, CHUNK_BYTES):
            bytes_at(span, at, CHUNK_BYTES)
            if time.monotonic() > end:
                return


def sniff(span: Span) -> str:
    """Return the one GDAL driver a file may be opened with, by its first bytes.

    Raises FormatError, naming what the file is where that is easily told.
    """
    head = bytes_at(span, 0, 512)
    driver = driver_of(head)
    if driver is not None:
        return driver.name
    what = format_name(head)
    hint = "unpack it first" if "archive" in what else ""
    if what == "a tar archive":
        hint = "name a member: tar:/absolute/bundle.tar!MEMBER"
    raise FormatError(what, wanted=WANTED, do=hint, path=span.path)


def _real(path: str, shown: str) -> str:
    try:
        real = os.path.realpath(path, strict=True)
        facts = os.stat(real)
    except OSError as error:
        raise _no_entry(error, shown) from error
    _regular(facts, shown)
    return safe_path(real)


def _stamp(real: str, shown: str) -> tuple[int, int]:
    try:
        facts = os.stat(real)
    except OSError as error:
        raise _no_entry(error, shown) from error
    return facts.st_size, facts.st_mtime_ns


def _regular(facts: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(facts.st_mode):
        what = _KINDS.get(stat.S_IFMT(facts.st_mode), "no regular file")
        raise FormatError(what, wanted=WANTED, path=path)
    if facts.st_size == 0:
        raise FormatError("an empty file", wanted=WANTED, do="fetch it again", path=path)


def _no_entry(error: OSError, path: str) -> GeofuseError:
    if error.errno in _REASONS:
        return FormatError(_REASONS[error.errno], wanted="a readable file", path=path)
    return ReadError(f"opening failed: {error.strerror}", do="check the storage", path=path)


@lru_cache(maxsize=16)
def _index(real: str, size: int, mtime_ns: int) -> dict[str, tuple[int, int]]:
    """Map each regular member's name to its offset and size; `size` and `mtime_ns` are the cache's key."""
    found: dict[str, tuple[int, int]] = {}
    last = -1
    try:
        with open(real, "rb") as file:
            wary: Any = _Wary(file)
            with tarfile.open(fileobj=wary, mode="r:") as bundle:
                for count, member in enumerate(bundle):
                    if count >= MAX_MEMBERS or member.offset <= last:
                        raise CorruptError("a tar with too many members, or that loops", path=real)
                    last = member.offset
                    whole = member.size >= 0 and member.offset_data + member.size <= size
                    if member.isreg() and not member.issparse() and whole:
                        found[member.name] = (member.offset_data, member.size)
    except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
        raise CorruptError(
            f"a damaged tar or none: {error}", wanted="an uncompressed tar", path=real
        ) from error
    except OSError as error:
        raise ReadError(f"reading failed: {error.strerror}", do="check the storage", path=real) from error
    return found


class _Wary:
    """A file for tarfile that refuses a header of a hostile size, and a member before the file."""

    __slots__ = ("file", "tell")

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.tell = file, file.tell

    def seek(self, at: int) -> int:
        """Go to a byte, refusing what only a negative size leads to."""
        if at < 0:
            raise tarfile.ReadError("a member before the file")
        return self.file.seek(at)

    def read(self, count: int = -1) -> bytes:
        """Return `count` bytes, refusing more than any honest tar header holds."""
        if not 0 <= count <= MAX_MEMBER_HEADER_BYTES:
            raise tarfile.ReadError("a header of an absurd size")
        return self.file.read(count)
