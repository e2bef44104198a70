"""What breaks around a run: workers and clusters that die, storage that fails, inputs and outputs that get lost."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from scenery import fuse, north_up, status, write

import geofuse.run.engine as engine
import geofuse.run.executors as executors
import geofuse.run.fuse as fusing
from geofuse.cli import main
from geofuse.errors import CorruptError, UsageError, WorkerError
from geofuse.quality.simulated_pair import SimulatedPair
from geofuse.rasters.ledger import json_path, parts_dir, png_path
from geofuse.run.executors import Dask, Executor, Serial, Threads, executor
from geofuse.run.plans.tiles import Tile, tiles_of

REPOSITORY = Path(__file__).parents[2]
needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None, reason="no strace here to inject faults with"
)


def command(pair: SimulatedPair, out: Path, *more: str, calibrated: bool = False) -> list[str]:
    base = ["fuse", "--pan", str(pair.pan), "--ms", str(pair.ms), "--out", str(out), "--no-progress"]
    look = [] if calibrated else ["--no-calibrate"]
    level = [] if "--level" in more else ["--level", "1"]
    return [*base, "--tile", "512", *level, *look, *more]


def fault(capsys: pytest.CaptureFixture[str]) -> str:
    """Return what stands on stderr, which must be one line with a code."""
    text = capsys.readouterr().err
    assert re.fullmatch(r"geofuse: error \[[a-z]+\] [^\n]+\n", text), text
    return text


# --- executors -------------------------------------------------------------------------------------------------


def unsteady(shared: float, item: int) -> tuple[int, float]:
    time.sleep(0.002 * (item * 7 % 5))
    return item, shared


def failing(shared: int, item: int) -> int:
    time.sleep(0.005)
    if item == shared:
        raise CorruptError(f"item {item}", wanted="another", do="x", path="p")
    return item


def deadly(shared: int, item: Tile) -> int:
    if item.index == shared:
        time.sleep(0.3)
        os._exit(1)
    return item.index


def deadly_at_once(shared: object, item: int) -> None:
    os._exit(1)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Dask]:
    """A local cluster of our own, whose workers may be killed."""
    with executor("dask", 2) as runner:
        assert isinstance(runner, Dask)
        yield runner


@pytest.fixture(params=["serial", "threads", "dask"])
def runner(request: pytest.FixtureRequest) -> Executor:
    if request.param == "dask":
        return request.getfixturevalue("cluster")
    return Serial() if request.param == "serial" else Threads(3)


def test_results_come_in_the_order_of_the_items(runner: Executor) -> None:
    assert list(runner.map(unsteady, 0.5, range(30))) == [(item, 0.5) for item in range(30)]
    assert list(runner.map(unsteady, 0.5, [])) == []


def test_the_first_fault_is_raised_as_it_was_and_the_rest_dropped(runner: Executor) -> None:
    results = runner.map(failing, 4, range(1000))
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(CorruptError) as caught:
        next(results)
    assert str(caught.value) == "p: item 4; wanted another; x"
    assert list(runner.map(failing, -1, range(5))) == list(range(5)), "and it works on"


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_threads_never_run_far_ahead_of_who_asks(workers: int) -> None:
    started: list[int] = []

    def task(shared: object, item: int) -> int:
        started.append(item)
        return item

    results = Threads(workers).map(task, None, range(60))
    assert started == [], "nothing before it is asked for"
    for item in results:
        time.sleep(0.003)
        assert len(started) <= item + 1 + 2 * workers
    assert len(started) == 60


def test_threads_end_with_who_asked() -> None:
    started: list[int] = []

    def task(shared: object, item: int) -> int:
        started.append(item)
        time.sleep(0.01)
        return item

    results = Threads(2).map(task, None, range(1000))
    assert next(results) == 0
    results.close()
    count = len(started)
    assert count <= 5
    assert not [one for one in threading.enumerate() if one.name.startswith("geofuse_")]
    assert len(started) == count


def test_schedulers_by_name() -> None:
    with executor("serial", 4) as one, executor("threads", 1) as two, executor("threads", 3) as three:
        assert isinstance(one, Serial)
        assert isinstance(two, Serial)
        assert isinstance(three, Threads)


@pytest.mark.parametrize(
    "name",
    ["", "dusk", "tcp://", "tcp://127.0.0.1", "tcp://a b:1", "http://127.0.0.1:1", "tls://127.0.0.1:1"],
)
def test_schedulers_that_are_none_are_refused_at_once(name: str) -> None:
    with pytest.raises(UsageError), executor(name, 2):
        pass


# --- workers and clusters --------------------------------------------------------------------------------------


SLOW = ("--window", "200", "200", "1000", "1000", "--level", "12")
"""Four tiles that take long enough for something to happen meanwhile."""


@pytest.fixture(scope="module")
def undisturbed(pair: SimulatedPair, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What comes of them when nothing happens."""
    out = tmp_path_factory.mktemp("undisturbed") / "x.tif"
    assert main(command(pair, out, *SLOW)) == 0
    return out.read_bytes()


