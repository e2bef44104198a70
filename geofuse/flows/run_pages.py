"""What people see of a scene in the UI: one page at its end, a table of a batch, words for what went wrong."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geofuse.errors import GeofuseError
from geofuse.line.scene_run import Outcome
from geofuse.metrics.metric import plain_text, titled
from geofuse.metrics.table import find

PICTURE_PX = 1100
"""Width of the before/after picture: what the UI's column shows."""


def slug(text: str) -> str:
    """Make a name an artifact may have.

    >>> slug("LC08_L1TP 12.4")
    'lc08-l1tp-12-4'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "scene"


def fault_page(name: str, error: GeofuseError, stage: str) -> str:
    """Return the page of a scene that failed."""
    again = (
        "It was tried again and failed each time. The next run goes on where this one stopped."
        if error.exit_status == 4
        else "Another try would fail alike: it was not tried again."
    )
    rows = [("stage", stage), ("code", error.code), ("where", error.path), ("found", error.found)]
    rows += [("wanted", error.wanted), ("do", error.do)]
    return "\n".join(
        [f"# {name}: failed", "", *_table(("what", "it is"), [row for row in rows if row[1]]), "", again]
    )


def scene_page(name: str, answers: Mapping[str, Mapping[str, Any]], *, seconds: Mapping[str, float]) -> str:
    """Return the page of a scene: picture, verdict, observation model, quality, product, times."""
    paths = _paths(answers)
    verdict = answers.get("accept", {})
    method = answers.get("plan", {}).get("method") or answers.get("calibrate", {}).get("method") or ""
    told = str(verdict.get("verdict") or "unjudged")
    lines = [f"# {name} · {method} · {told}", ""]
    lines += [*_picture(paths), *_verdict(verdict), *_observation(answers.get("calibrate", {}))]
    lines += [*_quality(answers.get("assess", {}).get("values") or {}), *_product(answers, paths)]
    if seconds:
        lines += ["## Time", "", *_table(("stage", "seconds"), [(k, f"{v:.1f}") for k, v in seconds.items()])]
    return "\n".join(lines)


def _paths(answers: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Find the pictures and reports among what the stages wrote."""
    ends = {".before_after.png": "before_after", ".html": "html", ".report.json": "json"}
    files = answers.get("assess", {}).get("files") or []
    found = {name: str(path) for path in files for end, name in ends.items() if str(path).endswith(end)}
    quicklook = answers.get("mosaic", {}).get("quicklook")
    return found | ({"quicklook": str(quicklook)} if quicklook else {})


def _picture(paths: Mapping[str, str]) -> list[str]:
    from geofuse.rasters.preview import small_jpeg

    source = paths.get("before_after") or paths.get("quicklook")
    if not source or not Path(source).is_file():
        return []
    data = base64.b64encode(small_jpeg(Path(source), PICTURE_PX)).decode()
    title = "before: MS, PAN; after: the product" if "before_after" in paths else "quicklook"
    return [f"![{title}](data:image/jpeg;base64,{data})", ""]


def _verdict(verdict: Mapping[str, Any]) -> list[str]:
    if not verdict:
        return []
    lines = [f"## Verdict: {verdict.get('verdict')}", ""]
    profile = verdict.get("profile")
    if profile:
        lines += [f"Profile {profile}, version {verdict.get('profile_version')}.", ""]
    if verdict.get("decision"):
        said = "Accepted" if verdict["decision"]["accepted"] else "Rejected"
        lines += [f"{said} by {verdict['decision']['by']} at {verdict['decision']['at']}.", ""]
    reasons = [
        (
            reason.get("check"),
            reason.get("level"),
            _figure(reason.get("value")),
            _figure(reason.get("limit")),
            reason.get("text"),
        )
        for reason in verdict.get("reasons") or []
    ]
    return [*lines, *_table(("check", "level", "found", "limit", "why"), reasons), ""] if reasons else lines


