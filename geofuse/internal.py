"""Faults that nobody foresaw: one line for who meets them, a report for who mends them.

Ground floor: the standard library only.
"""

from __future__ import annotations

import errno
import platform
import sys
import tempfile
import time
import traceback
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from geofuse.errors import GeofuseError, ReadError, WriteError
from geofuse.version import __version__

TOLD = ("numpy", "numba", "rasterio", "torch", "dask", "prefect", "scipy", "xarray")
"""Packages whose versions a report names."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})


class InternalError(GeofuseError):
    """A fault of geofuse itself."""

    code = "internal"
    exit_status = 70  # EX_SOFTWARE of sysexits.h


def foreseen(fault: BaseException) -> GeofuseError:
    """Return a fault as one that can be told in a line: storage by its name, anything else as internal.

    Of an internal fault a report is written; the line says where it lies.
    """
    if isinstance(fault, GeofuseError):
        return fault
    if isinstance(fault, OSError) and fault.filename is not None and fault.strerror:
        kind = WriteError if fault.errno in _FULL else ReadError
        do = "free space or choose another place" if kind is WriteError else "check the name and its rights"
        return kind(fault.strerror.lower(), do=do, path=str(fault.filename))
    said = " ".join(f"{type(fault).__name__}: {fault}".split())[:300]
    report = write_report(fault)
    where = (
        f"report it with {report}" if report else "report it with what you did; no report could be written"
    )
    return InternalError(said, wanted="no fault of geofuse's own", do=where)


def write_report(fault: BaseException) -> Path | None:
    """Write what a developer needs to see of a fault; returns where, None where nowhere can be written."""
    lines = [f"geofuse {__version__}, Python {platform.python_version()}, {platform.platform()}"]
    lines += [f"{name} {_version(name)}" for name in TOLD]
    lines += ["", " ".join(sys.argv), ""]
    lines += traceback.format_exception(fault)
    name = f"geofuse-fault-{time.strftime('%Y%m%d-%H%M%S')}-"
    try:
        with tempfile.NamedTemporaryFile("w", prefix=name, suffix=".txt", delete=False) as file:
            file.write("\n".join(lines))
            return Path(file.name)
    except OSError:
        return None


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "is not installed"
