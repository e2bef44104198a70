"""What the commands share: groups of options, how a scene and a request are made of them, bars, JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from geofuse.commands.parsing import add_options, given
from geofuse.config.option import Option, flag_words, options_of
from geofuse.config.sections import (
    AREAS,
    CatalogOptions,
    EncodeOptions,
    FuseOptions,
    SceneOptions,
    WorkOptions,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geofuse.run.plans.request import Request
    from geofuse.scenes.scene import Scene

BAR = "{desc} {percentage:3.0f} % |{bar}| {n:.1f}/{total:.1f} {unit} [{elapsed}<{remaining}, {rate_fmt}]"
FILES = ("path", "pan", "ms")
"""Options that say which files."""
USUAL = ("compress", "level")
"""Options of the encoding that are not for the few."""


def chosen(section: type, names: Iterable[str] = (), *, but: Iterable[str] = ()) -> list[Option]:
    """Return options of a section: those named, or all but some."""
    wanted, apart = tuple(names), tuple(but)
    return [
        each for each in options_of(section) if each.name not in apart and (not wanted or each.name in wanted)
    ]


def scene_options(parser: Any, *, area: bool = True) -> None:
    """Add what says which scene, which bands and which area."""
    scene = parser.add_argument_group("scene")
    add_options(scene, chosen(SceneOptions, but=AREAS))
    if area:
        area_options(parser, "area (one of them; statistics are of that area)")


def area_options(parser: Any, title: str, **helps: str) -> None:
    """Add what says which area."""
    add_options(parser.add_argument_group(title), chosen(SceneOptions, AREAS), **helps)


def fuse_options(parser: Any, *, but: Iterable[str] = ()) -> None:
    """Add what says how it is fused, by whom, into what."""
    method = parser.add_argument_group("method")
    add_options(method, [*chosen(FuseOptions, but=but), *chosen(WorkOptions, ("device",))])
    work = parser.add_argument_group("work and encoding")
    add_options(work, chosen(WorkOptions, but=("device", *but)))
    add_options(work, chosen(EncodeOptions, USUAL))
    few = parser.add_argument_group("encoding, where the defaults do not suit")
    add_options(few, [*chosen(EncodeOptions, but=USUAL), *chosen(CatalogOptions, ("attribution",))])


def add_switches(parser: Any, *names: str, **helps: str) -> None:
    """Add flags that many commands have: json, no_progress, overwrite."""
    for name in names:
        text = helps.get(name, SWITCHES[name])
        parser.add_argument(f"--{name.replace('_', '-')}", action="store_true", help=text)


SWITCHES = {
    "json": "print one JSON object",
    "no_progress": "no progress bar",
    "overwrite": "replace another product of that name",
}


def scene_of(arguments: argparse.Namespace) -> Scene:
    """Open the scene that the arguments name."""
    from geofuse.scenes.opening import given_of, open_given

    return open_given(given_of(arguments.path, arguments.pan, arguments.ms or ()))


def request_from_arguments(arguments: argparse.Namespace, **more: object) -> Request:
    """Turn what was given into a Request; the rest has the options' own defaults."""
    from geofuse.run.plans.request import request_from

    values = given(arguments, chosen(SceneOptions, but=FILES))
    for section in (FuseOptions, EncodeOptions, WorkOptions):
        values |= given(arguments, options_of(section))
    if getattr(arguments, "attribution", None) is not None:
        values["attribution"] = arguments.attribution
    return request_from({**values, **more}, flag_words)


def work_option(parser: Any) -> None:
    """Add where the work lies of a product that goes into an object store."""
    parser.add_argument(
        "--work",
        metavar="DIR",
        help="with an object store: where parts and product lie until they are uploaded (the user's cache)",
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

    bars: dict[str, tqdm] = {}

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
