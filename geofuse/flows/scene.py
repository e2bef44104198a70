"""`fuse-scene`: the stages of one scene as one Prefect task each; what they do is `geofuse.line.pipeline`'s."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from prefect import flow, suspend_flow_run, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import FlowRun, State
from prefect.concurrency.sync import concurrency
from prefect.exceptions import TerminationSignal
from prefect.input import RunInput
from prefect.runtime import deployment as deployed
from prefect.runtime import flow_run as running
from prefect.states import Completed, Failed

from geofuse.config import RunConfig, config_to_json
from geofuse.errors import GeofuseError
from geofuse.flows import run_pages
from geofuse.flows.eventlog import call_hooks, record
from geofuse.flows.process_labels import mark_run
from geofuse.flows.settings import ConfigValue, SceneValue, config_of, event_log, ref_of
from geofuse.flows.ui_progress import name_run, progress_bar, show_page, teller
from geofuse.line.answers import EventData, StageAnswer, answers_of
from geofuse.line.decisions import decide
from geofuse.line.events import Tell, may_retry, now_event, quiet
from geofuse.line.pipeline import STAGES, run_stage
from geofuse.line.scene_ledger import claimed
from geofuse.line.scene_ref import SceneRef, ref_to_json, scene_key
from geofuse.line.scene_run import (
    LONGEST_WAIT_S,
    Outcome,
    OutcomeDocument,
    failed,
    note_outcome,
    outcome_from_json,
    outcome_of,
    outcome_to_json,
)
from geofuse.nouns import Json

HOLDS_GPU = ("calibrate", "fuse")
"""First and last stage between which a scene holds the GPU's global limit: calibration tries networks too."""


