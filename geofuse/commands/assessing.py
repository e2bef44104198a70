"""`geofuse assess`."""

from __future__ import annotations

import argparse
from typing import Any

from geofuse.commands.common import (
    add_switches,
    chosen,
    print_json,
    progress_bars,
    request_from_arguments,
    scene_of,
    scene_options,
)
from geofuse.commands.parsing import add_command, add_options, refuse
from geofuse.config.sections import AREAS, WorkOptions

EXAMPLES = """\
  geofuse assess sharp.tif LC09_L1TP_193024_20240512_20240512_02_T1 --html report.html
  geofuse assess other_tool.tif --pan PAN.tif --ms MS.tif --bands blue,green,red,nir --json
  geofuse assess fused.tif --pan pan.tif --ms ms.tif --reference truth.tif
"""


def add(commands: Any) -> None:
    """Add it."""
    command = add_command(
        commands,
        "assess",
        _assess,
        examples=EXAMPLES,
    )
    command.add_argument(
        "fused", metavar="FUSED.tif", help="a product, or any raster on the scene's PAN grid"
    )
    scene_options(command)
    command.add_argument(
        "--reference", metavar="REF.tif", help="what the product should be, on its grid or a larger one"
    )
    command.add_argument("--html", metavar="REPORT.html", help="write a page with numbers, maps and pictures")
    add_options(command, chosen(WorkOptions, ("workers",)))
    add_switches(command, "no_progress", "json")


def _assess(arguments: argparse.Namespace) -> None:
    import os
    from pathlib import Path

    from geofuse.pages.assessment_files import assess_text, checked_page, write_page
    from geofuse.quality.assess import assess
    from geofuse.run.executors import executor

    refuse(arguments, AREAS, because="with a product", wanted="none: its own area is assessed")
    asked = request_from_arguments(arguments)
    page = checked_page(Path(arguments.html)) if arguments.html else None
    with (
        executor("threads", asked.work.workers or os.cpu_count() or 1) as runner,
        progress_bars(arguments.no_progress) as progress,
    ):
        found = assess(
            Path(arguments.fused),
            scene_of(arguments),
            reference=Path(arguments.reference) if arguments.reference else None,
            bands=arguments.bands,
            nodata=arguments.nodata,
            runner=runner,
            progress=progress,
        )
    if page:
        write_page(found, page)
    print_json(found.values) if arguments.json else print(assess_text(found))
