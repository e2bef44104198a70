"""`geofuse simulate`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from geofuse.commands.common import (
    add_switches,
    chosen,
    print_json,
    request_of,
    scene_of,
    scene_options,
)
from geofuse.commands.parsing import add_command, add_options, numbers, refuse
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
CAMERA = ("ratio", "gain", "pan_weights", "noise", "snr", "seed")


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
    camera.add_argument("--ratio", type=float, metavar="R", help="MS over PAN pixel size, 1 to 8 (4)")
    camera.add_argument(
        "--gain",
        type=numbers,
        metavar="LIST",
        help="MTF at the MS's Nyquist frequency: one, or one a band (0.3)",
    )
    camera.add_argument(
        "--weights",
        dest="pan_weights",
        type=numbers,
        metavar="LIST",
        help="PAN's weight of each band (equal)",
    )
    noise = camera.add_mutually_exclusive_group()
    noise.add_argument("--noise", type=float, metavar="SIGMA", help="noise in both images, DN (0)")
    noise.add_argument("--snr", type=float, metavar="S", help="the same as mean over standard deviation")
    camera.add_argument("--seed", type=int, metavar="N", help="of the noise (0)")
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

    refuse(arguments, list(CAMERA), because="with a scene", wanted="--fine RASTER.tif")
    return simulated(
        scene_of(arguments), request_of(arguments), Path(arguments.out), overwrite=arguments.overwrite
    )


def _from_fine(arguments: argparse.Namespace) -> Report:
    from geofuse.api.judging import simulate_from

    if arguments.path or arguments.pan or arguments.ms:
        raise UsageError("--fine and a scene", wanted="one of them")
    refuse(arguments, ["calibrate"], because="with --fine", wanted="a scene")
    if arguments.bbox or arguments.aoi:
        raise UsageError("--bbox or --aoi with --fine", wanted="--window ROW COL HEIGHT WIDTH")
    asked: LookKeywords = {
        "pan_weights": arguments.pan_weights,
        "snr": arguments.snr,
        "bands": arguments.bands,
        "window": arguments.window,
        "nodata": arguments.nodata,
    }
    if arguments.ratio is not None:
        asked["ratio"] = arguments.ratio
    if arguments.shift_px is not None:
        asked["shift_px"] = (arguments.shift_px[0], arguments.shift_px[1])
    if arguments.gain is not None:
        asked["mtf_gains"] = arguments.gain
    if arguments.noise is not None:
        asked["noise_sigma"] = arguments.noise
    if arguments.seed is not None:
        asked["seed"] = arguments.seed
    return simulate_from(arguments.out, arguments.fine, overwrite=arguments.overwrite, **asked)
