"""Every fault geofuse names: one line, a stable code, an exit status.

Exit status: 2 input or configuration, 3 resources, 4 input/output that a retry may cure, 70 a fault of geofuse
itself, 130 interrupted.
"""

from __future__ import annotations


class GeofuseError(Exception):
    """Base of all named faults; its text is one line: where, what was found, what was wanted, what to do."""

    code = "error"
    exit_status = 2

    def __init__(self, found: str, *, wanted: str = "", do: str = "", path: str | None = None) -> None:
        where = f"{path}: " if path else ""
        wish = f"; wanted {wanted}" if wanted else ""
        advice = f"; {do}" if do else ""
        super().__init__(" ".join(f"{where}{found}{wish}{advice}".split()))
        self.found, self.wanted, self.do, self.path = found, wanted, do, path

    def __reduce__(self) -> tuple[object, ...]:
        """Keep every part when a worker process hands the fault back."""
        return _rebuild, (type(self), self.found, self.wanted, self.do, self.path)


def _rebuild(kind: type[GeofuseError], found: str, wanted: str, do: str, path: str | None) -> GeofuseError:
    return kind(found, wanted=wanted, do=do, path=path)


class UsageError(GeofuseError):
    """The command line or call is off: unknown option, wrong value."""

    code = "usage"


class ConfigError(GeofuseError):
    """A configuration file is off: unknown key, wrong type, bad value."""

    code = "config"


class FormatError(GeofuseError):
    """A file is not a raster geofuse reads: unknown magic, refused driver, hostile name, unreadable."""

    code = "format"


class CorruptError(GeofuseError):
    """A raster whose header or data is damaged, truncated, or declares absurd sizes."""

    code = "corrupt"


class ProductError(GeofuseError):
    """A scene folder or archive is not whole: missing or duplicate band, missing metadata, mixed scenes."""

    code = "scene"


class BandError(GeofuseError):
    """A requested band does not exist, is ambiguous, or cannot be sharpened."""

    code = "band"


class GeorefError(GeofuseError):
    """Georeferencing is missing or does not relate the two images: no CRS, GCPs only, no overlap, ratio."""

    code = "georef"


class PixelError(GeofuseError):
    """Pixels geofuse cannot fuse: complex, palette, CMYK, 1-bit, all nodata."""

    code = "pixels"


class MatchError(GeofuseError):
    """The fine and the coarse image do not show the same place."""

    code = "match"


class AreaError(GeofuseError):
    """The area asked for is empty, malformed, or outside the scene."""

    code = "area"


class MethodError(GeofuseError):
    """No such method, or it cannot work on this pair."""

    code = "method"


class WeightsError(GeofuseError):
    """A network's weights are damaged, no safetensors, or made for another kind of pair."""

    code = "weights"


class PluginError(GeofuseError):
    """A package that adds to geofuse is broken, not installed, or takes a name that is taken."""

    code = "plugin"


class ExistsError(GeofuseError):
    """The output is there already, made from other inputs or parameters."""

    code = "exists"


class LockedError(GeofuseError):
    """Another living run writes to the same output."""

    code = "locked"
    exit_status = 4


class VerifyError(GeofuseError):
    """A product is not what its provenance says, or is no valid COG."""

    code = "verify"


class MemoryLimitError(GeofuseError):
    """The plan needs more memory than it may have."""

    code = "memory"
    exit_status = 3


class DiskSpaceError(GeofuseError):
    """Not enough free disk for parts and product."""

    code = "disk"
    exit_status = 3


class ReadError(GeofuseError):
    """Reading failed below us: the storage, not the file's format."""

    code = "read"
    exit_status = 4


class WriteError(GeofuseError):
    """Writing failed: disk full, file too large, storage fault."""

    code = "write"
    exit_status = 4


class BucketError(GeofuseError):
    """An object store has no such bucket, or does not let us in: no credentials, or not enough."""

    code = "bucket"


class StoreError(GeofuseError):
    """An object store is away, or failed."""

    code = "store"
    exit_status = 4


class ChangedError(GeofuseError):
    """An input changed, shrank or vanished while it was being read."""

    code = "changed"
    exit_status = 4


class WorkerError(GeofuseError):
    """A worker died or cannot do what the plan asks."""

    code = "worker"
    exit_status = 4


class MissingError(GeofuseError):
    """There is no such item, asset, tile or job, or none that whoever asks may know of."""

    code = "missing"


class AccessError(GeofuseError):
    """The item's access class, or the want of a token, forbids it."""

    code = "access"


class TokenError(GeofuseError):
    """A token that is wrong, expired or revoked."""

    code = "token"


class LimitError(GeofuseError):
    """More than the server gives or takes at once: pixels, bytes, ranges, features."""

    code = "limit"


class BusyError(GeofuseError):
    """The server has as much to do as it takes on; later it will do."""

    code = "busy"
    exit_status = 4
