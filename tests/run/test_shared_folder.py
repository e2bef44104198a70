"""A catalogue that several people keep: every file follows the umask, and a second user publishes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from geofuse.quality.simulated_pair import SimulatedPair

SECOND = """
import os, sys
from geofuse.cli import main
def publish(catalog, name):
    return main(["publish", "o.tif", "--catalog", catalog, "--acquired", "2020-01-01", "--id", name])
assert publish("own", "first") == 0   # everything that is imported when needed is there before the rights go
for user in (6001, 6002):
    child = os.fork()
    if not child:
        os.setgroups([]); os.setgid(5000); os.setuid(user); os.umask(0o002)
        os._exit(publish("shared/cat", f"by-{user}"))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, user
"""


def fuse(pair: SimulatedPair, out: Path) -> list[str]:
    words = ["fuse", "--pan", pair.pan, "--ms", pair.ms, "--out", out, "--method", "gsa", "--no-calibrate"]
    return [sys.executable, "-m", "geofuse.cli", *map(str, words)]


def run(words: list[str], folder: Path, umask: int) -> None:
    done = subprocess.run(words, cwd=folder, umask=umask, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077])
def test_every_file_follows_the_umask(pair: SimulatedPair, tmp_path: Path, umask: int) -> None:
    cli = [sys.executable, "-m", "geofuse.cli"]
    run(fuse(pair, tmp_path / "o.tif"), tmp_path, umask)
    for name in ("one", "two"):
        run(
            [*cli, "publish", "o.tif", "--catalog", "cat", "--acquired", "2020-01-01", "--id", name],
            tmp_path,
            umask,
        )
    run([*cli, "catalog", "list", "cat"], tmp_path, umask)
    wrong = {
        str(path.relative_to(tmp_path)): oct(stat.S_IMODE(path.stat().st_mode))
        for path in tmp_path.rglob("*")
        if stat.S_IMODE(path.stat().st_mode) != (0o777 if path.is_dir() else 0o666) & ~umask
    }
    assert wrong == {}
    assert (tmp_path / "cat" / "index.sqlite").is_file()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two other users: run the tests as root")
def test_a_second_user_of_the_group_publishes(pair: SimulatedPair) -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are for their owner alone
        Path(folder).chmod(0o755)
        _two_publish(pair, Path(folder))


def _two_publish(pair: SimulatedPair, tmp_path: Path) -> None:
    run(fuse(pair, tmp_path / "o.tif"), tmp_path, 0o022)
    shared = tmp_path / "shared"
    shared.mkdir()
    os.chown(shared, 0, 5000)
    shared.chmod(0o2775)
    run([sys.executable, "-c", SECOND], tmp_path, 0o002)
    listed = [sys.executable, "-m", "geofuse.cli", "catalog", "list", "shared/cat"]
    said = subprocess.run(listed, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "by-6001" in said
    assert "by-6002" in said
    foreign = [path for path in shared.rglob("*") if path.stat().st_gid != 5000]
    assert foreign == []
