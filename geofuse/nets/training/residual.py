"""Training on the coarse grid: the residual on ridge + back-projection, with or without the two adversaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from geofuse.nets.arch.base import Generator
from geofuse.nets.arch.discriminators import SpatialDiscriminator, SpectralDiscriminator
from geofuse.nets.operators import Operators
from geofuse.nets.training import losses
from geofuse.nets.training.averaged import Averaged, averaged
from geofuse.nets.training.data import TrainingPair
from geofuse.nets.training.distributed import joined
from geofuse.nets.training.draws import Batch, Places, batch_of, draw, operators_of, part_of, places_in
from geofuse.nets.training.schedule import Lesson, Schedule
from geofuse.nets.training.steps import HeldOutView

ROUNDS = 3
"""Rounds of back-projection behind the generator, in the losses as in the product."""
MARGIN_CPX = 2
"""Border of a crop that is not judged: D and U fold there."""
BORDER_CPX = 4
"""The same of a whole window that is held out."""


@dataclass(frozen=True, slots=True)
class Objective:
    """What a residual is trained for: terms by weight."""

    error: str = "l2"
    """Error in units of what ridge + back-projection misses: "l1", "l2", "huber"; or "ergas"."""
    q2n: float = 0.0
    """Weight of 1 - Q2n."""
    correlation: float = 0.0
    """Weight of the local correlation with PAN in windows of the ratio."""
    spectral_adversary: float = 0.0
    """Weight of the spectral discriminator's verdict on D(F), band by band."""
    spatial_adversary: float = 0.0
    """Weight of the spatial discriminator's verdict on the bands' mean."""
    soft: bool = True
    """Soft labels for the adversaries."""


@dataclass(frozen=True, slots=True)
class Diet:
    """What a step learns from."""

    crop_cpx: int = 24
    """Side of a crop without its halo."""
    batch: int = 6
    """Crops."""
    bands: int = 4
    """Bands at most."""


def left_after(residual: Tensor, through: Operators, rounds: int = ROUNDS) -> Tensor:
    """Return what back-projection leaves of a residual (N, B, H, W): (I - U D)^rounds of it.

    Back-projection is linear: bp(F0 + r) = bp(F0) + this. Source: Irani and Peleg 1991, CVGIP 53(3).
    """
    for _ in range(rounds):
        residual = residual - through.up(through.down(residual))
    return residual


