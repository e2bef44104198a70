"""Judging products and methods, and making pairs whose fusion is known."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from geofuse.api.answers import Product, Report
from geofuse.api.scenes import PathText, opened
from geofuse.config.errands import BenchOptions, DemoOptions, Protocol

if TYPE_CHECKING:
    from geofuse.quality.assessment.values import Assessment
    from geofuse.quality.bench import Bench
    from geofuse.run.arrays import DataArray
    from geofuse.run.plans.request import AreaKeywords, BandsKeywords, Request
    from geofuse.run.progress import Progress
    from geofuse.scenes.scene import Scene

BENCH, DEMO = BenchOptions(), DemoOptions()
"""The defaults."""


class LookKeywords(TypedDict, total=False):
    """How a fine raster is looked at by a simulated camera."""

    ratio: float
    shift_px: tuple[float, float]
    mtf_gains: tuple[float, ...]
    pan_weights: tuple[float, ...] | None
    noise_sigma: float
    snr: float | None
    seed: int
    bands: Sequence[str] | None
    window: Sequence[int] | None
    nodata: float | None


def assess(
    fused: PathText | Product | DataArray,
    scene: Scene | PathText,
    ms: PathText | Sequence[PathText] | None = None,
    *,
    reference: PathText | None = None,
    workers: int | None = None,
    html: PathText | None = None,
    progress: Progress | None = None,
    **options: Unpack[BandsKeywords],
) -> Assessment:
    """Measure a product against the scene it came from, and a reference where there is one, as `geofuse assess`.

    ``fused`` is a product, any raster on the scene's PAN grid, or an array (band, y, x) with CRS and transform such
    as `geofuse.fuse` returns; ``bands`` names its bands where it does not. ``.values`` are the numbers, ``html`` is a
    page to write. Raises GeorefError where it is on another grid, BandError where its bands cannot be told.
    """
    import tempfile

    from geofuse.pages.assessment_files import checked_page, write_page
    from geofuse.quality import assess as quality
    from geofuse.run.executors import executor
    from geofuse.run.plans.request import BandsKeywords, request_for
    from geofuse.run.progress import silent

    asked = request_for(BandsKeywords, options, workers=workers)
    page = checked_page(Path(html)) if html is not None else None
    found = opened(scene, ms)
    with (
        executor("threads", asked.work.workers or os.cpu_count() or 1) as runner,
        tempfile.TemporaryDirectory() as folder,
    ):
        path = _file_of(fused, Path(folder))
        made = quality.assess(
            path,
            found,
            reference=Path(reference) if reference is not None else None,
            bands=asked.scene.bands,
            nodata=asked.scene.nodata,
            runner=runner,
            progress=progress or silent,
        )
        if page is not None:
            write_page(made, page)
    return made


def _file_of(fused: PathText | Product | DataArray, folder: Path) -> Path:
    """Return the file of a product; an array is written to one first."""
    if isinstance(fused, Product):
        return Path(fused.address)
    if isinstance(fused, str | os.PathLike):
        return Path(fused)
    from geofuse.run.arrays import write_array

    return write_array(fused, folder / "array.tif")


def bench(
    out: PathText,
    scene: Scene | PathText,
    ms: PathText | Sequence[PathText] | None = None,
    *,
    methods: Sequence[str] = BENCH.methods,
    protocol: Protocol = BENCH.protocol,
    rounds: Sequence[int] = BENCH.rounds,
    calibrate: bool = True,
    progress: Progress | None = None,
    **options: Unpack[AreaKeywords],
) -> Bench:
    """Score and time every method on a scene, as `geofuse bench`; writes its page and figures into ``out``.

    ``.found`` is what bench.json holds. "reduced": both images degraded, the MS is the reference (Wald, Ranchin and
    Mangolini 1997); "full": no reference. ``rounds`` of back-projection have a row each. Raises
    UsageError, MethodError, AreaError.
    """
    from geofuse.run.plans.request import AreaKeywords, request_for

    request = request_for(AreaKeywords, options, calibrate=calibrate)
    found = opened(scene, ms)
    asked = BenchOptions(tuple(methods), protocol, tuple(rounds))
    return make_bench(found, request, Path(out), asked=asked, progress=progress)


def make_bench(
    scene: Scene,
    request: Request,
    folder: Path,
    *,
    asked: BenchOptions,
    progress: Progress | None = None,
) -> Bench:
    """Run a bench and write its files."""
    from geofuse.errors import UsageError
    from geofuse.files import write_faults
    from geofuse.pages.bench_commands import commands_of
    from geofuse.pages.bench_page import write_bench
    from geofuse.quality.bench import Bench, run_bench
    from geofuse.run.progress import silent

    if folder.exists() and not folder.is_dir():
        raise UsageError("--out is a file", wanted="a folder", path=str(folder))
    with write_faults(folder):
        made = run_bench(
            scene,
            request,
            folder,
            methods=asked.methods,
            protocol=asked.protocol,
            rounds=asked.rounds,
            progress=progress or silent,
        )
    commands = commands_of(
        scene, request, made.found, methods=asked.methods, rounds=asked.rounds, out=str(folder)
    )
    return Bench(write_bench(made, folder, commands), made.pictures)


def simulate(
    out: PathText,
    scene: Scene | PathText,
    ms: PathText | Sequence[PathText] | None = None,
    *,
    calibrate: bool = True,
    shift_px: Sequence[float] | None = None,
    overwrite: bool = False,
    **options: Unpack[AreaKeywords],
) -> Report:
    """Make a PAN/MS pair whose true fusion is known from a scene one scale down, as `geofuse simulate SCENE`.

    Writes pan.tif, ms.tif, reference.tif and simulation.json into ``out``. Raises AreaError where too little is left.
    """
    from geofuse.run.plans.request import AreaKeywords, request_for

    request = request_for(AreaKeywords, options, calibrate=calibrate, shift_px=shift_px)
    return simulated(opened(scene, ms), request, Path(out), overwrite=overwrite)


def simulated(scene: Scene, request: Request, folder: Path, *, overwrite: bool = False) -> Report:
    """Carry out a request for such a pair."""
    from geofuse.quality.simulate_wald import simulate_wald

    found = simulate_wald(scene, request, folder, overwrite=overwrite)
    return Report(f"simulated pair in {folder}", found)


def simulate_from(
    out: PathText, raster: PathText, *, overwrite: bool = False, **look: Unpack[LookKeywords]
) -> Report:
    """Make such a pair from any fine raster by a simulated camera, as `geofuse simulate --fine`.

    ``ratio`` is coarse over fine pixel size, 1 to 8; ``shift_px`` (dy, dx) in fine pixels; ``mtf_gains`` at the coarse
    Nyquist frequency, one or one a band; ``noise_sigma`` in DN. Raises UsageError, AreaError, MemoryLimitError.
    """
    from geofuse.quality.simulate_from_image import Viewing, simulate_from_fine
    from geofuse.run.plans.request import known_only

    known_only(LookKeywords, look)
    found = simulate_from_fine(os.fspath(raster), Viewing(**look), Path(out), overwrite=overwrite)
    return Report(f"simulated pair in {os.fspath(out)}", found)


def demo(
    out: PathText = "demo", *, size: int = DEMO.size, method: str = "auto", progress: Progress | None = None
) -> Report:
    """Simulate a scene with known truth, fuse it, score it, as `geofuse demo`; writes into the folder ``out``."""
    from geofuse.demo import run_demo
    from geofuse.run.progress import silent

    found = run_demo(Path(out), size=size, method=method, progress=progress or silent)
    return Report(f"demo in {os.fspath(out)}", {**found})
