"""Files: written whole or not at all, digested, and their sizes read; the faults of storage by their names.

Ground floor: the standard library only, so that every room can write as safely as any other.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from geofuse.errors import ReadError, WriteError

CHUNK_BYTES = 1 << 20
"""How much of a file is digested at a time."""
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_SIZE = re.compile(r"\s*(\d+(?:\.\d*)?(?:e\+?\d+)?|\.\d+)\s*([kmgt]?)i?b?\s*", re.ASCII)


@contextmanager
def replacing(path: Path, *, mode: int | None = None) -> Iterator[Path]:
    """Give a temporary path beside `path`; on leaving, sync what is there and rename it to `path`.

    On any fault, also one raised by the caller, nothing is left and `path` is what it was. With `mode` the file has
    those permissions before its first byte is written. Raises WriteError.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        with write_faults(path):
            if mode is not None:
                os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
            yield temporary
            sync(temporary)
            os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    with write_faults(path):
        sync(path.parent)


def write_bytes(path: Path, data: bytes, *, mode: int | None = None) -> None:
    """Write a small file completely or not at all; with `mode` under those permissions from its first byte on."""
    with replacing(path, mode=mode) as draft:
        draft.write_bytes(data)


def write_json(path: Path, value: Any, *, mode: int | None = None) -> None:
    """Write JSON, atomically, in the same bytes for the same value."""
    write_bytes(path, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode(), mode=mode)


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; None where it is absent or torn."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def made(path: Path) -> Path:
    """Return the path of a file that is there now, empty if it was not: shared as the umask says, whatever opens it.

    SQLite would make it for its owner alone.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o666))
    return path


def share(path: Path) -> None:
    """Give a file that another library made the rights that the umask leaves a new one."""
    probe = path.with_name(f"{path.name}.{os.getpid()}.mode")
    os.close(os.open(probe, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        os.chmod(path, probe.stat().st_mode & 0o777)
    finally:
        probe.unlink()


def sync(path: Path) -> None:
    """Force a file, or a folder's names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_of(path: Path | str) -> str:
    """Return the SHA-256 of a file as hex; the GIL is free meanwhile. Raises ReadError."""
    with read_faults(Path(path)), open(path, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_by(read: Callable[[int, int], bytes], size: int) -> str:
    """Return the SHA-256 of `size` bytes that `read(at, count)` gives; it ends early where they end early.

    >>> sha256_by(lambda at, count: b"abc"[at : at + count], 3)[:8]
    'ba7816bf'
    """
    digest, at = hashlib.sha256(), 0
    while at < size and (data := read(at, min(CHUNK_BYTES, size - at))):
        digest.update(data)
        at += len(data)
    return digest.hexdigest()


def parse_bytes(text: str) -> int:
    """Read a size such as 4GiB, 512MB or 1g; a plain number is bytes, a unit a power of 1024.

    Raises ValueError for what is none, a minus too.

    >>> parse_bytes("4GiB"), parse_bytes("1.5k"), parse_bytes("7")
    (4294967296, 1536, 7)
    >>> parse_bytes("-4g")
    Traceback (most recent call last):
    ValueError: '-4g' is no size such as 4GiB
    """
    match = _SIZE.fullmatch(text.lower())
    if match is None:
        raise ValueError(f"{text!r} is no size such as 4GiB")
    return int(float(match[1]) * _UNITS[match[2]])


@contextmanager
def write_faults(path: Path) -> Iterator[None]:
    """Turn the system's faults into WriteError for `path`."""
    try:
        yield
    except OSError as fault:
        raise WriteError(
            f"cannot write: {_reason(fault)}",
            do="free space or choose another place, then run the same command again",
            path=str(path),
        ) from fault


@contextmanager
def read_faults(path: Path) -> Iterator[None]:
    """Turn the system's faults into ReadError for `path`."""
    try:
        yield
    except OSError as fault:
        raise ReadError(
            f"cannot read: {_reason(fault)}", do="check the storage and try again", path=str(path)
        ) from fault


def _reason(fault: OSError) -> str:
    return fault.strerror or str(fault) or type(fault).__name__
