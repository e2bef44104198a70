"""Products into an object store: a real S3-compatible server, in a process of its own."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import S3Store
from scenery import fuse, status

import geofuse.rasters.cog.objects as objects
import geofuse.run.delivery as delivery
import geofuse.run.engine as engine
from geofuse.cli import main
from geofuse.quality.simulated_pair import SimulatedPair

OPTIONS = ("--no-calibrate", "--method", "exp", "--compress", "none")
"""A product of four pieces: 29 MB."""
NAMES = ["a/x.json", "a/x.png", "a/x.tif"]
OUT = "s3://products/a/x.tif"


class Server:
    """moto's S3, seen through plain requests."""

    def __init__(self, port: int) -> None:
        self.port, self.address = port, f"http://127.0.0.1:{port}"
        words = ["-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        self.process = subprocess.Popen([sys.executable, *words], stderr=subprocess.DEVNULL)
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            except OSError:
                assert self.process.poll() is None
                time.sleep(0.02)

    @property
    def store(self) -> S3Store:
        known = {"access_key_id": "who", "secret_access_key": "secret", "region": "us-east-1"}
        return S3Store("products", endpoint=self.address, client_options={"allow_http": True}, **known)

    def get(self, key: str) -> bytes:
        return bytes(obstore.get(self.store, key).bytes())

    def ask(self, what: str, *, method: str = "GET", data: bytes | None = None) -> bytes:
        kind = {"Content-Type": "text/plain"}
        request = urllib.request.Request(f"{self.address}/{what}", data=data, method=method, headers=kind)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def names(self) -> list[str]:
        return re.findall(r"<Key>(.*?)</Key>", self.ask("products?list-type=2").decode())

    def unfinished(self) -> list[str]:
        return re.findall(r"<Key>(.*?)</Key>", self.ask("products?uploads").decode())

    def empty(self) -> None:
        self.ask("moto-api/reset", method="POST")
        self.ask("products", method="PUT")

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    server = Server(free_port())
    yield server
    server.end()


@pytest.fixture
def surroundings(running: Server, tmp_path: Path) -> Iterator[Path]:
    """The environment of a user of the store; gives the folder of the work."""
    found = {
        "AWS_ENDPOINT_URL": running.address,
        "AWS_ACCESS_KEY_ID": "who",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
        "GEOFUSE_WORK": str(tmp_path / "work"),
        "GEOFUSE_STORE_RETRY_S": "20",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in found.items():
            patch.setenv(name, value)
        yield tmp_path / "work"


@pytest.fixture
def server(running: Server, surroundings: Path) -> Server:
    """The server with one empty bucket."""
    running.empty()
    return running


@pytest.fixture(scope="module")
def reference(pair: SimulatedPair, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same product on a disk."""
    return fuse(tmp_path_factory.mktemp("disk") / "x.tif", pair.pan, pair.ms, *OPTIONS)


def put(pair: SimulatedPair, *options: str, out: str = OUT) -> int:
    return status(out, pair.pan, pair.ms, *OPTIONS, *options)  # type: ignore[arg-type]


def fault(capsys: pytest.CaptureFixture[str]) -> str:
    text = capsys.readouterr().err
    assert re.fullmatch(r"geofuse: error \[[a-z]+\] [^\n]+\n", text), text
    return text


def check(server: Server, reference: Path, work: Path) -> None:
    """The product is there, whole, with its companions and nothing else, the same bytes as on a disk."""
    assert sorted(server.names()) == NAMES
    assert server.unfinished() == []
    for name in NAMES:
        assert server.get(name) == (reference.parent / name[2:]).read_bytes(), name
    assert not work.exists() or not list(work.iterdir()), "nothing stays on this machine"


def test_a_product_in_a_store_is_the_one_on_a_disk(
    server: Server,
    pair: SimulatedPair,
    reference: Path,
    surroundings: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert put(pair) == 0
    check(server, reference, surroundings)
    found = obstore.get(server.store, "a/x.tif")
    assert found.attributes["Content-Type"].startswith("image/tiff; application=geotiff")
    assert (found.meta["e_tag"] or "").endswith('-4"'), "four pieces"
    assert main(["verify", OUT]) == 0
    time.sleep(1.1)
    assert put(pair, "--tile", "512") == 0
    assert obstore.head(server.store, "a/x.tif")["last_modified"] == found.meta["last_modified"]

    assert put(pair, "--bands", "1") == 2
    assert "[exists]" in fault(capsys)
    check(server, reference, surroundings)
    assert put(pair, "--bands", "1", "--overwrite") == 0
    assert server.get("a/x.tif") != reference.read_bytes()
    assert main(["verify", OUT]) == 0


def test_workers_of_a_cluster_write_the_parts_and_one_uploads_the_product(
    server: Server,
    pair: SimulatedPair,
    reference: Path,
    tmp_path: Path,
    surroundings: Path,
    dask_address: str,
) -> None:
    shared = tmp_path / "shared"
    assert put(pair, "--scheduler", dask_address) == 2, "the user's cache is no shared folder"
    assert put(pair, "--scheduler", dask_address, "--work", str(shared), "--tile", "512") == 0
    check(server, reference, surroundings)
    assert not list(shared.iterdir())


def test_a_run_killed_while_it_uploads_goes_on_without_fusing_again(
    server: Server,
    pair: SimulatedPair,
    reference: Path,
    surroundings: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = (
        "import sys, time; import geofuse.rasters.cog.objects as o; from geofuse.cli import main\n"
        "pieces = o._pieces\n"
        "def slow(*words):\n"
        "    for piece in pieces(*words):\n"
        "        yield piece; print('piece', flush=True); time.sleep(60)\n"
        "o._pieces = slow; main(sys.argv[1:])"
    )
    words = ["fuse", "--pan", str(pair.pan), "--ms", str(pair.ms), "--out", OUT, "--no-progress", *OPTIONS]
    run = subprocess.Popen([sys.executable, "-c", script, *words], stdout=subprocess.PIPE)
    assert run.stdout is not None
    assert run.stdout.readline() == b"piece\n"
    run.send_signal(signal.SIGKILL)
    run.wait()
    run.stdout.close()
    waiting = server.names()
    assert len(waiting) == 2
    assert all(name.startswith("a/.x.tif.parts/") for name in waiting), "nothing has its name yet"

    monkeypatch.setattr(engine, "_make", lambda *words: pytest.fail("fused again"))
    assert put(pair) == 0
    assert sorted(server.names()) == NAMES
    assert server.get("a/x.tif") == reference.read_bytes()
    # what obstore cannot see of a process that died, the store's own rule for such leftovers removes
    assert server.unfinished() in ([], ["a/x.tif"])


@pytest.mark.parametrize("by", ["verify", "the next run"])
def test_a_run_killed_between_the_tif_and_its_companions_is_finished(
    server: Server,
    pair: SimulatedPair,
    reference: Path,
    surroundings: Path,
    monkeypatch: pytest.MonkeyPatch,
    by: str,
) -> None:
    def stop(*words: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(delivery, "_name_companions", stop)
    assert put(pair) == 130
    assert [name for name in server.names() if "parts" not in name] == ["a/x.tif"]
    monkeypatch.undo()
    assert (main(["verify", OUT]) if by == "verify" else put(pair)) == 0
    assert sorted(server.names()) == NAMES
    assert server.get("a/x.json") == reference.with_suffix(".json").read_bytes()


def test_a_fault_in_an_upload_leaves_no_pieces_behind(
    server: Server,
    pair: SimulatedPair,
    reference: Path,
    surroundings: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def torn(path: Path, *words: Any) -> Iterator[bytes]:
        yield path.read_bytes()[: 9 << 20]
        assert server.unfinished() == ["a/x.tif"]
        with objects.read_faults(path):
            raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(objects, "_pieces", torn)
        assert put(pair) == 4
    assert "[read]" in fault(capsys)
    assert server.unfinished() == []
    assert "a/x.tif" not in server.names()
    assert put(pair) == 0
    check(server, reference, surroundings)


def test_a_server_that_stalls_costs_time_and_one_that_is_away_a_second_run(
    server: Server,
    pair: SimulatedPair,
    reference: Path,
    surroundings: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    original = delivery._upload

    def stalled(*words: Any) -> None:
        server.process.send_signal(signal.SIGSTOP)
        threading.Timer(1.0, server.process.send_signal, (signal.SIGCONT,)).start()
        original(*words)

    def away(*words: Any) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
        words[0].__dict__.pop("store")
        original(*words)

    monkeypatch.setenv("GEOFUSE_STORE_RETRY_S", "0.5")
    with monkeypatch.context() as patch:
        patch.setattr(delivery, "_upload", away)
        assert put(pair) == 4
    assert "[store]" in fault(capsys)
    assert server.names() == []
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.address)
    with monkeypatch.context() as patch:
        patch.setattr(delivery, "_upload", stalled)
        patch.setattr(engine, "_make", lambda *words: pytest.fail("fused again"))
        assert put(pair) == 0
    check(server, reference, surroundings)


def test_stores_that_do_not_let_us_in_are_named_before_the_work(
    server: Server,
    pair: SimulatedPair,
    surroundings: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(engine, "_make", lambda *words: pytest.fail("worked"))
    monkeypatch.setenv("GEOFUSE_STORE_RETRY_S", "0.5")
    assert put(pair, out="s3://nowhere/x.tif") == 2
    assert "[bucket] s3://nowhere/x.tif: there is no such bucket" in fault(capsys)
    server.ask("moto-api/reset-auth", method="POST", data=b"0")
    try:
        assert put(pair) == 2
        assert "[bucket]" in fault(capsys)
    finally:
        server.ask("moto-api/reset-auth", method="POST", data=b"inf")
    with monkeypatch.context() as patch:
        patch.delenv("AWS_ACCESS_KEY_ID")
        patch.delenv("AWS_SECRET_ACCESS_KEY")
        patch.setenv("AWS_METADATA_ENDPOINT", f"http://127.0.0.1:{free_port()}")
        patch.setenv("HOME", str(surroundings))
        assert put(pair) == 2
        assert "no credentials" in fault(capsys)
    with monkeypatch.context() as patch:
        patch.delenv("AWS_ALLOW_HTTP")
        assert put(pair) == 2
        assert "AWS_ALLOW_HTTP" in fault(capsys)
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
        assert put(pair) == 4
        assert "[store]" in fault(capsys)
    assert main(["verify", "s3://products/none.tif"]) == 2
    assert "there is no such product" in fault(capsys)
    assert server.names() == []


@pytest.mark.parametrize(
    "out", ["ftp://host/x.tif", "s3://", "s3://b", "s3://b/", "s3://b/x.png", "s3://b//x.tif"]
)
def test_addresses_that_are_none_are_refused(
    pair: SimulatedPair, out: str, capsys: pytest.CaptureFixture[str], surroundings: Path
) -> None:
    assert put(pair, out=out) == 2
    assert "[usage]" in fault(capsys)


@pytest.mark.parametrize("size", [1, 5 << 20, 80 << 30, (80 << 30) + 1, 5 << 40])
def test_no_product_needs_more_pieces_than_a_store_takes(size: int) -> None:
    piece = objects.piece_bytes(size)
    assert piece >= 5 << 20
    assert -(-size // piece) <= 10_000


@pytest.mark.parametrize("harm", ["flip", "lose"])
def test_verify_reads_every_byte_in_the_store(
    server: Server, pair: SimulatedPair, harm: str, surroundings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert put(pair, "--window", "0", "0", "300", "300") == 0
    assert main(["verify", OUT]) == 0
    if harm == "lose":
        obstore.delete(server.store, "a/x.json")
    else:
        data = bytearray(server.get("a/x.tif"))
        data[len(data) // 2] ^= 1
        obstore.put(server.store, "a/x.tif", bytes(data))
    capsys.readouterr()
    assert main(["verify", OUT]) == 2
    assert "[verify] s3://products/a/x.tif" in fault(capsys)
