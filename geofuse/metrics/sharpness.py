"""How sharp a product is: gradient energy and the spread of edges against plain upsampling, details against PAN's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geofuse.geometry import Floats, Mask
from geofuse.metrics.q2n import Planes

EDGE_ROWS = 4
"""Edges are looked at on every fourth line: their spread is a mean over very many."""


@dataclass(frozen=True, slots=True)
class SharpnessSums:
    """What the sharpness of a tile needs; planes are the B fused bands, the B upsampled ones, and PAN."""

    count: int
    """Pixels with a gradient."""
    energy: Floats
    """Sum of squared gradients of the fused and the upsampled bands (2, B)."""
    contrast: Floats
    """Weighted sum of the contrast of the edges, per plane (2 B + 1,)."""
    steepest: Floats
    """Weighted sum of the steepest step in the edges, per plane (2 B + 1,)."""
    products: Floats
    """Sum of the fused detail times PAN's, of its square, of PAN's square (3, B)."""


def edge_reach_px(ratio: float) -> int:
    """Return the half width of the window an edge is looked at in: as far as the upsampling smears it.

    >>> [edge_reach_px(r) for r in (2, 4, 8)]
    [3, 5, 9]
    """
    return math.ceil(ratio) + 1


def sharpness_sums(
    images: tuple[Planes, Planes, Planes],
    lows: tuple[Planes, Planes],
    *,
    valid: Mask,
    ratio: float,
    core: tuple[slice, slice],
) -> SharpnessSums:
    """Sum over `core` what `sharpness_value` needs.

    images: fused (B, H, W), upsampled (B, H, W), PAN (1, H, W); lows: fused and PAN, low-passed to the coarse
    scale. A tile needs a halo of ``edge_reach_px(ratio) + 1`` pixels that ends at the image's border.
    """
    fused, upsampled, pan = images
    rows, cols = core
    count, energy = _energy(fused, upsampled, valid, core)
    planes = [*fused, *upsampled, pan[0]]
    reach = edge_reach_px(ratio)
    edges = np.zeros((2, len(planes)))
    for turned in (False, True):
        ok = valid.T if turned else valid
        lines, spans = (cols, rows) if turned else (rows, cols)
        views = [plane.T if turned else plane for plane in planes]
        edges += _edges(views, ok, reach=reach, lines=lines, spans=spans)
    inside = valid[core]
    details = [
        (image[:, rows, cols] - low[:, rows, cols])[:, inside].astype(np.float64)
        for image, low in ((fused, lows[0]), (pan, lows[1]))
    ]
    own, guide = details
    products = np.stack([own @ guide[0], (own * own).sum(axis=1), np.full(len(own), guide[0] @ guide[0])])
    return SharpnessSums(count, energy, edges[0], edges[1], products)


def _energy(fused: Planes, upsampled: Planes, valid: Mask, core: tuple[slice, slice]) -> tuple[int, Floats]:
    """Count pixels that have a neighbour below and to the right, and sum their squared gradients."""
    seen = np.zeros_like(valid)
    seen[:-1, :-1] = valid[:-1, :-1] & valid[1:, :-1] & valid[:-1, 1:]
    counted = np.zeros_like(valid)
    counted[core] = seen[core]
    counted = counted[:-1, :-1]
    energy = np.zeros((2, len(fused)))
    for at, image in enumerate((fused, upsampled)):
        for band, plane in enumerate(image):
            here = plane[:-1, :-1]
            squares = (plane[1:, :-1] - here) ** 2 + (plane[:-1, 1:] - here) ** 2
            energy[at, band] = squares[counted].sum(dtype=np.float64)
    return int(counted.sum()), energy


def _edges(
    planes: list[NDArray[Any]], valid: Mask, *, reach: int, lines: slice, spans: slice
) -> NDArray[np.float64]:
    """Contrast and steepest step of every plane, weighted, at PAN's edges along the rows: (2, K).

    An edge is where PAN's step is the largest within reach; its weight is the square of PAN's contrast, so that
    noise and texture, whose steps cancel, hardly count. The width of an edge is contrast over steepest step.
    """
    height, width = valid.shape
    first, stop, _ = spans.indices(width)
    first, stop = max(first, reach), min(stop, width - 1 - reach)
    top, bottom, _ = lines.indices(height)
    out = np.zeros((2, len(planes)))
    if stop <= first:
        return out
    chosen = slice(top, bottom, EDGE_ROWS)
    step = np.abs(np.diff(planes[-1][chosen], axis=1))
    peak = step == ndimage.maximum_filter1d(step, 2 * reach + 1, axis=1, mode="nearest")
    clear = ndimage.minimum_filter1d(valid[chosen], 2 * reach + 2, axis=1, origin=-1, mode="constant")
    peak &= (step > 0.0) & clear[:, :-1]
    at_row, at_col = np.nonzero(peak[:, first:stop])
    if not at_row.size:
        return out
    places = (at_row * EDGE_ROWS + top)[:, None], (at_col + first)[:, None] + np.arange(-reach, reach + 2)
    pan = planes[-1][places].astype(np.float64)
    weight = (pan[:, -1] - pan[:, 0]) ** 2
    for at, plane in enumerate(planes):
        profile = plane[places].astype(np.float64)  # (n, 2 reach + 2)
        out[0, at] = weight @ np.abs(profile[:, -1] - profile[:, 0])
        out[1, at] = weight @ np.abs(np.diff(profile, axis=1)).max(axis=1)
    return out


class SharpnessValue(TypedDict):
    """How sharp each band is, and how wide PAN's own edges are."""

    energy_gain: list[float]
    edge_width_px: list[float]
    edge_width_upsampled_px: list[float]
    edge_width_pan_px: float
    detail_correlation: list[float]


def sharpness_value(sums: SharpnessSums) -> SharpnessValue:
    """Turn sums into numbers, per band unless said; NaN where there is no edge.

    ``energy_gain``: squared gradients over those of the upsampled image, 1 = nothing gained. ``edge_width_px`` and
    ``edge_width_upsampled_px``: contrast of PAN's edges over their steepest step, 1 is a perfect step;
    ``edge_width_pan_px`` is PAN's own, a single number. ``detail_correlation``: of what a low-pass at the
    coarse scale takes away from the band, with the same of PAN.
    """
    bands = sums.energy.shape[1]
    width = _over(sums.contrast, sums.steepest)
    size = np.sqrt(sums.products[1] * sums.products[2])
    return {
        "energy_gain": _over(sums.energy[0], sums.energy[1]).tolist(),
        "edge_width_px": width[:bands].tolist(),
        "edge_width_upsampled_px": width[bands : 2 * bands].tolist(),
        "edge_width_pan_px": float(width[-1]),
        "detail_correlation": _over(sums.products[0], size).tolist(),
    }


def _over(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0.0)
