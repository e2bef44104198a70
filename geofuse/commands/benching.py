"""`geofuse bench`."""

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
    stoppable,
)
from geofuse.commands.parsing import add_command, add_options, section_of
from geofuse.config.errands import BenchOptions
from geofuse.config.option import options_of
from geofuse.config.sections import FuseOptions

EXAMPLES = """\
  geofuse bench LC08_SCENE --window 960 2 244 838 --out bench
  geofuse bench --pan PAN.tif --ms MS.tif --methods gsa,mtf-glp-hpm-r,auto --protocol full --out bench
"""


def add(commands: Any) -> None:
    """Add it."""
    bench = add_command(
        commands,
        "bench",
        _bench,
        examples=EXAMPLES,
    )
    scene_options(bench)
    bench.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder of bench.html, bench.md, bench.json, crops.png; those of an earlier bench are replaced",
    )
    add_options(bench, options_of(BenchOptions))
    add_options(bench, chosen(FuseOptions, ("calibrate",)), calibrate="keep the sensor table's figures")
    add_switches(bench, "no_progress", "json", json="print bench.json")


def _bench(arguments: argparse.Namespace) -> None:
    from pathlib import Path

    from geofuse.api.judging import make_bench
    from geofuse.pages.bench_table import bench_text

    folder, asked = Path(arguments.out), section_of(BenchOptions, arguments, options_of(BenchOptions))
    with progress_bars(arguments.no_progress) as progress, stoppable():
        found = make_bench(
            scene_of(arguments),
            request_from_arguments(arguments),
            folder,
            asked=asked,
            progress=progress,
        ).found
    if arguments.json:
        print_json(found)
        return
    print(bench_text(found))
    print(f"\nwritten: {folder / 'bench.html'}, bench.md, bench.json, crops.png")
