"""A network at work over tiles: one fixed inner tile, anchored to the output's origin, whatever is asked for.

So a pixel's value depends on what lies around it and on its place in the scene, never on how the scene was cut.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofuse.errors import UsageError, WeightsError, WorkerError
from geofuse.geometry import Window
from geofuse.nets.arch.base import Generator, Spec
from geofuse.nets.choice import NetworkChoice
from geofuse.nets.table import network_of
from geofuse.nets.weights import load_weights

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """A network, ready on its device in its precision."""

    net: Generator
    """The generator."""
    spec: Spec
    """Its spec."""
    device: torch.device
    """Where it runs."""
    kind: torch.dtype
    """Float type of its weights and activations."""
    inner_px: int
    """Side of the inner tile in output pixels."""
    ratio: int = 1
    """Output pixels that one place of its grid makes along each axis: R on the coarse grid, 1 on the fine one."""


def processor() -> str:
    """Name what decides a CPU's bits: the vector units torch's kernels use, and the matrix units for bfloat16."""
    found = [torch.backends.cpu.get_cpu_capability()]
    if torch.cpu._is_avx512_bf16_supported():
        found.append("BF16")
    if torch.cpu._is_amx_tile_supported():
        found.append("AMX")
    return f"{platform.machine()} {' '.join(found)}"


def has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 itself."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def describe(device: torch.device | str) -> str:
    """Name what decides a device's bits: its kind and torch's release."""
    there = torch.device(device)
    name = torch.cuda.get_device_name(there) if there.type == "cuda" else processor()
    return f"{name}, torch {torch.__version__}"


def find_device(asked: str) -> tuple[str, str]:
    """Return a device's name for torch and what decides its bits: "auto", "cpu", "cuda" or "cuda:N".

    UsageError where there is no such device.
    """
    kind, _, number = asked.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (number and (kind != "cuda" or not number.isdigit())):
        raise UsageError(f"--device {asked}", wanted="auto, cpu, cuda or cuda:N")
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "cpu" or (kind == "auto" and not there):
        return "cpu", describe("cpu")
    if int(number or 0) >= there:
        raise UsageError(
            f"--device {asked}: {there or 'no'} CUDA devices here",
            wanted="one that is there",
            do="try --device auto",
        )
    name = f"cuda:{number or 0}"
    return name, describe(name)


def engine(network: NetworkChoice) -> Engine:
    """Return the network that was planned, loaded once in each process.

    WorkerError where this machine cannot do what the plan says, WeightsError where the weights are others.
    """
    _one_thread()
    return _engine(replace(network, shares=None, measured=None))


@lru_cache(maxsize=4)
def _engine(network: NetworkChoice) -> Engine:
    device = torch.device(network.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise WorkerError("no CUDA device here", wanted=f"{network.runs_on}, as planned")
    here = describe(device)
    if network.runs_on != here:
        raise WorkerError(
            f"the network would run on {here} here",
            wanted=f"{network.runs_on}, as planned: others give other bits",
            do="use workers of one kind, or run the command here alone",
        )
    torch.backends.cudnn.allow_tf32 = False  # float32 means float32, in ridge's stencil too
    net, card = load_weights(Path(network.path), sha256=network.sha256)
    kind = PRECISIONS[network.precision]
    net.to(device=device, dtype=kind)
    for weights in net.parameters():
        if weights.dim() == 4:
            weights.data = weights.data.contiguous(memory_format=torch.channels_last)
    ratio = card.ratio if network_of(card.kind).grid == "coarse" else 1
    return Engine(net, net.spec, device, kind, network.inner_px, ratio)


_threads = threading.local()


def _one_thread() -> None:
    """Keep torch to one thread in each of ours: two on a busy core are slower than one."""
    if not getattr(_threads, "set", False):
        torch.set_num_threads(1)
        _threads.set = True


def blocks_across(inner_px: int, ratio: int) -> int:
    """Return how many blocks of ``ratio`` pixels an inner tile touches along an axis at most, wherever they begin."""
    return (inner_px - 2) // ratio + 2


class NotFiniteError(ArithmeticError):
    """A network gave a value that is no number."""


def on_host(
    running: Engine, planes: tuple[NDArray[Any], ...], *, first: tuple[int, int], core: Window
) -> NDArray[np.float32]:
    """Run a network over planes on the host, one inner tile at a time: (B, rows, cols) over the core; see `run_tiles`.

    WeightsError where it gives what is no number.
    """
    with torch.inference_mode():
        given = tuple(torch.from_numpy(plane).to(running.device) for plane in planes)
        try:
            made = run_tiles(running, given, first=first, core=core, batch=1)
        except NotFiniteError as error:
            raise WeightsError(
                "the network gives values that are not finite", wanted="finite ones", do="train it again"
            ) from error
        return np.asarray(made.cpu().numpy())


def run_tiles(
    running: Engine,
    planes: tuple[Tensor, ...],
    *,
    first: tuple[int, int],
    core: Window,
    batch: int,
    inner_px: int = 0,
) -> Tensor:
    """Run a network over a core in inner tiles of one shape, ``batch`` at a time: (B, rows, cols), float32.

    Planes (..., h + 2k, w + 2k) begin k places before the one whose first fine pixel is ``first``: blocks of R x R
    pixels for a network on the MS grid, else pixels. NotFiniteError where the result is no number.
    """
    ratio = running.ratio
    side, halo = inner_px or running.inner_px, 2 * running.net.halo
    across = (blocks_across(side, ratio) if ratio > 1 else side) + halo
    given = [plane.to(running.kind) for plane in planes]
    out = torch.empty(0)
    tiles = list(_inner_tiles(core, side))
    for start in range(0, len(tiles), batch):
        chunk = tiles[start : start + batch]
        # places from the one that holds the inner tile's first pixel on
        at = [[(edge - begin) // ratio for edge, begin in zip(tile, first, strict=True)] for tile in chunk]
        fed = [_stacked(plane, at, across, batch) for plane in given]
        made = running.net(*fed)
        if not start:
            size = core[1] - core[0], core[3] - core[2]
            out = torch.empty((made.shape[1], *size), dtype=torch.float32, device=made.device)
        for tile, place, result in zip(chunk, at, made, strict=False):
            origin = first[0] + ratio * place[0], first[1] + ratio * place[1]
            _paste(result, origin, (tile[0], tile[0] + side, tile[1], tile[1] + side), core, out)
    if not bool(torch.isfinite(out.sum())):  # which one value that is no number spoils
        raise NotFiniteError
    return out


def _stacked(planes: Tensor, at: list[list[int]], side: int, batch: int) -> Tensor:
    """Return squares of planes as one batch, filled up to its size, channels last."""
    cuts = [_cut(planes, place, side) for place in at]
    cuts += [torch.zeros_like(cuts[0])] * (batch - len(cuts))
    return channels_last(torch.stack(cuts))


def channels_last(planes: Tensor) -> Tensor:
    """Lay planes (N, C, h, w) or (N, B, C, h, w) out as convolutions run fastest: the channels of a pixel together."""
    if planes.dim() == 4:
        return planes.contiguous(memory_format=torch.channels_last)
    flat = planes.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    return flat.reshape(*planes.shape[:2], *flat.shape[1:])


def _inner_tiles(core: Window, side: int) -> Iterator[tuple[int, int]]:
    """Yield the first pixel of every inner tile a core touches; they are anchored at output pixel 0, 0."""
    for row in range(core[0] // side * side, core[1], side):
        for col in range(core[2] // side * side, core[3], side):
            yield row, col


def _cut(planes: Tensor, at: list[int], side: int) -> Tensor:
    """Cut a square out of planes (..., h, w) from ``at`` on; beyond them is 0, which nothing wanted depends on."""
    height, width = planes.shape[-2:]
    rows, cols = (max(0, at[0]), min(height, at[0] + side)), (max(0, at[1]), min(width, at[1] + side))
    part = planes[..., rows[0] : rows[1], cols[0] : cols[1]]
    if part.shape[-2:] == (side, side):
        return part
    out = planes.new_zeros(*planes.shape[:-2], side, side)
    out[..., rows[0] - at[0] : rows[1] - at[0], cols[0] - at[1] : cols[1] - at[1]] = part
    return out


def _paste(made: Tensor, origin: tuple[int, int], tile: Window, core: Window, out: Tensor) -> None:
    """Lay the part of a result (B, H, W) from ``origin`` on that lies in both the inner tile and the core."""
    row0, row1 = max(tile[0], core[0]), min(tile[1], core[1])
    col0, col1 = max(tile[2], core[2]), min(tile[3], core[3])
    part = made[:, row0 - origin[0] : row1 - origin[0], col0 - origin[1] : col1 - origin[1]]
    out[:, row0 - core[0] : row1 - core[0], col0 - core[2] : col1 - core[2]] = part
