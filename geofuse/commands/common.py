"""What the commands share: options, how a scene and a request are made of them, bars, JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from geofuse.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geofuse.rasters.cog.objects import Target
    from geofuse.run.planning import Request
    from geofuse.scenes.scene import Scene

SCENE_HELP = "scene folder or .tar (Landsat 8/9 Level-1)"


class Parser(argparse.ArgumentParser):
    """A parser whose faults are geofuse's: one line, a code, exit status 2."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing usage."""
        raise UsageError(message, do=f"see `{self.prog} --help`")


def add_command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int | None],
    *,
    text: str,
    examples: str = "",
) -> Any:
    """Add a command that `run` carries out; returns its parser."""
    command = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"examples:\n{examples}" if examples else None,
    )
    command.set_defaults(run=run)
    return command


def scene_options(parser: Any) -> None:
    """Add what says which scene, which bands and which area."""
    scene = parser.add_argument_group("scene")
    scene.add_argument("scene", nargs="?", metavar="SCENE", help=SCENE_HELP)
    scene.add_argument("--pan", metavar="PAN.tif", help="fine image, instead of SCENE")
    scene.add_argument(
        "--ms",
        action="append",
        metavar="MS.tif",
        help="coarse image: one file of many bands, or repeated, one for each",
    )
    scene.add_argument(
        "--bands",
        type=names,
        metavar="LIST",
        help="red,green,blue,nir or B4,B3,B2 or 1,2,3: output in this order",
    )
    scene.add_argument(
        "--nodata", type=float, metavar="V", help="value that marks invalid pixels in all inputs"
    )
    area = parser.add_argument_group("area (one of them; statistics are of that area)")
    area.add_argument("--bbox", nargs=4, type=float, metavar=("W", "S", "E", "N"), help="degrees")
    area.add_argument("--aoi", metavar="AREA.geojson", help="vector file; its bounding window")
    area.add_argument(
        "--window", nargs=4, type=int, metavar=("ROW", "COL", "HEIGHT", "WIDTH"), help="in PAN pixels"
    )


def method_options(parser: Any) -> None:
    """Add what says how it is fused, by how much, into what."""
    method = parser.add_argument_group("method")
    method.add_argument(
        "--method",
        default="auto",
        metavar="NAME",
        help="see `geofuse methods` (auto: by hold-out on the scene)",
    )
    method.add_argument(
        "--weights", type=numbers, metavar="LIST", help="intensity weights of brovey, one for each band"
    )
    method.add_argument(
        "--network",
        metavar="FILE|NAME",
        help="weights of pan-gan and pan-gan-ms (the shipped ones that fit best)",
    )
    method.add_argument(
        "--device",
        default="auto",
        metavar="NAME",
        help="what a network runs on: auto, cpu, cuda, cuda:1 (auto)",
    )
    method.add_argument(
        "--no-calibrate",
        action="store_true",
        help="measure nothing: the sensor table's figures, no hold-out, no back-projection unless asked for",
    )
    method.add_argument(
        "--shift",
        nargs=2,
        type=float,
        metavar=("DY", "DX"),
        help="shift in PAN pixels, instead of a measured one: PAN (row, col) is seen at MS (row + DY, col + DX)",
    )
    method.add_argument(
        "--back-projections",
        type=int,
        metavar="N",
        help="rounds of consistency with the coarse image (3, fewer where calibration is unsure)",
    )
    method.add_argument("--force", action="store_true", help="go on with images that do not match")
    work = parser.add_argument_group("work and encoding")
    work.add_argument("--tile", type=int, metavar="PX", help="side of a tile: 512, 1024, 2048, ... (1024)")
    work.add_argument("--workers", type=int, metavar="N", help="tiles at a time (one for each core)")
    work.add_argument(
        "--memory", type=size_in_bytes, metavar="SIZE", help="what the run may take, such as 4GiB"
    )
    work.add_argument(
        "--compress", default="zstd", metavar="CODEC", help="zstd, deflate, lzw, none or lerc (zstd)"
    )
    work.add_argument("--level", type=int, metavar="N", help="effort of the codec")
    encoding_options(parser.add_argument_group("encoding, where the defaults do not suit"))


