"""`geofuse fuse` and `geofuse plan`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from geofuse.commands.common import (
    add_switches,
    fuse_options,
    print_json,
    progress_bars,
    request_of,
    scene_of,
    scene_options,
    stoppable,
    target_from,
    work_option,
)
from geofuse.commands.parsing import add_command, refuse
from geofuse.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from geofuse.rasters.cog.objects import Target
    from geofuse.run.request import Request
    from geofuse.scenes.scene import Scene

FUSE_EXAMPLES = """\
  geofuse fuse LC09_L1TP_193024_20240512_20240512_02_T1 --out sharp.tif
  geofuse fuse LC08.tar --bands red,green,blue --bbox 13.2 52.4 13.6 52.6 --out berlin.tif
  geofuse fuse --pan PAN.tif --ms MS.tif --method gsa --compress deflate --out sharp.tif
  geofuse fuse --pan PAN.tif --ms MS.tif --method pan-gan-ms --adapt --out sharp.tif
  geofuse fuse --pan B8.TIF --ms B4.TIF --ms B3.TIF --ms B2.TIF --scheduler dask --workers 8 --out rgb.tif
  geofuse fuse LC08.tar --out s3://products/2024/sharp.tif
"""


def add(commands: Any) -> None:
    """Add them."""
    fuse = add_command(
        commands,
        "fuse",
        _fuse,
        examples=FUSE_EXAMPLES,
    )
    scene_options(fuse)
    fuse.add_argument(
        "--out",
        required=True,
        metavar="OUT.tif",
        help="the product, or s3://BUCKET/OUT.tif (gs://, az://); OUT.json, OUT.png lie beside it",
    )
    work_option(fuse)
    fuse_options(fuse)
    add_switches(fuse, "overwrite", "no_progress", "json", json="print the provenance as one JSON object")
    plan = add_command(commands, "plan", _plan)
    scene_options(plan)
    plan.add_argument("--out", metavar="OUT.tif", help="where the product would go: checks the disk")
    work_option(plan)
    fuse_options(plan, but=("adapt", "scheduler"))
    add_switches(plan, "json")


def _adapted(scene: Scene, request: Request, out: Path, *, hidden: bool) -> tuple[Request, tuple[str, ...]]:
    """Adapt weights to the scene, or take those of an earlier run; returns the request for them and what to say."""
    from geofuse.commands.learning import step_bar
    from geofuse.learn.adapt import adapted_request, summary

    with step_bar(hidden) as tell:
        asked, made = adapted_request(scene, request, out, tell=tell)
    return asked, (f"adapted to the scene: {summary(made)}",)


def _fuse(arguments: argparse.Namespace) -> None:
    from dataclasses import replace
    from pathlib import Path

    from geofuse.commands.process_setup import prepare

    prepare()

    from geofuse.run import delivery
    from geofuse.run.calibrating import calibrated_plan
    from geofuse.run.executors import executor
    from geofuse.run.fuse import fuse_to_cog

    target = target_from(arguments.out, arguments.work)
    out = target.local if target else Path(arguments.out)
    _check_shared(target, arguments)
    with progress_bars(arguments.no_progress) as progress, stoppable():
        if target:
            delivery.prepare(target)
        scene, request, notes = scene_of(arguments), request_of(arguments), tuple[str, ...]()
        if request.fuse.adapt:
            request, notes = _adapted(scene, request, out, hidden=arguments.no_progress)
        plan = calibrated_plan(scene, request, out, progress=progress)
        plan = replace(plan, notes=(*plan.notes, *notes))
        with executor(request.work.scheduler, plan.workers) as runner:
            record = (
                delivery.fuse_to_object(
                    plan, target, runner=runner, overwrite=arguments.overwrite, progress=progress
                )
                if target
                else fuse_to_cog(plan, out, runner=runner, overwrite=arguments.overwrite, progress=progress)
            )
    if arguments.json:
        print_json(record)
        return
    grid, data = record["grid"], record["assets"]["data"]
    print(
        f"{arguments.out}: {len(record['parameters']['bands'])} bands, {grid['height']} x {grid['width']} px, ",
        end="",
    )
    print(f"{data['bytes'] / 1e6:.1f} MB, method {record['method']['name']}")
    for warning in record["warnings"]:
        print(f"note: {warning}")


def _check_shared(target: Target | None, arguments: argparse.Namespace) -> None:
    """Refuse workers of other hosts where the folder of the work may be this one's own."""
    if target and arguments.work is None and "://" in (arguments.scheduler or ""):
        raise UsageError(
            f"--scheduler {arguments.scheduler} without --work",
            wanted="a folder that all workers share: their parts lie there until they are uploaded",
        )


def _plan(arguments: argparse.Namespace) -> None:
    from pathlib import Path

    from geofuse.pages.terminal import plan_text
    from geofuse.run.planning import check_out, check_room, make_plan, plan_summary

    if not arguments.out:
        refuse(arguments, ["work"], because="without --out", wanted="--out s3://BUCKET/OUT.tif")
    request = request_of(arguments)
    plan = make_plan(scene_of(arguments), request)
    target = target_from(arguments.out, arguments.work) if arguments.out else None
    if target:
        check_room(plan, target.local)
    elif arguments.out:
        check_out(plan, Path(arguments.out))
        check_room(plan, Path(arguments.out))
    summary = plan_summary(plan, arguments.out)
    if request.fuse.calibrate:
        if request.fuse.method == "auto":
            summary["method"] = "auto"
        note = "fuse looks at a sample first: shift, blur and (with auto) the method, so halo and memory may differ"
        summary["notes"] = [*summary["notes"], note]
    print_json(summary) if arguments.json else print(plan_text(summary))
