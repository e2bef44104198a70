"""Wald's protocol on disk: a scene's two images degraded by its own model, and the MS that a fusion should return.

Source: Wald, Ranchin and Mangolini 1997, PE&RS 63(6).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.errors import AreaError, ExistsError, UsageError, WriteError
from geofuse.files import write_json
from geofuse.geometry import EDGE_TOLERANCE_CPX, Axes, AxisMap, Window, covered, moved
from geofuse.kernels.finish import finish
from geofuse.landscape.camera import coarse_size
from geofuse.methods.observation import Observation, degrade_bands, degrade_reach_bands
from geofuse.nouns import to_json
from geofuse.quality.bench_documents import SimulatedFile, Simulation, SimulationRecord
from geofuse.rasters.cog import CogSpec, checked_spec, write_cog
from geofuse.rasters.image import Band, Grid, Image
from geofuse.rasters.pixels import file_of, input_sha256, read_window
from geofuse.run.calibrating import calibrated_plan
from geofuse.run.plans.plan import Plan
from geofuse.run.plans.request import Request, changed
from geofuse.scenes.scene import Scene
from geofuse.version import __version__

LEAST_SIDE_CPX = 16
"""Sides of a reduced MS below which neither a shift can be estimated nor two blocks of Q compared."""
STRIP_CPX = 256
"""Coarse rows that are degraded at a time, so that a whole scene's PAN is never in memory."""
NAMES = ("pan", "ms", "reference")
APART_CPX = 0.1
"""Shifts between bands above this, in MS pixels, are told: no PAN lies on all of such a reference."""


@dataclass(frozen=True, slots=True)
class SimulatedImage:
    """An image that is to be written."""

    values: NDArray[Any]
    """Stored values before rounding (B, H, W); 0 where invalid."""
    valid: NDArray[np.bool_]
    """(H, W)."""
    grid: Grid
    """Where it lies."""
    bands: tuple[Band, ...]
    """What its bands are called, their type and radiometry."""
    nodata: float | None
    """Marks invalid pixels; None where all are valid."""


@dataclass(frozen=True, slots=True)
class Reduction:
    """How the reduced MS lies on the reference, which is a window of the scene's MS."""

    window: Window
    """row0, row1, col0, col1 of the reference in the MS."""
    axes: Axes
    """Reduced = scale * reference + offset, rows and columns, in pixels."""
    size: tuple[int, int]
    """Rows and columns of the reduced MS."""


def simulate_wald(scene: Scene, request: Request, folder: Path, *, overwrite: bool = False) -> Simulation:
    """Degrade both images of a scene by its estimated model; write pan.tif, ms.tif, reference.tif, simulation.json.

    The reference is the MS itself over the area and bands asked for; the reduced PAN lies on its grid, taken
    at the registered phase, so that the pair is in register whatever the scene's own shift; the reduced MS is
    the reference seen through D once more, with the scene's gains, ratio and phase of the grids. PAN goes
    through the same D, with the bands' joint gain, and not through a filter of the PAN sensor's own gain as
    in the toolboxes: D says how much blurrier MS is than PAN, so only then is the reduced PAN as sharp
    against the reference as PAN is against what it must be fused into, and the pair obeys the model it was
    made from. Types, nodata, radiometry and coordinate system are kept.
    Returns what simulation.json holds. Raises AreaError where too little is left.
    """
    plan = calibrated_plan(scene, changed(request, {"method": "exp"}))
    check_folder(folder, [item["path"] for item in plan.inputs], overwrite=overwrite)
    reduction = reduction_of(plan)
    observation = plan.pair.observation
    images = _images(plan, reduction, observation)
    ratio = [1.0 / axis.scale for axis in reduction.axes]
    return write_simulation(
        folder,
        images,
        record={
            "kind": "wald",
            "scene": plan.scene.scene_id,
            "sensor": plan.scene.sensor,
            "bands": list(plan.options.names),
            "ratio": ratio,
            "observation": {
                "mtf_gain": list(observation.mtf_gain),
                "shift_px": [0.0, 0.0],
                "band_shift_px": [],
                "origin": "Wald's protocol",
            },
            "scene_observation": to_json(plan.pair.observation),
            "calibration": plan.calibration,
            "pan_mtf_gain": observation.joint_gain,
            "reference_window_cpx": list(reduction.window),
            "axis_y": asdict(reduction.axes[0]),
            "axis_x": asdict(reduction.axes[1]),
            "inputs": [{**item, "sha256": input_sha256(item["path"])} for item in plan.inputs],
            "warnings": [*plan.notes, *_apart(observation, ratio)],
        },
        about=f"{plan.scene.scene_id} reduced by Wald's protocol",
        copyright_line=plan.spec.tags.get("TIFFTAG_COPYRIGHT", ""),
    )


