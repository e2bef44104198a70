"""The table of a bench: its columns, what is best in each, the order of the rows; as text and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from geofuse.pages.terminal import table
from geofuse.quality.scoring import GROWS, WITH_REFERENCE, WITHOUT_REFERENCE

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One metric of the table."""

    key: str
    """As in bench.json."""
    title: str
    """Head."""
    digits: int
    """After the point."""
    meaning: str
    """One phrase."""

    @property
    def grows(self) -> bool:
        """Whether more is better."""
        return self.key in GROWS


COLUMNS = (
    Column("cpu_s_per_mpx", "CPU s/Mpx", 3, "processor seconds for a million PAN pixels, one thread, warm"),
    Column("mean_place", "mean place", 2, "mean of the places in the columns the rows are sorted by"),
    Column("ergas", "ERGAS", 3, "relative error over all bands, against the reference"),
    Column("sam", "SAM °", 3, "mean spectral angle to the reference, degrees"),
    Column("q2n", "Q2n", 4, "hypercomplex quality index, all bands at once"),
    Column("q", "Q", 4, "universal quality index, mean of the bands"),
    Column("scc", "SCC", 4, "agreement of the edges"),
    Column("psnr", "PSNR", 2, "peak signal to noise, dB"),
    Column("ssim", "SSIM", 4, "structural similarity"),
    Column("d_lambda", "D_λ", 4, "change of the relations between bands; 0 for plain upsampling"),
    Column("d_s", "D_S", 4, "change of each band's relation to PAN"),
    Column("qnr", "QNR", 4, "(1 - D_λ)(1 - D_S)"),
    Column("d_lambda_k", "D_λᴷ", 4, "spectral distance of the low-passed product to the MS"),
    Column("hqnr", "HQNR", 4, "(1 - D_λᴷ)(1 - D_S)"),
    Column("d_rho", "D_ρ", 4, "1 - local correlation with PAN"),
    Column("r_ergas", "R-ERGAS", 3, "ERGAS of the degraded product against the MS"),
    Column("r_sam", "R-SAM °", 3, "SAM of the degraded product against the MS"),
    Column("r_q2n", "R-Q2n", 4, "Q2n of the degraded product against the MS"),
)
FULL_ORDER = ("d_s", "d_rho", "r_ergas", "r_q2n")
"""Two spatial, two spectral. Of all sets of up to four, their mean place agreed best with the ERGAS against the truth
where that is known: Spearman .93 (Landsat, reduced) and .96 (simulated from Sentinel-2), both with and without
back-projection; HQNR alone .66 and .79, R-ERGAS .85 and .88, D_rho .39 and .38."""
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


def columns_of(protocol: str) -> tuple[Column, ...]:
    """Return the columns a protocol has."""
    keys = {
        *WITHOUT_REFERENCE,
        "cpu_s_per_mpx",
        *(WITH_REFERENCE if protocol == "reduced" else ("mean_place",)),
    }
    return tuple(column for column in COLUMNS if column.key in keys)


def sorted_rows(rows: Sequence[dict[str, Any]], protocol: str) -> list[dict[str, Any]]:
    """Return the rows, best first, rows without figures last; at full resolution each with its "mean_place"."""
    if protocol == "full":
        places = [_places(rows, key) for key in FULL_ORDER]
        rows = [
            {**row, "mean_place": sum(place[at] for place in places) / len(places)}
            for at, row in enumerate(rows)
        ]
    key = "ergas" if protocol == "reduced" else "mean_place"
    return sorted(rows, key=lambda row: (row.get(key) is None or "error" in row, row.get(key) or 0.0))


def _places(rows: Sequence[Row], key: str) -> list[float]:
    """Return each row's place in a column, 1 the best, equal values sharing theirs; unmeasured ones last."""
    sign = -1.0 if key in GROWS else 1.0
    values = [float("inf") if row.get(key) is None else sign * row[key] for row in rows]
    return [
        1.0 + sum(other < value for other in values) + 0.5 * (values.count(value) - 1) for value in values
    ]


def best_of(rows: Sequence[Row], column: Column) -> float | None:
    """Return the best value of a column, as it is printed; None where nothing was measured."""
    values = [round(row[column.key], column.digits) for row in rows if row.get(column.key) is not None]
    return (max if column.grows else min)(values, default=None)


def cell(row: Row, column: Column) -> str:
    """Write a value.

    >>> cell({"ergas": 1.23456}, COLUMNS[2]), cell({}, COLUMNS[2])
    ('1.235', '')
    """
    value = row.get(column.key)
    return "" if value is None else f"{value:.{column.digits}f}"


def is_best(row: Row, column: Column, best: float | None) -> bool:
    """Say whether a row's printed value is the best of its column."""
    value = row.get(column.key)
    return value is not None and round(value, column.digits) == best


def name_of(row: Row) -> str:
    """Write a row's method, and what auto stands for."""
    return f"auto ({row['is'] or '?'})" if row["method"] == "auto" else str(row["method"])


def markdown(found: Mapping[str, Any]) -> str:
    """Write bench.md: facts, warnings, the table with the best of each column in bold, how to repeat it."""
    rows, columns = found["rows"], columns_of(found["protocol"])
    best = {column.key: best_of(rows, column) for column in columns}
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


def bench_text(found: Mapping[str, Any]) -> str:
    """Write the table for a terminal: the columns that decide."""
    keys = ("ergas", "sam", "q2n", "d_s", "hqnr", "d_rho", "r_ergas", "cpu_s_per_mpx")
    columns = [column for column in columns_of(found["protocol"]) if column.key in keys]
    rows = [
        [name_of(row), row["back_projections"], *(cell(row, column) for column in columns)]
        for row in found["rows"]
    ]
    return table(rows, ["method", "bp", *(column.title for column in columns)])
