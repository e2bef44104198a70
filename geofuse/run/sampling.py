"""The fixed sample of a scene that calibration, hold-out and sampled fits look at: which windows, and what in them.

The windows depend on the output's grid and on its pixels alone, never on tiles.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import Window
from geofuse.methods.base import Patch
from geofuse.methods.registration import highpass
from geofuse.rasters.image import Image
from geofuse.rasters.pixels import read_window
from geofuse.run.patch_reading import coarse_span, pedestal_of, read_patch
from geofuse.run.plans.plan import Plan
from geofuse.scenes.quality import flags_of

SAMPLE_CPX, SAMPLE_WINDOWS, SAMPLE_HALO_CPX = 96, 16, 20
"""Side and number of calibration's windows, and what is read around them."""
CLOUD_MARGIN_CPX = 6
"""Around clouds and shadows: their parallax and their rims."""
BRIGHT_SPREADS = 10.0
"""Without a quality band: brighter than the median by so many interquartile half-widths counts as cloud."""
HIDING_FLAGS = 2 | 4 | 8 | 16 | 32
"""Saturated, cloud, shadow, snow, cirrus."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the coarse image shows in a candidate window."""

    core: Window
    """row0, row1, col0, col1 in output pixels."""
    usable: NDArray[np.bool_]
    """Over the coarse pixels under the core (h, w)."""
    score: float
    """How much there is to register by."""


def sample_cores(plan: Plan) -> tuple[Window, ...]:
    """Choose one window or more: all of a small output, else the most informative of four in each of 16 parts."""
    side_y, side_x = (max(1, round(SAMPLE_CPX / axis.scale)) for axis in (plan.pair.axis_y, plan.pair.axis_x))
    height, width = plan.grid.height, plan.grid.width
    rows, cols = max(1, round(height / side_y)), max(1, round(width / side_x))
    if rows * cols <= SAMPLE_WINDOWS:
        return tuple(_cells((0, height, 0, width), rows, cols))
    cols = min(max(1, round((SAMPLE_WINDOWS * width / height) ** 0.5)), SAMPLE_WINDOWS)
    rows = SAMPLE_WINDOWS // cols
    chosen = []
    for stratum in _cells((0, height, 0, width), rows, cols):
        looks = [look_at(plan, core) for core in _candidates(stratum, side_y, side_x)]
        best = max(looks, key=lambda look: look.score)
        if best.score > 0.0:
            chosen.append(best.core)
    return tuple(chosen) or (best.core,)  # nothing to see anywhere: one window is enough to say so


def _cells(area: Window, rows: int, cols: int) -> list[Window]:
    row_edges = np.linspace(area[0], area[1], rows + 1).astype(int).tolist()
    col_edges = np.linspace(area[2], area[3], cols + 1).astype(int).tolist()
    return [
        (row_edges[r], row_edges[r + 1], col_edges[c], col_edges[c + 1])
        for r in range(rows)
        for c in range(cols)
    ]


def _candidates(stratum: Window, side_y: int, side_x: int) -> list[Window]:
    """Return up to four windows, one in the middle of each quarter; one where they would overlap."""
    quarters = _cells(stratum, 2, 2) if stratum[1] - stratum[0] >= 2 * side_y else [stratum]
    out: dict[Window, None] = {}
    for row0, row1, col0, col1 in quarters:
        top = row0 + max(0, (row1 - row0 - side_y) // 2)
        left = col0 + max(0, (col1 - col0 - side_x) // 2)
        out[top, min(top + side_y, row1), left, min(left + side_x, col1)] = None
    return list(out)


def look_at(plan: Plan, core: Window) -> Candidate:
    """Look at the coarse image under a core: what is usable, and how much structure it has."""
    from scipy import ndimage  # a quarter of a second to load: only where a sample is looked at

    rows, cols = _under(plan, core)
    values, valid = read_window(plan.pair.target, plan.pair.bands, (*rows, *cols))
    usable = usable_coarse(plan, values, valid, (*rows, *cols))
    inner = ndimage.minimum_filter(usable, 3)[1:-1, 1:-1]
    if not inner.any():
        return Candidate(core, usable, 0.0)
    detail = np.abs(highpass(values.astype(np.float64))[:, inner]).mean(axis=1)
    level = np.abs(values[:, usable].astype(np.float64)).mean(axis=1) + 1e-9
    return Candidate(core, usable, float(inner.sum() * np.median(detail / level)))


def _under(plan: Plan, core: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    return coarse_span(plan.pair.axis_y, core[0], core[1], 0), coarse_span(
        plan.pair.axis_x, core[2], core[3], 0
    )


def usable_coarse(
    plan: Plan, values: NDArray[Any], valid: NDArray[np.bool_], window: Window
) -> NDArray[np.bool_]:
    """Return where the coarse pixels (B, h, w) of a window are clear: no cloud, shadow, snow, saturation."""
    from scipy import ndimage

    usable = valid.copy()
    for plane, index in zip(values, plan.pair.bands, strict=True):
        limit = plan.pair.target.bands[index].saturation
        if limit is not None:
            usable &= plane < limit
    quality = plan.scene.find("quality")
    hidden = _bright(values, usable) if quality is None else _flagged(quality, window)
    if hidden.any():
        usable &= ~ndimage.maximum_filter(hidden, 2 * CLOUD_MARGIN_CPX + 1)
    return usable


def _flagged(quality: Image, window: Window) -> NDArray[np.bool_]:
    """Where the quality band names a reason to look elsewhere; beyond the image: nowhere."""
    row0, row1, col0, col1 = window
    top, bottom = max(row0, 0), min(row1, quality.grid.height)
    left, right = max(col0, 0), min(col1, quality.grid.width)
    out = np.zeros((row1 - row0, col1 - col0), np.bool_)
    if top < bottom and left < right:
        flags = flags_of(quality, (top, bottom, left, right))
        out[top - row0 : bottom - row0, left - col0 : right - col0] = flags & HIDING_FLAGS != 0
    return out


def _bright(values: NDArray[Any], usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where a window is far brighter than most of it, in the mean of its bands: cloud, snow, glint."""
    if not usable.any():
        return ~usable & False
    bright = values.mean(axis=0, dtype=np.float64)
    low, middle, high = np.quantile(bright[usable], [0.25, 0.5, 0.75])
    return np.asarray(usable & (bright > middle + BRIGHT_SPREADS * max(0.5 * (high - low), 1e-9)))


def of_one_guide(patch: Patch) -> Patch:
    """Return a patch whose guide is the mean of its guides' bands: what a pair is registered by."""
    if len(patch.guides) == 1:
        return patch
    return replace(patch, guides=patch.guides.mean(axis=0, keepdims=True))


def with_bands(patch: Patch, places: list[int]) -> Patch:
    """Return a patch with these bands of its target."""
    return replace(patch, targets=(replace(patch.target, values=patch.target.values[places]),))


def read_sample(plan: Plan, core: Window, reach: tuple[int, int]) -> tuple[Patch, NDArray[np.bool_]]:
    """Read a window's patch with a halo, and where its coarse pixels may be used for measuring."""
    pedestal = np.array([pedestal_of(plan.pair.target.bands[index]) for index in plan.pair.bands])
    patch = read_patch(replace(plan, reach=reach), core, pedestal)
    height, width = patch.target.valid.shape
    top, left = patch.target.origin
    raw = patch.target.values + pedestal[:, None, None]
    return patch, usable_coarse(plan, raw, patch.target.valid, (top, top + height, left, left + width))
