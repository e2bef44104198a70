"""All stages of a scene, one after the other, with retries where they help: the same as the flows do."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TypedDict, cast

from geofuse.config import RunConfig
from geofuse.errors import GeofuseError
from geofuse.files import read_json, write_json
from geofuse.line.answers import Answers, StageAnswer, answers_of
from geofuse.line.events import Tell, may_retry, now_event, quiet
from geofuse.line.pipeline import STAGES, run_stage
from geofuse.line.scene_ledger import (
    FAILED,
    PUBLISHED,
    REJECTED,
    REVIEWED,
    UNPUBLISHED,
    Claim,
    claimed,
    digested,
)
from geofuse.line.scene_ref import SceneRef, scene_key
from geofuse.line.stage_records import job_folder
from geofuse.nouns import from_json, to_json

LONGEST_WAIT_S = 600.0
COST = "cost.json"
"""What a scene took, in its folder: what others of the kind will take is told by it."""
log = logging.getLogger(__name__)
_BY_ACTION = {"waiting": REVIEWED, "rejected": REJECTED, "none": UNPUBLISHED}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a scene ended."""

    name: str
    """The scene's."""
    key: str
    """Of its inputs and its configuration."""
    state: str
    """published, review, rejected, unpublished or failed; running where another process is at it."""
    verdict: str = ""
    """PASS, REVIEW or REJECT."""
    reasons: tuple[str, ...] = ()
    """Why it is not PASS."""
    out: str = ""
    """The product."""
    item: str = ""
    """Its item in the catalogue."""
    code: str = ""
    """Code of the fault."""
    message: str = ""
    """The fault in one line."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time of each stage."""
    retry: bool = False
    """Whether another attempt may cure the fault."""


class OutcomeDocument(TypedDict):
    """An outcome as JSON values."""

    name: str
    key: str
    state: str
    verdict: str
    reasons: list[str]
    out: str
    item: str
    code: str
    message: str
    seconds: dict[str, float]
    retry: bool


def outcome_to_json(outcome: Outcome) -> OutcomeDocument:
    """Turn an outcome into JSON values."""
    return cast(OutcomeDocument, to_json(outcome))


def outcome_from_json(value: OutcomeDocument) -> Outcome:
    """Return the outcome that `outcome_to_json` turned into JSON values."""
    return from_json(Outcome, value)


def outcome_of(config: RunConfig, ref: SceneRef, answers: Answers) -> Outcome:
    """Return how a scene ended by the answers of its stages; flows call it with those of their tasks."""
    accepted, published = answers["accept"], answers["publish"]
    return Outcome(
        ref.name,
        scene_key(config, ref),
        _BY_ACTION.get(published["action"], PUBLISHED),
        accepted["verdict"],
        tuple(reason["text"] for reason in accepted["reasons"]),
        published.get("out", ""),
        published.get("item", ""),
    )


def note_outcome(claim: Claim, outcome: Outcome) -> None:
    """Write an outcome into the ledger."""
    claim.settle(
        state=outcome.state,
        verdict=outcome.verdict,
        code=outcome.code,
        reason="; ".join(outcome.reasons) or outcome.message,
        out=outcome.out,
        item=outcome.item,
    )


def run_scene(
    config: RunConfig,
    ref: SceneRef,
    *,
    tell: Tell = quiet,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Do all stages of a scene; what is done already is not done again.

    Raises the fault of a stage that no retry cures, after the ledger has it.
    """
    ref = ref if ref.digest else digested(config, ref)
    key = scene_key(config, ref)
    begun = time.monotonic()
    tell(now_event("scene_started", ref.name, key))
    seconds: dict[str, float] = {}
    state = FAILED
    try:
        with claimed(config, ref) as claim:
            done: dict[str, StageAnswer] = {}
            cpu = time.process_time()
            for stage in STAGES:
                at = time.monotonic()
                done[stage] = _persistently(config, ref, stage, tell, sleep)
                seconds[stage] = round(time.monotonic() - at, 3)
            answers = answers_of(done)
            found = outcome_of(config, ref, answers)
            note_outcome(claim, found)
            state = found.state
            _keep_cost(config, key, answers, time.process_time() - cpu)
    finally:
        told = round(time.monotonic() - begun, 3)
        tell(now_event("scene_ended", ref.name, key, state=state, seconds=told))
    return Outcome(**{**asdict(found), "seconds": seconds})


def _keep_cost(config: RunConfig, key: str, answers: Answers, cpu_s: float) -> None:
    """Note what a scene took, unless most of it had been done before."""
    place = job_folder(config, key) / COST
    before = read_json(place) or {}
    height, width = answers["plan"]["size"]
    told = {"method": config.fuse.method, "mpx": height * width / 1e6, "cpu_s": round(cpu_s, 2)}
    if cpu_s > before.get("cpu_s", 0.0):
        write_json(place, told)


def _persistently(
    config: RunConfig, ref: SceneRef, stage: str, tell: Tell, sleep: Callable[[float], None]
) -> StageAnswer:
    """Do a stage, again after a while where that may help."""
    for attempt in range(config.work.retries + 1):
        try:
            return run_stage(stage, config, ref, tell=tell)
        except GeofuseError as fault:
            if attempt == config.work.retries or not may_retry(fault):
                raise
            wait_s = min(config.work.backoff * 2.0**attempt, LONGEST_WAIT_S)
            log.warning("%s: %s: %s; again in %.0f s", ref.name, stage, fault, wait_s)
            sleep(wait_s)
    raise AssertionError("unreachable")


def failed(config: RunConfig, ref: SceneRef, fault: GeofuseError) -> Outcome:
    """Return the outcome of a scene that ended with a fault."""
    return Outcome(
        ref.name,
        scene_key(config, ref) if ref.digest else "",
        FAILED,
        code=fault.code,
        message=str(fault),
        retry=may_retry(fault),
    )
