"""Wide scenes: does the shift drift over the scene, and how? A smooth surface through the windows' own shifts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from geofuse.geometry import Floats
from geofuse.methods.observation import ShiftField
from geofuse.methods.registration import MatchSample, Shift, dots, gram_of, pan_detail, r2_of, vertex

LEAST_WINDOWS = 8
STEPS_PX = (0.5, 0.75)
"""Steps of the first look at every window's own shift, and of the second, wider one."""
FEWEST_WINDOWS = 4
"""Windows without which nothing is said of their agreement."""
STILL_PX = 0.05
"""Windows that stray no more than this, in the median, show no drift."""
AT_ODDS_PX = 0.1
"""A surface that misses the windows by more, in the median, explains nothing."""
BETTER = 0.7
"""What a surface's squared error on windows left out may be at most, of the constant's."""
OUTLIER = 4.0
"""Median deviations at which a window no longer counts."""
MOST_NODES = 9


def drift(
    sample: MatchSample, shift: Shift, gain: float, *, origin: tuple[int, int], size: tuple[int, int]
) -> tuple[ShiftField | None, float]:
    """Return how far the shift departs from `shift` over the scene, and how far windows disagree even so, in pixels.

    None where a constant does as well. Planes and parabolic surfaces are fitted to the windows' own shifts,
    outliers weighed down, and judged on windows left out; one that leaves the windows at odds is none (clouds,
    which every band sees elsewhere, move windows without a law). `origin` is the output's first pixel on PAN,
    `size` its height and width: the lattice's nodes lie on multiples of a power of two of PAN's own pixels.
    Source of the robust weights: Beaton and Tukey 1974, Technometrics 16(2).
    """
    if len(sample.windows) < FEWEST_WINDOWS:
        return None, 0.0
    places = np.array([_centre(window.patch.core) for window in sample.windows])
    found = _own_shifts(sample, shift, gain, STEPS_PX[0], 1)
    apart = _disagreement(found, np.median(found, axis=0))
    if apart < STILL_PX or len(found) < LEAST_WINDOWS:
        return None, apart
    found = _own_shifts(sample, shift, gain, STEPS_PX[1], 2)
    apart = _disagreement(found, np.median(found, axis=0))
    errors = {order: _held_out(places, found, order, size) for order in (0, 1, 2)}
    order = min(errors, key=lambda key: errors[key])
    if order == 0 or errors[order] > BETTER * errors[0]:
        return None, apart
    surface = _fitted(places, found, order, size)
    left = _disagreement(found, _terms(places, order, size) @ surface)
    if left > AT_ODDS_PX:
        return None, apart
    return _lattice(surface, order, shift, origin=origin, size=size), left


def _disagreement(found: Floats, model: Floats) -> float:
    """Return what the windows' own shifts (W, 2) miss a model by, in the middle of the list."""
    return float(np.median(np.abs(found - model).max(axis=1)))


def led(sample: MatchSample, field: ShiftField) -> MatchSample:
    """Return the sample with each window led by the field's value at its centre."""
    windows = tuple(
        replace(window, lead_px=field_at(field, *_centre(window.patch.core))) for window in sample.windows
    )
    return replace(sample, windows=windows)


def centred(sample: MatchSample, shift: Shift, field: ShiftField) -> tuple[Shift, ShiftField]:
    """Move the windows' mean departure from the field into the shift."""
    mean_y, mean_x = (float(mean) for mean in np.mean([window.lead_px for window in sample.windows], axis=0))
    mean_y, mean_x = round(mean_y, 4), round(mean_x, 4)
    planes = [
        tuple(tuple(round(value - mean, 4) for value in row) for row in plane)
        for plane, mean in ((field.dy, mean_y), (field.dx, mean_x))
    ]
    return (shift[0] + mean_y, shift[1] + mean_x), replace(field, dy=planes[0], dx=planes[1])


def field_at(field: ShiftField, row: float, col: float) -> Shift:
    """Return the departure at a fine place, bilinear; beyond the lattice that of its border."""
    planes = np.array([field.dy, field.dx])
    y = min(max((row - field.first_px[0]) / field.step_px, 0.0), planes.shape[1] - 1.0)
    x = min(max((col - field.first_px[1]) / field.step_px, 0.0), planes.shape[2] - 1.0)
    top, left = min(int(y), planes.shape[1] - 2), min(int(x), planes.shape[2] - 2)
    t, s = y - top, x - left
    part = planes[:, top : top + 2, left : left + 2]
    dy, dx = (1.0 - t) * ((1.0 - s) * part[:, 0, 0] + s * part[:, 0, 1]) + t * (
        (1.0 - s) * part[:, 1, 0] + s * part[:, 1, 1]
    )
    return float(dy), float(dx)


