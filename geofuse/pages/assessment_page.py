"""The assessment as one page: numbers, places, maps, histograms, model, provenance; nothing from outside."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geofuse.metrics.index_agreement import BIN_SPAN, INDICES
from geofuse.metrics.metric import Metric, grows, html_text
from geofuse.metrics.table import installed
from geofuse.pages import charts
from geofuse.pages.assessment_pictures import (
    Detail,
    MapPicture,
    Overview,
    gradient_stops,
    picture_of,
    pictures_of,
    worst_by,
)
from geofuse.pages.assessment_style import SCRIPT, STYLE
from geofuse.pages.assessment_words import BETTER, GROUPS, MAPS, OBSERVED, TILES, UNITS, WARNING
from geofuse.pages.charts import number
from geofuse.pages.terminal import crs_name, size_text
from geofuse.quality.accept import value_of
from geofuse.quality.assessment.subject import REFLECTANCE
from geofuse.quality.assessment.values import Assessment
from geofuse.quality.documents import number_in
from geofuse.tables import OWN
from geofuse.version import __version__

WIDE = 1.6
"""Width over height from which on a picture of the whole product gets the page's whole width."""


def assessment_page(assessment: Assessment) -> str:
    """Return the page as HTML: one file of a few megabytes that needs nothing else."""
    overview, hero, places = pictures_of(assessment)
    parts = [
        _header(assessment),
        _hero(hero),
        _tiles(assessment),
        _notices(assessment.values["warnings"]),
        _metrics(assessment),
        _places(assessment, overview, places),
        _maps(assessment),
        _bands(assessment),
        _indices(assessment),
        _sharpness(assessment),
        _histograms(assessment),
        _observation(assessment),
        _provenance(assessment),
    ]
    title = f"{_name(assessment)} \N{MIDDLE DOT} assessment"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>{_text(title)}</title><style>{STYLE}</style></head><body>"
        f"{parts[0]}<main>{''.join(parts[1:])}</main>{_footer(assessment)}"
        f"<script>{SCRIPT}</script></body></html>\n"
    )


def _text(value: object) -> str:
    return html.escape(str(value), quote=True)


def _name(assessment: Assessment) -> str:
    return Path(assessment.subject.fused.image.bands[0].path).name


def _section(title: str, lead: str, body: str) -> str:
    return f'<section><h2>{title}</h2><p class="lead">{lead}</p>{body}</section>'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Lay rows out; the first `left` columns are words, the others numbers."""

    def cells(row: Sequence[str], tag: str) -> str:
        kinds = ["key" if at == 0 and tag == "td" else "" if at < left else "n" for at in range(len(row))]
        return "".join(f'<{tag} class="{kind}">{cell}</{tag}>' for kind, cell in zip(kinds, row, strict=True))

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{cells(head, "th")}</tr></thead><tbody>{body}</tbody></table></div>'


def _header(assessment: Assessment) -> str:
    subject = assessment.subject
    plan, made = subject.plan, subject.record.get("method") if subject.record else None
    grid = plan.grid
    size = abs(grid.transform[0])
    facts = {
        "scene": plan.scene.scene_id,
        "sensor": plan.scene.sensor,
        "acquired": (plan.scene.acquired or "")[:10],
        "method": made["name"] if made else "made by another tool",
        "bands": ", ".join(subject.names),
        "size": f"{grid.height} \N{MULTIPLICATION SIGN} {grid.width} px of {_length(grid.crs, size)}",
        "ratio": f"{subject.ratio:.4g}",
        "values": assessment.values["units"],
    }
    listed = "".join(
        f"<div><dt>{key}</dt><dd>{_text(value)}</dd></div>" for key, value in facts.items() if value
    )
    return (
        f'<header><p class="kicker">Quality of a fused image</p><h1>{_text(_name(assessment))}</h1>'
        f'<dl class="facts">{listed}</dl></header>'
    )


def _length(crs: str, size: float) -> str:
    """Write a pixel's size with the unit of its coordinate system."""
    if crs.startswith("GEOG"):
        return f"{size:g}\N{DEGREE SIGN}"
    return f"{size:g} m" if '"metre"' in crs else f"{size:g} units"


