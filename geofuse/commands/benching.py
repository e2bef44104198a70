"""`geofuse bench`."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING, Any

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
from geofuse.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

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

    from geofuse.files import write_faults
    from geofuse.pages.bench_page import write_bench
    from geofuse.pages.bench_table import bench_text
    from geofuse.quality.bench import run_bench

    folder = Path(arguments.out)
    if folder.exists() and not folder.is_dir():
        raise UsageError("--out is a file", wanted="a folder", path=str(folder))
    request = request_of(arguments)
    with progress_bars(arguments.no_progress) as progress, stoppable(), write_faults(folder):
        bench = run_bench(
            scene_of(arguments),
            request,
            folder,
            methods=arguments.methods,
            protocol=arguments.protocol,
            rounds=arguments.rounds,
            progress=progress,
        )
    found = write_bench(bench, folder, commands_of(arguments, bench.found))
    if arguments.json:
        print_json(found)
        return
    print(bench_text(found))
    print(f"\nwritten: {folder / 'bench.html'}, bench.md, bench.json, crops.png")


def commands_of(arguments: argparse.Namespace, found: Mapping[str, Any]) -> list[str]:
    """Return the command lines that repeat a bench, its pair, and the product of its first row."""
    scene = _scene_words(arguments)
    window = [str(number) for number in found["pan_window"]]
    area = ["--window", *window]
    asked = ["--methods", ",".join(arguments.methods), "--protocol", arguments.protocol]
    asked += ["--back-projections", ",".join(map(str, arguments.rounds))]
    calibrate = ["--no-calibrate"] if arguments.calibrate is False else []
    lines = [["bench", *scene, *area, *asked, *calibrate, "--out", arguments.out]]
    if arguments.protocol == "reduced":
        lines.append(["simulate", *scene, *area, *calibrate, "--out", "pair"])
    best = found["rows"][0]
    if "error" not in best:
        method = ["--method", best["is"], "--back-projections", str(best["back_projections"])]
        lines.append(["fuse", *scene, *area, *method, *calibrate, "--out", "best.tif"])
    return [shlex.join(["geofuse", *words]) for words in lines]


def _scene_words(arguments: argparse.Namespace) -> list[str]:
    words = [arguments.path] if arguments.path else []
    words += ["--pan", arguments.pan] if arguments.pan else []
    words += [word for path in arguments.ms or () for word in ("--ms", path)]
    words += ["--bands", ",".join(arguments.bands)] if arguments.bands else []
    words += ["--nodata", f"{arguments.nodata:g}"] if arguments.nodata is not None else []
    return words
