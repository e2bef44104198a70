"""The stages of a scene in a row: inspect, calibrate, plan, fuse, mosaic, assess, accept, publish.

Each takes a configuration and a reference to a scene, returns a small JSON-able answer, and keeps it in the
scene's folder: asked again it answers at once, killed it goes on where it was. Whoever schedules calls
`run_stage` for each, or `run_scene` for all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from geofuse.archive.publishing import Wishes, publish
from geofuse.config import RunConfig, config_digest
from geofuse.errors import ChangedError, GeofuseError, UsageError
from geofuse.files import read_json, sha256_of, write_bytes, write_faults, write_json
from geofuse.line.events import Tell, now_event, quiet, told_progress
from geofuse.line.pipeline_faults import fault_to_json
from geofuse.line.scene_ledger import digested
from geofuse.line.scene_ref import SceneRef, opened, scene_key, source_of, with_digest
from geofuse.line.stage_records import (
    SceneJob,
    claim_name,
    forget,
    job_folder,
    keep,
    known,
    may_replace,
    product_path,
    product_record,
)
from geofuse.quality.accept import PASS, REJECT, REVIEW, judged, measured, profile_for
from geofuse.rasters.ledger import json_path, png_path
from geofuse.run.calibrating import calibrated_plan, plan_of_findings
from geofuse.run.executors import Executor, executor
from geofuse.run.findings import findings_of
from geofuse.run.fuse import fuse_parts, fuse_to_cog
from geofuse.run.inspecting import inspect_scene, plan_summary
from geofuse.run.plan import Plan, fingerprint, plan_from_json, plan_tiles, plan_to_json
from geofuse.run.planning import check_out, check_room
from geofuse.run.product_files import asset_paths
from geofuse.run.progress import Progress
from geofuse.run.request import Request, changed, request_of
from geofuse.scenes.scene import Scene
from geofuse.version import __version__

STAGES = ("inspect", "calibrate", "plan", "fuse", "mosaic", "assess", "accept", "publish")
"""In their order."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a stage is given."""

    job: SceneJob
    """The scene's records."""
    ref: SceneRef
    """The scene."""
    progress: Progress
    """Where it tells how far it is."""

    @property
    def config(self) -> RunConfig:
        """What is wanted."""
        return self.job.config


def run_stage(name: str, config: RunConfig, ref: SceneRef, *, tell: Tell = quiet) -> dict[str, Any]:
    """Do one stage, or take over what it found before; returns its answer.

    Raises what the stage raises, after telling it; earlier stages must have been done.
    """
    if name not in STAGES:
        raise UsageError(f"stage {name!r}", wanted=", ".join(STAGES))
    ref = ref if ref.digest else with_digest(ref)
    key = scene_key(config, ref)
    job = SceneJob(config, key, job_folder(config, key))
    begun = time.monotonic()
    tell(now_event("stage_started", ref.name, key, name))
    try:
        before = _done_before(name, job)
        work = Work(job, ref, told_progress(tell, ref.name, key, name))
        answer = before if before is not None else _STAGES[name](work)
    except GeofuseError as fault:
        if isinstance(fault, ChangedError):
            forget(job)
        tell(now_event("stage_failed", ref.name, key, name, **fault_to_json(fault)))
        raise
    seconds = round(time.monotonic() - begun, 3)
    skipped = before is not None
    tell(now_event("stage_ended", ref.name, key, name, seconds=seconds, skipped=skipped, result=answer))
    if name == "accept":
        tell(now_event("verdict", ref.name, key, name, **answer))
    if name == "publish" and answer.get("item"):
        tell(now_event("published", ref.name, key, name, **answer))
    return answer


def _done_before(name: str, job: SceneJob) -> dict[str, Any] | None:
    """Return the answer of a stage that is done and whose work is still there."""
    found = known(job, name)
    if found is None:
        return None
    test = _STILL.get(name)
    if test is not None and not test(job, found):
        return None
    answer: dict[str, Any] = found["answer"]
    return answer


