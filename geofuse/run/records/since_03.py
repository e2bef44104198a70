"""What release 0.3 wrote, in today's words: its records did not say how their scene was opened."""

from __future__ import annotations

import os
from collections.abc import Sequence

from geofuse.rasters.opening.sniffing import TAR, file_of
from geofuse.scenes.scene import Given

WHOLE_DELIVERIES = ("landsat8", "landsat9")
"""Sensors whose scenes 0.3 opened by their folder or archive."""


def opened_of_03(sensor: str, paths: Sequence[str]) -> tuple[str, tuple[Given, ...]]:
    """Return the reader of a record of 0.3 and what it was given, by 0.3's own rules.

    A Landsat scene is the folder or archive of its first input; of any other the first input is PAN, the others
    are its MS.
    """
    if sensor in WHOLE_DELIVERIES:
        first = paths[0]
        return "landsat", (Given("", file_of(first) if first.startswith(TAR) else os.path.dirname(first)),)
    ms = dict.fromkeys(paths[1:])
    return "pair", (Given("pan", paths[0]), *(Given("ms", path) for path in ms))
