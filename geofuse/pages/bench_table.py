"""The table of a bench: its columns, what is best in each, the order of the rows; as text and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from geofuse.metrics.metric import Metric, grows, plain_text, titled
from geofuse.metrics.table import installed
from geofuse.pages.terminal import table
from geofuse.quality.bench_documents import BenchDocument, BenchFound, BenchRow
from geofuse.quality.documents import number_in
from geofuse.tables import OWN


@dataclass(frozen=True, slots=True)
class Column:
    """One number of the table."""

    key: str
    """As in bench.json."""
    title: str
    """Head."""
    digits: int
    """After the point."""
    meaning: str
    """One phrase."""
    grows: bool = False
    """Whether more is better."""


COST = Column("cpu_s_per_mpx", "CPU s/Mpx", 3, "processor seconds for a million PAN pixels, one thread, warm")
MEAN_PLACE = Column("mean_place", "mean place", 2, "mean of the places in the columns the rows are sorted by")
ORDER = {
    "reduced": "by ERGAS against the reference, least first",
    "full": "by the mean of the places in D_S, D_ρ (spatial), R-ERGAS and R-Q2n (spectral): none ranks well alone",
}
WARNINGS = (
    "R-ERGAS, R-SAM, R-Q2n and D_λᴷ compare the degraded product with the MS itself: back-projection lowers that "
    "distance by construction, whether or not the picture gets better.",
    "HQNR alone misranks: a product out of register can beat one in register, and differences under 0.005 are noise. "
    "Plain upsampling (exp) has D_λ near 0 by construction. Read several columns together.",
)
REDUCED_NOTE = (
    "The reduced pair's shift and MTF were estimated anew from the pair alone, so no method profits from knowing how "
    "it was made. Scores at reduced resolution need not hold at full resolution."
)


def column_of(metric: Metric) -> Column:
    """Return a metric's column; the phrase of one that is not geofuse's own says whose it is."""
    whose = "" if metric.package == OWN else f" ({metric.package} {metric.version})"
    meaning = f"{plain_text(metric.phrase)}{whose}"
    return Column(metric.key, titled(metric), metric.digits, meaning, grows(metric))


def columns_of(protocol: str) -> tuple[Column, ...]:
    """Return the columns a protocol has."""
    reduced = protocol == "reduced"
    metrics = [metric for metric in installed().of_images if reduced or not metric.referenced]
    return (COST, *(() if reduced else (MEAN_PLACE,)), *map(column_of, metrics))


def best_value(rows: Sequence[BenchRow], column: Column) -> float | None:
    """Return the best value of a column, as it is printed; None where nothing was measured."""
    found = (number_in(row, column.key) for row in rows)
    values = [round(value, column.digits) for value in found if value is not None]
    return (max if column.grows else min)(values, default=None)


def cell(row: Mapping[str, object], column: Column) -> str:
    """Write a value.

    >>> cell({"mean_place": 1.23456}, MEAN_PLACE), cell({}, MEAN_PLACE)
    ('1.23', '')
    """
    value = number_in(row, column.key)
    return "" if value is None else f"{value:.{column.digits}f}"


def is_best(row: Mapping[str, object], column: Column, best: float | None) -> bool:
    """Say whether a row's printed value is the best of its column."""
    value = number_in(row, column.key)
    return value is not None and round(value, column.digits) == best


def name_of(row: BenchRow) -> str:
    """Write a row's method, and what auto stands for."""
    return f"auto ({row['is'] or '?'})" if row["method"] == "auto" else str(row["method"])


def markdown(found: BenchDocument) -> str:
    """Write bench.md: facts, warnings, the table with the best of each column in bold, how to repeat it."""
    rows, columns = found["rows"], columns_of(found["protocol"])
    best = {column.key: best_value(rows, column) for column in columns}
    head = ["method", "bp", *(f"{column.title} {'↑' if column.grows else '↓'}" for column in columns)]
    lines = [f"| {' | '.join(head)} |", "|".join(["", ":--", *["--:"] * (len(head) - 1), ""])]
    for row in rows:
        cells = [
            f"**{cell(row, column)}**" if is_best(row, column, best[column.key]) else cell(row, column)
            for column in columns
        ]
        rounds = "" if row["back_projections"] is None else str(row["back_projections"])
        lines.append(f"| {' | '.join([name_of(row), rounds, *cells])} |")
    height, width = found["size_px"]
    facts = (
        f"Protocol {found['protocol']}, {height} x {width} px, bands {', '.join(found['bands'])}, "
        f"ratio {found['ratio']:.4g}, {found['units']}; rows {ORDER[found['protocol']]}. "
        f"bp: back-projections. CPU: {found['machine']}."
    )
    notes = [*([REDUCED_NOTE] if found["protocol"] == "reduced" else []), *WARNINGS, *found["warnings"]]
    failed = [f"{name_of(row)}: {row['error']}" for row in rows if "error" in row]
    return "\n".join(
        [
            f"# Methods on {found['scene']}",
            "",
            facts,
            "",
            *lines,
            "",
            *(f"- {note}" for note in (*notes, *failed)),
            "",
            "```sh",
            *found["commands"],
            "```",
            "",
        ]
    )


def bench_text(found: BenchFound) -> str:
    """Write the table for a terminal: the metrics that it has room for, and those of packages."""
    metrics = installed().of_images
    shown = {metric.key for metric in metrics if "terminal" in metric.shown or metric.package != OWN}
    columns = [column for column in columns_of(found["protocol"]) if column.key in shown]
    columns.append(COST)
    rows = [
        [name_of(row), row["back_projections"], *(cell(row, column) for column in columns)]
        for row in found["rows"]
    ]
    return table(rows, ["method", "bp", *(column.title for column in columns)])