def test_a_worker_killed_in_a_run_costs_nothing_but_time(
    pair: SimulatedPair, tmp_path: Path, cluster: Dask, undisturbed: bytes
) -> None:
    out = tmp_path / "x.tif"
    victims = list(cluster.client.run(os.getpid).values())
    killed: list[int] = []

    def kill() -> None:
        while not killed and not out.exists():
            if list(parts_dir(out).glob("*.part")):
                os.kill(victims[0], signal.SIGKILL)
                killed.append(victims[0])
            time.sleep(0.01)

    killer = threading.Thread(target=kill)
    killer.start()
    address = cluster.client.scheduler.address
    assert main(command(pair, out, *SLOW, "--scheduler", address)) == 0
    killer.join()
    assert killed, "the run was over before the worker could be killed"
    assert out.read_bytes() == undisturbed


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_work_goes_on_though_every_worker_died(workers: int) -> None:
    """What all tasks share is there again for the workers that come after."""
    with executor("dask", workers) as runner:
        results = runner.map(unsteady, 0.25, range(200))
        found = [next(results)]
        for pid in runner.client.run(os.getpid).values():
            os.kill(pid, signal.SIGKILL)
        found += results
    assert found == [(item, 0.25) for item in range(200)]


@pytest.mark.parametrize("bad", [*(pytest.param(bad, marks=pytest.mark.slow) for bad in (0, 5)), 11])
def test_a_tile_that_always_kills_its_worker_is_named(bad: int) -> None:
    """And not one of those that happened to lie on the same worker."""
    named = rf"^tile {bad} \(rows \d+\.\.\d+, columns .*killed its worker 3 times"
    with executor("dask", 2) as runner:
        began = time.monotonic()
        with pytest.raises(WorkerError, match=named) as caught:
            list(runner.map(deadly, bad, tiles_of(3 * 512, 4 * 512, 512)))
        assert time.monotonic() - began < 60.0
    assert caught.value.exit_status == 4


@pytest.mark.slow
def test_workers_that_die_before_they_are_up_are_no_endless_wait() -> None:
    began = time.monotonic()
    with (
        executor("dask", 1) as runner,
        pytest.raises(WorkerError, match=r"killed its worker|no worker is left"),
    ):
        list(runner.map(deadly_at_once, None, range(20)))
    assert time.monotonic() - began < 60.0


def test_a_cluster_that_ends_in_a_run_is_one_line(
    pair: SimulatedPair, tmp_path: Path, capfd: pytest.CaptureFixture[str], undisturbed: bytes
) -> None:
    out = tmp_path / "x.tif"
    with executor("dask", 1) as runner:
        owner = runner.client.cluster

        def end() -> None:
            while not list(parts_dir(out).glob("*.part")):
                time.sleep(0.01)
            owner.close()

        ender = threading.Thread(target=end)
        ender.start()
        assert main(command(pair, out, *SLOW, "--scheduler", runner.client.scheduler.address)) == 4
        ender.join()
    text = capfd.readouterr().err
    assert re.search(r"^geofuse: error \[worker\] the cluster was lost at tile \d", text, re.M), text
    assert "Traceback" not in text
    assert not out.exists()
    kept = len(list(parts_dir(out).glob("*.part")))
    assert kept >= 1
    assert main(command(pair, out, *SLOW)) == 0
    assert out.read_bytes() == undisturbed


