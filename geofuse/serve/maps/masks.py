"""What an item's mask says of a place: its flags in words, and whether a cloud ends there."""

from __future__ import annotations

import numpy as np

from geofuse.scenes.quality import CIRRUS, CLOUD, SATURATED, SHADOW, SNOW
from geofuse.serve.answers import MaskAnswer
from geofuse.serve.maps.rasters import Raster, read_scaled, scaled_shape

WORDS = {
    SATURATED: "saturated",
    CLOUD: "cloud",
    SHADOW: "cloud shadow",
    SNOW: "snow",
    CIRRUS: "cirrus",
}
EDGE_CPX = 6
"""Coarse pixels around a cloud's edge in which its parallax is met: a cloud 10 km up moves about as far between the
bands of a push-broom camera, and the mask's own edge is not finer."""


def mask_at(mask: Raster, pixel: tuple[int, int], ratio: int, scale: int) -> MaskAnswer:
    """Return what a mask says of a pixel (row, col) of the product, and around it.

    `ratio` is how many product pixels a coarse one is long; no pixel is seen but at `scale`.
    """
    rows, cols = scaled_shape(mask, scale)
    row, col = min(pixel[0] // scale, rows - 1), min(pixel[1] // scale, cols - 1)
    reach = max(1, EDGE_CPX * ratio // scale)
    row0, col0 = max(0, row - reach), max(0, col - reach)
    window = (row0, min(rows, row + reach + 1), col0, min(cols, col + reach + 1))
    values, _ = read_scaled(mask, (0,), window, scale, flags=True)
    flags = values[0].astype(np.uint8)
    here = int(flags[row - row0, col - col0])
    cloudy = (flags & CLOUD) != 0
    return {
        "flags": [word for flag, word in WORDS.items() if here & flag],
        "cloud_edge": bool(cloudy.any() and not cloudy.all()),
    }