def _centre(core: Sequence[int]) -> tuple[float, float]:
    return 0.5 * (core[0] + core[1] - 1), 0.5 * (core[2] + core[3] - 1)


def _own_shifts(sample: MatchSample, shift: Shift, gain: float, step: float, reach: int) -> Floats:
    """Return each window's own shift (W, 2), from its R^2 on a grid of shifts around the common one."""
    ends = np.cumsum([window.chosen.size for window in sample.windows])[:-1]
    details = np.split(sample.detail, ends, axis=1)
    grams = [gram_of(detail) for detail in details]
    steps = [step * index for index in range(-reach, reach + 1)]
    heights = np.empty((len(details), len(steps), len(steps)))
    for i, dy in enumerate(steps):
        for j, dx in enumerate(steps):
            parts = np.split(pan_detail(sample, (shift[0] + dy, shift[1] + dx), gain), ends)
            for index, (detail, gram, pan) in enumerate(zip(details, grams, parts, strict=True)):
                heights[index, i, j] = r2_of(detail, gram, pan) if pan.size > 2 * len(detail) else 0.0
    out = np.empty((len(details), 2))
    for index, height in enumerate(heights):
        top, left = np.unravel_index(int(height.argmax()), height.shape)
        i, j = (min(max(int(place), 1), len(steps) - 2) for place in (top, left))
        out[index, 0] = shift[0] + vertex(steps[i - 1 : i + 2], height[i - 1 : i + 2, j])
        out[index, 1] = shift[1] + vertex(steps[j - 1 : j + 2], height[i, j - 1 : j + 2])
    return out


def _terms(places: Floats, order: int, size: tuple[int, int]) -> Floats:
    """Return the surface's terms (W, 1, 3 or 6) at places (W, 2), each axis brought to -1 .. 1."""
    y, x = 2.0 * places[:, 0] / size[0] - 1.0, 2.0 * places[:, 1] / size[1] - 1.0
    terms = [np.ones_like(y), y, x, y * y, y * x, x * x]
    return np.stack(terms[: (1, 3, 6)[order]], axis=1)


def _fitted(places: Floats, found: Floats, order: int, size: tuple[int, int]) -> Floats:
    """Fit a surface (T, 2), windows that miss it by far weighed down to nothing."""
    terms = _terms(places, order, size)
    weight = np.ones(len(terms))
    surface: Floats = np.zeros((terms.shape[1], 2))
    for _ in range(8):
        root = np.sqrt(weight)[:, None]
        surface = np.asarray(np.linalg.lstsq(terms * root, found * root, rcond=1e-8)[0], np.float64)
        miss = np.abs(found - terms @ surface).max(axis=1)
        limit = OUTLIER * 1.4826 * max(float(np.median(miss)), 0.01)
        weight = np.maximum(1.0 - (miss / limit) ** 2, 0.0) ** 2
        if np.count_nonzero(weight) <= terms.shape[1]:
            break
    return surface


def _held_out(places: Floats, found: Floats, order: int, size: tuple[int, int]) -> float:
    """Return a surface's mean squared error on windows left out in turn, the worst quarter aside."""
    terms = _terms(places, order, size)
    if len(terms) < 2 * terms.shape[1]:
        return math.inf
    errors = []
    for index in range(len(terms)):
        others = np.arange(len(terms)) != index
        surface = _fitted(places[others], found[others], order, size)
        errors.append(float(((found[index] - dots(surface.T, terms[index])) ** 2).sum()))
    return float(np.mean(sorted(errors)[: max(1, (3 * len(errors)) // 4)]))


def _lattice(
    surface: Floats, order: int, shift: Shift, *, origin: tuple[int, int], size: tuple[int, int]
) -> ShiftField:
    """Tabulate a surface's departure from a shift on nodes that the scene fixes, not the output's corner."""
    step = 64
    while max(size) / step > MOST_NODES - 2:
        step *= 2
    first = tuple(math.floor(start / step) * step - start for start in origin)
    counts = [math.ceil((size[k] - first[k]) / step) + 1 for k in (0, 1)]
    nodes = [first[k] + step * np.arange(max(counts[k], 2), dtype=np.float64) for k in (0, 1)]
    places = np.stack(np.meshgrid(*nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    values = _terms(places, order, size) @ surface - np.array(shift)
    planes = np.round(values.reshape(len(nodes[0]), len(nodes[1]), 2), 4)
    return ShiftField(
        (first[0], first[1]),
        step,
        tuple(map(tuple, planes[..., 0].tolist())),
        tuple(map(tuple, planes[..., 1].tolist())),
    )
