"""Parts and what is known of them: the folder beside the output, and the last step that publishes.

Nothing here trusts a file for being there: parts carry a checksum and the plan's fingerprint, the ledger is JSON
that is rebuilt when it does not parse, and a product takes its final name only when it is complete on disk.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

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


def give_names(out: Path, fingerprint: str, companions: list[Path], draft: Path) -> None:
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