def _hero(place: Detail) -> str:
    row0, row1, col0, col1 = place.window
    return (
        '<figure style="margin-top:30px"><div class="swipe">'
        f'<img src="{place.after}" width="{col1 - col0}" height="{row1 - row0}" alt="The fused product">'
        f'<img class="top" src="{place.before}" width="{col1 - col0}" height="{row1 - row0}" '
        'alt="The upsampled multispectral image at the same place">'
        '<div class="bar"></div><span class="tag l">upsampled MS</span><span class="tag r">fused</span>'
        '<input type="range" min="0" max="100" value="50" step="0.1" '
        'aria-label="Slide between the upsampled and the fused image"></div>'
        f"<figcaption>Drag to compare. {_where(place)}, both pictures stretched alike.</figcaption></figure>"
    )


def _where(place: Detail) -> str:
    row0, row1, col0, col1 = place.window
    return f"Rows {row0}\N{EN DASH}{row1 - 1}, columns {col0}\N{EN DASH}{col1 - 1}"


def _tiles(assessment: Assessment) -> str:
    values = assessment.values
    metrics = [metric for metric in installed().of_images if "headline" in metric.shown]
    told: list[tuple[str, Any, str, str]] = [
        (
            html_text(metric.label),
            values["metrics"][metric.key]["value"],
            metric.unit,
            f"{html_text(metric.phrase)} {metric.best_text} is best.",
        )
        for metric in metrics
        if metric.key in values["metrics"]
    ]
    made = []
    for name, value, unit, words in (
        *told,
        *((name, pick(values), unit, words) for name, pick, unit, words in TILES),
    ):
        if value is not None:
            shown = value if isinstance(value, str) else number(value)
            made.append(
                f'<div class="tile"><span class="name">{name}</span><b>{shown}<small>{unit}</small></b>'
                f"<p>{words}</p></div>"
            )
    return f'<div class="tiles">{"".join(made)}</div>'


