"""A PAN/MS pair out of any fine raster: a camera with known shift, gains, ratio and noise looks at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.config.errands import CameraOptions
from geofuse.errors import AreaError, MemoryLimitError, UsageError
from geofuse.geometry import Axes, Window, covered, gaussian_taps, shifted
from geofuse.landscape.camera import Camera, camera_axes, observe
from geofuse.methods.resampling import resampled
from geofuse.quality.bench_documents import Simulation
from geofuse.quality.simulate_wald import (
    LEAST_SIDE_CPX,
    SimulatedImage,
    check_folder,
    coarse_grid,
    cut_grid,
    mark_of,
    write_simulation,
)
from geofuse.quality.simulated_pair import CORNER, CRS, PAN_SIZE_M
from geofuse.rasters.image import Band, Grid, Piece
from geofuse.rasters.opening.describing import image_of
from geofuse.rasters.pixels import RasterFacts, identity, input_sha256, inspect, read_window
from geofuse.run.plans.memory import available_memory
from geofuse.scenes.aoi import window_of
from geofuse.scenes.bands import select_bands, with_nodata
from geofuse.scenes.relating import target_of
from geofuse.scenes.scene import Scene
from geofuse.scenes.sensors.names import canonical_name

USUAL = CameraOptions()
"""The defaults, as every door has them."""
SEEN_WHOLE = 1.0 - 1e-6
"""Share of its weight that a coarse pixel must find valid: none is made of what is not there."""
WORK_BYTES = 24
"""Memory a pixel of a band takes: stored, float32 and float64, and the products of the filters."""


@dataclass(frozen=True, slots=True)
class Viewing:
    """How a fine raster is to be looked at."""

    ratio: float = USUAL.ratio
    """Coarse over fine pixel size, 1 to 8, not necessarily whole."""
    shift_px: tuple[float, float] = (0.0, 0.0)
    """(dy, dx): what is at fine (row, col) is seen in MS where the grids put (row + dy, col + dx)."""
    mtf_gains: tuple[float, ...] = USUAL.mtf_gains
    """MTF at the coarse Nyquist frequency: of each band, or one for all."""
    pan_weights: tuple[float, ...] | None = None
    """PAN's weight of each band, brought to a sum of 1; None: equal."""
    noise_sigma: float = USUAL.noise_sigma
    """Standard deviation of the noise added to both images, DN."""
    snr: float | None = None
    """Instead of it: mean of the raster's valid pixels over the noise's standard deviation."""
    seed: int = USUAL.seed
    """Of the noise."""
    bands: Sequence[str] | None = None
    """Bands by description, colour or number; None: all."""
    window: Sequence[int] | None = None
    """Row, column, height, width of what is looked at; None: all."""
    nodata: float | None = None
    """Value that marks invalid pixels, instead of the raster's tag."""