def reduction_of(plan: Plan) -> Reduction:
    """Lay the reduced grids out: the reference is the MS pixels that lie whole in the plan's area.

    The reduced MS begins in it, at the phase at which the MS begins in PAN, and is as large as fits; what it
    does not cover of the reference is cut off. Raises AreaError where
    fewer than LEAST_SIDE_CPX of its pixels are left.
    """
    fine, coarse = plan.grid, plan.pair.target.grid
    rows = _inside(plan.pair.axis_y, fine.height, coarse.height)
    cols = _inside(plan.pair.axis_x, fine.width, coarse.width)
    axes = _again(plan.pair.axis_y, plan.pair.origin[0]), _again(plan.pair.axis_x, plan.pair.origin[1])
    sides = max(0, rows[1] - rows[0]), max(0, cols[1] - cols[0])
    size = coarse_size(axes[0], sides[0]), coarse_size(axes[1], sides[1])
    if min(size) < LEAST_SIDE_CPX:
        least = [math.ceil((LEAST_SIDE_CPX + 1) / axis.scale**2) for axis in axes]
        raise AreaError(
            f"{fine.height} x {fine.width} PAN pixels over {sides[0]} x {sides[1]} of MS, "
            f"which reduced are {size[0]} x {size[1]}",
            wanted=f"at least {LEAST_SIDE_CPX} x {LEAST_SIDE_CPX}, about {least[0]} x {least[1]} of PAN",
            do="choose a larger area",
        )
    kept = covered(axes[0], sides[0], size[0]), covered(axes[1], sides[1], size[1])
    return Reduction(
        (rows[0] + kept[0][0], rows[0] + kept[0][1], cols[0] + kept[1][0], cols[0] + kept[1][1]),
        (moved(axes[0], kept[0][0]), moved(axes[1], kept[1][0])),
        size,
    )


def _inside(axis: AxisMap, fine_size: int, coarse_size_cpx: int) -> tuple[int, int]:
    """Return the coarse pixels whose footprint lies in the fine image's, half-open."""
    start = math.ceil(-0.5 * axis.scale + axis.offset + 0.5 - EDGE_TOLERANCE_CPX)
    stop = math.floor(axis.scale * (fine_size - 0.5) + axis.offset + 0.5 + EDGE_TOLERANCE_CPX)
    return max(0, start), min(coarse_size_cpx, stop)


def _again(axis: AxisMap, origin: int) -> AxisMap:
    """Return the map of the next reduction: the same ratio, begun inside the image at the same phase."""
    edge = axis.offset - axis.scale * origin + 0.5 - 0.5 * axis.scale
    phase = edge - math.ceil(edge - EDGE_TOLERANCE_CPX)
    return AxisMap(axis.scale, phase - 0.5 + 0.5 * axis.scale)


def _images(plan: Plan, reduction: Reduction, observation: Observation) -> dict[str, SimulatedImage]:
    guide, target, window = plan.pair.guide, plan.pair.target, reduction.window
    bands = tuple(target.bands[index] for index in plan.pair.bands)
    pan_seen = Observation((observation.joint_gain,), observation.shift_px)
    pan = seen_in(
        guide,
        plan.pair.guide_bands,
        plan.pair.origin,
        axes=(plan.pair.axis_y, plan.pair.axis_x),
        window=window,
        observation=pan_seen,
    )
    ms = seen_in(
        target,
        plan.pair.bands,
        (window[0], window[2]),
        axes=reduction.axes,
        window=(0, reduction.size[0], 0, reduction.size[1]),
        observation=Observation(observation.mtf_gain),
    )
    fine_grid = cut_grid(target.grid, window)
    pan_nodata = _pan_nodata(plan.pair.guide_band, plan.spec.nodata)
    return {
        "pan": SimulatedImage(*pan, fine_grid, guide.bands[:1], pan_nodata),
        "ms": SimulatedImage(
            *ms, coarse_grid(fine_grid, reduction.axes, reduction.size), bands, plan.spec.nodata
        ),
        "reference": SimulatedImage(
            *read_window(target, plan.pair.bands, window), fine_grid, bands, plan.spec.nodata
        ),
    }


def _pan_nodata(pan: Band, others: float | None) -> float | None:
    """PAN's own mark; where it has none but pixels can be invalid, one of its type."""
    return pan.nodata if pan.nodata is not None or others is None else mark_of(pan.dtype)


def mark_of(dtype: str) -> float:
    """Return a nodata value for images of a type that have none of their own."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return math.nan
    return 0.0 if kind.kind == "u" else float(np.iinfo(kind).min)


def seen_in(
    image: Image,
    indices: tuple[int, ...],
    origin: tuple[int, int],
    *,
    axes: Axes,
    window: Window,
    observation: Observation,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read bands of an image and see them through D in a coarse window: (B, h, w) and validity (h, w).

    `origin` is the image's pixel at which the axes' fine coordinates begin. Beyond its grid it is mirrored.
    """
    row0, row1, col0, col1 = window
    strips = []
    for top in range(row0, row1, STRIP_CPX):
        strip = (top, min(top + STRIP_CPX, row1), col0, col1)
        first, last, left, right = degrade_reach_bands(axes, strip, observation)
        place = (origin[0] + first, origin[0] + last, origin[1] + left, origin[1] + right)
        fine, valid = read_window(image, indices, place)
        strips.append(degrade_bands(fine, valid, (first, left), axes, strip, observation=observation))
    values, seen = zip(*strips, strict=True)
    return np.concatenate(values, axis=1), np.concatenate(seen, axis=0)