class NotPassed(Exception):
    """What the state of a failed or rejected scene holds, for a batch that started it."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.message or "; ".join(outcome.reasons))
        self.outcome = outcome


class Decision(RunInput):
    """What a person answers to a product that waits for review."""

    accept: bool
    by: str


def retry_helps(_task: Any, _run: Any, state: State[Any]) -> bool:
    """Say whether another try can help: input/output and lost workers, not bad input."""
    return isinstance(state.data, GeofuseError) and may_retry(state.data)


@task(
    task_run_name="{stage}",
    retry_condition_fn=retry_helps,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def work_on(stage: str, config: ConfigValue, scene: Json) -> StageAnswer:
    """Do one stage of a scene; one that an earlier run finished is taken over, and says so."""
    checked = config_of(config)
    ref = ref_of(checked, scene)
    skipped: list[bool] = []
    key = run_pages.slug(f"{ref.name}-{stage}")
    with progress_bar(key, ref.name, always=stage == "fuse") as show:
        tell = teller(event_log(checked), show, lambda event: skipped.append(bool(event.data.get("skipped"))))
        answer = run_stage(stage, checked, ref, tell=tell)
    if skipped and skipped[-1]:
        done: Any = Completed(name="Skipped", message="An earlier run did this.", data=answer)
        return cast(StageAnswer, done)
    return answer


def _run_name() -> str:
    """Name a run before it has looked at anything: the scene, and the method that is asked for."""
    given = running.parameters
    try:
        config = config_of(given["config"])
        return f"{ref_of(config, given.get('scene'), digest=False).name} {config.fuse.method}"
    except GeofuseError:  # the run itself says what is wrong
        return f"{given.get('scene') or given['config']}"[:120]


def crashed(flow: Any, flow_run: FlowRun, state: State[Any]) -> None:
    """Tell log and hooks of a run that died or was stopped; the inbox takes its scene up again."""
    given = flow_run.parameters
    try:
        config = config_of(given["config"])
        scene = ref_of(config, given.get("scene"), digest=False).name
    except GeofuseError:
        return
    record(
        event_log(config),
        "scene_crashed",
        scene=scene,
        run=str(flow_run.id),
        state=state.name,
        message=state.message,
    )
    if state.is_crashed():
        facts = {"event": "crashed", "scene": scene, "run": str(flow_run.id), "message": state.message}
        call_hooks(config.hooks.on_failure, event_log(config), facts)


@flow(
    name="fuse-scene",
    flow_run_name=_run_name,
    on_crashed=[crashed],
    on_cancellation=[crashed],
    persist_result=False,
)
def fuse_scene(config: ConfigValue, scene: SceneValue = None) -> State[Any]:
    """Fuse one scene into the catalogue: inspect, calibrate, plan, fuse, mosaic, assess, accept, publish.

    `config` is the path of a configuration, or its values; `scene` a folder or archive, or a reference, where
    the configuration names none. A stage that an earlier run finished is skipped; an unfinished one goes on
    from its parts. The run's state says the verdict, or the code of the fault and what to do.
    """
    mark_run()
    try:
        checked = config_of(config)
        ref = ref_of(checked, scene)
    except GeofuseError as error:
        name = Path(str(scene or config)).name if not isinstance(scene, dict) else str(scene.get("name"))
        return state_of(Outcome(name, "", "failed", code=error.code, message=str(error)))
    tell = teller(event_log(checked))
    work = SceneWork(checked, ref, config, scene_key(checked, ref), tell)
    outcome = work_through(work)
    if outcome.state == "review" and deployed.id:
        found = suspend_flow_run(wait_for_input=Decision, key=f"review-{work.key}")
        said = decide(checked, work.key, by=found.by, accept=found.accept, tell=tell)
        outcome = replace(outcome, state=said["state"], item=said["item"])
        tell(now_event("scene_ended", ref.name, work.key, state=outcome.state, by=found.by))
    return state_of(outcome)


@dataclass(frozen=True, slots=True)
class SceneWork:
    """A scene and what it is to be done with."""

    config: RunConfig
    """The configuration, checked."""
    ref: SceneRef
    """The scene, its digest taken."""
    settings: ConfigValue
    """The configuration as the flow was given it: what its tasks are given."""
    key: str
    """Of the inputs and the configuration."""
    tell: Tell
    """Who hears of it."""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of the stages so far."""

    answers: dict[str, StageAnswer] = field(default_factory=dict)
    """Their answers by name."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time of each."""

    @property
    def next_stage(self) -> str:
        """The stage that is under way, or failed; the last one where all are done."""
        return next((stage for stage in STAGES if stage not in self.answers), STAGES[-1])


def work_through(work: SceneWork) -> Outcome:
    """Do the stages, show the page, tell log and hooks; returns the outcome, of a fault too."""
    config, ref, done = work.config, work.ref, Done()
    work.tell(now_event("scene_started", ref.name, work.key, run=running.id, pid=os.getpid()))
    fault: GeofuseError | None = None
    try:
        with claimed(config, ref) as claim, _stopped_is_no_fault():
            _do_stages(work, done)
            outcome = outcome_of(config, ref, answers_of(done.answers))
            note_outcome(claim, outcome)
    except GeofuseError as error:
        fault, outcome = error, failed(config, ref, error)
    except SystemExit as stopped:
        if isinstance(stopped.__cause__, TerminationSignal):
            raise stopped.__cause__ from None
        raise
    outcome = replace(outcome, seconds=dict(done.seconds))
    _show(ref, done, fault)
    told = EventData(
        state=outcome.state,
        seconds=round(sum(done.seconds.values()), 3),
        verdict=outcome.verdict,
        code=outcome.code,
        message=outcome.message,
    )
    work.tell(now_event("scene_ended", ref.name, work.key, done.next_stage if fault else "", **told))
    _call(work, outcome, fault)
    return outcome


def _do_stages(work: SceneWork, done: Done) -> None:
    """Do the stages in their order; the GPU's limit is held from the first to the last that may need it."""
    with ExitStack() as held:
        for stage in STAGES:
            if stage == HOLDS_GPU[0] and work.config.schedule.gpu_limit:
                held.enter_context(concurrency(work.config.schedule.gpu_limit, occupy=1, strict=True))
            _do_stage(stage, work, done)
            if stage == HOLDS_GPU[1]:
                held.close()


