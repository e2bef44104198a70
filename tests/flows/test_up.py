"""`geofuse up` as people use it: scenes dropped, watched in the UI, killed, stopped; minutes."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from operating import ROOT, Server, free_port, geofuse_up, started_server, until
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.settings import temporary_settings

from geofuse.archive.catalog import find
from geofuse.config import config_from
from geofuse.errors import UsageError
from geofuse.flows.up.place import UpPlaces, checked_place
from geofuse.flows.up.renewal import renewals
from geofuse.line.scene_ledger import rows

BROWSER = "/usr/bin/chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def asked(place: UpPlaces) -> Iterator[SyncPrefectClient]:
    """Speak to a server from this process."""
    settings = {"api.url": place.api, "client.max_retries": 3, "home": place.state / "test-client"}
    with temporary_settings(updates=settings), get_client(sync_client=True) as client:
        yield client


def runs(client: SyncPrefectClient, flow: str) -> list[FlowRun]:
    """Return a flow's runs."""
    found = client.read_flow_runs(limit=200)
    flows = {each.id: each.name for each in client.read_flows()}
    return [run for run in found if flows.get(run.flow_id) == flow]


def configured(folder: Path, text: str = "") -> str:
    """Write a configuration of this test."""
    path = folder / "run.yaml"
    path.write_text(f"name: test\nevents: {{metrics_port: {free_port()}}}\n{text}")
    return str(path)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (UpPlaces(Path(), host="0.0.0.0"), "no authentication"),
        (UpPlaces(Path(), host="::"), "no authentication"),
        (UpPlaces(Path(), host="operations.example.org"), "no authentication"),
        (UpPlaces(Path(), auth="secret"), "no colon"),
    ],
)
def test_a_server_for_everybody_without_authentication_is_refused(place: UpPlaces, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        checked_place(place)


def test_a_taken_port_is_said_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UsageError, match="is taken"):
        checked_place(UpPlaces(Path(), port=taken.getsockname()[1]))


