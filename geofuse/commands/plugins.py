"""`geofuse plugins`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from geofuse.commands.common import add_switches, print_json
from geofuse.commands.parsing import add_command

if TYPE_CHECKING:
    from geofuse.pages.terminal import Listed
    from geofuse.tables import Plugin, Table

EXAMPLES = """\
  geofuse plugins
  geofuse plugins --json
  geofuse plugins --needed-by sharp.tif
"""


def add(commands: Any) -> None:
    """Add it."""
    plugins = add_command(commands, "plugins", _plugins, examples=EXAMPLES)
    plugins.add_argument(
        "--needed-by",
        metavar="OUT.tif",
        help="only check that what a product was made with is here: OUT.tif or OUT.json",
    )
    add_switches(plugins, "json")


def _plugins(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from geofuse.pages.terminal import plugins_text
    from geofuse.version import __version__

    if arguments.needed_by:
        needed = _needed_by(arguments.needed_by)
        if arguments.json:
            print_json({"product": arguments.needed_by, "plugins": [asdict(one) for one in needed]})
        else:
            names = [f"{one.table}: {one.name} ({one.package} {one.version})" for one in needed]
            print("\n".join(names) or "nothing but geofuse itself")
        return 0
    listed = [row for table in _tables() for row in _listed(table, __version__)]
    if arguments.json:
        print_json({"geofuse": __version__, "rows": listed})
    else:
        print(plugins_text(listed))
    return 0


def _tables() -> tuple[Table[Any], ...]:
    from geofuse.fusions import FUSIONS
    from geofuse.methods.table import METHODS
    from geofuse.metrics.table import METRICS
    from geofuse.nets.table import NETWORKS
    from geofuse.scenes.readers.table import READERS
    from geofuse.scenes.sensors.table import SENSORS

    return READERS, SENSORS, FUSIONS, METHODS, NETWORKS, METRICS


def _listed(table: Table[Any], release: str) -> list[Listed]:
    from geofuse.pages.terminal import Listed

    return [
        Listed(
            table=table.group.removeprefix("geofuse."),
            name=one.row.name,
            title=one.row.title,
            package=one.row.package,
            version=one.row.version or release,
            needs=one.row.needs,
            fault=str(one.fault) if one.fault else None,
        )
        for one in table.check()
    ]


def _needed_by(product: str) -> tuple[Plugin, ...]:
    """Return what a product's record says it was made with; PluginError where some of it is not here."""
    from pathlib import Path

    from geofuse.errors import VerifyError
    from geofuse.files import read_json
    from geofuse.tables import check_plugins, plugins_in

    record = read_json(Path(product).with_suffix(".json"))
    if record is None or "fingerprint" not in record:
        raise VerifyError("no product's record", wanted="OUT.tif with OUT.json beside it", path=product)
    needed = plugins_in(record)
    check_plugins(needed)
    return needed
