"""What people read in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from geofuse.tables import OWN


class Listed(TypedDict):
    """A row of a table as `geofuse plugins` lists it."""

    table: str
    name: str
    title: str
    package: str
    version: str
    """geofuse's for its own."""
    needs: str
    """What pip must install for it; empty: nothing more."""
    fault: str | None
    """What choosing it says; None: it can be chosen."""


def table(rows: Sequence[Sequence[object]], head: Sequence[str]) -> str:
    """Lay rows out in columns under a head.

    >>> print(table([["exp", 1], ["gsa", 22]], ["method", "n"]))
    method  n
    exp     1
    gsa     22
    """
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(line.rstrip() for line in lines)


def size_text(count: float) -> str:
    """Write a number of bytes.

    >>> size_text(3 * 2**20)
    '3.0 MiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("unreachable")


def plan_text(summary: Mapping[str, Any]) -> str:
    """Write `geofuse plan`."""
    grid = summary["grid"]
    rows = [
        ("scene", f"{summary['scene']} ({summary['sensor']})"),
        ("method", summary["method"]),
        *_network_rows(summary["network"]),
        ("bands", ", ".join(summary["bands"])),
        ("output", f"{grid['height']} x {grid['width']} px, {summary['dtype']}, {_validity(summary)}"),
        ("coarse", f"row = {_axis(summary['axis_y'])}, column = {_axis(summary['axis_x'])}"),
        ("ratio", f"{summary['ratio']:.4g}"),
        ("tiles", f"{summary['tiles']} of {summary['tile_px']} px, halo {summary['halo_px']} fine px"),
        (
            "memory",
            f"{size_text(summary['bytes_in_memory'])}: {summary['workers']} tasks of "
            f"{size_text(summary['bytes_per_task'])}",
        ),
        (
            "size",
            f"{size_text(summary['output_bytes_plain'])} plain, at most about "
            f"{size_text(summary['output_bytes_estimate'])} with {summary['compress']}",
        ),
    ]
    return "\n".join([*(f"{name:8}{value}" for name, value in rows), *_notes(summary["notes"])])


def _network_rows(network: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if network is None:
        return []
    return [
        (
            "network",
            f"{network['name']} on {network['device']} ({network['runs_on']}), {network['precision']}",
        )
    ]


def _validity(summary: Mapping[str, Any]) -> str:
    """Say what marks invalid pixels."""
    return f"nodata {summary['nodata']}" if summary["validity"] == "nodata" else f"with {summary['validity']}"


def _axis(axis: dict[str, float]) -> str:
    return f"{axis['scale']:.6g} r {axis['offset']:+.6g}".replace(" r ", " * fine ")


def inspect_text(facts: Mapping[str, Any]) -> str:
    """Write `geofuse inspect`."""
    lines = [f"{facts['scene']}  sensor {facts['sensor']}  acquired {facts['acquired'] or 'unknown'}"]
    for name, title in (("fine", "PAN"), ("coarse", "MS")):
        source = facts[name]
        grid = source["grid"]
        y, x = grid["pixel_size"][1], grid["pixel_size"][0]
        lines.append(
            f"\n{title}: {grid['height']} x {grid['width']} px of {y:g} x {x:g}, {crs_name(grid['crs'])}"
        )
        rows = [
            (
                band["name"],
                ",".join(band["aliases"]),
                band["dtype"],
                band["nodata"] or "none",
                _nm(band["wavelength_nm"]),
                band["radiometry"],
                f"{band['mtf_gain']:g}",
            )
            for band in source["bands"]
        ]
        lines.append(table(rows, ["band", "also", "type", "nodata", "nm", "physical value", "MTF"]))
    relation = facts["relation"]
    lines.append(
        f"\nratio {relation['ratio'][0]:.4g} x {relation['ratio'][1]:.4g}; coarse row = {_axis(relation['axis_y'])}, "
        f"column = {_axis(relation['axis_x'])}"
    )
    lines.append(f"PAN pixels inside MS: rows {_range(relation['rows'])}, columns {_range(relation['cols'])}")
    if facts["quality"]:
        lines.append(f"quality band: {facts['quality']['kind']}")
    return "\n".join([*lines, *_notes(facts["warnings"])])


def _nm(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _range(pair: Sequence[int]) -> str:
    return f"{pair[0]}..{pair[1] - 1}"


def crs_name(wkt: str) -> str:
    """Return a CRS's name out of its WKT.

    >>> crs_name('PROJCS["WGS 84 / UTM zone 16N",GEOGCS[]]')
    'WGS 84 / UTM zone 16N'
    """
    return wkt.split('"')[1] if '"' in wkt else wkt or "no CRS"


def _notes(notes: Sequence[str]) -> list[str]:
    return [f"note: {note}" for note in notes]


def calibration_text(found: Mapping[str, Any]) -> str:
    """Write `geofuse calibrate`."""
    trusted = "uncertain: the georeference is trusted" if found["uncertain"] else "used by fuse"
    lines = [
        f"shift       {_pair(found['shift_px'])} PAN px (dy, dx), standard error {_pair(found['shift_sigma_px'])}",
        f"match       R^2 {found['r2']:.3f}, signal to noise {found['snr']:.1f}, "
        f"{found['usable_fraction']:.0%} of the sample usable",
        f"confidence  {found['confidence']:.2f}, {trusted}",
        *_drift_text(found["shift_field"]),
        "",
    ]
    rows = [
        [
            name,
            f"{gain:.3f}",
            _number(found["mtf_gain_sigma"][name]),
            "own" if found["mtf_gain_identifiable"][name] else "joint",
            f"{found['mtf_gain_r2'][name]:.2f}",
            _pair(found["band_shift_px"][name]),
            f"{found['pan_weights'][name]:.3f}",
        ]
        for name, gain in found["mtf_gain"].items()
    ]
    head = ["band", "MTF gain", "error", "whose", "own R^2", "shift px", "PAN weight"]
    return "\n".join([*lines, table(rows, head), *_notes(found["warnings"])])


def _drift_text(field: Mapping[str, Any] | None) -> list[str]:
    if field is None:
        return []
    ranges = [[value for row in field[key] for value in row] for key in ("dy", "dx")]
    spans = ", ".join(f"{min(values):+.2f} to {max(values):+.2f}" for values in ranges)
    return [f"drift       over the scene the shift departs from that by {spans} px (rows, columns)"]


def _pair(values: Sequence[float | None]) -> str:
    return "(" + ", ".join(_number(value) for value in values) + ")"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def methods_text(found: Mapping[str, Any]) -> str:
    """Write `geofuse methods`."""
    rows = [
        (method["name"], method["family"], method["ratios"], method["title"], method["paper"])
        for method in found["methods"]
    ]
    listing = table(rows, ["name", "family", "ratios", "what it does", "paper"])
    chosen = ", ".join(found["candidates"])
    return f"{listing}\n\nauto is the best of {chosen} in a hold-out on the scene; {found['auto']} without calibration"


def plugins_text(rows: Sequence[Listed]) -> str:
    """Write `geofuse plugins`: how many rows of each table are geofuse's own, and every row of others."""
    own = dict.fromkeys((row["table"] for row in rows), 0)
    for row in rows:
        own[row["table"]] += row["package"] == OWN
    lines = [f"{name}: {count} of geofuse's own" for name, count in own.items()]
    others = [row for row in rows if row["package"] != OWN]
    faults = [f"{row['name']}: {row['fault']}" for row in rows if row["fault"]]
    if not others:
        return "\n".join([*lines, *faults, "", "no other package adds to them"])
    cells = [
        (row["table"], row["name"], f"{row['package']} {row['version']}", _state(row), row["title"])
        for row in others
    ]
    listing = table(cells, ["table", "name", "package", "state", "what it is"])
    return "\n".join([*lines, "", listing, *(["", *faults] if faults else [])])


def _state(row: Listed) -> str:
    return "broken" if row["fault"] else "ready"


def demo_text(found: Mapping[str, Any]) -> str:
    """Write `geofuse demo`."""
    rows = [
        (score["image"], f"{score['ergas']:.3f}", f"{score['sam']:.3f}", f"{score['r_ergas']:.3f}")
        for score in found["scores"]
    ]
    scores = table(rows, ["against truth", "ERGAS", "SAM (deg)", "R-ERGAS"])
    files = "\n".join(f"  {path}" for path in found["files"])
    return f"{scores}\n(0 is perfect for all three)\n\nwritten:\n{files}"
