"""The command line: parse, import, one call, print. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from geofuse.commands.parsing import Parser
from geofuse.commands.table import COMMANDS
from geofuse.errors import GeofuseError
from geofuse.version import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    try:
        words = sys.argv[1:] if argv is None else argv
        arguments = build_parser(words).parse_args(words)
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
    except Exception as fault:
        from geofuse.internal import foreseen

        told = foreseen(fault)
        print(f"geofuse: error [{told.code}] {told}", file=sys.stderr)
        return told.exit_status
    return status


def build_parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Build the parser of the command that the words call; of the others only their names."""
    parser = Parser(
        prog="geofuse",
        description="Fuse the images of a satellite scene into one sharp, georeferenced product.",
        epilog="`geofuse COMMAND --help` explains a command, with examples.",
    )
    parser.add_argument("--version", action="version", version=f"geofuse {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    called = COMMANDS.get(next((word for word in words if not word.startswith("-")), ""), ("", ""))[0]
    if called:
        importlib.import_module(f"geofuse.commands.{called}").add(commands)
    for name, (module, text) in COMMANDS.items():
        if module != called:
            commands.add_parser(name, help=text, add_help=False)
    return parser


if __name__ == "__main__":
    sys.exit(main())
