"""What a network is given to learn from: pairs whose fusion is known, or scenes as they are."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypedDict, cast

from geofuse.config import RealConfig, TrainConfig, training_to_json
from geofuse.errors import ConfigError, MethodError, WeightsError
from geofuse.files import write_bytes
from geofuse.learn.pairs import pairs_of, split_rows
from geofuse.learn.views import camera_views, reduced_views, simulated_view
from geofuse.learn.windows import full_of_view, full_views
from geofuse.nets.arch.base import BlockSpec, Spec
from geofuse.nets.table import Network
from geofuse.nets.training import distributed
from geofuse.nets.training.data import TrainingPair, digest, load_pair, renamed, save_pair
from geofuse.nets.training.pan_gan import Full
from geofuse.run.calibrating import calibrated_plan
from geofuse.run.plans.request import make_request
from geofuse.scenes.opening import given_of, open_given
from geofuse.version import __version__

if TYPE_CHECKING:
    from geofuse.run.plans.plan import Plan
    from geofuse.scenes.scene import Scene

log = logging.getLogger(__name__)
HELD_SEED = 7_000_000
"""Simulated scenes that are held out are drawn from here on, others from their own seed."""


class Source(TypedDict, total=False):
    """What is said of a scene that was learnt from: JSON values in the card."""

    name: str
    origin: str
    held: bool
    sensor: str | None
    bands: list[str]
    size_cpx: list[int]
    mtf_gain: list[float]
    shifts_px: list[list[float]]
    credit: str
    license: str
    observation: Mapping[str, object]
    inputs: list[dict[str, object]]
    sha256: str


class Material(NamedTuple):
    """What a trainer is made with."""

    learnt: Sequence[TrainingPair] | Sequence[Full]
    """What is learnt from."""
    held: Sequence[TrainingPair] | Sequence[Full]
    """What is never learnt from."""
    sources: list[Source]
    """What is said of them."""


def material(network: Network, config: TrainConfig, spec: Spec, *, rank: int) -> Material:
    """Gather what a network learns from; others than the first process wait for what it makes.

    ConfigError where the configuration lacks what this network needs.
    """
    if not network.any_bands and not config.network.bands:
        raise ConfigError(
            "network.bands is missing",
            wanted=f"the bands, in their order: {network.name} is made for these only",
        )
    if network.learns_from == "pairs":
        return _pairs(config, cast(BlockSpec, spec), rank=rank)
    if not config.data.scenes:
        raise ConfigError("data.scenes is missing", wanted=f"a scene for {network.name}")
    return _windows(config, spec)


def _windows(config: TrainConfig, spec: Spec) -> Material:
    """Read the scenes at their own resolution, and one scale down for what is held out."""
    bands, wanted = config.network.bands, config.network.ratio
    windows: list[Full] = []
    held: list[Full] = []
    sources: list[Source] = []
    for real in config.data.scenes:
        scene, plan = _opened(replace(real, scene=replace(real.scene, bands=bands)))
        ratio = round(1.0 / plan.pair.axis_y.scale)
        if ratio != wanted:
            raise WeightsError(f"a scene of ratio {ratio}", wanted=f"ratio {wanted}", path=scene.scene_id)
        windows += full_views(plan, spec.halo)
        below = reduced_views(plan, f"{scene.scene_id}, one scale down")
        held += [full_of_view(view, ratio, spec.halo) for view in below]
        sources.append(
            Source(
                name=scene.scene_id,
                origin="full resolution, no reference",
                sensor=scene.sensor,
                credit=real.credit,
                license=real.license,
                observation=asdict(plan.pair.observation),
                inputs=[dict(item) for item in plan.inputs],
            )
        )
    return Material(windows, held, sources)


def _pairs(config: TrainConfig, spec: BlockSpec, *, rank: int) -> Material:
    """Make the pairs, or take those an earlier run of the same data made; others than the first process wait."""
    folder = Path(config.folder) / "pairs"
    key = json_digest([training_to_json(config)["data"], asdict(spec), __version__])
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
        write_bytes(index, json.dumps({"key": key, "pairs": rows}, indent=1).encode())
    distributed.wait()
    rows = json.loads(index.read_text())["pairs"]
    pairs = [load_pair(folder / row["file"]) for row in rows]
    learnt = [pair for pair, row in zip(pairs, rows, strict=True) if not row["held"]]
    kept = [pair for pair, row in zip(pairs, rows, strict=True) if row["held"]]
    sources = [{name: value for name, value in row.items() if name != "file"} for row in rows]
    return Material(learnt, kept, cast(list[Source], sources))


def _made_pairs(config: TrainConfig, spec: BlockSpec) -> Iterator[tuple[TrainingPair, bool, Source]]:
    """Yield (pair, held out, what is said of it)."""
    for place, real in enumerate(config.data.scenes):
        scene, plan = _opened(real)
        views = reduced_views(plan, scene.scene_id)
        said = Source(
            credit=real.credit,
            license=real.license,
            observation=asdict(plan.pair.observation),
            inputs=[dict(item) for item in plan.inputs],
        )
        made: list[tuple[TrainingPair, Source]] = []
        if real.reduced and round(1.0 / plan.pair.axis_y.scale) == spec.ratio:
            made += [(pair, said) for pair in pairs_of(views, spec, share=real.share)]
        for view in camera_views(views, spec.ratio, real.cameras, seed=place):
            seen: Source = {**said, "observation": asdict(view.observation)}
            made += [(pair, seen) for pair in pairs_of([view], spec, share=real.share)]
        for pair, facts in made:
            learnt, held = split_rows(pair, real.hold_out, spec.halo)
            yield learnt, False, _told_of(learnt, facts)
            if real.hold_out and bool(held.usable.any()) and pair.about.origin == "reduced":
                yield renamed(held, name=f"{pair.about.name}, held out"), True, _told_of(held, facts)
    drawn = config.data.simulated
    for number in range(drawn.scenes + drawn.held):
        held_out = number >= drawn.scenes
        seed = drawn.seed + (HELD_SEED if held_out else 0)
        view = simulated_view(number, spec.ratio, drawn.size_cpx, seed=seed, own_spectra=not held_out)
        for pair in pairs_of([view], spec, share=drawn.share):
            yield pair, held_out, _told_of(pair, Source(credit="drawn by geofuse", license="Apache-2.0"))


def _told_of(pair: TrainingPair, facts: Source) -> Source:
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
    if not (own.path or own.pan or own.ms):
        raise MethodError("data.scenes: a scene without files", wanted="path, or pan and ms")
    scene = open_given(given_of(own.path, own.pan, own.ms or ()))
    request = make_request(
        method="ridge",
        bands=own.bands,
        bbox=own.bbox,
        aoi=own.aoi,
        window=own.window,
        nodata=own.nodata,
    )
    return scene, calibrated_plan(scene, request)


def json_digest(values: object) -> str:
    """Return the SHA-256 of JSON values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()