def _notices(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    items = "".join(f"<li>{_text(warning)}</li>" for warning in warnings)
    title = "<p><strong>To know before believing the numbers</strong></p>"
    return f'<div class="notice" role="note">{title}<ul>{items}</ul></div>'


def _metrics(assessment: Assessment) -> str:
    values, baseline = assessment.values, assessment.baseline
    cards = []
    for title, belongs in GROUPS:
        metrics = [metric for metric in installed().metrics if belongs(metric)]
        if all(value_of(values, metric.key) is None for metric in metrics):
            continue
        beside = any(metric.key in baseline for metric in metrics)
        rows = "".join(
            _metric_row(metric, value_of(values, metric.key), baseline if beside else None)
            for metric in metrics
        )
        column = '<th class="n">upsampled MS</th>' if beside else ""
        col = '<col class="v">' if beside else ""
        cards.append(
            f'<div class="card"><h3>{title}</h3><table><colgroup><col class="k"><col class="v">{col}<col class="b">'
            f'<col></colgroup><thead><tr><th>metric</th><th class="n">value</th>{column}<th>best</th>'
            f"<th>what it says</th></tr></thead><tbody>{rows}</tbody></table></div>"
        )
    box = f'<div class="notice" role="note"><p><strong>Read them together.</strong> {WARNING}</p></div>'
    lead = f"Computed in {_text(values['units'])}, over the pixels that are valid in every image."
    if values["units"] != REFLECTANCE:
        lead += f" {UNITS}"
    return _section("The numbers", lead, f'{box}<div class="metrics">{"".join(cards)}</div>')


def _metric_row(metric: Metric, value: float | None, baseline: Mapping[str, Any] | None) -> str:
    meter = ""
    if value is not None and metric.bounded:
        share = 100.0 * min(max(value, 0.0), 1.0)
        kind = "meter" if grows(metric) else "meter down"
        meter = f'<span class="{kind}"><i style="width:{share:.1f}%"></i></span>'
    beside = f'<td class="n quiet">{number(baseline.get(metric.key))}</td>' if baseline is not None else ""
    space = "" if metric.unit == "\N{DEGREE SIGN}" else "\N{NO-BREAK SPACE}"
    unit = f"{space}{_text(metric.unit)}" if metric.unit and value is not None else ""
    whose = "" if metric.package == OWN else f" From {_text(metric.package)} {_text(metric.version)}."
    return (
        f'<tr><td class="key">{html_text(metric.label)}</td><td class="n">{number(value, 4)}{unit}{meter}</td>{beside}'
        f'<td class="best quiet">{metric.best_text}, {BETTER[metric.direction]}</td>'
        f'<td class="what">{html_text(metric.phrase)}{whose}</td></tr>'
    )


def _places(assessment: Assessment, overview: Overview, places: Sequence[Detail]) -> str:
    height, width = overview.size_px
    top, left = assessment.subject.fused.origin
    boxes, pins, blocks = [], [], []
    for at, place in enumerate(places, 1):
        row0, row1, col0, col1 = place.window
        x, y = (col0 + left) / overview.step, (row0 + top) / overview.step
        wide, tall = (col1 - col0) / overview.step, (row1 - row0) / overview.step
        shape = f'x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{tall:.1f}"'
        boxes.append(f'<rect class="under" {shape}/><rect {shape}/>')
        middle = (100.0 * (x + 0.5 * wide) / width, 100.0 * (y + 0.5 * tall) / height)
        pins.append(f'<i style="left:{middle[0]:.2f}%;top:{middle[1]:.2f}%">{at}</i>')
        blocks.append(_trio(at, place))
    shrunk = f", {overview.step:.3g} pixels to one" if overview.step > 1.0 else ""
    kind = "whole wide" if width > WIDE * height else "whole"
    frame = (
        f'<div class="{kind}"><figure><div class="frame"><img src="{overview.picture}" width="{width}" '
        f'height="{height}" alt="The whole product with the places below numbered">'
        f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">{"".join(boxes)}</svg>'
        f"{''.join(pins)}</div><figcaption>The whole product{shrunk}.</figcaption>"
        f"</figure>{_main_map(assessment)}</div>"
    )
    lead = (
        "Upsampled MS, PAN and product, pixel by pixel, where there are most edges and colours, and where the "
        "local metric is worst. Colours of the first and the last picture of a row are stretched alike."
    )
    return _section("Places", lead, f'{frame}<div style="margin-top:26px">{"".join(blocks)}</div>')


def _main_map(assessment: Assessment) -> str:
    """The map that says which place is worst, beside the picture of the whole."""
    key = worst_by(assessment)
    picture = picture_of(assessment.maps[key], assessment.subject.shape) if key else None
    if key is None or picture is None:
        return ""
    title, unit, words = MAPS[key]
    return f"<figure>{_painted(title, unit, f'{title}. {words} Brighter is worse.', picture)}</figure>"


def _trio(at: int, place: Detail) -> str:
    row0, row1, col0, col1 = place.window
    titles = {"upsampled MS": place.before, "PAN": place.pan, "fused": place.after}
    figures = "".join(
        f'<figure><img src="{picture}" width="{col1 - col0}" height="{row1 - row0}" '
        f'alt="{title} at place {at}"><figcaption>{title}</figcaption></figure>'
        for title, picture in titles.items()
    )
    kind = "pin bad" if "worst" in place.title else "pin"
    return (
        f'<div class="place"><h3><span class="{kind}">{at}</span>{_text(place.title)}'
        f'<span>{_where(place)}</span></h3><div class="trio">{figures}</div></div>'
    )


def _maps(assessment: Assessment) -> str:
    figures = []
    for key, (title, unit, words) in MAPS.items():
        local = assessment.maps.get(key) if key != worst_by(assessment) else None
        picture = picture_of(local, assessment.subject.shape) if local else None
        if local and picture:
            painted = _painted(title, unit, f"{words} One cell is {local.cell_px[0]:.3g} px.", picture)
            figures.append(f'<figure class="card"><h3>{title}</h3>{painted}</figure>')
    lead = "Where else is it worse? Brighter is worse; colours end at the 1st and the 99th percentile."
    return _section("Maps", lead, f'<div class="cards">{"".join(figures)}</div>') if figures else ""


def _painted(title: str, unit: str, words: str, picture: MapPicture) -> str:
    """A map with its colour bar and caption."""
    rows, cols = picture.size
    low, high, worst = (number(value) for value in (picture.low, picture.high, picture.worst))
    stops = ",".join(gradient_stops())
    left, top, wide, tall = (100.0 * share for share in picture.box)
    place = f"left:{left:.3f}%;top:{top:.3f}%;width:{wide:.3f}%;height:{tall:.3f}%"
    plain = re.sub("<[^>]*>", "", title)
    return (
        f'<div class="canvas" style="aspect-ratio:{picture.aspect:.5f}"><img src="{picture.picture}" '
        f'style="{place}" width="{cols}" height="{rows}" '
        f'alt="Map of {plain}: from {low} to {high}{unit}, worst {worst}"></div>'
        f'<div class="legend"><span>{low}{unit}</span><i style="background:linear-gradient(90deg,{stops})"></i>'
        f"<span>{high}{unit}</span></div><figcaption>{words} Worst {worst}{unit}.</figcaption>"
    )


def _bands(assessment: Assessment) -> str:
    bands = assessment.values["per_band"]
    columns = [(key, label) for key, label in OBSERVED.items() if any(key in band for band in bands.values())]
    rows = [
        [_text(name), *(number(number_in(band, key)) for key, _ in columns)] for name, band in bands.items()
    ]
    lead = (
        "What each band owes to PAN, and how far the product, seen by the coarse sensor, is from the MS itself. "
        "A band that PAN does not see, such as near infrared, has a low correlation with it and should."
    )
    return _section(
        "Band by band",
        lead,
        f'<div class="card">{_table(["band", *(label for _, label in columns)], rows)}</div>',
    )


def _indices(assessment: Assessment) -> str:
    found = assessment.values["indices"]
    if not found:
        return ""
    rows = [
        [
            f'{key.upper()} <span class="what">{INDICES[key].title}</span>',
            *(number(value[name]) for name in ("bias", "rmse")),
            _percent(value["share_over"]),
            *(number(value[name]) for name in ("mean_coarse", "mean_degraded", "mean_fine")),
        ]
        for key, value in found.items()
    ]
    head = ["index", "bias", "RMSE", "off by over 0.02", "mean of MS", "of degraded product", "of product"]
    pictures = "".join(
        _difference(key, assessment.histograms["indices"][key], value["tolerance"])
        for key, value in found.items()
    )
    lead = (
        "A fused image must not change what analysts derive from it: the index of the product, degraded to the "
        "coarse grid, against the same index of the MS. Best is 0 in the first three columns."
    )
    if assessment.values["units"] != REFLECTANCE:
        lead += f" {UNITS}"
    body = f'<div class="card">{_table(head, rows)}</div><div class="cards" style="margin-top:18px">{pictures}</div>'
    return _section("Indices", lead, body)


def _difference(key: str, counts: Sequence[float], tolerance: float) -> str:
    chart = charts.difference(counts, BIN_SPAN, tolerance, label=f"Histogram of differences in {key.upper()}")
    return (
        f'<figure class="card"><h3>{key.upper()}</h3>{chart}<figcaption>Product less MS, at the scale of the MS; '
        '<span class="key"><i class="swatch c"></i>beyond the tolerance</span></figcaption></figure>'
    )


def _percent(share: float | None) -> str:
    return "\N{EN DASH}" if share is None else f"{100.0 * share:.1f} %"


def _sharpness(assessment: Assessment) -> str:
    values, bands = assessment.values, assessment.values["per_band"]
    chart = charts.edge_widths(
        list(bands),
        [band["edge_width_px"] for band in bands.values()],
        [band["edge_width_upsampled_px"] for band in bands.values()],
        values["sharpness"]["edge_width_pan_px"],
    )
    sharp = (
        f'<figure class="card"><h3>Edge width, pixels</h3>{chart}<figcaption>Contrast of PAN\'s edges over their '
        'steepest step, 1 is a perfect step: <span class="key"><i class="swatch d"></i>upsampled MS</span>, '
        '<span class="key"><i class="swatch b"></i>product</span>, <span class="key"><i class="swatch c"></i>PAN '
        "itself</span>.</figcaption></figure>"
    )
    rows = [
        [
            f"{spacing} px",
            *(number(found[name], 2) for name in ("score", "z", "level_score", "level_z")),
            str(found["segments"]),
            "yes" if found["found"] else "no" if found["z"] is not None else "too few to say",
        ]
        for spacing, found in values["seam"]["spacings"].items()
    ]
    table = _table(["lines each", "step", "z", "level", "z", "segments", "seam"], rows)
    seam = (
        f'<div class="card"><h3>Seams</h3>{table}<p class="what">How much larger the step across the borders of '
        "tiles is than beside them, relative to the latter: of single pixels, and of the mean level over 32 pixels. "
        "Best 0; z is the excess over its standard error, and under 3 it is chance.</p></div>"
    )
    lead = "What the product gained over plain upsampling, and whether its tiles show."
    return _section("Sharpness and seams", lead, f'<div class="cards">{sharp}{seam}</div>')


def _histograms(assessment: Assessment) -> str:
    found = assessment.histograms
    figures = []
    for at, name in enumerate(assessment.subject.names):
        beside = found["ms"][at] if found["ms"] else None
        label = f"Histogram of {name}: product and MS"
        chart = charts.histogram(found["edges"][at], found["fused"][at], beside, label=label)
        figures.append(f'<figure class="card"><h3>{_text(name)}</h3>{chart}</figure>')
    lead = (
        '<span class="key"><i class="swatch b"></i>product</span> over <span class="key"><i class="swatch a"></i>'
        f"MS</span>, in {_text(assessment.values['units'])}. A sharper image has longer tails; it should not move."
    )
    return _section("Histograms", lead, f'<div class="cards four">{"".join(figures)}</div>')


def _observation(assessment: Assessment) -> str:
    found = assessment.values["observation"]
    known: Mapping[str, Any] = assessment.subject.calibration or {}
    head = ["band", "MTF gain", "shift down, px", "shift right, px"]
    extra = [key for key in ("mtf_gain_sigma", "mtf_gain_r2", "pan_weights") if known.get(key)]
    names = {
        "mtf_gain_sigma": "gain \N{PLUS-MINUS SIGN}",
        "mtf_gain_r2": "R\N{SUPERSCRIPT TWO}",
        "pan_weights": "PAN weight",
    }
    rows = [
        [
            _text(name),
            number(band["mtf_gain"]),
            *(number(part) for part in band["shift_px"]),
            *(number(known[key].get(name)) for key in extra),
        ]
        for name, band in assessment.values["per_band"].items()
    ]
    scalars = [f"from {_text(found['origin'])}"]
    scalars += [
        f"{key} {number(known[key])}" for key in ("confidence", "r2", "snr") if known.get(key) is not None
    ]
    lead = (
        "How the coarse image came from the fine one: what D and U used here, "
        f"{', '.join(scalars)}. The gain is the sensor's MTF at the coarse Nyquist frequency; the shift says where, "
        "in PAN pixels, the MS shows what PAN shows."
    )
    table = _table([*head, *(names[key] for key in extra)], rows)
    return _section("Observation model", lead, f'<div class="card">{table}</div>')


def _provenance(assessment: Assessment) -> str:
    record = assessment.subject.record
    if record is None:
        lead = "The product has no record beside it: made by another tool, or its JSON was left behind."
        return _section("Provenance", lead, "")
    rows = [
        [
            _text(Path(item["path"]).name),
            size_text(item["bytes"]),
            f"<code>{_text(item['sha256'][:16])}</code>",
        ]
        for item in record.get("inputs", [])
    ]
    method, rounds = record.get("method", {}), record.get("parameters", {}).get("back_projections")
    backed = f" and {rounds} rounds of back-projection" if rounds else ""
    lead = (
        f"Made by geofuse {_text(record.get('geofuse', ''))} with <strong>{_text(method.get('name', ''))}</strong>"
        f"{backed} ({_text(method.get('paper', ''))}), on {_text(crs_name(record['grid'].get('crs', '')))}; "
        f"fingerprint <code>{_text(record['fingerprint'])}</code>."
    )
    table = _table(["input", "size", "SHA-256, first 16"], rows)
    raw = _text(json.dumps(record, indent=2, sort_keys=True))
    body = f'<div class="card">{table}</div><details><summary>The whole record</summary><pre>{raw}</pre></details>'
    return _section("Provenance", lead, body)


def _footer(assessment: Assessment) -> str:
    credit = assessment.subject.plan.scene.metadata.get("attribution")
    words = f"{_text(credit)}. " if credit else ""
    return f"<footer>{words}Assessed by geofuse {__version__}. The same numbers as JSON: <code>--json</code>.</footer>"
