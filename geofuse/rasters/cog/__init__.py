"""The only door to GDAL for writing: Cloud Optimized GeoTIFFs, every block encoded once.

A tile's task encodes its own blocks, at full size and on the overview levels it holds whole (`encode_tile`),
and stores their final bytes as a part (`write_part`). The coordinator builds the coarser overviews from what
the parts hold of them and lays the product down by copying (`assemble`). The product's bytes depend on the
pixels and the `CogSpec` alone: not on the size of the tiles, their order, or who made them.
"""

from __future__ import annotations

from geofuse.rasters.cog.assembly import Assembled, assemble, write_cog
from geofuse.rasters.cog.blocks import EncodedTile, encode_tile
from geofuse.rasters.cog.parts import check_part, write_part
from geofuse.rasters.cog.plain import write_plain
from geofuse.rasters.cog.spec import (
    CogSpec,
    checked_spec,
    encoding_of,
    expected_bytes,
    levels,
    make_spec,
    spec_from_json,
    spec_to_json,
)
from geofuse.rasters.cog.validate import validate_cog

__all__ = [
    "Assembled",
    "CogSpec",
    "EncodedTile",
    "assemble",
    "check_part",
    "checked_spec",
    "encode_tile",
    "encoding_of",
    "expected_bytes",
    "levels",
    "make_spec",
    "spec_from_json",
    "spec_to_json",
    "validate_cog",
    "write_cog",
    "write_part",
    "write_plain",
]
