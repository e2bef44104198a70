"""From a scene and what is wanted of it to a Plan: grids, tiles, bytes; refuses before a pixel is read."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from geofuse import __version__
from geofuse.errors import AreaError, DiskSpaceError, MemoryLimitError, UsageError, WriteError
from geofuse.geometry import moved
from geofuse.methods import base
from geofuse.methods.closed import low_groups
from geofuse.methods.consistency import margin_px
from geofuse.methods.observation import Observation
from geofuse.run.patches import observation_from
from geofuse.scenes.aoi import window_of
from geofuse.scenes.cog import CogSpec, checked_spec, expected_bytes
from geofuse.scenes.opening import relate, select_bands, with_nodata
from geofuse.scenes.pixels import file_of, identity
from geofuse.scenes.provenance import companions
from geofuse.scenes.scene import Band, Grid, Scene, Source
from geofuse.scenes.tiles import (
    BASE_BYTES,
    BLOCK_PX,
    Plan,
    checked_tile_px,
    run_bytes,
    task_bytes,
    tiles_of,
)

DEFAULT_TILE_PX = 1024
SAMPLE_CPX, SAMPLE_WINDOWS, SAMPLE_HALO_CPX = 96, 16, 20
"""Side and number of calibration's windows, and what is read around them."""
COMPRESSED_SHARE = 0.5
"""Of the plain size, what a lossless codec leaves of satellite images at most, for the free-disk check."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is wanted of a scene."""

    method: str = "auto"
    """Name of the method, or "auto"."""
    bands: Sequence[str] | None = None
    """Band names in the order of the output; None: the sensor's default."""
    bbox: Sequence[float] | None = None
    """W, S, E, N in degrees."""
    aoi: str | None = None
    """Vector file whose bounding window is fused."""
    window: Sequence[int] | None = None
    """Row, column, height, width in PAN pixels."""
    nodata: float | None = None
    """Value that marks invalid pixels in all inputs, instead of their tags."""
    weights: tuple[float, ...] | None = None
    """Intensity weights of brovey, in the order of the bands."""
    tile_px: int | None = None
    """Side of a tile; None: 1024, less where memory is short."""
    workers: int | None = None
    """Tasks at a time; None: one for each core."""
    memory_bytes: int | None = None
    """What the run may take; None: most of what is free."""
    compress: str = "zstd"
    """Codec of the product."""
    level: int | None = None
    """Its level; None: the codec's default."""
    calibrate: bool = True
    """Measure the observation model, hold out, choose; False: the sensor table's figures, nothing more."""
    shift_px: tuple[float, float] | None = None
    """Given shift (dy, dx) instead of a measured one, relative to the georeferences."""
    back_projections: int | None = None
    """Rounds of back-projection; None: by confidence, none without calibration."""
    force: bool = False
    """Go on with a pair that does not match."""
    attribution: str | None = None
    """Credit line in the product's tags, instead of the scene's own."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found out from the pixels before planning."""

    method: str
    """The method `auto` came to, or the one asked for."""
    observation: Observation
    """How the coarse image came from the fine one, for the output's bands."""
    shares: tuple[float, ...] = ()
    """Share of the method's detail each band keeps."""
    rounds: int = 0
    """Rounds of back-projection."""
    sample: tuple[tuple[int, int, int, int], ...] = ()
    """Cores of the windows it was found in."""
    calibration: dict[str, Any] | None = None
    """The report."""


