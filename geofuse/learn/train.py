"""Training and adapting: from scenes and a configuration to weights with a card."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geofuse.config import RealConfig, TrainConfig, training_to_json
from geofuse.errors import ExistsError, MethodError, WeightsError
from geofuse.learn.pairs import (
    camera_views,
    full_of_view,
    full_views,
    pairs_of,
    reduced_views,
    simulated_view,
    split_rows,
)
from geofuse.nets import training
from geofuse.nets.data import Pair, digest, load_pair, places_in, renamed, save_pair
from geofuse.nets.losses import TERMS
from geofuse.nets.models import MsGenerator, MsSpec, PanGanGenerator, PanGanSpec
from geofuse.nets.pan_gan import Full, Meal, PanGanTrainer
from geofuse.nets.residual import Diet, MsTrainer, Objective
from geofuse.nets.training import Progress, Schedule
from geofuse.nets.weights import Card, save_weights
from geofuse.pages import training_pictures as pictures
from geofuse.run.calibrating import calibrated_plan
from geofuse.run.planning import Request
from geofuse.scenes.opening import open_pair, open_scene
from geofuse.version import __version__

if TYPE_CHECKING:
    from geofuse.run.plan import Plan
    from geofuse.scenes.scene import Scene

log = logging.getLogger(__name__)
Tell = Callable[[int, int, Mapping[str, float]], None]
HELD_SEED = 7_000_000
"""Simulated scenes that are held out are drawn from here on, others from their own seed."""


def train(config: TrainConfig, *, overwrite: bool = False, tell: Tell = training.quiet) -> dict[str, Any]:
    """Train what a configuration asks for; returns the card's values, with the weights' path and SHA-256.

    Writes into ``config.folder``: pairs, checkpoints, curve, samples, NAME.safetensors and its card, NAME.json.
    The same configuration goes on where a run was killed. Raises ExistsError where other weights of that name are
    there, WeightsError, and what opening and calibrating scenes raise.
    """
    training.one_thread()
    rank, world = training.joined()
    folder = Path(config.folder)
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / f"{config.name}.safetensors"
    try:
        started = time.time()
        trainer, sources = _trainer(config, rank)
        key = _digest([training_to_json(config), sources, __version__])
        if rank == 0:
            _check_free(out, folder, key, overwrite=overwrite)
        look = pictures.sampler(trainer, folder) if rank == 0 else None
        kept, progress = training.run(
            trainer, trainer.schedule, folder=folder, tell=_told(config, folder, tell), look=look, key=key
        )
        trainer.restore(kept)
        if rank:
            return {}
        pictures.write_curve(folder, config.name)
        card = _card(config, trainer, progress, sources, key=key, world=world, seconds=time.time() - started)
        return _saved(out, trainer, kept, card)
    finally:
        training.leave()


def _trainer(config: TrainConfig, rank: int) -> tuple[MsTrainer | PanGanTrainer, list[dict[str, Any]]]:
    return _pan_gan_trainer(config) if config.method == "pan-gan" else _ms_trainer(config, rank=rank)


def _told(config: TrainConfig, folder: Path, tell: Tell) -> Tell:
    """Also write TensorBoard's events, where they are wanted."""
    if not config.tensorboard:
        return tell
    add = training.tensorboard(folder / "tensorboard")

    def both(step: int, steps: int, values: Mapping[str, float]) -> None:
        tell(step, steps, values)
        for name, value in values.items():
            add(name, value, step)

    return both


def _check_free(out: Path, folder: Path, key: str, *, overwrite: bool) -> None:
    from geofuse.nets.weights import read_card

    if overwrite:
        for path in (*folder.glob(f"{training.CHECKPOINT}*"), out, out.with_suffix(".json")):
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
        device=training.local_device(config.device),
        precision=config.precision,
    )


def _ms_trainer(config: TrainConfig, *, rank: int) -> tuple[MsTrainer, list[dict[str, Any]]]:
    net = config.network
    spec = MsSpec(net.ratio, len(net.bands or ()), net.width, net.blocks, trunk=net.trunk, act=net.act)
    learnt, held, sources = _pairs(config, spec, rank=rank)
    training.seed(config.schedule.seed)
    made = MsGenerator(spec)
    diet = Diet(config.schedule.crop_cpx, config.schedule.batch, config.schedule.bands)
    aim = config.losses
    trainer = MsTrainer(
        made,
        learnt,
        places_in(learnt, diet.crop_cpx, made.halo),
        held=held,
        schedule=_schedule(config),
        objective=Objective(
            aim.error, aim.q2n, aim.correlation, aim.spectral_adversary, aim.spatial_adversary
        ),
        diet=diet,
    )
    return trainer, sources