def simulate_from_fine(raster: str, look: Viewing, folder: Path, *, overwrite: bool = False) -> Simulation:
    """Look at a fine raster; write pan.tif, ms.tif, reference.tif and simulation.json; returns the last's content.

    The reference is the raster itself, cut to what the MS covers; PAN lies on its grid. The georeference of
    the MS states the grids without the shift, so that a calibration has it to find, with its sign. A raster
    without a georeference gets a nominal one. Pixels are invalid where the raster is, MS pixels where any of
    what they see is. Raises UsageError, AreaError, MemoryLimitError, and what reading a raster raises.
    """
    scene, warnings = _opened(raster, look.nodata)
    check_folder(folder, [raster], overwrite=overwrite)
    image, indices = target_of(scene), select_bands(scene, look.bands)
    area, _ = window_of(image.grid, window=look.window)
    window = area or (0, image.grid.height, 0, image.grid.width)
    camera = _camera(look, len(indices))
    _check_memory(window, len(indices))
    truth, valid = read_window(image, indices, window)
    if not valid.any():
        raise AreaError("no valid pixel", wanted="some in all bands", do="check nodata", path=raster)
    sigma = look.noise_sigma if look.snr is None else float(truth[:, valid].mean()) / look.snr
    camera = replace(camera, noise_sigma=sigma)
    bands = tuple(image.bands[index] for index in indices)
    images = _seen(truth, valid, cut_grid(image.grid, window), bands, camera=camera, seed=look.seed)
    return write_simulation(
        folder,
        images,
        record={
            "kind": "from fine",
            "raster": raster,
            "bands": [band.name for band in bands],
            "window_px": list(window),
            "ratio": [camera.ratio, camera.ratio],
            "observation": {
                "mtf_gain": list(camera.mtf_gains),
                "shift_px": list(camera.shift_px),
                "band_shift_px": [],
                "origin": "simulated",
            },
            "pan_weights": list(camera.pan_weights),
            "noise_sigma": sigma,
            "seed": look.seed,
            "axis_y": asdict(camera_axes(camera)[0]),
            "axis_x": asdict(camera_axes(camera)[1]),
            "inputs": [{**identity(raster), "sha256": input_sha256(raster)}],
            "warnings": warnings,
        },
        about=f"seen from {scene.scene_id} at a ratio of {camera.ratio:g}",
    )


def _opened(raster: str, nodata: float | None) -> tuple[Scene, list[str]]:
    """Return the raster as a scene of a target alone, and what is to be noticed of it."""
    facts = inspect(raster)
    grid, warnings = facts.grid, []
    if not (facts.has_transform and grid.crs):
        a, e = PAN_SIZE_M, -PAN_SIZE_M
        grid = Grid(CRS, (a, 0.0, CORNER[0], 0.0, e, CORNER[1]), grid.height, grid.width)
        warnings.append(f"{raster}: no georeference: a nominal one, {CRS}, {PAN_SIZE_M:g} m")
    image = image_of(facts, role="ms", bands=_bands(facts), grid=grid)
    scene = Scene(Path(raster).stem, "generic", (image,))
    return (scene if nodata is None else with_nodata(scene, nodata)), warnings


def _bands(facts: RasterFacts) -> list[Band]:
    found: list[Band] = []
    for at, dtype in enumerate(facts.dtypes):
        if at + 1 == facts.alpha:
            continue
        number = str(at + 1)
        text = facts.descriptions[at] or ""
        name = canonical_name(text) or canonical_name(facts.colors[at]) or number
        if any(band.name == name for band in found):
            name = number
        scale, offset = facts.scales[at], facts.offsets[at]
        tagged = (scale, offset) != (1.0, 0.0)
        found.append(
            Band(
                name=name,
                pieces=(Piece(facts.path, at + 1),),
                dtype=dtype,
                aliases=tuple(
                    alias for alias in dict.fromkeys((number, text.strip())) if alias not in ("", name)
                ),
                nodata=facts.nodata[at],
                gain=scale if tagged else None,
                offset=offset if tagged else None,
            )
        )
    return found


def _camera(look: Viewing, bands: int) -> Camera:
    """Turn what is asked for into a camera of so many bands; raises UsageError for what does not fit them."""
    if not 1.0 <= look.ratio <= 8.0:
        raise UsageError(f"--ratio {look.ratio:g}", wanted="1 to 8")
    if look.noise_sigma < 0.0 or (look.snr is not None and not look.snr > 0.0):
        raise UsageError("noise below 0", wanted="--noise of 0 or more, --snr above 0")
    if look.seed != USUAL.seed and not look.noise_sigma and look.snr is None:
        raise UsageError("--seed without noise", wanted="--noise or --snr", do="or leave it out")
    gains = look.mtf_gains * bands if len(look.mtf_gains) == 1 else look.mtf_gains
    weights = look.pan_weights or (1.0,) * bands
    for name, values in (("--gain", gains), ("--weights", weights)):
        if len(values) != bands:
            raise UsageError(f"{len(values)} values of {name}", wanted=f"{bands}, one for each band")
    if min(weights) < 0.0 or sum(weights) <= 0.0:
        raise UsageError(f"--weights {weights}", wanted="none below 0, and some above")
    total = sum(weights)
    return Camera(
        mtf_gains=tuple(gains),
        pan_weights=tuple(weight / total for weight in weights),
        ratio=look.ratio,
        shift_px=look.shift_px,
    )


