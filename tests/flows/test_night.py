"""A night's work through Prefect: forty scenes, eight of them faulty, nobody there."""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest
from operating import geofuse_up, until
from test_up import asked, configured, runs

from geofuse.archive.catalog import find
from geofuse.config import config_from
from geofuse.flows.eventlog import read_events
from geofuse.line.scene_ledger import rows

sys.path.append(str(Path(__file__).resolve().parents[1] / "run"))
import arrivals

TEXT = """\
inbox: {settle: 0, patience: 60s}
encode: {level: 1}
work: {scheduler: serial, workers: 1, retries: 0, backoff: 1s}
assess: {html: false}
schedule: {concurrency: 2}
"""
SMALL = 100_000


class Misfortune:
    """Lets the disk be full for the process of one scene, once, and kills that of another, once."""

    def __init__(self, log: Path) -> None:
        self.log, self.stop = log, threading.Event()
        self.struck: dict[str, int] = {}
        self.thread = threading.Thread(target=self._work)

    def _work(self) -> None:
        offset, pids = 0, {}
        while not self.stop.wait(0.02):
            for after, event in read_events(self.log, offset):
                offset, name = after, str(event.get("scene"))
                if event["event"] == "scene_started":
                    pids[name] = int(event["pid"])
                if name in self.struck:
                    continue
                if event["event"] == "scene_started" and name.endswith("disk_full"):
                    self.struck[name] = pids[name]
                    psutil.Process(pids[name]).rlimit(resource.RLIMIT_FSIZE, (SMALL, SMALL))
                if event["event"] == "stage_started" and event["stage"] == "fuse" and name.endswith("killed"):
                    self.struck[name] = pids[name]
                    os.kill(pids[name], signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_forty_scenes_with_eight_faults_end_with_the_right_verdicts(
    truth: np.ndarray, tmp_path: Path
) -> None:
    good = 32
    planted = arrivals.planted_set(tmp_path / "inbox", truth, good=good)
    config = config_from({"catalog": {"folder": str(tmp_path / "catalog")}})
    trouble = Misfortune(tmp_path / "catalog.state" / "events.jsonl")
    wanted = {str(each.folder): (each.state, each.verdict, each.code) for each in planted}

    def found() -> dict[str, tuple[str, str, str]]:
        return {row.source: (row.state, row.verdict, row.code) for row in rows(config)}

    options = ("--config", configured(tmp_path, TEXT), "--every", "20s", "--no-page")
    with geofuse_up(tmp_path, *options) as (_, place):
        trouble.thread.start()
        try:
            until(lambda: found() == wanted, 3000, "right ends", 3.0)
        except AssertionError:
            assert found() == wanted
        finally:
            trouble.stop.set()
            trouble.thread.join()
        ends = {"Completed": good + 2, "Failed": 3, "Rejected": 1, "Crashed": 1}
        with asked(place) as client:

            def ended() -> Counter[str]:
                return Counter(str(run.state.name) for run in runs(client, "fuse-scene") if run.state)

            until(lambda: ended() == ends, 60, f"states {ends}")
    assert sorted(trouble.struck) == sorted(
        each.folder.name for each in planted if each.fault in ("disk_full", "killed")
    )
    assert len(find(tmp_path / "catalog")) == good + 2
