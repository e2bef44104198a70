"""`geofuse bench`."""

from __future__ import annotations

import argparse
from typing import Any

from geofuse.commands.common import (
    add_switches,
    chosen,
    print_json,
    progress_bars,
    request_of,
    scene_of,
    scene_options,
    stoppable,
)
from geofuse.commands.parsing import add_command, add_options, names
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
    bench.add_argument("--methods", type=names, default=["all"], metavar="LIST", help="all, or some (all)")
    bench.add_argument(
        "--protocol",
        default="reduced",
        metavar="NAME",
        help="reduced: both images degraded, MS is the reference; full: no reference (reduced)",
    )
    bench.add_argument(
        "--back-projections",
        dest="rounds",
        type=_counts,
        default=[0, 3],
        metavar="LIST",
        help="a row for each (0,3)",
    )
    add_options(bench, chosen(FuseOptions, ("calibrate",)), calibrate="keep the sensor table's figures")
    add_switches(bench, "no_progress", "json", json="print bench.json")


def _counts(text: str) -> list[int]:
    try:
        return [int(count) for count in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of whole numbers") from error


def _bench(arguments: argparse.Namespace) -> None:
    from pathlib import Path

    from geofuse.api.judging import make_bench
    from geofuse.pages.bench_table import bench_text

    folder = Path(arguments.out)
    with progress_bars(arguments.no_progress) as progress, stoppable():
        found = make_bench(
            scene_of(arguments),
            request_of(arguments),
            folder,
            methods=arguments.methods,
            protocol=arguments.protocol,
            rounds=arguments.rounds,
            progress=progress,
        ).found
    if arguments.json:
        print_json(found)
        return
    print(bench_text(found))
    print(f"\nwritten: {folder / 'bench.html'}, bench.md, bench.json, crops.png")
