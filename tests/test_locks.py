"""Locks: one holder, the dead hold nothing, on file systems with locks and without."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from geofuse import locks
from geofuse.errors import LockedError, WriteError
from geofuse.locks import locked

REPOSITORY = Path(__file__).parents[1]
WITHOUT = """
import errno, fcntl
def none(*_):
    raise OSError(errno.ENOSYS, "no locks here")
fcntl.flock = none
"""
KINDS = ["locks", "ENOSYS", "ENOLCK", "EOPNOTSUPP"]


@pytest.fixture(params=KINDS)
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file system with locks, or one that answers flock so; what a process of its own starts with."""
    if request.param == "locks":
        return ""

    def none(*_: object) -> None:
        raise OSError(getattr(errno, request.param), "no locks here")

    monkeypatch.setattr(fcntl, "flock", none)
    return WITHOUT.replace("ENOSYS", request.param)


def test_a_folder_that_is_not_there_is_a_write_error(tmp_path: Path, system: str) -> None:
    with pytest.raises(WriteError), locked(tmp_path / "none" / "x.tif"):
        pass


def test_an_output_is_held_by_one(tmp_path: Path, system: str) -> None:
    out = tmp_path / "x.tif"
    with locked(out):
        with pytest.raises(LockedError, match=r"x\.tif") as caught, locked(out):
            pass
        assert caught.value.exit_status == 4
        with locked(tmp_path / "y.tif"):
            pass
    with locked(out):
        pass
    assert not list(tmp_path.iterdir())


def test_it_is_let_go_on_a_fault(tmp_path: Path, system: str) -> None:
    out = tmp_path / "x.tif"
    with pytest.raises(ValueError, match="mine"), locked(out):
        raise ValueError("mine")
    with locked(out):
        pass


HOLD = """
import sys, time
from pathlib import Path
from geofuse.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_process_holds_nothing(tmp_path: Path, system: str) -> None:
    out = tmp_path / "x.tif"
    holder = subprocess.Popen(
        [sys.executable, "-c", system + HOLD, str(out)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(LockedError), locked(out):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    assert list(tmp_path.iterdir()), "its lock file is still there"
    with locked(out):
        pass
    assert not list(tmp_path.iterdir())


COUNT = """
import sys, time
from pathlib import Path
from geofuse.errors import LockedError
from geofuse.locks import locked
out, counter = Path(sys.argv[1]), Path(sys.argv[2])
held, end = 0, time.monotonic() + 1.5
while time.monotonic() < end:
    try:
        with locked(out):
            number = int(counter.read_text())
            counter.write_text(str(number + 1))
            held += 1
    except LockedError:
        pass
print(held)
"""


def test_many_at_once_are_never_two(tmp_path: Path, system: str) -> None:
    """Each holder removes the lock file on leaving, under the eyes of those who just opened it."""
    counter = tmp_path / "counter"
    counter.write_text("0")
    command = [sys.executable, "-c", system + COUNT, str(tmp_path / "x.tif"), str(counter)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) for _ in range(4)]
    held = [int(run.communicate()[0]) for run in runs]
    assert [run.returncode for run in runs] == [0] * 4
    assert int(counter.read_text()) == sum(held) > 50
    assert [path.name for path in tmp_path.iterdir()] == ["counter"]


def test_a_holder_on_another_host_is_gone_when_it_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks here")

    monkeypatch.setattr(fcntl, "flock", none)
    held = tmp_path / ".x.tif.lock.held"
    held.write_text(json.dumps({"host": f"not-{socket.gethostname()}", "pid": 1, "born": "1"}))
    with pytest.raises(LockedError), locked(tmp_path / "x.tif"):
        pass
    old = time.time() - 2 * locks.STALE_S
    os.utime(held, (old, old))
    with locked(tmp_path / "x.tif"):
        assert json.loads(held.read_text())["host"] == socket.gethostname()
    assert not list(tmp_path.iterdir())


def test_a_holder_shows_that_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks here")

    monkeypatch.setattr(fcntl, "flock", none)
    monkeypatch.setattr(locks, "BEAT_S", 0.05)
    with locked(tmp_path / "x.tif"):
        held = tmp_path / ".x.tif.lock.held"
        os.utime(held, (0.0, 0.0))
        stop = time.monotonic() + 5.0
        while held.stat().st_mtime == 0.0:
            assert time.monotonic() < stop
            time.sleep(0.02)


@pytest.mark.skipif(not shutil.which("strace"), reason="no strace: install it to refuse a system call")
def test_a_kernel_that_refuses_flock(tmp_path: Path) -> None:
    code = HOLD.replace(
        "time.sleep(60)", "print(sorted(path.name for path in Path(sys.argv[1]).parent.iterdir()))"
    )
    command = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "inject=flock:error=ENOLCK",
        sys.executable,
        "-c",
        code,
    ]
    done = subprocess.run([*command, str(tmp_path / "x.tif")], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.stdout.splitlines() == ["held", "['.x.tif.lock', '.x.tif.lock.held']"], done.stderr
    assert not list(tmp_path.iterdir())
