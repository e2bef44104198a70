"""Deployments: what `geofuse up` serves, and the limits a production server needs.

`python -m geofuse.flows.deploy serve CONFIG.yaml` registers the flows with the server and runs what it schedules;
`files FOLDER` lays prefect.yaml and its entry scripts down, for `prefect deploy --all` in that folder; `limit NAME
[SLOTS]` makes the limit that guards a GPU; `reap` sets runs to Crashed whose process is gone, on this host by its
process table, on others by their heartbeats, until it is stopped.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
from prefect import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.runner import Runner
from prefect.schedules import Cron, Interval, Schedule
from prefect.types.entrypoint import EntrypointType

from geofuse.config import RunConfig, load_config
from geofuse.errors import GeofuseError, UsageError
from geofuse.flows.batches import fuse_batch, reprocess
from geofuse.flows.cleanup import clean_up
from geofuse.flows.inbox import watch_inbox
from geofuse.flows.process_labels import reap, reap_always
from geofuse.flows.scene import fuse_scene
from geofuse.flows.server import leash
from geofuse.flows.settings import DEPLOYED_AS
from geofuse.flows.training import train_scenes

OTHER_RUNS = 4
"""Runs that are no scenes a worker may have at a time: looks, batches, cleaning."""
STOP_SECONDS = 15.0
CLEAN_CRON = "30 3 * * *"

_log = logging.getLogger(__name__)


def schedule_of(config: RunConfig) -> Schedule:
    """Return when the inbox is looked at."""
    if config.schedule.cron:
        return Cron(config.schedule.cron, timezone=config.schedule.timezone)
    return Interval(timedelta(seconds=config.schedule.every))


def deployments(config: RunConfig, path: str) -> list[RunnerDeployment]:
    """Return a deployment of every flow, `fuse-scene` first; the configuration at `path` is their parameter."""
    one = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)

    def make(flow: Any, **more: Any) -> RunnerDeployment:
        made: RunnerDeployment = flow.to_deployment(
            DEPLOYED_AS,
            parameters=more.pop("parameters", {"config": path}),
            entrypoint_type=EntrypointType.MODULE_PATH,
            tags=[DEPLOYED_AS],
            **more,
        )
        return made

    return [
        make(fuse_scene),
        make(watch_inbox, concurrency_limit=one, schedule=schedule_of(config)),
        make(fuse_batch),
        make(reprocess),
        make(train_scenes, parameters={"gpu_limit": config.schedule.gpu_limit}),
        make(clean_up, concurrency_limit=one, schedule=Cron(CLEAN_CRON, timezone=config.schedule.timezone)),
    ]


def production_files() -> dict[str, bytes]:
    """Return prefect.yaml and its entry scripts by the names they have beside each other."""
    inside = Path(__file__).resolve().parent / "production"
    root = inside if inside.is_dir() else inside.parents[2]
    found = [root / "prefect.yaml", *sorted((root / "flows").glob("*.py"))]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def lay_down(folder: Path) -> list[str]:
    """Write prefect.yaml and its entry scripts into a folder; raises UsageError where another file is in the way."""
    files = production_files()
    for name, data in files.items():
        place = folder / name
        if place.exists() and place.read_bytes() != data:
            raise UsageError(
                "is there, with other contents",
                wanted="a folder without it",
                do="choose another folder, or move it away",
                path=str(place),
            )
    for name, data in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return list(files)


def ensure_limit(name: str, slots: int = 1) -> None:
    """Make the global concurrency limit that guards a GPU, unless it is there."""
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=slots))


def serve(path: str) -> None:
    """Register the deployments and run what is scheduled, until SIGTERM or SIGINT."""
    config = load_config(path)
    if config.schedule.gpu_limit:
        ensure_limit(config.schedule.gpu_limit)
    reap(starting=True)
    scenes = Runner(name=f"{DEPLOYED_AS}-scenes", limit=config.schedule.concurrency, pause_on_shutdown=False)
    others = Runner(name=DEPLOYED_AS, limit=OTHER_RUNS, pause_on_shutdown=False)
    first, *more = deployments(config, path)
    scenes.add_deployment(first)
    for made in more:
        others.add_deployment(made)
    stop = threading.Event()
    reap_always(stop)
    leash()
    try:
        asyncio.run(_serve([scenes, others]))
    finally:
        stop.set()


async def _serve(runners: Sequence[Runner]) -> None:
    """Run the runners; on a signal first let the flows' processes end and report, then the runners.

    Two of them, because a limit that the server keeps has every waiting scene ask again and again for its turn.
    """
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    work = {asyncio.create_task(runner.start()) for runner in runners}
    while not all(runner.started for runner in runners) and not any(task.done() for task in work):
        await asyncio.sleep(0.05)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    waiting = asyncio.create_task(told.wait())
    await asyncio.wait({*work, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if told.is_set():
        await asyncio.to_thread(end_children)
    for runner in runners:
        if runner.started:
            await runner.astop()
    waiting.cancel()
    await asyncio.wait(work, timeout=STOP_SECONDS)


def end_children() -> None:
    """Ask every process of a flow to end, and wait until they have; those that do not are killed.

    They are looked at, not waited for: their exit status is the runner's to take.
    """
    left = psutil.Process().children(recursive=True)
    for child in left:
        with suppress(psutil.NoSuchProcess):
            child.terminate()
    give_up = time.monotonic() + STOP_SECONDS
    while (left := [child for child in left if _lives(child)]) and time.monotonic() < give_up:
        time.sleep(0.1)
    for child in left:
        with suppress(psutil.NoSuchProcess):
            child.kill()


def _lives(child: psutil.Process) -> bool:
    try:
        return bool(child.is_running() and child.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def main(arguments: Sequence[str]) -> int:
    """Run `serve CONFIG`, `files FOLDER`, `limit NAME [SLOTS]` or `reap`."""
    if len(arguments) == 2 and arguments[0] == "serve":
        serve(arguments[1])
        return 0
    if len(arguments) == 2 and arguments[0] == "files":
        try:
            sys.stdout.write("\n".join(lay_down(Path(arguments[1]))) + "\n")
        except GeofuseError as error:
            sys.stderr.write(f"geofuse: error [{error.code}] {error}\n")
            return error.exit_status
        return 0
    if len(arguments) in (2, 3) and arguments[0] == "limit":
        ensure_limit(arguments[1], int(arguments[2]) if len(arguments) == 3 else 1)
        return 0
    if list(arguments) == ["reap"]:
        reap_always(threading.Event()).join()
        return 0
    sys.stderr.write(f"{__doc__}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
