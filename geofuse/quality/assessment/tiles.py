"""What one tile contributes to an assessment: the tasks of its passes, on the fine grid and on the coarse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import AxisMap, Window
from geofuse.kernels.resample import resample_valid
from geofuse.methods.observation import bands_by, coarse_window
from geofuse.methods.sharpen.closed_form import gaussian_kernel, steady_taps
from geofuse.metrics import reference as metrics
from geofuse.metrics import unsupported_detail
from geofuse.metrics.index_agreement import index_mean_sums, index_names, index_sums
from geofuse.metrics.reference import MeanSums, merge
from geofuse.metrics.seams import SEAM_HALO_PX, SeamSums, no_seams, seam_sums
from geofuse.metrics.sharpness import sharpness_sums
from geofuse.quality.assessment.subject import (
    Region,
    Subject,
    degraded,
    read_coarse,
    read_pan_as_seen,
    read_placed,
    read_region,
    valid_of,
)
from geofuse.quality.assessment.sums import (
    Ask,
    Cell,
    Cells,
    CoarseSums,
    FineSums,
    Part,
    ReferenceSums,
    by_cell,
    cell_sums,
    histogram,
    with_totals,
)
from geofuse.run.plans.tiles import BLOCK_PX, Tile

LEAST_WEIGHT = 0.1
SEAM_SPACINGS_PX = (BLOCK_PX, 2 * BLOCK_PX)
"""Where a product's tiles and blocks may meet."""


def error_task(subject: Subject, tile: Tile) -> metrics.ErrorSums:
    """Sum what ERGAS and PSNR need over a core: also the peak that SSIM must know beforehand."""
    assert subject.reference is not None
    fused, fused_valid = read_placed(subject.fused, tile.core)
    truth, known = read_placed(subject.reference, tile.core)
    valid = fused_valid & known & valid_of(subject, tile.core)
    return metrics.error_sums(truth, fused, valid=valid)


def fine_task(ask: Ask, tile: Tile) -> Part[FineSums]:
    """Measure one tile of the fine grid."""
    subject, cell = ask.subject, ask.cell
    region = read_region(subject, tile.core)
    low, low_valid = low_passed(subject, region)
    pan_low = pan_low_of(subject, region)
    pan = region.pan[:, *region.pan_part]
    core = (slice(None), *region.core)
    valid = region.valid[region.core]
    fused, up = region.fused[core], region.upsampled[core]
    planes = dict(zip(subject.names, fused, strict=True))
    sums = FineSums(
        pairs=metrics.q_pair_sums(fused, valid=valid),
        pairs_up=metrics.q_pair_sums(up, valid=valid),
        pan=metrics.q_sums(fused, pan[core], valid=valid),
        pan_up=metrics.q_sums(up, pan_low[core], valid=valid),
        sharpness=sharpness_sums(
            (region.fused, region.upsampled, pan),
            (low, pan_low),
            valid=region.valid & low_valid,
            ratio=subject.ratio,
            core=region.core,
        ),
        level=MeanSums(fused[:, valid].sum(axis=1, dtype=np.float64), int(valid.sum())),
        bins=histogram(fused, valid, ask.edges),
        seams=_seams(region, tile),
        indices={
            key: index_mean_sums(key, planes, valid=valid)
            for key in index_names(subject.names, reflectance=subject.known)
        },
        local={},
    )
    both = valid & low_valid[region.core]
    low = low[core]
    cells = {
        "q2n_k": by_cell(lambda at: metrics.q2n_sums(up[at], low[at], valid=both[at[1:]]), valid, cell),
        "d_rho": by_cell(_rho(region, pan, subject.ratio), valid, cell),
        "invented": _invented(subject, region, pan, cell),
    }
    part = Part(sums, cells)
    return with_totals(part if ask.peak is None else _with_reference(part, ask, region))


def coarse_task(ask: Ask, block: Tile) -> Part[CoarseSums]:
    """Measure one block of the coarse grid: the product degraded against the MS."""
    subject = ask.subject
    top, left = ask.window[0], ask.window[2]
    row0, row1, col0, col1 = block.core
    window = (row0 + top, row1 + top, col0 + left, col1 + left)
    coarse, coarse_valid = read_coarse(subject, window)
    seen, valid = degraded(subject, window)
    valid &= coarse_valid
    apart = (seen - coarse).astype(np.float64)
    there, here = (dict(zip(subject.names, planes, strict=True)) for planes in (coarse, seen))
    sums = CoarseSums(
        error=metrics.error_sums(coarse, seen, valid=valid),
        sam=metrics.sam_sums(coarse, seen, valid=valid),
        q2n=metrics.q2n_sums(coarse, seen, valid=valid),
        difference=MeanSums(apart[:, valid].sum(axis=1), int(valid.sum())),
        bins_ms=histogram(coarse, valid, ask.edges),
        indices={
            key: index_sums(key, there, here, valid=valid)
            for key in index_names(subject.names, reflectance=subject.known)
        },
        real=_real(subject, window),
    )
    return Part(sums, {"r_ergas": cell_sums(apart**2, valid, ask.coarse_cell)})


