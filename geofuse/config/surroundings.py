"""What the surroundings say: the only place that reads the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the surroundings say."""

    stac_token: str | None
    """GEOFUSE_STAC_TOKEN: bearer token of a STAC API and its assets."""


def surroundings() -> Surroundings:
    """Read the environment: the only place that does."""
    return Surroundings(stac_token=os.environ.get("GEOFUSE_STAC_TOKEN") or None)


def child_surroundings(more: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with additions, for a process that is started."""
    return {**os.environ, **more}