def _do_stage(stage: str, work: SceneWork, done: Done) -> None:
    """Do one stage as a task of its own."""
    begun, again = time.monotonic(), work.config.work.retries
    delays = [min(work.config.work.backoff * 2.0**attempt, LONGEST_WAIT_S) for attempt in range(again)]
    task = work_on.with_options(name=stage, retries=again, retry_delay_seconds=delays or 0.0)
    state = task(stage, work.settings, ref_to_json(work.ref), return_state=True)
    done.answers[stage] = state.result()
    done.seconds[stage] = round(time.monotonic() - begun, 3)
    if stage == "calibrate":
        said = answers_of(done.answers)
        name = said["inspect"]["scene"] if work.ref.path else work.ref.name
        name_run(f"{name} {said['calibrate']['method']}")


def _show(ref: SceneRef, done: Done, fault: GeofuseError | None) -> None:
    key = run_pages.slug(ref.name)
    if fault is not None:
        show_page(key, run_pages.fault_page(ref.name, fault, done.next_stage), f"failed: {fault.code}")
        return
    page = run_pages.scene_page(ref.name, done.answers, seconds=done.seconds)
    show_page(key, page, answers_of(done.answers)["accept"]["verdict"])


def _call(work: SceneWork, outcome: Outcome, fault: GeofuseError | None) -> None:
    if outcome.state == "review" and (running.run_count or 0) > 1:
        return  # it goes on after the answer: who was to be told was told
    hooks = work.config.hooks
    calls = {"failed": hooks.on_failure, "rejected": hooks.on_failure, "review": hooks.on_review}
    facts = {
        "event": outcome.state,
        "scene": outcome.name,
        "key": work.key,
        "verdict": outcome.verdict,
        "code": outcome.code,
        "message": outcome.message,
        "do": fault.do if fault else "",
        "reasons": list(outcome.reasons),
        "out": outcome.out,
        "run": running.id,
    }
    call_hooks(calls.get(outcome.state, ()), event_log(work.config), facts)


@contextmanager
def _stopped_is_no_fault() -> Iterator[None]:
    """Let a run that is told to stop leave its scene as Ctrl-C does: taken up again, nothing held against it."""
    try:
        yield
    except TerminationSignal as signal:
        raise SystemExit(143) from signal


def state_of(outcome: Outcome) -> State[Any]:
    """Say in a run's state what became of its scene; the outcome itself, as JSON, is the run's result.

    A failed run has none: Prefect takes an exception there, which carries the outcome.
    """
    why, data = "; ".join(outcome.reasons), outcome_to_json(outcome)
    if outcome.state == "failed":
        return Failed(message=f"[{outcome.code}] {outcome.message}", data=NotPassed(outcome))
    if outcome.state == "rejected":
        return Failed(name="Rejected", message=f"{outcome.verdict}: {why}", data=NotPassed(outcome))
    if outcome.state == "review":
        told = f"REVIEW: {why}; geofuse accept {outcome.name} --by NAME"
        return Completed(name="Review", message=told, data=data)
    done = f"published as {outcome.item}" if outcome.item else outcome.state
    return Completed(
        message=f"{outcome.verdict or 'not judged'}: {done}{f'; {why}' if why else ''}", data=data
    )


def run_here(config: RunConfig, ref: SceneRef, *, tell: Tell = quiet) -> Outcome:
    """Run `fuse-scene` inside the flow that is running, as a batch does; a fault is an outcome too."""
    state = fuse_scene(config_to_json(config), ref_to_json(ref), return_state=True)
    found: Any = state.result(raise_on_failure=False)
    if isinstance(found, NotPassed):
        return found.outcome
    if isinstance(found, dict):
        return outcome_from_json(cast(OutcomeDocument, found))
    return Outcome(ref.name, "", "failed", code="internal", message=state.message or str(state.name))