def test_workers_of_another_release_are_refused(
    pair: SimulatedPair,
    tmp_path: Path,
    cluster: Dask,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(executors, "__version__", "99.0")
    assert main(command(pair, tmp_path / "x.tif", "--scheduler", cluster.client.scheduler.address)) == 4
    text = fault(capsys)
    assert "wanted 99.0" in text
    assert not list(tmp_path.iterdir())


def test_workers_without_geofuse_are_named(tmp_path: Path) -> None:
    def start(module: str, *words: str) -> subprocess.Popen[bytes]:
        code = f"import sys; sys.modules['geofuse'] = None; from distributed.cli.{module} import main; main()"
        return subprocess.Popen(
            [sys.executable, "-c", code, *words, "--scheduler-file", "place.json"],
            cwd=tmp_path,
            stderr=subprocess.DEVNULL,
        )

    scheduler = start("dask_scheduler", "--port", "0", "--dashboard-address", ":0", "--host", "127.0.0.1")
    worker = start("dask_worker", "--nthreads", "1", "--no-nanny", "--no-dashboard")
    try:
        address = None
        while address is None:
            time.sleep(0.05)
            assert scheduler.poll() is None
            if (tmp_path / "place.json").exists():
                address = re.search(r"tcp://[\d.:]+", (tmp_path / "place.json").read_text())
        with pytest.raises(WorkerError, match="cannot load geofuse"), executor(address[0], 1) as runner:
            list(runner.map(unsteady, 0.5, [1, 2, 3]))
    finally:
        for process in (worker, scheduler):
            process.kill()
            process.wait()


# --- storage ---------------------------------------------------------------------------------------------------


def traced(pair: SimulatedPair, out: Path, trace: Path, *inject: str) -> subprocess.CompletedProcess[str]:
    """Fuse in a process of its own, its reads of PAN traced or failing; they are counted thread by thread."""
    calls = "read,pread64,readv,preadv"
    watched = [
        "-P",
        str(pair.pan),
        "-e",
        f"trace={calls}",
        *(f"-einject={calls}:{fault}" for fault in inject),
    ]
    small = ("--scheduler", "serial", "--method", "gsa", "--window", "256", "256", "400", "400")
    words = command(pair, out, *small, calibrated=True)
    running = [sys.executable, "-m", "geofuse.cli", *words]
    tracing = ["strace", "-f", "--seccomp-bpf", "-o", str(trace), *watched]
    return subprocess.run([*tracing, *running], capture_output=True, text=True, cwd=REPOSITORY, timeout=120)


@needs_strace
def test_storage_that_fails_under_a_run_is_a_read_error(pair: SimulatedPair, tmp_path: Path) -> None:
    """At the first byte, in the header, while calibrating, in the last pixels; one that passes does no harm."""
    reference, trace = tmp_path / "reference.tif", tmp_path / "trace"
    assert traced(pair, reference, trace).returncode == 0
    threads = re.findall(r"^(\d+) +p?readv?(?:64)?\(", trace.read_text(), re.MULTILINE)
    reads = threads.count(threads[0])
    out = tmp_path / "x.tif"
    for when in (1, 9, reads // 3, reads):
        done = traced(pair, out, trace, f"error=EIO:when={when}+")
        assert done.returncode == 4, done.stderr
        assert re.fullmatch(rf"geofuse: error \[read\] {re.escape(str(pair.pan))}: [^\n]+\n", done.stderr)
        assert not out.exists()
        assert parts_dir(out).exists() == (when == reads)
    done = traced(pair, out, trace, f"error=EIO:when={reads - 1}")
    assert (done.returncode, done.stderr) == (0, "")
    assert out.read_bytes() == reference.read_bytes()


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def another(path: Path) -> None:
    """Put another good raster there."""
    write(path.with_suffix(".new"), np.full((4, 64, 64), 9, "uint16"), north_up(2.0))
    path.with_suffix(".new").replace(path)


def longer(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"more")


@pytest.mark.parametrize(
    ("role", "moment"),
    [("pan", "before the first pass"), ("ms", "before the second pass"), ("pan", "at the end")],
)
@pytest.mark.parametrize(
    "harm", [Path.unlink, cut, another, longer], ids=["deleted", "cut", "replaced", "grown"]
)
def test_an_input_harmed_in_a_run_is_named_and_nothing_is_published(
    pair: SimulatedPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    harm: Callable[[Path], Any], role: str, moment: str,
) -> None:  # fmt: skip
    files = {name: shutil.copy2(getattr(pair, name), tmp_path / f"{name}.tif") for name in ("pan", "ms")}
    victim = Path(files[role])
    kept = shutil.copy2(victim, tmp_path / "kept")
    step = {
        "before the first pass": "fit_plan",
        "before the second pass": "make_parts",
        "at the end": "lay_down",
    }[moment]
    module = fusing if step == "fit_plan" else engine
    original = getattr(module, step)

    def meddle(*args: Any, **kwargs: Any) -> Any:
        harm(victim)
        return original(*args, **kwargs)

    out = tmp_path / "out" / "x.tif"
    out.parent.mkdir()
    monkeypatch.setattr(module, step, meddle)
    options = ["--workers", "1", "--window", "256", "256", "512", "512", "--method", "gsa"]
    arguments = [*command(SimulatedPair(Path(files["pan"]), Path(files["ms"]), pair.truth), out), *options]
    assert main(arguments) == 4
    text = fault(capsys)
    assert "[changed]" in text or "[read]" in text
    assert str(victim) in text
    assert not [path for path in out.parent.iterdir() if not path.name.startswith(".")]
    monkeypatch.undo()
    victim.unlink(missing_ok=True)
    shutil.copy2(kept, victim)
    assert main(arguments) == 0, "whole again, the same command goes on"
    assert main(["verify", str(out)]) == 0


# --- outputs ---------------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, Path]:
    """A pair of a few pixels."""
    folder = tmp_path / "in"
    folder.mkdir()
    ramp = np.arange(32 * 32, dtype="uint16").reshape(1, 32, 32)
    return write(folder / "pan.tif", ramp, north_up(0.5)), write(
        folder / "ms.tif", ramp[:, ::4, ::4], north_up(2.0)
    )


@pytest.mark.parametrize("name", ["x.json", "x.png", "x", "x.tif.gz", ".tif"])
def test_names_that_are_no_products_are_refused(
    small: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert status(tmp_path / name, *small) == 2
    assert "[usage]" in fault(capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


@pytest.mark.parametrize("place", ["/", "", ".", "in", "folder.tif"])
def test_a_folder_is_no_product(
    small: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: str,
) -> None:
    (tmp_path / "folder.tif").mkdir()
    monkeypatch.chdir(tmp_path)
    for options in ([], ["--overwrite"]):
        assert main(["fuse", "--pan", str(small[0]), "--ms", str(small[1]), "--out", place, *options]) == 2
        assert "[usage]" in fault(capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.tif", "in"]


def test_an_input_is_never_replaced(
    small: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in small}
    link = tmp_path / "link.tif"
    link.symlink_to(small[0])
    for out in (*small, small[0].parent / ".." / "in" / "pan.tif", link):
        for options in ([], ["--overwrite"]):
            assert status(out, *small, *options) == 2
            assert "would replace an input" in fault(capsys)
    assert {path: path.read_bytes() for path in small} == before
    # also not by what lies beside a product
    ms = small[1].rename(small[1].with_suffix(".png"))
    assert status(tmp_path / "in" / "ms.tif", small[0], ms, "--overwrite") == 2
    assert "would replace an input" in fault(capsys)
    assert ms.read_bytes() == before[small[1]]


@pytest.mark.parametrize("ending", [".json", ".png"])
def test_what_lies_beside_a_new_product_is_not_lost(
    small: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    notes = tmp_path / f"x{ending}"
    notes.write_text('{"type": "FeatureCollection"}')
    out = tmp_path / "x.tif"
    assert status(out, *small) == 2
    text = fault(capsys)
    assert "[exists]" in text
    assert f"x{ending}" in text
    assert notes.read_text() == '{"type": "FeatureCollection"}'
    assert not out.exists()
    assert status(out, *small, "--overwrite") == 0
    assert main(["verify", str(out)]) == 0


def test_two_products_do_not_share_their_companions(
    small: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fuse(tmp_path / "x.tif", *small)
    assert status(tmp_path / "x.tiff", *small) == 2
    assert "[exists]" in fault(capsys)
    assert main(["verify", str(tmp_path / "x.tif")]) == 0
    (tmp_path / "x.tif").unlink()  # a product that was thrown away may come again
    fuse(tmp_path / "x.tif", *small)


def test_a_renamed_product_is_still_that_product(small: tuple[Path, Path], tmp_path: Path) -> None:
    out = fuse(tmp_path / "x.tif", *small)
    new = tmp_path / "y.tif"
    for place in (json_path, png_path):
        place(out).rename(place(new))
    out.rename(new)
    assert main(["verify", str(new)]) == 0
    made = new.stat().st_mtime_ns
    assert status(new, *small) == 0
    assert new.stat().st_mtime_ns == made


@pytest.mark.parametrize("name", ["Zürich 東京", "a 'b' \"c\" $(d) ;e", "-f", "x.y.z", "%s{0}\\n", "é" * 100])
def test_names_of_every_kind(small: tuple[Path, Path], tmp_path: Path, name: str) -> None:
    pan = small[0].rename(tmp_path / f"{name}.tif")
    (tmp_path / "out").mkdir()
    out = fuse(tmp_path / "out" / f"{name}.tif", pan, small[1])
    assert main(["verify", str(out)]) == 0
    assert main(["inspect", "--pan", str(pan), "--ms", str(small[1]), "--json"]) == 0
    with rasterio.open(out) as made:
        assert made.tags()["TIFFTAG_IMAGEDESCRIPTION"].endswith("fused by mtf-glp-hpm-r")


def test_a_name_too_long_for_the_disk_is_a_write_error(
    small: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(tmp_path / f"{'x' * 251}.tif", *small) == 4
    assert "[write]" in fault(capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_a_file_where_the_parts_belong_is_a_write_error(
    small: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.tif"
    parts_dir(out).write_text("mine")
    assert status(out, *small) == 4
    assert "[write]" in fault(capsys)
    assert parts_dir(out).read_text() == "mine"