def _observation(found: Mapping[str, Any]) -> list[str]:
    if not found:
        return []
    shift = found.get("shift_px")
    rows = [
        ("shift (dy, dx), PAN px", _figures(shift)),
        ("confidence", _figure(found.get("confidence"))),
        ("R² of PAN's detail on the bands", _figure(found.get("r2"))),
        ("MTF gain of the bands at Nyquist", _figures(found.get("mtf_gain"))),
        ("method by hold-out", found.get("method")),
    ]
    lines = [
        "## How the images relate",
        "",
        *_table(("measured", "value"), [row for row in rows if row[1]]),
        "",
    ]
    return lines + [f"- {warning}" for warning in found.get("warnings") or []] + [""]


def _quality(values: Mapping[str, Any]) -> list[str]:
    rows = []
    for key, value in values.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            rows.append(_measured(key, value))
    return ["## Quality", "", *_table(("metric", "value", "best", "what it says"), rows), ""] if rows else []


def _measured(key: str, value: float) -> tuple[str, str, str, str]:
    """Return a metric's line; of one that is not installed here only the name."""
    try:
        metric = find(key)
    except GeofuseError:
        return key.replace("_", " "), _figure(value), "", ""
    return titled(metric), _figure(value), metric.best_text, plain_text(metric.phrase)


def _product(answers: Mapping[str, Mapping[str, Any]], paths: Mapping[str, str]) -> list[str]:
    mosaic, done = answers.get("mosaic", {}), answers.get("publish", {})
    rows: list[tuple[Any, ...]] = []
    if mosaic.get("out"):
        rows.append(("product", f"`{mosaic['out']}`"))
        rows.append(("size", f"{mosaic.get('bytes', 0) / 1e6:.1f} MB"))
        rows.append(("SHA-256", f"`{mosaic.get('sha256')}`"))
    if done.get("item"):
        rows.append(
            ("catalogue", f"{done.get('action')}: item `{done['item']}`, version {done.get('version')}")
        )
        rows.append(("item", f"`{done.get('href')}`"))
    rows += [
        (name, f"`{paths[key]}`") for key, name in (("html", "report"), ("json", "record")) if paths.get(key)
    ]
    return ["## Product", "", *_table(("what", "where"), rows), ""] if rows else []


def card_page(card: Mapping[str, Any]) -> str:
    """Return the page of a network that was trained: what it is, its scores, how they came."""
    told = card["training"]
    facts = [("weights", f"`{card['path']}`"), ("SHA-256", f"`{card['sha256']}`"), ("kind", card["kind"])]
    facts += [("ratio", card["ratio"]), ("bands", ", ".join(card["bands"]) or "any")]
    facts += [("steps", told["steps"]), ("best after", told["best_step"]), ("seconds", told["seconds"])]
    scores = [(name, _figure(value)) for name, value in told["scores"].items()]
    curve = [(row.get("step"), _figure(row.get("held_out"))) for row in told["curve"][-20:]]
    lines = [
        f"# {card['name']}",
        "",
        *_table(("what", "it is"), facts),
        "",
        "## Scores",
        "",
        told["scores_are"],
        "",
    ]
    lines += [*_table(("on", "score"), scores), "", "## Last looks", "", *_table(("step", "held out"), curve)]
    return "\n".join(lines)


def batch_rows(outcomes: Sequence[Outcome]) -> list[dict[str, object]]:
    """Return the rows of a batch's table artifact."""
    return [
        {
            "scene": outcome.name,
            "state": outcome.state,
            "verdict": outcome.verdict or "",
            "item": outcome.item or "",
            "code": outcome.code or "",
            "seconds": round(sum(outcome.seconds.values()), 1),
            "reason": outcome.message or "; ".join(outcome.reasons),
        }
        for outcome in outcomes
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    def line(cells: Sequence[Any]) -> str:
        texts = ("" if cell is None else str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells)
        return f"| {' | '.join(texts)} |"

    return [line(head), line(["---"] * len(head)), *map(line, rows)]


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


def _figures(values: Any) -> str:
    if isinstance(values, Mapping):
        return ", ".join(f"{name} {_figure(value)}" for name, value in values.items())
    return ", ".join(map(_figure, values)) if isinstance(values, (list, tuple)) else _figure(values)
