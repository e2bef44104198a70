"""`geofuse fuse` and `geofuse plan`."""

from __future__ import annotations

import argparse
from typing import Any

from geofuse.commands.common import (
    add_switches,
    fuse_options,
    print_json,
    progress_bars,
    request_from_arguments,
    scene_of,
    scene_options,
    stoppable,
    work_option,
)
from geofuse.commands.parsing import add_command, refuse

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


def _fuse(arguments: argparse.Namespace) -> None:
    from geofuse.commands.process_setup import prepare

    prepare()

    from geofuse.api.fusing import make_product
    from geofuse.commands.learning import step_bar

    with (
        progress_bars(arguments.no_progress) as progress,
        step_bar(arguments.no_progress) as steps,
        stoppable(),
    ):
        record = make_product(
            scene_of(arguments),
            request_from_arguments(arguments),
            arguments.out,
            overwrite=arguments.overwrite,
            work=arguments.work,
            progress=progress,
            steps=steps,
        ).record
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


def _plan(arguments: argparse.Namespace) -> None:
    from geofuse.api.fusing import planned
    from geofuse.pages.terminal import plan_text

    if not arguments.out:
        refuse(arguments, ["work"], because="without --out", wanted="--out s3://BUCKET/OUT.tif")
    found = planned(
        scene_of(arguments), request_from_arguments(arguments), out=arguments.out, work=arguments.work
    ).facts
    print_json(found) if arguments.json else print(plan_text(found))
