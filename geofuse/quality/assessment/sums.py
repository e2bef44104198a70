"""What the tiles of an assessment contribute: sums that are added in the tiles' order, and the cells of its maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import Floats, Window
from geofuse.metrics.index_agreement import IndexSums
from geofuse.metrics.q2n import MeanSums
from geofuse.metrics.reference import CosineSums, ErrorSums
from geofuse.metrics.seams import SeamSums
from geofuse.metrics.sharpness import SharpnessSums
from geofuse.quality.assessment.subject import Subject

Cell = tuple[NDArray[np.float64], NDArray[np.int64]]
"""Of one map: totals (K, rows, cols) and counts (rows, cols) of its cells."""
Cells = dict[str, Cell]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ReferenceSums:
    """What a reference allows; ``_up`` is of the plainly upsampled MS."""

    q: MeanSums
    """Q."""
    scc: CosineSums
    """SCC."""
    ssim: MeanSums
    """SSIM."""
    difference: MeanSums
    """Product less reference."""
    error_up: ErrorSums
    """ERGAS and PSNR."""
    sam_up: MeanSums
    """SAM."""
    q2n_up: MeanSums
    """Q2n."""


@dataclass(frozen=True, slots=True)
class FineSums:
    """Sums on the fine grid."""

    pairs: MeanSums
    """Q between bands of the product."""
    pairs_up: MeanSums
    """The same of the upsampled MS."""
    pan: MeanSums
    """Q of each band with PAN."""
    pan_up: MeanSums
    """Q of each upsampled band with PAN at the coarse scale."""
    sharpness: SharpnessSums
    """Edges and details."""
    level: MeanSums
    """Values of each band."""
    bins: Floats
    """Histogram of each band (B, n)."""
    seams: dict[int, SeamSums]
    """Steps across lines, by their spacing in pixels."""
    indices: dict[str, MeanSums]
    """Spectral indices."""
    local: dict[str, MeanSums]
    """What is also mapped, by the map's name, summed over the cells."""
    reference: ReferenceSums | None = None
    """What a reference allows, where there is one."""


@dataclass(frozen=True, slots=True)
class CoarseSums:
    """Sums on the coarse grid: the product as the coarse sensor sees it against the MS."""

    error: ErrorSums
    """R-ERGAS."""
    sam: MeanSums
    """R-SAM."""
    q2n: MeanSums
    """R-Q2n."""
    difference: MeanSums
    """Degraded product less MS."""
    bins_ms: Floats
    """Histogram of each band of the MS (B, n)."""
    indices: dict[str, IndexSums]
    """Spectral indices."""
    real: MeanSums
    """Detail of the MS itself that PAN does not show, one scale down."""


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """What one tile contributes."""

    sums: T
    """What is added."""
    cells: Cells
    """The tile's cells of each map."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What every task is told."""

    subject: Subject
    """What is assessed."""
    edges: NDArray[np.float64]
    """Of each band's histogram (B, n)."""
    cell: int
    """Side of a map's cell, fine pixels."""
    coarse_cell: int
    """The same on the coarse grid."""
    window: Window
    """The coarse pixels that can be compared."""
    peak: float | None = None
    """The reference's largest value."""


@dataclass(frozen=True, slots=True)
class Added:
    """What the metrics without sums of their own came to."""

    values: dict[str, float]
    """By the metric's key; NaN where nothing could be measured."""
    notes: tuple[str, ...]
    """Why a metric could not be measured, or a package's row not be used."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the passes found."""

    fine: FineSums
    """Sums on the fine grid."""
    cells: Cells
    """Its maps."""
    coarse: CoarseSums | None
    """Sums on the coarse grid; None where none of its pixels can be compared."""
    coarse_cells: Cells
    """Its maps."""
    error: ErrorSums | None
    """Errors against the reference."""
    added: Added
    """Metrics without sums of their own."""


def by_cell(measure: Callable[[Any], MeanSums], valid: NDArray[np.bool_], cell: int) -> Cell:
    """Measure every cell of a core: totals (K, rows, cols) and counts (rows, cols)."""
    height, width = valid.shape
    found = {
        (top // cell, left // cell): measure(
            (slice(None), slice(top, min(top + cell, height)), slice(left, min(left + cell, width)))
        )
        for top in range(0, height, cell)
        for left in range(0, width, cell)
    }
    depth = next(iter(found.values())).total.size
    size = (-(-height // cell), -(-width // cell))
    totals, counts = np.zeros((depth, *size)), np.zeros(size, np.int64)
    for place, sums in found.items():
        totals[(slice(None), *place)] = sums.total
        counts[place] = sums.count
    return totals, counts


def cell_sums(planes: NDArray[np.float64], valid: NDArray[np.bool_], cell: int) -> Cell:
    """Sum valid pixels over square cells: totals (B, rows, cols) and counts (rows, cols)."""
    height, width = valid.shape
    down, across = np.arange(0, height, cell), np.arange(0, width, cell)
    kept = np.where(valid, planes, 0.0)
    totals = np.add.reduceat(np.add.reduceat(kept, down, axis=1), across, axis=2)
    counts = np.add.reduceat(np.add.reduceat(valid, down, axis=0, dtype=np.int64), across, axis=1)
    return totals, counts


def with_totals(part: Part[FineSums]) -> Part[FineSums]:
    """Return the part with the sums of its maps, each added over the cells."""
    added = {
        name: MeanSums(totals.sum(axis=(1, 2)), int(counts.sum()))
        for name, (totals, counts) in part.cells.items()
    }
    return Part(replace(part.sums, local=added), part.cells)


def histogram(
    planes: NDArray[Any], valid: NDArray[np.bool_], edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Count values between evenly spaced edges (B, n): (B, n + 1), the outer bins are open."""
    found = np.empty((len(planes), edges.shape[1] + 1))
    for counts, plane, edge in zip(found, planes, edges, strict=True):
        places = (plane[valid] - edge[0]) * ((edge.size - 1) / (edge[-1] - edge[0]))
        counts[:] = np.bincount(np.clip(places + 1.0, 0, edge.size).astype(np.int64), minlength=edge.size + 1)
    return found
