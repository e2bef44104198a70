"""The field's table on one scene: every method through the product's own path, scored and timed."""

from __future__ import annotations

import logging
import os
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

import numpy as np
from numpy.typing import NDArray

from geofuse.config.errands import BenchOptions, Protocol
from geofuse.errors import AreaError, MethodError, PixelError, UsageError
from geofuse.methods import table
from geofuse.metrics.table import installed, row_of
from geofuse.nouns import to_json
from geofuse.quality.bench_documents import BenchFacts, BenchFound, BenchRow, ModelReport
from geofuse.quality.bench_order import sorted_rows
from geofuse.quality.documents import ObservationUsed
from geofuse.quality.scoring import Ground, error_percent, ground_of, physical, read_raster, score
from geofuse.quality.simulate_wald import NAMES, simulate_wald
from geofuse.rasters.preview import choose_rgb, detail_window, stretch
from geofuse.run.calibrating import calibrated_plan
from geofuse.run.executors import Serial
from geofuse.run.fuse import fuse_to_cog
from geofuse.run.plans.plan import Plan
from geofuse.run.plans.planning import make_plan
from geofuse.run.plans.request import Request, changed, make_request
from geofuse.run.progress import Progress, silent
from geofuse.scenes.opening import open_pair
from geofuse.scenes.scene import Scene
from geofuse.showing import html, line
from geofuse.version import __version__

log = logging.getLogger(__name__)
PROTOCOLS = get_args(Protocol)
USUAL = BenchOptions()
"""The defaults, as every door has them."""
DEFAULT_SIDE_PX = 2048
MOST_PX = 4096 * 4096
"""Scores are computed on whole images in memory, at some 100 bytes a pixel of four bands."""
REPEATS = 2
"""Every product is made this often and the least CPU time counts: the first run loads kernels and caches."""
CROP_PX = 128
SMALL_PX = 500_000
"""Pixels below which what every run costs, however small, shows in its CPU time per megapixel."""


