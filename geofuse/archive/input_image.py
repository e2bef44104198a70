"""The unsharpened input of a product, on its own grid, as a COG of its own: what the product is compared with.

A product's record names the files it came from. Where they are still there, and still what they were, the bands
that were fused are cut to the product's area, stored value by stored value, block by block.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.errors import ChangedError, GeofuseError
from geofuse.geometry import Window
from geofuse.rasters.cog import CogSpec, assemble, checked_spec, encode_tile, write_part
from geofuse.rasters.image import Grid, Image
from geofuse.rasters.opening.headers import RasterFacts
from geofuse.rasters.pixels import read_raw, read_window
from geofuse.run.records.documents import ProductRecord
from geofuse.run.records.reopening import reopened
from geofuse.scenes.projecting import between, rectangle
from geofuse.scenes.relating import target_of

TILE_PX = 1024
MARGIN_CPX = 2
"""Coarse pixels kept around the product's area, so that the picture does not end before the product does."""

_log = logging.getLogger(__name__)


def write_input(out: Path, record: ProductRecord, facts: RasterFacts, *, beside: Path) -> bool:
    """Write the input of the product with that record and header at `out`; False where it cannot be had again.

    Files are looked for where the record says, then in the folder `beside`.

    That is no fault: the files may have been moved or changed since, and a product is whole without them.
    Raises WriteError.
    """
    try:
        scene, chosen = reopened(record, beside)
        image = target_of(scene)
        window = _window(facts.grid, image.grid)
    except GeofuseError as fault:
        _log.info("%s is published without its input: %s", record["scene"]["id"], fault)
        return False
    spec = _spec(image, chosen, window, record, facts)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".input-", suffix=".tmp") as parts:
        paths = []
        rows, cols = -(-spec.height // TILE_PX), -(-spec.width // TILE_PX)
        for at in range(rows * cols):
            row, col = divmod(at, cols)
            pixels = _read(image, chosen, _tile(window, row, col), spec)
            tile = encode_tile(pixels, spec, tile_row=row, tile_col=col, tile_px=TILE_PX)
            paths.append(Path(parts) / f"{at}.part")
            write_part(paths[-1], [tile], fingerprint=record["fingerprint"], extra={})
        assemble(out, spec, paths, tile_px=TILE_PX)
    return True


def _window(fine: Grid, coarse: Grid) -> Window:
    """Return the rows and columns of the coarse grid that the product covers, with a margin."""
    edge = between(fine, coarse)(rectangle((0.0, 0.0), (float(fine.width), float(fine.height))))
    edge = edge[np.isfinite(edge).all(axis=1)]
    if not len(edge):
        raise ChangedError("no longer where the product is")
    (left, top), (right, bottom) = np.floor(edge.min(axis=0)), np.ceil(edge.max(axis=0))
    row0, col0 = max(0, int(top) - MARGIN_CPX), max(0, int(left) - MARGIN_CPX)
    row1, col1 = min(coarse.height, int(bottom) + MARGIN_CPX), min(coarse.width, int(right) + MARGIN_CPX)
    if row1 <= row0 or col1 <= col0:
        raise ChangedError("no longer where the product is")
    return row0, row1, col0, col1


def _spec(
    image: Image, chosen: Sequence[int], window: Window, record: ProductRecord, facts: RasterFacts
) -> CogSpec:
    a, b, c, d, e, f = image.grid.transform
    row0, row1, col0, col1 = window
    bands = [image.bands[index] for index in chosen]
    dtype = str(np.result_type(*(np.dtype(band.dtype) for band in bands)))
    return checked_spec(
        CogSpec(
            height=row1 - row0,
            width=col1 - col0,
            bands=len(bands),
            dtype=dtype,
            nodata=facts.nodata[0] if facts.nodata[0] is not None else bands[0].nodata,
            crs=image.grid.crs,
            transform=(a, b, c + a * col0 + b * row0, d, e, f + d * col0 + e * row0),
            descriptions=tuple(record["parameters"]["bands"]),
            colors=tuple(band.color for band in bands),
            scales=facts.scales[: len(bands)],
            offsets=facts.offsets[: len(bands)],
            tags=_tags(record, facts),
        )
    )


def _tags(record: ProductRecord, facts: RasterFacts) -> dict[str, str]:
    """Return what the input says of itself: the product's credit above all."""
    kept = ("AREA_OR_POINT", "TIFFTAG_SOFTWARE", "TIFFTAG_COPYRIGHT")
    said = {name: text for name, text in facts.tags.items() if name in kept}
    return {**said, "TIFFTAG_IMAGEDESCRIPTION": f"{record['scene']['id']} unsharpened"}


def _tile(window: Window, row: int, col: int) -> Window:
    row0, row1, col0, col1 = window
    top, left = row0 + row * TILE_PX, col0 + col * TILE_PX
    return top, min(top + TILE_PX, row1), left, min(left + TILE_PX, col1)


def _read(image: Image, chosen: Sequence[int], window: Window, spec: CogSpec) -> NDArray[Any]:
    """Return stored values (h, w, bands), the spec's nodata where the input has none."""
    plain = replace(image, warped=False)
    pixels = np.stack([read_raw(plain, index, window) for index in chosen], axis=-1).astype(spec.dtype)
    if spec.nodata is not None:
        _, valid = read_window(plain, tuple(chosen), window)
        pixels[~valid] = spec.nodata
    return np.ascontiguousarray(pixels)