def _check_memory(window: Window, bands: int) -> None:
    height, width = window[1] - window[0], window[3] - window[2]
    needed, allowed = WORK_BYTES * height * width * (bands + 1), available_memory()
    if needed > allowed:
        raise MemoryLimitError(
            f"{height} x {width} x {bands} pixels need {needed / 2**30:.1f} GiB",
            wanted=f"at most {allowed / 2**30:.1f} GiB",
            do="look at a --window of it",
        )


def _seen(
    truth: NDArray[Any],
    valid: NDArray[np.bool_],
    grid: Grid,
    bands: tuple[Band, ...],
    *,
    camera: Camera,
    seed: int,
) -> dict[str, SimulatedImage]:
    """Return the three images."""
    axes = camera_axes(camera)
    pan, ms = observe(truth, camera, rng=np.random.default_rng(seed))
    size = ms.shape[1], ms.shape[2]
    if min(size) < LEAST_SIDE_CPX:
        least = round(LEAST_SIDE_CPX * camera.ratio) + 1
        raise AreaError(
            f"{grid.height} x {grid.width} pixels, seen as {size[0]} x {size[1]}",
            wanted=f"at least {LEAST_SIDE_CPX} x {LEAST_SIDE_CPX}, {least} x {least} before",
            do="use a larger raster or window",
        )
    rows, cols = covered(axes[0], grid.height, size[0]), covered(axes[1], grid.width, size[1])
    inner = slice(*rows), slice(*cols)
    fine_grid = cut_grid(grid, (*rows, *cols))
    nodata = _nodata(bands, valid)
    ok = valid[inner]
    coarse_ok = np.ones(size, np.bool_) if valid.all() else _seen_whole(valid, camera, axes, size)
    return {
        "pan": SimulatedImage(pan[(..., *inner)] * ok, ok, fine_grid, (_pan(bands),), nodata),
        "ms": SimulatedImage(ms * coarse_ok, coarse_ok, coarse_grid(grid, axes, size), bands, nodata),
        "reference": SimulatedImage(truth[(..., *inner)], ok, fine_grid, bands, nodata),
    }


def _seen_whole(
    valid: NDArray[np.bool_], camera: Camera, axes: Axes, size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Where every band of a coarse pixel sees nothing invalid."""
    seen = np.ones(size, np.bool_)
    dy, dx = camera.shift_px
    for gain in dict.fromkeys(camera.mtf_gains):
        rows = gaussian_taps(shifted(axes[0], dy), gain, 0, size[0])
        cols = gaussian_taps(shifted(axes[1], dx), gain, 0, size[1])
        seen &= resampled(valid[None], rows, cols)[0] >= SEEN_WHOLE
    return seen


def _pan(bands: tuple[Band, ...]) -> Band:
    """PAN's band: the bands' type, and their radiometry where they share one, for its weights sum to 1."""
    dtype = str(np.result_type(*(np.dtype(band.dtype) for band in bands)))
    first = bands[0]
    shared = all((band.gain, band.offset) == (first.gain, first.offset) for band in bands)
    gain, offset = (first.gain, first.offset) if shared else (None, None)
    return Band("pan", (Piece(first.path),), dtype, gain=gain, offset=offset)


def _nodata(bands: tuple[Band, ...], valid: NDArray[np.bool_]) -> float | None:
    """The first mark a band has; where none has but pixels are invalid, one of their type."""
    marks = [band.nodata for band in bands if band.nodata is not None]
    if marks:
        return marks[0]
    return None if valid.all() else mark_of(bands[0].dtype)
