"""`geofuse run` and `geofuse accept`."""

from __future__ import annotations

import argparse
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from geofuse.commands.common import add_command, print_json, progress_bars, stoppable
from geofuse.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        text="run a scene through all stages, by a configuration",
        examples=RUN_EXAMPLES,
    )
    run.add_argument(
        "config", metavar="CONFIG.yaml", help="what is wanted: a file, or landsat, pair, cluster-gpu"
    )
    run.add_argument("--scene", metavar="SCENE", help="scene folder or .tar, instead of the file's")
    run.add_argument("--pan", metavar="PAN.tif", help="fine image, instead of the file's scene")
    run.add_argument("--ms", action="append", metavar="MS.tif", help="coarse image; repeatable")
    places(run)
    run.add_argument("--no-progress", action="store_true", help="no progress bar")
    run.add_argument("--json", action="store_true", help="print one JSON object")
    accept = add_command(
        commands,
        "accept",
        _accept,
        text="decide about a product that waits for a person, or list those that do",
        examples=ACCEPT_EXAMPLES,
    )
    accept.add_argument("scene", nargs="?", metavar="ID", help="name or key of the scene; none: list")
    accept.add_argument("--by", metavar="NAME", help="who decides")
    accept.add_argument("--reject", action="store_true", help="never publish it")
    accept.add_argument("--config", metavar="CONFIG.yaml", help="the configuration it was run with")
    places(accept)
    accept.add_argument("--json", action="store_true", help="print one JSON object")


def places(parser: Any) -> None:
    """Add what says where products and their state are, over the configuration."""
    parser.add_argument("--catalog", metavar="DIR", help="catalogue to publish into, instead of the file's")
    parser.add_argument("--out-folder", metavar="DIR", help="folder of the products, instead of the file's")


def configured(path: str | None, arguments: argparse.Namespace, **sections: dict[str, Any]) -> RunConfig:
    """Return a configuration with what the command line says over it; paths there are relative to here."""
    from pathlib import Path

    from geofuse.config import config_from, config_to_json, load_config

    values: dict[str, Any] = config_to_json(load_config(path)) if path else {}
    given = {
        "catalog": {"folder": getattr(arguments, "catalog", None)},
        "output": {"folder": getattr(arguments, "out_folder", None)},
        **sections,
    }
    for name, section in given.items():
        said = {key: value for key, value in section.items() if value is not None}
        values[name] = {**(values.get(name) or {}), **said}
    return config_from(values, Path.cwd(), where=path or "")


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

    scene: dict[str, Any] = {}
    if arguments.scene:
        scene = {"path": arguments.scene, "pan": "", "ms": []}
    elif arguments.pan or arguments.ms:
        scene = {"path": "", "pan": arguments.pan, "ms": arguments.ms}
    config = configured(arguments.config, arguments, scene=_named(scene))
    with told(arguments.no_progress) as tell, stoppable():
        outcome = run_scene(config, scene_ref(config, digest=False), tell=tell)
    if arguments.json:
        print_json(outcome_to_json(outcome))
        return
    print(f"{outcome.name}: {outcome.verdict}, {outcome.state} {outcome.item}".rstrip())
    print(outcome.out)
    for reason in outcome.reasons:
        print(f"because {reason}")


def _named(scene: dict[str, Any]) -> dict[str, Any]:
    """Let the command line's scene stand alone."""
    if scene and scene["path"] == "" and not (scene["pan"] and scene["ms"]):
        raise UsageError("one of --pan and --ms", wanted="both")
    return scene


def _accept(arguments: argparse.Namespace) -> None:
    from geofuse.line.decisions import decide, waiting
    from geofuse.line.scene_ledger import row_to_json
    from geofuse.pages.terminal import table

    if not (arguments.config or arguments.catalog or arguments.out_folder):
        raise UsageError("no place", wanted="--catalog DIR or --config CONFIG.yaml")
    config = configured(arguments.config, arguments)
    if arguments.scene is None:
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
