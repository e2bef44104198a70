"""Prometheus metrics, computed from the event log and the disks: one truth, no registry shared by processes.

`geofuse up` serves them. Elsewhere `python -m geofuse.flows.metrics CONFIG.yaml` serves them on loopback at the
configuration's `events.metrics_port`, and `python -m geofuse.flows.metrics CONFIG.yaml FILE.prom` writes them once.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server, write_to_textfile
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from geofuse.config import load_config
from geofuse.errors import GeofuseError, UsageError
from geofuse.flows.eventlog import LoggedEvent, read_events
from geofuse.flows.settings import disks, event_log

HOUR_S = 3600.0
BUCKETS_S = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, float("inf"))
"""Bounds of the seconds a stage may take."""


class Metrics:
    """A collector: reads what was added to the log since the last scrape."""

    def __init__(self, log: Path, places: Mapping[str, Path]) -> None:
        self.log, self.places = log, dict(places)
        self.lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self.offset = 0
        self.ended: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.retried: Counter[str] = Counter()
        self.stages: dict[str, list[float]] = defaultdict(list)
        self.sums: dict[str, float] = defaultdict(float)
        self.counts: dict[str, Counter[float]] = defaultdict(Counter)
        self.waiting: dict[str, float] = {}
        self.review: set[str] = set()
        self.recent: deque[float] = deque()
        self.last = 0.0

    def read(self) -> None:
        """Take in what is new; a log that became shorter was rotated, and is read from its start."""
        if self.log.exists() and self.log.stat().st_size < self.offset:
            kept = self.waiting, self.review, self.recent, self.last
            self._forget()
            self.waiting, self.review, self.recent, self.last = kept
        for offset, event in read_events(self.log, self.offset):
            self.offset = offset
            self._count(event)

    def _count(self, event: LoggedEvent) -> None:
        kind, key = event.get("event"), str(event.get("key") or event.get("scene"))
        when = datetime.fromisoformat(event["time"]).timestamp()
        if kind == "scene_queued":
            self.waiting.setdefault(key, when)
        elif kind == "scene_started":
            self.waiting.pop(key, None)
        elif kind == "stage_ended" and not event.get("skipped"):
            name, seconds = str(event["stage"]), float(event["seconds"])
            self.sums[name] += seconds
            self.counts[name][next(bound for bound in BUCKETS_S if seconds <= bound)] += 1
        elif kind == "stage_failed" and event.get("may_retry"):
            self.retried[str(event.get("code", "error"))] += 1
        elif kind in ("scene_crashed", "scene_parked"):
            self.ended[str(kind).removeprefix("scene_")] += 1
            self.failed[str(event.get("code") or "crashed")] += 1
            self.waiting.pop(key, None)
        elif kind == "scene_ended":
            self._count_end(str(event.get("state")), str(event.get("code") or "error"), key, when)

    def _count_end(self, state: str, code: str, key: str, when: float) -> None:
        self.ended[state] += 1
        self.waiting.pop(key, None)
        self.review.discard(key)
        if state == "review":
            self.review.add(key)
        if state == "failed":
            self.failed[code] += 1
        else:
            self.recent.append(when)
            self.last = max(self.last, when)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, as Prometheus asks for it."""
        with self.lock:
            self.read()
            now = time.time()
            while self.recent and self.recent[0] < now - HOUR_S:
                self.recent.popleft()
            yield from self._scenes()
            oldest = now - min(self.waiting.values()) if self.waiting else 0.0
            yield _gauge("geofuse_queue_age_seconds", "Age of the oldest scene that waits to start.", oldest)
            yield _gauge("geofuse_queue_length", "Scenes that wait to start.", len(self.waiting))
            yield _gauge("geofuse_review_waiting", "Scenes that wait for a person.", len(self.review))
            yield _gauge(
                "geofuse_scenes_per_hour",
                "Scenes that ended in the last hour, failures not.",
                len(self.recent),
            )
            yield _gauge("geofuse_last_scene_timestamp_seconds", "When the last scene ended.", self.last)
        yield from self._disks()

    def _scenes(self) -> Iterator[Metric]:
        for name, text, label, counts in (
            ("geofuse_scenes", "Scenes that ended, by outcome.", "outcome", self.ended),
            ("geofuse_failures", "Scenes that failed, by error code.", "code", self.failed),
            ("geofuse_retries", "Stages tried again, by error code.", "code", self.retried),
        ):
            family = CounterMetricFamily(name, text, labels=[label])
            for value, count in sorted(counts.items()):
                family.add_metric([value], count)
            yield family
        stages = HistogramMetricFamily("geofuse_stage_seconds", "Seconds in each stage.", labels=["stage"])
        for name, counted in sorted(self.counts.items()):
            sofar, buckets = 0, []
            for bound in BUCKETS_S:
                sofar += counted[bound]
                buckets.append(("+Inf" if bound == BUCKETS_S[-1] else str(bound), float(sofar)))
            stages.add_metric([name], buckets, float(self.sums[name]))
        yield stages

    def _disks(self) -> Iterator[Metric]:
        free = GaugeMetricFamily("geofuse_disk_free_bytes", "Free bytes of a disk.", labels=["place"])
        total = GaugeMetricFamily("geofuse_disk_bytes", "Size of a disk.", labels=["place"])
        for place, folder in self.places.items():
            if folder.exists():
                usage = shutil.disk_usage(folder)
                free.add_metric([place], usage.free)
                total.add_metric([place], usage.total)
        yield free
        yield total


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def registry_of(log: Path, places: Mapping[str, Path]) -> CollectorRegistry:
    """Return a registry with these metrics alone."""
    registry = CollectorRegistry()
    registry.register(Metrics(log, places))
    return registry


def serve_metrics(log: Path, places: Mapping[str, Path], *, host: str, port: int) -> int:
    """Answer scrapes at http://HOST:PORT/metrics from a thread; returns the port."""
    server, _ = start_http_server(port, host, registry_of(log, places))
    return int(server.server_port)


def write_metrics(log: Path, places: Mapping[str, Path], textfile: Path) -> None:
    """Write them for node_exporter's textfile collector, completely or not at all."""
    textfile.parent.mkdir(parents=True, exist_ok=True)
    write_to_textfile(str(textfile), registry_of(log, places))


def main(arguments: Sequence[str]) -> int:
    """Serve, or write a text file."""
    if len(arguments) not in (1, 2):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    try:
        config = load_config(arguments[0])
        if len(arguments) == 2:
            write_metrics(event_log(config), disks(config), Path(arguments[1]))
            return 0
        if config.events.metrics_port is None:
            raise UsageError("no port", wanted="events.metrics_port in the configuration", path=arguments[0])
        serve_metrics(event_log(config), disks(config), host="127.0.0.1", port=config.events.metrics_port)
    except GeofuseError as error:
        sys.stderr.write(f"geofuse: error [{error.code}] {error}\n")
        return error.exit_status
    threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
