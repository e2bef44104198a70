"""What a run reads: who the files were when it was planned, and whether they still are."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from geofuse.errors import (
    ChangedError,
    CorruptError,
    FormatError,
    GeofuseError,
    GeorefError,
    PixelError,
    ReadError,
)
from geofuse.rasters.opening.sniffing import Identity, input_sha256, with_sha256
from geofuse.rasters.pixels import identity


def check_unchanged(inputs: Sequence[Identity]) -> None:
    """Raise ChangedError where an input is not what it was when the plan was made."""
    for item in inputs:
        try:
            now = identity(item["path"])
        except ReadError:
            raise
        except GeofuseError as error:
            raise ChangedError(
                f"vanished or unreadable during the run ({error.found})", path=item["path"]
            ) from error
        if (now["size"], now["mtime_ns"]) != (item["size"], item["mtime_ns"]):
            raise ChangedError(
                "changed during the run", wanted="inputs that rest", do="run again", path=item["path"]
            )


@contextmanager
def at_rest(inputs: Sequence[Identity]) -> Iterator[None]:
    """Let a fault of an input that is no longer what it was say so."""
    try:
        yield
    except (FormatError, CorruptError, PixelError, GeorefError):
        check_unchanged(inputs)
        raise


class Checksums:
    """SHA-256 of every input, computed beside the run in a thread of its own."""

    def __init__(self, inputs: Sequence[Identity]) -> None:
        self.inputs = tuple(inputs)
        self.sums: dict[str, str] = {}
        self.fault: Exception | None = None
        self.thread = threading.Thread(target=self._work, name="geofuse-checksums", daemon=True)

    def _work(self) -> None:
        try:
            for item in self.inputs:
                self.sums[item["path"]] = input_sha256(item["path"])
        except Exception as error:
            self.fault = error

    def __enter__(self) -> Checksums:
        """Start."""
        self.thread.start()
        return self

    def __exit__(self, *fault: object) -> None:
        """Leave: a daemon thread that only reads needs no farewell."""

    def result(self) -> tuple[Identity, ...]:
        """Wait for the sums; ChangedError, or ReadError, where an input could not be read to its end."""
        self.thread.join()
        if isinstance(self.fault, ReadError):
            raise self.fault
        if self.fault is not None:
            raise ChangedError(f"an input could not be summed: {self.fault}") from self.fault
        return tuple(with_sha256(item, self.sums[item["path"]]) for item in self.inputs)
