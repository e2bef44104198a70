"""`geofuse simulate`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, cast

from geofuse.commands.common import (
    add_switches,
    chosen,
    print_json,
    request_from_arguments,
    scene_of,
    scene_options,
)
from geofuse.commands.parsing import add_command, add_options, given, refuse
from geofuse.config.errands import CameraOptions
from geofuse.config.option import options_of
from geofuse.config.sections import FuseOptions
from geofuse.errors import UsageError

if TYPE_CHECKING:
    from geofuse.api.answers import Report
    from geofuse.api.judging import LookKeywords

EXAMPLES = """\
  geofuse simulate LC08_SCENE --window 960 2 244 838 --out reduced
  geofuse simulate --pan PAN.tif --ms MS.tif --out reduced
  geofuse simulate --fine AERIAL.tif --ratio 4 --shift 0.6 -1.2 --gain 0.25,0.3,0.3,0.28 --noise 2 --out pair
"""
NOISE = ("noise_sigma", "snr")
"""Two ways to say how strong the noise is."""


def add(commands: Any) -> None:
    """Add it."""
    simulate = add_command(
        commands,
        "simulate",
        _simulate,
        examples=EXAMPLES,
    )
    scene_options(simulate)
    simulate.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder of pan.tif, ms.tif, reference.tif, simulation.json",
    )
    add_options(
        simulate,
        chosen(FuseOptions, ("calibrate", "shift_px")),
        calibrate="degrade a scene by the sensor table's figures",
        shift_px="what is at PAN's (row, col) is seen where the grids put (row + DY, col + DX); of a scene: estimated",
    )
    camera = simulate.add_argument_group("camera (with --fine)")
    camera.add_argument("--fine", metavar="RASTER.tif", help="fine raster of several bands, instead of SCENE")
    add_options(camera, [each for each in options_of(CameraOptions) if each.name not in NOISE])
    noise = camera.add_mutually_exclusive_group()
    add_options(noise, [each for each in options_of(CameraOptions) if each.name in NOISE])
    add_switches(
        simulate,
        "overwrite",
        "json",
        overwrite="replace another pair of that name",
        json="print simulation.json",
    )


def _simulate(arguments: argparse.Namespace) -> None:
    found = _from_fine(arguments) if arguments.fine else _from_scene(arguments)
    if arguments.json:
        print_json(found.facts)
        return
    for file in found["files"].values():
        height, width = file["size_px"]
        print(f"{arguments.out}/{file['name']}: {height} x {width} px, {file['bytes'] / 1e6:.1f} MB")
    for note in found["warnings"]:
        print(f"note: {note}")


def _from_scene(arguments: argparse.Namespace) -> Report:
    from pathlib import Path

    from geofuse.api.judging import simulated

    said = [each.flag for each in options_of(CameraOptions) if getattr(arguments, each.name) is not None]
    if said:
        raise UsageError(f"{', '.join(said)} with a scene", wanted="--fine RASTER.tif", do="or leave it out")
    return simulated(
        scene_of(arguments),
        request_from_arguments(arguments),
        Path(arguments.out),
        overwrite=arguments.overwrite,
    )


def _from_fine(arguments: argparse.Namespace) -> Report:
    from geofuse.api.judging import simulate_from

    if arguments.path or arguments.pan or arguments.ms:
        raise UsageError("--fine and a scene", wanted="one of them")
    refuse(arguments, ["calibrate"], because="with --fine", wanted="a scene")
    if arguments.bbox or arguments.aoi:
        raise UsageError("--bbox or --aoi with --fine", wanted="--window ROW COL HEIGHT WIDTH")
    asked: dict[str, object] = given(arguments, options_of(CameraOptions))
    asked |= {name: getattr(arguments, name) for name in ("bands", "window", "nodata")}
    if arguments.shift_px is not None:
        asked["shift_px"] = tuple(arguments.shift_px)
    return simulate_from(
        arguments.out, arguments.fine, overwrite=arguments.overwrite, **cast("LookKeywords", asked)
    )
