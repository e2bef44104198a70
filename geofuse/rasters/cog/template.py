"""What GDAL would write about a product: its tags, lifted bit by bit from a tiny file made in memory."""

from __future__ import annotations

import rasterio
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile
from rasterio.rpc import RPC

from geofuse.errors import UsageError
from geofuse.rasters.cog.directory import (
    COMPRESSION,
    HEIGHT,
    PREDICTOR,
    SUBFILE,
    TILE_COUNTS,
    TILE_HEIGHT,
    TILE_OFFSETS,
    TILE_WIDTH,
    WIDTH,
    Entry,
    read_directory,
)
from geofuse.rasters.cog.spec import CogSpec, planes, samples

TEMPLATE_PX = 16
"""Edge of the tiny file: the lifted tags do not depend on the image's size, so it costs nothing for any."""
OWN_TAGS = (
    *(SUBFILE, WIDTH, HEIGHT, COMPRESSION, PREDICTOR),
    *(TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS),
)
"""Tags the layout writes itself."""
PLACE_TAGS = (33550, 33922, 34264)
"""Pixel scale, tie point, transformation."""
GEOKEY_TAGS = (34735, 34736, 34737)
"""What GDAL knows of the coordinate reference system."""
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SOMEWHERE = rasterio.Affine(1.0, 0.0, 1.0, 0.0, -1.0, 1.0)
"""Stands in for no georeferencing, of which rasterio warns; its tags are dropped."""


def lifted_tags(spec: CogSpec) -> list[Entry]:
    """Return GDAL's tags for all but the layout: samples, georeferencing, nodata, names, colours, tags, RPCs.

    Raises UsageError where GDAL refuses them.
    """
    more = samples(spec) - spec.bands
    names = spec.colors + ("alpha",) * more
    colors = [getattr(ColorInterp, name, ColorInterp.undefined) for name in names]
    rgb = [color.name for color in colors[:3]] == ["red", "green", "blue"]
    placed = spec.transform != IDENTITY
    profile = {
        **{"driver": "GTiff", "width": TEMPLATE_PX, "height": TEMPLATE_PX, "count": samples(spec)},
        **{"tiled": True, "blockxsize": TEMPLATE_PX, "blockysize": TEMPLATE_PX, "sparse_ok": True},
        **{"dtype": spec.dtype, "nodata": spec.nodata, "bigtiff": "NO", "endianness": "LITTLE"},
        "crs": spec.crs or None,
        "transform": rasterio.Affine(*spec.transform) if placed else SOMEWHERE,
        "interleave": "pixel" if planes(spec) == 1 else "band",
        "photometric": "RGB" if rgb and spec.dtype in ("uint8", "uint16") else "MINISBLACK",
        "alpha": "NO",  # YES would mark the first extra sample, wherever alpha is
    }
    try:
        with MemoryFile() as memory:
            with memory.open(**profile) as made:
                made.colorinterp = colors
                made.scales, made.offsets = spec.scales + (1.0,) * more, spec.offsets + (0.0,) * more
                for band, name in enumerate(spec.descriptions, 1):
                    if name:
                        made.set_band_description(band, name)
                made.update_tags(**spec.tags)
                if spec.rpcs is not None:
                    made.rpcs = RPC.from_gdal(spec.rpcs)
            data: bytes = memory.read()
    except (RasterioError, ValueError, KeyError) as fault:
        raise UsageError(f"GDAL refuses the product's tags: {fault}", do="correct them") from fault
    entries, _, _ = read_directory(
        lambda at, size: data[at : at + size], int.from_bytes(data[4:8], "little"), big=False
    )
    bare = () if placed else PLACE_TAGS if spec.crs else PLACE_TAGS + GEOKEY_TAGS
    return [entry for entry in entries if entry.tag not in OWN_TAGS + bare]
