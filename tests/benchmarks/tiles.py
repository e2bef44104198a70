"""Tiles and downloads under load: requests a second, latencies, refusals, memory. Run it on a quiet machine.

    python tests/benchmarks/tiles.py CATALOG ITEM [--seconds 20] [--soak 600] [--downloads 32]

The server is `geofuse serve` in a process of its own; the client is a plain asyncio one in this process. Tiles are
drawn at random over the item's footprint from all its zoom levels, each address once, so that none is in the
server's cache, but in the row "cached".
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.request import urlopen

import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.serve.browsing import served  # noqa: E402


class Client:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def get(self, path: str) -> tuple[int, float, int]:
        """Return status, seconds and bytes."""
        began = time.perf_counter()
        if self.writer is None or self.writer.is_closing():
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        assert self.reader is not None
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n\r\n".encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        left = length
        while left:
            left -= len(await self.reader.read(min(left, 1 << 16)))
        return int(head[9:12]), time.perf_counter() - began, length


def addresses(base: str, item: str, rng: random.Random) -> Callable[[], str]:
    """Return a function that names another tile each time."""
    with urlopen(f"{base}/api/items/{item}") as answer:
        known = json.load(answer)
    west, south, east, north = known["bounds_lonlat"]
    zooms = range(known["min_zoom"], known["max_zoom"] + 1)
    bands = known["bands"]
    names = [band["name"] for band in bands][:3]

    def another() -> str:
        z = rng.choice(zooms)
        lon, lat = rng.uniform(west, east), rng.uniform(south, north)
        x = int((lon + 180.0) / 360.0 * 2**z)
        y = int((1.0 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2.0 * 2**z)
        low = rng.uniform(0.0, 50.0)  # another stretch is another tile
        rng.shuffle(names)
        return (
            f"/api/items/{item}/tiles/{z}/{x}/{y}.png?bands={','.join(names)}"
            f"&range={low:.4f},{low + 4000:.4f}"
        )

    return another


async def loaded(port: int, workers: int, seconds: float, address: Callable[[], str]) -> dict[str, float]:
    """Ask with so many at once for so long; returns what came of it."""
    done: list[tuple[int, float]] = []
    stop = time.perf_counter() + seconds

    async def ask() -> None:
        client = Client(port)
        while time.perf_counter() < stop:
            status, took, _ = await client.get(address())
            done.append((status, took))
            if status == 503:
                await asyncio.sleep(0.25)

    began = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(workers)))
    wall = time.perf_counter() - began
    good = sorted(took for status, took in done if status == 200)
    busy = sorted(took for status, took in done if status == 503)
    other = [status for status, _ in done if status not in (200, 503)]
    assert not other, other[:5]
    return {
        "workers": workers,
        "rate": round(len(good) / wall, 1),
        "p50_ms": _ms(good, 0.5),
        "p99_ms": _ms(good, 0.99),
        "refused": len(busy),
        "refused_p99_ms": _ms(busy, 0.99),
    }


def _ms(values: list[float], share: float) -> float:
    return round(1000.0 * values[min(len(values) - 1, int(share * len(values)))], 1) if values else 0.0


def memory_of(port: int) -> float:
    """Return the resident MB of the process that listens."""
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if "serve" in line and str(port) in line:
            return round(process.memory_info().rss / 1e6, 1)
    return 0.0


async def downloads(port: int, path: str, count: int) -> dict[str, float]:
    """Fetch a file so many times at once; returns the time, the rate and the memory."""
    before, most = memory_of(port), 0.0
    going = True

    async def watch() -> None:
        nonlocal most
        while going:
            most = max(most, memory_of(port))
            await asyncio.sleep(0.25)

    watcher = asyncio.create_task(watch())
    began = time.perf_counter()
    found = await asyncio.gather(*(Client(port).get(path) for _ in range(count)))
    wall = time.perf_counter() - began
    going = False
    await watcher
    sent = sum(length for _, _, length in found)
    assert all(status == 200 for status, _, _ in found)
    return {
        "downloads": count,
        "GB": round(sent / 1e9, 2),
        "MB_per_s": round(sent / 1e6 / wall, 1),
        "memory_before_MB": before,
        "memory_most_MB": most,
        "growth_MB": round(most - before, 1),
    }


def shown(what: str, found: dict[str, float]) -> None:
    """Print a row."""
    print(what, json.dumps(found), flush=True)


async def measured(arguments: argparse.Namespace, base: str) -> None:
    """Ask in every way."""
    port = int(base.rpartition(":")[2])
    another = addresses(base, arguments.item, random.Random(1))
    await loaded(port, 2, 3.0, another)  # compiled, opened
    run: Callable[[int], Awaitable[dict[str, float]]] = lambda workers: loaded(  # noqa: E731
        port, workers, arguments.seconds, another
    )
    for workers in (1, 8, 64):
        shown("tiles", await run(workers))
    kept = [another() for _ in range(200)]
    for path in kept:
        await Client(port).get(path)
    shown("cached", await loaded(port, 8, arguments.seconds, lambda: random.choice(kept)))
    if arguments.soak:
        for minute in range(round(arguments.soak / 60)):
            found = await loaded(port, 8, 60.0, another)
            shown(f"minute {minute + 1}", {**found, "memory_MB": memory_of(port)})
    if arguments.downloads:
        path = f"/api/items/{arguments.item}/download/data"
        await Client(port).get(path)  # verified once
        shown("downloads", await downloads(port, path, arguments.downloads))


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("catalog")
    parser.add_argument("item")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--soak", type=float, default=0.0)
    parser.add_argument("--downloads", type=int, default=0)
    parser.add_argument("--url", help="a server that runs already")
    arguments = parser.parse_args()
    if arguments.url:
        asyncio.run(measured(arguments, arguments.url))
        return
    with served(Path(arguments.catalog).resolve()) as base:
        asyncio.run(measured(arguments, base))


if __name__ == "__main__":
    main()
