"""Whether a product still says what its input said: spectral indices at the coarse scale, and on the fine one.

An index of the product, degraded to the coarse grid, is compared with the same index of the coarse image. Values
are reflectance, or DN whose pedestal nobody knows: then an index is of little worth, and the caller says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from geofuse.geometry import Floats, Mask
from geofuse.metrics.q2n import MeanSums, Planes

TOLERANCE = 0.02
"""A change of an index that an analyst would notice: about the noise of a well calibrated sensor's NDVI."""
BINS, BIN_SPAN = 81, 0.081
"""Histogram of differences: bins of 0.002, the middle one centred on 0, the last ones open."""
LEAST_SUM = 1e-3
"""Sum of two bands, in reflectance, under which their difference over it is noise."""


@dataclass(frozen=True, slots=True)
class Index:
    """A spectral index of named bands."""

    bands: tuple[str, ...]
    """What it is computed from."""
    title: str
    """What it tells."""
    paper: str
    """Where it comes from."""
    reflectance_only: bool = False
    """It holds constants that only mean something in reflectance."""


INDICES = {
    "ndvi": Index(("nir", "red"), "green vegetation", "Rouse et al. 1974, NASA SP-351"),
    "evi2": Index(
        ("nir", "red"), "dense vegetation", "Jiang et al. 2008, Remote Sens. Environ. 112(10)", True
    ),
    "ndwi": Index(("green", "nir"), "open water", "McFeeters 1996, Int. J. Remote Sensing 17(7)"),
    "ndmi": Index(("nir", "swir1"), "moisture of vegetation", "Gao 1996, Remote Sens. Environ. 58(3)"),
    "mndwi": Index(("green", "swir1"), "water in towns", "Xu 2006, Int. J. Remote Sensing 27(14)"),
    "nbr": Index(("nir", "swir2"), "burnt ground", "Lopez Garcia and Caselles 1991, Geocarto Int. 6(1)"),
}


@dataclass(frozen=True, slots=True)
class IndexSums:
    """What the agreement of one index over a tile needs."""

    count: int
    """Coarse pixels where both are defined."""
    observed: float
    """Sum of the coarse image's index."""
    difference: float
    """Sum of the product's less the coarse image's."""
    squared: float
    """Sum of the squared differences."""
    over: int
    """Pixels that differ by more than TOLERANCE."""
    bins: Floats
    """Histogram of the differences (BINS,)."""


def index_names(names: Sequence[str], *, reflectance: bool) -> list[str]:
    """Return the indices that bands of these names allow.

    >>> index_names(["blue", "green", "red", "nir"], reflectance=True)
    ['ndvi', 'evi2', 'ndwi']
    """
    return [
        key
        for key, index in INDICES.items()
        if set(index.bands) <= set(names) and (reflectance or not index.reflectance_only)
    ]


def index_plane(key: str, planes: Mapping[str, Planes], valid: Mask) -> tuple[Floats, Mask]:
    """Return an index (H, W) and where it is defined: valid, and its bands' sum not about zero.

    planes (H, W) by band name. Sources: see INDICES.
    """
    first, second = (planes[name].astype(np.float64) for name in INDICES[key].bands)
    gain, below = _FORMS.get(key, _normalised)(first, second)
    defined = valid & (below > LEAST_SUM)
    values = np.divide(gain * (first - second), below, out=np.zeros_like(below), where=defined)
    return values, defined


def _normalised(first: Floats, second: Floats) -> tuple[float, Floats]:
    return 1.0, first + second


def _evi2(nir: Floats, red: Floats) -> tuple[float, Floats]:
    return 2.5, nir + 2.4 * red + 1.0


_FORMS: dict[str, Callable[[Floats, Floats], tuple[float, Floats]]] = {"evi2": _evi2}


def index_sums(
    key: str, observed: Mapping[str, Planes], degraded: Mapping[str, Planes], *, valid: Mask
) -> IndexSums:
    """Sum the differences of an index between the coarse image and the product degraded to its grid."""
    there, seen = index_plane(key, observed, valid)
    here, also = index_plane(key, degraded, valid)
    seen &= also
    wanted = there[seen]
    apart = here[seen] - wanted
    place = np.clip(np.floor((apart / BIN_SPAN + 1.0) * 0.5 * BINS), 0, BINS - 1).astype(np.int64)
    return IndexSums(
        int(seen.sum()),
        float(wanted.sum()),
        float(apart.sum()),
        float((apart * apart).sum()),
        int((np.abs(apart) > TOLERANCE).sum()),
        np.bincount(place, minlength=BINS).astype(np.float64),
    )


def index_mean_sums(key: str, planes: Mapping[str, Planes], *, valid: Mask) -> MeanSums:
    """Sum an index over the pixels where it is defined."""
    values, defined = index_plane(key, planes, valid)
    return MeanSums(np.array([values[defined].sum()]), int(defined.sum()))


class IndexValue(TypedDict):
    """How well an index of the product agrees with the coarse image's; the means are those of the index."""

    bias: float | None
    rmse: float | None
    share_over: float | None
    tolerance: float
    mean_coarse: float | None
    mean_degraded: float | None
    mean_fine: float | None
    count: int


def index_value(sums: IndexSums, fine: MeanSums) -> IndexValue:
    """Turn sums into bias, RMSE, share of pixels over the tolerance, and the means; NaN where nothing is defined."""
    count = sums.count or math.nan
    fine_mean = float(fine.total[0]) / fine.count if fine.count else math.nan
    return {
        "bias": sums.difference / count,
        "rmse": math.sqrt(sums.squared / sums.count) if sums.count else math.nan,
        "share_over": sums.over / count,
        "tolerance": TOLERANCE,
        "mean_coarse": sums.observed / count,
        "mean_degraded": (sums.observed + sums.difference) / count,
        "mean_fine": fine_mean,
        "count": sums.count,
    }
