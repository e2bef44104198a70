"""What must still hold for a stage that was done before to be skipped, and why a product is not published."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from geofuse.files import read_json, sha256_of
from geofuse.line.answers import (
    AcceptAnswer,
    AcceptRecord,
    AnyRecord,
    AssessRecord,
    MosaicRecord,
    PlanRecord,
    PublishRecord,
    StageAnswer,
    StageRecord,
)
from geofuse.line.stage_records import SceneJob, decision_of, known, planned
from geofuse.quality.accept import PASS, REJECT, REVIEW, profile_for
from geofuse.rasters.ledger import json_path
from geofuse.run.records.product_files import asset_paths, read_record


def done_before(name: str, job: SceneJob) -> StageAnswer | None:
    """Return the answer of a stage that is done and whose work is still there."""
    found = known(job, name, AnyRecord)
    if found is None:
        return None
    test = _STILL.get(name)
    return found["answer"] if test is None or test(job, found) else None


def barred(accepted: AcceptAnswer) -> str | None:
    """Return why a product is not published: it waits, or is rejected by its numbers or by a person."""
    if accepted["verdict"] == PASS:
        return None
    decision = accepted["decision"]
    if accepted["verdict"] == REJECT or (decision and not decision["accepted"]):
        return "rejected"
    return None if decision else "waiting"


def _whole(job: SceneJob, found: MosaicRecord) -> bool:
    """Whether the product is there as it was made."""
    out = Path(found["answer"]["out"])
    record = read_record(json_path(out))
    if record is None or record["assets"]["data"]["sha256"] != found["answer"]["sha256"]:
        return False
    return all(path.is_file() and _sum(path) == digest for path, digest in asset_paths(out, record))


def _sum(path: Path) -> str:
    facts = path.stat()
    return _sum_of(str(path), facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)


@lru_cache(maxsize=64)
def _sum_of(path: str, *stamp: int) -> str:
    return sha256_of(path)  # three stages ask for the same product, one after the other


def _parts_whole(job: SceneJob, found: StageRecord) -> bool:
    """Whether the product is there; parts prove themselves, so without it they are looked at again."""
    mosaic = known(job, "mosaic", MosaicRecord)
    return mosaic is not None and _whole(job, mosaic)


def _reports_there(job: SceneJob, found: AssessRecord) -> bool:
    return _parts_whole(job, found) and all(Path(path).is_file() for path in found["answer"]["files"])


def _judged_still(job: SceneJob, found: AcceptRecord) -> bool:
    """Whether the verdict is the one in the product's record, by today's profile, and nobody decided since."""
    answer = found["answer"]
    record = read_json(json_path(planned(job)[1])) or {}
    if record.get("acceptance") != answer:
        return False
    profile = profile_for(job.config.accept.profile, record["scene"]["sensor"])
    if (answer["profile"], answer["profile_version"]) != (profile.profile, profile.version):
        return False
    return bool(answer["verdict"] != REVIEW or answer["decision"] == decision_of(job))


def _published_still(job: SceneJob, found: PublishRecord) -> bool:
    """Whether the catalogue has the item with this product and this verdict."""
    from geofuse.archive.catalog import read_item

    plan, accepted = known(job, "plan", PlanRecord), known(job, "accept", AcceptRecord)
    if not job.config.catalog.folder or plan is None or accepted is None:
        return False
    answer = found["answer"]
    item = read_item(Path(job.config.catalog.folder), answer["collection"], answer["item"])
    said = item["properties"] if item else {}
    verdict = accepted["answer"]
    profile = f"{verdict['profile']} {verdict['profile_version']}"
    wanted = plan["answer"]["fingerprint"], verdict["verdict"], profile
    names = ("geofuse:fingerprint", "geofuse:verdict", "geofuse:accept_profile")
    return bool(barred(verdict) is None and tuple(said.get(name) for name in names) == wanted)


_STILL: dict[str, Callable[[SceneJob, Any], bool]] = {
    "fuse": _parts_whole,
    "mosaic": _whole,
    "assess": _reports_there,
    "accept": _judged_still,
    "publish": _published_still,
}
"""What must still hold for a stage that was done before to be skipped."""
