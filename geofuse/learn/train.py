"""Training and adapting: from scenes and a configuration to weights with a card."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from geofuse.config import TrainConfig, training_to_json
from geofuse.errors import ExistsError
from geofuse.learn.lessons import Source, json_digest, material
from geofuse.nets.table import build, designed, network_of, spec_values, trainer_of
from geofuse.nets.training import distributed, steps
from geofuse.nets.training.averaged import weights_of
from geofuse.nets.training.checkpoints import CHECKPOINT, TrainingState
from geofuse.nets.training.schedule import Lesson, Schedule, TellStep
from geofuse.nets.training.steps import Trainer
from geofuse.nets.weights import Card, card_values, read_card, save_weights
from geofuse.pages import training_pictures as pictures
from geofuse.version import __version__


def train(config: TrainConfig, *, overwrite: bool = False, tell: TellStep = steps.quiet) -> Mapping[str, Any]:
    """Train what a configuration asks for; returns the card's values, with the weights' path and SHA-256.

    Writes into ``config.folder``: pairs, checkpoints, curve, samples, NAME.safetensors and its card, NAME.json.
    The same configuration goes on where a run was killed. Raises ExistsError where other weights of that name are
    there, WeightsError, and what opening and calibrating scenes raise.
    """
    distributed.one_thread()
    rank, world = distributed.joined()
    folder = Path(config.folder)
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / f"{config.name}.safetensors"
    try:
        started = time.time()
        trainer, sources = _trainer(config, rank)
        key = json_digest([training_to_json(config), sources, __version__])
        if rank == 0:
            _check_free(out, folder, key, overwrite=overwrite)
        look = pictures.sampler(trainer, folder) if rank == 0 else None
        kept, progress = steps.run(
            trainer, trainer.schedule, folder=folder, tell=_told(config, folder, tell), look=look, key=key
        )
        trainer.restore(kept)
        if rank:
            return {}
        pictures.write_curve(folder, config.name)
        card = _card(config, trainer, progress, sources, key=key, world=world, seconds=time.time() - started)
        return _saved(out, trainer, kept, card)
    finally:
        distributed.leave()


def _trainer(config: TrainConfig, rank: int) -> tuple[Trainer, list[Source]]:
    network = network_of(config.method)
    spec = designed(config.method, asdict(config.network))
    found = material(network, config, spec, rank=rank)
    steps.seed(config.schedule.seed)
    net = build(config.method, spec_values(spec))
    own = config.schedule
    lesson = Lesson(_schedule(config), own.crop_cpx, own.batch, own.bands, losses=asdict(config.losses))
    trainer: Trainer = trainer_of(config.method)(net, found.learnt, found.held, lesson)
    return trainer, found.sources


def _told(config: TrainConfig, folder: Path, tell: TellStep) -> TellStep:
    """Also write TensorBoard's events, where they are wanted."""
    if not config.tensorboard:
        return tell
    add = steps.tensorboard(folder / "tensorboard")

    def both(step: int, steps: int, values: Mapping[str, float]) -> None:
        tell(step, steps, values)
        for name, value in values.items():
            add(name, value, step)

    return both


def _check_free(out: Path, folder: Path, key: str, *, overwrite: bool) -> None:
    if overwrite:
        for path in (*folder.glob(f"{CHECKPOINT}*"), out, out.with_suffix(".json")):
            path.unlink(missing_ok=True)
    elif out.exists() and read_card(out).training.get("key") != key:
        raise ExistsError(
            "weights of another training are there",
            wanted="another folder or name",
            do="or say --overwrite",
            path=str(out),
        )


def _schedule(config: TrainConfig) -> Schedule:
    own = config.schedule
    return Schedule(
        steps=own.steps,
        rate=own.rate,
        warm=own.warm,
        average=own.average,
        judge_every=own.judge_every,
        patience=own.patience,
        save_every=own.save_every,
        seed=own.seed,
        device=distributed.local_device(config.device),
        precision=config.precision,
    )


def _card(
    config: TrainConfig,
    trainer: Trainer,
    progress: TrainingState,
    sources: Sequence[Source],
    *,
    key: str,
    world: int,
    seconds: float,
) -> Card:
    """Say of the weights what they are for and where they come from."""
    net = trainer.net
    told = {
        "key": key,
        "version": __version__,
        "torch": steps.torch_version(),
        "data": _summary(sources),
        "configuration": _placeless(training_to_json(config)),
        "terms": trainer.terms,
        "steps": progress.step,
        "best_step": progress.best_step,
        "processes": world,
        "seconds": round(seconds, 1),
        "curve": progress.curve,
        "scores": {name: round(value, 5) for name, value in trainer.scores().items()},
        "scores_are": trainer.scores_are,
    }
    return Card(
        config.name,
        config.method,
        spec_values(net.spec),
        ratio=config.network.ratio if network_of(config.method).grid == "coarse" else 0,
        halo=net.halo,
        bands=tuple(config.network.bands or ()),
        sensors=tuple(sorted({sensor for source in sources if (sensor := source.get("sensor"))})),
        training=json.loads(json.dumps(told)),
    )


def _summary(sources: Sequence[Source]) -> list[Source]:
    """steps.Tell each scene; simulated ones, of which there are many, in one row with a hash over all of them."""
    rows: list[Source] = []
    drawn: dict[bool, list[Source]] = {}
    for source in sources:
        if source["origin"] == "simulated":
            drawn.setdefault(bool(source["held"]), []).append(source)
        else:
            inputs: list[dict[str, object]] = [
                {"name": Path(str(item["path"])).name} for item in source.get("inputs", [])
            ]
            rows.append({**source, "inputs": inputs})
    for held, found in drawn.items():
        rows.append(
            {
                "name": f"{len(found)} drawn landscapes",
                "origin": "simulated",
                "held": held,
                "credit": found[0]["credit"],
                "license": found[0]["license"],
                "sha256": json_digest([source["sha256"] for source in found]),
            }
        )
    return rows


def _placeless(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Drop what names places of this machine."""
    scenes = [
        {**real, "scene": {**real["scene"], "path": Path(real["scene"]["path"]).name, "pan": "", "ms": []}}
        for real in values["data"]["scenes"]
    ]
    return {**values, "folder": "", "data": {**values["data"], "scenes": scenes}}


def _saved(out: Path, trainer: Trainer, kept: Mapping[str, Any], card: Card) -> Mapping[str, Any]:
    trainer.net.load_state_dict(weights_of(kept, "generator"))
    sha256 = save_weights(out, trainer.net, card)
    return {**card_values(card), "path": str(out), "file_sha256": sha256}
