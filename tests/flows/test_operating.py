"""What machines see: the event log, the hooks, the metrics; and where a server may listen."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

pytest.importorskip("prefect", reason="the extra `flows` is not installed")

from geofuse.config import HookConfig
from geofuse.flows.eventlog import call_hooks, read_events, record, rotate
from geofuse.flows.metrics import serve_metrics, write_metrics

WRITER = """
import sys
from pathlib import Path
from geofuse.flows.eventlog import record
for number in range(200):
    record(Path(sys.argv[1]), "noise", who=sys.argv[2], number=number, filler="x" * 500)
"""


def test_lines_of_many_processes_do_not_mix(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "events.jsonl"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(log), str(n)]) for n in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    events = [event for _, event in read_events(log)]
    assert len(events) == 600
    for n in range(3):
        assert [event["number"] for event in events if event["who"] == str(n)] == list(range(200))


def test_a_torn_last_line_waits_until_it_is_whole(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    record(log, "first")
    with log.open("a") as stream:
        stream.write('{"event": "sec')
    offset, event = list(read_events(log))[-1]
    assert event["event"] == "first"
    with log.open("a") as stream:
        stream.write('ond"}\n')
    assert [event["event"] for _, event in read_events(log, offset)] == ["second"]


def test_a_log_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    record(tmp_path / "file" / "events.jsonl", "lost")


def test_a_long_log_is_put_aside(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    record(log, "first")
    assert not rotate(log)
    assert rotate(log, 10)
    assert [event["event"] for _, event in read_events(tmp_path / "events.jsonl.1")] == ["first"]


def test_a_command_is_told_on_its_standard_input(tmp_path: Path) -> None:
    log, told = tmp_path / "events.jsonl", tmp_path / "told.json"
    code = f"import sys; open({str(told)!r}, 'w').write(sys.stdin.read())"
    hooks = [HookConfig(command=(sys.executable, "-c", code)), HookConfig(command=("/no/such/program",))]
    assert call_hooks(hooks, log, {"event": "failed", "scene": "A", "code": "corrupt"}) == 1
    assert json.loads(told.read_text()) == {"event": "failed", "scene": "A", "code": "corrupt"}
    assert [event["event"] for _, event in read_events(log)] == ["hook_told", "hook_failed"]


def test_a_web_hook_is_posted_to(tmp_path: Path) -> None:
    heard: list[bytes] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Listener) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        hook = HookConfig(webhook=f"http://127.0.0.1:{server.server_port}/x")
        assert call_hooks([hook], None, {"event": "review", "scene": "A"}) == 1
        thread.join()
    assert json.loads(heard[0]) == {"event": "review", "scene": "A"}


def scrape(text: str) -> dict[str, float]:
    """Read the text format into {name and labels: value}."""
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, value in lines}


def test_metrics_are_what_the_log_says(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    for name in "abc":
        record(log, "scene_queued", scene=name, key=name)
    record(log, "scene_started", scene="a", key="a")
    record(log, "stage_ended", scene="a", key="a", stage="fuse", seconds=12.5)
    record(log, "stage_ended", scene="a", key="a", stage="fuse", seconds=0.1, skipped=True)
    record(log, "stage_failed", scene="a", key="a", stage="mosaic", code="write", may_retry=True)
    record(log, "scene_ended", scene="a", key="a", state="published", seconds=14.0)
    record(log, "scene_started", scene="b", key="b")
    record(log, "scene_ended", scene="b", key="b", state="failed", code="georef")
    port = serve_metrics(log, {"state": tmp_path, "gone": tmp_path / "gone"}, host="127.0.0.1", port=0)

    def read() -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            return scrape(answer.read().decode())

    found = read()
    assert found['geofuse_scenes_total{outcome="published"}'] == 1
    assert found['geofuse_failures_total{code="georef"}'] == 1
    assert found['geofuse_retries_total{code="write"}'] == 1
    assert found['geofuse_stage_seconds_sum{stage="fuse"}'] == 12.5
    assert found['geofuse_stage_seconds_bucket{le="15.0",stage="fuse"}'] == 1
    assert found['geofuse_stage_seconds_bucket{le="5.0",stage="fuse"}'] == 0
    assert found["geofuse_queue_length"] == 1
    assert 0.0 < found["geofuse_queue_age_seconds"] < 60.0
    assert found["geofuse_scenes_per_hour"] == 1
    assert found['geofuse_disk_free_bytes{place="state"}'] > 0
    assert 'geofuse_disk_free_bytes{place="gone"}' not in found
    record(log, "scene_ended", scene="c", key="c", state="review")
    found = read()
    assert (found["geofuse_queue_length"], found["geofuse_review_waiting"]) == (0, 1)
    record(log, "scene_ended", scene="c", key="c", state="published")
    assert read()["geofuse_review_waiting"] == 0
    textfile = tmp_path / "node" / "geofuse.prom"
    write_metrics(log, {"state": tmp_path}, textfile)
    assert scrape(textfile.read_text())['geofuse_scenes_total{outcome="published"}'] == 2


def test_metrics_of_a_configuration_as_a_text_file(tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("catalog: {folder: archive}\n")
    record(tmp_path / "archive.state" / "events.jsonl", "scene_ended", scene="a", state="published")
    out = tmp_path / "geofuse.prom"
    command = [sys.executable, "-m", "geofuse.flows.metrics", str(config)]
    assert subprocess.run([*command, str(out)]).returncode == 0
    assert scrape(out.read_text())['geofuse_scenes_total{outcome="published"}'] == 1
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "events.metrics_port" in refused.stderr