def _pairs(
    config: TrainConfig, spec: MsSpec, *, rank: int
) -> tuple[list[Pair], list[Pair], list[dict[str, Any]]]:
    """Make the pairs, or take those an earlier run of the same data made; others than the first process wait."""
    folder = Path(config.folder) / "pairs"
    key = _digest([training_to_json(config)["data"], asdict(spec), __version__])
    index = folder / "index.json"
    if rank == 0 and not (index.exists() and json.loads(index.read_text())["key"] == key):
        folder.mkdir(parents=True, exist_ok=True)
        index.unlink(missing_ok=True)
        rows = []
        for number, (pair, held, said) in enumerate(_made_pairs(config, spec)):
            path = folder / f"{number:04d}.safetensors"
            save_pair(path, pair)
            rows.append({"file": path.name, "held": held, "sha256": digest(pair), **said})
            log.info("%s%s", pair.about.name, ", held out" if held else "")
        draft = index.with_suffix(".draft")
        draft.write_text(json.dumps({"key": key, "pairs": rows}, indent=1))
        draft.replace(index)
    training.wait()
    rows = json.loads(index.read_text())["pairs"]
    pairs = [load_pair(folder / row["file"]) for row in rows]
    learnt = [pair for pair, row in zip(pairs, rows, strict=True) if not row["held"]]
    held = [pair for pair, row in zip(pairs, rows, strict=True) if row["held"]]
    return learnt, held, [{name: value for name, value in row.items() if name != "file"} for row in rows]


def _made_pairs(config: TrainConfig, spec: MsSpec) -> Any:
    """Yield (pair, held out, what is said of it)."""
    for place, real in enumerate(config.data.scenes):
        scene, plan = _opened(real)
        views = reduced_views(plan, scene.scene_id)
        said = {
            "credit": real.credit,
            "license": real.license,
            "observation": plan.observation,
            "inputs": [dict(item) for item in plan.inputs],
        }
        made = []
        if real.reduced and round(1.0 / plan.axis_y.scale) == spec.ratio:
            made += [(pair, said) for pair in pairs_of(views, spec, share=real.share)]
        for view in camera_views(views, spec.ratio, real.cameras, seed=place):
            seen = {**said, "observation": asdict(view.observation)}
            made += [(pair, seen) for pair in pairs_of([view], spec, share=real.share)]
        for pair, facts in made:
            learnt, held = split_rows(pair, real.hold_out, spec.trunk + spec.blocks)
            yield learnt, False, _told_of(learnt, facts)
            if real.hold_out and bool(held.usable.any()) and pair.about.origin == "reduced":
                yield renamed(held, name=f"{pair.about.name}, held out"), True, _told_of(held, facts)
    drawn = config.data.simulated
    for number in range(drawn.scenes + drawn.held):
        held_out = number >= drawn.scenes
        seed = drawn.seed + (HELD_SEED if held_out else 0)
        view = simulated_view(number, spec.ratio, drawn.size_cpx, seed=seed, own_spectra=not held_out)
        for pair in pairs_of([view], spec, share=drawn.share):
            facts = {"credit": "drawn by geofuse", "license": "Apache-2.0"}
            yield pair, held_out, _told_of(pair, facts)


def _told_of(pair: Pair, facts: Mapping[str, Any]) -> dict[str, Any]:
    about = pair.about
    return {
        "name": about.name,
        "origin": about.origin,
        "bands": list(about.bands),
        "size_cpx": list(pair.size_cpx),
        "mtf_gain": [round(gain, 4) for gain in about.gains],
        "shifts_px": [[round(value, 4) for value in shift] for shift in about.shifts_px],
        **facts,
    }


def _opened(real: RealConfig) -> tuple[Scene, Plan]:
    own = real.scene
    if own.pan and own.ms:
        scene = open_pair(own.pan, list(own.ms))
    elif own.path:
        scene = open_scene(own.path)
    else:
        raise MethodError("data.scenes: a scene without files", wanted="path, or pan and ms")
    request = Request(
        method="ridge",
        bands=own.bands,
        bbox=own.bbox,
        aoi=own.aoi,
        window=own.window,
        nodata=own.nodata,
    )
    return scene, calibrated_plan(scene, request)


