"""Lay out what `peers.py --json` measured: a table of all, and a picture of how cost grows with pixels and with bands.

usage: python tests/benchmarks/plot.py OUT.png TURNS.json ...
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

KEYS = ("cpu_s", "wall_s", "peak_mb", "output_mb")
TITLES = {"cpu_s": "CPU seconds", "wall_s": "wall seconds", "peak_mb": "peak memory, MB"}
COLORS = {"gdal": "#8c8c8c", "gdal_cache256": "#c2a36b", "gdal312": "#4c72b0", "geofuse_brovey": "#c44e52"}


def medians(path: Path) -> list[dict[str, Any]]:
    """Return one row for each command of a file."""
    told = json.loads(path.read_text())
    rows = []
    for name in dict.fromkeys(turn["name"] for turn in told["turns"]):
        mine = [turn for turn in told["turns"] if turn["name"] == name]
        found = {key: statistics.median(turn[key] for turn in mine) for key in KEYS}
        rows.append({**told, "turns": len(mine), "name": name, **found})
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Lay rows out as Markdown."""
    lines = [
        "| Mpx | bands | codec | command | CPU s | wall s | peak MB | output MB | turns |",
        "|---" * 9 + "|",
    ]
    for row in sorted(rows, key=lambda row: (row["codec"], row["level"], row["bands"], row["megapixels"])):
        start = (
            f"| {row['megapixels']:.0f} | {row['bands']} | {row['codec']} {row['level']} | {row['name']} |"
        )
        numbers = (
            f" {row['cpu_s']:.1f} | {row['wall_s']:.1f} | {row['peak_mb']:.0f} | {row['output_mb']:.0f} |"
        )
        lines.append(f"{start}{numbers} {row['turns']} |")
    return "\n".join(lines)


def draw(rows: list[dict[str, Any]], out: Path) -> None:
    """Draw CPU, wall and memory over pixels (4 bands), and CPU over bands (the smallest scene), at one codec."""
    figure, places = plt.subplots(1, 4, figsize=(15, 3.8), layout="constrained")
    codec = (rows[0]["codec"], rows[0]["level"])
    same = [row for row in rows if (row["codec"], row["level"]) == codec]
    smallest = min(row["megapixels"] for row in same)
    panels = [(key, "megapixels", [row for row in same if row["bands"] == 4]) for key in TITLES]
    panels.append(("cpu_s", "bands", [row for row in same if row["megapixels"] == smallest]))
    for place, (key, axis, shown) in zip(places, panels, strict=True):
        for name in dict.fromkeys(row["name"] for row in shown):
            line = sorted((row[axis], row[key]) for row in shown if row["name"] == name)
            place.plot(*zip(*line, strict=True), "o-", color=COLORS.get(name), label=name)
        where = "4 bands" if axis == "megapixels" else f"{smallest:.0f} Mpx"
        place.set(xlabel=axis, title=f"{TITLES[key]}, {where}", xscale="log", yscale="log")
        ticks = sorted({row[axis] for row in shown})
        place.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks])
        place.minorticks_off()
        place.grid(alpha=0.3)
    places[0].legend(fontsize=8)
    figure.suptitle(f"{codec[0]} {codec[1]}; {rows[0]['machine']}", fontsize=9)
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    found = [row for path in sys.argv[2:] for row in medians(Path(path))]
    print(table(found))
    draw(found, Path(sys.argv[1]))
