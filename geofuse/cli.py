"""The command line: parse, import, one call, print. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from geofuse import __version__
from geofuse.errors import GeofuseError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geofuse.run.planning import Request
    from geofuse.scenes.scene import Scene

SCENE_HELP = "scene folder or .tar (Landsat 8/9 Level-1)"
FUSE_EXAMPLES = """examples:
  geofuse fuse LC09_L1TP_193024_20240512_20240512_02_T1 --out sharp.tif
  geofuse fuse LC08.tar --bands red,green,blue --bbox 13.2 52.4 13.6 52.6 --out berlin.tif
  geofuse fuse --pan PAN.tif --ms MS.tif --method gsa --compress deflate --out sharp.tif
  geofuse fuse --pan B8.TIF --ms B4.TIF --ms B3.TIF --ms B2.TIF --scheduler dask --workers 8 --out rgb.tif
"""


class Parser(argparse.ArgumentParser):
    """A parser whose faults are geofuse's: one line, a code, exit status 2."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing usage."""
        raise UsageError(message, do=f"see `{self.prog} --help`")


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
    _add_fuse(commands)
    _add_plan(commands)
    _add_inspect(commands)
    _add_methods(commands)
    _add_verify(commands)
    _add_demo(commands)
    return parser


def _command(commands: Any, name: str, run: Callable[[argparse.Namespace], int | None], text: str) -> Any:
    command = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=FUSE_EXAMPLES if name == "fuse" else None,
    )
    command.set_defaults(run=run)
    return command


def _add_fuse(commands: Any) -> None:
    fuse = _command(commands, "fuse", _fuse, "sharpen a scene into one Cloud Optimized GeoTIFF")
    _scene_options(fuse)
    fuse.add_argument(
        "--out", required=True, metavar="OUT.tif", help="the product; OUT.json, OUT.png lie beside it"
    )
    _method_options(fuse)
    fuse.add_argument(
        "--scheduler",
        default="threads",
        metavar="NAME",
        help="serial, threads, dask or tcp://HOST:PORT (threads)",
    )
    fuse.add_argument("--overwrite", action="store_true", help="replace another product of that name")
    fuse.add_argument("--no-progress", action="store_true", help="no progress bar")
    fuse.add_argument("--json", action="store_true", help="print the provenance as one JSON object")


def _add_plan(commands: Any) -> None:
    plan = _command(commands, "plan", _plan, "show what would be done; reads no pixels")
    _scene_options(plan)
    plan.add_argument("--out", metavar="OUT.tif", help="where the product would go: checks the disk")
    _method_options(plan)
    plan.add_argument("--json", action="store_true", help="print one JSON object")


def _add_inspect(commands: Any) -> None:
    inspect = _command(commands, "inspect", _inspect, "show what a scene is and how its grids relate")
    _scene_options(inspect)
    inspect.add_argument("--json", action="store_true", help="print one JSON object")


def _add_methods(commands: Any) -> None:
    methods = _command(commands, "methods", _methods, "list the fusion methods")
    methods.add_argument("--json", action="store_true", help="print one JSON object")


def _add_verify(commands: Any) -> None:
    verify = _command(commands, "verify", _verify, "check a product: COG, georeferencing, checksums")
    verify.add_argument("product", metavar="OUT.tif")
    verify.add_argument("--json", action="store_true", help="print one JSON object")


def _add_demo(commands: Any) -> None:
    demo = _command(commands, "demo", _demo, "simulate a scene with known truth, fuse it, score it")
    demo.add_argument("dir", nargs="?", default="demo", metavar="DIR", help="folder to write to (demo)")
    demo.add_argument("--size", type=int, default=2048, metavar="PX", help="side of the simulated PAN (2048)")
    demo.add_argument("--method", default="auto", metavar="NAME", help="fusion method (auto)")
    demo.add_argument("--no-progress", action="store_true", help="no progress bar")
    demo.add_argument("--json", action="store_true", help="print one JSON object")


def _scene_options(parser: Any) -> None:
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
        type=_names,
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


def _method_options(parser: Any) -> None:
    method = parser.add_argument_group("method")
    method.add_argument(
        "--method", default="auto", metavar="NAME", help="see `geofuse methods` (auto: mtf-glp-hpm-r)"
    )
    method.add_argument(
        "--weights", type=_numbers, metavar="LIST", help="intensity weights of brovey, one for each band"
    )
    method.add_argument("--no-calibrate", action="store_true", help="keep the sensor table's figures")
    method.add_argument(
        "--back-projections", type=int, metavar="N", help="rounds of consistency with the coarse image"
    )
    work = parser.add_argument_group("work and encoding")
    work.add_argument("--tile", type=int, metavar="PX", help="side of a tile: 512, 1024, 2048, ... (1024)")
    work.add_argument("--workers", type=int, metavar="N", help="tiles at a time (one for each core)")
    work.add_argument("--memory", type=_bytes, metavar="SIZE", help="what the run may take, such as 4GiB")
    work.add_argument("--compress", default="zstd", metavar="CODEC", help="deflate, zstd, lzw or none (zstd)")
    work.add_argument("--level", type=int, metavar="N", help="effort of the codec")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in text.split(","))


