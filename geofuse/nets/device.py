"""A whole tile on a device: D, U, ridge, network and back-projection without a step back to the host.

The same formulas as the kernels', from the same tap tables, for tiles all of whose pixels are valid. Pixels go over the
bus as the 16-bit whole numbers they are stored as, by way of pinned memory, on a stream of each worker's own: while
one worker's tile is computed, another's is read, and a third's encoded.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from geofuse.geometry import AxisMap, Window
from geofuse.nets.arch.base import BlockSpec
from geofuse.nets.inference import Engine, NotFiniteError, run_tiles
from geofuse.nets.operators import Axes, Resampler, down, ridge_detail, round_trip, up

MARGIN = 2
"""Pixels that ridge's stencil reaches to each side."""
PHASE_DIGITS = 9
"""Decimals of a coarse pixel to which two tiles' phases are one: they then share their tables."""


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """A tile's pixels, all valid, and how its grids relate."""

    fine: NDArray[Any]
    """PAN (H, W)."""
    fine_origin: tuple[int, int]
    """Output coordinates of fine[0, 0]."""
    coarse: NDArray[Any]
    """MS (B, h, w)."""
    coarse_origin: tuple[int, int]
    """Coarse coordinates of coarse[:, 0, 0]."""
    axes: Axes
    """Rows, columns."""
    gains: tuple[float, ...]
    """MTF gain of each band."""
    shifts_px: tuple[tuple[float, float], ...]
    """Shift of each band."""
    joint_gain: float
    """The gain with which PAN is seen."""
    shift_px: tuple[float, float]
    """The shift with which PAN is seen."""

    @property
    def fine_window(self) -> Window:
        """Where PAN lies, in output coordinates."""
        (row, col), (height, width) = self.fine_origin, self.fine.shape
        return row, row + height, col, col + width

    @property
    def coarse_window(self) -> Window:
        """Where the MS lies, in coarse coordinates."""
        (row, col), (height, width) = self.coarse_origin, self.coarse.shape[1:]
        return row, row + height, col, col + width


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """What is made of them."""

    core: Window
    """What is answered for."""
    grown: Window
    """The core and what back-projection needs around it."""
    values: Mapping[str, Any]
    """The fitted Params' values."""
    floor: float
    """Of low-passed PAN in ridge's ratios."""
    rounds: int
    """Rounds of back-projection."""
    step_cpx: int
    """How far one round reaches, in coarse pixels."""
    detail_shares: tuple[float, ...]
    """Share of the detail that each band keeps; empty: all."""
    network_shares: tuple[float, ...]
    """Share of the network's residual; empty: all."""
    first: tuple[int, int]
    """First fine pixel of coarse pixel 0's block."""
    whole: bool
    """The product is stored in whole numbers."""


class Bench:
    """A tile's pixels on a device, and the operators between its windows."""

    def __init__(self, pixels: Pixels, device: torch.device) -> None:
        self.pixels, self.device = pixels, device
        pan, _ = upload(pixels.fine, device)
        planes, self.whole = upload(pixels.coarse, device)
        self.pan, self.ms = pan[None, None], planes[None]

    def up_bands(self, planes: Tensor, coarse: Window, fine: Window) -> Tensor:
        """U of each band from a coarse to a fine window."""
        return self._table("up", self.pixels.gains, self.pixels.shifts_px, coarse, fine)(planes)

    def down_bands(self, planes: Tensor, fine: Window, coarse: Window) -> Tensor:
        """D of each band from a fine to a coarse window."""
        return self._table("down", self.pixels.gains, self.pixels.shifts_px, coarse, fine)(planes)

    def round_trip(self, planes: Tensor, source: Window, target: Window) -> Tensor:
        """D(U(.)) of each band between coarse windows; what lies beyond the source is 0."""
        return self._table("round trip", self.pixels.gains, self.pixels.shifts_px, source, target)(planes)

    def low(self, fine: Window) -> Tensor:
        """P_L (1, 1, H, W) over a fine window."""
        gains, shifts = (self.pixels.joint_gain,), (self.pixels.shift_px,)
        coarse = touched(self.pixels.axes, shifts, fine)
        seen = self._table("down", gains, shifts, coarse, self.pixels.fine_window)(self.pan)
        return self._table("up", gains, shifts, coarse, fine)(seen)

    def missed(self, target: Window) -> Tensor:
        """M - D(U(M)) over a coarse window."""
        return self.part(self.ms, self.pixels.coarse_window, target) - self.round_trip(
            self.ms, self.pixels.coarse_window, target
        )

    @staticmethod
    def part(planes: Tensor, place: Window, window: Window) -> Tensor:
        """Cut a window out of planes that lie at ``place``."""
        rows = slice(window[0] - place[0], window[1] - place[0])
        return planes[..., rows, window[2] - place[2] : window[3] - place[2]]

    def _table(
        self,
        kind: str,
        gains: tuple[float, ...],
        shifts: tuple[tuple[float, float], ...],
        first: Window,
        second: Window,
    ) -> Resampler:
        """Return an operator's tables, shared by tiles with the same phase; ``first`` is a coarse window."""
        row, col = first[0], first[2]
        fine = second if kind != "round trip" else (0, 0, 0, 0)
        axes = tuple(
            AxisMap(axis.scale, round(axis.offset + axis.scale * start - coarse, PHASE_DIGITS))
            for axis, start, coarse in zip(self.pixels.axes, (fine[0], fine[2]), (row, col), strict=True)
        )
        if kind == "round trip":
            other: Window = (second[0] - row, second[1] - row, second[2] - col, second[3] - col)
        else:
            other = (0, fine[1] - fine[0], 0, fine[3] - fine[2])
        coarse: Window = (0, first[1] - row, 0, first[3] - col)
        return _tables(kind, axes, gains, shifts, (coarse, other), device=str(self.device))


