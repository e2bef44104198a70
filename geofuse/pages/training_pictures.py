"""What a training looks like: samples of what is held out, and the curve."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.files import write_bytes
from geofuse.nets.training.checkpoints import CURVE
from geofuse.nets.training.steps import HeldOutView, Trainer
from geofuse.pages.charts import tick_text
from geofuse.rasters.preview import before_after, choose_rgb, stretch

SIDE_PX = 512
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 320, 64, 150, 20, 44
COLOURS = ("#0b6e4f", "#b3541e", "#3b5b92", "#8a4f7d", "#6b6b6b", "#a08000", "#2a9d8f")


def sampler(trainer: Trainer, folder: Path) -> Callable[[int], None]:
    """Return what writes samples/STEP.png at each look, where something is held out."""

    def look(step: int) -> None:
        shown = trainer.sample()
        if shown is not None:
            place = folder / "samples"
            place.mkdir(parents=True, exist_ok=True)
            write_bytes(place / f"{step:07d}.png", picture(shown, step))

    return look


def picture(shown: HeldOutView, step: int) -> bytes:
    """Return a PNG of a window: without the network, the truth, with it, and an enlarged detail."""
    images, names = (shown.without, shown.truth, shown.fused), shown.bands
    rgb = [at - 1 for at in choose_rgb(names)] if len(names) >= 3 else [0, 0, 0]
    cut = [_middle(image)[rgb] for image in images]
    wide = stretch(np.concatenate(cut, axis=2), None)
    size = cut[0].shape[2]
    parts = [wide[:, at * size : (at + 1) * size] for at in range(3)]
    gray = parts[1].mean(axis=2).astype(np.uint8)
    sheet = before_after(
        parts[0],
        gray,
        parts[2],
        titles=(shown.title, "truth, mean of the bands", f"network, step {step}"),
        credit="held out",
    )
    return sheet


def _middle(image: NDArray[Any]) -> NDArray[Any]:
    height, width = image.shape[1:]
    side = min(SIDE_PX, height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[:, top : top + side, left : left + side]


def write_curve(folder: Path, name: str) -> None:
    """Write curve.svg beside curve.csv: the losses and what is held out, each in units of its first value."""
    path = folder / CURVE
    if not path.exists():
        return
    columns = path.read_text().splitlines()[0].split(",")
    shown = [column for column in columns if column not in ("step", "rate")]
    title = f"{name}: each line in units of its first value, its last value beside it"
    write_bytes(folder / "curve.svg", curve_svg(path, shown, title=title).encode())


def curve_svg(path: Path, names: Sequence[str], *, title: str) -> str:
    """Draw columns of a curve.csv over the steps as SVG, each in units of its first value."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    steps = [float(row["step"]) for row in rows]
    lines = {name: [float(row[name]) for row in rows] for name in names}
    scaled = {name: [value / (values[0] or 1.0) for value in values] for name, values in lines.items()}
    top = max(max(values) for values in scaled.values()) * 1.05
    low = min(0.0, min(min(values) for values in scaled.values()))

    def x(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / steps[-1]

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (top - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="14" fill="#333333">{escape(title)}</text>',
    ]
    for tick in _ticks(low, top):
        parts.append(
            f'<path d="M{LEFT} {y(tick):.1f}H{WIDTH - RIGHT}" stroke="#dddddd"/>'
            f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end" fill="#555555">{tick_text(tick)}</text>'
        )
    for tick in _ticks(0.0, steps[-1]):
        parts.append(
            f'<text x="{x(tick):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle" fill="#555555">'
            f"{tick_text(tick)}</text>"
        )
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">step</text>')
    ends = sorted(scaled, key=lambda name: scaled[name][-1])
    for colour, name in zip(COLOURS, names, strict=False):
        points = " ".join(f"{x(s):.1f},{y(v):.1f}" for s, v in zip(steps, scaled[name], strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        spot = HEIGHT - BOTTOM - 14 * ends.index(name) - 4
        parts.append(
            f'<text x="{WIDTH - RIGHT + 8}" y="{spot}" fill="{colour}">{escape(name)}: '
            f"{lines[name][-1]:.3g}</text>"
        )
    return "".join([*parts, "</svg>"])


def _ticks(low: float, high: float) -> list[float]:
    """Return round values within a span, about five."""
    step = 10.0 ** math.floor(math.log10((high - low) / 4.0))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (factor * step) <= 6)
    return [step * k for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
