"""Tiles asked for by many at once: made by as many threads as there are cores, kept encoded, refused in time."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from geofuse.errors import BusyError, MissingError
from geofuse.serve.http.access import Grant
from geofuse.serve.maps.painting import TilePlace, checked_place, tile
from geofuse.serve.maps.rasters import mask_of, raster_at, stay_in_gdal
from geofuse.serve.maps.rendering import look_of
from geofuse.serve.settings import ServeLimits
from geofuse.serve.stac.archive import Archive, IndexRow

LAYERS = {"fused": "data", "input": "input"}
"""Asset of each layer."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a tile's address says beside its place."""

    layer: str = "fused"
    """One of `LAYERS`."""
    bands: str | None = None
    """Names by commas; None: true colour."""
    ranges: str | None = None
    """"low,high" by semicolons; None: the product's percentiles, for both layers."""
    gamma: float = 1.0
    """Above 1 lifts the shadows."""
    form: str = "png"
    """png, webp or jpg."""


class Tiler:
    """Makes tiles and keeps them."""

    def __init__(self, archive: Archive, limits: ServeLimits, counts: dict[str, int]) -> None:
        self.archive, self.limits, self.counts = archive, limits, counts
        self.threads = ThreadPoolExecutor(max(2, os.cpu_count() or 2), "tile", initializer=stay_in_gdal)
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._coming: dict[str, asyncio.Future[bytes]] = {}

    def tag(self, row: IndexRow, grant: Grant, place: TilePlace, asked: Asked) -> str:
        """Return what tells a tile from any other: the same tag, the same bytes."""
        text = repr((row.id, row.version, grant.scale, place, asked))
        return blake2b(text.encode(), digest_size=12).hexdigest()

    async def tile(self, row: IndexRow, grant: Grant, place: TilePlace, asked: Asked) -> bytes:
        """Return a tile's bytes; raises BusyError where too many wait, MissingError, BandError, UsageError."""
        checked_place(place)
        tag = self.tag(row, grant, place, asked)
        if tag in self._kept:
            self._kept.move_to_end(tag)
            self._count("tiles_kept")
            return self._kept[tag]
        if tag not in self._coming:
            if len(self._coming) >= self.limits.tiles:
                self._count("tiles_refused")
                raise BusyError(f"{len(self._coming)} tiles are being made", do="try again in a moment")
            loop = asyncio.get_running_loop()
            future = loop.run_in_executor(self.threads, self._make, row, grant, place, asked)
            self._coming[tag] = future
            future.add_done_callback(lambda done: self._arrived(tag, done))
        return await asyncio.shield(self._coming[tag])

    def _make(self, row: IndexRow, grant: Grant, place: TilePlace, asked: Asked) -> bytes:
        if asked.layer not in LAYERS or LAYERS[asked.layer] not in row.assets:
            raise MissingError(f"no layer {asked.layer[:20]!r}", wanted=" or ".join(LAYERS))
        product = raster_at(self._path(row, "data"))
        mask = mask_of(self.archive, row)
        look = look_of(row, product, mask=mask, bands=asked.bands, ranges=asked.ranges, gamma=asked.gamma)
        shown = product if asked.layer == "fused" else raster_at(self._path(row, LAYERS[asked.layer]))
        return tile(shown, look, place, scale=grant.scale, form=asked.form)

    def _path(self, row: IndexRow, key: str) -> Path:
        return self.archive.asset_path(row, key)

    def _arrived(self, tag: str, done: asyncio.Future[bytes]) -> None:
        del self._coming[tag]
        if done.cancelled() or done.exception() is not None:
            return
        self._count("tiles_made")
        data = done.result()
        self._kept[tag] = data
        self._bytes += len(data)
        while self._bytes > self.limits.tile_cache_bytes:
            self._bytes -= len(self._kept.popitem(last=False)[1])

    def _count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1

    def close(self) -> None:
        """Let the threads go."""
        self.threads.shutdown(wait=False, cancel_futures=True)