def make_plan(scene: Scene, request: Request, found: Findings | None = None) -> Plan:
    """Decide everything; raises the errors of inputs, bands, area, memory. Reads headers only.

    Without findings the sensor table's figures stand, with the request's shift, and no back-projection but
    what it asks for: `geofuse.run.calibrating.calibrated_plan` plans with what the pixels say.
    """
    if request.nodata is not None:
        scene = with_nodata(scene, request.nodata)
    method = base.get(found.method if found else request.method)
    bands = select_bands(scene, request.bands)
    scene, relation = relate(scene)
    if scene.coarse.warped and scene.quality:
        note = "MS is warped: its quality band, which is not, is left out"
        scene = replace(scene, quality=None, warnings=(*scene.warnings, note))
    area, asked = window_of(scene.fine.grid, bbox=request.bbox, aoi=request.aoi, window=request.window)
    rows, cols = _cut(relation.rows, relation.cols, area)
    grid = _grid(scene.fine.grid, rows, cols)
    chosen = [scene.coarse.bands[index] for index in bands]
    axis_y, axis_x = moved(relation.axis_y, rows[0]), moved(relation.axis_x, cols[0])
    found = found or Findings(
        method.about.name,
        Observation(tuple(band.mtf_gain for band in chosen), request.shift_px or (0.0, 0.0)),
        rounds=request.back_projections or 0,
    )
    observation = found.observation
    options = base.Options(
        names=tuple(band.name for band in chosen),
        ratio=2.0 / (axis_y.scale + axis_x.scale),
        largest_ratio=1.0 / min(axis_y.scale, axis_x.scale),
        whole=np.dtype(_dtype(chosen)).kind != "f",
        weights=_weights(request, len(chosen)),
    )
    reach = method.halo(observation, options=options)
    spec = _spec(scene, chosen, grid, (rows[0], cols[0]), request, method.about.name)
    plan = Plan(
        scene=scene,
        bands=bands,
        grid=grid,
        origin=(rows[0], cols[0]),
        axis_y=axis_y,
        axis_x=axis_x,
        method=method.about.name,
        options=_json_values(options),
        observation=_json_values(observation),
        spec=spec,
        mask=_mask_spec(scene, spec),
        reach=(reach.fine_px, reach.coarse_cpx),
        tile_px=BLOCK_PX,
        workers=request.workers or os.cpu_count() or 1,
        bytes_per_task=0,
        area=asked,
        inputs=tuple(identity(path) for path in input_paths(scene, bands)),
        notes=(*scene.warnings, *relation.notes, *_notes_of(found, options.names)),
        margin_px=margin_px(observation, found.rounds, options),
        shares=found.shares,
        rounds=found.rounds,
        sample=found.sample,
        calibration=found.calibration,
        sample_bytes=sample_bytes(grid, options) if request.calibrate else 0,
    )
    return _with_tiles(plan, request)


def sample_bytes(grid: Grid, options: base.Options) -> int:
    """Estimate the memory of calibration: PAN with halo and the bands' values and details, of all windows."""
    side = SAMPLE_CPX * options.ratio
    windows = min(SAMPLE_WINDOWS, math.ceil(grid.height / side) * math.ceil(grid.width / side))
    fine = (side + SAMPLE_HALO_CPX * options.ratio) ** 2 * 5.0
    coarse = SAMPLE_CPX**2 * len(options.names) * 8.0 * 6.0
    return int(windows * (fine + coarse))


def _notes_of(found: Findings, names: Sequence[str]) -> list[str]:
    """Say what was found that an operator should know."""
    notes = list(found.calibration["warnings"]) if found.calibration else []
    for name, share in zip(names, found.shares, strict=False):
        if share < 1.0:
            how = "no detail is injected" if share == 0.0 else f"{share:.0%} of the detail is injected"
            notes.append(f"band {name}: {how}; more did harm in the hold-out")
    return notes


def _json_values(noun: Any) -> dict[str, Any]:
    """Return a noun's fields as they come back from JSON: a plan that was shipped equals the one that was made."""
    found: dict[str, Any] = json.loads(json.dumps(asdict(noun)))
    return found


def _weights(request: Request, bands: int) -> tuple[float, ...] | None:
    if request.weights is None:
        return None
    if len(request.weights) != bands or sum(request.weights) <= 0:
        raise UsageError(
            f"{len(request.weights)} weights for {bands} bands", wanted="one positive weight for each band"
        )
    total = sum(request.weights)
    return tuple(weight / total for weight in request.weights)


def input_paths(scene: Scene, bands: Sequence[int]) -> list[str]:
    """Return every file the plan reads, each once."""
    paths = [band.path for band in scene.fine.bands]
    paths += [scene.coarse.bands[index].path for index in bands]
    paths += [source.alpha[0] for source in (scene.fine, scene.coarse) if source.alpha]
    paths += [path for source in (scene.fine, scene.coarse) for path in source.masks]
    paths += [scene.quality.path] if scene.quality else []
    return list(dict.fromkeys(paths))


