"""map(task, items) -> results in order: serial, threads, a dask cluster. The only parallelism there is."""

from __future__ import annotations

import logging
import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any, Protocol

from geofuse.errors import UsageError, WorkerError
from geofuse.version import __version__

SCHEDULERS = "serial, threads, dask or tcp://HOST:PORT"
ALLOWED_FAILURES = 3
NO_WORKERS_SECONDS = 30
"""A worker that dies while it starts is not started again: a local cluster may end without any."""
_ADDRESS = re.compile(r"(tcp|tls)://([^\s:/\[\]]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}")


class Executor(Protocol):
    """Runs ``task(shared, item)`` for every item; yields the results in the items' order."""

    def map(self, task: Callable[[Any, Any], Any], shared: Any, items: Sequence[Any]) -> Iterator[Any]:
        """Yield results in order; the first fault is raised and the rest dropped."""
        ...


class Serial:
    """One after the other, in this thread."""

    def map(self, task: Callable[[Any, Any], Any], shared: Any, items: Sequence[Any]) -> Iterator[Any]:
        """Yield each result as it is asked for."""
        for item in items:
            yield task(shared, item)


class Threads:
    """A pool of threads; the kernels, the codecs and the readers all release the GIL."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def map(self, task: Callable[[Any, Any], Any], shared: Any, items: Sequence[Any]) -> Iterator[Any]:
        """Keep the pool busy, at most twice as many tasks ahead as there are threads."""
        waiting = iter(items)
        with ThreadPoolExecutor(self.workers, thread_name_prefix="geofuse") as pool:
            running = deque(pool.submit(task, shared, item) for item in islice(waiting, 2 * self.workers))
            try:
                while running:
                    result = running.popleft().result()
                    running.extend(pool.submit(task, shared, item) for item in islice(waiting, 1))
                    yield result
            finally:
                for future in running:
                    future.cancel()


class Dask:
    """Workers of a dask.distributed cluster; tasks carry ids and windows, results are small."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def map(self, task: Callable[[Any, Any], Any], shared: Any, items: Sequence[Any]) -> Iterator[Any]:
        """Submit everything; a task whose worker died runs again, one that goes on killing them is named.

        Raises WorkerError for that, and where the cluster is lost.
        """

        def submit(item: Any) -> Any:
            return self.client.submit(task, sent, item, pure=False)

        # a task's result, not scattered data: those are gone with the last worker that held them
        sent = self.client.submit(_same, shared, pure=False)
        futures = [submit(item) for item in items]
        try:
            for at, item in enumerate(items):
                with _cluster_faults(item):
                    if _died(futures[at]):
                        self._single_out(items, futures, at, submit)
                    found = futures[at].result()
                futures[at].release()
                yield found
        finally:
            with suppress(Exception):  # a lost cluster has nothing to cancel
                self.client.cancel(futures, force=True)

    def _single_out(
        self, items: Sequence[Any], futures: list[Any], at: int, submit: Callable[[Any], Any]
    ) -> None:
        """Run each suspect alone: dask blames all the tasks that lay on a dying worker, not its killer only.

        Those that were under way start again afterwards. WorkerError names the killer.
        """
        suspects = [i for i in range(at, len(items)) if futures[i].status == "error" and _died(futures[i])]
        others = [i for i in range(at, len(items)) if futures[i].status == "pending"]
        self.client.cancel([futures[i] for i in others], force=True)
        for i in suspects:
            with _cluster_faults(items[i]):
                futures[i] = submit(items[i])
                if _died(futures[i]):
                    futures[i].result()
        for i in others:
            futures[i] = submit(items[i])


def _same(shared: Any) -> Any:
    return shared


def _died(future: Any) -> bool:
    """Wait for a task; say whether it ended with its worker, as often as the cluster allows."""
    from distributed.scheduler import KilledWorker

    return isinstance(future.exception(), KilledWorker)


