"""`geofuse export`."""

from __future__ import annotations

import argparse
from typing import Any

from geofuse.commands.common import add_switches, print_json
from geofuse.commands.parsing import add_command
from geofuse.errors import UsageError, WriteError

EXAMPLES = """\
  geofuse export any-x4 --out any-x4.onnx
  geofuse export adapted.safetensors --out adapted.onnx
"""


def add(commands: Any) -> None:
    """Add it."""
    export = add_command(
        commands,
        "export",
        _export,
        examples=EXAMPLES,
    )
    export.add_argument("weights", metavar="WEIGHTS", help="a weights file, or a shipped name")
    export.add_argument("--out", required=True, metavar="NET.onnx", help="the file to write")
    add_switches(export, "json")


def _export(arguments: argparse.Namespace) -> None:
    from pathlib import Path

    from geofuse.nets.weights import no_torch, shipped

    out = Path(arguments.out)
    if out.suffix != ".onnx":
        raise UsageError(f"--out {out.name!r}", wanted="a name that ends in .onnx")
    if not out.absolute().parent.is_dir():
        raise WriteError(
            "no such folder", wanted="an existing one for --out", path=str(out.absolute().parent)
        )
    try:
        from geofuse.nets.export import export_onnx

        found = export_onnx(shipped().get(arguments.weights, Path(arguments.weights)), out)
    except ModuleNotFoundError as error:
        raise no_torch() from error
    if arguments.json:
        print_json(found)
        return
    print(
        f"{found['out']}: {found['network']}, inputs {', '.join(found['inputs'])}, {found['bytes'] / 1e3:.0f} kB"
    )
