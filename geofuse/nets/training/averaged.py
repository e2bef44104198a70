"""A network in training: its optimiser, and the moving average of its weights, which is what is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from geofuse.nets.training.distributed import average_gradients
from geofuse.nets.training.schedule import Schedule

EMA_START = 5.0
"""The moving average is over step / this at first."""


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
        self.net.load_state_dict(under(tensors, f"{prefix}.net."))
        for name, value in under(tensors, f"{prefix}.average.").items():
            self.average[name].copy_(value)
        self.steps = int(tensors[f"{prefix}.steps"])
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in under(tensors, f"{prefix}.optimiser.").items():
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
    return under(tensors, f"{prefix}.average.")


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin so, without that."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
