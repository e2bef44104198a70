"""Decoded pixels shared by all threads: cells of whole blocks, each decoded once as long as there is room for it.

A tile looks beyond its core, and a block often belongs to several tiles: without this, each thread would decode it
again for each of them. Cells are of the file's own blocks, joined where these are small; strips are joined to cells
of full width. No GDAL in here: the caller's dataset decodes.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import Window
from geofuse.rasters.opening.handles import drop as close_datasets
from geofuse.rasters.opening.handles import stamp_of
from geofuse.rasters.opening.sniffing import file_of

ROOM_BYTES = 48 << 20
"""What is kept; `geofuse.run.plans.plan.swaths` orders tiles so that what they share fits."""
CELL_PX = 512
"""Smaller blocks are joined to cells of about this side."""
STRIP_ROWS = 64
"""Strips are joined to cells of about so many rows."""


def cell_shape(block: tuple[int, int], width: int) -> tuple[int, int]:
    """Return rows and columns of a cell of a raster of `width` pixels in blocks of (rows, cols).

    >>> cell_shape((512, 512), 9000), cell_shape((256, 128), 9000), cell_shape((3, 9000), 9000)
    ((512, 512), (512, 512), (63, 9000))
    """
    rows, cols = block
    if cols >= width:
        return rows * max(1, STRIP_ROWS // rows), width
    return rows * max(1, CELL_PX // rows), cols * max(1, CELL_PX // cols)


class Store:
    """The cells, the least used of which make room; two threads never decode the same one at a time."""

    def __init__(self, room_bytes: int = ROOM_BYTES) -> None:
        self.room = room_bytes
        self.clear()

    def clear(self) -> None:
        """Forget everything, also who was at work: for a forked child."""
        self.lock = threading.Lock()
        self.cells: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()
        self.loading: dict[Hashable, threading.Event] = {}
        self.bytes = 0

    def get(self, key: Hashable, load: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Return a cell, decoded now by `load` or kept."""
        while True:
            with self.lock:
                found = self.cells.get(key)
                if found is not None:
                    self.cells.move_to_end(key)
                    return found
                other = self.loading.get(key)
                if other is None:
                    self.loading[key] = threading.Event()
                    break
            other.wait()  # and look again: who decoded it may have failed
        cell = None
        try:
            cell = load()
            return cell
        finally:
            with self.lock:
                if cell is not None:
                    self._keep(key, cell)
                self.loading.pop(key).set()

    def _keep(self, key: Hashable, cell: NDArray[Any]) -> None:
        self.cells[key] = cell
        self.bytes += cell.nbytes
        while self.bytes > self.room and len(self.cells) > 1:
            self.bytes -= self.cells.popitem(last=False)[1].nbytes

    def forget(self, path: str) -> None:
        """Let go of one file's cells."""
        with self.lock:
            for key in [key for key in self.cells if isinstance(key, tuple) and key[0] == path]:
                self.bytes -= self.cells.pop(key).nbytes


STORE = Store()
"""This process's."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=STORE.clear)


def read_cells(dataset: Any, bands: list[int], window: Window, path: str) -> NDArray[Any]:
    """Read bands of one type over a window inside the raster: (bands, rows, cols) as stored.

    What a cell of its own would fill the store with is read past it.
    """
    height, width = dataset.shape
    rows, cols = cell_shape(dataset.block_shapes[0], width)
    dtype = np.dtype(dataset.dtypes[bands[0] - 1])
    if rows * cols * len(bands) * dtype.itemsize > STORE.room // 4:
        return np.asarray(dataset.read(bands, window=((window[0], window[1]), (window[2], window[3]))))
    stamp = stamp_of(os.stat(file_of(path)))
    out = np.empty((len(bands), window[1] - window[0], window[3] - window[2]), dtype)
    for top in range(window[0] // rows * rows, window[1], rows):
        for left in range(window[2] // cols * cols, window[3], cols):
            area = top, min(top + rows, height), left, min(left + cols, width)
            key = path, stamp, tuple(bands), top, left
            cell = STORE.get(key, partial(_load, dataset, bands, area))
            _paste(cell, (top, left), out, window)
    return out


def _load(dataset: Any, bands: list[int], area: Window) -> NDArray[Any]:
    """Decode one cell."""
    return np.asarray(dataset.read(bands, window=((area[0], area[1]), (area[2], area[3]))))


def _paste(cell: NDArray[Any], corner: tuple[int, int], out: NDArray[Any], window: Window) -> None:
    """Copy what a cell has of a window into it."""
    top, left = max(corner[0], window[0]), max(corner[1], window[2])
    bottom = min(corner[0] + cell.shape[1], window[1])
    right = min(corner[1] + cell.shape[2], window[3])
    out[:, top - window[0] : bottom - window[0], left - window[2] : right - window[2]] = cell[
        :, top - corner[0] : bottom - corner[0], left - corner[1] : right - corner[1]
    ]


def drop(path: str) -> None:
    """Close this thread's datasets of one file, and let go of what was decoded of it."""
    close_datasets(path)
    STORE.forget(path)
