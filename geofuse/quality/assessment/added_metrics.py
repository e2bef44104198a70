"""The pass of an assessment over metrics that have no sums of their own: block by block, those of packages."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.errors import PluginError
from geofuse.geometry import Window
from geofuse.metrics.metric import Metric
from geofuse.metrics.q2n import MeanSums, mean, merge
from geofuse.metrics.table import Installed, find
from geofuse.quality.assessment.subject import Subject, degraded, read_coarse, read_placed, read_region
from geofuse.quality.assessment.sums import Added, Ask
from geofuse.quality.assessment.tiles import low_passed, pan_low_of
from geofuse.quality.measuring import (
    BLOCK_CPX,
    BLOCK_PX,
    Views,
    block_sum,
    derived,
    images_needed,
    is_derived,
)
from geofuse.run.executors import Executor
from geofuse.run.plans.tiles import Tile, tiles_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AskAdded:
    """What the tasks of this pass are told."""

    ask: Ask
    """As the other passes."""
    keys: tuple[str, ...]
    """Which metrics, of one grid."""


FoundSums = dict[str, MeanSums | str]
"""Per metric its sum over a block, or why it could not be measured."""


def added_metrics(ask: Ask, runner: Executor, known: Installed) -> Added:
    """Measure the metrics that `assess` has no sums for, block by block."""
    wanted = [
        metric
        for metric in known.of_images
        if not (metric.tiled or is_derived(metric) or (metric.referenced and ask.subject.reference is None))
    ]
    fine = [metric for metric in wanted if not metric.of_coarse]
    coarse = [metric for metric in wanted if metric.of_coarse]
    top, bottom, left, right = ask.window
    found = _pass(runner, _fine_block, ask, fine, tiles_of(*ask.subject.shape, BLOCK_PX))
    if min(bottom - top, right - left) > 0:
        found |= _pass(runner, _coarse_block, ask, coarse, tiles_of(bottom - top, right - left, BLOCK_CPX))
    sums = {key: value for key, value in found.items() if isinstance(value, MeanSums)}
    faults = [value for value in found.values() if isinstance(value, str)]
    return Added({key: mean(value) for key, value in sums.items()}, (*known.faults, *faults))


def with_derived(known: Installed, values: dict[str, float]) -> dict[str, float]:
    """Return values with the metrics that are made of others and are not among them yet."""
    out = dict(values)
    for metric in known.of_images:
        if is_derived(metric) and metric.key not in out:
            out[metric.key] = derived(metric, out)
    return out


def _pass(
    runner: Executor, task: Any, ask: Ask, metrics: Sequence[Metric], blocks: Sequence[Tile]
) -> FoundSums:
    if not metrics:
        return {}
    told = AskAdded(ask, tuple(metric.key for metric in metrics))
    return functools.reduce(_joined, runner.map(task, told, blocks))


def _joined(first: FoundSums, second: FoundSums) -> FoundSums:
    out = dict(first)
    for key, value in second.items():
        before = out[key]
        out[key] = (
            merge(before, value) if isinstance(before, MeanSums) and isinstance(value, MeanSums) else before
        )
        if isinstance(value, str):
            out[key] = value
    return out


def _fine_block(told: AskAdded, block: Tile) -> FoundSums:
    metrics = [find(key) for key in told.keys]
    return _sums(metrics, _fine_views(told.ask.subject, block.core, images_needed(metrics)))


def _coarse_block(told: AskAdded, block: Tile) -> FoundSums:
    metrics, subject = [find(key) for key in told.keys], told.ask.subject
    top, left = told.ask.window[0], told.ask.window[2]
    row0, row1, col0, col1 = block.core
    window = (row0 + top, row1 + top, col0 + left, col1 + left)
    coarse, known = read_coarse(subject, window)
    seen, valid = degraded(subject, window)
    return _sums(metrics, Views({"coarse": coarse, "degraded": seen}, valid & known, subject.ratio))


def _fine_views(subject: Subject, core: Window, needed: frozenset[str]) -> Views:
    """Read what is needed of a block of the fine grid."""
    region = read_region(subject, core)
    inner = (slice(None), *region.core)
    valid = region.valid[region.core]
    images: dict[str, NDArray[Any]] = {
        "fused": region.fused[inner],
        "upsampled": region.upsampled[inner],
        "pan": region.pan[:, *region.pan_part][inner],
    }
    if "pan_low" in needed:
        images["pan_low"] = pan_low_of(subject, region)[inner]
    if "fused_low" in needed:
        low, low_valid = low_passed(subject, region)
        images["fused_low"], valid = low[inner], valid & low_valid[region.core]
    if "reference" in needed and subject.reference is not None:
        images["reference"], known = read_placed(subject.reference, core)
        valid = valid & known
    return Views(images, np.ascontiguousarray(valid), subject.ratio)


def _sums(metrics: Sequence[Metric], views: Views) -> FoundSums:
    found: FoundSums = {}
    for metric in metrics:
        try:
            found[metric.key] = block_sum(metric, views)
        except PluginError as fault:
            found[metric.key] = str(fault)
    return found
