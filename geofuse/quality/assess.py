"""How good a product is: every metric, out of core, with maps of where it is worse.

Two passes over the same tiles whatever the machine: one on the fine grid, one on the coarse. S are merged in
row-major order, so a product's numbers do not depend on workers; memory does not depend on its size.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from geofuse.metrics.q2n import BLOCK
from geofuse.metrics.reference import ErrorSums, merge, peak_of
from geofuse.metrics.table import installed
from geofuse.quality.assessment.added_metrics import added_metrics
from geofuse.quality.assessment.subject import Subject, comparable, open_subject
from geofuse.quality.assessment.sums import Ask, Cells, CoarseSums, Measured, Part
from geofuse.quality.assessment.tiles import coarse_task, error_task, fine_task
from geofuse.quality.assessment.values import Assessment, put_together
from geofuse.rasters.pixels import read_reduced
from geofuse.run.executors import Executor, Serial
from geofuse.run.plans.tiles import BLOCK_PX, Tile, tiles_of
from geofuse.run.progress import Progress, silent
from geofuse.scenes.scene import Scene

MAP_CELLS = 48
"""Cells of a map along the longer side, at most: as many as one can tell apart."""
BINS = 64
SAMPLE_PX = 512

S = TypeVar("S")
Result = TypeVar("Result")


def assess(
    path: Path,
    scene: Scene,
    *,
    reference: Path | None = None,
    bands: Sequence[str] | None = None,
    nodata: float | None = None,
    runner: Executor | None = None,
    progress: Progress = silent,
) -> Assessment:
    """Measure a product against its scene, and a reference where there is one.

    `path` is a product of geofuse or any raster on the scene's PAN grid. Raises GeorefError where it is on
    another grid, BandError where its bands cannot be told.
    """
    subject = open_subject(path, scene, bands=bands, nodata=nodata, reference=reference)
    return assess_subject(subject, runner or Serial(), progress=progress)


def assess_subject(
    subject: Subject, runner: Executor, *, side_px: int = BLOCK_PX, progress: Progress = silent
) -> Assessment:
    """Run the passes and put the numbers together; `side_px`, a divisor of 512 no map's cell exceeds, changes none."""
    cell = cell_px(subject.shape)
    tiles = tiles_of(*subject.shape, side_px)
    ask = Ask(
        subject,
        edges=_edges(subject),
        cell=cell,
        coarse_cell=max(1, 2 ** round(math.log2(cell / subject.ratio))),
        window=comparable(subject),
    )
    error: ErrorSums | None = None
    if subject.reference:
        found = runner.map(error_task, subject, tiles)
        error = functools.reduce(merge, _counted(found, tiles, "read reference", progress))
        ask = replace(ask, peak=peak_of(error))
    parts = _counted(runner.map(fine_task, ask, tiles), tiles, "full resolution", progress)
    fine, cells = _gathered(parts, tiles, cell=cell, shape=subject.shape)
    coarse, coarse_cells = _consistency(ask, runner, side_px, progress)
    added = added_metrics(ask, runner, installed())
    return put_together(ask, Measured(fine, cells, coarse, coarse_cells, error, added))


def _consistency(
    ask: Ask, runner: Executor, side_px: int, progress: Progress
) -> tuple[CoarseSums | None, Cells]:
    """Run the pass on the coarse grid; nothing where no coarse pixel's filter lies on the product."""
    shape = ask.window[1] - ask.window[0], ask.window[3] - ask.window[2]
    if min(shape) <= 0:
        return None, {}
    step = max(BLOCK, ask.coarse_cell, int(side_px / ask.subject.ratio) // BLOCK * BLOCK)
    blocks = tiles_of(*shape, step)
    parts = _counted(runner.map(coarse_task, ask, blocks), blocks, "consistency", progress)
    return _gathered(parts, blocks, cell=ask.coarse_cell, shape=shape)


def cell_px(shape: tuple[int, int]) -> int:
    """Return the side of a map's cell: 32 pixels times a power of two, 512 at most.

    >>> [cell_px((side, 100)) for side in (256, 1536, 4096, 200_000)]
    [32, 32, 128, 512]
    """
    needed = max(shape) / (MAP_CELLS * BLOCK)
    return BLOCK << min(4, max(0, math.ceil(math.log2(needed))))


def _counted(
    results: Iterable[Result], tiles: Sequence[Tile], stage: str, progress: Progress
) -> Iterable[Result]:
    areas = [(tile.core[1] - tile.core[0]) * (tile.core[3] - tile.core[2]) for tile in tiles]
    done, total = 0, sum(areas)
    progress(stage, 0, total, 0)
    for area, result in zip(areas, results, strict=True):
        done += area
        progress(stage, done, total, 0)
        yield result


def _gathered(
    parts: Iterable[Part[S]], tiles: Sequence[Tile], *, cell: int, shape: tuple[int, int]
) -> tuple[S, Cells]:
    """Add the parts' sums up, in the tiles' order, and lay their cells side by side."""
    found: list[S] = []
    maps: Cells = {}
    size = (-(-shape[0] // cell), -(-shape[1] // cell))
    for tile, part in zip(tiles, parts, strict=True):
        found = [merge(found[0], part.sums)] if found else [part.sums]
        top, left = tile.core[0] // cell, tile.core[2] // cell
        for name, planes in part.cells.items():
            depth = planes[0].shape[0]
            into = maps.setdefault(name, (np.zeros((depth, *size)), np.zeros(size, np.int64)))
            for whole, plane in zip(into, planes, strict=True):
                rows, cols = plane.shape[-2:]
                whole[..., top : top + rows, left : left + cols] = plane
    return found[0], maps


def _edges(subject: Subject) -> NDArray[np.float64]:
    """Return the edges of each band's histogram (B, 63): what a look at the reduced product spans, with margins."""
    image = subject.fused.image
    pixels, valid = read_reduced(image.bands[0].path, SAMPLE_PX)
    scale = subject.fused.scale
    edges = np.empty((len(pixels), BINS - 1))
    for band, plane in enumerate(pixels):
        seen = plane[valid].astype(np.float64)
        low, high = np.percentile(seen, [0.2, 99.8]) if seen.size else (0.0, 1.0)
        margin = 0.08 * (high - low) or 1.0
        span = np.linspace(low - margin, high + margin, BINS - 1)
        edges[band] = (span - scale.pedestal[band]) * scale.gain[band]
    return edges
