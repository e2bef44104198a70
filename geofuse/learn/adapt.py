"""Adapting weights to a scene: learnt from the scene itself one scale down, judged on rows that are not learnt from."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypedDict, cast

import numpy as np

from geofuse.errors import WeightsError
from geofuse.files import sha256_of
from geofuse.learn.pairs import pairs_of, split_rows
from geofuse.learn.views import reduced_views
from geofuse.methods import table
from geofuse.nets.arch.base import BlockSpec, Generator
from geofuse.nets.shares import LEAST_BLOCKS, Verdict, block_sums, judge
from geofuse.nets.training import distributed, steps
from geofuse.nets.training.averaged import weights_of
from geofuse.nets.training.data import TrainingPair, renamed
from geofuse.nets.training.draws import Places, places_in, representative
from geofuse.nets.training.residual import Diet, MsTrainer, Objective, judged_of, residual_of
from geofuse.nets.training.schedule import Schedule, TellStep
from geofuse.nets.weights import find_weights, load_weights, read_card, save_weights, shipped
from geofuse.nouns import to_json
from geofuse.run.calibrating import calibrated_plan
from geofuse.run.plans.plan import Plan
from geofuse.run.plans.request import Request, changed
from geofuse.scenes.scene import Scene
from geofuse.version import __version__

log = logging.getLogger(__name__)
HELD_ROWS = 0.3
"""Share of the rows, the last ones, that is never learnt from."""
STRIPE_CPX = 16
"""Width of the stripes of held-out pixels that stop the training and that judge it, in turn."""
BLOCKS_CPX = (8, 4)
"""Sides of the gate's blocks, in MS pixels: the smaller where the larger are too few."""
ENOUGH_BLOCKS = 8
"""Blocks that are enough."""
JUDGED_BORDER_CPX = 2
"""Border of a window that is not judged: a small scene has little else."""
CROPS_CPX = (16, 8)
"""Sides of patches tried: a small scene has no room for large ones."""
PATCHES = 96
"""Patches that represent the scene."""
SCHEDULE = Schedule(steps=400, rate=4e-4, warm=10, average=0.98, judge_every=40, patience=3, cpu_seconds=40.0)
"""Steps, and processor seconds at most; calibrating and preparing take some more."""
DIET = Diet(crop_cpx=16, batch=6, bands=4)


AdaptedFacts = TypedDict(
    "AdaptedFacts",
    {
        "key": str,
        "scene": str,
        "bands": list[str],
        "from": Mapping[str, str],
        "shares": list[float],
        "used": bool,
        "gate": Mapping[str, Any],
        "gain_before": float,
        "windows": int,
        "curve": list[dict[str, float]],
        "patches": int,
        "steps": int,
        "best_step": int,
        "stopped_by": Mapping[str, float],
        "cpu_seconds": float,
        "version": str,
    },
    total=False,
)
"""What a card says under "adapted": what it began with, how it learnt, and the gate's verdict."""


@dataclass(frozen=True, slots=True)
class Adapted:
    """What adapting came to."""

    path: Path
    """The weights."""
    sha256: str
    """Of the file."""
    used: bool
    """Whether the gate lets them through; else ridge + back-projection is as good."""
    told: AdaptedFacts
    """What the card says of it."""
    kind: str
    """The network, as a method."""