def test_the_command_says_why_it_refuses(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "geofuse.cli", "up", "--catalog", str(tmp_path / "catalog")]
    inbox = ["--inbox", str(tmp_path / "inbox")]
    for options, words in (
        ([], "no --inbox"),
        ([*inbox, "--host", "0.0.0.0"], "no authentication"),
        ([*inbox, "--every", "soon"], "a time such as"),
    ):
        done = subprocess.run([*command, *options], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 2
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1


FLOWS = {
    "fuse-scene": "geofuse.flows.scene.fuse_scene",
    "watch-inbox": "geofuse.flows.inbox.watch_inbox",
    "fuse-batch": "geofuse.flows.batches.fuse_batch",
    "reprocess": "geofuse.flows.batches.reprocess",
    "train-scenes": "geofuse.flows.training.train_scenes",
    "clean-up": "geofuse.flows.cleanup.clean_up",
}


def entrypoints(client: SyncPrefectClient) -> dict[str, str | None]:
    """Return the entrypoint of every deployment by flow and name."""
    flows = {each.id: each.name for each in client.read_flows()}
    return {f"{flows[each.flow_id]}/{each.name}": each.entrypoint for each in client.read_deployments()}


MADE_BY_0_3 = Path(__file__).resolve().parents[1] / "upgrade" / "made_by_0_3" / "deployments.json"


def leave_old(client: SyncPrefectClient) -> None:
    """Leave with a server what geofuse 0.3 deployed, a deployment a person made of it, and one of somebody else's."""
    old = [(*each["name"].split("/"), each["entrypoint"]) for each in json.loads(MADE_BY_0_3.read_text())]
    assert len(old) == len(FLOWS)
    more = [("fuse-scene", "night", "flows.scene.fuse_scene"), ("water", "geofuse", "flows.water.levels")]
    for flow, name, entrypoint in [*old, *more]:
        made = client.create_flow_from_name(flow)
        client.create_deployment(made, name, entrypoint=entrypoint)


RENEWALS = [
    f"{', '.join(f'{flow}/geofuse' for flow in sorted(FLOWS))}: deployed by geofuse 0.3, renewed by this start",
    "fuse-scene/night: deployed by geofuse 0.3, its entrypoint flows.scene.fuse_scene is gone; "
    "write geofuse.flows.scene.fuse_scene into its prefect.yaml and run `prefect deploy` again",
]


def test_deployments_of_an_older_geofuse_are_named_with_what_to_do(server: Server) -> None:
    assert renewals(server.place) == []
    with get_client(sync_client=True) as client:
        leave_old(client)
        try:
            assert renewals(server.place) == RENEWALS
        finally:
            for each in client.read_deployments():
                client.delete_deployment(each.id)


def wait_deployed(client: SyncPrefectClient) -> None:
    """Wait until the worker has deployed every flow of this geofuse."""
    wanted = {f"{flow}/geofuse": entrypoint for flow, entrypoint in FLOWS.items()}
    until(lambda: wanted.items() <= entrypoints(client).items(), 200, "deployments of this geofuse")


def test_it_starts_where_the_user_has_flows_of_their_own(tmp_path: Path) -> None:
    with geofuse_up(tmp_path, "--no-page") as (_, place), asked(place) as client:
        assert (tmp_path / "said.txt").read_text().startswith("inbox ")
        wait_deployed(client)


@pytest.mark.slow
def test_what_an_older_geofuse_deployed_is_renewed_at_the_start(tmp_path: Path) -> None:
    with started_server(tmp_path / "catalog.state" / "up") as server, asked(server.place) as client:
        leave_old(client)
    with geofuse_up(tmp_path, "--no-page") as (_, place), asked(place) as client:
        said = (tmp_path / "said.txt").read_text().splitlines()
        assert [line.removeprefix("deployed   ") for line in said[:2]] == RENEWALS
        wait_deployed(client)


def copy_slowly(source: Path, target: Path, seconds: float) -> None:
    """Copy a folder as a slow line does: file after file, each in pieces."""
    target.mkdir()
    files = sorted(source.iterdir())
    for path in files:
        data = path.read_bytes()
        with (target / path.name).open("wb") as stream:
            for piece in np.array_split(np.frombuffer(data, np.uint8), 4):
                stream.write(piece.tobytes())
                stream.flush()
                time.sleep(seconds / len(files) / 4)


@pytest.mark.slow
def test_a_dropped_landsat_scene_goes_into_the_catalogue_by_itself(landsat: Path, tmp_path: Path) -> None:
    config = configured(tmp_path, "inbox: {settle: 8s}\n")
    (tmp_path / "inbox").mkdir()
    page = free_port()
    options = ("--config", config, "--cron", "* * * * *", "--page-port", str(page))
    with geofuse_up(tmp_path, *options) as (process, place):
        begun = time.time()
        copy_slowly(landsat, tmp_path / "inbox" / landsat.name, 100.0)
        ended = time.time()
        with asked(place) as client:
            scheduled = runs(client, "watch-inbox")
            assert len(scheduled) >= 3, "the schedule makes runs ahead of time"
            looks = [run for run in scheduled if run.start_time and run.start_time.timestamp() < ended]
            assert looks, "it was looked at while it was copied"
            assert not runs(client, "fuse-scene"), "a folder that is being copied waits"
            assert begun < ended

            def published() -> Any:
                return [run for run in runs(client, "fuse-scene") if run.state and run.state.is_final()]

            (run,) = until(published, 900, "finished scene", 2.0)
            assert run.state is not None
            assert run.state.is_completed(), run.state
            assert run.name == "LC80200392015216LGN00 ridge"
            (item,) = find(tmp_path / "catalog")
            shutil.copytree(tmp_path / "inbox" / landsat.name, tmp_path / "inbox" / "again")
            looked = len([run for run in runs(client, "watch-inbox") if run.state and run.state.is_final()])
            until(
                lambda: (
                    len([r for r in runs(client, "watch-inbox") if r.state and r.state.is_final()])
                    > looked + 1
                ),
                200,
                "two more looks",
                2.0,
            )
            assert len(runs(client, "fuse-scene")) == 1
            assert [found.version for found in find(tmp_path / "catalog")] == [item.version]
            see(place, run, tmp_path)
            with urllib.request.urlopen(f"http://127.0.0.1:{page}/api/items") as answer:
                assert [each["id"] for each in json.load(answer)["features"]] == [item.id]
        metrics = config_from({"catalog": {"folder": str(tmp_path / "catalog")}})
        assert {row.state for row in rows(metrics)} == {"published", "duplicate"}
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0
        assert not [child for child in children if child.is_running()], "nothing is left behind"


def see(place: UpPlaces, run: FlowRun, folder: Path) -> None:
    """Look at the run in a browser, which may speak to nobody but the server; keep the screenshots."""
    if not Path(BROWSER).exists():
        return
    playwright = pytest.importorskip("playwright.sync_api")
    shots = Path(os.path.abspath(folder)) / "screenshots"
    shots.mkdir()
    base = place.api.removesuffix("/api")
    with asked(place) as client:
        pages = [each for each in client.read_artifacts() if each.type == "markdown"]
    sent: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.on("requestfinished", lambda request: sent.append(request.url))
        for name, path, words in (
            ("runs", "/runs", run.name),
            ("run", f"/runs/flow-run/{run.id}", "publish"),
            ("page", f"/artifacts/artifact/{pages[0].id}", "Verdict"),
        ):
            page.goto(base + path)
            page.get_by_text(words).first.wait_for(timeout=60_000)
            page.wait_for_timeout(1500)
            page.screenshot(path=str(shots / f"{name}.png"))
        assert page.locator("img[src^='data:image/jpeg']").count() == 1
        browser.close()
    outside = [url for url in sent if not url.startswith((base, "data:", "blob:"))]
    assert not outside, "the UI reaches nobody but its server"


REVIEW = """\
inbox: {settle: 0}
catalog: {acquired: "2024-05-12T10:00:00Z"}
fuse: {method: gsa, calibrate: false}
assess: {enabled: false}
accept: {profile: review.yaml}
"""


@pytest.mark.slow
def test_what_waits_for_a_person_goes_on_by_command_or_in_the_ui(
    tmp_path: Path, drop: Callable[[Path, str], Path]
) -> None:
    (tmp_path / "review.yaml").write_text(
        "profile: review\nversion: 1\nchecks: {nodata_share: {review_above: -1.0, why: always}}\n"
    )
    config = configured(tmp_path, REVIEW)
    for name in ("by-command", "in-the-ui", "rejected"):
        drop(tmp_path / "inbox", name)
    with geofuse_up(tmp_path, "--config", config, "--every", "10s", "--no-page") as (_, place):
        with asked(place) as client:

            def states() -> dict[str, str]:
                return {r.name.split()[0]: r.state.name for r in runs(client, "fuse-scene") if r.state}

            until(lambda: list(states().values()) == ["Suspended"] * 3, 900, "three suspended runs", 1.0)
            assert not (tmp_path / "catalog" / "index.sqlite").exists() or not find(tmp_path / "catalog")
            accept = [sys.executable, "-m", "geofuse.cli", "accept", "--catalog", str(tmp_path / "catalog")]
            for name, more in (("by-command", []), ("rejected", ["--reject"])):
                subprocess.run([*accept, name, "--by", "Ann", *more], check=True, cwd=ROOT)
            (paused,) = [r for r in runs(client, "fuse-scene") if r.name.startswith("in-the-ui")]
            client.resume_flow_run(paused.id, run_input={"accept": True, "by": "Bea"})
            wanted = {"by-command": "Completed", "in-the-ui": "Completed", "rejected": "Rejected"}
            until(lambda: states() == wanted, 900, "decided runs", 1.0)
        assert len(find(tmp_path / "catalog")) == 2
        found = rows(config_from({"catalog": {"folder": str(tmp_path / "catalog")}}))
        assert {row.name: row.state for row in found} == {
            "by-command": "published",
            "in-the-ui": "published",
            "rejected": "rejected",
        }
        assert ["Bea" in row.reason for row in found if row.name == "in-the-ui"] == [True]


ADDRESS = re.compile(r'inet_(?:addr\(|pton\(AF_INET6, )"([^"]+)"')


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace")
def test_nothing_phones_home(tmp_path: Path, drop: Callable[[Path, str], Path]) -> None:
    """Every connection of every process of `geofuse up`, from its start to its end, stays on this machine."""
    drop(tmp_path / "inbox", "alpha")
    config = configured(tmp_path, REVIEW.replace("review.yaml", "generic"))
    trace = tmp_path / "trace"
    wrap = ("strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg", "-o", str(trace))
    options = ("--config", config, "--every", "10s", "--no-page")
    with geofuse_up(tmp_path, *options, before=wrap) as (_, place), asked(place) as client:

        def ended() -> list[FlowRun]:
            found = runs(client, "fuse-scene")
            return [run for run in found if run.state and (run.state.is_final() or run.state.is_paused())]

        until(ended, 900, "a run")
    found = {address for line in trace.read_text().splitlines() for address in ADDRESS.findall(line)}
    assert found, "connections were seen"
    assert {address for address in found if not ipaddress.ip_address(address).is_loopback} == set()
