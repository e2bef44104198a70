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
from matplotlib.ticker import LogLocator

KEYS = ("cpu_s", "wall_s", "peak_mb", "output_mb")
TITLES = {"cpu_s": "CPU seconds", "wall_s": "wall seconds", "peak_mb": "peak memory, MB"}
LOOKS = {
    "gdal": ("GDAL 3.6", "#9a9a9a", "s--"),
    "gdal312": ("GDAL 3.12", "#1f4e8c", "s--"),
    "gdal312_cache256": ("GDAL 3.12, cache 256 MB", "#6fa8dc", "s:"),
    "geofuse_brovey": ("geofuse brovey", "#c0392b", "o-"),
    "geofuse_gsa": ("geofuse gsa", "#e08e45", "o-"),
    "geofuse_mtf-glp-hpm-r": ("geofuse mtf-glp-hpm-r", "#8e5aa8", "o-"),
    "geofuse_auto": ("geofuse, its defaults: calibrated, back-projected", "#2e7d4f", "o-"),
}
"""Label, colour and line, in this order; others follow under their own names. GDAL 3.6 is Debian 12's."""


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
    """Draw CPU, wall and memory over pixels (4 bands), and CPU over bands (the smallest scene), at the first codec."""
    figure, places = plt.subplots(2, 2, figsize=(10.5, 8.2), layout="constrained")
    codec = (rows[0]["codec"], rows[0]["level"])
    same = [row for row in rows if (row["codec"], row["level"]) == codec]
    names = dict.fromkeys(row["name"] for row in same)
    smallest = min(row["megapixels"] for row in same)
    panels = [(key, "megapixels", [row for row in same if row["bands"] == 4]) for key in TITLES]
    panels.append(("cpu_s", "bands", [row for row in same if row["megapixels"] == smallest]))
    for place, (key, axis, shown) in zip(places.flat, panels, strict=True):
        for name in sorted({row["name"] for row in shown}, key=[*LOOKS, *names].index):
            label, color, style = LOOKS.get(name, (name, None, "x-"))
            line = sorted((row[axis], row[key]) for row in shown if row["name"] == name)
            place.plot(*zip(*line, strict=True), style, color=color, label=label, markersize=5)
        where = "4 bands" if axis == "megapixels" else f"{smallest:.0f} megapixels"
        place.set(xlabel=axis, title=f"{TITLES[key]}: {where}", xscale="log", yscale="log")
        ticks = sorted({row[axis] for row in shown})
        place.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks])
        place.xaxis.minorticks_off()
        place.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        place.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        place.yaxis.minorticks_off()
        place.grid(alpha=0.3)
        place.spines[["top", "right"]].set_visible(False)
    handles, labels = places.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    figure.suptitle(f"Pansharpening to a COG, {codec[0]} {codec[1]}; {rows[0]['machine']}", fontsize=10)
    figure.savefig(out, dpi=100)


if __name__ == "__main__":
    found = [row for path in sys.argv[2:] for row in medians(Path(path))]
    print(table(found))
    draw(found, Path(sys.argv[1]))