def encoding_options(encoding: Any) -> None:
    """Add what few need to say of the file."""
    marks = encoding.add_mutually_exclusive_group()
    marks.add_argument(
        "--alpha",
        dest="validity",
        action="store_const",
        const="alpha",
        default="nodata",
        help="mark invalid pixels by an alpha band instead of a nodata value (8 and 16 bit unsigned)",
    )
    marks.add_argument(
        "--mask",
        dest="validity",
        action="store_const",
        const="mask",
        help="mark invalid pixels by a mask of one bit a pixel instead of a nodata value",
    )
    encoding.add_argument(
        "--max-error", type=float, default=0.0, metavar="E", help="largest error of --compress lerc (0: none)"
    )
    encoding.add_argument(
        "--predictor", default="auto", metavar="P", help="none, 2 or 3 (3 for floats, 2 for whole numbers)"
    )
    encoding.add_argument(
        "--interleave", default="auto", metavar="HOW", help="pixel or band (band from 32 bytes a pixel on)"
    )
    encoding.add_argument(
        "--sparse",
        action="store_true",
        help="leave out blocks without a valid pixel; some readers cannot read it",
    )
    encoding.add_argument("--bigtiff", action="store_true", help="BigTIFF also for files under 4 GiB")


def names(text: str) -> list[str]:
    """Read a list of names."""
    return [name.strip() for name in text.split(",") if name.strip()]


def numbers(text: str) -> tuple[float, ...]:
    """Read a list of numbers."""
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError as error:
        hint = "; a network's weights are named with --network" if text.endswith(".safetensors") else ""
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers{hint}") from error


BAR = "{desc} {percentage:3.0f} % |{bar}| {n:.1f}/{total:.1f} {unit} [{elapsed}<{remaining}, {rate_fmt}]"


def size_in_bytes(text: str) -> int:
    """Read a size such as 4GiB, 512MB or 1g."""
    from geofuse.files import parse_bytes

    try:
        return parse_bytes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def scene_of(arguments: argparse.Namespace) -> Scene:
    """Open the scene that the arguments name."""
    from geofuse.scenes.opening import open_pair, open_scene

    if arguments.scene and not (arguments.pan or arguments.ms):
        return open_scene(arguments.scene)
    if arguments.pan and arguments.ms and not arguments.scene:
        return open_pair(arguments.pan, arguments.ms)
    raise UsageError("no scene", wanted="SCENE, or --pan with --ms", do="see `geofuse fuse --help`")


def request_of(arguments: argparse.Namespace) -> Request:
    """Turn the arguments into a Request."""
    from geofuse.run.planning import Request

    if arguments.workers is not None and arguments.workers < 1:
        raise UsageError(f"--workers {arguments.workers}", wanted="at least 1")
    if (arguments.back_projections or 0) < 0:
        raise UsageError(f"--back-projections {arguments.back_projections}", wanted="0 or more")
    return Request(
        method=arguments.method,
        bands=arguments.bands,
        bbox=arguments.bbox,
        aoi=arguments.aoi,
        window=arguments.window,
        nodata=arguments.nodata,
        weights=arguments.weights,
        tile_px=arguments.tile,
        workers=arguments.workers,
        memory_bytes=arguments.memory,
        compress=arguments.compress,
        level=arguments.level,
        max_error=arguments.max_error,
        predictor=arguments.predictor,
        interleave=arguments.interleave,
        validity=arguments.validity,
        sparse=arguments.sparse,
        bigtiff=arguments.bigtiff,
        calibrate=not arguments.no_calibrate,
        shift_px=tuple(arguments.shift) if arguments.shift else None,
        back_projections=arguments.back_projections,
        force=arguments.force,
        network=arguments.network,
        device=arguments.device,
    )


def work_option(parser: Any) -> None:
    """Add where the work lies of a product that goes into an object store."""
    parser.add_argument(
        "--work",
        metavar="DIR",
        help="with an object store: where parts and product lie until they are uploaded (the user's cache)",
    )


def target_from(address: str, work: str | None) -> Target | None:
    """Return the place in an object store that an address names; None where it is a file's."""
    if "://" not in address:
        return None
    from pathlib import Path

    from geofuse.config import surroundings
    from geofuse.rasters.cog import objects

    found = surroundings()
    return objects.target_of(
        address, work=Path(work or found.work_folder).absolute(), retry_s=found.store_retry_s
    )


def print_json(value: Any) -> None:
    """Print one JSON object."""
    print(json.dumps(value, indent=2, sort_keys=True))


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM end a run as Ctrl-C does: parts stay, the lock goes."""
    import signal

    def stop(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def progress_bars(hidden: bool) -> Iterator[Callable[[str, int, int, int], None]]:
    """Show one bar for each stage on a terminal: megapixels, rate, remaining time."""
    from tqdm import tqdm

    bars: dict[str, Any] = {}

    def show(stage: str, done: int, total: int, resumed: int) -> None:
        if stage not in bars:
            for bar in bars.values():
                bar.close()
            bars[stage] = tqdm(
                desc=f"{stage:16}",
                total=total / 1e6,
                initial=resumed / 1e6,
                unit="MB" if stage == "upload" else "Mpx",
                disable=True if hidden else None,
                bar_format=BAR,
            )
        bar = bars[stage]
        bar.update(done / 1e6 - bar.n)

    try:
        yield show
    finally:
        for bar in bars.values():
            bar.close()
