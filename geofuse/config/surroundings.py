"""What the surroundings say: the only place that reads the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the surroundings say."""

    stac_token: str | None
    """GEOFUSE_STAC_TOKEN: bearer token of a STAC API and its assets."""


def surroundings() -> Surroundings:
    """Read the environment: the only place that does."""
    return Surroundings(stac_token=os.environ.get("GEOFUSE_STAC_TOKEN") or None)
