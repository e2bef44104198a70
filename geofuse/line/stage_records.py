"""What a stage found, kept in a folder of the scene's own: done is done, whoever asks again."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

from geofuse.config import RunConfig, output_folder, state_folder
from geofuse.errors import ExistsError, ProductError, UsageError
from geofuse.files import read_json, write_faults, write_json
from geofuse.line.answers import DecisionDocument, PlanRecord, StageAnswer, StageRecord
from geofuse.locks import locked
from geofuse.run.plans.plan import Plan, plan_from_json
from geofuse.run.records.documents import ProductRecord
from geofuse.run.records.product_files import read_record
from geofuse.scenes.scene import Scene
from geofuse.version import __version__

JOBS, NAMES = "jobs", "names"
R = TypeVar("R", bound=StageRecord)
A = TypeVar("A", bound=StageAnswer)
FORMAT = 2
"""Of a stage's record: raised where what later stages read of it changes its shape; that of 0.3 had no number."""
FORMER = "former.json"
"""The product that a scene's stages had made before they were forgotten."""
_KEPT = ("decision.json", "configuration.json", "cost.json", FORMER)


@dataclass(frozen=True, slots=True)
class SceneJob:
    """A scene under a configuration, and the folder that remembers it."""

    config: RunConfig
    """What is wanted."""
    key: str
    """Of the inputs and the configuration."""
    folder: Path
    """Records of its stages."""


def job_folder(config: RunConfig, key: str) -> Path:
    """Return where the records of a scene's stages are."""
    return state_folder(config) / JOBS / key


def record_path(job: SceneJob, stage: str) -> Path:
    """Return a stage's record."""
    return job.folder / f"{stage}.json"


def known(job: SceneJob, stage: str, kind: type[R]) -> R | None:
    """Return what this release recorded of a stage, a record of `kind`; None where it did not: it is done again."""
    found = read_json(record_path(job, stage))
    if found is None or (found.get("geofuse"), found.get("format")) != (__version__, FORMAT):
        return None
    return cast(R, found)


def needed(job: SceneJob, stage: str, kind: type[R]) -> R:
    """Return what was recorded of a stage; UsageError where it was not done."""
    found = known(job, stage, kind)
    if found is None:
        raise UsageError(f"{stage} was not done", wanted="the stages in their order", path=str(job.folder))
    return found


def keep(job: SceneJob, stage: str, answer: A, **more: object) -> A:
    """Record a stage: its answer and what later stages need; returns the answer."""
    with write_faults(job.folder):
        job.folder.mkdir(parents=True, exist_ok=True)
    write_json(record_path(job, stage), {"geofuse": __version__, "format": FORMAT, "answer": answer, **more})
    return answer


def planned(job: SceneJob) -> tuple[Plan, Path]:
    """Return a scene's plan and its product's place; UsageError before it is planned."""
    found = needed(job, "plan", PlanRecord)
    return plan_from_json(found["plan"]), Path(found["answer"]["out"])


def decision_of(job: SceneJob) -> DecisionDocument | None:
    """Return what a person said about a product that waits; None where nobody did."""
    found = read_json(job.folder / "decision.json")
    return cast(DecisionDocument, found) if found and {"by", "accepted", "at"} <= found.keys() else None


def forget(job: SceneJob) -> None:
    """Forget all stages of a scene; decisions stay, and so does which product was its own."""
    made = read_json(record_path(job, "mosaic"))
    if made is not None and {"out", "sha256"} <= made["answer"].keys():
        write_json(job.folder / FORMER, {name: made["answer"][name] for name in ("out", "sha256")})
    for path in job.folder.glob("*.json"):
        if path.name not in _KEPT:
            path.unlink(missing_ok=True)


def may_replace(job: SceneJob, out: Path) -> bool:
    """Say whether a scene may put another product in the place of this one: by its configuration, or its own former.

    Its own is what its stages had made there before they were forgotten, byte for byte.
    """
    if job.config.output.overwrite:
        return True
    former, record = read_json(job.folder / FORMER), read_record(out.with_suffix(".json"))
    return (
        former is not None
        and record is not None
        and (former.get("out"), former.get("sha256")) == (str(out), record["assets"]["data"]["sha256"])
    )


def product_path(job: SceneJob, scene: Scene, method: str) -> Path:
    """Return where a product goes by the configuration's template."""
    values = {
        "scene": scene.scene_id,
        "sensor": scene.sensor,
        "date": (scene.acquired or "undated")[:10].replace("-", ""),
        "method": method,
        "config": job.config.name,
        "key": job.key[:8],
    }
    plain = {name: re.sub(r"[^\w.+-]+", "-", value).strip("-.") or name for name, value in values.items()}
    return output_folder(job.config) / f"{job.config.output.name.format(**plain)[:200]}.tif"


def claim_name(job: SceneJob, out: Path) -> None:
    """Make a product's name this scene's own; raises ExistsError where another scene has it.

    A claim ends with its product and its parts: who removes them frees the name.
    """
    with write_faults(out.parent):
        out.parent.mkdir(parents=True, exist_ok=True)
        (state_folder(job.config) / NAMES).mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(str(out).encode()).hexdigest()[:16]
    place = state_folder(job.config) / NAMES / f"{digest}.json"
    with locked(place):
        other = read_json(place) or {}
        alive = job_folder(job.config, str(other.get("key"))).is_dir()
        if other.get("key") not in (None, job.key) and alive and not job.config.output.overwrite:
            raise ExistsError(
                f"the name of another scene's product, {other.get('scene')}",
                wanted="a template that tells them apart",
                do='put {key} into output.name, or say "overwrite: true"',
                path=str(out),
            )
        write_json(place, {"key": job.key, "scene": str(out.name), "out": str(out)})


def product_record(out: Path) -> ProductRecord:
    """Return a product's provenance; raises ProductError where there is none."""
    record = read_record(out.with_suffix(".json"))
    if record is None:
        raise ProductError("no record beside the product", do="run it again", path=str(out))
    return record