@lru_cache(maxsize=64)
def _tables(
    kind: str,
    axes: tuple[AxisMap, AxisMap],
    gains: tuple[float, ...],
    shifts: tuple[tuple[float, float], ...],
    windows: tuple[Window, Window],
    *,
    device: str,
) -> Resampler:
    coarse, other = windows
    if kind == "up":
        made = up(axes, shifts, coarse=coarse, fine=other, mirror=False)
    elif kind == "down":
        made = down(axes, gains, shifts, fine=other, coarse=coarse, mirror=False)
    else:
        made = round_trip(axes, gains, shifts, source=coarse, target=other)
    return made.to(device)


def touched(axes: Axes, shifts: Sequence[tuple[float, float]], fine: Window, margin: int = 0) -> Window:
    """Return the coarse row0, row1, col0, col1 that U touches for a fine window, for all shifts, plus a margin."""
    found: list[int] = []
    for at, (start, stop) in enumerate((fine[:2], fine[2:])):
        axis = axes[at]
        places = [axis.offset + axis.scale * shift[at] for shift in shifts]
        found += [
            math.floor(axis.scale * start + min(places)) - 1 - margin,
            math.floor(axis.scale * (stop - 1) + max(places)) + 3 + margin,
        ]
    return found[0], found[1], found[2], found[3]


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
    with _lane(running.device), torch.inference_mode():
        bench = Bench(pixels, running.device)
        plain, ridge, low, detail = _ridge(bench, fine, wanted)
        common, own = _inputs(bench, spec, wanted, blocks, (low, detail, ridge - plain))
        origin = top + ratio * (blocks[0] + k), left + ratio * (blocks[2] + k)
        residual = run_tiles(running, (common, own), first=origin, core=grown, batch=batch, inner_px=inner_px)
        ridge, plain = Bench.part(ridge, fine, grown), Bench.part(plain, fine, grown)
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
    with _lane(running.device), torch.inference_mode():
        bench = Bench(pixels, running.device)
        coarse = touched(pixels.axes, pixels.shifts_px, fine)
        plain = bench.up_bands(Bench.part(bench.ms, pixels.coarse_window, coarse), coarse, fine)
        pan = Bench.part(bench.pan, pixels.fine_window, fine)
        centre, half = (_column([*levels[f"range_{name}"]], pan) for name in ("centre", "half"))
        planes = (torch.cat([plain, pan], dim=1) - centre) / half
        made = run_tiles(
            running, (planes[0],), first=(grown[0], grown[2]), core=grown, batch=batch, inner_px=inner_px
        )
        made = centre[:, :-1] + half[:, :-1] * made
        return _finished(bench, made, Bench.part(plain, fine, grown), wanted)


def _ridge(bench: Bench, fine: Window, wanted: Wanted) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return U(M), ridge, low-passed PAN and PAN's detail over a fine window."""
    pixels, values = bench.pixels, wanted.values["ridge"]
    wide = fine[0] - MARGIN, fine[1] + MARGIN, fine[2] - MARGIN, fine[3] + MARGIN
    low = bench.low(wide)
    detail = Bench.part(bench.pan, pixels.fine_window, wide) - low
    coarse = touched(pixels.axes, pixels.shifts_px, fine)
    plain = bench.up_bands(Bench.part(bench.ms, pixels.coarse_window, coarse), coarse, fine)
    corrections = None
    if "back-projection" in values["extras"]:
        corrections = bench.up_bands(bench.missed(coarse), coarse, fine)
    inner = Bench.part(low, wide, fine)
    ridge = plain + ridge_detail(detail, inner, plain, corrections, values, floor=wanted.floor)
    return plain, ridge, inner, Bench.part(detail, wide, fine)


