"""A whole tile on a device: D, U, ridge, network and back-projection without a step back to the host.

The same formulas as the kernels', from the same tap tables, for tiles all of whose pixels are valid. Pixels go over the
bus as the 16-bit whole numbers they are stored as, by way of pinned memory, on a stream of each worker's own: while
one worker's tile is computed, another's is read, and a third's encoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from geofuse.geometry import Window
from geofuse.nets.arch.base import BlockSpec
from geofuse.nets.inference import Engine, NotFiniteError, run_tiles
from geofuse.nets.operators import ridge_detail
from geofuse.nets.tile_operators import Pixels, TileOnDevice, Wanted, touched
from geofuse.nets.transfer import download, lane

MARGIN = 2
"""Pixels that ridge's stencil reaches to each side."""


def fuse_ms(
    running: Engine, pixels: Pixels, wanted: Wanted, *, batch: int, inner_px: int
) -> NDArray[np.float32]:
    """Fuse a core (B, rows, cols) with a network on the MS grid, and back-project it."""
    spec, k = cast(BlockSpec, running.spec), running.net.halo
    ratio, (top, left) = spec.ratio, wanted.first
    grown = wanted.grown
    blocks = (
        (grown[0] - top) // ratio - k,
        -((top - grown[1]) // ratio) + k,
        (grown[2] - left) // ratio - k,
        -((left - grown[3]) // ratio) + k,
    )
    fine = (
        top + ratio * blocks[0],
        top + ratio * blocks[1],
        left + ratio * blocks[2],
        left + ratio * blocks[3],
    )
    with lane(running.device), torch.inference_mode():
        bench = TileOnDevice(pixels, running.device)
        plain, ridge, low, detail = _ridge(bench, fine, wanted)
        common, own = _inputs(bench, spec, wanted, blocks, (low, detail, ridge - plain))
        origin = top + ratio * (blocks[0] + k), left + ratio * (blocks[2] + k)
        residual = run_tiles(running, (common, own), first=origin, core=grown, batch=batch, inner_px=inner_px)
        ridge, plain = TileOnDevice.part(ridge, fine, grown), TileOnDevice.part(plain, fine, grown)
        scale = _column(wanted.values["levels"]["back"], ridge)
        if wanted.network_shares:
            scale = scale * _column(wanted.network_shares, ridge)
        return _finished(bench, ridge + scale * residual, plain, wanted)


def fuse_fine(
    running: Engine, pixels: Pixels, wanted: Wanted, *, batch: int, inner_px: int
) -> NDArray[np.float32]:
    """Fuse a core (B, rows, cols) with a network on the fine grid, and back-project it."""
    k, grown = running.net.halo, wanted.grown
    fine = (grown[0] - k, grown[1] + k, grown[2] - k, grown[3] + k)
    levels = wanted.values["levels"]
    with lane(running.device), torch.inference_mode():
        bench = TileOnDevice(pixels, running.device)
        coarse = touched(pixels.axes, pixels.shifts_px, fine)
        plain = bench.up_bands(TileOnDevice.part(bench.ms, pixels.coarse_window, coarse), coarse, fine)
        pan = TileOnDevice.part(bench.pan, pixels.fine_window, fine)
        centre, half = (_column([*levels[f"range_{name}"]], pan) for name in ("centre", "half"))
        planes = (torch.cat([plain, pan], dim=1) - centre) / half
        made = run_tiles(
            running, (planes[0],), first=(grown[0], grown[2]), core=grown, batch=batch, inner_px=inner_px
        )
        made = centre[:, :-1] + half[:, :-1] * made
        return _finished(bench, made, TileOnDevice.part(plain, fine, grown), wanted)


def _ridge(bench: TileOnDevice, fine: Window, wanted: Wanted) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return U(M), ridge, low-passed PAN and PAN's detail over a fine window."""
    pixels, values = bench.pixels, wanted.values["ridge"]
    wide = fine[0] - MARGIN, fine[1] + MARGIN, fine[2] - MARGIN, fine[3] + MARGIN
    low = bench.low(wide)
    detail = TileOnDevice.part(bench.pan, pixels.fine_window, wide) - low
    coarse = touched(pixels.axes, pixels.shifts_px, fine)
    plain = bench.up_bands(TileOnDevice.part(bench.ms, pixels.coarse_window, coarse), coarse, fine)
    corrections = None
    if "back-projection" in values["extras"]:
        corrections = bench.up_bands(bench.missed(coarse), coarse, fine)
    inner = TileOnDevice.part(low, wide, fine)
    ridge = plain + ridge_detail(detail, inner, plain, corrections, values, floor=wanted.floor)
    return plain, ridge, inner, TileOnDevice.part(detail, wide, fine)


def _inputs(
    bench: TileOnDevice,
    spec: BlockSpec,
    wanted: Wanted,
    blocks: Window,
    planes: tuple[Tensor, Tensor, Tensor],
) -> tuple[Tensor, Tensor]:
    """Return what the network is fed (Cc, h, w) and (B, Cb, h, w), from low PAN, its detail and ridge's detail."""
    levels, (low, detail, added) = wanted.values["levels"], planes
    common: list[Tensor] = []
    for name in spec.common:
        if name == "pan":
            scaled = (low + detail - levels["pan_mean"]) / levels["pan_std"]
            common.append(functional.pixel_unshuffle(scaled, spec.ratio)[0])
        elif name == "detail":
            common.append(functional.pixel_unshuffle(detail / levels["pan_back"], spec.ratio)[0])
        else:
            size = blocks[1] - blocks[0], blocks[3] - blocks[2]
            for axis, shift, start in zip(
                bench.pixels.axes, bench.pixels.shift_px, wanted.first, strict=True
            ):
                phase = -axis.offset / axis.scale - shift - (start + 0.5 * (spec.ratio - 1))
                common.append(torch.full((1, *size), phase, device=bench.device))
    back = _column(levels["back"], low)
    own: list[Tensor] = []
    for name in spec.own:
        if name == "ms":
            part = TileOnDevice.part(bench.ms, bench.pixels.coarse_window, blocks)
            own.append(((part - _column(levels["mean"], low)) / _column(levels["std"], low)).transpose(0, 1))
        elif name == "back":
            own.append((bench.missed(blocks) / back).transpose(0, 1))
        else:
            each = (added / back).transpose(0, 1)
            own.append(functional.pixel_unshuffle(each, spec.ratio))
    return torch.cat(common), torch.cat(own, dim=1)


def _finished(bench: TileOnDevice, fused: Tensor, plain: Tensor, wanted: Wanted) -> NDArray[np.float32]:
    """Keep each band's share of the detail, back-project, and bring the core to the host."""
    if wanted.detail_shares:
        fused = plain + _column(wanted.detail_shares, fused) * (fused - plain)
    if wanted.rounds:
        fused = _back_projected(bench, fused, wanted)
    made = TileOnDevice.part(fused, wanted.core if wanted.rounds else wanted.grown, wanted.core)[0]
    if not bool(torch.isfinite(made).all()):
        raise NotFiniteError
    return download(made, wanted.whole and bench.whole)


def _back_projected(bench: TileOnDevice, fused: Tensor, wanted: Wanted) -> Tensor:
    """Return the core after all rounds; those but the first run on the coarse grid. Irani and Peleg 1991, CVGIP 53."""
    pixels, step, core = bench.pixels, wanted.step_cpx, wanted.core
    window = touched(pixels.axes, pixels.shifts_px, core, (wanted.rounds - 1) * step)
    seen = bench.down_bands(fused, wanted.grown, window)
    residual = TileOnDevice.part(bench.ms, pixels.coarse_window, window) - seen
    total = residual
    for _ in range(wanted.rounds - 1):
        residual = residual - bench.round_trip(residual, window, window)
        total = total + residual
    inner = touched(pixels.axes, pixels.shifts_px, core)
    return TileOnDevice.part(fused, wanted.grown, core) + bench.up_bands(
        TileOnDevice.part(total, window, inner), inner, core
    )


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    """Return one value for each band, to multiply (N, B, H, W) with."""
    return torch.tensor(values, dtype=like.dtype, device=like.device)[None, :, None, None]