def _pan_gan_trainer(config: TrainConfig) -> tuple[PanGanTrainer, list[dict[str, Any]]]:
    net = config.network
    bands = net.bands or ()
    windows: list[Full] = []
    held: list[Full] = []
    sources = []
    for real in config.data.scenes:
        scene, plan = _opened(replace(real, scene=replace(real.scene, bands=bands)))
        ratio = round(1.0 / plan.axis_y.scale)
        if ratio != net.ratio:
            raise WeightsError(f"a scene of ratio {ratio}", wanted=f"ratio {net.ratio}", path=scene.scene_id)
        windows += full_views(plan)
        held += [
            full_of_view(view, ratio) for view in reduced_views(plan, f"{scene.scene_id}, one scale down")
        ]
        sources.append(
            {
                "name": scene.scene_id,
                "origin": "full resolution, no reference",
                "sensor": scene.sensor,
                "credit": real.credit,
                "license": real.license,
                "observation": plan.observation,
                "inputs": [dict(item) for item in plan.inputs],
            }
        )
    training.seed(config.schedule.seed)
    made = PanGanGenerator(PanGanSpec(len(bands), net.first, net.second, residual=net.residual))
    trainer = PanGanTrainer(
        made,
        windows,
        held=held,
        schedule=_schedule(config),
        terms=TERMS[config.losses.form],
        meal=Meal(config.schedule.crop_cpx, config.schedule.batch),
    )
    return trainer, sources


def _card(
    config: TrainConfig,
    trainer: MsTrainer | PanGanTrainer,
    progress: Progress,
    sources: Sequence[Mapping[str, Any]],
    *,
    key: str,
    world: int,
    seconds: float,
) -> Card:
    """Say of the weights what they are for and where they come from."""
    net = trainer.made.net
    assert isinstance(net, MsGenerator | PanGanGenerator)
    told = {
        "key": key,
        "version": __version__,
        "torch": training.torch_version(),
        "data": _summary(sources),
        "configuration": _placeless(training_to_json(config)),
        "terms": asdict(TERMS[config.losses.form]) if config.method == "pan-gan" else None,
        "steps": progress.step,
        "best_step": progress.best_step,
        "processes": world,
        "seconds": round(seconds, 1),
        "curve": progress.curve,
        "scores": {name: round(value, 5) for name, value in trainer.scores().items()},
        "scores_are": (
            "root mean square error over that of upsampling, before back-projection"
            if config.method == "pan-gan"
            else "ERGAS over that of ridge + back-projection, on windows never learnt from"
        ),
    }
    return Card(
        config.name,
        config.method,
        asdict(net.spec),
        ratio=config.network.ratio if config.method == "pan-gan-ms" else 0,
        halo=net.halo,
        bands=tuple(config.network.bands or ()),
        sensors=tuple(sorted({source["sensor"] for source in sources if source.get("sensor")})),
        training=json.loads(json.dumps(told)),
    )


def _summary(sources: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Tell each scene; simulated ones, of which there are many, in one row with a hash over all of them."""
    rows: list[dict[str, Any]] = []
    drawn: dict[bool, list[Mapping[str, Any]]] = {}
    for source in sources:
        if source["origin"] == "simulated":
            drawn.setdefault(bool(source["held"]), []).append(source)
        else:
            inputs = [{"name": Path(item["path"]).name} for item in source.get("inputs", [])]
            rows.append({**source, "inputs": inputs})
    for held, found in drawn.items():
        rows.append(
            {
                "name": f"{len(found)} drawn landscapes",
                "origin": "simulated",
                "held": held,
                "credit": found[0]["credit"],
                "license": found[0]["license"],
                "sha256": _digest([source["sha256"] for source in found]),
            }
        )
    return rows


def _placeless(values: dict[str, Any]) -> dict[str, Any]:
    """Drop what names places of this machine."""
    scenes = [
        {**real, "scene": {**real["scene"], "path": Path(real["scene"]["path"]).name, "pan": "", "ms": []}}
        for real in values["data"]["scenes"]
    ]
    return {**values, "folder": "", "data": {**values["data"], "scenes": scenes}}


def _saved(
    out: Path, trainer: MsTrainer | PanGanTrainer, kept: Mapping[str, Any], card: Card
) -> dict[str, Any]:
    net = trainer.made.net
    assert isinstance(net, MsGenerator | PanGanGenerator)
    net.load_state_dict(training.weights_of(kept, "generator"))
    sha256 = save_weights(out, net, card)
    return {**asdict(card), "path": str(out), "file_sha256": sha256}


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()
