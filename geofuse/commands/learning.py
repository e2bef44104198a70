"""`geofuse train` and `geofuse adapt`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from geofuse.commands.common import (
    add_switches,
    chosen,
    print_json,
    request_from_arguments,
    scene_of,
    scene_options,
    stoppable,
)
from geofuse.commands.parsing import add_command, add_options
from geofuse.config.sections import FuseOptions

TRAIN_EXAMPLES = """\
  geofuse train configs/train/any-x4.yaml
  torchrun --nproc-per-node 2 -m geofuse.cli train configs/train/any-x4.yaml
"""

ADAPT_EXAMPLES = """\
  geofuse adapt LC08.tar --out berlin.network.safetensors
  geofuse adapt --pan PAN.tif --ms MS.tif --weights any-x4 --out site.network.safetensors
  geofuse fuse --pan PAN.tif --ms MS.tif --method pan-gan-ms --network site.network.safetensors --out sharp.tif
"""


def add(commands: Any) -> None:
    """Add them."""
    train = add_command(
        commands,
        "train",
        _train,
        examples=TRAIN_EXAMPLES,
    )
    train.add_argument("config", metavar="CONFIG.yaml", help="what to learn, from what, how")
    train.add_argument("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1, instead of the file's")
    train.add_argument("--folder", metavar="DIR", help="where it goes, instead of the file's folder")
    train.add_argument("--steps", type=int, metavar="N", help="instead of the file's steps")
    add_switches(
        train,
        *("overwrite", "no_progress", "json"),
        overwrite="begin anew, replace weights of that name",
        json="print the card as one JSON object",
    )
    adapt = add_command(
        commands,
        "adapt",
        _adapt,
        examples=ADAPT_EXAMPLES,
    )
    scene_options(adapt)
    adapt.add_argument(
        "--weights",
        "--network",
        dest="start",
        metavar="FILE|NAME",
        help="to begin with (the shipped ones that fit)",
    )
    adapt.add_argument(
        "--out", required=True, metavar="W2.safetensors", help="the weights; their card lies beside them"
    )
    add_options(adapt, chosen(FuseOptions, ("force",)))
    add_switches(adapt, "no_progress", "json", json="print what was found as one JSON object")


def _adapt(arguments: argparse.Namespace) -> None:
    from pathlib import Path

    from geofuse.learn.adapt import adapt, summary

    request = request_from_arguments(arguments)
    with step_bar(arguments.no_progress) as tell, stoppable():
        made = adapt(scene_of(arguments), request, Path(arguments.out), weights=arguments.start, tell=tell)
    if arguments.json:
        print_json({"path": str(made.path), "sha256": made.sha256, **made.told})
        return
    print(f"{made.path}: {summary(made)}")


def _train(arguments: argparse.Namespace) -> None:
    import os
    from dataclasses import replace

    from geofuse.config import load_training
    from geofuse.learn.train import train

    config = load_training(arguments.config)
    if arguments.device:
        config = replace(config, device=arguments.device)
    if arguments.folder:
        config = replace(config, folder=os.path.abspath(arguments.folder))
    if arguments.steps:
        config = replace(config, schedule=replace(config.schedule, steps=arguments.steps))
    with step_bar(arguments.no_progress) as tell, stoppable():
        card = train(config, overwrite=arguments.overwrite, tell=tell)
    if not card:
        return
    if arguments.json:
        print_json(card)
        return
    told = card["training"]
    print(f"{card['path']}: {card['kind']}, ratio {card['ratio']}, best after {told['best_step']} steps")
    print(told["scores_are"] + ":")
    for name, value in told["scores"].items():
        print(f"  {name}: {value:.4f}")


@contextmanager
def step_bar(hidden: bool) -> Iterator[Callable[[int, int, Mapping[str, float]], None]]:
    """Show steps, rate, remaining time and losses on a terminal."""
    from tqdm import tqdm

    bars: list[Any] = []

    def show(step: int, steps: int, losses: Mapping[str, float]) -> None:
        if not bars:
            bars.append(tqdm(total=steps, initial=step - 1, unit="step", disable=True if hidden else None))
        bars[0].update(1)
        if step % 10 == 0:
            bars[0].set_postfix({name: f"{value:.3g}" for name, value in losses.items()}, refresh=False)

    try:
        yield show
    finally:
        for bar in bars:
            bar.close()
