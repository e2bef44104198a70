"""How fast the networks run: device alone and from host to host, against what the device can copy and multiply.

Needs torch and numpy and this source tree, nothing else, and no data: pixels and weights are random, which changes no
time. Prints Markdown. "device": the network alone on inner tiles that are there. "host to host": 16-bit pixels from
page-locked memory, D, U, ridge, network, three back-projections, 16-bit pixels back, two workers at a time on a GPU.

usage: python tests/benchmarks/networks.py [--device cuda|cuda:1|cpu] [--ratio 4] [--bands 4] [--seconds 1.0] [--quick]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from geofuse.geometry import AxisMap
from geofuse.nets.arch.ms_residual import MsGenerator, MsSpec
from geofuse.nets.arch.pan_gan import PanGanGenerator, PanGanSpec
from geofuse.nets.device import fuse_fine, fuse_ms
from geofuse.nets.inference import PRECISIONS, Engine, blocks_across, channels_last, describe
from geofuse.nets.tile_operators import Pixels, Wanted

TILES, BATCHES = (128, 256, 512), (1, 4, 16, 64)
CORE_PX, ROUNDS = 1024, 3


def rate(run: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Return calls per second: CPU time of this process on a CPU, wall time on a GPU."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter

    def settled() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return clock()

    run()
    run()
    start, count = settled(), 0
    while True:
        run()
        count += 1
        if count % 4 == 0 or device.type == "cpu":
            spent = settled() - start
            if spent > seconds:
                return count / spent


def limits(device: torch.device, seconds: float) -> Iterator[tuple[str, float, str]]:
    """Yield what the device can do at best: copies in GB/s, matrix products in TFLOP/s."""
    size = 2**28 if device.type == "cuda" else 2**25
    there = torch.empty(size // 2, dtype=torch.int16, device=device)
    other = torch.empty_like(there)
    yield (
        "copy on the device (read + write)",
        2 * size * rate(lambda: other.copy_(there), device, seconds) / 1e9,
        "GB/s",
    )
    if device.type == "cuda":
        host = torch.empty(size // 2, dtype=torch.int16, pin_memory=True)
        yield "host to device, pinned", size * rate(lambda: there.copy_(host), device, seconds) / 1e9, "GB/s"
        yield "device to host, pinned", size * rate(lambda: host.copy_(there), device, seconds) / 1e9, "GB/s"
    side = 8192 if device.type == "cuda" else 1024
    for name, kind in PRECISIONS.items():
        a, b = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
        yield (
            f"matrix product, {name}",
            2 * side**3 * rate(lambda a=a, b=b: a @ b, device, seconds) / 1e12,
            "TFLOP/s",
        )


def ready(name: str, kind: torch.dtype, device: torch.device, *, ratio: int, bands: int, tile: int) -> Engine:
    """Return a network with random weights."""
    net: MsGenerator | PanGanGenerator
    net = PanGanGenerator(PanGanSpec(bands)) if name == "pan-gan" else MsGenerator(MsSpec(ratio, 0, 32, 2, 2))
    net = net.eval().requires_grad_(False).to(device, kind).to(memory_format=torch.channels_last)
    return Engine(net, net.spec, device, kind, tile, 1 if name == "pan-gan" else ratio)


def fed(running: Engine, batch: int, bands: int) -> tuple[Tensor, ...]:
    """Return random inputs of one batch of inner tiles."""
    halo, side = 2 * running.net.halo, running.inner_px

    def planes(*shape: int) -> Tensor:
        return torch.randn(*shape, device=running.device).to(running.kind)

    if isinstance(running.net, PanGanGenerator):
        return (
            planes(batch, bands + 1, side + halo, side + halo).contiguous(memory_format=torch.channels_last),
        )
    across = blocks_across(side, running.spec.ratio) + halo
    common = planes(batch, running.spec.common_channels, across, across)
    own = planes(batch, bands, running.spec.own_channels, across, across)
    return channels_last(common), channels_last(own)


def as_graph(run: Callable[[], object], device: torch.device) -> Callable[[], object]:
    """Record what a call launches as one CUDA graph; returns its replay."""
    stream = torch.cuda.Stream(device)
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.synchronize(device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def alone(device: torch.device, options: argparse.Namespace) -> None:
    """Sweep batch and tile with the network alone."""
    ways = ["eager"] if device.type == "cpu" else ["eager", "graph", "compiled"]
    print(
        f"\n| network | precision | tile px | batch | {' Mpx/s | '.join(ways)} Mpx/s |\n|{'---|' * (4 + len(ways))}"
    )
    tiles, batches = ((256,), (1, 16)) if options.quick else (TILES, BATCHES)
    for name in ("pan-gan", "pan-gan-ms"):
        for precision, kind in PRECISIONS.items():
            for tile in tiles:
                for batch in batches if device.type == "cuda" else (1,):
                    running = ready(name, kind, device, ratio=options.ratio, bands=options.bands, tile=tile)
                    cells = [measured(running, way, batch, options) for way in ways]
                    print(f"| {name} | {precision} | {tile} | {batch} | {' | '.join(cells)} |", flush=True)


def measured(running: Engine, way: str, batch: int, options: argparse.Namespace) -> str:
    """Return Mpx/s of one way to run a batch; "-" where there is not the memory for it."""
    try:
        given = fed(running, batch, options.bands)
        net = torch.compile(running.net) if way == "compiled" else running.net
        with torch.inference_mode():
            run: Callable[[], object] = lambda: net(*given)  # noqa: E731
            if way == "graph":
                run = as_graph(run, running.device)
            calls = rate(run, running.device, options.seconds)
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return "-"
    return f"{calls * batch * running.inner_px**2 / 1e6:.1f}"


def host_to_host(device: torch.device, options: argparse.Namespace) -> None:
    """Time whole tiles from 16-bit pixels to 16-bit pixels."""
    print("\n| network | precision | tile px | batch | host to host Mpx/s |\n|---|---|---|---|---|")
    pixels, wanted = scene(options.ratio, options.bands)
    workers = 2 if device.type == "cuda" else 1
    for name in ("pan-gan", "pan-gan-ms"):
        fuse = fuse_fine if name == "pan-gan" else fuse_ms
        for precision, kind in PRECISIONS.items():
            for batch in (1, 16) if device.type == "cuda" else (1,):
                running = ready(name, kind, device, ratio=options.ratio, bands=options.bands, tile=256)

                def tile(_: object, *, fuse=fuse, running=running, batch=batch) -> None:
                    torch.set_num_threads(1)
                    fuse(running, pixels, wanted, batch=batch, inner_px=256)

                with ThreadPoolExecutor(workers) as pool:
                    calls = rate(lambda: list(pool.map(tile, range(workers))), device, options.seconds)
                speed = calls * workers * CORE_PX**2 / 1e6
                print(f"| {name} | {precision} | 256 | {batch} | {speed:.1f} |", flush=True)


def scene(ratio: int, bands: int) -> tuple[Pixels, Wanted]:
    """Return a tile's random pixels, and ridge with random coefficients."""
    rng = np.random.default_rng(1)
    margin, halo, far = 24 * ratio, 48 * ratio, 40
    grown = (-margin, CORE_PX + margin, -margin, CORE_PX + margin)
    side, coarse = CORE_PX + 2 * (margin + halo), (CORE_PX + 2 * margin) // ratio + 2 * far
    axis = AxisMap(1.0 / ratio, 0.5 / ratio - 0.5)
    pixels = Pixels(
        fine=rng.integers(100, 2000, (side, side)).astype(np.float32),
        fine_origin=(-margin - halo, -margin - halo),
        coarse=rng.integers(100, 2000, (bands, coarse, coarse)).astype(np.float32),
        coarse_origin=(-margin // ratio - far, -margin // ratio - far),
        axes=(axis, axis),
        gains=(0.3,) * bands,
        shifts_px=((0.2, -0.3),) * bands,
        joint_gain=0.3,
        shift_px=(0.2, -0.3),
    )
    one, level = [1.0] * bands, [500.0] * bands
    ridge = {
        "taps": rng.normal(0.0, 0.02, (bands, 5, 5)).tolist(),
        "ratios": rng.normal(0.0, 0.1, (bands, bands)).tolist(),
        "corrections": rng.normal(0.0, 0.1, (bands, bands)).tolist(),
        "extras": ["back-projection"],
        "classes": None,
    }
    levels = {
        **{"mean": level, "std": level, "back": one, "pan_mean": 500.0, "pan_std": 300.0, "pan_back": 50.0},
        **{"range_centre": [*level, 500.0], "range_half": [*level, 500.0]},
    }
    wanted = Wanted(
        core=(0, CORE_PX, 0, CORE_PX),
        grown=grown,
        values={"ridge": ridge, "levels": levels},
        floor=0.5,
        rounds=ROUNDS,
        step_cpx=5,
        detail_shares=(),
        network_shares=(),
        first=(0, 0),
        whole=True,
    )
    return pixels, wanted


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--ratio", type=int, default=4)
    parser.add_argument("--bands", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--quick", action="store_true", help="one tile size, two batches")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.set_num_threads(1)
    clock = "CPU seconds of one thread" if device.type == "cpu" else "wall seconds"
    print(f"{describe(device)}; ratio {options.ratio}, {options.bands} bands; per second: {clock}\n")
    print("| at best | |\n|---|---|")
    for name, value, unit in limits(device, options.seconds):
        print(f"| {name} | {value:.3g} {unit} |", flush=True)
    alone(device, options)
    host_to_host(device, options)


if __name__ == "__main__":
    main()
