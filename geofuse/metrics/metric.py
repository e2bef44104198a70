"""What a metric is: a number that says how good an image is, its words, and what it is measured from."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, TypedDict

from geofuse.tables import OWN

FINE = frozenset({"fused", "reference", "pan", "upsampled", "pan_low", "fused_low"})
"""Images (B, H, W) on the fine grid: the product, what it should be, PAN (1, H, W), the upsampled MS, PAN at the
coarse scale and back, the product as the sensor's MTF leaves it."""
COARSE = frozenset({"coarse", "degraded"})
"""Images (B, h, w) on the coarse grid: the MS itself, and the product as the coarse sensor sees it."""
PRODUCT = frozenset({"record", "values", "out"})
"""A product's record, its assessment's values (empty where it was not assessed) and its path."""
Direction = Literal["less", "more", ""]
ShownIn = Literal["terminal", "headline", "card"]
"""Where few metrics have room: a bench in a terminal, the head of an assessment's page, a card of the catalogue."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that says how good an image is, and how it is measured."""

    name: str
    """As it stands in documents and profiles."""
    label: str
    """As people write it; "_" before an index below, "^" before one above: "D_λ^K"."""
    phrase: str
    """What it says, in one phrase; marked like the label."""
    best: float | None
    """The value of a perfect image, which may be infinite; None where no value is."""
    direction: Direction
    """Which of two values is better."""
    needs: tuple[str, ...]
    """What its function is given, by name: of FINE or COARSE, then with ``valid`` (H, W); "ratio"; other metrics'
    values by their names; or of PRODUCT."""
    target: str
    """"module:function"; it returns a float, NaN (or None, of PRODUCT) where nothing could be measured."""
    unit: str = ""
    """Of the value; empty without one."""
    variant: str = ""
    """Which of several definitions that go by the name: a person may say ``name@variant``."""
    standard: bool = True
    """Whether the name alone means this variant; else documents say ``name@variant``."""
    digits: int = 4
    """After the point, in tables."""
    bounded: bool = False
    """Whether values lie between 0 and 1, and a bar may show them."""
    tiled: bool = False
    """Whether the passes of `assess` have sums of their own for it; else it is the mean over blocks."""
    also: tuple[str, ...] = ()
    """Names it had: still read, and still written beside the name in what acceptance found."""
    shown: tuple[ShownIn, ...] = ()
    """Where it stands although there is room for few."""
    package: str = OWN
    """The distribution it is from."""
    version: str = ""
    """Of that distribution; empty for geofuse's own."""

    @property
    def key(self) -> str:
        """What documents call it."""
        return self.name if self.standard else f"{self.name}@{self.variant}"

    @property
    def referenced(self) -> bool:
        """Whether it needs to be told what the product should be."""
        return "reference" in self.needs

    @property
    def of_coarse(self) -> bool:
        """Whether it compares images on the coarse grid."""
        return not COARSE.isdisjoint(self.needs)

    @property
    def of_product(self) -> bool:
        """Whether it is read off the product's record and assessment rather than off pixels."""
        return not PRODUCT.isdisjoint(self.needs)

    @property
    def best_text(self) -> str:
        """The best value as it is printed; "high" or "low" where there is none but a direction.

        >>> Metric("a", "A", "", best=math.inf, direction="more", needs=("fused",), target="a:b").best_text
        '∞'
        """
        if self.best is None:
            return {"more": "high", "less": "low", "": ""}[self.direction]
        return "\N{INFINITY}" if math.isinf(self.best) else f"{self.best:g}"


class MetricRow(TypedDict):
    """A row as documents and the served page have it."""

    name: str
    label: str
    unit: str
    best: str
    direction: Direction
    phrase: str
    variant: str
    also: list[str]
    package: str
    version: str


def grows(metric: Metric) -> bool:
    """Say whether more is better."""
    return metric.direction == "more"


def plain_text(marked: str) -> str:
    """Return a label or a phrase for plain text.

    >>> plain_text("D_λ^K"), plain_text("Q2^n")
    ('D_λᴷ', 'Q2n')
    """
    return marked.replace("^K", "\N{MODIFIER LETTER CAPITAL K}").replace("^", "")


def html_text(marked: str) -> str:
    """Return a label or a phrase as HTML.

    >>> html_text("D_λ^K"), html_text("a < b")
    ('D<sub>λ</sub><sup>K</sup>', 'a &lt; b')
    """
    from html import escape

    below = re.sub(r"_(\w)", r"<sub>\1</sub>", escape(marked))
    return re.sub(r"\^(\w)", r"<sup>\1</sup>", below)


def titled(metric: Metric) -> str:
    """Return a metric's label with its unit, for plain text.

    >>> titled(Metric("a", "A_b", "", best=0.0, direction="less", needs=("fused",), target="a:b", unit="m"))
    'A_b m'
    """
    return f"{plain_text(metric.label)} {metric.unit}".strip()
