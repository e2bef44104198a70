"""Seams: whether a product steps more across the borders of its tiles than beside them.

A step is the difference between two neighbouring pixels across a line. Two kinds are judged: the mean absolute
step of single pixels, which an edge artefact raises, and the absolute step of a segment's mean, which tiles of
different level or gain raise long before single pixels show it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from geofuse.errors import UsageError
from geofuse.geometry import Floats, Mask
from geofuse.metrics.q2n import Planes

SEAM_HALO_PX = 5
"""Pixels to either side of a line that are looked at."""
SEGMENT_PX = 32
BESIDE = (0, 1, 2, 6, 7, 8)
"""Of the nine steps across the ten pixels, those to compare with; the line's neighbours may share its fault."""
LINE = 4
LEAST_SEGMENTS = 8
FOUND_Z = 5.0
FOUND_SCORE = 0.02


@dataclass(frozen=True, slots=True)
class SeamSums:
    """Steps across lines, summed over segments; row 0 of single pixels, row 1 of segment means."""

    segments: int
    """Segments of 32 pixels, wholly valid."""
    excess: Floats
    """Sum of the line's step less that beside it (2, B)."""
    squared: Floats
    """Sum of the squares of that (2, B)."""
    beside: Floats
    """Sum of the step beside the line (2, B)."""


def seam_sums(strip: Planes, valid: Mask, *, axis: int = 1) -> SeamSums:
    """Sum the steps across one line: strip (B, n, 10) with the line in its middle, or (B, 10, n) for axis 0.

    `axis` is that of the plane which the line cuts. Segments count from the strip's first pixel; those that
    hold an invalid pixel are left out, and so is the rest.
    """
    if axis == 0:
        strip, valid = strip.transpose(0, 2, 1), valid.T
    bands, length, width = strip.shape
    if width != 2 * SEAM_HALO_PX:
        raise UsageError(f"a strip of {width} pixels", wanted=f"{2 * SEAM_HALO_PX}, the line in the middle")
    count = length // SEGMENT_PX
    whole = valid[: count * SEGMENT_PX].reshape(count, SEGMENT_PX * width).all(axis=1)
    pixels = strip[:, : count * SEGMENT_PX].reshape(bands, count, SEGMENT_PX, width)[:, whole]
    steps = np.diff(pixels.astype(np.float64), axis=3)  # (B, n, 32, 9)
    kinds = np.stack([np.abs(steps).mean(axis=2), np.abs(steps.mean(axis=2))])  # (2, B, n, 9)
    beside = kinds[..., BESIDE].mean(axis=3)
    excess = kinds[..., LINE] - beside
    return SeamSums(int(whole.sum()), excess.sum(axis=2), (excess**2).sum(axis=2), beside.sum(axis=2))


def no_seams(bands: int) -> SeamSums:
    """Return the sums of no line at all."""
    return SeamSums(0, np.zeros((2, bands)), np.zeros((2, bands)), np.zeros((2, bands)))


class SeamValue(TypedDict):
    """Whether lines of one spacing show."""

    score: float | None
    z: float | None
    level_score: float | None
    level_z: float | None
    found: bool
    segments: int


def seam_value(sums: SeamSums) -> SeamValue:
    """Turn sums into the seam score: excess of the line's step over that beside it, relative to the latter, best 0.

    ``z`` is the excess over its standard error: under 3 it is chance. Both are of the band where they are most
    significant; NaN with fewer than eight segments. ``found`` is true where either kind stands out.
    """
    if sums.segments < LEAST_SEGMENTS:
        nan = math.nan
        return SeamValue(score=nan, z=nan, level_score=nan, level_z=nan, found=False, segments=sums.segments)
    n = sums.segments
    centre = sums.excess / n
    error = np.sqrt(np.maximum(sums.squared / n - centre**2, 0.0) / (n - 1))
    z = np.divide(centre, error, out=np.where(centre > 0.0, np.inf, 0.0), where=error > 0.0)
    score = np.divide(
        sums.excess, sums.beside, out=np.where(centre > 0.0, np.inf, 0.0), where=sums.beside > 0.0
    )
    worst = z.argmax(axis=1)
    step, level = ((float(score[kind, band]), float(z[kind, band])) for kind, band in enumerate(worst))
    return {
        "score": step[0],
        "z": step[1],
        "level_score": level[0],
        "level_z": level[1],
        "found": any(value > FOUND_SCORE and sure > FOUND_Z for value, sure in (step, level)),
        "segments": n,
    }
