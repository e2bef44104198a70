"""`geofuse train` and `geofuse adapt`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from geofuse.commands.common import add_command, print_json, stoppable

TRAIN_EXAMPLES = """\
  geofuse train configs/train/any-x4.yaml
  torchrun --nproc-per-node 2 -m geofuse.cli train configs/train/any-x4.yaml
"""


def add(commands: Any) -> None:
    """Add them."""
    train = add_command(
        commands,
        "train",
        _train,
        text="train a network from scenes; goes on where it was stopped",
        examples=TRAIN_EXAMPLES,
    )
    train.add_argument("config", metavar="CONFIG.yaml", help="what to learn, from what, how")
    train.add_argument("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1, instead of the file's")
    train.add_argument("--folder", metavar="DIR", help="where it goes, instead of the file's folder")
    train.add_argument("--steps", type=int, metavar="N", help="instead of the file's steps")
    train.add_argument("--overwrite", action="store_true", help="begin anew, replace weights of that name")
    train.add_argument("--no-progress", action="store_true", help="no progress bar")
    train.add_argument("--json", action="store_true", help="print the card as one JSON object")


def _train(arguments: argparse.Namespace) -> None:
    import os
    from dataclasses import replace

    from geofuse.config import load_training
    from geofuse.run.learn import train

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