class MsTrainer:
    """Trains a generator on the coarse grid; see `steps.Trainer`."""

    scores_are = "ERGAS over that of ridge + back-projection, on windows never learnt from"
    terms = None

    def __init__(
        self,
        net: Generator,
        pairs: Sequence[TrainingPair],
        places: Places,
        *,
        held: Sequence[TrainingPair],
        schedule: Schedule,
        objective: Objective = Objective(),
        diet: Diet = Diet(),
    ) -> None:
        self.pairs, self.places, self.held = pairs, places, held
        self.schedule, self.objective, self.diet = schedule, objective, diet
        self.device = torch.device(schedule.device)
        net.to(self.device)
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.net, self.ratio = net, pairs[0].about.ratio
        self.made = averaged(net, schedule)
        self.rank, self.world = joined()
        self.judges = self._adversaries()
        self.signs = {count: _signs(count) for count in (1, 2, 4, 8, 16)}

    def _adversaries(self) -> dict[str, Averaged]:
        side = self.diet.crop_cpx - 2 * MARGIN_CPX
        wanted = {"spectral": self.objective.spectral_adversary, "spatial": self.objective.spatial_adversary}
        made: dict[str, Averaged] = {}
        for name, weight in wanted.items():
            if weight:
                judge = (
                    SpectralDiscriminator(1, side)
                    if name == "spectral"
                    else SpatialDiscriminator(side * self.ratio)
                )
                made[name] = averaged(judge.to(self.device), self.schedule)
        return made

    def step(self, number: int, rate: float) -> dict[str, float]:
        """Learn from what is drawn at a step."""
        crop = draw(
            self.pairs,
            self.places,
            seed=self.schedule.seed,
            step=number,
            batch=self.diet.batch,
            bands=self.diet.bands,
        )
        whole = _moved(batch_of(self.pairs, self.places, crop), self.device)
        batch = part_of(whole, self.rank, self.world) if self.world > 1 else whole
        with self._precision():
            out = self.net(batch.common.contiguous(memory_format=torch.channels_last), batch.own)
        inner = slice(MARGIN_CPX * self.ratio, -MARGIN_CPX * self.ratio)
        left = left_after(out.float(), batch.operators)
        terms = self._terms(batch, left, inner)
        found = {name: float(value.detach()) for name, (_, value) in terms.items()}
        if self.judges:
            found |= self._judge_step(batch, left, inner, number=number, rate=rate, terms=terms)
        self.made.step(losses.weighted(list(terms.values())), rate)
        return found

    def _precision(self) -> torch.autocast:
        on = self.schedule.precision == "bf16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=on)

    def _terms(self, batch: Batch, left: Tensor, inner: slice) -> dict[str, tuple[float, Tensor]]:
        aim, ratio = self.objective, self.ratio
        residual = (left - batch.wanted)[..., inner, inner]
        if aim.error == "ergas":
            base = losses.ergas(batch.missed[None, :, None, None], batch.mean, ratio)
            first = losses.ergas(residual, batch.mean, ratio) / base
        else:
            first = losses.error(residual, batch.missed, aim.error)
        terms = {"error": (1.0, first)}
        if aim.q2n:
            truth, fused = ((batch.base + more)[..., inner, inner] for more in (batch.wanted, left))
            signs = self.signs[1 << (truth.shape[1] - 1).bit_length()]
            terms["q2n"] = (aim.q2n, losses.one_minus_q2n(fused, truth, signs))
        if aim.correlation:
            fused = (batch.base + left)[..., inner, inner]
            side = ratio + 1 - ratio % 2
            terms["correlation"] = (
                aim.correlation,
                losses.local_correlation(fused, batch.pan[..., inner, inner], side),
            )
        return terms

    def _judge_step(
        self,
        batch: Batch,
        left: Tensor,
        inner: slice,
        *,
        number: int,
        rate: float,
        terms: dict[str, tuple[float, Tensor]],
    ) -> dict[str, float]:
        """Train the discriminators on real and fake, then add their verdicts on the fake to the terms."""
        draws = torch.Generator().manual_seed(self.schedule.seed * 1_000_003 + number)
        found = {}
        views = _views(batch, left, inner)
        for name, judge in self.judges.items():
            real, fake = views[name]

            def label(kind: str, count: int) -> Tensor:
                return losses.labels(kind, count, soft=self.objective.soft, generator=draws)

            score = losses.verdict(judge.net(real), label("real", len(real)))
            score = score + losses.verdict(judge.net(fake.detach()), label("fake", len(fake)))
            judge.step(score, rate)
            found[f"{name}_judge"] = float(score.detach())
            weight = (
                self.objective.spectral_adversary if name == "spectral" else self.objective.spatial_adversary
            )
            terms[f"{name}_adversary"] = (weight, losses.verdict(judge.net(fake), label("real", len(fake))))
        return found

    def judge(self) -> float:
        """Return ERGAS of the averaged weights over that of ridge + back-projection, mean over what is held out."""
        scores = self.scores()
        return sum(scores.values()) / len(scores) if scores else 0.0

    def scores(self) -> dict[str, float]:
        """Return the same for each held-out window."""
        with self.made.averaged():
            return {pair.about.name: relative_ergas(self.net, pair, self.device) for pair in self.held}

    def sample(self) -> HeldOutView | None:
        """Return the first held-out window: ridge + back-projection, truth, product, in units of each band's scale."""
        if not self.held:
            return None
        pair = self.held[0]
        with self.made.averaged():
            added = residual_of(self.net, pair, self.device).numpy()
        base = pair.base.float().numpy()
        truth = base + pair.wanted.float().numpy()
        return HeldOutView(base, truth, base + added, pair.about.bands, "ridge + back-projection")

    def tensors(self) -> dict[str, Tensor]:
        """Return the whole state."""
        out = self.made.tensors("generator")
        for name, judge in self.judges.items():
            out |= judge.tensors(name)
        return out

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take it back."""
        self.made.restore(tensors, "generator")
        for name, judge in self.judges.items():
            judge.restore(tensors, name)


def trainer_of(
    net: Generator, learnt: Sequence[TrainingPair], held: Sequence[TrainingPair], lesson: Lesson
) -> MsTrainer:
    """Return the trainer of a generator on the coarse grid; all ``losses`` but the form are its terms."""
    aims = lesson.losses
    objective = Objective(
        str(aims["error"]),
        q2n=float(aims["q2n"]),
        correlation=float(aims["correlation"]),
        spectral_adversary=float(aims["spectral_adversary"]),
        spatial_adversary=float(aims["spatial_adversary"]),
    )
    return MsTrainer(
        net,
        learnt,
        places_in(learnt, lesson.crop_cpx, net.halo),
        held=held,
        schedule=lesson.schedule,
        objective=objective,
        diet=Diet(lesson.crop_cpx, lesson.batch, lesson.bands),
    )


def _moved(batch: Batch, device: torch.device) -> Batch:
    if device.type == "cpu":
        return batch
    planes = {
        name: getattr(batch, name).pin_memory().to(device, non_blocking=True) for name in batch._fields[:-1]
    }
    return Batch(**planes, operators=batch.operators.to(device))


def _views(batch: Batch, left: Tensor, inner: slice) -> dict[str, tuple[Tensor, Tensor]]:
    """Return what each discriminator sees: (real, fake), levelled by ridge's product so that neither sees a scale."""
    truth, fused = batch.base + batch.wanted, batch.base + left
    middle, spread = batch.base.mean((0, 2, 3), keepdim=True), batch.base.std((0, 2, 3), keepdim=True) + 1e-6
    low = [
        batch.operators.down((image - middle) / spread)[..., MARGIN_CPX:-MARGIN_CPX, MARGIN_CPX:-MARGIN_CPX]
        for image in (truth, fused)
    ]
    spectral = (low[0].flatten(0, 1).unsqueeze(1), low[1].flatten(0, 1).unsqueeze(1))
    bright = ((fused - middle) / spread).mean(1, keepdim=True)[..., inner, inner]
    pan = batch.pan[..., inner, inner]
    pan = (pan - pan.mean()) / (pan.std() + 1e-6)
    fake = (bright - bright.detach().mean()) / (bright.detach().std() + 1e-6)
    return {"spectral": spectral, "spatial": (pan, fake)}


