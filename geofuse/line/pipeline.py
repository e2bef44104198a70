"""The stages of a scene in a row: inspect, calibrate, plan, fuse, mosaic, assess, accept, publish.

Each takes a configuration and a reference to a scene, returns a small JSON-able answer, and keeps it in the
scene's folder: asked again it answers at once, killed it goes on where it was. Whoever schedules calls
`run_stage` for each, or `run_scene` for all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from geofuse.archive.publishing import Wishes, publish
from geofuse.config import RunConfig, config_digest
from geofuse.errors import ChangedError, GeofuseError, UsageError
from geofuse.files import write_bytes, write_faults, write_json
from geofuse.line.answers import (
    AcceptAnswer,
    AcceptRecord,
    AssessAnswer,
    AssessRecord,
    CalibrateAnswer,
    CalibrateRecord,
    EventData,
    FuseAnswer,
    InspectAnswer,
    MosaicAnswer,
    PlanAnswer,
    PublishAnswer,
    StageAnswer,
)
from geofuse.line.events import Tell, fault_to_json, now_event, quiet, told_progress
from geofuse.line.scene_ledger import digested
from geofuse.line.scene_ref import SceneRef, opened, scene_key, source_of, with_digest
from geofuse.line.skipping import barred, done_before
from geofuse.line.stage_records import (
    SceneJob,
    claim_name,
    decision_of,
    forget,
    job_folder,
    keep,
    may_replace,
    needed,
    planned,
    product_path,
    product_record,
)
from geofuse.quality.accept import REVIEW, judged, measured, profile_for
from geofuse.rasters.ledger import json_path, png_path
from geofuse.run.calibrating import calibrated_plan, plan_of_findings
from geofuse.run.executors import Executor, executor
from geofuse.run.findings import from_report
from geofuse.run.fuse import fuse_parts, fuse_to_cog
from geofuse.run.plans.inspecting import inspect_scene, plan_summary
from geofuse.run.plans.plan import fingerprint, plan_tiles, plan_to_json
from geofuse.run.plans.planning import check_out, check_room
from geofuse.run.plans.request import Request, changed, request_of
from geofuse.run.progress import Progress
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


def run_stage(name: str, config: RunConfig, ref: SceneRef, *, tell: Tell = quiet) -> StageAnswer:
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
        before = done_before(name, job)
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
    said = cast(EventData, answer)
    if name == "accept":
        tell(now_event("verdict", ref.name, key, name, **said))
    if name == "publish" and said.get("item"):
        tell(now_event("published", ref.name, key, name, **said))
    return answer


def _stage_inspect(work: Work) -> InspectAnswer:
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
    answer: InspectAnswer = {
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


def _stage_calibrate(work: Work) -> CalibrateAnswer:
    scene, request, notes = opened(work.ref), request_of(work.config), list[str]()
    if work.config.fuse.adapt:
        request, notes = _adapted(work, scene, request)
    plan = calibrated_plan(scene, request, progress=work.progress)
    found: Mapping[str, Any] = plan.calibration or {}
    answer: CalibrateAnswer = {
        "method": plan.method,
        "measured": plan.calibration is not None,
        "confidence": found.get("confidence"),
        "shift_px": found.get("shift_px"),
        "mtf_gain": found.get("mtf_gain"),
        "r2": found.get("r2"),
        "pan_weights": found.get("pan_weights"),
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


def _stage_plan(work: Work) -> PlanAnswer:
    found = needed(work.job, "calibrate", CalibrateRecord)
    findings = from_report(found["calibration"]) if found["calibration"] else None
    request = changed(request_of(work.config), found["asked"])
    plan = plan_of_findings(opened(work.ref), request, findings)
    plan = replace(plan, notes=(*plan.notes, *found["notes"]))
    out = product_path(work.job, plan.scene, plan.method)
    claim_name(work.job, out)
    check_out(plan, out)
    if not out.exists():
        check_room(plan, out)
    summary = plan_summary(plan, out)
    answer: PlanAnswer = {
        "out": summary["out"],
        "method": summary["method"],
        "bands": summary["bands"],
        "tiles": summary["tiles"],
        "tile_px": summary["tile_px"],
        "workers": summary["workers"],
        "bytes_in_memory": summary["bytes_in_memory"],
        "output_bytes_estimate": summary["output_bytes_estimate"],
        "notes": summary["notes"],
        "size": [plan.grid.height, plan.grid.width],
        "fingerprint": fingerprint(plan, __version__),
    }
    return keep(work.job, "plan", answer, plan=plan_to_json(plan))


def _runner(config: RunConfig, workers: int) -> AbstractContextManager[Executor]:
    tls = config.work.tls
    return executor(config.work.scheduler, workers, tls=(tls.ca, tls.cert, tls.key) if tls else None)


def _stage_fuse(work: Work) -> FuseAnswer:
    plan, out = planned(work.job)
    resumed = [0]

    def show(what: str, done: int, total: int, before: int) -> None:
        resumed[0] = max(resumed[0], before)
        work.progress(what, done, total, before)

    with _runner(work.config, plan.workers) as runner:
        fuse_parts(plan, out, runner=runner, overwrite=may_replace(work.job, out), progress=show)
    answer: FuseAnswer = {"tiles": len(plan_tiles(plan)), "resumed_px": resumed[0]}
    return keep(work.job, "fuse", answer)


def _stage_mosaic(work: Work) -> MosaicAnswer:
    plan, out = planned(work.job)
    with _runner(work.config, plan.workers) as runner:
        record = fuse_to_cog(
            plan, out, runner=runner, overwrite=may_replace(work.job, out), progress=work.progress
        )
    data = record["assets"]["data"]
    answer: MosaicAnswer = {
        "out": str(out),
        "bytes": data["bytes"],
        "sha256": data["sha256"],
        "quicklook": str(png_path(out)),
        "counts": record["counts"],
        "warnings": record["warnings"],
    }
    return keep(work.job, "mosaic", answer)


def _stage_assess(work: Work) -> AssessAnswer:
    plan, out = planned(work.job)
    if not work.config.assess.enabled:
        return keep(work.job, "assess", AssessAnswer(values={}, files=[]), values={})
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
    answer: AssessAnswer = {
        "values": values,
        "units": found.values["units"],
        "files": [str(path) for path in files],
    }
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


def _stage_accept(work: Work) -> AcceptAnswer:
    _, out = planned(work.job)
    record = product_record(out)
    profile = profile_for(work.config.accept.profile, record["scene"]["sensor"])
    found = judged(profile, measured(record, needed(work.job, "assess", AssessRecord)["values"], out))
    answer: AcceptAnswer = {
        **found,
        "decision": decision_of(work.job) if found["verdict"] == REVIEW else None,
        "configuration": {"name": work.config.name, "digest": config_digest(work.config)},
    }
    write_json(json_path(out), {**record, "acceptance": answer})
    return keep(work.job, "accept", answer)


def _stage_publish(work: Work) -> PublishAnswer:
    _, out = planned(work.job)
    verdict = needed(work.job, "accept", AcceptRecord)["answer"]
    action = barred(verdict)
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
    return keep(work.job, "publish", cast(PublishAnswer, {**done, "out": str(out)}))


_STAGES: dict[str, Callable[[Work], StageAnswer]] = {
    "inspect": _stage_inspect,
    "calibrate": _stage_calibrate,
    "plan": _stage_plan,
    "fuse": _stage_fuse,
    "mosaic": _stage_mosaic,
    "assess": _stage_assess,
    "accept": _stage_accept,
    "publish": _stage_publish,
}
