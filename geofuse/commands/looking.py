"""`geofuse inspect`, `geofuse methods`, `geofuse verify` and `geofuse demo`."""

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
    work_option,
)
from geofuse.commands.parsing import add_command, add_options, section_of
from geofuse.config.errands import DemoOptions
from geofuse.config.option import options_of
from geofuse.config.sections import FuseOptions


def add(commands: Any) -> None:
    """Add them."""
    inspect = add_command(commands, "inspect", _inspect)
    scene_options(inspect)
    add_switches(inspect, "json")
    methods = add_command(commands, "methods", _methods)
    add_switches(methods, "json")
    verify = add_command(commands, "verify", _verify)
    verify.add_argument("product", metavar="OUT.tif", help="a file, or s3://BUCKET/OUT.tif (gs://, az://)")
    work_option(verify)
    add_switches(verify, "json")
    demo = add_command(commands, "demo", _demo)
    demo.add_argument("dir", nargs="?", default="demo", metavar="DIR", help="folder to write to (demo)")
    add_options(demo, [*options_of(DemoOptions), *chosen(FuseOptions, ("method",))])
    add_switches(demo, "no_progress", "json")


def _inspect(arguments: argparse.Namespace) -> None:
    from geofuse.api.scenes import inspected
    from geofuse.pages.terminal import inspect_text

    facts = inspected(scene_of(arguments), request_from_arguments(arguments)).facts
    print_json(facts) if arguments.json else print(inspect_text(facts))


def _methods(arguments: argparse.Namespace) -> None:
    from geofuse.api.lists import list_methods
    from geofuse.pages.terminal import methods_text

    found = list_methods().facts
    print_json(found) if arguments.json else print(methods_text(found))


def _verify(arguments: argparse.Namespace) -> None:
    from geofuse.api.fusing import verify

    found = verify(arguments.product, work=arguments.work)
    if arguments.json:
        print_json({"product": found.address, "valid": True, "sha256": found.sha256})
    else:
        print(f"{found.address}: valid COG, on its grid, checksums as recorded")


def _demo(arguments: argparse.Namespace) -> None:
    from pathlib import Path

    from geofuse.demo import run_demo
    from geofuse.pages.terminal import demo_text

    size = section_of(DemoOptions, arguments, options_of(DemoOptions)).size
    method = request_from_arguments(arguments).fuse.method
    with progress_bars(arguments.no_progress) as progress:
        found = run_demo(Path(arguments.dir), size=size, method=method, progress=progress)
    print_json(found) if arguments.json else print(demo_text(found))
