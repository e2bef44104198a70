"""Measuring, planning, fusing, adapting, verifying."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast

from geofuse.api.answers import Planned, Product, Report
from geofuse.api.scenes import PathText, opened

if TYPE_CHECKING:
    from geofuse.nets.training.schedule import TellStep
    from geofuse.run.arrays import DataArray
    from geofuse.run.plans.request import (
        LazyKeywords,
        MeasureKeywords,
        PlanKeywords,
        Request,
        RequestKeywords,
    )
    from geofuse.run.progress import Progress
    from geofuse.run.records.documents import CalibrationReport, ProductRecord
    from geofuse.scenes.scene import Scene

MEASURES_FIRST = (
    "fuse looks at a sample first: shift, blur and (with auto) the method, so halo and memory may differ"
)


def calibrate(
    scene: Scene | PathText,
    ms: PathText | Sequence[PathText] | None = None,
    **options: Unpack[MeasureKeywords],
) -> Report:
    """Measure shift, MTF gains and PAN's spectral weights from the pair itself, as `geofuse calibrate --json`.

    Shifts are in PAN pixels (dy, dx), gains at the MS's Nyquist frequency. Raises MatchError where the images do
    not show the same place (`force=True`: goes on). Source: see `geofuse.methods.calibrate`.
    """
    from geofuse.run.calibrating import calibrate_scene as measured
    from geofuse.run.plans.request import MeasureKeywords, request_for

    found = opened(scene, ms)
    request = request_for(MeasureKeywords, options)
    return Report(f"calibration of {found.scene_id}", measured(found, request))


def calibrate_scene(scene: Scene, request: Request | None = None) -> CalibrationReport:
    """Measure a scene; the name `calibrate` had before 0.4."""
    from geofuse.run.calibrating import calibrate_scene as measured
    from geofuse.run.plans.request import make_request

    warnings.warn("calibrate_scene is now geofuse.calibrate", DeprecationWarning, stacklevel=2)
    return measured(scene, request or make_request())


def plan(
    scene: Scene | PathText,
    ms: PathText | Sequence[PathText] | None = None,
    *,
    out: PathText | None = None,
    work: PathText | None = None,
    **options: Unpack[PlanKeywords],
) -> Planned:
    """Say what would be done, as `geofuse plan --json`; reads no pixel.

    With `out` the place and its disk are checked too; `work` is where parts lie if `out` is in an object store.
    Raises the errors of inputs, bands, area, memory and disk.
    """
    from geofuse.run.plans.request import PlanKeywords, request_for

    return planned(opened(scene, ms), request_for(PlanKeywords, options), out=out, work=work)


def planned(
    scene: Scene, request: Request, *, out: PathText | None = None, work: PathText | None = None
) -> Planned:
    """Plan a request, without looking at pixels."""
    from geofuse.run.delivery import target_from
    from geofuse.run.plans.inspecting import plan_summary
    from geofuse.run.plans.planning import check_out, check_room, make_plan

    made = make_plan(scene, request)
    target = target_from(os.fspath(out), work) if out is not None else None
    if target is not None:
        check_room(made, target.local)
    elif out is not None:
        check_out(made, Path(out))
        check_room(made, Path(out))
    summary = plan_summary(made, os.fspath(out) if out is not None else None)
    if request.fuse.calibrate:
        if request.fuse.method == "auto":
            summary["method"] = "auto"
        summary["notes"] = [*summary["notes"], MEASURES_FIRST]
    return Planned(made, summary)


def fuse(
    scene: Scene | PathText,
    ms: PathText | Sequence[PathText] | None = None,
    *,
    params: Mapping[str, Any] | PathText | None = None,
    **options: Unpack[LazyKeywords],
) -> DataArray:
    """Fuse lazily: a dask-backed (band, y, x) array in the source's type, with CRS, transform, nodata, band names.

    ``scene`` is a Scene, a scene folder or .tar, or the PAN file with ``ms`` the MS file(s). Calibration looks at a
    sample of the scene at once (``calibrate=False``: headers only); the first compute measures the scene once;
    ``params`` (an OUT.json, or its content) spares both. Afterwards a window reads only what it needs. Pixels equal
    those of the command line's file. Raises what planning raises, ConfigError for parameters of another product.
    """
    from geofuse.run import arrays
    from geofuse.run.plans.request import LazyKeywords, request_for

    request = request_for(LazyKeywords, options)
    known = json.loads(Path(params).read_text()) if isinstance(params, str | os.PathLike) else params
    return arrays.lazy_product(opened(scene, ms), request, cast("ProductRecord | None", known))


def fuse_to(
    out: PathText,
    scene: Scene | PathText,
    ms: PathText | Sequence[PathText] | None = None,
    *,
    overwrite: bool = False,
    work: PathText | None = None,
    progress: Progress | None = None,
    **options: Unpack[RequestKeywords],
) -> Product:
    """Fuse into a Cloud Optimized GeoTIFF at ``out`` (a file, or s3://, gs://, az://), as `geofuse fuse`.

    OUT.json (the record) and OUT.png lie beside it. The same call again is a no-op; one that was stopped goes on.
    Raises ExistsError where another product is there (`overwrite=True`: replaces it), and what planning raises.
    """
    from geofuse.run.plans.request import RequestKeywords, request_for

    request = request_for(RequestKeywords, options)
    return make_product(opened(scene, ms), request, out, overwrite=overwrite, work=work, progress=progress)


def make_product(
    scene: Scene,
    request: Request,
    out: PathText,
    *,
    overwrite: bool = False,
    work: PathText | None = None,
    progress: Progress | None = None,
    steps: TellStep | None = None,
) -> Product:
    """Carry out a request: adapt weights where asked for, calibrate, plan, fuse, write."""
    from dataclasses import replace

    from geofuse.errors import UsageError
    from geofuse.run import delivery
    from geofuse.run.calibrating import calibrated_plan
    from geofuse.run.executors import executor
    from geofuse.run.fuse import fuse_to_cog
    from geofuse.run.progress import silent

    tell = progress or silent
    target = delivery.target_from(os.fspath(out), work)
    local = target.local if target else Path(out)
    if target and work is None and "://" in request.work.scheduler:
        raise UsageError(
            f"scheduler {request.work.scheduler} without a folder for the work (--work)",
            wanted="a folder that all workers share: their parts lie there until they are uploaded",
        )
    if target:
        delivery.prepare(target)
    notes: tuple[str, ...] = ()
    if request.fuse.adapt:
        from geofuse.learn.adapt import adapted_request, summary
        from geofuse.nets.training.steps import quiet

        request, made = adapted_request(scene, request, local, tell=steps or quiet)
        notes = (f"adapted to the scene: {summary(made)}",)
    plan = calibrated_plan(scene, request, local, progress=tell)
    plan = replace(plan, notes=(*plan.notes, *notes))
    with executor(request.work.scheduler, plan.workers) as runner:
        record = (
            delivery.fuse_to_object(plan, target, runner=runner, overwrite=overwrite, progress=tell)
            if target
            else fuse_to_cog(plan, local, runner=runner, overwrite=overwrite, progress=tell)
        )
    return Product(os.fspath(out), record)


def adapt(
    out: PathText,
    scene: Scene | PathText,
    ms: PathText | Sequence[PathText] | None = None,
    *,
    start: str | None = None,
    steps: TellStep | None = None,
    **options: Unpack[MeasureKeywords],
) -> Report:
    """Adapt the weights of a network to a scene, by the scene itself, as `geofuse adapt --json`; writes ``out``.

    ``start`` are the weights to begin with: a file or a shipped name; those that fit best where not given. Use them by
    ``fuse(..., method="pan-gan-ms", network=out)``. Raises WeightsError where no weights fit or nothing can be learnt.
    """
    from geofuse.learn import adapt as learning
    from geofuse.nets.training.steps import quiet
    from geofuse.run.plans.request import MeasureKeywords, request_for

    found, request = opened(scene, ms), request_for(MeasureKeywords, options)
    made = learning.adapt(found, request, Path(out), weights=start, tell=steps or quiet)
    values = {"path": str(made.path), "sha256": made.sha256, **made.told}
    return Report(f"weights adapted to {found.scene_id}: {learning.summary(made)}", values)


def verify(out: PathText, *, work: PathText | None = None) -> Product:
    """Check a product: COG, georeferencing, checksums; VerifyError says the first thing that is wrong."""
    from geofuse.run import delivery
    from geofuse.run.records import product_files

    target = delivery.target_from(os.fspath(out), work)
    found = delivery.verify_object(target) if target else product_files.verify(Path(out))
    return Product(os.fspath(out), found)
