"""The command line: parse, import, one call, print. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from geofuse.commands import (
    assessing,
    benching,
    calibrating,
    catalog,
    exporting,
    fusing,
    learning,
    looking,
    running,
    scenes,
    serving,
    simulating,
    up,
)
from geofuse.commands.common import Parser
from geofuse.errors import GeofuseError
from geofuse.version import __version__

COMMANDS = (
    fusing,
    learning,
    exporting,
    calibrating,
    assessing,
    looking,
    simulating,
    benching,
    running,
    scenes,
    catalog,
    serving,
    up,
)
"""In the order of `geofuse --help`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    try:
        arguments = build_parser().parse_args(argv)
        status: int = arguments.run(arguments) or 0
        sys.stdout.flush()
    except GeofuseError as error:
        print(f"geofuse: error [{error.code}] {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("geofuse: interrupted; the same command goes on where this one stopped", file=sys.stderr)
        return 130
    except MemoryError:
        print(
            "geofuse: error [memory] out of memory; use a smaller --tile or fewer --workers", file=sys.stderr
        )
        return 3
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all commands."""
    parser = Parser(
        prog="geofuse",
        description="Fuse the images of a satellite scene into one sharp, georeferenced product.",
        epilog="`geofuse COMMAND --help` explains a command, with examples.",
    )
    parser.add_argument("--version", action="version", version=f"geofuse {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    for module in COMMANDS:
        module.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
