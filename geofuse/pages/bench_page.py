"""The bench as one self-contained page: table, chart, pictures, error maps, model, how to repeat it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geofuse.files import write_bytes, write_json
from geofuse.pages.bench_chart import scatter
from geofuse.pages.bench_style import SCRIPT, STYLE
from geofuse.pages.bench_table import (
    ORDER,
    REDUCED_NOTE,
    WARNINGS,
    Column,
    best_value,
    cell,
    columns_of,
    is_best,
    markdown,
    name_of,
)
from geofuse.quality.bench import Bench, BenchPicture
from geofuse.quality.bench_documents import BenchDocument, BenchRow, ModelReport
from geofuse.quality.documents import number_in
from geofuse.rasters.preview import contact_sheet, png_of, stretch

RAMP = (
    *((0.0, (12, 12, 28)), (0.25, (87, 16, 110)), (0.5, (188, 55, 84))),
    *((0.75, (249, 142, 9)), (1.0, (252, 255, 164))),
)
"""Black, violet, red, orange, pale yellow, brighter step by step: readable in grey and without seeing red."""
SHEET_COLUMNS, SHEET_SIDE_PX = 6, 220
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""A browser refuses whatever else the page might ask for."""
TOP_SHARE = 99.0
"""Percentile of the upsampled MS's error at which the colours end."""


def write_bench(bench: Bench, folder: Path, commands: Sequence[str]) -> BenchDocument:
    """Write bench.json, bench.md, bench.html and crops.png; returns what bench.json holds."""
    found: BenchDocument = {**bench.found, "commands": list(commands)}
    colours = shown_alike(bench.pictures)
    errors, top = error_maps(bench.pictures)
    titles = [_title(picture) for picture in bench.pictures]
    sheet = contact_sheet(colours, titles, columns=SHEET_COLUMNS, side_px=SHEET_SIDE_PX)
    write_bytes(folder / "crops.png", sheet)
    write_bytes(folder / "bench.md", markdown(found).encode())
    page = page_of(found, bench.pictures, colours=colours, errors=errors, top_percent=top)
    write_bytes(folder / "bench.html", page.encode())
    write_json(folder / "bench.json", found)
    return found


def shown_alike(pictures: Sequence[BenchPicture]) -> list[NDArray[np.uint8]]:
    """Stretch all colour pictures as the reference, or the upsampled MS, PAN by itself: (h, w, 4) each."""
    model = [picture for picture in pictures if picture.rounds is None][-1]
    return [
        stretch(
            picture.pixels,
            picture.valid,
            like=None if picture.name == "PAN" else (model.pixels, model.valid),
        )
        for picture in pictures
    ]


def error_maps(pictures: Sequence[BenchPicture]) -> tuple[list[NDArray[np.uint8] | None], float]:
    """Colour the errors on one scale, (h, w, 3) each or None; returns them and the scale's end in percent."""
    errors = {picture.name: picture.error for picture in pictures if picture.error is not None}
    if not errors:
        return [None] * len(pictures), 0.0
    widest = errors["exp"] if "exp" in errors else max(errors.values(), key=lambda error: float(error.mean()))
    top = float(np.percentile(widest, TOP_SHARE)) or 1.0
    return [None if picture.error is None else heat(picture.error / top) for picture in pictures], top