def cut_grid(grid: Grid, window: Window) -> Grid:
    """Return the grid of a window row0, row1, col0, col1."""
    row0, row1, col0, col1 = window
    a, b, c, d, e, f = grid.transform
    corner = (c + a * col0 + b * row0, f + d * col0 + e * row0)
    return Grid(grid.crs, (a, b, corner[0], d, e, corner[1]), row1 - row0, col1 - col0)


def coarse_grid(fine: Grid, axes: Axes, size: tuple[int, int]) -> Grid:
    """Return the grid that axis maps lay on a fine grid: what `scenes.opening.relate` reads the maps from."""
    a, b, c, d, e, f = fine.transform
    step_y, step_x = (1.0 / axis.scale for axis in axes)
    row, col = (0.5 - (0.5 + axis.offset) / axis.scale for axis in axes)
    corner = (c + a * col + b * row, f + d * col + e * row)
    return Grid(fine.crs, (a * step_x, b * step_y, corner[0], d * step_x, e * step_y, corner[1]), *size)


def _apart(observation: Observation, ratio: Sequence[float]) -> list[str]:
    """Say where the bands lie apart, which Wald's protocol cannot judge."""
    shifts = np.array(observation.shifts_px)
    apart = float(np.abs(shifts - shifts.mean(axis=0)).max() / min(ratio))
    if apart <= APART_CPX:
        return []
    return [
        f"bands lie up to {apart:.2f} MS pixels from their mean place: the reduced PAN lies on that, the reference "
        "does not, so a product registered well is scored as if it were not"
    ]


def check_folder(folder: Path, inputs: Iterable[str], *, overwrite: bool) -> None:
    """Make the folder; refuse where the pair would replace an input, or another pair without `overwrite`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"cannot be made: {error.strerror}", wanted="a folder", path=str(folder)) from error
    paths = [folder / f"{name}.tif" for name in NAMES] + [folder / "simulation.json"]
    taken = {os.path.realpath(file_of(path)) for path in inputs}
    for path in paths:
        if os.path.realpath(path) in taken:
            raise UsageError("would replace an input", wanted="another --out", path=str(path))
        if path.exists() and not overwrite:
            raise ExistsError(
                "is there already", wanted="a new folder", do="or say --overwrite", path=str(path)
            )


def write_simulation(
    folder: Path,
    images: Mapping[str, SimulatedImage],
    *,
    record: SimulationRecord,
    about: str,
    copyright_line: str = "",
) -> Simulation:
    """Write the images as NAME.tif, then simulation.json, which names their checksums; returns its content."""
    tags = {
        "AREA_OR_POINT": "Area",
        "TIFFTAG_SOFTWARE": f"geofuse {__version__}",
        "TIFFTAG_IMAGEDESCRIPTION": about,
    }
    if copyright_line:
        tags["TIFFTAG_COPYRIGHT"] = copyright_line
    files: dict[str, SimulatedFile] = {}
    for name, image in images.items():
        spec = _spec_of(image, tags)
        stored, saturated, moved = finish(
            image.values, image.valid, np.zeros(spec.bands), dtype=spec.dtype, nodata=spec.nodata
        )
        made = write_cog(folder / f"{name}.tif", stored, spec)
        files[name] = {
            "name": f"{name}.tif",
            "size_px": [spec.height, spec.width],
            "bytes": made.size_bytes,
            "sha256": made.sha256,
            "valid": int(image.valid.sum()),
            "saturated": saturated,
            "moved": moved,
        }
    found: Simulation = {**record, "files": files, "version": __version__}
    write_json(folder / "simulation.json", found)
    return found


def _spec_of(image: SimulatedImage, tags: dict[str, str]) -> CogSpec:
    bands = image.bands
    named = tuple("" if band.name.isdigit() else band.name for band in bands)
    return checked_spec(
        CogSpec(
            height=image.grid.height,
            width=image.grid.width,
            bands=len(bands),
            dtype=str(np.result_type(*(np.dtype(band.dtype) for band in bands))),
            nodata=image.nodata,
            crs=image.grid.crs,
            transform=image.grid.transform,
            descriptions=named,
            colors=tuple(_color(band) for band in bands),
            scales=tuple(1.0 if band.gain is None else band.gain for band in bands),
            offsets=tuple(0.0 if band.offset is None else band.offset for band in bands),
            tags=tags,
            level=1,
        )
    )


def _color(band: Band) -> str:
    if band.name in ("red", "green", "blue", "nir"):
        return band.name
    return "gray" if band.name == "pan" else "undefined"
