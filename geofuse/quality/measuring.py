"""Calling a metric by its row: what its function is given, whole or block by block."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.errors import GeofuseError, PluginError
from geofuse.metrics.metric import COARSE, FINE, Metric
from geofuse.metrics.q2n import MeanSums, mean, merge
from geofuse.metrics.table import measured_by

BLOCK_PX, BLOCK_CPX = 512, 256
"""Sides of the blocks, fine and coarse, over which a metric without sums of its own is averaged."""


@dataclass(frozen=True, slots=True)
class Views:
    """Images of one grid that metrics are measured on."""

    images: Mapping[str, NDArray[Any]]
    """By the names that a metric's row may need: (B, H, W) each, PAN's (1, H, W)."""
    valid: NDArray[np.bool_]
    """Where all of them hold (H, W)."""
    ratio: float
    """Fine pixels per coarse pixel."""


def images_needed(metrics: Iterable[Metric]) -> frozenset[str]:
    """Return the names of the images that some metrics are measured on."""
    return frozenset(name for metric in metrics for name in metric.needs) & (FINE | COARSE)


def measured(metric: Metric, views: Views) -> float:
    """Measure a metric on images; NaN where nothing can be measured.

    One without sums of its own is measured on blocks from the images' first pixel on, and is their mean by valid
    pixels: so a product too large for memory has the same value. Raises PluginError where its function does not work.
    """
    if metric.tiled:
        return _value(metric, views)
    total = MeanSums(np.zeros(1), 0)
    side = BLOCK_CPX if metric.of_coarse else BLOCK_PX
    height, width = views.valid.shape
    for row in range(0, height, side):
        for col in range(0, width, side):
            total = merge(total, block_sum(metric, _cut(views, row, col, side)))
    return mean(total)


def block_sum(metric: Metric, views: Views) -> MeanSums:
    """Measure a metric on one block: its value times the valid pixels, and these; nothing where it is NaN."""
    count = int(views.valid.sum())
    value = _value(metric, views) if count else math.nan
    if math.isnan(value):
        return MeanSums(np.zeros(1), 0)
    return MeanSums(np.array([value * count]), count)


def derived(metric: Metric, found: Mapping[str, float]) -> float:
    """Return a metric that is made of others' values; NaN where one of them is."""
    values = {name: found.get(name, math.nan) for name in metric.needs}
    if any(math.isnan(value) for value in values.values()):
        return math.nan
    return _called(metric, values)


def is_derived(metric: Metric) -> bool:
    """Say whether a metric is made of others' values alone."""
    return not metric.of_product and images_needed([metric]) == frozenset()


def _value(metric: Metric, views: Views) -> float:
    given: dict[str, object] = {name: views.images[name] for name in metric.needs if name in views.images}
    if "ratio" in metric.needs:
        given["ratio"] = views.ratio
    return _called(metric, {**given, "valid": views.valid})


def _called(metric: Metric, given: Mapping[str, object]) -> float:
    function = measured_by(metric)
    try:
        value = function(**given)
        return math.nan if value is None else float(value)
    except GeofuseError:
        raise
    except Exception as fault:  # whatever a package's function raises
        raise PluginError(
            f"metric {metric.key!r} of {metric.package} {metric.version}: {type(fault).__name__}: {fault}",
            wanted=f"a number of {', '.join(given)}",
        ) from fault


def _cut(views: Views, row: int, col: int, side: int) -> Views:
    place = slice(row, row + side), slice(col, col + side)
    images = {name: image[:, *place] for name, image in views.images.items()}
    return Views(images, views.valid[place], views.ratio)
