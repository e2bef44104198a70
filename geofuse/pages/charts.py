"""Small charts as inline SVG: histograms, edge widths. Colours come from the page, so they follow its theme."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

WIDTH, HEIGHT = 320, 150
LEFT, RIGHT, TOP, BOTTOM = 8, 8, 8, 24
ROW_PX = 30
LABEL_PX = 64


def number(value: float | None, digits: int = 3) -> str:
    """Write a number so that it can be read: significant digits, no exponent where it can be helped.

    >>> number(0.0012345), number(12.3456), number(-0.5), number(None), number(0.0)
    ('0.00123', '12.3', '\u22120.500', '\u2013', '0')
    """
    if value is None or not math.isfinite(value):
        return "\N{EN DASH}"
    if value == 0.0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    text = f"{value:.{digits - 1}e}" if not -5 <= size < 7 else f"{value:.{max(0, digits - 1 - size)}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def tick_text(value: float) -> str:
    """Write a round number as short as it is.

    >>> tick_text(0.04), tick_text(-200.0), tick_text(0.0)
    ('0.04', '\u2212200', '0')
    """
    return f"{round(value, 9):g}".replace("-", "\N{MINUS SIGN}")


def histogram(
    edges: Sequence[float], product: Sequence[float], input_: Sequence[float] | None, *, label: str
) -> str:
    """Draw how the product's values are distributed, as a line, over the MS's, as an area.

    edges (n,) between the bins; counts (n + 1,), of which the outer two are open and not drawn.
    """
    shown = [_shares(counts[1:-1]) for counts in (product, input_) if counts]
    top = max((max(shares) for shares in shown), default=0.0) or 1.0
    parts = []
    if len(shown) > 1:
        parts.append(f'<path class="area" d="{_steps(shown[1], top)} V{HEIGHT - BOTTOM} H{LEFT} Z"/>')
    parts.append(f'<path class="line" d="{_steps(shown[0], top)}"/>')
    ticks = _ticks(edges[0], edges[-1])
    return _svg(label, [*parts, *_axis(ticks, edges[0], edges[-1])])


def difference(counts: Sequence[float], span: float, tolerance: float, *, label: str) -> str:
    """Draw a histogram of differences about zero; beyond the tolerance the bars change colour."""
    bins = len(counts)
    top = max(counts) or 1.0
    wide = (WIDTH - LEFT - RIGHT) / bins
    bars = []
    for at, count in enumerate(counts):
        centre = (2.0 * (at + 0.5) / bins - 1.0) * span
        tall = (HEIGHT - TOP - BOTTOM) * count / top
        kind = "bar far" if abs(centre) > tolerance + 0.5 * span / bins else "bar"
        bars.append(
            f'<rect class="{kind}" x="{LEFT + at * wide:.1f}" y="{HEIGHT - BOTTOM - tall:.1f}" '
            f'width="{max(wide - 0.6, 0.6):.1f}" height="{tall:.1f}"/>'
        )
    return _svg(label, [*bars, *_axis([-0.08, -0.04, 0.0, 0.04, 0.08], -span, span)])


def edge_widths(
    names: Sequence[str], fused: Sequence[float | None], upsampled: Sequence[float | None], pan: float | None
) -> str:
    """Draw, for each band, how wide edges are in the upsampled MS and in the product, with PAN's own as a line."""
    known = [value for value in (*fused, *upsampled, pan) if value is not None]
    longest = max(known, default=1.0) * 1.06
    tall = ROW_PX * len(names) + BOTTOM + TOP

    def place(value: float) -> float:
        return LABEL_PX + (WIDTH - LABEL_PX - RIGHT - 10) * value / longest

    parts = []
    if pan is not None:
        x = place(pan)
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{tall - BOTTOM}"/>')
    for at, (name, after, before) in enumerate(zip(names, fused, upsampled, strict=True)):
        y = TOP + ROW_PX * (at + 0.5)
        parts.append(f'<text x="0" y="{y + 4:.1f}">{html.escape(name)}</text>')
        if after is None or before is None:
            continue
        parts.append(
            f'<line class="bond" x1="{place(after):.1f}" x2="{place(before):.1f}" y1="{y}" y2="{y}"/>'
        )
        parts.append(f'<circle class="before" cx="{place(before):.1f}" cy="{y}" r="5"/>')
        parts.append(f'<circle class="after" cx="{place(after):.1f}" cy="{y}" r="5"/>')
    for tick in _ticks(0.0, longest):
        parts.append(f'<text class="tick" x="{place(tick):.1f}" y="{tall - 6}">{tick_text(tick)}</text>')
    return _svg("Edge width per band, pixels", parts, tall=tall)


def _shares(counts: Sequence[float]) -> list[float]:
    total = sum(counts) or 1.0
    return [count / total for count in counts]


def _steps(shares: Sequence[float], top: float) -> str:
    wide = (WIDTH - LEFT - RIGHT) / len(shares)
    path = [f"M{LEFT} {HEIGHT - BOTTOM}"]
    for at, share in enumerate(shares):
        y = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share / top
        path.append(f"V{y:.1f} H{LEFT + (at + 1) * wide:.1f}")
    return " ".join(path)


def _ticks(low: float, high: float) -> list[float]:
    """Return about four round numbers between two."""
    if not high > low:
        return [low]
    raw = (high - low) / 4.0
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * nice for nice in (1.0, 2.0, 2.5, 5.0, 10.0) if size * nice >= raw)
    first = math.ceil(low / step)
    return [at * step for at in range(first, math.floor(high / step) + 1)]


def _axis(ticks: Sequence[float], low: float, high: float) -> list[str]:
    base = HEIGHT - BOTTOM
    parts = [f'<line class="base" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{base}" y2="{base}"/>']
    for tick in ticks:
        x = LEFT + (WIDTH - LEFT - RIGHT) * (tick - low) / (high - low or 1.0)
        anchor = "start" if x < 20 else "end" if x > WIDTH - 20 else "middle"
        parts.append(f'<line class="base" x1="{x:.1f}" x2="{x:.1f}" y1="{base}" y2="{base + 4}"/>')
        parts.append(
            f'<text class="tick" style="text-anchor:{anchor}" x="{x:.1f}" y="{HEIGHT - 6}">'
            f"{tick_text(tick)}</text>"
        )
    return parts


def _svg(label: str, parts: Sequence[str], tall: float = HEIGHT) -> str:
    name = html.escape(label, quote=True)
    inside = "".join(parts)
    return f'<svg viewBox="0 0 {WIDTH} {tall:g}" role="img" aria-label="{name}">{inside}</svg>'
