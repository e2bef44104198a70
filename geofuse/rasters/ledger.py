"""Parts and what is known of them: the folder beside the output, its lock, and the last step that publishes.

Nothing here trusts a file for being there: parts carry a checksum and the plan's fingerprint, the ledger is JSON
that is rebuilt when it does not parse, and a product takes its final name only when it is complete on disk.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from geofuse.errors import LockedError
from geofuse.files import read_json, sync, write_faults, write_json


def parts_dir(out: Path) -> Path:
    """Return the folder that holds an output's parts while it is made."""
    return out.with_name(f".{out.name}.parts")


def json_path(out: Path) -> Path:
    """Return the provenance beside a product."""
    return out.with_suffix(".json")


def png_path(out: Path) -> Path:
    """Return the quicklook beside a product."""
    return out.with_suffix(".png")


def mask_path(out: Path) -> Path:
    """Return the mask asset beside a product."""
    return out.with_suffix(".mask.tif")


def staged_path(out: Path, final: Path, fingerprint: str) -> Path:
    """Return the name under which a companion waits, complete, for its product's rename."""
    return parts_dir(out) / f"{fingerprint}{final.name.removeprefix(out.stem)}"


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold the output's lock; LockedError while another living process has it. Died processes hold nothing."""
    path = out.with_name(f".{out.name}.lock")
    while True:
        with write_faults(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise LockedError(
                "another run is writing this output",
                wanted="one run for each output",
                do="wait for it, or choose another --out",
                path=str(out),
            ) from error
        if _same_file(descriptor, path):
            break
        os.close(descriptor)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _same_file(descriptor: int, path: Path) -> bool:
    """Whether the locked file still is the one by that name: its last holder removed it on leaving."""
    try:
        here, there = os.fstat(descriptor), os.stat(path)
    except FileNotFoundError:
        return False
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def open_ledger(out: Path, key: str) -> dict[str, Any]:
    """Return what earlier runs of the same plan left for this output, making the folder; else a fresh start.

    ``key`` is the fingerprint with the tile size: parts of another plan are removed.
    """
    folder = parts_dir(out)
    known = read_json(folder / "ledger.json")
    if known is None or known.get("key") != key:
        keep_parts = known is None and folder.is_dir()  # a torn ledger: parts prove themselves
        if folder.is_dir() and not keep_parts:
            with write_faults(folder):
                shutil.rmtree(folder)
        known = {"key": key}
    with write_faults(folder):
        folder.mkdir(exist_ok=True)
    write_json(folder / "ledger.json", known)
    return known


def update_ledger(out: Path, ledger: dict[str, Any]) -> None:
    """Write the ledger: the coordinator alone does."""
    write_json(parts_dir(out) / "ledger.json", ledger)


def part_path(folder: Path, index: int) -> Path:
    """Return a tile's part."""
    return folder / f"tile-{index:07d}.part"


def publish(out: Path, fingerprint: str, companions: list[Path], draft: Path) -> None:
    """Give the product its name, then its companions, which lie complete under their staged names."""
    with write_faults(out):
        draft.replace(out)
        sync(out.parent)
        for final in companions:
            staged_path(out, final, fingerprint).replace(final)
        sync(out.parent)


def remove_parts(out: Path) -> None:
    """Remove the parts of a published product."""
    shutil.rmtree(parts_dir(out), ignore_errors=True)
