"""In which order a bench's rows stand: the best first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from geofuse.metrics.metric import grows
from geofuse.metrics.table import find
from geofuse.quality.bench_documents import BenchRow
from geofuse.quality.documents import number_in

FULL_ORDER = ("d_s", "d_rho", "r_ergas", "r_q2n")
"""Two spatial, two spectral. Of all sets of up to four, their mean place agreed best with the ERGAS against the truth
where that is known: Spearman .93 (Landsat, reduced) and .96 (simulated from Sentinel-2), both with and without
back-projection; HQNR alone .66 and .79, R-ERGAS .85 and .88, D_rho .39 and .38."""
ORDERED_BY = {"reduced": "ergas", "full": "mean_place"}
"""Per protocol: the number of a row that decides, less is better."""


def sorted_rows(rows: Sequence[BenchRow], protocol: str) -> list[BenchRow]:
    """Return the rows, best first, rows without figures last; at full resolution each with its "mean_place"."""
    if protocol == "full":
        places = [_places(rows, name) for name in FULL_ORDER]
        rows = [
            cast(BenchRow, {**row, "mean_place": sum(place[at] for place in places) / len(places)})
            for at, row in enumerate(rows)
        ]
    key = ORDERED_BY[protocol]
    return sorted(
        rows, key=lambda row: (number_in(row, key) is None or "error" in row, number_in(row, key) or 0.0)
    )


def _places(rows: Sequence[BenchRow], name: str) -> list[float]:
    """Return each row's place by a metric, 1 the best, equal values sharing theirs; unmeasured ones last."""
    sign = -1.0 if grows(find(name)) else 1.0
    found = [number_in(row, name) for row in rows]
    values = [float("inf") if value is None else sign * value for value in found]
    return [
        1.0 + sum(other < value for other in values) + 0.5 * (values.count(value) - 1) for value in values
    ]
