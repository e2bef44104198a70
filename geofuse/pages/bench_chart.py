"""Quality against cost as a chart: inline SVG, no script, colours from the page's style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from geofuse.pages.bench_table import name_of
from geofuse.quality.bench_documents import BenchRow
from geofuse.quality.documents import number_in

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 62, 24, 22, 52
LETTER, LINE = 7.0, 15.0
"""Width of a letter and height of a line of the labels' 12 px."""
FAR = 1.6
"""Values beyond this many times the middle one are drawn at the upper edge, so that the rest can be told apart."""
ChartBox = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Point:
    """A row's place in the chart."""

    x: float
    """Pixels from the left."""
    y: float
    """Pixels from the top."""
    beyond: bool
    """Its value is above the chart's upper edge."""


def scatter(rows: Sequence[BenchRow], key: str, title: str) -> str:
    """Draw each row's ``key`` (less is better) over its CPU seconds per megapixel, logarithmic; "" for no rows.

    A method's rows are joined; hollow marks are without back-projection.
    """
    rows = [row for row in rows if row.get(key) is not None and row.get("cpu_s_per_mpx")]
    if not rows:
        return ""
    places = _Places(rows, key)
    points = [places.of(row) for row in rows]
    parts = [*places.frame(title), *_joints(rows, points)]
    parts += [_mark(row, point, key, title) for row, point in zip(rows, points, strict=True)]
    parts += _labels(rows, points)
    label = f"{title} against CPU seconds per megapixel"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}" class="chart">'
        f"{''.join(parts)}</svg>"
    )


def _value(row: BenchRow, key: str) -> float:
    """Return a number that `scatter` made sure of."""
    found = number_in(row, key)
    assert found is not None
    return found


