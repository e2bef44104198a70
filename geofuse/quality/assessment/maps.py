"""From the cells of an assessment to its maps: where the product is worse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geofuse.metrics.reference import ErrorSums
from geofuse.quality.assessment.sums import Ask, Measured

LEAST_CELL = 0.25


@dataclass(frozen=True, slots=True)
class LocalMap:
    """A metric by place: one value for each square cell; higher is worse."""

    values: NDArray[np.float64]
    """(rows, cols), NaN where nothing could be measured."""
    cell_px: tuple[float, float]
    """Height and width of a cell in fine pixels."""
    origin_px: tuple[float, float]
    """Fine row and column of the first cell's outer corner."""


def maps_of(ask: Ask, found: Measured) -> dict[str, LocalMap]:
    """Turn cells into maps, of which higher is worse."""
    ratio = ask.subject.ratio
    size, origin = (float(ask.cell), float(ask.cell)), (0.0, 0.0)
    made = {}
    for name, (totals, counts) in found.cells.items():
        local = _divided(totals, counts)
        if name in ("q2n", "q2n_k"):
            values = 1.0 - local[0]
        elif name == "invented":
            bands = len(local) // 2
            parts, whole = local[:bands], local[bands:]
            values = np.divide(parts, whole, out=np.zeros_like(parts), where=whole > 0.0).mean(axis=0)
            values[np.isnan(local[0])] = np.nan
        elif name == "ergas":
            assert found.error is not None
            values = _local_ergas(local, found.error, ratio)
        else:
            values = local.mean(axis=0)
        made[name] = LocalMap(values, size, origin)
    if found.coarse is not None and "r_ergas" in found.coarse_cells:
        local = _divided(*found.coarse_cells["r_ergas"])
        axes = ask.subject.axes
        corner = tuple(
            (start - 0.5 - axis.offset) / axis.scale + 0.5
            for axis, start in zip(axes, (ask.window[0], ask.window[2]), strict=True)
        )
        made["r_ergas"] = LocalMap(
            _local_ergas(local, found.coarse.error, ratio),
            (ask.coarse_cell / axes[0].scale, ask.coarse_cell / axes[1].scale),
            (corner[0], corner[1]),
        )
    return made


def _divided(totals: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the cells' means; NaN where less than a quarter of a cell was measured: a few pixels make no map."""
    enough = counts >= max(1.0, LEAST_CELL * float(counts.max(initial=0)))
    return np.divide(totals, counts, out=np.full_like(totals, np.nan), where=enough)


def _local_ergas(squared: NDArray[np.float64], error: ErrorSums, ratio: float) -> NDArray[np.float64]:
    """ERGAS of each cell, against the mean of the whole image: a dark cell is not worse for being dark."""
    level = (error.reference / error.count)[:, None, None] if error.count else np.nan
    return np.asarray(100.0 / ratio * np.sqrt((squared / level**2).mean(axis=0)), dtype=np.float64)
