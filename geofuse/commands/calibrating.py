"""`geofuse calibrate`."""

from __future__ import annotations

import argparse
from typing import Any

from geofuse.commands.common import add_command, print_json, scene_of, scene_options

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
        text="measure shift, MTF gains and PAN's spectral weights from the pair itself",
        examples=EXAMPLES,
    )
    scene_options(calibrate)
    calibrate.add_argument("--force", action="store_true", help="report on images that do not match, too")
    calibrate.add_argument("--json", action="store_true", help="print one JSON object")


def _calibrate(arguments: argparse.Namespace) -> None:
    from geofuse.pages.terminal import calibration_text
    from geofuse.run.calibrating import calibrate_scene
    from geofuse.run.planning import Request

    request = Request(
        bands=arguments.bands,
        bbox=arguments.bbox,
        aoi=arguments.aoi,
        window=arguments.window,
        nodata=arguments.nodata,
        force=arguments.force,
    )
    found = calibrate_scene(scene_of(arguments), request)
    print_json(found) if arguments.json else print(calibration_text(found))
