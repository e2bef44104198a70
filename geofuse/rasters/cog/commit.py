"""Writing that is either there whole or not at all, and the faults of storage by their names."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from geofuse.errors import ReadError, WriteError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on leaving, sync what is there and rename it to `path`.

    On any fault, also one raised by the caller, nothing is left and `path` is what it was. Raises WriteError.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with write_faults(path):
            yield temporary
            sync(temporary)
            os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    with write_faults(path):
        sync(path.parent)


def sync(path: Path) -> None:
    """Force a file, or a folder's names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