def _stage_inspect(work: Work) -> dict[str, Any]:
    if digested(work.config, work.ref).digest != work.ref.digest:
        raise ChangedError(
            "its files are not those that were found",
            do="let it rest, and look again",
            path=source_of(work.ref),
        )
    scene = work.config.scene
    found = inspect_scene(
        opened(work.ref),
        bands=scene.bands,
        bbox=scene.bbox,
        aoi=scene.aoi,
        window=scene.window,
        nodata=scene.nodata,
    )
    grid = found["fine"]["grid"]
    answer = {
        "scene": found["scene"],
        "sensor": found["sensor"],
        "acquired": found["acquired"],
        "bands": found["default_bands"],
        "size": [grid["height"], grid["width"]],
        "ratio": found["relation"]["ratio"],
        "cloud_cover_percent": found["metadata"].get("cloud_cover_percent"),
        "warnings": found["warnings"],
    }
    return keep(work.job, "inspect", answer)


def _stage_calibrate(work: Work) -> dict[str, Any]:
    scene, request, notes = opened(work.ref), request_of(work.config), list[str]()
    if work.config.fuse.adapt:
        request, notes = _adapted(work, scene, request)
    plan = calibrated_plan(scene, request, progress=work.progress)
    found = plan.calibration or {}
    answer = {
        "method": plan.method,
        "measured": plan.calibration is not None,
        **{name: found.get(name) for name in ("confidence", "shift_px", "mtf_gain", "r2", "pan_weights")},
        "back_projections": plan.rounds,
        "hold_out": {
            name: trial["ergas"] for name, trial in (found.get("hold_out") or {}).items() if trial["ergas"]
        },
        "warnings": [*found.get("warnings", []), *notes],
    }
    asked = {"method": request.fuse.method, "network": request.fuse.network, "adapt": request.fuse.adapt}
    return keep(work.job, "calibrate", answer, calibration=plan.calibration, asked=asked, notes=notes)


def _adapted(work: Work, scene: Scene, request: Request) -> tuple[Request, list[str]]:
    """Let a network's weights learn from the scene; they are kept among the scene's records."""
    from geofuse.learn.adapt import adapted_request, summary

    with write_faults(work.job.folder):
        work.job.folder.mkdir(parents=True, exist_ok=True)
    asked, made = adapted_request(scene, request, work.job.folder / "adapted.tif")
    return asked, [f"adapted to the scene: {summary(made)}"]


def _stage_plan(work: Work) -> dict[str, Any]:
    found = _needed(work.job, "calibrate")
    findings = findings_of({"calibration": found["calibration"]}) if found["calibration"] else None
    request = changed(request_of(work.config), found["asked"])
    plan = plan_of_findings(opened(work.ref), request, findings)
    plan = replace(plan, notes=(*plan.notes, *found["notes"]))
    out = product_path(work.job, plan.scene, plan.method)
    claim_name(work.job, out)
    check_out(plan, out)
    if not out.exists():
        check_room(plan, out)
    summary = plan_summary(plan, out)
    answer = {
        **{
            name: summary[name]
            for name in (
                *("out", "method", "bands", "tiles", "tile_px", "workers"),
                *("bytes_in_memory", "output_bytes_estimate", "notes"),
            )
        },
        "size": [plan.grid.height, plan.grid.width],
        "fingerprint": fingerprint(plan, __version__),
    }
    return keep(work.job, "plan", answer, plan=plan_to_json(plan))


def planned(job: SceneJob) -> tuple[Plan, Path]:
    """Return a scene's plan and its product's place; UsageError before it is planned."""
    found = _needed(job, "plan")
    return plan_from_json(found["plan"]), Path(found["answer"]["out"])


def _needed(job: SceneJob, stage: str) -> dict[str, Any]:
    found = known(job, stage)
    if found is None:
        raise UsageError(f"{stage} was not done", wanted="the stages in their order", path=str(job.folder))
    return found


def _runner(config: RunConfig, workers: int) -> AbstractContextManager[Executor]:
    tls = config.work.tls
    return executor(config.work.scheduler, workers, tls=(tls.ca, tls.cert, tls.key) if tls else None)


