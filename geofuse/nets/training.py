"""Training: steps, checkpoints, early stopping, several processes. The same seed gives the same weights on CPU.

A step depends on its number alone, and a checkpoint holds weights, moving averages and the optimisers' state as
safetensors with JSON beside them: a run that was killed goes on and ends with the same weights.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from geofuse.errors import MethodError, WeightsError
from geofuse.files import write_bytes

CHECKPOINT = "checkpoint"
CURVE = "curve.csv"
EMA_START = 5.0
"""The moving average is over step / this at first."""


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


class Trainer(Protocol):
    """What is trained: makes steps, says what it is worth, and gives and takes its state."""

    def step(self, number: int, rate: float) -> dict[str, float]:
        """Make one step with that learning rate; returns its losses by name."""
        ...

    def judge(self) -> float:
        """Return what is held out says of the averaged weights; less is better."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Return the whole state."""
        ...

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the whole state back."""
        ...


@dataclass(slots=True)
class Progress:
    """Where a run stands: JSON values beside a checkpoint's tensors."""

    step: int = 0
    """Steps made."""
    best: float = math.inf
    """The best look so far."""
    best_step: int = 0
    """When it was."""
    worse: int = 0
    """Looks since then."""
    curve: list[dict[str, float]] = field(default_factory=list)
    """A row for each look: step, rate, losses (means since the last), held_out."""
    sums: dict[str, float] = field(default_factory=dict)
    """Losses since the last look, summed."""
    count: int = 0
    """Steps since then."""


Tell = Callable[[int, int, Mapping[str, float]], None]


def quiet(step: int, steps: int, values: Mapping[str, float]) -> None:
    """Say nothing."""


def run(
    trainer: Trainer,
    schedule: Schedule,
    *,
    folder: Path | None = None,
    tell: Tell = quiet,
    look: Callable[[int], None] | None = None,
    key: str = "",
) -> tuple[dict[str, Tensor], Progress]:
    """Train; returns the best state and the curve. With a folder it writes checkpoints and the curve, and goes on.

    ``look`` is called after each look at what is held out, for pictures; ``key`` names what is trained from what: a
    checkpoint of another key is refused with WeightsError.
    """
    progress, kept = Progress(), None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        found = _read_checkpoint(folder, key)
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
        if folder is not None and (due or saving) and _first():
            _write_checkpoint(folder, progress, trainer.tensors(), kept, key)
    if kept is None:
        kept = trainer.tensors()
    return kept, progress


def _count(progress: Progress, losses: Mapping[str, float]) -> None:
    if not all(math.isfinite(value) for value in losses.values()):
        raise WeightsError(f"losses are no numbers at step {progress.step}", do="lower the learning rate")
    progress.count += 1
    for name, value in losses.items():
        progress.sums[name] = progress.sums.get(name, 0.0) + value


def _looked(progress: Progress, value: float, rate: float) -> bool:
    """Add a row to the curve; returns whether it is the best so far."""
    means = {name: total / progress.count for name, total in progress.sums.items()}
    progress.curve.append({"step": progress.step, "rate": rate, **means, "held_out": value})
    progress.sums, progress.count = {}, 0
    progress.worse += 1
    if value < progress.best:
        progress.best, progress.best_step, progress.worse = value, progress.step, 0
        return True
    return False


def _over(schedule: Schedule, progress: Progress, began: float) -> bool:
    tired = bool(schedule.patience) and progress.worse >= schedule.patience
    late = bool(schedule.cpu_seconds) and time.process_time() - began > schedule.cpu_seconds
    return tired or late


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


@dataclass(slots=True)
class Averaged:
    """A network, its optimiser, and the moving average of its weights."""

    net: nn.Module
    """What is trained."""
    optimiser: torch.optim.Optimizer
    """How."""
    average: dict[str, Tensor]
    """Averaged weights by name."""
    decay: float
    """Of the average."""
    clip: float
    """Largest norm of the gradient."""
    steps: int = 0
    """Steps made."""

    def step(self, loss: Tensor, rate: float) -> None:
        """Follow a loss's gradient, averaged over processes."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        parameters = [one for one in self.net.parameters() if one.requires_grad]
        average_gradients(parameters)
        if self.clip:
            nn.utils.clip_grad_norm_(parameters, self.clip)
        self.optimiser.step()
        self.steps += 1
        decay = min(self.decay, max(0.0, 1.0 - EMA_START / self.steps)) if self.decay else 0.0
        with torch.no_grad():
            for name, value in self.net.state_dict().items():
                self.average[name].mul_(decay).add_(value, alpha=1.0 - decay)

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """Return weights, average and the optimiser's state."""
        out = {f"{prefix}.net.{name}": value for name, value in self.net.state_dict().items()}
        out |= {f"{prefix}.average.{name}": value for name, value in self.average.items()}
        out[f"{prefix}.steps"] = torch.tensor(self.steps)
        for at, values in self.optimiser.state_dict()["state"].items():
            for name, value in values.items():
                out[f"{prefix}.optimiser.{at}.{name}"] = torch.as_tensor(value)
        return {name: value.detach().cpu().contiguous() for name, value in out.items()}

    def restore(self, tensors: Mapping[str, Tensor], prefix: str) -> None:
        """Take them back."""
        self.net.load_state_dict(_under(tensors, f"{prefix}.net."))
        for name, value in _under(tensors, f"{prefix}.average.").items():
            self.average[name].copy_(value)
        self.steps = int(tensors[f"{prefix}.steps"])
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _under(tensors, f"{prefix}.optimiser.").items():
            at, what = name.split(".", 1)
            state.setdefault(int(at), {})[what] = value.clone()
        whole = self.optimiser.state_dict()
        self.optimiser.load_state_dict({"state": state, "param_groups": whole["param_groups"]})

    @contextmanager
    def averaged(self) -> Iterator[nn.Module]:
        """Lend the network with its averaged weights."""
        own = {name: value.clone() for name, value in self.net.state_dict().items()}
        self.net.load_state_dict(self.average)
        try:
            yield self.net
        finally:
            self.net.load_state_dict(own)


