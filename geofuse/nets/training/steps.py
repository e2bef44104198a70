"""Training: steps, checkpoints, early stopping, several processes. The same seed gives the same weights on CPU.

A step depends on its number alone, and a checkpoint holds weights, moving averages and the optimisers' state as
safetensors with JSON beside them: a run that was killed goes on and ends with the same weights.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofuse.errors import MethodError, WeightsError
from geofuse.nets.arch.base import Generator
from geofuse.nets.training.averaged import Averaged
from geofuse.nets.training.checkpoints import TrainingState, read_checkpoint, write_checkpoint
from geofuse.nets.training.distributed import first
from geofuse.nets.training.schedule import Schedule, TellStep, rate_at


class HeldOutView(NamedTuple):
    """A held-out window, to look at: images (B, H, W) of one scale."""

    without: NDArray[np.float32]
    """Without the network."""
    truth: NDArray[np.float32]
    """What a perfect fusion returns."""
    fused: NDArray[np.float32]
    """With it."""
    bands: tuple[str, ...]
    """Their names."""
    title: str
    """What ``without`` is."""


class Trainer(Protocol):
    """What is trained: makes steps, says what it is worth, and gives and takes its state."""

    @property
    def net(self) -> Generator:
        """The generator."""
        ...

    @property
    def made(self) -> Averaged:
        """The same with its optimiser and its average; its state is named "generator"."""
        ...

    @property
    def schedule(self) -> Schedule:
        """How long, how fast."""
        ...

    @property
    def scores_are(self) -> str:
        """What `scores` are, in a phrase."""
        ...

    @property
    def terms(self) -> Mapping[str, float | str | bool] | None:
        """What is minimised, for the card, where the configuration names it only; None: it says all."""
        ...

    def step(self, number: int, rate: float) -> dict[str, float]:
        """Make one step with that learning rate; returns its losses by name."""
        ...

    def judge(self) -> float:
        """Return what is held out says of the averaged weights; less is better."""
        ...

    def scores(self) -> dict[str, float]:
        """Return the same for each held-out window."""
        ...

    def sample(self) -> HeldOutView | None:
        """Return the first held-out window as it is fused now; None where nothing is held out."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Return the whole state."""
        ...

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the whole state back."""
        ...


def quiet(step: int, steps: int, values: Mapping[str, float]) -> None:
    """Say nothing."""


def run(
    trainer: Trainer,
    schedule: Schedule,
    *,
    folder: Path | None = None,
    tell: TellStep = quiet,
    look: Callable[[int], None] | None = None,
    key: str = "",
) -> tuple[dict[str, Tensor], TrainingState]:
    """Train; returns the best state and the curve. With a folder it writes checkpoints and the curve, and goes on.

    ``look`` is called after each look at what is held out, for pictures; ``key`` names what is trained from what: a
    checkpoint of another key is refused with WeightsError.
    """
    progress, kept = TrainingState(), None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        found = read_checkpoint(folder, key)
        if found:
            progress, tensors, kept = found
            trainer.restore(tensors)
    began = time.process_time()
    while progress.step < schedule.steps and not _over(schedule, progress, began):
        rate = rate_at(schedule, progress.step)
        losses = trainer.step(progress.step, rate)
        progress.step += 1
        _count(progress, losses)
        due = progress.step == schedule.steps or (
            schedule.judge_every and progress.step % schedule.judge_every == 0
        )
        if due:
            if _looked(progress, trainer.judge(), rate):
                kept = {name: tensor.clone() for name, tensor in trainer.tensors().items()}
            if look is not None:
                look(progress.step)
        tell(progress.step, schedule.steps, losses)
        saving = schedule.save_every and progress.step % schedule.save_every == 0
        if folder is not None and (due or saving) and first():
            write_checkpoint(folder, progress, trainer.tensors(), kept, key)
    if kept is None:
        kept = trainer.tensors()
    return kept, progress


def _count(progress: TrainingState, losses: Mapping[str, float]) -> None:
    if not all(math.isfinite(value) for value in losses.values()):
        raise WeightsError(f"losses are no numbers at step {progress.step}", do="lower the learning rate")
    progress.count += 1
    for name, value in losses.items():
        progress.sums[name] = progress.sums.get(name, 0.0) + value


def _looked(progress: TrainingState, value: float, rate: float) -> bool:
    """Add a row to the curve; returns whether it is the best so far."""
    means = {name: total / progress.count for name, total in progress.sums.items()}
    progress.curve.append({"step": progress.step, "rate": rate, **means, "held_out": value})
    progress.sums, progress.count = {}, 0
    progress.worse += 1
    if value < progress.best:
        progress.best, progress.best_step, progress.worse = value, progress.step, 0
        return True
    return False


def _over(schedule: Schedule, progress: TrainingState, began: float) -> bool:
    tired = bool(schedule.patience) and progress.worse >= schedule.patience
    late = bool(schedule.cpu_seconds) and time.process_time() - began > schedule.cpu_seconds
    return tired or late


def cpu() -> torch.device:
    """Return the CPU as torch's device."""
    return torch.device("cpu")


def seed(value: int) -> None:
    """Seed the weights that are made next."""
    torch.manual_seed(value)


def torch_version() -> str:
    """Return torch's version."""
    return str(torch.__version__)


def tensorboard(folder: Path) -> Callable[[str, float, int], None]:
    """Return what adds (name, value, step) to TensorBoard's events in a folder; MethodError without tensorboard."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise MethodError(
            "tensorboard: true, but it is not installed", do="pip install tensorboard, or read curve.csv"
        ) from error
    writer = SummaryWriter(str(folder))
    return lambda name, value, step: writer.add_scalar(name, value, step)
