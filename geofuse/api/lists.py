"""What there is to choose from: methods, networks, metrics, and the options with who hears them."""

from __future__ import annotations

from geofuse.api.answers import Report


def list_methods() -> Report:
    """List the fusion methods, as `geofuse methods --json`: name, family, paper, title, ratios, options they hear.

    >>> import geofuse
    >>> geofuse.list_methods()["auto"]
    'mtf-glp-hpm-r'
    """
    from geofuse.methods import table

    told = ("name", "family", "paper", "title", "ratios")
    abouts = [method.about for method in table.usable()]
    listed = [
        {**{key: getattr(about, key) for key in told}, "hears": sorted(about.hears)} for about in abouts
    ]
    values = {"auto": table.AUTO, "candidates": list(table.CANDIDATES), "methods": listed}
    return Report(f"{len(listed)} methods", values)


def list_networks() -> tuple[str, ...]:
    """List the methods that need weights, and torch to run.

    >>> import geofuse
    >>> geofuse.list_networks()[:2]
    ('pan-gan', 'pan-gan-ms')
    """
    from geofuse.nets.table import NETWORKS

    return NETWORKS.names()


def list_readers() -> tuple[str, ...]:
    """List the readers of deliveries: geofuse's own, then those of installed packages.

    >>> import geofuse
    >>> "landsat" in geofuse.list_readers()
    True
    """
    from geofuse.scenes.readers.table import READERS

    return READERS.names()


def list_metrics() -> Report:
    """List the metrics that `assess` and `bench` measure: by key, with phrase, unit, best value and direction."""
    from geofuse.metrics.table import installed, row_of

    found = {metric.key: dict(row_of(metric)) for metric in installed().metrics}
    return Report(f"{len(found)} metrics", found)


def option_table(section: str | None = None) -> str:
    """Return the options as a table in Markdown: name in Python and YAML, flag, values, default, who hears it, meaning.

    >>> import geofuse
    >>> print(geofuse.option_table("encode").splitlines()[2])
    | `compress` | `--compress` | zstd, deflate, lzw, none, lerc | zstd | all | zstd, deflate, lzw, none or lerc |
    """
    from geofuse.config.errands import ERRANDS
    from geofuse.config.option import markdown_row, options_of
    from geofuse.config.sections import SECTIONS
    from geofuse.run.plans.request import who_hears

    head = ["| name | command line | values | default | heard by | meaning |", "|---|---|---|---|---|---|"]
    options = [each for kind in (*SECTIONS, *ERRANDS) for each in options_of(kind)]
    rows = [
        markdown_row(each, who_hears(each.name) if each.by_method else ())
        for each in options
        if section in (None, each.section)
    ]
    return "\n".join([*head, *rows]) + "\n"


def options_page() -> str:
    """Return the manual's page of options, in Markdown: one table a section."""
    from geofuse.config.errands import ERRANDS
    from geofuse.config.sections import SECTIONS

    parts = [PAGE_HEAD]
    for section in (*SECTIONS, *ERRANDS):
        name: str = section.SECTION
        title = (section.__doc__ or "").splitlines()[0].rstrip(".")
        parts.append(f"## {title}: `{name}`\n\n{option_table(name)}")
    return "\n".join(parts)


PAGE_HEAD = """\
# Options

One description of each serves the command line, the sections of a configuration and the keywords of Python. What is
given but not heard is refused, exit status 2. Made by `geofuse.api.lists.options_page`.
"""
