"""`geofuse publish` and `geofuse catalog`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, TypedDict

from geofuse.api.archive import INTERVAL, LIMIT
from geofuse.commands.common import add_switches, print_json
from geofuse.commands.parsing import Parser, add_command
from geofuse.commands.table import COMMANDS
from geofuse.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geofuse.archive.catalog_index import CatalogEntry

PUBLISH_EXAMPLES = """\
  geofuse publish sharp.tif --catalog archive
  geofuse publish sharp.tif --catalog archive --access internal --acquired 2024-05-12T10:05:00Z
"""
SEARCH_EXAMPLES = """\
  geofuse catalog search archive --bbox 13.2 52.4 13.6 52.6 --datetime 2024-05-01/2024-05-31
  geofuse catalog search archive --intersects parcel.geojson --cloud-cover-max 10 --json
"""


def add(commands: Any) -> None:
    """Add them."""
    publish = add_command(commands, "publish", _publish, examples=PUBLISH_EXAMPLES)
    publish.add_argument("product", metavar="OUT.tif", help="a product of geofuse, with its OUT.json")
    publish.add_argument("--catalog", required=True, metavar="DIR", help="the catalogue; made if not there")
    publish.add_argument("--access", metavar="CLASS", help="open, view-only or internal (the sensor's)")
    publish.add_argument("--license", metavar="SPDX", help='such as CC-BY-4.0, or "other" (the sensor\'s)')
    publish.add_argument("--attribution", metavar="TEXT", help="credit line (the sensor's)")
    publish.add_argument("--acquired", metavar="TIME", help="time or day of acquisition, where unknown")
    publish.add_argument("--id", metavar="NAME", help="name of the item (the scene's)")
    publish.add_argument(
        "--report",
        action="append",
        default=[],
        metavar="FILE",
        help="report to go with it; repeatable (OUT.html and OUT.report.*)",
    )
    add_switches(publish, "json")
    parser = commands.add_parser("catalog", help=COMMANDS["catalog"][1])
    actions = parser.add_subparsers(metavar="ACTION", required=True, parser_class=Parser)
    listing = add_command(actions, "list", _list, text="list the items by time of acquisition")
    show = add_command(actions, "show", _show, text="print an item")
    search = add_command(
        actions, "search", _search, text="find items by place, time, clouds", examples=SEARCH_EXAMPLES
    )
    remove = add_command(actions, "remove", _remove, text="remove an item, or versions that are superseded")
    rebuild = add_command(actions, "rebuild", _rebuild, text="make index, links and footprints anew")
    check = add_command(actions, "verify", _verify, text="check every link, checksum and schema")
    for action in (listing, show, search, remove, rebuild, check):
        action.add_argument("dir", metavar="DIR", help="the catalogue")
        add_switches(action, "json")
    show.add_argument("item", metavar="ID")
    remove.add_argument("item", nargs="?", metavar="ID", help="optional with --superseded")
    remove.add_argument("--superseded", action="store_true", help="only the versions before the newest")
    place = search.add_argument_group("place (one of them)")
    place.add_argument("--bbox", nargs=4, type=float, metavar=("W", "S", "E", "N"), help="degrees")
    place.add_argument("--intersects", metavar="AREA.geojson", help="vector file of polygons")
    search.add_argument("--datetime", metavar="A/B", help=INTERVAL)
    search.add_argument(
        "--cloud-cover-max", type=float, metavar="PERCENT", help="unknown clouds do not count"
    )
    search.add_argument("--sensor", metavar="NAME", help="such as landsat8")
    search.add_argument("--limit", type=int, default=LIMIT, metavar="N", help=f"print at most N ({LIMIT})")


def _publish(arguments: argparse.Namespace) -> None:
    from pathlib import Path

    from geofuse.api.archive import publish

    done = publish(
        arguments.product,
        arguments.catalog,
        access=arguments.access,
        license=arguments.license,
        attribution=arguments.attribution,
        acquired=arguments.acquired,
        id=arguments.id,
        reports=arguments.report,
    ).facts
    if arguments.json:
        print_json(done)
        return
    because = f" ({done['because']})" if "because" in done else ""
    print(f"{done['action']}{because}: {done['item']} version {done['version']}, access {done['access']}")
    print(f"{Path(arguments.catalog) / done['href']}")


def _list(arguments: argparse.Namespace) -> None:
    from pathlib import Path

    from geofuse.archive.catalog import find

    entries = find(Path(arguments.dir))
    if arguments.json:
        print_json({"items": [_told(entry) for entry in entries]})
    else:
        print(_entries_text(entries))


def _show(arguments: argparse.Namespace) -> None:
    from pathlib import Path

    from geofuse.archive.catalog import find_item, load

    folder = Path(arguments.dir)
    entry = find_item(folder, arguments.item)
    item = load(folder, entry)
    if arguments.json:
        print_json(item)
        return
    told = _told(entry)
    rows: list[tuple[str, object]] = [
        ("id", told["id"]),
        ("sensor", told["sensor"]),
        ("acquired", told["acquired"]),
        ("clouds", told["clouds"]),
        ("access", told["access"]),
        ("license", told["license"]),
        ("version", told["version"]),
    ]
    rows += [
        (name, item["properties"].get(key)) for name, key in (("title", "title"), ("credit", "attribution"))
    ]
    rows += [("bbox", " ".join(f"{degrees:.4f}" for degrees in item["bbox"]))]
    rows += [
        (key, str((folder / entry.href).parent / asset["href"])) for key, asset in item["assets"].items()
    ]
    print("\n".join(f"{name:12}{value}" for name, value in rows if value is not None))


def _search(arguments: argparse.Namespace) -> None:
    from pathlib import Path

    from geofuse.api.archive import collection_of, find_items

    folder = Path(arguments.dir)
    found = find_items(
        folder,
        bbox=arguments.bbox,
        intersects=arguments.intersects,
        datetime=arguments.datetime,
        cloud_cover_max=arguments.cloud_cover_max,
        sensor=arguments.sensor,
        limit=arguments.limit,
    )
    if arguments.json:
        print_json(collection_of(folder, found, arguments.limit))
        return
    shown = found[: arguments.limit]
    print(_entries_text(shown))
    if len(found) > len(shown):
        print(f"{len(found)} found, the first {len(shown)} shown; --limit shows more")


def _remove(arguments: argparse.Namespace) -> None:
    from pathlib import Path

    from geofuse.archive.catalog import remove, remove_superseded

    folder = Path(arguments.dir)
    if arguments.superseded:
        count = remove_superseded(folder, arguments.item)
    elif arguments.item:
        remove(folder, arguments.item)
        count = 1
    else:
        raise UsageError("nothing to remove", wanted="ID, or --superseded")
    what = "superseded versions" if arguments.superseded else "items"
    print_json({"removed": count}) if arguments.json else print(f"{count} {what} removed")


def _rebuild(arguments: argparse.Namespace) -> None:
    from pathlib import Path

    from geofuse.archive.catalog import rebuild

    count = rebuild(Path(arguments.dir))
    print_json({"items": count}) if arguments.json else print(f"{count} item{'' if count == 1 else 's'}")


def _verify(arguments: argparse.Namespace) -> int:
    from pathlib import Path

    from geofuse.archive.catalog_check import catalog_problems

    count, problems = catalog_problems(Path(arguments.dir))
    if arguments.json:
        print_json({"items": count, "valid": not problems, "problems": problems})
    else:
        print("\n".join([*problems, f"{count} items, {len(problems) or 'no'} problems"]))
    return 2 if problems else 0


class _EntryFacts(TypedDict):
    """What is told of an item in a list."""

    id: str
    sensor: str
    acquired: str
    clouds: float | None
    access: str
    license: str
    attribution: str
    version: str
    href: str


def _told(entry: CatalogEntry) -> _EntryFacts:
    from datetime import UTC, datetime

    start = datetime.fromtimestamp(entry.start, UTC)
    known = entry.start == entry.stop
    return {
        "id": entry.id,
        "sensor": entry.collection,
        "acquired": f"{start:%Y-%m-%dT%H:%M:%SZ}" if known else f"{start:%Y-%m-%d}",
        "clouds": entry.cloud_cover,
        "access": entry.access,
        "license": entry.license,
        "attribution": entry.attribution,
        "version": entry.version,
        "href": entry.href,
    }


def _entries_text(entries: Sequence[CatalogEntry]) -> str:
    from geofuse.pages.terminal import table

    rows = [
        (
            told["id"],
            told["sensor"],
            told["acquired"],
            _percent(told["clouds"]),
            told["access"],
            told["version"],
        )
        for told in map(_told, entries)
    ]
    return table(rows, ["item", "sensor", "acquired", "clouds", "access", "version"])


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:g} %"
