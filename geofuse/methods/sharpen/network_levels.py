"""What networks are scaled by: levels of the whole scene, made by the same operators as every other method.

No statistic of a tile enters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from geofuse.errors import MethodError
from geofuse.geometry import AxisMap, Window
from geofuse.methods.base import Options, Patch
from geofuse.methods.observation import Observation, axes_at, bands_by, degrade
from geofuse.methods.sharpen.closed_form import coarse_core, owned_window
from geofuse.methods.sharpen.one_scale_down import HALF, back_reach_cpx, consistent_target
from geofuse.methods.sums import Moments, MomentSums
from geofuse.nets.choice import NetworkChoice

HEADROOM = 1.1
"""Half ranges of Pan-GAN's scaling, in those the MS has: room for what is brighter than any MS pixel."""


class Levels(TypedDict):
    """Levels of a scene; one number a band where a list."""

    mean: list[float]
    """Of the bands."""
    std: list[float]
    """Their standard deviations."""
    back: list[float]
    """Root mean square of what one back-projection would add to plain upsampling."""
    low: list[float]
    """Least values."""
    high: list[float]
    """Largest values."""
    pan_mean: float
    """Of PAN as the MS sees it."""
    pan_std: float
    """Its standard deviation."""
    pan_back: float
    """Root mean square of what one back-projection would add to it."""
    pan_low: float
    """Its least value."""
    pan_high: float
    """Its largest value."""


def network_of(options: Options, name: str) -> NetworkChoice:
    """Return what was planned for a network; MethodError where nothing was."""
    if options.network is None:
        raise MethodError(f"{name} without a network", wanted="weights", do="name them with --network")
    return options.network


def levels_of(patch: Patch, observation: Observation) -> Moments:
    """Collect moments of (M, p = D(P), M - D(U(M)), p - D(U(p))) over the core's coarse pixels."""
    window = owned_window(patch)
    planes, pan, known = coarse_core(patch, observation)
    missed, seen = missed_bands(patch, observation, window)
    known = known & seen
    gain, axes = (
        observation.joint_gain,
        axes_at((patch.target.axis_y, patch.target.axis_x), observation.shift_px, observation.field),
    )
    reach = [back_reach_cpx(gain, 1.0 / axis.scale) for axis in (patch.target.axis_y, patch.target.axis_x)]
    wide = window[0] - reach[0], window[1] + reach[0], window[2] - reach[1], window[3] + reach[1]
    low, low_known = degrade(
        patch.guides, patch.guides_valid, patch.guides_origin, axes, wide, gain=gain, minimum=HALF
    )
    pan_missed, seen = consistent_target(low, low_known, (wide[0], wide[2]), axes[:2], window, gain=gain)
    sums = MomentSums(2 * len(planes) + 2, extremes=True)
    sums.add(np.concatenate([planes, pan, missed, pan_missed]), known & seen)
    return sums.done()


def levels_from(found: Moments) -> Levels:
    """Return levels as JSON: means, spreads, ranges, and the rms of what one back-projection would add."""
    bands = (len(found.mean) - 2) // 2
    std = np.sqrt(np.diag(found.scatter) / max(found.count, 1))
    back = np.sqrt(np.maximum(np.diag(found.raw), 0.0) / max(found.count, 1))[bands + 1 :]
    return {
        "mean": found.mean[:bands].tolist(),
        "std": _positive(std[:bands]),
        "back": _positive(back[:bands]),
        "low": found.low[:bands].tolist(),
        "high": found.high[:bands].tolist(),
        "pan_mean": float(found.mean[bands]),
        "pan_std": _positive(std[bands : bands + 1])[0],
        "pan_back": _positive(back[bands:])[0],
        "pan_low": float(found.low[bands]),
        "pan_high": float(found.high[bands]),
    }


def _positive(values: NDArray[np.float64]) -> list[float]:
    """Return spreads to divide by: 1 for what does not vary."""
    return [value if value > 1e-9 else 1.0 for value in values.tolist()]


def range_of(levels: Levels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the middle and the half range of the bands and PAN (B + 1,)."""
    low = np.array([*levels["low"], levels["pan_low"]])
    high = np.array([*levels["high"], levels["pan_high"]])
    return 0.5 * (low + high), np.maximum(0.5 * HEADROOM * (high - low), 1e-6)


def blocks_from(axis: AxisMap, shift_px: float, ratio: int) -> int:
    """Return the first fine pixel of the block of ``ratio`` whose middle is nearest to coarse pixel 0's centre.

    Of two as near, the one further up or left.
    """
    centre = -axis.offset / axis.scale - shift_px
    return math.ceil(centre - 0.5 * (ratio - 1) - 0.5 - 1e-6)


def missed_bands(
    patch: Patch, observation: Observation, window: Window
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return M - D(U(M)) (B, h, w), and where it is known."""
    out = np.empty(
        (len(patch.target.values), window[1] - window[0], window[3] - window[2]), patch.target.values.dtype
    )
    both = np.ones(out.shape[1:], np.bool_)
    keys = list(zip(observation.mtf_gain, observation.shifts_px, strict=True))
    for (gain, shift), members in bands_by(keys):
        axes = axes_at((patch.target.axis_y, patch.target.axis_x), shift)[:2]
        out[members], known = consistent_target(
            patch.target.values[members], patch.target.valid, patch.target.origin, axes, window, gain=gain
        )
        both &= known
    return out, both


def grown(window: Sequence[int], margin: int) -> Window:
    """Return a window with a margin around it."""
    return window[0] - margin, window[1] + margin, window[2] - margin, window[3] + margin
