"""The nodata value as readers see it: what they take for it, and where a valid value that falls on it moves to."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

NODATA_BLUR = 2.0**-20
"""Relative distance within which GDAL's masks take a float for nodata (measured: 4.8e-7), with a margin."""


def beside(nodata: float, dtype: np.dtype[Any]) -> float:
    """Return the value nearest to ``nodata`` that no reader takes for it: one off, or for floats a millionth.

    >>> beside(0.0, np.dtype("uint16")), beside(65535.0, np.dtype("uint16"))
    (1.0, 65534.0)
    """
    if dtype.kind != "f":
        return nodata + 1.0 if nodata < np.iinfo(dtype).max else nodata - 1.0
    limits = np.finfo(dtype)
    if nodata == 0.0:
        return float(limits.smallest_normal)
    return nodata * (1.0 - NODATA_BLUR) if math.isfinite(nodata) else math.copysign(float(limits.max), nodata)


def nearness(nodata: float, dtype: np.dtype[Any]) -> float:
    """Return the distance within which readers take a value for ``nodata``: 0 for whole types and NaN."""
    return abs(nodata) * NODATA_BLUR if dtype.kind == "f" and math.isfinite(nodata) else 0.0
