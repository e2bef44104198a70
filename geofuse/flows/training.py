"""`train-scenes`: a network trained from scenes, going on where a run that died stopped."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.concurrency.sync import concurrency
from prefect.runtime import flow_run as running
from prefect.states import Completed, Failed

from geofuse.config import load_training
from geofuse.errors import GeofuseError
from geofuse.flows import run_pages
from geofuse.flows.process_labels import mark_run
from geofuse.flows.scene import retry_helps
from geofuse.flows.settings import Document
from geofuse.flows.ui_progress import progress_bar, show_page
from geofuse.learn.train import train
from geofuse.line.answers import EventData
from geofuse.line.events import Event, Tell


@task(
    name="train",
    task_run_name="train",
    retries=2,
    retry_delay_seconds=[30, 120],
    retry_condition_fn=retry_helps,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def learn(training: str, gpu_limit: str | None, overwrite: bool) -> Document:
    """Train what a configuration asks for; checkpoints carry a retry on. Returns the card."""
    config = load_training(training)
    held = concurrency(gpu_limit, occupy=1, strict=True) if gpu_limit else nullcontext()
    with progress_bar(run_pages.slug(f"train-{config.name}"), config.name, always=True) as show, held:
        return dict(train(config, overwrite=overwrite, tell=_steps(show, config.name)))


def _steps(show: Tell, name: str) -> Any:
    """Tell steps as the bar knows progress."""

    def tell(step: int, steps: int, losses: Mapping[str, float]) -> None:
        told = ", ".join(f"{key} {value:.3g}" for key, value in losses.items())
        data: EventData = {"share": step / steps, "text": f"{name}: step {step} of {steps}; {told}"}
        show(Event("progress", name, "", "train", time.time(), data))

    return tell


@flow(
    name="train-scenes",
    flow_run_name=lambda: f"train {running.parameters['training']}"[:120],
    persist_result=False,
)
def train_scenes(training: str, gpu_limit: str | None = None, overwrite: bool = False) -> State[Any]:
    """Train a network; `training` is the path of its configuration. The GPU is held while it trains.

    The same configuration again goes on from the last checkpoint, and is at once done where it was done.
    """
    mark_run()
    try:
        card = learn(training, gpu_limit, overwrite)
    except GeofuseError as error:
        return Failed(message=f"[{error.code}] {error}")
    show_page(run_pages.slug(f"{card['name']}-card"), run_pages.card_page(card), "card")
    return Completed(message=f"{card['path']}: best after {card['training']['best_step']} steps", data=card)
