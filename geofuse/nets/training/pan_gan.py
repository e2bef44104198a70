"""Training of `pan-gan`: unsupervised, at full resolution, a generator against two discriminators.

Source: Ma, Yu, Chen, Liang, Guo and Jiang 2020, Information Fusion 62, 110-120.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofuse.geometry import AxisMap
from geofuse.nets.arch.base import Generator
from geofuse.nets.arch.discriminators import SpatialDiscriminator, SpectralDiscriminator
from geofuse.nets.operators import Operators, operators
from geofuse.nets.training import losses
from geofuse.nets.training.averaged import Averaged, averaged
from geofuse.nets.training.distributed import joined
from geofuse.nets.training.losses import TERMS, Terms
from geofuse.nets.training.schedule import Lesson, Schedule
from geofuse.nets.training.steps import HeldOutView

BORDER_CPX = 2
"""Border of a patch at the coarse scale that is not compared: D folds there."""


@dataclass(frozen=True, slots=True, eq=False)
class Full:
    """A window of a scene at its own resolution, scaled to about -1 .. 1."""

    name: str
    """Which scene, which window."""
    ratio: int
    """Fine pixels per coarse pixel."""
    stack: Tensor
    """U(M) and P (B + 1, R h + 2 halo, R w + 2 halo), float32."""
    ms: Tensor
    """M (B, h, w), float32."""
    usable: Tensor
    """Coarse pixels that may be learnt from (h, w), bool."""
    gains: tuple[float, ...]
    """MTF gain of each band."""
    shifts_px: tuple[tuple[float, float], ...]
    """Shift of each band."""
    offsets: tuple[float, float]
    """Coarse coordinate of the first fine pixel within the halo, rows and columns."""
    matched: tuple[float, float] = (1.0, 0.0)
    """Gain and offset that bring scaled PAN to the level and spread of the scaled bands' mean."""
    truth: Tensor | None = None
    """What a perfect fusion returns, scaled (B, R h, R w); only where it is known."""
    bands: tuple[str, ...] = ()
    """Their names."""


def make_full(
    name: str,
    ratio: int,
    *,
    stack: NDArray[Any],
    ms: NDArray[Any],
    usable: NDArray[np.bool_],
    model: tuple[tuple[float, ...], tuple[tuple[float, float], ...], tuple[float, float]],
    bands: tuple[str, ...],
    truth: NDArray[Any] | None = None,
) -> Full:
    """Build a window; ``model``: gains, shifts, offsets. PAN is matched to the bands' mean over the usable pixels."""
    halo = (stack.shape[-1] - ratio * ms.shape[-1]) // 2
    pan = stack[-1, halo : stack.shape[1] - halo, halo : stack.shape[2] - halo]
    low = pan.reshape(ms.shape[1], ratio, ms.shape[2], ratio).mean(axis=(1, 3))[usable].astype(np.float64)
    bright = ms.mean(axis=0)[usable].astype(np.float64)
    gain, offset = 1.0, 0.0
    if low.size and low.std() > 0.0:
        gain = float(bright.std() / low.std())
        offset = float(bright.mean() - gain * low.mean())
    known = None if truth is None else torch.from_numpy(np.ascontiguousarray(truth, np.float32))
    return Full(
        name,
        ratio,
        torch.from_numpy(np.ascontiguousarray(stack, np.float32)),
        torch.from_numpy(np.ascontiguousarray(ms, np.float32)),
        torch.from_numpy(usable.copy()),
        *model,
        (gain, offset),
        known,
        bands,
    )


@dataclass(frozen=True, slots=True)
class Meal:
    """What a step learns from."""

    patch_cpx: int = 32
    """Side of a patch at the coarse scale; the paper's is 32."""
    batch: int = 8
    """Patches."""


