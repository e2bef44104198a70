"""Between host and device: a stream of each thread's own, page-locked buffers, memory that is short."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_lanes = threading.local()


@contextmanager
def lane(device: torch.device) -> Iterator[None]:
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
