"""Quality bands in one layout of flags, whatever bits their providers use; a reader says which bits those are."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from geofuse.errors import ProductError
from geofuse.geometry import Window
from geofuse.rasters.image import BitLayout, Image
from geofuse.rasters.pixels import read_raw

NODATA, SATURATED, CLOUD, SHADOW, SNOW, CIRRUS = 1, 2, 4, 8, 16, 32


def quality_flags(values: NDArray[np.uint16], layout: BitLayout) -> NDArray[np.uint8]:
    """Translate a quality band into geofuse's flags.

    Flags: 1 nodata, 2 saturated or dropped, 4 cloud (high confidence; dilated too, where known), 8 cloud
    shadow, 16 snow or ice, 32 cirrus. Any shape in, the same shape out.
    """
    return _table(layout)[values]


@cache
def _table(layout: BitLayout) -> NDArray[np.uint8]:
    every = np.arange(1 << 16, dtype=np.uint16)
    table = np.zeros(1 << 16, np.uint8)
    for field in layout.fields:
        raised = (every >> field.lowest) & field.mask >= field.least
        table |= np.where(raised, field.flag, 0).astype(np.uint8)
    return table


def flags_of(quality: Image, window: Window) -> NDArray[np.uint8]:
    """Read the flags of a quality image over a window of its grid (rows, cols); ProductError without a layout."""
    if quality.bit_layout is None:
        raise ProductError("a quality band whose bits nobody explains", path=quality.bands[0].path)
    return quality_flags(read_raw(quality, 0, window), quality.bit_layout)