@contextmanager
def _cluster_faults(item: Any) -> Iterator[None]:
    """Name what a cluster does to a task; what the task itself raises goes through."""
    from asyncio import CancelledError as CancelledTask
    from concurrent.futures import CancelledError

    from distributed.comm.core import CommClosedError
    from distributed.scheduler import KilledWorker, NoValidWorkerError, NoWorkerError

    try:
        yield
    except KilledWorker as error:
        raise WorkerError(
            f"{item} killed its worker {error.allowed_failures + 1} times",
            wanted="a worker that survives it",
            do="try a smaller --tile or give the workers more memory",
        ) from error
    except (NoWorkerError, NoValidWorkerError) as error:
        raise WorkerError(
            f"no worker is left to run {item}",
            wanted="workers that survive",
            do="try a smaller --tile or give the workers more memory, and run the same command again",
        ) from error
    except RuntimeError as error:
        if "deserialization" not in str(error):
            raise
        raise _cannot_load(error) from error
    except (CancelledError, CancelledTask, CommClosedError) as error:
        raise WorkerError(
            f"the cluster was lost at {item}: {error}",
            wanted="a scheduler that lives as long as the run",
            do="run the same command again: finished tiles are kept",
        ) from error


@contextmanager
def executor(scheduler: str, workers: int, *, tls: tuple[str, str, str] | None = None) -> Iterator[Executor]:
    """Give the executor that ``scheduler`` names, and end what it started.

    ``tls``: files of the authority's certificate, of the own one and of its key, for a scheduler at tls://.
    """
    if scheduler == "serial" or (scheduler == "threads" and workers == 1):
        yield Serial()
    elif scheduler == "threads":
        yield Threads(workers)
    elif scheduler == "dask":
        with _local_cluster(workers) as cluster, _client(cluster) as client:
            yield Dask(client)
    elif _ADDRESS.fullmatch(scheduler):
        with _certificates(scheduler, tls), _client(scheduler) as client:
            yield Dask(client)
    else:
        raise UsageError(f"scheduler {scheduler!r}", wanted=SCHEDULERS)


@contextmanager
def _certificates(address: str, tls: tuple[str, str, str] | None) -> Iterator[None]:
    """Let the client speak TLS by these files, or by dask's own configuration; else refuse a tls:// address."""
    import dask

    if not address.startswith("tls://"):
        yield
        return
    if tls is None and not dask.config.get("distributed.comm.tls.ca-file", None):
        raise UsageError(
            f"scheduler {address} without certificates",
            wanted="work.tls in the configuration, or distributed.comm.tls in dask's",
        )
    names = ("ca-file", "client.cert", "client.key")
    given = {f"distributed.comm.tls.{name}": file for name, file in zip(names, tls or (), strict=False)}
    for file in tls or ():
        if not os.path.isfile(file):
            raise UsageError("no such certificate or key", wanted="a PEM file", path=file)
    with dask.config.set({**given, "distributed.comm.require-encryption": True}):
        yield


@contextmanager
def _local_cluster(workers: int) -> Iterator[Any]:
    import dask
    from distributed import LocalCluster

    settings = {
        "distributed.scheduler.allowed-failures": ALLOWED_FAILURES - 1,
        "distributed.scheduler.worker-saturation": 1.0,  # who dies with a worker was at work on it
        "distributed.scheduler.no-workers-timeout": f"{NO_WORKERS_SECONDS}s",
        "distributed.admin.tick.limit": "1h",
        "distributed.admin.large-graph-warning-threshold": "1GiB",
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # else its port, 8787, may be taken
            host="127.0.0.1",
            silence_logs=logging.CRITICAL,  # what matters of it is raised, in one line
        ) as cluster,
    ):
        yield cluster


@contextmanager
def _client(address: Any) -> Iterator[Any]:
    from distributed import Client

    try:
        client = Client(address, timeout="10s", set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise WorkerError(
            f"no dask scheduler answers at {address}", wanted="a living scheduler", do="check the address"
        ) from error
    with client:
        _check_workers(client)
        yield client


def _check_workers(client: Any) -> None:
    """Refuse workers of another release, which would make other bytes; those that join later are trusted."""
    try:
        found = client.run(_release)
    except Exception as error:
        raise _cannot_load(error) from error
    for address, release in found.items():
        if release != __version__:
            raise WorkerError(
                f"the worker at {address} has geofuse {release}", wanted=f"{__version__}, as here"
            )


def _release() -> str:
    return __version__


def _cannot_load(error: Exception) -> WorkerError:
    return WorkerError(
        f"a worker cannot load geofuse ({str(error).splitlines()[0]})",
        wanted=f"geofuse {__version__} on every worker",
        do="install it there",
    )
