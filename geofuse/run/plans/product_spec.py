"""What a product is to be: its type, nodata, colours, tags and codec, from the scene's bands; and its mask's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from geofuse.rasters.cog import CogSpec, checked_spec
from geofuse.rasters.image import Band, Grid, Image
from geofuse.scenes.relating import Relation
from geofuse.scenes.scene import Scene
from geofuse.version import __version__

MASK_MEANING = "1 nodata, 2 saturated, 4 cloud, 8 shadow, 16 snow, 32 cirrus"


def dtype_of(bands: Sequence[Band]) -> str:
    """Return the type that holds all bands."""
    return str(np.result_type(*(np.dtype(band.dtype) for band in bands)))


def _nodata(relation: Relation, bands: Sequence[Band], dtype: str) -> float | None:
    """Choose the output's nodata: the bands', else PAN's, else what fits where a pixel can be invalid at all."""
    for band in (*bands, *relation.guide.bands):
        if band.nodata is not None and _fits(band.nodata, dtype):
            return float(band.nodata)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return math.nan
    if _may_be_invalid(relation.guide) or _may_be_invalid(relation.target):
        return 0.0 if kind.kind == "u" else float(np.iinfo(kind).min)
    return None


def _may_be_invalid(image: Image) -> bool:
    marked = any(band.nodata is not None or np.dtype(band.dtype).kind == "f" for band in image.bands)
    return bool(marked or image.alpha or image.masks or image.warped)


def _fits(value: float, dtype: str) -> bool:
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return True
    limits = np.iinfo(kind)
    return bool(math.isfinite(value) and value == int(value) and limits.min <= value <= limits.max)


def data_spec(
    scene: Scene,
    relation: Relation,
    bands: Sequence[Band],
    grid: Grid,
    *,
    origin: tuple[int, int],
    about: str,
    encoding: Mapping[str, Any],
    attribution: str | None,
) -> CogSpec:
    """Return the product: grid, type, nodata, colours, scales, tags; `encoding` holds CogSpec's other fields."""
    dtype = dtype_of(bands)
    tags = {
        "AREA_OR_POINT": "Area",
        "TIFFTAG_SOFTWARE": f"geofuse {__version__}",
        "TIFFTAG_IMAGEDESCRIPTION": about,
    }
    if len({band.bits for band in bands}) == 1 and bands[0].bits is not None:
        tags["NBITS"] = str(bands[0].bits)
    credit = scene.metadata.get("attribution") if attribution is None else attribution
    if credit:
        tags["TIFFTAG_COPYRIGHT"] = str(credit)
    return checked_spec(
        CogSpec(
            height=grid.height,
            width=grid.width,
            bands=len(bands),
            dtype=dtype,
            nodata=_nodata(relation, bands, dtype) if encoding["validity"] == "nodata" else None,
            crs=grid.crs,
            transform=grid.transform,
            descriptions=tuple(band.description if band.name.isdigit() else band.name for band in bands),
            colors=tuple(_color(band) for band in bands),
            scales=tuple(1.0 if band.gain is None else band.gain for band in bands),
            offsets=tuple(0.0 if band.offset is None else band.offset for band in bands),
            tags=tags,
            rpcs=_moved_rpcs(relation.guide.rpcs, origin),
            **encoding,
        )
    )


def _color(band: Band) -> str:
    """Return the colour a band is shown in by default: by its name, else what its file says."""
    if band.name in ("red", "green", "blue", "nir"):
        return band.name
    return "undefined" if band.color == "gray" else band.color


def _moved_rpcs(rpcs: dict[str, str] | None, origin: tuple[int, int]) -> dict[str, str] | None:
    """Let PAN's coefficients speak of the output's pixels."""
    if rpcs is None:
        return None
    moved_by = {"LINE_OFF": origin[0], "SAMP_OFF": origin[1]}
    return {
        key: repr(float(value.split()[0]) - moved_by[key]) if moved_by.get(key) else value
        for key, value in rpcs.items()
    }


def encoding_notes(spec: CogSpec) -> list[str]:
    """Say what readers may not make of a file as it was asked for."""
    if spec.validity == "alpha" and spec.bands not in (1, 3):
        return [f"beside {spec.bands} bands few readers take alpha for a mask; --mask suits any number"]
    return []


def mask_spec(scene: Scene, spec: CogSpec) -> CogSpec | None:
    """Return the mask asset that lies beside a product; None without a quality band."""
    if scene.find("quality") is None:
        return None
    tags = {**spec.tags, "TIFFTAG_IMAGEDESCRIPTION": f"{scene.scene_id} mask: {MASK_MEANING}"}
    return checked_spec(
        CogSpec(
            height=spec.height,
            width=spec.width,
            bands=1,
            dtype="uint8",
            nodata=None,
            crs=spec.crs,
            transform=spec.transform,
            descriptions=("mask",),
            colors=("gray",),
            scales=(1.0,),
            offsets=(0.0,),
            tags=tags,
            rpcs=spec.rpcs,
            compress="deflate" if spec.compress == "lerc" else spec.compress,
            level=None if spec.compress == "lerc" else spec.level,
            overview="or",
        )
    )


def tops_of(bands: Sequence[Band], dtype: str) -> tuple[float, ...]:
    """Return where each band saturates; empty where no detector has fewer bits than the type."""
    kind = np.dtype(dtype)
    if kind.kind == "f" or all(band.bits is None for band in bands):
        return ()
    whole = float(np.iinfo(kind).max)
    return tuple(whole if band.bits is None else 2.0**band.bits - 1.0 for band in bands)
