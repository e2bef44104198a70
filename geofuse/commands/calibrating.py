"""`geofuse calibrate`."""

from __future__ import annotations

import argparse
from typing import Any

from geofuse.commands.common import (
    add_switches,
    chosen,
    print_json,
    request_from_arguments,
    scene_of,
    scene_options,
)
from geofuse.commands.parsing import add_command, add_options
from geofuse.config.sections import FuseOptions

EXAMPLES = """\
  geofuse calibrate LC09_L1TP_193024_20240512_20240512_02_T1
  geofuse calibrate --pan PAN.tif --ms MS.tif --json
  geofuse calibrate LC08.tar --window 960 2 244 838
"""


def add(commands: Any) -> None:
    """Add it."""
    calibrate = add_command(
        commands,
        "calibrate",
        _calibrate,
        examples=EXAMPLES,
    )
    scene_options(calibrate)
    add_options(calibrate, chosen(FuseOptions, ("force",)), force="report on images that do not match, too")
    add_switches(calibrate, "json")


def _calibrate(arguments: argparse.Namespace) -> None:
    from geofuse.pages.terminal import calibration_text
    from geofuse.run.calibrating import calibrate_scene

    found = calibrate_scene(scene_of(arguments), request_from_arguments(arguments))
    print_json(found) if arguments.json else print(calibration_text(found))
