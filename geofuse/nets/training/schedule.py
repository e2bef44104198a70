"""How long, how fast and by what a network learns. Loads no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

TellStep = Callable[[int, int, Mapping[str, float]], None]
"""Is told how a training goes: the step, of how many, and what was measured."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long, how fast, how often."""

    steps: int
    """Steps."""
    rate: float = 1e-3
    """Highest learning rate."""
    warm: int = 50
    """Steps until it is reached."""
    last: float = 0.02
    """Share of it at the end; between them half a cosine."""
    decay: float = 1e-4
    """Weight decay (AdamW)."""
    average: float = 0.998
    """Decay of the moving average of the weights, which is what is kept; 0: none."""
    clip: float = 1.0
    """Largest norm of the gradient; 0: any."""
    judge_every: int = 500
    """Steps between looks at what is held out; 0: never."""
    patience: int = 0
    """Looks without a better one after which it stops; 0: never."""
    save_every: int = 500
    """Steps between checkpoints; 0: none."""
    seed: int = 0
    """Of the weights and of what is drawn."""
    device: str = "cpu"
    """"cpu", "cuda", "cuda:1"."""
    precision: str = "fp32"
    """"fp32" or "bf16": mixed precision, bfloat16 in the convolutions."""
    cpu_seconds: float = 0.0
    """Processor seconds after which it stops, at the best so far; 0: no end but the steps'."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a trainer is made with besides the network and what it learns from."""

    schedule: Schedule
    """How long, how fast."""
    crop_cpx: int
    """Side of a crop in MS pixels."""
    batch: int
    """Crops a step."""
    bands: int
    """Bands a step at most."""
    losses: Mapping[str, float | str]
    """What is minimised: a training configuration's losses."""


def rate_at(schedule: Schedule, step: int) -> float:
    """Return the learning rate of a step: a ramp, then half a cosine. Source: Loshchilov and Hutter 2017, ICLR.

    >>> rate_at(Schedule(100, rate=1.0, warm=10, last=0.0), 4), rate_at(Schedule(100, rate=1.0, warm=0, last=0.0), 50)
    (0.5, 0.5)
    """
    if step < schedule.warm:
        return schedule.rate * (step + 1) / schedule.warm
    share = (step - schedule.warm) / max(1, schedule.steps - schedule.warm)
    cosine = 0.5 * (1.0 + math.cos(math.pi * share))
    return schedule.rate * max(schedule.last, cosine)