def averaged(net: nn.Module, schedule: Schedule, optimiser: str = "adamw") -> Averaged:
    """Prepare a network for training by "adamw" or "rmsprop" (decay .99)."""
    made: torch.optim.Optimizer
    if optimiser == "rmsprop":
        made = torch.optim.RMSprop(net.parameters(), lr=schedule.rate, alpha=0.99)
    else:
        made = torch.optim.AdamW(net.parameters(), lr=schedule.rate, weight_decay=schedule.decay)
    average = {name: value.detach().clone() for name, value in net.state_dict().items()}
    return Averaged(net, made, average, schedule.average, schedule.clip)


def weights_of(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the averaged weights out of a whole state."""
    return _under(tensors, f"{prefix}.average.")


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def joined() -> tuple[int, int]:
    """Join the processes that torch's launcher started, if any; returns this one's rank and how many there are."""
    from torch import distributed

    if not distributed.is_available() or not distributed.is_torchelastic_launched():
        return 0, 1
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return distributed.get_rank(), distributed.get_world_size()


def leave() -> None:
    """Leave the other processes."""
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def local_device(device: str) -> str:
    """Return this process's own device: "auto" is a GPU where there is one; each process takes its own."""
    from torch import distributed

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and distributed.is_available() and distributed.is_torchelastic_launched():
        return f"cuda:{distributed.get_node_local_rank()}"
    return device


def wait() -> None:
    """Wait for the other processes, if any."""
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.barrier()


def one_thread() -> None:
    """Let torch use one thread in this process: small convolutions gain nothing by more, busy cores lose."""
    torch.set_num_threads(1)


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


def average_gradients(parameters: list[nn.Parameter]) -> None:
    """Average gradients over all processes, in one message; nothing where there is one."""
    from torch import distributed

    if not distributed.is_available() or not distributed.is_initialized():
        return
    gradients = [one.grad for one in parameters if one.grad is not None]
    flat = torch.cat([one.reshape(-1) for one in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    place = 0
    for one in gradients:
        one.copy_(flat[place : place + one.numel()].view_as(one))
        place += one.numel()


def _first() -> bool:
    from torch import distributed

    alone = not distributed.is_available() or not distributed.is_initialized()
    return alone or distributed.get_rank() == 0


def _write_checkpoint(
    folder: Path,
    progress: Progress,
    tensors: Mapping[str, Tensor],
    kept: Mapping[str, Tensor] | None,
    key: str,
) -> None:
    """Write tensors under the step's name, then the JSON that names them, then drop the older ones."""
    from safetensors.torch import save

    name = f"{CHECKPOINT}-{progress.step:07d}.safetensors"
    best = {f"kept.{label}": value for label, value in (kept or {}).items()}
    write_bytes(folder / name, save({**{f"now.{label}": value for label, value in tensors.items()}, **best}))
    about = {
        "key": key,
        "file": name,
        "step": progress.step,
        "best": progress.best if math.isfinite(progress.best) else None,
        "best_step": progress.best_step,
        "worse": progress.worse,
        "curve": progress.curve,
        "sums": progress.sums,
        "count": progress.count,
    }
    write_curve(folder / CURVE, progress.curve)
    write_bytes(folder / f"{CHECKPOINT}.json", json.dumps(about, indent=1).encode())
    for old in folder.glob(f"{CHECKPOINT}-*.safetensors"):
        if old.name != name:
            old.unlink(missing_ok=True)


def _read_checkpoint(
    folder: Path, key: str
) -> tuple[Progress, dict[str, Tensor], dict[str, Tensor] | None] | None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / f"{CHECKPOINT}.json"
    if not path.exists():
        return None
    try:
        about = json.loads(path.read_text())
        if about["key"] != key:
            raise WeightsError(
                "a checkpoint of another training: other settings or other data",
                wanted="an empty folder",
                do="remove it, or say --overwrite",
                path=str(folder),
            )
        tensors = load_file(folder / about["file"])
    except (SafetensorError, ValueError, KeyError, OSError) as error:
        raise WeightsError(
            f"its checkpoint cannot be read ({error})", do="remove it, or say --overwrite", path=str(folder)
        ) from error
    best = math.inf if about["best"] is None else about["best"]
    names = ("step", "best_step", "worse", "curve", "sums", "count")
    progress = Progress(**{name: about[name] for name in names}, best=best)
    kept = _under(tensors, "kept.")
    return progress, _under(tensors, "now."), kept or None


def write_curve(path: Path, curve: list[dict[str, float]]) -> None:
    """Write the curve as CSV, a column for each value."""
    names = list(dict.fromkeys(name for row in curve for name in row))
    lines = [",".join(names)]
    lines += [",".join(f"{row[name]:.6g}" if name in row else "" for name in names) for row in curve]
    write_bytes(path, ("\n".join(lines) + "\n").encode())
