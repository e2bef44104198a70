"""The table of metrics: one row each, read by assess, bench, acceptance, the runs' pages and the served page.

A row says what a number is called and what it says, which value is best, and which function measures it from what. A
package adds one by an entry point of the group ``geofuse.metrics`` whose value is a `Metric`; its function is measured
block by block beside the others. No function is imported before it is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from geofuse.errors import PluginError, UsageError
from geofuse.metrics.metric import COARSE, FINE, PRODUCT, Metric, MetricRow
from geofuse.metrics.rows import BUILT_IN
from geofuse.tables import OWN, Row, Table, imported
from geofuse.version import __version__


def _check(row: Row, made: Metric) -> None:
    """Raise PluginError where what a row stands for is no metric of this table."""
    if not isinstance(made, Metric):
        raise _refused(row, f"is a {type(made).__name__}", "a geofuse.metrics.table.Metric")
    if made.key != row.name:
        raise _refused(row, f"calls itself {made.key!r}", "one name")
    needs = set(made.needs)
    kinds = [not needs.isdisjoint(FINE), not needs.isdisjoint(COARSE), not needs.isdisjoint(PRODUCT)]
    if sum(kinds) > 1 or not needs:
        raise _refused(
            row, f"needs {', '.join(made.needs) or 'nothing'}", "images of one grid, or the record"
        )


def _refused(row: Row, found: str, wanted: str) -> PluginError:
    return PluginError(f"metric {row.name!r} of {row.source} {found}", wanted=wanted)


METRICS: Table[Metric] = Table(
    "geofuse.metrics",
    [Row(row.key, f"geofuse.metrics.rows:{row.key.upper()}", row.phrase) for row in BUILT_IN],
    noun="metric",
    wants=("name", "label", "phrase", "best", "direction", "needs", "target", "key"),
    test=_check,
)


@dataclass(frozen=True, slots=True)
class Installed:
    """The metrics there are, and what packages offer that cannot be used."""

    metrics: tuple[Metric, ...]
    """geofuse's own first."""
    faults: tuple[str, ...]
    """Why a package's row is left out."""

    @property
    def of_images(self) -> tuple[Metric, ...]:
        """Those that are measured on pixels, or made of such."""
        return tuple(metric for metric in self.metrics if not metric.of_product)


def installed() -> Installed:
    """Return every metric: geofuse's own and those that packages add.

    A package's row that cannot be loaded is left out and named; PluginError where a name stands twice.
    """
    found, faults = list(BUILT_IN), list[str]()
    for row in METRICS.rows():
        if row.package == OWN:
            continue
        try:
            found.append(replace(METRICS.load(row.name), package=row.package, version=row.version))
        except PluginError as fault:
            faults.append(str(fault))
    return Installed(tuple(found), tuple(faults))


def find(text: str) -> Metric:
    """Return the metric of that name, or of that name and variant; UsageError names the nearest.

    >>> find("q2n").key, find("q2n@blocks32").key, find("r_sam_deg").key
    ('q2n', 'q2n', 'r_sam')
    """
    name, _, variant = text.partition("@")
    metrics = installed().metrics
    for metric in metrics:
        if text in (metric.key, *metric.also):
            return metric
    same = [metric for metric in metrics if name in (metric.name, *metric.also)]
    for metric in same:
        if variant == metric.variant:
            return metric
    if same:
        wanted = ", ".join(f"{metric.name}@{metric.variant}" for metric in same if metric.variant)
        raise UsageError(f"no metric {text!r}", wanted=wanted or same[0].name)
    return METRICS.load(text)  # which is not there: the table's own fault


def row_of(metric: Metric) -> MetricRow:
    """Return a metric's row as documents have it."""
    return MetricRow(
        name=metric.key,
        label=metric.label,
        unit=metric.unit,
        best=metric.best_text,
        direction=metric.direction,
        phrase=metric.phrase,
        variant=metric.variant,
        also=list(metric.also),
        package=metric.package,
        version=metric.version or __version__,
    )


def measured_by(metric: Metric) -> Callable[..., float | None]:
    """Import a metric's function; PluginError where it cannot be."""
    row = Row(metric.key, metric.target, "", package=metric.package, version=metric.version)
    function = imported(row, noun="metric")
    if not callable(function):
        raise PluginError(
            f"metric {metric.key!r} of {row.source}: {metric.target} is no function",
            wanted=f"a function of {', '.join(metric.needs)}",
        )
    return function