@dataclass(frozen=True, slots=True)
class BenchPicture:
    """One image of the pair, or one product, at the place that is shown."""

    name: str
    """Method, or "reference", "MS, upsampled", "PAN"."""
    rounds: int | None
    """Back-projections of a product; None for what is none."""
    pixels: NDArray[np.float64]
    """Red, green, blue in physical values (3, h, w)."""
    valid: NDArray[np.bool_]
    """(h, w)."""
    error: NDArray[np.float64] | None = None
    """Mean over the bands of the error in percent of the band's mean (h, w), where there is a reference."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What was found: figures as JSON values, and the pictures."""

    found: BenchFound
    """bench.json."""
    pictures: tuple[BenchPicture, ...]
    """PAN, upsampled MS and reference first, then the products in the order of the rows."""

    def __repr__(self) -> str:
        best = self.found["rows"][0]
        rows = f"{len(self.found['rows'])} rows"
        return line("Bench", self.found["scene"], self.found["protocol"], rows, f"best {best['method']}")

    def _repr_html_(self) -> str:
        rows = [
            (f"{row['method']}, {row['back_projections']} rounds", row.get("error") or row.get("hqnr", ""))
            for row in self.found["rows"]
        ]
        return html(f"bench of {self.found['scene']}, {self.found['protocol']}: HQNR", rows)


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the methods are judged."""

    scene: Scene
    """The scene, or the pair reduced from it."""
    request: Request
    """What is asked of it."""
    plan: Plan
    """The plan of plain upsampling: grid, bands, model."""
    ground: Ground
    """What products are scored against."""
    reference: NDArray[np.float64] | None
    """What a perfect fusion returns (B, H, W); None at full resolution."""
    reference_valid: NDArray[np.bool_]
    """(H, W)."""


def run_bench(
    scene: Scene,
    request: Request,
    folder: Path,
    *,
    methods: Sequence[str] = USUAL.methods,
    protocol: str = USUAL.protocol,
    rounds: Sequence[int] = USUAL.rounds,
    progress: Progress = silent,
) -> Bench:
    """Fuse with every method and number of back-projections, score and time each.

    Protocol "reduced" is Wald's: the pair is written to FOLDER/pair, its model estimated anew from the pair
    alone, the MS is the reference. "full" fuses the scene itself and has only the metrics without a
    reference. "auto" is what `geofuse fuse` does unasked. The area is cut to the middle 2048 x 2048 PAN
    pixels where none is asked for. CPU seconds are those of measuring, fitting, fusing and encoding without
    compression on one thread, after a warm-up; calibrating is told apart. Raises UsageError, MethodError,
    AreaError, and what fusing raises, but for a method that cannot work on the pair: its row says why.
    """
    if protocol not in PROTOCOLS:
        raise UsageError(f"--protocol {protocol}", wanted=" or ".join(PROTOCOLS))
    cases = checked_cases(methods, rounds)
    began = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    request, notes = cut_to_size(scene, request)
    calibrating = time.process_time()
    source = calibrated_plan(scene, changed(request, {"method": "exp"}))
    calibrating = time.process_time() - calibrating
    stage = _reduced(scene, request, folder) if protocol == "reduced" else _full(scene, request, source)
    show = _Show(stage)
    rows, products = [], {}
    work = stage.plan.grid.height * stage.plan.grid.width
    with _scratch(folder) as place:
        for done, (name, count) in enumerate(cases):
            progress("bench", done * work, len(cases) * work, 0)
            row, picture = _judged(stage, name, count, place=place, show=show)
            rows.append(row)
            products[name, count] = picture
    progress("bench", len(cases) * work, len(cases) * work, 0)
    ordered = sorted_rows(rows, protocol)
    shown = [products[row.pop("case")] for row in ordered]
    found: BenchFound = {
        **_facts(stage, source, protocol, notes),
        "calibration_cpu_s": calibrating,
        "seconds": time.perf_counter() - began,
        "rows": ordered,
    }
    return Bench(found, (*show.inputs(), *(picture for picture in shown if picture is not None)))


def _weightless() -> list[str]:
    """Return the methods that need no weights."""
    return [each.about.name for each in table.usable() if not each.about.network]


def checked_cases(methods: Sequence[str], rounds: Sequence[int]) -> list[tuple[str, int | None]]:
    """Return (method, back-projections) of every row; "all" stands for all methods and auto.

    auto has one row, with the number it chooses itself: None. Raises MethodError, UsageError.

    >>> checked_cases(["exp", "auto"], [0, 3])
    [('exp', 0), ('exp', 3), ('auto', None)]
    """
    names: list[str] = []
    for name in methods:
        names += [*_weightless(), "auto"] if name == "all" else [name]
    for name in names:
        table.get(name)
    if not names or not rounds or min(rounds) < 0:
        raise UsageError(
            f"methods {list(methods)}, back-projections {list(rounds)}",
            wanted="one method or more, and numbers of 0 or more",
        )
    if set(names) == {"auto"} and tuple(rounds) != USUAL.rounds:
        raise UsageError(
            f"back-projections {list(rounds)} with auto alone", wanted="a method: auto chooses its own number"
        )
    return [
        (name, count)
        for name in dict.fromkeys(names)
        for count in ([None] if name == "auto" else dict.fromkeys(rounds))
    ]


def cut_to_size(scene: Scene, request: Request) -> tuple[Request, list[str]]:
    """Return the request for an area that fits in memory, and what to say of it."""
    plan = make_plan(scene, changed(request, {"method": "exp"}))
    height, width = plan.grid.height, plan.grid.width
    if any(area is not None for area in (request.scene.bbox, request.scene.aoi, request.scene.window)):
        if height * width > MOST_PX:
            raise AreaError(
                f"an area of {height} x {width} PAN pixels",
                wanted=f"at most {MOST_PX / 1e6:.1f} Mpx, for scores are computed in memory",
                do="choose a smaller --window",
            )
        return request, []
    side = DEFAULT_SIDE_PX
    if height <= side and width <= side:
        return request, []
    tall, wide = min(side, height), min(side, width)
    row, col = plan.pair.origin[0] + (height - tall) // 2, plan.pair.origin[1] + (width - wide) // 2
    note = f"of {height} x {width} PAN pixels the middle {tall} x {wide}; another part with --window"
    return changed(request, {"window": (row, col, tall, wide)}), [note]


def _reduced(scene: Scene, request: Request, folder: Path) -> Stage:
    pair = folder / "pair"
    simulate_wald(scene, request, pair, overwrite=True)
    pan, ms, reference = (pair / f"{name}.tif" for name in NAMES)
    judged = open_pair(str(pan), [str(ms)])
    asked = make_request(calibrate=request.fuse.calibrate, memory=request.work.memory)
    plan = calibrated_plan(judged, changed(asked, {"method": "exp"}))
    ground = ground_of(plan)
    top, left = plan.pair.origin
    window = (top, top + plan.grid.height, left, left + plan.grid.width)
    stored, valid = read_raster(reference, window)
    return Stage(judged, asked, plan, ground, physical(stored, ground), valid)


def _full(scene: Scene, request: Request, plan: Plan) -> Stage:
    return Stage(
        scene, request, plan, ground_of(plan), None, np.ones((plan.grid.height, plan.grid.width), np.bool_)
    )


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=".products-", dir=folder) as place:
        yield Path(place)


class _Clock:
    """A progress that takes this thread's CPU time from the first pixel measured to the last one fused and encoded."""

    def __init__(self) -> None:
        self.began: float | None = None
        self.seconds = 0.0

    def __call__(self, stage: str, done: int, total: int, resumed: int) -> None:
        if self.began is None:
            self.began = time.thread_time()
        elif stage == "fuse" and done == total:
            self.seconds = time.thread_time() - self.began