def adapt(
    scene: Scene,
    request: Request,
    out: Path,
    *,
    weights: str | None = None,
    schedule: Schedule = SCHEDULE,
    tell: TellStep = steps.quiet,
) -> Adapted:
    """Adapt a network's weights to a scene and write them to ``out``, with their card beside them.

    Weights that are there for the same inputs, request, start and schedule are taken over. The card's "adapted" holds
    the gate's verdict for the weights that are written: the adapted ones, or those it began with where they did better.
    Raises WeightsError where no weights fit or nothing can be learnt, and what calibrating raises.
    """
    began = time.process_time()
    distributed.one_thread()
    plan = calibrated_plan(scene, changed(request, {"method": "ridge", "network": None, "adapt": False}))
    names = tuple(plan.options.names)
    ratio = 1.0 / plan.pair.axis_y.scale, 1.0 / plan.pair.axis_x.scale
    kind = adapting(request.fuse.method, weights)
    start = find_weights(weights, kind=kind, bands=names, ratio=ratio, sensor=scene.sensor or "")
    key = _key(plan, sha256_of(start), schedule)
    known = _known(out, key, kind)
    if known is not None:
        return known
    net, card = load_weights(start)
    told, verdict = _learn(net, plan, scene.scene_id, schedule, tell)
    told |= {
        "key": key,
        "scene": scene.scene_id,
        "bands": list(names),
        "from": {"name": card.name, "sha256": card.sha256},
        "shares": list(verdict.shares) if verdict.blocks >= LEAST_BLOCKS else [1.0] * len(names),
        "used": verdict.used,
        "gate": asdict(verdict),
        "cpu_seconds": round(time.process_time() - began, 1),
        "version": __version__,
    }
    made = replace(card, name=f"{card.name}, adapted", training={**card.training, "adapted": _plain(told)})
    return Adapted(out, save_weights(out, net, made), verdict.used, told, kind)


def adapting(asked: str, weights: str | None) -> str:
    """Return the network that is adapted: the one asked for, that of the weights named, else the first there is."""
    known = [each.about.name for each in table.usable() if "adapt" in each.about.hears]
    if asked not in known and weights is not None:
        asked = read_card(shipped().get(weights, Path(weights))).kind
    return asked if asked in known else known[0]


def _plain(values: AdaptedFacts) -> AdaptedFacts:
    found: AdaptedFacts = json.loads(json.dumps(values, default=list))
    return found


