"""An assessment in a terminal and in a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geofuse.errors import UsageError, WriteError
from geofuse.files import write_bytes
from geofuse.metrics.table import installed
from geofuse.pages.assessment_page import assessment_page
from geofuse.pages.charts import number
from geofuse.pages.terminal import table
from geofuse.quality.accept import value_of
from geofuse.quality.assessment.values import Assessment
from geofuse.tables import OWN


def assess_text(found: Assessment) -> str:
    """Write `geofuse assess`: what could be measured."""
    values, beside = found.values, found.baseline
    head = ["metric", "value", *(["upsampled"] if beside else []), "best"]
    rows = []
    for metric in installed().of_images:
        value = value_of(values, metric.key)
        if value is not None:
            other = [number(beside.get(metric.key), 4)] if beside else []
            whose = [] if metric.package == OWN else [f"{metric.package} {metric.version}"]
            rows.append([metric.key, number(value, 4), *other, " ".join([metric.best_text, *whose])])
    indices = [
        (key, number(value["bias"]), number(value["rmse"]), _percent(value["share_over"]))
        for key, value in values["indices"].items()
    ]
    seam, sharp = values["seam"], values["sharpness"]
    lines = [f"in {values['units']}", table(rows, head)]
    if indices:
        lines.append("\n" + table(indices, ["index at MS scale", "bias", "rmse", "off by over 0.02"]))
    lines.append(
        f"\nedges {number(sharp['edge_gain'])} times as steep as upsampled "
        f"({number(sharp['edge_width_px'])} px wide, PAN's {number(sharp['edge_width_pan_px'])}); "
        f"seams: {_seam(seam)}"
    )
    lines.append(_invented(values["invented"]))
    return "\n".join([*lines, *(f"note: {warning}" for warning in values["warnings"])])


def _invented(found: Mapping[str, Any]) -> str:
    """Say how much of the detail nothing supports, and how much may be."""
    if found["share"] is None:
        return "detail in neither PAN nor MS: too little valid around any pixel to say"
    bound = "unknown" if found["bound"] is None else f"{found['bound']:.1%}"
    verdict = "; a band is beyond its own bound" if found["found"] else ""
    return f"detail in neither PAN nor MS: {found['share']:.1%} of its energy, bound {bound}{verdict}"


def _seam(seam: Mapping[str, Any]) -> str:
    if seam["z"] is None:
        return "too few tile borders inside to say"
    return f"found, each {seam['spacing_px']} px" if seam["found"] else "none found"


def _percent(share: float | None) -> str:
    return number(None) if share is None else f"{100.0 * share:.1f} %"


def checked_page(path: Path) -> Path:
    """Return where a page may be written; refuses other names than .html and folders that are not there."""
    path = path.absolute()
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--html {path.name!r}", wanted="a name that ends in .html", path=str(path))
    if not path.parent.is_dir():
        raise WriteError("no such folder", wanted="an existing folder for --html", path=str(path.parent))
    return path


def write_page(found: Assessment, path: Path) -> None:
    """Write the page, completely or not at all."""
    write_bytes(checked_page(path), assessment_page(found).encode())
