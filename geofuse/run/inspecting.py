"""What a scene is: sensor, bands, grids, radiometry, and how the two grids relate. Reads headers only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from geofuse.rasters.image import Band, Grid, Source
from geofuse.scenes.aoi import window_of
from geofuse.scenes.opening import relate, select_bands, with_nodata
from geofuse.scenes.scene import Scene


def inspect_scene(
    scene: Scene,
    *,
    bands: Sequence[str] | None = None,
    bbox: Sequence[float] | None = None,
    aoi: str | None = None,
    window: Sequence[int] | None = None,
    nodata: float | None = None,
) -> dict[str, Any]:
    """Return what there is to know without reading pixels, as JSON values."""
    if nodata is not None:
        scene = with_nodata(scene, nodata)
    chosen = select_bands(scene, bands)
    scene, relation = relate(scene)
    area, _ = window_of(scene.fine.grid, bbox=bbox, aoi=aoi, window=window)
    return {
        "scene": scene.scene_id,
        "sensor": scene.sensor,
        "acquired": scene.acquired,
        "metadata": scene.metadata,
        "fine": _source(scene.fine, scene.fine.bands),
        "coarse": _source(scene.coarse, scene.coarse.bands),
        "default_bands": [scene.coarse.bands[index].name for index in chosen],
        "quality": asdict(scene.quality) if scene.quality else None,
        "relation": {
            "ratio": list(relation.ratio),
            "axis_y": asdict(relation.axis_y),
            "axis_x": asdict(relation.axis_x),
            "rows": list(relation.rows),
            "cols": list(relation.cols),
            "warped": scene.coarse.warped,
        },
        "area_px": list(area) if area else None,
        "warnings": [*scene.warnings, *relation.notes],
    }


def _source(source: Source, bands: Sequence[Band]) -> dict[str, Any]:
    return {
        "grid": _grid(source.grid),
        "bands": [_band(band) for band in bands],
        "rpcs": source.rpcs is not None,
        "alpha": source.alpha is not None,
        "block": list(source.block),
    }


def _grid(grid: Grid) -> dict[str, Any]:
    return {**asdict(grid), "pixel_size": [abs(grid.transform[0]), abs(grid.transform[4])]}


def _band(band: Band) -> dict[str, Any]:
    found = asdict(band)
    found["nodata"] = None if band.nodata is None else str(band.nodata)
    found["radiometry"] = "unknown" if band.gain is None else f"{band.gain:g} * DN {band.offset or 0.0:+g}"
    return found
