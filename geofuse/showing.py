"""How a noun shows itself where it is typed: one line in a terminal, a small table in a notebook."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

Rows = Iterable[tuple[str, object]]
"""Names and values."""
MOST_TEXT = 200
"""Characters of a value that are shown."""


def line(kind: str, *facts: object) -> str:
    """Return a noun in one line, without what is not known.

    >>> line("Scene", "LC08", None, "4 bands")
    '<geofuse.Scene: LC08, 4 bands>'
    """
    return f"<geofuse.{kind}: {', '.join(str(fact) for fact in facts if fact not in (None, ''))}>"


def html(title: str, rows: Rows) -> str:
    """Return a table of names and values as HTML, without what is not known; everything in it is escaped.

    >>> html("a <b>", [("x", 1), ("y", None)])
    '<table><caption>a &lt;b&gt;</caption><tr><th style="text-align:left">x</th><td>1</td></tr></table>'
    """
    body = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th><td>{escape(_short(value))}</td></tr>'
        for name, value in rows
        if value not in (None, "", (), [])
    )
    return f"<table><caption>{escape(title)}</caption>{body}</table>"


def _short(value: object) -> str:
    """Return a value as text that fits a cell."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(_short(each) for each in value)[:MOST_TEXT]
    return str(value)[:MOST_TEXT]