def _key(plan: Plan, sha256: str, schedule: Schedule) -> str:
    inputs = [{name: value for name, value in item.items() if name != "path"} for item in plan.inputs]
    told = [
        __version__,
        inputs,
        list(plan.options.names),
        plan.pair.origin,
        plan.area,
        to_json(plan.pair.observation),
    ]
    text = json.dumps([*told, sha256, asdict(schedule), asdict(DIET)], sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _known(out: Path, key: str, kind: str) -> Adapted | None:
    if not out.exists():
        return None
    told = read_card(out).training.get("adapted", {})
    if told.get("key") != key:
        return None
    return Adapted(out, sha256_of(out), bool(told["used"]), told, kind)


def _learn(
    net: Generator, plan: Plan, scene_id: str, schedule: Schedule, tell: TellStep
) -> tuple[AdaptedFacts, Verdict]:
    """Train the network in place, or leave it as it is where it was better before; returns facts and the verdict."""
    pairs = pairs_of(reduced_views(plan, scene_id), cast(BlockSpec, net.spec))
    learnt, stops, judges = _split(pairs, net.halo)
    before = _verdict(net, judges)
    facts: AdaptedFacts = {"gain_before": before.gain, "windows": len(pairs), "curve": [], "patches": 0}
    places = _places(learnt, net.halo, schedule.seed)
    if places is None or not stops:
        return facts, before
    net.requires_grad_(True)
    trainer = MsTrainer(
        net,
        learnt,
        places,
        held=stops,
        schedule=schedule,
        objective=Objective(),
        diet=replace(DIET, crop_cpx=places.crop_cpx),
    )
    first = {name: value.clone() for name, value in net.state_dict().items()}
    was = trainer.judge()
    kept, progress = steps.run(trainer, schedule, tell=tell)
    better = progress.best < was
    net.load_state_dict(weights_of(kept, "generator") if better else first)
    net.eval().requires_grad_(False)
    after = _verdict(net, judges) if better else before
    if after.gain < before.gain:
        net.load_state_dict(first)
        after, better = before, False
    facts |= {
        "curve": progress.curve,
        "patches": int(sum(len(own) for own in places.allowed)),
        "steps": progress.step,
        "best_step": progress.best_step if better else 0,
        "stopped_by": {"before": was, "after": progress.best},
    }
    return facts, after


def _split(
    pairs: Sequence[TrainingPair], halo: int
) -> tuple[list[TrainingPair], list[TrainingPair], list[TrainingPair]]:
    """Split each window: the rows that are learnt from; stripes of the others that stop; stripes that judge."""
    learnt: list[TrainingPair] = []
    stops: list[TrainingPair] = []
    judges: list[TrainingPair] = []
    for pair in pairs:
        own, held = split_rows(pair, HELD_ROWS, halo)
        learnt.append(own)
        odd = (np.arange(pair.size_cpx[1]) // STRIPE_CPX) % 2 == 1
        for into, columns, name in ((stops, ~odd, "stops"), (judges, odd, "judges")):
            usable = held.usable.clone()
            usable[:, ~columns] = False
            part = replace(held, usable=usable)
            if bool(judged_of(part, JUDGED_BORDER_CPX).any()):
                into.append(renamed(part, name=f"{pair.about.name}, {name}"))
    return learnt, stops, judges


def _places(pairs: Sequence[TrainingPair], halo: int, seed: int) -> Places | None:
    """Return the patches that represent the scene; None where none fits."""
    for side in CROPS_CPX:
        try:
            chosen = representative(pairs, side, halo, count=PATCHES, seed=seed)
            return places_in(pairs, side, halo, chosen=chosen)
        except WeightsError as error:
            log.info("%s", error)
    log.warning("nothing is learnt: the scene has no clear patch large enough")
    return None


def _verdict(net: Generator, pairs: Sequence[TrainingPair]) -> Verdict:
    """Judge a network on the stripes that judge."""
    seen = []
    for pair in pairs:
        step = pair.scale.numpy()[:, None, None]
        judged = judged_of(pair, JUDGED_BORDER_CPX).numpy()
        rows = np.flatnonzero(judged.any(axis=1))
        at = slice(int(rows[0]), int(rows[-1]) + 1)
        wanted = (pair.wanted.float().numpy() * step)[:, at]
        added = (residual_of(net, pair, steps.cpu()).numpy() * step)[:, at]
        seen.append((wanted, added, judged[at], pair))
    bands = net.spec.bands or 1
    verdict = Verdict((0.0,) * bands, 0.0, False, (0.0,) * bands, (0.0,) * bands, 0)
    for side in BLOCKS_CPX if seen else ():
        sums = [
            block_sums(wanted, np.zeros_like(wanted), added, judged, side * pair.about.ratio)
            for wanted, added, judged, pair in seen
        ]
        weights = np.array([float(judged.sum()) for _, _, judged, _ in seen])
        means = np.average([pair.mean.numpy() for *_, pair in seen], axis=0, weights=weights)
        verdict = judge(np.concatenate(sums), means.tolist())
        if verdict.blocks >= ENOUGH_BLOCKS:
            break
    return verdict


def adapted_request(
    scene: Scene, request: Request, out: Path, *, tell: TellStep = steps.quiet
) -> tuple[Request, Adapted]:
    """Adapt to the scene that is to be fused into ``out``; returns the request with the weights in it.

    The weights are kept beside the product as NAME.network.safetensors, so that the same command goes on without
    training again. Where the gate refuses, the request is for ridge; where there is too little to judge by, for the
    weights as they were.
    """
    made = adapt(
        scene,
        request,
        out.with_name(f"{out.stem}.network.safetensors"),
        weights=request.fuse.network,
        tell=tell,
    )
    if made.told["gate"]["blocks"] < LEAST_BLOCKS:
        return changed(request, {"method": made.kind, "adapt": False}), made
    if not made.used:
        return changed(request, {"method": "ridge", "network": None, "adapt": False}), made
    return changed(request, {"method": made.kind, "network": str(made.path), "adapt": False}), made


def summary(made: Adapted) -> str:
    """Say in a line what adapting came to."""
    told = made.told
    if told["gate"]["blocks"] < LEAST_BLOCKS:
        return "too small a scene to adapt to: the weights stay what they were"
    gain = 100.0 * told["gate"]["gain"]
    verdict = (
        f"{gain:.2f} % below ridge + back-projection in ERGAS on rows never learnt from"
        if made.used
        else "no gain over ridge + back-projection on rows never learnt from: not used"
    )
    return f"{verdict} ({100.0 * told['gain_before']:.2f} % before adapting, {told['cpu_seconds']:.0f} CPU s)"