def residual_of(net: Generator, pair: TrainingPair, device: torch.device) -> Tensor:
    """Return what a generator adds to ridge + back-projection over a whole window (B, R h, R w), float32."""
    k = net.halo
    height, width = pair.size_cpx
    with torch.no_grad():
        pad = [
            functional.pad(plane.float(), (k, k, k, k), mode="replicate") for plane in (pair.common, pair.own)
        ]
        out = net(pad[0][None].to(device), pad[1][None].to(device)).float()
        through = operators_of(pair, range(len(pair.about.bands)), (height, width)).to(device)
        return left_after(out, through)[0].cpu()


def relative_ergas(net: Generator, pair: TrainingPair, device: torch.device) -> float:
    """Return ERGAS with the generator over ERGAS without it, over a window's usable pixels."""
    left, ok = residual_of(net, pair, device), judged_of(pair)
    wanted = pair.wanted.float()
    level = (pair.scale / pair.mean)[:, None]
    with_net, without = (
        (image[:, ok] * level).square().mean(1).mean().sqrt() for image in (left - wanted, wanted)
    )
    return float(with_net / without.clamp_min(1e-12))


def judged_of(pair: TrainingPair, edge: int = BORDER_CPX) -> Tensor:
    """Return which fine pixels of a window are judged (R h, R w): usable, `edge` MS pixels off the border."""
    ratio = pair.about.ratio
    inside = torch.zeros_like(pair.usable)
    inside[edge:-edge, edge:-edge] = pair.usable[edge:-edge, edge:-edge]
    return inside.repeat_interleave(ratio, 0).repeat_interleave(ratio, 1)


def _signs(count: int) -> Tensor:
    """Return the signs of the Cayley-Dickson algebra of `count` = 2^n units; see `losses.one_minus_q2n`."""
    signs = torch.ones((1, 1))
    while len(signs) < count:
        flip = torch.where(torch.arange(len(signs)) == 0, 1.0, -1.0)
        top = torch.cat([signs, signs.T], dim=1)
        signs = torch.cat([top, torch.cat([signs * flip, -signs.T * flip], dim=1)])
    return signs
