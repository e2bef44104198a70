"""Put what 0.3 left behind into a folder, as if it had been made there: see make_fixture.py for what it is."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

MADE = Path(__file__).resolve().parent / "made_by_0_3"
MARK = b"@ROOT@"


def restored(root: Path) -> Path:
    """Copy the fixture to `root`, which is not there yet; returns it."""
    shutil.copytree(MADE, root)
    for path in sorted(root.rglob("*")):
        if path.is_file() and MARK in (data := path.read_bytes()):
            path.write_bytes(data.replace(MARK, str(root).encode()))
    for path in [*root.rglob("*.sqlite.sql")]:
        with closing(sqlite3.connect(path.with_suffix(""))) as book:
            book.executescript(path.read_text())
        path.unlink()
    for name, time_ns in json.loads((root / "times.json").read_text()).items():
        os.utime(root / name, ns=(time_ns, time_ns))
    _rename_claims(root)
    _sum_records_anew(root)
    return root


def _rename_claims(root: Path) -> None:
    """Name the claims of products' names by where the products are now."""
    for path in [*(root / "archive.state" / "names").iterdir()]:
        out = json.loads(path.read_text())["out"]
        path.rename(path.with_name(f"{hashlib.sha256(out.encode()).hexdigest()[:16]}.json"))


def _sum_records_anew(root: Path) -> None:
    """Let the items know their records, whose inputs have another place now."""
    for place, item in items(root):
        asset = item["assets"]["provenance"]
        data = (place.parent / asset["href"]).read_bytes()
        asset["file:checksum"] = f"1220{hashlib.sha256(data).hexdigest()}"
        asset["file:size"] = len(data)
        place.write_text(json.dumps(item, indent=2) + "\n")


def items(root: Path) -> Iterator[tuple[Path, dict]]:
    """Yield the catalogue's current items and where they are."""
    for place in sorted(root.glob("archive/*/*/*.json")):
        yield place, json.loads(place.read_text())