class _Places:
    """The two scales."""

    def __init__(self, rows: Sequence[BenchRow], key: str) -> None:
        self.key = key
        values = sorted(_value(row, key) for row in rows)
        costs = [row["cpu_s_per_mpx"] for row in rows]
        self.top = min(values[-1], max(FAR * values[len(values) // 2], values[0] * 1.1))
        room = 0.08 * ((self.top - values[0]) or abs(self.top) or 1.0)
        self.low, self.high = values[0] - room, self.top + room
        self.left = math.log10(min(costs)) - 0.08
        self.right = math.log10(max(costs)) + 0.16

    def x(self, cost: float) -> float:
        share = (math.log10(cost) - self.left) / (self.right - self.left)
        return float(LEFT + share * (WIDTH - LEFT - RIGHT))

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return float(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM))

    def of(self, row: BenchRow) -> Point:
        value = _value(row, self.key)
        return Point(self.x(row["cpu_s_per_mpx"]), self.y(min(value, self.top)), value > self.top)

    def frame(self, title: str) -> list[str]:
        """Grid lines with their numbers, and what the axes are."""
        bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        parts = []
        for value in steps(self.low, self.high):
            y = self.y(value)
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(
                f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
            )
        for cost in decades(self.left, self.right):
            x = self.x(cost)
            parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}"/>')
            parts.append(
                f'<text class="tick" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{cost:g}</text>'
            )
        parts.append(
            f'<text class="axis" x="{right}" y="{HEIGHT - 10}" text-anchor="end">CPU seconds per megapixel →</text>'
        )
        parts.append(f'<text class="axis" x="{LEFT}" y="{TOP - 8}">{escape(title)} (less is better)</text>')
        return parts


def steps(low: float, high: float) -> list[float]:
    """Return about five round numbers between two.

    >>> steps(0.93, 2.11)
    [1.0, 1.2, 1.4, 1.6, 1.8, 2.0]
    """
    rough = (high - low) / 5.0
    unit: float = 10.0 ** math.floor(math.log10(rough))
    step = unit * min((1.0, 2.0, 5.0, 10.0), key=lambda times: abs(times * unit - rough))
    first, last = math.ceil(low / step), math.floor(high / step)
    return [round(at * step, 12) for at in range(first, last + 1)]


def decades(left: float, right: float) -> list[float]:
    """Return 1, 2, 5, 10, ... between two powers of ten.

    >>> decades(-1.1, 0.4)
    [0.1, 0.2, 0.5, 1.0, 2.0]
    """
    found = [
        round(times * 10.0**power, 12)
        for power in range(math.floor(left), math.ceil(right) + 1)
        for times in (1.0, 2.0, 5.0)
    ]
    return [value for value in found if left <= math.log10(value) <= right]


def _joints(rows: Sequence[BenchRow], points: Sequence[Point]) -> list[str]:
    lines = []
    for name in dict.fromkeys(row["method"] for row in rows):
        own = [point for row, point in zip(rows, points, strict=True) if row["method"] == name]
        own.sort(key=lambda point: point.x)
        lines += [
            f'<line class="joint" x1="{a.x:.1f}" y1="{a.y:.1f}" x2="{b.x:.1f}" y2="{b.y:.1f}"/>'
            for a, b in pairwise(own)
        ]
    return lines


def _mark(row: BenchRow, point: Point, key: str, title: str) -> str:
    kind = "auto" if row["method"] == "auto" else ("filled" if row["back_projections"] else "hollow")
    text = (
        f"{name_of(row)}, {row['back_projections']} back-projections: {title} {_value(row, key):.3f}, "
        f"{row['cpu_s_per_mpx']:.3f} s/Mpx"
    )
    x, y = point.x, point.y
    if point.beyond:
        shape = f'<path class="{kind}" d="M{x:.1f} {y - 6:.1f}l6 10h-12z"/>'
    else:
        shape = f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{6 if kind == "auto" else 4.5}"/>'
    return f"<g><title>{escape(text)}</title>{shape}</g>"


def _labels(rows: Sequence[BenchRow], points: Sequence[Point]) -> list[str]:
    """Name each method once, at its best row, wherever there is room; the marks' tips name all."""
    taken: list[ChartBox] = [(point.x - 6, point.y - 6, point.x + 6, point.y + 6) for point in points]
    named: set[str] = set()
    parts = []
    first = sorted(range(len(rows)), key=lambda at: (rows[at]["method"] != "auto", at))
    for at in first:
        row, point = rows[at], points[at]
        name = str(row["method"])
        if name in named:
            continue
        named.add(name)
        place = _free(name, point, taken)
        if place is None:
            continue
        box, x, anchor = place
        taken.append(box)
        strong = ' font-weight="600"' if name == "auto" else ""
        parts.append(
            f'<text class="label" x="{x:.1f}" y="{box[3] - 3:.1f}" text-anchor="{anchor}"{strong}>{escape(name)}</text>'
        )
    return parts


def _free(name: str, point: Point, taken: Sequence[ChartBox]) -> tuple[ChartBox, float, str] | None:
    """Return the first box beside a point that meets none that is taken, its text's x and anchor."""
    wide = LETTER * len(name)
    x, y = point.x, point.y
    tries = (
        ((x + 8, y - LINE / 2, x + 8 + wide, y + LINE / 2), x + 8, "start"),
        ((x - 8 - wide, y - LINE / 2, x - 8, y + LINE / 2), x - 8, "end"),
        ((x - wide / 2, y - 8 - LINE, x + wide / 2, y - 8), x, "middle"),
        ((x - wide / 2, y + 8, x + wide / 2, y + 8 + LINE), x, "middle"),
        ((x + 6, y - 6 - LINE, x + 6 + wide, y - 6), x + 6, "start"),
        ((x + 6, y + 6, x + 6 + wide, y + 6 + LINE), x + 6, "start"),
        ((x - 6 - wide, y - 6 - LINE, x - 6, y - 6), x - 6, "end"),
        ((x - 6 - wide, y + 6, x - 6, y + 6 + LINE), x - 6, "end"),
    )
    for box, at, anchor in tries:
        inside = box[0] >= LEFT and box[2] <= WIDTH - 2 and box[1] >= TOP - 4 and box[3] <= HEIGHT - BOTTOM
        if inside and not any(_meet(box, other) for other in taken):
            return box, at, anchor
    return None


def _meet(one: ChartBox, two: ChartBox) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]
