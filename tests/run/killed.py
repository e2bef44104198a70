"""Run a publish in forked children that are killed by SIGKILL at their n-th change of the disk, for every n.

    python killed.py FIRST.tif SECOND.tif WORK STRIDE

For each of: publish FIRST into nothing; publish SECOND over FIRST; remove; after every kill the catalogue must be
readable, and the same action again must end as if nothing had happened. Prints one JSON line.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas  # noqa: F401  (loaded once, before the forks)
import pyarrow.parquet  # noqa: F401

from geofuse.archive import catalog
from geofuse.archive.catalog_check import catalog_problems
from geofuse.archive.publishing import publish

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "sqlite3.connect"}
LEFT_OVER = (
    *("no collection links to it", "leads to no file: ../collection.json"),  # nothing leads to the item yet
    "is missing; `geofuse catalog rebuild` makes it",
)


def in_child(action: Callable[[], Any], kill_at: int | None) -> bool:
    """Act in a child, killed before its `kill_at`-th change; says whether it came to its end."""
    pid = os.fork()
    if pid == 0:
        left = [kill_at]

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wxa")
            if left[0] is not None and (event in CHANGES or writes):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        status = 1
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, f"failed at change {kill_at}"
    return not os.WIFSIGNALED(status)


def names(folder: Path) -> list[str]:
    """List all that is there, relative."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def torture(base: Path, work: Path, action: Callable[[Path], Any], stride: int) -> int:
    """Kill an action at every `stride`-th change; returns the number of kills."""
    wanted, folder = work / "wanted", work / "torn"
    shutil.rmtree(wanted, ignore_errors=True)
    shutil.copytree(base, wanted) if base.is_dir() else wanted.mkdir()
    assert in_child(lambda: action(wanted), None)
    kills = 0
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(base, folder) if base.is_dir() else folder.mkdir()
        if in_child(lambda: action(folder), 1 + kills * stride):
            return kills
        kills += 1
        if (folder / "catalog.json").exists():
            _, problems = catalog_problems(folder)
            assert not [text for text in problems if not text.endswith(LEFT_OVER)], (kills, problems)
        assert in_child(lambda: action(folder), None)
        assert catalog_problems(folder)[1] == [], kills
        assert names(folder) == names(wanted), kills


def removed(folder: Path) -> None:
    """Remove the only item, if it is still there."""
    for entry in catalog.find(folder):
        catalog.remove(folder, entry.id)
    catalog.rebuild(folder)


def main(first: str, second: str, work: str, stride: str) -> None:
    """Do it all."""
    folder, step = Path(work), int(stride)
    kills = {"publish": torture(folder / "none", folder, lambda to: publish(Path(first), to), step)}
    shutil.copytree(folder / "wanted", folder / "one")
    kills["supersede"] = torture(folder / "one", folder, lambda to: publish(Path(second), to), step)
    shutil.copytree(folder / "wanted", folder / "two")
    kills["superseded"] = torture(folder / "two", folder, catalog.remove_superseded, step)
    kills["remove"] = torture(folder / "two", folder, removed, step)
    print(json.dumps(kills))


if __name__ == "__main__":
    main(*sys.argv[1:])