def _stage_fuse(work: Work) -> dict[str, Any]:
    plan, out = planned(work.job)
    resumed = [0]

    def show(what: str, done: int, total: int, before: int) -> None:
        resumed[0] = max(resumed[0], before)
        work.progress(what, done, total, before)

    with _runner(work.config, plan.workers) as runner:
        fuse_parts(plan, out, runner=runner, overwrite=may_replace(work.job, out), progress=show)
    answer = {"tiles": len(plan_tiles(plan)), "resumed_px": resumed[0]}
    return keep(work.job, "fuse", answer)


def _stage_mosaic(work: Work) -> dict[str, Any]:
    plan, out = planned(work.job)
    with _runner(work.config, plan.workers) as runner:
        record = fuse_to_cog(
            plan, out, runner=runner, overwrite=may_replace(work.job, out), progress=work.progress
        )
    data = record["assets"]["data"]
    answer = {
        "out": str(out),
        "bytes": data["bytes"],
        "sha256": data["sha256"],
        "quicklook": str(png_path(out)),
        "counts": record["counts"],
        "warnings": record["warnings"],
    }
    return keep(work.job, "mosaic", answer)


def _stage_assess(work: Work) -> dict[str, Any]:
    plan, out = planned(work.job)
    if not work.config.assess.enabled:
        return keep(work.job, "assess", {"values": {}, "files": []}, values={})
    from geofuse.pages.assessment_files import write_page
    from geofuse.pages.assessment_pictures import detail_png
    from geofuse.quality.assess import assess

    with _local(work.config, plan.workers) as runner:
        found = assess(
            out, opened(work.ref), nodata=work.config.scene.nodata, runner=runner, progress=work.progress
        )
    page, numbers, picture = report_files(out)
    files = [numbers, picture]
    write_json(numbers, found.values)
    write_bytes(picture, detail_png(found))
    if work.config.assess.html:
        write_page(found, page)
        files.append(page)
    known = {name: each["value"] for name, each in found.values["metrics"].items()}
    values = {
        **{name: value for name, value in known.items() if value is not None},
        "edge_gain": found.values["sharpness"]["edge_gain"],
        "seams": found.values["seam"]["found"],
        "indices": {name: index["bias"] for name, index in found.values["indices"].items()},
    }
    answer = {"values": values, "units": found.values["units"], "files": [str(path) for path in files]}
    return keep(work.job, "assess", answer, values=found.values)


def _local(config: RunConfig, workers: int) -> AbstractContextManager[Executor]:
    """Give this process's own threads, or serial work where that was asked for: products are not shipped."""
    return executor("serial" if config.work.scheduler == "serial" else "threads", workers)


def report_files(out: Path) -> tuple[Path, Path, Path]:
    """Return the page, the numbers and the picture that are written beside a product."""
    return (
        out.with_suffix(".html"),
        out.with_suffix(".report.json"),
        out.with_name(f"{out.stem}.before_after.png"),
    )


def _stage_accept(work: Work) -> dict[str, Any]:
    _, out = planned(work.job)
    record = product_record(out)
    profile = profile_for(work.config.accept.profile, record["scene"]["sensor"])
    found = judged(profile, measured(record, _needed(work.job, "assess")["values"], out))
    answer = {
        **found,
        "decision": decision_of(work.job) if found["verdict"] == REVIEW else None,
        "configuration": {"name": work.config.name, "digest": config_digest(work.config)},
    }
    write_json(json_path(out), {**record, "acceptance": answer})
    return keep(work.job, "accept", answer)


def decision_of(job: SceneJob) -> dict[str, Any] | None:
    """Return what a person said about a product that waits: by, accepted, at; None where nobody did."""
    found = read_json(job.folder / "decision.json")
    return found if found and {"by", "accepted", "at"} <= found.keys() else None