def _inputs(
    bench: Bench, spec: BlockSpec, wanted: Wanted, blocks: Window, planes: tuple[Tensor, Tensor, Tensor]
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
            part = Bench.part(bench.ms, bench.pixels.coarse_window, blocks)
            own.append(((part - _column(levels["mean"], low)) / _column(levels["std"], low)).transpose(0, 1))
        elif name == "back":
            own.append((bench.missed(blocks) / back).transpose(0, 1))
        else:
            each = (added / back).transpose(0, 1)
            own.append(functional.pixel_unshuffle(each, spec.ratio))
    return torch.cat(common), torch.cat(own, dim=1)


def _finished(bench: Bench, fused: Tensor, plain: Tensor, wanted: Wanted) -> NDArray[np.float32]:
    """Keep each band's share of the detail, back-project, and bring the core to the host."""
    if wanted.detail_shares:
        fused = plain + _column(wanted.detail_shares, fused) * (fused - plain)
    if wanted.rounds:
        fused = _back_projected(bench, fused, wanted)
    made = Bench.part(fused, wanted.core if wanted.rounds else wanted.grown, wanted.core)[0]
    if not bool(torch.isfinite(made).all()):
        raise NotFiniteError
    return download(made, wanted.whole and bench.whole)


def _back_projected(bench: Bench, fused: Tensor, wanted: Wanted) -> Tensor:
    """Return the core after all rounds; those but the first run on the coarse grid. Irani and Peleg 1991, CVGIP 53."""
    pixels, step, core = bench.pixels, wanted.step_cpx, wanted.core
    window = touched(pixels.axes, pixels.shifts_px, core, (wanted.rounds - 1) * step)
    seen = bench.down_bands(fused, wanted.grown, window)
    residual = Bench.part(bench.ms, pixels.coarse_window, window) - seen
    total = residual
    for _ in range(wanted.rounds - 1):
        residual = residual - bench.round_trip(residual, window, window)
        total = total + residual
    inner = touched(pixels.axes, pixels.shifts_px, core)
    return Bench.part(fused, wanted.grown, core) + bench.up_bands(
        Bench.part(total, window, inner), inner, core
    )


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    """Return one value for each band, to multiply (N, B, H, W) with."""
    return torch.tensor(values, dtype=like.dtype, device=like.device)[None, :, None, None]


_lanes = threading.local()


@contextmanager
def _lane(device: torch.device) -> Iterator[None]:
    """Work on a stream of this thread's own; its results are there when it ends."""
    if device.type != "cuda":
        yield
        return
    if not hasattr(_lanes, "stream"):
        _lanes.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    with torch.cuda.device(device), torch.cuda.stream(_lanes.stream):
        yield


def _pinned(name: str, like: Tensor) -> Tensor:
    """Return this thread's own page-locked buffer of a size and type, grown as needed."""
    key = f"{name} {like.dtype}"
    held: Tensor | None = getattr(_lanes, "held", {}).get(key)
    if held is None or held.numel() < like.numel():
        held = torch.empty(like.numel(), dtype=like.dtype, pin_memory=True)
        _lanes.held = {**getattr(_lanes, "held", {}), key: held}
    return held[: like.numel()].view(like.shape)


def upload(planes: NDArray[Any], device: torch.device) -> tuple[Tensor, bool]:
    """Bring pixels to a device as float32, and say whether they went as 16-bit whole numbers, where they are such."""
    narrow = planes.astype(np.uint16) if planes.size and planes.min() >= 0 and planes.max() < 65536 else None
    same = narrow is not None and bool((narrow == planes).all())
    host = torch.from_numpy(narrow if same else np.ascontiguousarray(planes, np.float32))
    if device.type != "cuda":
        return host.to(torch.float32), same
    torch.cuda.current_stream(device).synchronize()  # the buffer may still be on its way
    buffer = _pinned(f"in {planes.ndim}", host)
    buffer.copy_(host)
    return buffer.to(device, non_blocking=True).to(torch.float32), same


def download(fused: Tensor, whole: bool) -> NDArray[np.float32]:
    """Bring a result (B, H, W) to the host, finite or not; halves the bus's load where whole numbers are stored."""
    if fused.device.type != "cuda":
        return np.asarray(fused.float().numpy())
    rounded = fused.add(0.5).floor() if whole else fused
    fits = whole and bool(((rounded >= 0) & (rounded < 65536)).all())
    narrow = rounded.to(torch.uint16) if fits else fused.contiguous()
    buffer = _pinned("out", narrow)
    buffer.copy_(narrow, non_blocking=True)
    torch.cuda.current_stream(fused.device).synchronize()
    return np.array(buffer.numpy(), np.float32)


class Eased:
    """How far a device's memory went: halves the batch, then the inner tile, then gives up; later tiles remember."""

    def __init__(self, batch: int) -> None:
        self.batch, self.halvings, self.lock = batch, 0, threading.Lock()

    def fuse(
        self, run: Callable[[int, int], NDArray[np.float32]], inner_px: int, least_px: int
    ) -> tuple[NDArray[np.float32] | None, int]:
        """Call ``run(batch, inner tile)``, with less after each failure; None, and how often it was halved."""
        tried = 0
        while True:
            batch, side = max(1, self.batch >> self.halvings), inner_px
            over = self.halvings - int(math.log2(self.batch))
            side = inner_px >> max(0, over)
            if side < least_px:
                return None, tried
            try:
                return run(batch, side), tried
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                tried += 1
                with self.lock:
                    self.halvings += 1