def _judged(
    stage: Stage, name: str, count: int | None, *, place: Path, show: _Show
) -> tuple[BenchRow, BenchPicture | None]:
    """Make one product and score it; returns its row and its picture."""
    row: BenchRow = {
        "case": (name, count),
        "method": name,
        "is": None if name == "auto" else name,
        "back_projections": count,
    }
    how = {"method": name, "back_projections": count, "workers": 1, "compress": "none"}
    asked = changed(stage.request, how)
    out = place / f"{name}-{count}.tif"
    try:
        plan = calibrated_plan(stage.scene, asked)
        cpu_s = _made(plan, out)
    except (MethodError, PixelError) as fault:
        log.warning("%s: %s", name, fault)
        row["error"] = str(fault)
        return row, None
    stored, valid = read_raster(out)
    out.unlink()
    fused = physical(stored, stage.ground)
    ok = valid & stage.reference_valid
    row["is"], row["back_projections"] = plan.method, plan.rounds
    row = cast(BenchRow, {**row, **score(stage.ground, fused, ok, reference=stage.reference)})
    row["cpu_s_per_mpx"] = cpu_s / (plan.grid.height * plan.grid.width / 1e6)
    row["injection"] = dict(zip(plan.options.names, plan.shares or [1.0] * len(plan.pair.bands), strict=True))
    if stage.reference is not None:
        row["error_percent"] = dict(
            zip(plan.options.names, error_percent(fused, stage.reference, ok), strict=True)
        )
    return row, show.product(name, plan.rounds, fused, ok)


def _made(plan: Plan, out: Path) -> float:
    """Fuse as often as REPEATS says; returns the least CPU seconds."""
    least = float("inf")
    for _ in range(REPEATS):
        out.unlink(missing_ok=True)
        clock = _Clock()
        fuse_to_cog(plan, out, runner=Serial(), overwrite=True, progress=clock)
        least = min(least, clock.seconds)
    return least


class _Show:
    """Cuts the same place out of every image: where PAN and the best colours there are have most to show."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.rgb = [band - 1 for band in choose_rgb(stage.plan.options.names)]
        ground = stage.ground
        best = ground.upsampled if stage.reference is None else stage.reference
        ok = ground.valid & stage.reference_valid
        gray, colour = stretch(ground.pan, ok), stretch(best[self.rgb], ok)
        row0, row1, col0, col1 = detail_window(gray[..., 0], colour, CROP_PX)
        self.window = row0, row1, col0, col1
        self.cut = (..., slice(row0, row1), slice(col0, col1))
        self.means: NDArray[np.float64] | None = None
        if stage.reference is not None and ok.any():
            self.means = stage.reference[:, ok].mean(axis=1)[:, None, None]

    def inputs(self) -> list[BenchPicture]:
        """Return PAN, the upsampled MS and the reference."""
        ground, reference = self.stage.ground, self.stage.reference
        pan = np.repeat(ground.pan, 3, axis=0)
        images = [("PAN", pan, ground.valid), ("MS, upsampled", ground.upsampled[self.rgb], ground.valid)]
        if reference is not None:
            images.append(("reference", reference[self.rgb], self.stage.reference_valid))
        return [
            BenchPicture(name, None, image[self.cut].copy(), ok[self.cut].copy())
            for name, image, ok in images
        ]

    def product(
        self, name: str, rounds: int, fused: NDArray[np.float64], valid: NDArray[np.bool_]
    ) -> BenchPicture:
        """Return a product's place, with its error."""
        error = None
        if self.stage.reference is not None and self.means is not None:
            apart = np.abs(fused[self.cut] - self.stage.reference[self.cut]) / np.abs(self.means)
            error = 100.0 * np.where(valid[self.cut], apart.mean(axis=0), 0.0)
        return BenchPicture(name, rounds, fused[self.rgb][self.cut].copy(), valid[self.cut].copy(), error)


def _facts(stage: Stage, source: Plan, protocol: str, notes: Sequence[str]) -> BenchFacts:
    grid = stage.plan.grid
    small = grid.height * grid.width < SMALL_PX
    known, credit = installed(), source.scene.metadata.get("attribution")
    timing = ["CPU s/Mpx is high: on so small an image the fixed costs of a run dominate it"] if small else []
    return {
        "scene": source.scene.scene_id,
        "sensor": source.scene.sensor,
        "attribution": None if credit is None else str(credit),
        "protocol": protocol,
        "bands": list(stage.plan.options.names),
        "ratio": stage.plan.options.ratio,
        "pan_window": [*source.pair.origin, source.grid.height, source.grid.width],
        "size_px": [grid.height, grid.width],
        "units": stage.ground.units,
        "model": {
            "scene": _model(source),
            "pair": _model(stage.plan) if protocol == "reduced" else None,
        },
        "warnings": [*notes, *known.faults, *stage.plan.notes, *timing],
        "metrics": {
            metric.key: row_of(metric)
            for metric in known.of_images
            if protocol == "reduced" or not metric.referenced
        },
        "machine": f"{cpu_name()}, {os.cpu_count()} cores, one used",
        "version": __version__,
    }


def _model(plan: Plan) -> ModelReport:
    used = cast(ObservationUsed, to_json(plan.pair.observation))
    return {"observation": used, "calibration": plan.calibration}


def cpu_name() -> str:
    """Return what the processor calls itself, where the system tells."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()
