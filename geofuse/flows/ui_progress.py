"""What a run tells while it works: every event to the log, progress to the UI, at a pace that costs nothing."""

from __future__ import annotations

import contextvars
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx
from prefect import get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.context import FlowRunContext, TaskRunContext

from geofuse.flows.eventlog import record
from geofuse.line.events import Event, Tell

UPDATE_SECONDS = 3.0
"""Between two updates of a progress bar."""
PATIENCE_SECONDS = 180.0
"""How long a server may be away before what people would have seen is given up; the scene goes on."""

T = TypeVar("T")
_log = logging.getLogger(__name__)


def teller(log: Path | None, *others: Tell) -> Tell:
    """Make one listener of the event log and others."""

    def tell(event: Event) -> None:
        if event.kind != "progress":
            facts: dict[str, object] = {
                "scene": event.scene,
                "key": event.key,
                "stage": event.stage,
                **event.data,
            }
            facts.pop("result", None)
            record(
                log, event.kind, **{name: value for name, value in facts.items() if value not in (None, "")}
            )
        for other in others:
            other(event)

    return tell


def patiently(call: Callable[[], T], what: str, *, patience_s: float = PATIENCE_SECONDS) -> T | None:
    """Call the server; again, ever more slowly, while it is away. After that a warning: None."""
    give_up, pause = time.monotonic() + patience_s, 1.0
    while True:
        try:
            return call()
        except (httpx.TransportError, httpx.HTTPStatusError) as error:
            if time.monotonic() + pause > give_up:
                _log.warning("the Prefect server took no %s: %s", what, error)
                return None
            time.sleep(pause)
            pause = min(2.0 * pause, 15.0)


class _Bar:
    """The newest figure, and the thread that shows it: the tiles never wait for the server."""

    def __init__(self, key: str, title: str, always: bool) -> None:
        self.key, self.title, self.always = key, title, always
        self.told = False
        self.share = 0.0
        self.text = title
        self.artifact: UUID | None = None
        self.shown: tuple[float, str] | None = None
        self.done = threading.Event()
        task, flow = TaskRunContext.get(), FlowRunContext.get()
        self.task_run = task.task_run.id if task else None
        self.flow_run = (
            task.task_run.flow_run_id if task else flow.flow_run.id if flow and flow.flow_run else None
        )

    def tell(self, event: Event) -> None:
        """Take the newest figure."""
        if event.kind == "progress":
            self.told = True
            if "share" in event.data:
                self.share, self.text = 100.0 * event.data["share"], event.data["text"]
                return
            done, total = event.data["done_px"], event.data["total_px"]
            self.share = 100.0 * done / total if total else 0.0
            resumed = event.data.get("resumed_px") or 0
            taken = f", {resumed / 1e6:.1f} taken over" if resumed else ""
            self.text = (
                f"{self.title}: {event.data.get('what') or event.stage} "
                f"{done / 1e6:.1f} of {total / 1e6:.1f} Mpx{taken}"
            )

    def work(self) -> None:
        """Show the newest figure every few seconds, until it is done and shown."""
        with get_client(sync_client=True) as client:
            while True:
                last = self.done.wait(UPDATE_SECONDS)
                now = (round(self.share, 2), self.text)
                wanted = self.artifact is not None or self.always or not last
                if self.told and wanted and now != self.shown:
                    try:
                        self._show(client, now)
                    except (httpx.HTTPError, OSError) as error:
                        _log.info("progress not shown: %s", error)
                if last:
                    return

    def _show(self, client: Any, now: tuple[float, str]) -> None:
        share, text = now
        if self.artifact is None:
            made = client.create_artifact(
                ArtifactCreate(
                    type="progress",
                    key=self.key,
                    description=text,
                    data=share,
                    task_run_id=self.task_run,
                    flow_run_id=self.flow_run,
                )
            )
            self.artifact = made.id
        else:
            client.update_artifact(self.artifact, ArtifactUpdate(data=share, description=text))
        self.shown = now


@contextmanager
def progress_bar(key: str, title: str, *, always: bool = False) -> Iterator[Tell]:
    """Give a listener that moves a progress artifact of the task run it is opened in.

    What ends before the first update needs no bar, unless `always`.
    """
    bar = _Bar(key, title, always)
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(bar.work,), name="geofuse-progress", daemon=True)
    thread.start()
    try:
        yield bar.tell
    finally:
        bar.done.set()
        thread.join(UPDATE_SECONDS)


def show_page(key: str, markdown: str, description: str) -> None:
    """Leave a page with the run."""

    def call() -> None:
        with get_client(sync_client=True) as client:
            client.create_artifact(
                ArtifactCreate(
                    type="markdown",
                    key=key,
                    description=description,
                    data=markdown,
                    flow_run_id=_flow_run_id(),
                )
            )

    patiently(call, "page")


class GrowingTable:
    """A table artifact that grows with a run."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.artifact: UUID | None = None

    def show(self, rows: Sequence[Mapping[str, object]], description: str) -> None:
        """Show these rows from now on."""
        data = json.dumps(rows)

        def call() -> None:
            with get_client(sync_client=True) as client:
                if self.artifact is not None:
                    client.update_artifact(self.artifact, ArtifactUpdate(data=data, description=description))
                    return
                new = ArtifactCreate(type="table", key=self.key, description=description, data=data)
                new.flow_run_id = _flow_run_id()
                self.artifact = client.create_artifact(new).id

        patiently(call, "table")


def show_table(key: str, rows: Sequence[Mapping[str, object]], description: str) -> None:
    """Leave a table with the run."""
    GrowingTable(key).show(rows, description)


def name_run(name: str) -> None:
    """Give the run another name, now that more is known."""
    found = _flow_run_id()
    if found is None:
        return

    def call() -> None:
        with get_client(sync_client=True) as client:
            client.update_flow_run(found, name=name)

    patiently(call, "name")


def _flow_run_id() -> UUID | None:
    context = FlowRunContext.get()
    return context.flow_run.id if context and context.flow_run else None