def _invented(subject: Subject, region: Region, pan: NDArray[Any], cell: int) -> Cell:
    """Sum over cells the energy of the product's detail that PAN and MS do not show, then all of it (2B, ...)."""
    fused = subject.fused
    gain = np.broadcast_to(fused.scale.gain, len(region.fused))
    whole = np.dtype(fused.image.bands[0].dtype).kind != "f"
    valid = region.valid
    left, energy, known = unsupported_detail.unsupported(
        np.where(valid, region.fused, 0.0),
        np.where(valid, pan, 0.0),
        np.where(valid, region.upsampled, 0.0),
        gains=subject.observation.mtf_gain,
        ratio=subject.ratio,
        valid=valid,
        noise=(gain**2 / 12.0 if whole else 0.0 * gain).tolist(),
    )
    planes = np.concatenate([left, energy])[:, *region.core]
    return cell_sums(planes, known[region.core], cell)


def _real(subject: Subject, window: Window) -> MeanSums:
    """Sum the same for the MS itself, one scale down: how much detail of which reality has that PAN does not show."""
    ratio, gains = subject.ratio, subject.observation.mtf_gain
    reach = max(unsupported_detail.support_reach_px(gain, ratio) for gain in gains)
    smooth = max(gaussian_kernel(gain, ratio).size // 2 for gain in gains)
    wide = _grown(window, reach + smooth)
    truth, known = read_coarse(subject, wide)
    pan, seen = read_pan_as_seen(subject, wide)
    valid = known & seen
    plain = np.empty_like(truth)
    for band, gain in enumerate(gains):
        kernel = gaussian_kernel(gain, ratio)
        taps = [steady_taps(kernel, edges[0] + smooth, edges[1] - smooth) for edges in (wide[:2], wide[2:])]
        plane, _ = resample_valid(truth[band : band + 1], known, taps[0], taps[1], (wide[0], wide[2]))
        plain[band] = 0.0
        plain[band, smooth:-smooth, smooth:-smooth] = plane[0]
    inner = slice(smooth, -smooth), slice(smooth, -smooth)
    usable = valid[inner]
    left, energy, whole = unsupported_detail.unsupported(
        np.where(usable, truth[:, *inner], 0.0),
        np.where(usable, pan[:, *inner], 0.0),
        np.where(usable, plain[:, *inner], 0.0),
        gains=gains,
        ratio=ratio,
        valid=usable,
    )
    return unsupported_detail.unsupported_sums(
        left, energy, whole, (slice(reach, -reach), slice(reach, -reach))
    )


def _grown(window: Window, by: int) -> Window:
    return (*_wider(*window[:2], by), *_wider(*window[2:], by))


def _rho(region: Region, pan: NDArray[Any], ratio: float) -> Callable[[Any], MeanSums]:
    """Return what sums D_rho over one cell of the core: with the halo its windows need, no more."""
    reach = metrics.d_rho_window(ratio) // 2
    top, left = region.core[0].start, region.core[1].start
    height, width = region.valid.shape

    def local(at: tuple[slice, slice, slice]) -> MeanSums:
        rows, cols = (
            slice(part.start + first, part.stop + first)
            for part, first in zip(at[1:], (top, left), strict=True)
        )
        row0, row1 = max(rows.start - reach, 0), min(rows.stop + reach, height)
        col0, col1 = max(cols.start - reach, 0), min(cols.stop + reach, width)
        around = (slice(None), slice(row0, row1), slice(col0, col1))
        inner = slice(rows.start - row0, rows.stop - row0), slice(cols.start - col0, cols.stop - col0)
        return metrics.d_rho_sums(
            region.fused[around], pan[around], ratio=ratio, valid=region.valid[around[1:]], core=inner
        )

    return local


def _with_reference(part: Part[FineSums], ask: Ask, region: Region) -> Part[FineSums]:
    """Return the part with what a reference allows."""
    assert ask.subject.reference is not None
    assert ask.peak is not None
    truth, known = read_placed(ask.subject.reference, region.window)
    whole = region.valid & known
    core = (slice(None), *region.core)
    fused, exact, up, valid = region.fused[core], truth[core], region.upsampled[core], whole[region.core]
    apart = (fused - exact).astype(np.float64)
    sums = ReferenceSums(
        q=metrics.q_sums(exact, fused, valid=valid),
        scc=metrics.scc_sums(truth, region.fused, valid=whole, core=region.core),
        ssim=metrics.ssim_sums(truth, region.fused, peak=ask.peak, valid=whole, core=region.core),
        difference=MeanSums(apart[:, valid].sum(axis=1), int(valid.sum())),
        error_up=metrics.error_sums(exact, up, valid=valid),
        sam_up=metrics.sam_sums(exact, up, valid=valid),
        q2n_up=metrics.q2n_sums(exact, up, valid=valid),
    )
    cell = ask.cell
    cells: Cells = {
        "sam": by_cell(lambda at: metrics.sam_sums(exact[at], fused[at], valid=valid[at[1:]]), valid, cell),
        "q2n": by_cell(lambda at: metrics.q2n_sums(exact[at], fused[at], valid=valid[at[1:]]), valid, cell),
        "ergas": cell_sums(apart**2, valid, cell),
    }
    return Part(replace(part.sums, reference=sums), {**part.cells, **cells})


def low_passed(subject: Subject, region: Region) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the product as the sensor's MTF leaves it, on its own grid, and where it is valid."""
    kernels = {
        gain: [gaussian_kernel(gain, 1.0 / axis.scale) for axis in subject.axes]
        for gain in dict.fromkeys(subject.observation.mtf_gain)
    }
    reach = max(kernel.size // 2 for pair in kernels.values() for kernel in pair)
    row0, row1, col0, col1 = region.window
    origin = (row0 - reach, col0 - reach)
    fine, fine_valid = read_placed(subject.fused, (*_wider(row0, row1, reach), *_wider(col0, col1, reach)))
    out = np.empty_like(region.fused)
    valid = np.ones(region.valid.shape, np.bool_)
    for gain, bands in bands_by(subject.observation.mtf_gain):
        down, across = kernels[gain]
        rows, cols = steady_taps(down, row0, row1), steady_taps(across, col0, col1)
        out[bands], seen = resample_valid(fine[bands], fine_valid, rows, cols, origin)
        valid &= seen
    return out, valid


def _wider(start: int, stop: int, by: int) -> tuple[int, int]:
    return start - by, stop + by


def pan_low_of(subject: Subject, region: Region) -> NDArray[np.float64]:
    """Return PAN at the coarse scale over the region (1, H, W)."""
    window = coarse_window(subject.axes, region.window)
    axes = [
        AxisMap(axis.scale, axis.offset + axis.scale * first - start)
        for axis, first, start in zip(subject.axes, region.pan_origin, (window[0], window[2]), strict=True)
    ]
    size = (window[1] - window[0], window[3] - window[2])
    low = metrics.pan_low(region.pan, axis_y=axes[0], axis_x=axes[1], coarse_shape=size)
    if not region.pan_valid.all():  # invalid pixels are 0: what they weigh is taken out again
        known = region.pan_valid[None].astype(region.pan.dtype)
        weight = metrics.pan_low(known, axis_y=axes[0], axis_x=axes[1], coarse_shape=size)
        low = np.divide(low, weight, out=low, where=weight > LEAST_WEIGHT)
    return np.ascontiguousarray(low[:, *region.pan_part])


def _seams(region: Region, tile: Tile) -> dict[int, SeamSums]:
    """Sum the steps across the core's upper and left border, where it has them, for lines each 512 and 1024 px."""
    row0, _, col0, _ = tile.core
    (rows, cols), bands = region.core, len(region.fused)
    found = {spacing: no_seams(bands) for spacing in SEAM_SPACINGS_PX}
    for at, line, axis in ((row0, rows.start, 0), (col0, cols.start, 1)):
        if at == 0:
            continue
        near = slice(line - SEAM_HALO_PX, line + SEAM_HALO_PX)
        place = (near, cols) if axis == 0 else (rows, near)
        if min(region.valid[place].shape) < 2 * SEAM_HALO_PX:
            continue
        steps = seam_sums(region.fused[:, *place], region.valid[place], axis=axis)
        for spacing in found:
            if at % spacing == 0:
                found[spacing] = merge(found[spacing], steps)
    return found
