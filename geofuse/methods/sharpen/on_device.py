"""A network's tile as a whole on a GPU, and what happens where that does not go well.

Where all of a tile's pixels are valid, everything happens there; else only the network does. Memory that is short
halves the batch, then the inner tile, then sends the tile to the CPU; so does a value that is no number. What was
eased is counted and told in the product's record.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import Window
from geofuse.methods.base import Method, Options, Params, Patch
from geofuse.methods.observation import Observation
from geofuse.methods.sharpen.back_projection import After, fuse_patch, round_trip_cpx
from geofuse.methods.sharpen.closed_form import floor_of
from geofuse.methods.sharpen.neural import blocks_from, range_of

if TYPE_CHECKING:
    from geofuse.nets.device import Eased, Pixels, Wanted

BATCH = 16
"""Inner tiles at a time on a GPU."""
LEAST_INNER_PX = 64
HALVED, ON_CPU = "network_halved", "network_on_cpu"
"""Counters: how often memory made less of a batch or tile, and tiles that went to the CPU."""

_told = threading.local()


def fuse_whole(
    method: Method,
    patch: Patch,
    params: Params,
    observation: Observation,
    *,
    options: Options,
    core: Window,
    after: After,
) -> NDArray[Any] | None:
    """Fuse a core (B, rows, cols), back-projected, on the planned device; None where its pixels are not all valid."""
    if not (patch.fine_valid.all() and patch.coarse_valid.all()) or observation.field is not None:
        return None
    from geofuse.nets.device import fuse_fine, fuse_ms
    from geofuse.nets.inference import NotFiniteError, engine

    network = options.network
    assert network is not None
    running = engine(network)
    pixels, wanted = _pixels(patch, observation), _wanted(patch, params, observation, options, core, after)
    fuse = fuse_ms if "ridge" in params.values else fuse_fine

    def run(batch: int, inner_px: int) -> NDArray[np.float32]:
        return fuse(running, pixels, wanted, batch=batch, inner_px=inner_px)

    try:
        found, halved = _eased(network["device"]).fuse(run, running.inner_px, LEAST_INNER_PX)
    except NotFiniteError:
        found, halved = None, 0
    _tell(HALVED, halved)
    if found is not None:
        return found.astype(patch.coarse.dtype, copy=False)
    _tell(ON_CPU, 1)
    twin = _on_cpu(options)
    return fuse_patch(method, patch, params, observation, options=twin, core=core, after=after)


def eased() -> dict[str, int]:
    """Return this thread's counters since they were asked for last."""
    found: dict[str, int] = getattr(_told, "counts", {})
    _told.counts = {}
    return found


def _tell(name: str, count: int) -> None:
    counts: dict[str, int] = getattr(_told, "counts", {})
    if count:
        _told.counts = {**counts, name: counts.get(name, 0) + count}


def _on_cpu(options: Options) -> Options:
    from dataclasses import replace

    from geofuse.nets.inference import describe

    assert options.network is not None
    here = {"device": "cpu", "precision": "float32", "runs_on": describe("cpu")}
    return replace(options, network={**options.network, **here})


@lru_cache(maxsize=8)
def _eased(device: str) -> Eased:
    from geofuse.nets.device import Eased

    return Eased(BATCH)


def _pixels(patch: Patch, observation: Observation) -> Pixels:
    from geofuse.nets.device import Pixels

    return Pixels(
        fine=patch.fine[0],
        fine_origin=patch.fine_origin,
        coarse=patch.coarse,
        coarse_origin=patch.coarse_origin,
        axes=(patch.axis_y, patch.axis_x),
        gains=observation.mtf_gain,
        shifts_px=observation.shifts_px,
        joint_gain=observation.joint_gain,
        shift_px=observation.shift_px,
    )


def _wanted(
    patch: Patch, params: Params, observation: Observation, options: Options, core: Window, after: After
) -> Wanted:
    from geofuse.nets.device import Wanted

    axes, network = (patch.axis_y, patch.axis_x), options.network or {}
    ratio = round(1.0 / axes[0].scale)
    first = [blocks_from(axis, shift, ratio) for axis, shift in zip(axes, observation.shift_px, strict=True)]
    return Wanted(
        core=core,
        grown=patch.core,
        values=_with_range(params.values),
        floor=floor_of(0.0, options),
        rounds=after.rounds,
        step_cpx=round_trip_cpx(observation, 1.0 / max(axis.scale for axis in axes)),
        detail_shares=tuple(after.shares) if min(after.shares, default=1.0) < 1.0 else (),
        network_shares=_shares(network.get("shares")),
        first=(first[0], first[1]),
        whole=options.whole,
    )


def _shares(shares: Sequence[float] | None) -> tuple[float, ...]:
    return tuple(shares or ())


def _with_range(values: Mapping[str, Any]) -> dict[str, Any]:
    centre, half = range_of(values["levels"])
    levels = {**values["levels"], "range_centre": centre.tolist(), "range_half": half.tolist()}
    return {**values, "levels": levels}
