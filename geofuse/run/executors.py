"""map(task, items) -> results in order: serial, threads, a dask cluster. The only parallelism there is."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any, Protocol

from geofuse.errors import UsageError, WorkerError

SCHEDULERS = "serial, threads, dask or tcp://HOST:PORT"
ALLOWED_FAILURES = 3


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
        """Submit everything; a task whose worker died runs again, at the third death it is named."""
        from distributed.scheduler import KilledWorker

        sent = self.client.scatter(shared, broadcast=True, hash=False)
        futures = [self.client.submit(task, sent, item, pure=False) for item in items]
        try:
            for item, future in zip(items, futures, strict=True):
                try:
                    yield future.result()
                except KilledWorker as error:
                    raise WorkerError(
                        f"{item} killed its worker {ALLOWED_FAILURES} times",
                        wanted="a worker that survives it",
                        do="try a smaller --tile or give the workers more memory",
                    ) from error
                finally:
                    future.release()
        finally:
            self.client.cancel(futures, force=True)


@contextmanager
def executor(scheduler: str, workers: int) -> Iterator[Executor]:
    """Give the executor that ``scheduler`` names, and end what it started."""
    if scheduler == "serial" or (scheduler == "threads" and workers == 1):
        yield Serial()
    elif scheduler == "threads":
        yield Threads(workers)
    elif scheduler == "dask":
        with _local_cluster(workers) as cluster, _client(cluster) as client:
            yield Dask(client)
    elif scheduler.startswith(("tcp://", "tls://")):
        with _client(scheduler) as client:
            yield Dask(client)
    else:
        raise UsageError(f"scheduler {scheduler!r}", wanted=SCHEDULERS)


@contextmanager
def _local_cluster(workers: int) -> Iterator[Any]:
    import dask
    from distributed import LocalCluster

    settings = {
        "distributed.scheduler.allowed-failures": ALLOWED_FAILURES - 1,
        "distributed.admin.tick.limit": "1h",
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            host="127.0.0.1",
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
        yield client