class PanGanTrainer:
    """Trains a generator on the fine grid; see `steps.Trainer`."""

    scores_are = "root mean square error over that of upsampling, before back-projection"

    def __init__(
        self,
        net: Generator,
        windows: Sequence[Full],
        *,
        held: Sequence[Full],
        schedule: Schedule,
        terms: Terms,
        meal: Meal = Meal(),
    ) -> None:
        self.net, self.windows, self.held, self.schedule = net, windows, held, schedule
        self.aims, self.meal = terms, meal
        self.device = torch.device(schedule.device)
        self.made = averaged(net.to(self.device), schedule, terms.optimiser)
        self.rank, self.world = joined()
        bands, ratio = net.spec.bands, windows[0].ratio
        coarse = self.meal.patch_cpx - 2 * BORDER_CPX
        fine = self.meal.patch_cpx * ratio
        spectral = SpectralDiscriminator(bands, coarse if terms.spectral_at == "coarse" else fine)
        self.spectral = averaged(spectral.to(self.device), schedule, terms.optimiser)
        self.spatial = averaged(SpatialDiscriminator(fine).to(self.device), schedule, terms.optimiser)
        self.spots = [_spots(window.usable.numpy(), self.meal.patch_cpx) for window in windows]
        shares = np.array([float(len(spots)) for spots in self.spots])
        self.shares = shares / shares.sum()

    @property
    def terms(self) -> dict[str, float | str | bool]:
        """Terms and weights of the form that was named."""
        return asdict(self.aims)

    def step(self, number: int, rate: float) -> dict[str, float]:
        """Train both discriminators, then the generator, on what is drawn at a step."""
        window, stack, ms = self._drawn(number)
        with torch.autocast(
            self.device.type, dtype=torch.bfloat16, enabled=self.schedule.precision == "bf16"
        ):
            fused = self.made.net(stack)
        fused = fused.float()
        halo = (stack.shape[-1] - fused.shape[-1]) // 2
        inside = stack[..., halo : halo + fused.shape[-2], halo : halo + fused.shape[-1]]
        pan = inside[:, -1:]
        through = self.operators_of(
            window.ratio, window.gains, window.shifts_px, window.offsets, self.meal.patch_cpx
        )
        seen = through.to(self.device).down(fused)
        edge = slice(BORDER_CPX, -BORDER_CPX)
        if self.aims.spectral_at == "coarse":
            real, fake = ms[..., edge, edge], seen[..., edge, edge]
        else:
            real, fake = inside[:, :-1], fused
        bright = fused.mean(1, keepdim=True)
        if self.aims.matched:
            pan = window.matched[0] * pan + window.matched[1]
        draws = torch.Generator().manual_seed(self.schedule.seed * 1_000_003 + number)
        found = {
            "spectral_judge": self._judged(self.spectral, real, fake, draws=draws, rate=rate),
            "spatial_judge": self._judged(self.spatial, pan, bright, draws=draws, rate=rate),
        }
        wanted = losses.labels("real", len(fake), soft=self.aims.soft, generator=draws)
        terms = {
            "spectral": (self.aims.spectral, (fake - real).square().mean()),
            "detail": (self.aims.detail, losses.detail(fused, pan, self.aims.detail_by)),
            "spectral_adversary": (
                self.aims.spectral_adversary,
                losses.verdict(self.spectral.net(fake), wanted),
            ),
            "spatial_adversary": (
                self.aims.spatial_adversary,
                losses.verdict(self.spatial.net(bright), wanted),
            ),
        }
        self.made.step(losses.weighted(list(terms.values())), rate)
        return found | {name: float(value.detach()) for name, (_, value) in terms.items()}

    def _judged(
        self, judge: Averaged, real: Tensor, fake: Tensor, *, draws: torch.Generator, rate: float
    ) -> float:
        soft = self.aims.soft
        score = losses.verdict(judge.net(real), losses.labels("real", len(real), soft=soft, generator=draws))
        score = score + losses.verdict(
            judge.net(fake.detach()), losses.labels("fake", len(fake), soft=soft, generator=draws)
        )
        judge.step(score, rate)
        return float(score.detach())

    def _drawn(self, number: int) -> tuple[Full, Tensor, Tensor]:
        """Return a window, patches of its stack with their halo, and of its MS."""
        rng = np.random.default_rng((self.schedule.seed, number))
        at = int(rng.choice(len(self.windows), p=self.shares))
        window, side = self.windows[at], self.meal.patch_cpx
        ratio = window.ratio
        halo = (window.stack.shape[-1] - ratio * window.ms.shape[-1]) // 2
        spots = self.spots[at][rng.integers(len(self.spots[at]), size=self.meal.batch)]
        own = [(int(row), int(col)) for row, col in spots][self.rank :: self.world]
        size = side * ratio + 2 * halo
        stack = torch.stack(
            [window.stack[:, r * ratio : r * ratio + size, c * ratio : c * ratio + size] for r, c in own]
        )
        ms = torch.stack([window.ms[:, r : r + side, c : c + side] for r, c in own])
        return window, stack.to(self.device), ms.to(self.device)

    @staticmethod
    def operators_of(
        ratio: int,
        gains: Sequence[float],
        shifts_px: Sequence[tuple[float, float]],
        offsets: tuple[float, float],
        side_cpx: int,
    ) -> Operators:
        """Build D and U of a patch of that side: alike all over a window, the ratio is whole."""
        side = side_cpx * ratio
        return operators(
            (AxisMap(1.0 / ratio, offsets[0]), AxisMap(1.0 / ratio, offsets[1])),
            gains,
            shifts_px,
            fine=(0, side, 0, side),
            coarse=(0, side_cpx, 0, side_cpx),
        )

    def judge(self) -> float:
        """Return ERGAS over that of upsampling, mean over the held-out windows with a truth."""
        scores = self.scores()
        return sum(scores.values()) / len(scores) if scores else 0.0

    def scores(self) -> dict[str, float]:
        """Return the same for each held-out window."""
        with self.made.averaged() as net:
            return {window.name: relative_error(net, window, self.device) for window in self.held}

    def sample(self) -> HeldOutView | None:
        """Return the first held-out window: U(M), truth, product, scaled."""
        if not self.held:
            return None
        window = self.held[0]
        assert window.truth is not None
        with self.made.averaged() as net:
            fused = fused_of(net, window, self.device).numpy()
        halo = (window.stack.shape[-1] - fused.shape[-1]) // 2
        up = window.stack[:-1, halo : halo + fused.shape[1], halo : halo + fused.shape[2]].numpy()
        return HeldOutView(up, window.truth.numpy(), fused, window.bands, "MS, upsampled")

    def tensors(self) -> dict[str, Tensor]:
        """Return the whole state."""
        out = self.made.tensors("generator")
        return out | self.spectral.tensors("spectral") | self.spatial.tensors("spatial")

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take it back."""
        self.made.restore(tensors, "generator")
        self.spectral.restore(tensors, "spectral")
        self.spatial.restore(tensors, "spatial")


def trainer_of(net: Generator, learnt: Sequence[Full], held: Sequence[Full], lesson: Lesson) -> PanGanTrainer:
    """Return the trainer of a generator on the fine grid; ``losses["form"]`` names its terms."""
    terms, meal = TERMS[str(lesson.losses["form"])], Meal(lesson.crop_cpx, lesson.batch)
    return PanGanTrainer(net, learnt, held=held, schedule=lesson.schedule, terms=terms, meal=meal)


def _spots(usable: NDArray[np.bool_], side: int) -> NDArray[np.int64]:
    """Return the first rows and columns (n, 2) of patches that are usable all over."""
    if min(usable.shape) < side:
        return np.zeros((0, 2), np.int64)
    holes = np.pad(np.cumsum(np.cumsum(~usable, 0), 1), ((1, 0), (1, 0)))
    bad = holes[side:, side:] - holes[:-side, side:] - holes[side:, :-side] + holes[:-side, :-side]
    return np.argwhere(bad == 0)


def fused_of(net: torch.nn.Module, window: Full, device: torch.device) -> Tensor:
    """Return the product of a whole window, scaled (B, R h, R w)."""
    with torch.no_grad():
        out: Tensor = net(window.stack[None].to(device)).float()[0].cpu()
    return out


def relative_error(net: torch.nn.Module, window: Full, device: torch.device) -> float:
    """Return the product's root mean squared error over that of upsampling, mean over bands; before back-projection."""
    assert window.truth is not None
    fused = fused_of(net, window, device)
    halo = (window.stack.shape[-1] - fused.shape[-1]) // 2
    up = window.stack[:-1, halo : halo + fused.shape[1], halo : halo + fused.shape[2]]
    usable = window.usable.repeat_interleave(window.ratio, 0).repeat_interleave(window.ratio, 1)
    errors = [(image - window.truth)[:, usable].square().mean(1) for image in (fused, up)]
    return float((errors[0] / errors[1].clamp_min(1e-12)).sqrt().mean())