def _stage_publish(work: Work) -> dict[str, Any]:
    _, out = planned(work.job)
    verdict = _needed(work.job, "accept")["answer"]
    action = _barred(verdict)
    if action is None and not work.config.catalog.folder:
        action = "none"
    if action is not None:
        return {"action": action, "out": str(out)}  # not kept: a decision or a catalogue may come
    rights = work.config.catalog
    done = publish(
        out,
        Path(str(rights.folder)),
        Wishes(
            access=rights.access,
            license_id=rights.license,
            attribution=rights.attribution,
            acquired=rights.acquired or work.ref.origin.get("acquired"),
        ),
    )
    return keep(work.job, "publish", {**done, "out": str(out)})


def _barred(accepted: dict[str, Any]) -> str | None:
    """Return why a product is not published: it waits, or is rejected by its numbers or by a person."""
    if accepted["verdict"] == PASS:
        return None
    decision = accepted["decision"]
    if accepted["verdict"] == REJECT or (decision and not decision["accepted"]):
        return "rejected"
    return None if decision else "waiting"


_STAGES: dict[str, Callable[[Work], dict[str, Any]]] = {
    "inspect": _stage_inspect,
    "calibrate": _stage_calibrate,
    "plan": _stage_plan,
    "fuse": _stage_fuse,
    "mosaic": _stage_mosaic,
    "assess": _stage_assess,
    "accept": _stage_accept,
    "publish": _stage_publish,
}


def _whole(job: SceneJob, found: dict[str, Any]) -> bool:
    """Whether the product is there as it was made."""
    out = Path(found["answer"]["out"])
    record = read_json(json_path(out))
    if record is None or record.get("assets", {}).get("data", {}).get("sha256") != found["answer"]["sha256"]:
        return False
    return all(path.is_file() and _sum(path) == digest for path, digest in asset_paths(out, record))


def _sum(path: Path) -> str:
    facts = path.stat()
    return _sum_of(str(path), facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)


@lru_cache(maxsize=64)
def _sum_of(path: str, *stamp: int) -> str:
    return sha256_of(path)  # three stages ask for the same product, one after the other


def _parts_whole(job: SceneJob, found: dict[str, Any]) -> bool:
    """Whether the product is there; parts prove themselves, so without it they are looked at again."""
    mosaic = known(job, "mosaic")
    return mosaic is not None and _whole(job, mosaic)


def _reports_there(job: SceneJob, found: dict[str, Any]) -> bool:
    return _parts_whole(job, found) and all(Path(path).is_file() for path in found["answer"]["files"])


def _judged_still(job: SceneJob, found: dict[str, Any]) -> bool:
    """Whether the verdict is the one in the product's record, by today's profile, and nobody decided since."""
    answer = found["answer"]
    record = read_json(json_path(planned(job)[1])) or {}
    if record.get("acceptance") != answer:
        return False
    profile = profile_for(job.config.accept.profile, record["scene"]["sensor"])
    if (answer["profile"], answer["profile_version"]) != (profile.profile, profile.version):
        return False
    return bool(answer["verdict"] != REVIEW or answer["decision"] == decision_of(job))


def _published_still(job: SceneJob, found: dict[str, Any]) -> bool:
    """Whether the catalogue has the item with this product and this verdict."""
    from geofuse.archive.catalog import read_item

    plan, accepted = known(job, "plan"), known(job, "accept")
    if not job.config.catalog.folder or plan is None or accepted is None:
        return False
    answer = found["answer"]
    item = read_item(Path(job.config.catalog.folder), answer["collection"], answer["item"])
    said = item["properties"] if item else {}
    verdict = accepted["answer"]
    profile = f"{verdict['profile']} {verdict['profile_version']}"
    wanted = plan["answer"]["fingerprint"], verdict["verdict"], profile
    names = ("geofuse:fingerprint", "geofuse:verdict", "geofuse:accept_profile")
    return bool(_barred(verdict) is None and tuple(said.get(name) for name in names) == wanted)


_STILL: dict[str, Callable[[SceneJob, dict[str, Any]], bool]] = {
    "fuse": _parts_whole,
    "mosaic": _whole,
    "assess": _reports_there,
    "accept": _judged_still,
    "publish": _published_still,
}
"""What must still hold for a stage that was done before to be skipped."""
