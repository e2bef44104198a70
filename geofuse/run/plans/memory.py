"""The memory model: what a task, a sample and a run take at most, and what a product takes on the disk."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from geofuse.methods import base
from geofuse.methods.sharpen.closed_form import low_groups
from geofuse.rasters.cog import expected_bytes
from geofuse.rasters.image import Grid
from geofuse.run.plans.plan import Plan
from geofuse.run.plans.tiles import BLOCK_PX
from geofuse.run.sampling import SAMPLE_CPX, SAMPLE_HALO_CPX, SAMPLE_WINDOWS

BASE_BYTES = 256 * 2**20
"""A process with the libraries and kernels of the closed-form path loaded, and the reader's cache."""
TORCH_BYTES = 400 * 2**20
"""What torch takes with a network at work, in a process."""
NETWORK_EDGE_PX, NETWORK_PX_BYTES = 32, 20
"""A network's own halo, at most; what its planes take for a band's pixel, copies and output included."""
COMPRESSED_SHARE = 0.5
"""Of the plain size, what a lossless codec leaves of satellite images at most, for the free-disk check."""


def task_bytes(
    tile_px: int,
    bands: int,
    itemsize: int,
    *,
    reach: tuple[int, int],
    ratio: float,
    lows: int,
    guides: int = 1,
) -> int:
    """Estimate the peak memory of one task: patch, upsampled strips, result, stored pixels, encoded blocks."""
    fine = (tile_px + 2 * reach[0]) ** 2 * (guides * (4 + 2) + 2)
    coarse = (tile_px / ratio + 2 * reach[1] + 4) ** 2 * (bands + lows) * (4 + 4 + 4)
    core = tile_px**2
    result = core * bands * (max(4, itemsize) + itemsize) + core * (2 + 8 * min(lows, 1))
    encoded = core * bands * itemsize * 4 // 3 + 8 * BLOCK_PX**2 * bands * itemsize
    return int(fine + coarse + result + encoded)


def run_bytes(plan: Plan) -> int:
    """Estimate the peak memory of the whole run in one process."""
    return BASE_BYTES + plan.sample_bytes + plan.workers * plan.bytes_per_task


def sample_bytes(grid: Grid, options: base.Options) -> int:
    """Estimate the memory of calibration: PAN with halo and the bands' values and details, of all windows."""
    side = SAMPLE_CPX * options.ratio
    windows = min(SAMPLE_WINDOWS, math.ceil(grid.height / side) * math.ceil(grid.width / side))
    fine = (side + SAMPLE_HALO_CPX * options.ratio) ** 2 * 5.0
    coarse = SAMPLE_CPX**2 * len(options.names) * 8.0 * 6.0
    return int(windows * (fine + coarse))


def task_bytes_of(plan: Plan, side: int) -> int:
    """Estimate the peak memory of one task of a plan with tiles of a side."""
    kind = np.dtype(plan.spec.dtype)
    lows = sum(len(set(low_groups(pair.observation)[1])) for pair in plan.pairs)
    wide = 2 if kind.itemsize == 8 or kind in (np.dtype("int32"), np.dtype("uint32")) else 1
    core = task_bytes(
        min(side, max(plan.grid.height, plan.grid.width)) + 2 * plan.margin_px,
        plan.band_count,
        kind.itemsize,
        reach=plan.reach,
        ratio=plan.options.ratio,
        lows=lows,
        guides=len(plan.pair.guide_bands),
    )
    return wide * (core + _network_bytes(plan, side)) + _input_block_bytes(plan)


def _network_bytes(plan: Plan, side: int) -> int:
    """Bytes a network's inputs, their copies and its output take for one tile; 0 for other methods."""
    if not plan.options.network:
        return 0
    pixels = (
        min(side, max(plan.grid.height, plan.grid.width)) + 2 * plan.margin_px + 2 * NETWORK_EDGE_PX
    ) ** 2
    return pixels * NETWORK_PX_BYTES * (plan.band_count + 1)


def _input_block_bytes(plan: Plan) -> int:
    """Bytes of the inputs' blocks that one window may hold in the reader's cache."""
    total = 0
    for source in (plan.pair.guide, *(pair.target for pair in plan.pairs)):
        rows, cols = source.block
        total += rows * cols * sum(np.dtype(band.dtype).itemsize for band in source.bands)
    return total


def available_memory() -> int:
    """Return 80 % of what is available now, to this machine or this container."""
    import psutil

    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.exists() else "max"
    available = psutil.virtual_memory().available
    return int(0.8 * min(available, int(text) if text.isdigit() else available))


def output_bytes(plan: Plan) -> int:
    """Estimate the product's size: plain size times what a codec leaves."""
    share = 1.0 if plan.spec.compress == "none" else COMPRESSED_SHARE
    return int(expected_bytes(plan.spec) * share) + 2**16