def _cut(
    rows: tuple[int, int], cols: tuple[int, int], area: tuple[int, int, int, int] | None
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Cut the covered part of PAN to the area."""
    if area is None:
        return rows, cols
    row0, row1 = max(rows[0], area[0]), min(rows[1], area[1])
    col0, col1 = max(cols[0], area[2]), min(cols[1], area[3])
    if row0 >= row1 or col0 >= col1:
        raise AreaError(
            f"rows {area[0]}..{area[1]}, columns {area[2]}..{area[3]} hold nothing of what both images cover",
            wanted=f"some of rows {rows[0]}..{rows[1]}, columns {cols[0]}..{cols[1]}",
            do="choose another area",
        )
    return (row0, row1), (col0, col1)


def _grid(pan: Grid, rows: tuple[int, int], cols: tuple[int, int]) -> Grid:
    a, b, c, d, e, f = pan.transform
    corner = (c + a * cols[0] + b * rows[0], f + d * cols[0] + e * rows[0])
    return Grid(pan.crs, (a, b, corner[0], d, e, corner[1]), rows[1] - rows[0], cols[1] - cols[0])


def _dtype(bands: Sequence[Band]) -> str:
    return str(np.result_type(*(np.dtype(band.dtype) for band in bands)))


def _nodata(scene: Scene, bands: Sequence[Band], dtype: str) -> float | None:
    """Choose the output's nodata: the bands', else PAN's, else what fits where a pixel can be invalid at all."""
    for band in (*bands, *scene.fine.bands):
        if band.nodata is not None and _fits(band.nodata, dtype):
            return float(band.nodata)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return math.nan
    if _may_be_invalid(scene.fine) or _may_be_invalid(scene.coarse):
        return 0.0 if kind.kind == "u" else float(np.iinfo(kind).min)
    return None


def _may_be_invalid(source: Source) -> bool:
    marked = any(band.nodata is not None or np.dtype(band.dtype).kind == "f" for band in source.bands)
    return bool(marked or source.alpha or source.masks or source.warped)


def _fits(value: float, dtype: str) -> bool:
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return True
    limits = np.iinfo(kind)
    return bool(math.isfinite(value) and value == int(value) and limits.min <= value <= limits.max)


def _spec(
    scene: Scene,
    bands: Sequence[Band],
    grid: Grid,
    origin: tuple[int, int],
    request: Request,
    method: str,
) -> CogSpec:
    dtype = _dtype(bands)
    tags = {
        "AREA_OR_POINT": "Area",
        "TIFFTAG_SOFTWARE": f"geofuse {__version__}",
        "TIFFTAG_IMAGEDESCRIPTION": f"{scene.scene_id} fused by {method}",
    }
    credit = scene.metadata.get("attribution") if request.attribution is None else request.attribution
    if credit:
        tags["TIFFTAG_COPYRIGHT"] = str(credit)
    return checked_spec(
        CogSpec(
            height=grid.height,
            width=grid.width,
            bands=len(bands),
            dtype=dtype,
            nodata=_nodata(scene, bands, dtype),
            crs=grid.crs,
            transform=grid.transform,
            descriptions=tuple("" if band.name.isdigit() else band.name for band in bands),
            colors=tuple(_color(band) for band in bands),
            scales=tuple(1.0 if band.gain is None else band.gain for band in bands),
            offsets=tuple(0.0 if band.offset is None else band.offset for band in bands),
            tags=tags,
            rpcs=_moved_rpcs(scene.fine.rpcs, origin),
            compress=request.compress,
            level=request.level,
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


def _mask_spec(scene: Scene, spec: CogSpec) -> CogSpec | None:
    if scene.quality is None:
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
            compress=spec.compress,
            level=spec.level,
            overview="or",
        )
    )


MASK_MEANING = "1 nodata, 2 saturated, 4 cloud, 8 shadow, 16 snow, 32 cirrus"


def _with_tiles(plan: Plan, request: Request) -> Plan:
    """Choose the tile and count memory: an explicit tile is kept or refused, the default shrinks to fit."""
    allowed = request.memory_bytes or available_memory()
    side = checked_tile_px(request.tile_px or DEFAULT_TILE_PX)
    while True:
        workers = min(plan.workers, len(tiles_of(plan.grid.height, plan.grid.width, side)))
        plan = replace(plan, tile_px=side, workers=workers, bytes_per_task=_task_bytes(plan, side))
        needed = run_bytes(plan)
        if needed <= allowed:
            return plan
        if request.tile_px is None and side > BLOCK_PX:
            side //= 2
        elif request.workers is None and plan.workers > 1:
            plan = replace(plan, workers=plan.workers - 1)
            request = replace(request, workers=None)
        else:
            raise MemoryLimitError(
                f"{workers} tasks of {plan.bytes_per_task / 2**20:.0f} MiB and a base of "
                f"{BASE_BYTES / 2**20:.0f} MiB need {needed / 2**30:.2f} GiB",
                wanted=f"at most {allowed / 2**30:.2f} GiB",
                do="use fewer --workers, a smaller --tile or more --memory",
            )


def _task_bytes(plan: Plan, side: int) -> int:
    kind = np.dtype(plan.spec.dtype)
    lows = len(set(low_groups(observation_from(plan.observation))[1]))
    wide = 2 if kind.itemsize == 8 or kind in (np.dtype("int32"), np.dtype("uint32")) else 1
    core = task_bytes(
        min(side, max(plan.grid.height, plan.grid.width)) + 2 * plan.margin_px,
        len(plan.bands),
        kind.itemsize,
        reach=plan.reach,
        ratio=plan.options["ratio"],
        lows=lows,
    )
    return wide * core + _input_block_bytes(plan)


def _input_block_bytes(plan: Plan) -> int:
    """Bytes of the inputs' blocks that one window may hold in the reader's cache."""
    total = 0
    for source, bands in (
        (plan.scene.fine, plan.scene.fine.bands),
        (plan.scene.coarse, plan.scene.coarse.bands),
    ):
        rows, cols = source.block
        total += rows * cols * sum(np.dtype(band.dtype).itemsize for band in bands)
    return total


def available_memory() -> int:
    """Return 80 % of what is available now, to this machine or this container."""
    import psutil

    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.exists() else "max"
    available = psutil.virtual_memory().available
    return int(0.8 * min(available, int(text) if text.isdigit() else available))


def output_bytes(plan: Plan) -> int:
    """Estimate the product's size: plain size times what a codec leaves."""
    share = 1.0 if plan.spec.compress == "none" else COMPRESSED_SHARE
    return int(expected_bytes(plan.spec) * share) + 2**16


def check_out(plan: Plan, out: Path) -> None:
    """Refuse a place for the product that is none, or where it or a companion would replace an input."""
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise UsageError(f"--out {out.name!r}", wanted="a name that ends in .tif", path=str(out))
    if not out.absolute().parent.is_dir():
        raise WriteError(
            "no such folder", wanted="an existing folder for --out", path=str(out.absolute().parent)
        )
    if out.is_dir():
        raise UsageError("--out is a folder", wanted="the name of a file", path=str(out))
    inputs = {os.path.realpath(file_of(item["path"])) for item in plan.inputs}
    for path in (out, *companions(out, mask=plan.mask is not None)):
        if os.path.realpath(path) in inputs:
            raise UsageError("--out would replace an input", wanted="another name", path=str(path))


def check_disk(plan: Plan, out: Path) -> None:
    """Refuse when parts and product will not fit on the output's disk."""
    folder = next(parent for parent in out.absolute().parents if parent.exists())
    free = shutil.disk_usage(folder).free
    needed = 2 * output_bytes(plan)
    if free < needed:
        raise DiskSpaceError(
            f"{free / 2**30:.2f} GiB free",
            wanted=f"{needed / 2**30:.2f} GiB for parts and product",
            do="free some space or choose another disk for --out",
            path=str(folder),
        )


def plan_summary(plan: Plan, out: Path | None = None) -> dict[str, Any]:
    """Return what `geofuse plan` shows, as JSON values."""
    tiles = tiles_of(plan.grid.height, plan.grid.width, plan.tile_px)
    return {
        "scene": plan.scene.scene_id,
        "sensor": plan.scene.sensor,
        "method": plan.method,
        "bands": list(plan.options["names"]),
        "grid": asdict(plan.grid),
        "origin_px": list(plan.origin),
        "axis_y": asdict(plan.axis_y),
        "axis_x": asdict(plan.axis_x),
        "ratio": plan.options["ratio"],
        "dtype": plan.spec.dtype,
        "nodata": None if plan.spec.nodata is None else str(plan.spec.nodata),
        "compress": plan.spec.compress,
        "level": plan.spec.level,
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
