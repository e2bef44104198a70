"""A network's tile as a whole on a GPU, and what happens where that does not go well.

Where all of a tile's pixels are valid, everything happens there; else only the network does. Memory that is short
halves the batch, then the inner tile, then sends the tile to the CPU; so does a value that is no number. What was
eased is counted and told in the product's record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from geofuse.methods.base import After, Fused, Options, Params, Patch
from geofuse.methods.observation import Observation
from geofuse.methods.sharpen.back_projection import round_trip_cpx
from geofuse.methods.sharpen.closed_form import floor_of
from geofuse.methods.sharpen.network_levels import blocks_from, range_of

if TYPE_CHECKING:
    from geofuse.nets.tile_operators import Pixels, Wanted
    from geofuse.nets.transfer import Eased

BATCH = 16
"""Inner tiles at a time on a GPU."""
LEAST_INNER_PX = 64
HALVED, ON_CPU = "network_halved", "network_on_cpu"
"""Counters: how often memory made less of a batch or tile, and tiles that went to the CPU."""


def on_its_device(
    grid: Literal["ms", "fine"],
    here: Callable[[Options], NDArray[Any]],
    patch: Patch,
    params: Params,
    observation: Observation,
    *,
    options: Options,
    after: After,
) -> Fused:
    """Fuse a patch's core with a network on a grid: as a whole on its device where that can be, else by ``here``.

    Only what a device made is back-projected. ``here`` is given the options to fuse on the CPU with, and returns
    the patch's core (B, H, W) with all of its detail.
    """
    counts: dict[str, int] = {}
    network = options.network
    if network is not None and network.device != "cpu" and all_there(patch, observation):
        found, halved = whole_tile(grid, patch, params, observation, options=options, after=after)
        if halved:
            counts[HALVED] = halved
        if found is not None:
            strips = iter([(slice(0, found.shape[1]), found)])
            return Fused(strips, shares_kept=True, back_projected=True, counts=counts)
        counts[ON_CPU] = 1
        options = _on_cpu(options)
    made = here(options)
    return Fused(iter([(slice(0, made.shape[1]), made)]), counts=counts)


def all_there(patch: Patch, observation: Observation) -> bool:
    """Whether a device can do all of a tile: its pixels are all valid, and one shift holds for it."""
    return bool(patch.guides_valid.all() and patch.target.valid.all()) and observation.field is None


def whole_tile(
    grid: Literal["ms", "fine"],
    patch: Patch,
    params: Params,
    observation: Observation,
    *,
    options: Options,
    after: After,
) -> tuple[NDArray[Any] | None, int]:
    """Fuse and back-project ``after.core`` (B, rows, cols) on the planned device, and count what memory halved.

    None where memory or values fail.
    """
    from geofuse.nets.device import fuse_fine, fuse_ms
    from geofuse.nets.inference import NotFiniteError, engine

    network = options.network
    assert network is not None
    running = engine(network)
    pixels, wanted = _pixels(patch, observation), _wanted(patch, params, observation, options, after)
    fuse = fuse_ms if grid == "ms" else fuse_fine

    def run(batch: int, inner_px: int) -> NDArray[np.float32]:
        return fuse(running, pixels, wanted, batch=batch, inner_px=inner_px)

    try:
        found, halved = _memory_of(network.device).fuse(run, running.inner_px, LEAST_INNER_PX)
    except NotFiniteError:
        return None, 0
    return None if found is None else found.astype(patch.target.values.dtype, copy=False), halved


def _on_cpu(options: Options) -> Options:
    from geofuse.nets.inference import describe

    assert options.network is not None
    here = replace(options.network, device="cpu", precision="float32", runs_on=describe("cpu"))
    return replace(options, network=here)


@lru_cache(maxsize=8)
def _memory_of(device: str) -> Eased:
    from geofuse.nets.transfer import Eased

    return Eased(BATCH)


def _pixels(patch: Patch, observation: Observation) -> Pixels:
    from geofuse.nets.tile_operators import Pixels

    return Pixels(
        fine=patch.guide,
        fine_origin=patch.guides_origin,
        coarse=patch.target.values,
        coarse_origin=patch.target.origin,
        axes=(patch.target.axis_y, patch.target.axis_x),
        gains=observation.mtf_gain,
        shifts_px=observation.shifts_px,
        joint_gain=observation.joint_gain,
        shift_px=observation.shift_px,
    )


def _wanted(patch: Patch, params: Params, observation: Observation, options: Options, after: After) -> Wanted:
    from geofuse.nets.tile_operators import Wanted

    axes, network = (patch.target.axis_y, patch.target.axis_x), options.network
    ratio = round(1.0 / axes[0].scale)
    first = [blocks_from(axis, shift, ratio) for axis, shift in zip(axes, observation.shift_px, strict=True)]
    return Wanted(
        core=after.core or patch.core,
        grown=patch.core,
        values=_with_range(params.values),
        floor=floor_of(0.0, options),
        rounds=after.rounds,
        step_cpx=round_trip_cpx(observation, 1.0 / max(axis.scale for axis in axes)),
        detail_shares=after.shares if after.cuts else (),
        network_shares=(network.shares if network else None) or (),
        first=(first[0], first[1]),
        whole=options.whole,
    )


def _with_range(values: Mapping[str, Any]) -> dict[str, Any]:
    centre, half = range_of(values["levels"])
    levels = {**values["levels"], "range_centre": centre.tolist(), "range_half": half.tolist()}
    return {**values, "levels": levels}
