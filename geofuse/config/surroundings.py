"""What the surroundings say: the only place that reads the environment."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from geofuse.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the surroundings say."""

    stac_token: str | None
    """GEOFUSE_STAC_TOKEN: bearer token of a STAC API and its assets."""
    work_folder: Path
    """GEOFUSE_WORK: where the work of products lies that go into an object store; else the user's cache."""
    store_retry_s: float
    """GEOFUSE_STORE_RETRY_S: how long an object store may be away, seconds; else 180."""


def surroundings() -> Surroundings:
    """Read the environment: the only place that does."""
    from pathlib import Path

    cache = Path(os.environ.get("XDG_CACHE_HOME") or _home() / ".cache")
    return Surroundings(
        stac_token=os.environ.get("GEOFUSE_STAC_TOKEN") or None,
        work_folder=Path(os.environ.get("GEOFUSE_WORK") or cache / "geofuse"),
        store_retry_s=_seconds("GEOFUSE_STORE_RETRY_S", 180.0),
    )


def _home() -> Path:
    """Return the user's folder, or the one for temporary files where there is none."""
    from pathlib import Path

    try:
        return Path.home()
    except RuntimeError:
        import tempfile

        return Path(tempfile.gettempdir())


def _seconds(name: str, default: float) -> float:
    """Read a duration; ConfigError where it is none."""
    text = os.environ.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < math.inf:
        raise ConfigError(f"{name}={text}", wanted="seconds, 0 or more")
    return value


def child_surroundings(more: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with additions, for a process that is started."""
    return {**os.environ, **more}
