"""What the assessment's page says beside the metrics' own rows: groups, maps, columns, headlines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from geofuse.metrics.metric import Metric

BETTER = {"less": "lower is better", "more": "higher is better", "": ""}
GROUPS: tuple[tuple[str, Callable[[Metric], bool]], ...] = (
    ("Against the reference", lambda metric: metric.referenced),
    ("Consistency with the MS", lambda metric: metric.of_coarse),
    (
        "At full resolution, without a reference",
        lambda metric: not (metric.referenced or metric.of_coarse or metric.of_product),
    ),
)
"""Tables of the page: title, which metrics stand in it."""

WARNING = (
    "R-ERGAS, R-SAM and D<sub>\u03bb</sub><sup>K</sup> favour back-projection by construction: it minimises what they "
    "measure. HQNR alone ranks wrongly; a product that is not registered can beat one that is. Compare products by "
    "several of them, best against a reference one scale down."
)
UNITS = "The DN of zero reflectance is unknown, and an arbitrary pedestal changes relative errors, angles and indices."

MAPS = {
    "ergas": ("ERGAS, local", "", "Error against the reference, relative to the image's mean."),
    "sam": ("SAM, local", "\N{DEGREE SIGN}", "Spectral angle against the reference."),
    "q2n": ("1 \u2212 Q2<sup>n</sup>", "", "Against the reference, blocks of 32 px."),
    "r_ergas": ("R-ERGAS, local", "", "Residual at the coarse scale: product degraded, less MS."),
    "q2n_k": (
        "1 \u2212 Q2<sup>n</sup> at the coarse scale",
        "",
        "Product after the sensor's blur against the upsampled MS.",
    ),
    "d_rho": ("D<sub>\u03c1</sub>, local", "", "How unlike PAN the detail is, mean over bands."),
    "invented": (
        "Unsupported detail",
        "",
        "Share of the detail's energy that neither PAN nor the MS shows, mean over bands.",
    ),
}
"""Per map: title, unit, words; in the order shown."""

OBSERVED = {
    "mean": "mean",
    "rmse_percent": "RMSE, %",
    "bias": "bias",
    "q": "Q",
    "r_rmse_percent": "R-RMSE, %",
    "r_bias": "R-bias",
    "q_pan": "Q with PAN",
    "d_rho": "D<sub>\u03c1</sub>",
    "detail_correlation": "detail corr. with PAN",
    "energy_gain": "gradient energy \u00d7",
    "unsupported": "unsupported detail",
    "unsupported_bound": "its bound",
    "injection": "share injected",
}
"""Columns of the table of bands."""


def _of(*path: str) -> Callable[[Mapping[str, Any]], Any]:
    def pick(values: Mapping[str, Any]) -> Any:
        found: Any = values
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    return pick


def _invented(values: Mapping[str, Any]) -> str | None:
    worst = (values.get("invented") or {}).get("worst")
    return None if worst is None else "beyond bound" if worst > 1.0 else "none"


def _seam(values: Mapping[str, Any]) -> str | None:
    seam = values["seam"]
    return None if seam["z"] is None else "found" if seam["found"] else "none"


TILES = (
    (
        "NDVI, RMSE",
        _of("indices", "ndvi", "rmse"),
        "",
        "what fusion changed in NDVI at the scale of the MS; 0 is best",
    ),
    (
        "Edges",
        _of("sharpness", "edge_gain"),
        "\N{THIN SPACE}\u00d7",
        "steeper than upsampled MS; 1 is nothing gained",
    ),
    (
        "Invented detail",
        _invented,
        "",
        "more detail that neither PAN nor the MS shows than reality has one scale down",
    ),
    ("Seams", _seam, "", "steps across tile borders that stand out from those beside them"),
)
"""The headline beside the metrics that stand in it: name, value of the assessment's, unit, phrase."""