def heat(share: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Colour numbers from 0 to 1, (h, w) -> (h, w, 3), along RAMP."""
    at = [place for place, _ in RAMP]
    channels = [np.interp(share, at, [colour[channel] for _, colour in RAMP]) for channel in range(3)]
    return np.round(np.stack(channels, axis=2)).astype(np.uint8)


def page_of(
    found: BenchDocument,
    pictures: Sequence[BenchPicture],
    *,
    colours: Sequence[NDArray[np.uint8]],
    errors: Sequence[NDArray[np.uint8] | None],
    top_percent: float,
) -> str:
    """Write the page; it asks for nothing outside itself."""
    reduced = found["protocol"] == "reduced"
    key, axis = ("ergas", "ERGAS") if reduced else ("mean_place", "Mean place")
    parts = [
        _head(found),
        _warnings(found),
        _section(
            "table", "Scores", f"Rows {ORDER[found['protocol']]}. Click a head to sort by it.", _table(found)
        ),
        _section(
            "chart",
            "Quality against cost",
            CHART_TEXT,
            f"<figure>{scatter(found['rows'], key, axis)}</figure>",
        ),
        _section("pictures", "The same place, stretched alike", "", _gallery(pictures, colours)),
    ]
    if any(error is not None for error in errors):
        parts.append(
            _section("errors", "Where each is wrong", ERROR_TEXT, _errors(pictures, errors, top_percent))
        )
        parts.append(_section("bands", "Error by band", BAND_TEXT, _band_table(found)))
    parts.append(_section("model", "The model of the pair", MODEL_TEXT, _models(found)))
    commands = "\n".join(escape(command) for command in found["commands"])
    parts.append(_section("repeat", "Repeat it", "", f"<pre><code>{commands}</code></pre>{_foot(found)}"))
    title = escape(f"Methods on {found['scene']}")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + f"\n</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


CHART_TEXT = (
    "Filled marks are with back-projection, hollow ones without; a line joins the same method. Triangles lie above "
    "the chart. Hover over a mark for its figures."
)
ERROR_TEXT = (
    "Mean over the bands of the error, in percent of the band's mean, at the place above; one scale for all."
)
BAND_TEXT = (
    "Root mean squared error in percent of the band's mean. A band that PAN does not see gains little; one above the "
    "line of exp is better left upsampled."
)
MODEL_TEXT = "Shift, MTF and PAN's weights, as estimated and used by methods and metrics alike."


def _section(name: str, title: str, text: str, body: str) -> str:
    lead = f'<p class="lead">{escape(text)}</p>' if text else ""
    return f'<section id="{name}"><h2>{escape(title)}</h2>{lead}{body}</section>'


def _head(found: BenchDocument) -> str:
    rows = [row for row in found["rows"] if "error" not in row]
    height, width = found["size_px"]
    protocol = (
        "Wald's protocol: both images degraded by the scene's own model, the MS itself is the reference"
        if found["protocol"] == "reduced"
        else "At full resolution, where there is no reference"
    )
    facts = (
        f"{protocol}. {height} × {width} px, ratio {found['ratio']:.4g}, bands {', '.join(found['bands'])}, "
        f"in {found['units']}."
    )
    cards = "".join(
        f'<div class="card"><span>{escape(label)}</span><strong>{escape(name)}</strong><em>{escape(text)}</em></div>'
        for label, name, text in _highlights(rows, found["protocol"])
    )
    return (
        f'<header><p class="kicker">geofuse bench</p><h1>Methods on {escape(found["scene"])}</h1>'
        f'<p class="lead">{escape(facts)}</p><div class="cards">{cards}</div></header>'
    )


def _highlights(rows: Sequence[BenchRow], protocol: str) -> list[tuple[str, str, str]]:
    """Return label, method and figures of what a reader wants first."""
    if not rows:
        return []
    key, title = ("ergas", "ERGAS") if protocol == "reduced" else ("mean_place", "mean place")

    def figures(row: BenchRow) -> str:
        found = number_in(row, key)
        value = "not measured" if found is None else f"{found:.3f}"
        return f"{title} {value}, {row['cpu_s_per_mpx']:.2f} s/Mpx"

    def named(row: BenchRow) -> str:
        rounds = row["back_projections"]
        return name_of(row) + (f" + {rounds} bp" if rounds else "")

    found = [("best", named(rows[0]), figures(rows[0]))]
    for at, row in enumerate(rows, 1):
        if row["method"] == "auto":
            found.append((f"auto, place {at} of {len(rows)}", named(row), figures(row)))
    best = number_in(rows[0], key) or 0.0
    scored = [(row, number_in(row, key)) for row in rows]
    near = [row for row, value in scored if value is not None and value <= 1.05 * best]
    if near:
        fastest = min(near, key=lambda row: float(row["cpu_s_per_mpx"]))
        found.append(("fastest within 5 % of the best", named(fastest), figures(fastest)))
    plain = _plain(rows)
    if plain is not None:
        found.append(("plain upsampling", named(plain), figures(plain)))
    return found


def _plain(rows: Sequence[BenchRow]) -> BenchRow | None:
    """Return the row of plain upsampling, with the fewest back-projections there are; None where it is not there."""
    found = [row for row in rows if row["method"] == "exp"]
    return min(found, key=lambda row: row["back_projections"] or 0, default=None)


def _warnings(found: BenchDocument) -> str:
    notes = [*WARNINGS, *([REDUCED_NOTE] if found["protocol"] == "reduced" else []), *found["warnings"]]
    notes += [f"{name_of(row)} could not be made: {row['error']}" for row in found["rows"] if "error" in row]
    listed = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<aside class="warning"><h2>Before you compare</h2><ul>{listed}</ul></aside>'


def _table(found: BenchDocument) -> str:
    rows, columns = found["rows"], columns_of(found["protocol"])
    best = {column.key: best_value(rows, column) for column in columns}
    heads = "".join(_head_cell(column) for column in columns)
    lines = "".join(_line(row, columns, best) for row in rows)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="scores"><table class="sortable"><thead><tr>'
        '<th scope="col" data-kind="text"><button>method</button></th>'
        '<th scope="col" title="rounds of back-projection"><button>bp</button></th>'
        f"{heads}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _head_cell(column: Column) -> str:
    arrow, word = ("↑", "more") if column.grows else ("↓", "less")
    return (
        f'<th scope="col" data-grows="{int(column.grows)}" title="{escape(column.meaning)}; {word} is better">'
        f"<button>{escape(column.title)} <i>{arrow}</i></button></th>"
    )


def _line(row: BenchRow, columns: Sequence[Column], best: Mapping[str, float | None]) -> str:
    cells = []
    for column in columns:
        text, value = cell(row, column), row.get(column.key)
        marked = f"<b>{text}</b>" if is_best(row, column, best[column.key]) else text
        cells.append(f'<td data-v="{"" if value is None else value}">{marked or "–"}</td>')
    rounds = "" if row["back_projections"] is None else row["back_projections"]
    kind = ' class="auto"' if row["method"] == "auto" else ""
    return (
        f'<tr{kind}><th scope="row">{escape(name_of(row))}</th><td data-v="{rounds}">{rounds}</td>'
        f"{''.join(cells)}</tr>"
    )


def _title(picture: BenchPicture) -> str:
    return picture.name + (f" + {picture.rounds} bp" if picture.rounds else "")


def _gallery(pictures: Sequence[BenchPicture], colours: Sequence[NDArray[np.uint8]]) -> str:
    figures = [
        _figure(picture, colour, "input" if picture.rounds is None else "product")
        for picture, colour in zip(pictures, colours, strict=True)
    ]
    return f'<div class="gallery">{"".join(figures)}</div>'


def _figure(picture: BenchPicture, colour: NDArray[np.uint8], kind: str, more: str = "") -> str:
    height, width = colour.shape[:2]
    title = _title(picture)
    return (
        f'<figure class="{kind}"><img width="{width}" height="{height}" alt="{escape(title)}" '
        f'src="{_data(png_of(colour))}"><figcaption>{escape(title)}{more}</figcaption></figure>'
    )


def _data(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _errors(
    pictures: Sequence[BenchPicture], errors: Sequence[NDArray[np.uint8] | None], top_percent: float
) -> str:
    figures = [
        _figure(picture, error, "map", f" <span>{picture.error.mean():.1f} %</span>")
        for picture, error in zip(pictures, errors, strict=True)
        if error is not None and picture.error is not None
    ]
    bar = heat(np.linspace(0.0, 1.0, 256)[None])
    scale = (
        f'<p class="scale"><span>0 %</span><img width="256" height="1" alt="colour scale from 0 to '
        f'{top_percent:.3g} percent" src="{_data(png_of(bar))}"><span>{top_percent:.3g} %</span></p>'
    )
    return f'{scale}<div class="gallery">{"".join(figures)}</div>'


def _band_table(found: BenchDocument) -> str:
    rows = [row for row in found["rows"] if "error_percent" in row]
    plain = _plain(rows)
    least = {
        name: min(
            (value for row in rows if (value := row["error_percent"][name]) is not None),
            default=None,
        )
        for name in found["bands"]
    }
    lines = []
    for row in rows:
        cells = []
        for name in found["bands"]:
            value = row["error_percent"][name]
            limit = None if plain is None else plain["error_percent"][name]
            text = "–" if value is None else f"{value:.2f}"
            worse = value is not None and limit is not None and round(value, 2) > round(limit, 2)
            marked = f"<b>{text}</b>" if value is not None and value == least[name] else text
            cells.append(
                f'<td data-v="{"" if value is None else value}"{" class=worse" if worse else ""}>{marked}</td>'
            )
        rounds = row["back_projections"]
        lines.append(
            f'<tr><th scope="row">{escape(name_of(row))}</th><td data-v="{rounds}">{rounds}</td>{"".join(cells)}</tr>'
        )
    heads = "".join(
        f'<th scope="col" data-grows="0"><button>{escape(name)} <i>↓</i></button></th>'
        for name in found["bands"]
    )
    return (
        '<div class="scroll short" tabindex="0" role="region" aria-label="error by band">'
        '<table class="sortable"><thead><tr><th scope="col" data-kind="text"><button>method</button></th>'
        f'<th scope="col"><button>bp</button></th>{heads}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
    )


def _models(found: BenchDocument) -> str:
    kept = [
        ("the scene", found["model"]["scene"]),
        ("the reduced pair, estimated anew", found["model"]["pair"]),
    ]
    tables = [_model(title, model, found["bands"]) for title, model in kept if model is not None]
    return f'<div class="models">{"".join(tables)}</div>'


def _model(title: str, model: ModelReport, bands: Sequence[str]) -> str:
    observation, calibration = model["observation"], model["calibration"] or {}
    rows = [("origin", observation["origin"]), ("shift (row, column), px", _numbers(observation["shift_px"]))]
    if "confidence" in calibration:
        rows.append(("confidence", f"{calibration['confidence']:.2f}"))
    if "r2" in calibration:
        rows.append(("R² of PAN on the bands", f"{calibration['r2']:.3f}"))
    shifts = observation["band_shift_px"]
    weights, certain = calibration.get("pan_weights", {}), calibration.get("mtf_gain_r2", {})
    lines = "".join(
        f"<tr><th scope=row>{escape(name)}</th><td>{observation['mtf_gain'][at]:.3f}</td>"
        f"<td>{_numbers(shifts[at] if shifts else observation['shift_px'])}</td>"
        f"<td>{_number(weights.get(name))}</td><td>{_number(certain.get(name))}</td></tr>"
        for at, name in enumerate(bands)
    )
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in rows)
    return (
        f"<div><h3>{escape(title)}</h3><dl>{facts}</dl><div class=scroll><table><thead><tr><th>band</th>"
        f"<th>MTF gain</th><th>shift px</th><th>PAN weight</th><th>R²</th></tr></thead><tbody>{lines}</tbody>"
        "</table></div></div>"
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:+.3f}" for value in values)


def _foot(found: BenchDocument) -> str:
    credit = f" {found['attribution']}." if found["attribution"] else ""
    text = (
        f"geofuse {found['version']}; {found['machine']}; calibrating the scene took "
        f"{found['calibration_cpu_s']:.1f} CPU s, the whole bench {found['seconds']:.0f} s.{credit}"
    )
    return f'<p class="foot">{escape(text)}</p>'