BAR = "{desc} {percentage:3.0f} % |{bar}| {n:.1f}/{total:.1f} {unit} [{elapsed}<{remaining}, {rate_fmt}]"
UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def _bytes(text: str) -> int:
    """Read a size such as 4GiB, 512MB or 1g."""
    number = text.strip().lower().removesuffix("b").removesuffix("i")
    unit = number[-1:] if number[-1:].isalpha() else ""
    try:
        return int(float(number.removesuffix(unit)) * UNITS[unit])
    except (KeyError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 4GiB") from error


def _scene(arguments: argparse.Namespace) -> Scene:
    from geofuse.scenes.opening import open_pair, open_scene

    if arguments.scene and not (arguments.pan or arguments.ms):
        return open_scene(arguments.scene)
    if arguments.pan and arguments.ms and not arguments.scene:
        return open_pair(arguments.pan, arguments.ms)
    raise UsageError("no scene", wanted="SCENE, or --pan with --ms", do="see `geofuse fuse --help`")


def _request(arguments: argparse.Namespace) -> Request:
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
    )


def _fuse(arguments: argparse.Namespace) -> None:
    from pathlib import Path

    from geofuse.run.executors import executor
    from geofuse.run.fuse import fuse_to_cog
    from geofuse.run.planning import make_plan

    plan = make_plan(_scene(arguments), _request(arguments))
    with (
        executor(arguments.scheduler, plan.workers) as runner,
        _progress(arguments.no_progress) as progress,
        _stoppable(),
    ):
        out = Path(arguments.out)
        record = fuse_to_cog(plan, out, runner=runner, overwrite=arguments.overwrite, progress=progress)
    if arguments.json:
        _print_json(record)
        return
    grid, data = record["grid"], record["assets"]["data"]
    print(
        f"{arguments.out}: {len(record['parameters']['bands'])} bands, {grid['height']} x {grid['width']} px, ",
        end="",
    )
    print(f"{data['bytes'] / 1e6:.1f} MB, method {record['method']['name']}")
    for warning in record["warnings"]:
        print(f"note: {warning}")


def _plan(arguments: argparse.Namespace) -> None:
    from pathlib import Path

    from geofuse.run.planning import check_disk, check_out, make_plan, plan_summary
    from geofuse.run.report import plan_text

    plan = make_plan(_scene(arguments), _request(arguments))
    out = Path(arguments.out) if arguments.out else None
    if out:
        check_out(plan, out)
        check_disk(plan, out)
    summary = plan_summary(plan, out)
    _print_json(summary) if arguments.json else print(plan_text(summary))


def _inspect(arguments: argparse.Namespace) -> None:
    from geofuse.run.inspecting import inspect_scene
    from geofuse.run.report import inspect_text

    facts = inspect_scene(
        _scene(arguments),
        bands=arguments.bands,
        bbox=arguments.bbox,
        aoi=arguments.aoi,
        window=arguments.window,
        nodata=arguments.nodata,
    )
    _print_json(facts) if arguments.json else print(inspect_text(facts))


def _methods(arguments: argparse.Namespace) -> None:
    from dataclasses import asdict

    from geofuse.methods import base
    from geofuse.run.report import methods_text

    listed = [asdict(base.get(name).about) for name in base.METHODS]
    found = {"auto": base.AUTO, "methods": listed}
    _print_json(found) if arguments.json else print(methods_text(found))


def _verify(arguments: argparse.Namespace) -> None:
    from pathlib import Path

    from geofuse.scenes.provenance import verify

    record = verify(Path(arguments.product))
    if arguments.json:
        _print_json(
            {"product": arguments.product, "valid": True, "sha256": record["assets"]["data"]["sha256"]}
        )
    else:
        print(f"{arguments.product}: valid COG, on its grid, checksums as recorded")


def _demo(arguments: argparse.Namespace) -> None:
    from pathlib import Path

    from geofuse.demo import run_demo
    from geofuse.run.report import demo_text

    with _progress(arguments.no_progress) as progress:
        found = run_demo(Path(arguments.dir), size=arguments.size, method=arguments.method, progress=progress)
    _print_json(found) if arguments.json else print(demo_text(found))


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, sort_keys=True))


@contextmanager
def _stoppable() -> Iterator[None]:
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
def _progress(hidden: bool) -> Iterator[Callable[[str, int, int, int], None]]:
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
                unit="Mpx",
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


if __name__ == "__main__":
    sys.exit(main())
