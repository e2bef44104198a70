"""What a scene is, and what a plan would do: as JSON values, from headers only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from geofuse.nouns import Json, to_json
from geofuse.rasters.cog import encoding_of, expected_bytes
from geofuse.rasters.image import Band, Grid, Image
from geofuse.run.plans.memory import output_bytes, run_bytes
from geofuse.run.plans.plan import Plan
from geofuse.run.plans.tiles import tiles_of
from geofuse.scenes.aoi import window_of
from geofuse.scenes.bands import select_bands, with_nodata
from geofuse.scenes.relating import relate
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
    relation, quality = relate(scene), scene.find("quality")
    target = relation.target
    area, _ = window_of(relation.guide.grid, bbox=bbox, aoi=aoi, window=window)
    return {
        "scene": scene.scene_id,
        "sensor": scene.sensor,
        "acquired": scene.acquired,
        "metadata": scene.metadata,
        "fine": _image(relation.guide, relation.guide.bands),
        "coarse": _image(target, target.bands),
        "default_bands": [target.bands[index].name for index in chosen],
        "quality": quality and _quality(quality),
        "relation": {
            "ratio": list(relation.ratio),
            "axis_y": asdict(relation.axis_y),
            "axis_x": asdict(relation.axis_x),
            "rows": list(relation.rows),
            "cols": list(relation.cols),
            "warped": target.warped,
        },
        "area_px": list(area) if area else None,
        "warnings": [*scene.warnings, *relation.notes],
    }


def _image(image: Image, bands: Sequence[Band]) -> dict[str, Json]:
    return {
        "grid": _grid(image.grid),
        "bands": [_band(band) for band in bands],
        "rpcs": image.rpcs is not None,
        "alpha": bool(image.alpha),
        "block": [*image.block],
    }


def _quality(image: Image) -> dict[str, Json]:
    path = image.bands[0].path
    kind = image.bit_layout.name if image.bit_layout else None
    return {"path": path, "driver": image.drivers[path], "grid": asdict(image.grid), "kind": kind}


def _grid(grid: Grid) -> dict[str, Json]:
    return {**asdict(grid), "pixel_size": [abs(grid.transform[0]), abs(grid.transform[4])]}


def _band(band: Band) -> dict[str, Json]:
    found: dict[str, Json] = {"path": band.path, "index": band.pieces[0].index, **asdict(band)}
    found["nodata"] = None if band.nodata is None else str(band.nodata)
    found["radiometry"] = "unknown" if band.gain is None else f"{band.gain:g} * DN {band.offset or 0.0:+g}"
    return found


def plan_summary(plan: Plan, out: Path | str | None = None) -> dict[str, Any]:
    """Return what `geofuse plan` shows, as JSON values."""
    tiles = tiles_of(plan.grid.height, plan.grid.width, plan.tile_px)
    return {
        "scene": plan.scene.scene_id,
        "sensor": plan.scene.sensor,
        "method": plan.method,
        "bands": list(plan.options.names),
        "grid": asdict(plan.grid),
        "origin_px": list(plan.pair.origin),
        "axis_y": asdict(plan.pair.axis_y),
        "axis_x": asdict(plan.pair.axis_x),
        "ratio": plan.options.ratio,
        "network": to_json(plan.options.network),
        "dtype": plan.spec.dtype,
        "nodata": None if plan.spec.nodata is None else str(plan.spec.nodata),
        **encoding_of(plan.spec),
        "tile_px": plan.tile_px,
        "tiles": len(tiles),
        "halo_px": plan.reach[0],
        "halo_cpx": plan.reach[1],
        "workers": plan.workers,
        "bytes_per_task": plan.bytes_per_task,
        "bytes_in_memory": run_bytes(plan),
        "output_bytes_plain": expected_bytes(plan.spec),
        "output_bytes_estimate": output_bytes(plan),
        "mask": plan.mask is not None,
        "notes": list(plan.notes),
        "out": str(out) if out else None,
    }
