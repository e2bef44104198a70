"""`geofuse run` and `geofuse accept`."""

from __future__ import annotations

import argparse
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from geofuse.commands.common import add_switches, chosen, print_json, progress_bars, stoppable
from geofuse.commands.parsing import add_command, add_options, refuse
from geofuse.config.sections import SceneOptions
from geofuse.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from geofuse.config import RunConfig
    from geofuse.line.events import Event, Tell

RUN_EXAMPLES = """\
  geofuse run landsat --scene LC09_L1TP_193024_20240512_20240512_02_T1
  geofuse run pair --pan PAN.tif --ms MS.tif --json
  geofuse run my.yaml                    the scene that the file names
"""
ACCEPT_EXAMPLES = """\
  geofuse accept --catalog archive                                        what waits, and why
  geofuse accept LC08_L1TP_020039_20150804 --by "J. Doe" --catalog archive
  geofuse accept LC08_L1TP_020039_20150804 --by "J. Doe" --reject --config landsat
"""


def add(commands: Any) -> None:
    """Add them."""
    run = add_command(
        commands,
        "run",
        _run,
        examples=RUN_EXAMPLES,
    )
    run.add_argument(
        "config", metavar="CONFIG.yaml", help="what is wanted: a file, or landsat, pair, cluster-gpu"
    )
    run.add_argument(
        "--scene", dest="path", metavar="SCENE", help="scene folder or .tar, instead of the file's"
    )
    add_options(run, chosen(SceneOptions, ("pan", "ms")), pan="fine image, instead of the file's scene")
    places(run)
    add_switches(run, "no_progress", "json")
    accept = add_command(
        commands,
        "accept",
        _accept,
        examples=ACCEPT_EXAMPLES,
    )
    accept.add_argument("scene", nargs="?", metavar="ID", help="name or key of the scene; none: list")
    accept.add_argument("--by", metavar="NAME", help="who decides")
    accept.add_argument("--reject", action="store_true", help="never publish it")
    accept.add_argument("--config", metavar="CONFIG.yaml", help="the configuration it was run with")
    places(accept)
    add_switches(accept, "json")


def places(parser: Any) -> None:
    """Add what says where products and their state are, over the configuration."""
    parser.add_argument("--catalog", metavar="DIR", help="catalogue to publish into, instead of the file's")
    parser.add_argument("--out-folder", metavar="DIR", help="folder of the products, instead of the file's")


def configured(
    path: str | None, arguments: argparse.Namespace, **sections: Mapping[str, object]
) -> RunConfig:
    """Return a configuration with what the command line says over it; paths there are relative to here."""
    from pathlib import Path

    from geofuse.config import config_with, load_config

    given: dict[str, Mapping[str, object]] = {
        "catalog": {"folder": getattr(arguments, "catalog", None)},
        "output": {"folder": getattr(arguments, "out_folder", None)},
        **sections,
    }
    said = {
        name: {key: value for key, value in section.items() if value is not None}
        for name, section in given.items()
    }
    return config_with(load_config(path) if path else None, said, Path.cwd(), where=path or "")


@contextmanager
def told(hidden: bool, *, many: bool = False) -> Iterator[Tell]:
    """Show the events of a run as bars, on a terminal; of many scenes each bar says whose it is."""
    with progress_bars(hidden) as progress:

        def tell(event: Event) -> None:
            if event.kind == "progress":
                data = event.data
                what = f"{event.scene[:24]} {data['what']}" if many else data["what"]
                progress(what, data["done_px"], data["total_px"], data["resumed_px"])

        yield tell


def _run(arguments: argparse.Namespace) -> None:
    from geofuse.line.scene_ref import scene_ref
    from geofuse.line.scene_run import outcome_to_json, run_scene

    config = configured(arguments.config, arguments, scene=_scene_said(arguments))
    with told(arguments.no_progress) as tell, stoppable():
        outcome = run_scene(config, scene_ref(config, digest=False), tell=tell)
    if arguments.json:
        print_json(outcome_to_json(outcome))
        return
    print(f"{outcome.name}: {outcome.verdict}, {outcome.state} {outcome.item}".rstrip())
    print(outcome.out)
    for reason in outcome.reasons:
        print(f"because {reason}")


def _scene_said(arguments: argparse.Namespace) -> dict[str, object]:
    """Return the command line's scene, which stands alone; empty: the file's."""
    if arguments.path and (arguments.pan or arguments.ms):
        raise UsageError("--scene together with --pan or --ms", wanted="--scene, or --pan with --ms")
    if bool(arguments.pan) != bool(arguments.ms):
        raise UsageError("one of --pan and --ms", wanted="both")
    if not (arguments.path or arguments.pan):
        return {}
    return {"path": arguments.path or "", "pan": arguments.pan or "", "ms": arguments.ms or []}


def _accept(arguments: argparse.Namespace) -> None:
    from geofuse.line.decisions import decide, waiting
    from geofuse.line.scene_ledger import row_to_json
    from geofuse.pages.terminal import table

    if not (arguments.config or arguments.catalog or arguments.out_folder):
        raise UsageError("no place", wanted="--catalog DIR or --config CONFIG.yaml")
    config = configured(arguments.config, arguments)
    if arguments.scene is None:
        refuse(arguments, ["by", "reject"], because="without ID", wanted="the ID it is about")
        rows = waiting(config)
        if arguments.json:
            print_json({"waiting": [row_to_json(row) for row in rows]})
        else:
            lines = [(row.name, row.key[:8], row.reason, row.out) for row in rows]
            print(table(lines, ["scene", "key", "why", "product"]) if lines else "nothing waits")
        return
    if not arguments.by:
        raise UsageError("nobody decides", wanted="--by NAME")
    done = decide(config, arguments.scene, by=arguments.by, accept=not arguments.reject)
    if arguments.json:
        print_json(done)
    else:
        print(f"{done['name']}: {done['state']} {done.get('item', '')}".rstrip())
