"""Is a catalogue what it says? Every link, checksum and schema of every item, and what was made from them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from geofuse.archive.catalog import CATALOG, checked, find
from geofuse.archive.catalog_assets import intact, predecessor
from geofuse.archive.catalog_index import item_files
from geofuse.archive.footprints import FILES
from geofuse.archive.stac_schemas import schema_problems
from geofuse.files import read_json
from geofuse.nouns import StacJson

INNER = ("root", "parent", "collection", "child", "item", "predecessor-version", "latest-version")
"""Relations whose links stay inside the catalogue: they must lead somewhere. Inputs may be archived elsewhere."""


def catalog_problems(folder: Path) -> tuple[int, list[str]]:
    """Return how many items a catalogue has, and what is wrong with it: "FILE: WHAT", nothing if it is sound.

    Reads every byte of every file, of superseded versions too.
    """
    checked(folder)
    items = sorted(href for href, _ in item_files(folder))
    problems = list(_object_problems(folder, CATALOG))
    linked = []
    for href in _targets(folder, CATALOG, "child"):
        problems += _object_problems(folder, href)
        linked += _targets(folder, href, "item")
    problems += [f"{href}: no collection links to it" for href in sorted(set(items) - set(linked))]
    for href in items:
        problems += _item_problems(folder, href)
    known = {entry.href for entry in find(folder)}
    problems += [f"{href}: is no item of this catalogue" for href in items if href not in known]
    problems += [
        f"{name}: is missing; `geofuse catalog rebuild` makes it"
        for name in FILES
        if not (folder / name).is_file()
    ]
    return len(items), problems


def _targets(folder: Path, href: str, rel: str) -> list[str]:
    """Return where an object's links of one relation lead, relative to the catalogue."""
    found = read_json(folder / href) or {"links": []}
    place = Path(href).parent
    return [(place / link["href"]).as_posix() for link in found.get("links", ()) if link.get("rel") == rel]


def _object_problems(folder: Path, href: str) -> Iterator[str]:
    """Check an object's JSON, schemas and inner links."""
    value = read_json(folder / href)
    if value is None:
        yield f"{href}: is missing or no JSON object"
        return
    faults = schema_problems(value)
    yield from (f"{href}: {fault}" for fault in faults)
    if faults:
        return
    for link in value["links"]:
        if link["rel"] in INNER and not ((folder / href).parent / link["href"]).is_file():
            yield f"{href}: its {link['rel']} link leads to no file: {link['href']}"


def _item_problems(folder: Path, href: str) -> Iterator[str]:
    """Check an item, its files, and the versions before it."""
    faults = list(_object_problems(folder, href))
    yield from faults
    item: StacJson | None = read_json(folder / href)
    if item is None or faults:
        return
    place = Path(href).parent
    if item["collection"] != place.parent.name and not item["properties"].get("deprecated"):
        yield f"{href}: says it is of collection {item['collection']}"
    for name, asset in item["assets"].items():
        if not intact(folder / place, asset):
            yield f"{(place / asset['href']).as_posix()}: asset {name} is missing or damaged; publish the product again"
    before = predecessor(item)
    if before is not None:
        yield from _item_problems(folder, (place / before).as_posix())
