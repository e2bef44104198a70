"""What `geofuse clip` may cut: an item of a catalogue by its rights, or a product that lies by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

from geofuse.archive import catalog
from geofuse.archive.catalog_assets import intact
from geofuse.archive.rights import rights_of
from geofuse.clips.clip import FORMATS, Credit, Cut, TellPixels, Wish, plan_clip
from geofuse.clips.clip_files import write_clip
from geofuse.config.errands import ClipOptions
from geofuse.errors import AccessError, ExistsError, UsageError, VerifyError
from geofuse.files import read_json
from geofuse.nouns import StacJson
from geofuse.rasters.ledger import json_path
from geofuse.rasters.pixels import inspect

SUFFIXES = {
    **dict.fromkeys((".tif", ".tiff"), "cog"),
    **dict.fromkeys((".jpg", ".jpeg"), "jpeg"),
    ".png": "png",
    ".nc": "netcdf",
    ".zip": "zarr",
}
"""The format a file's name asks for."""


class ClipFacts(TypedDict):
    """What is told of a clip that was written."""

    out: str
    bytes: int
    window: list[int]
    height: int
    width: int
    bands: list[str]
    resampled: bool
    attribution: str


def form_of(out: Path, form: str | None) -> str:
    """Return the format of a clip: the one asked for, else by the file's ending; UsageError where neither says."""
    found = form or SUFFIXES.get(out.suffix.lower(), "")
    if found not in FORMATS:
        raise UsageError(f"--out {out.name}", wanted=f"one ending in {', '.join(SUFFIXES)}, or --format")
    return found


def plan_item_clip(
    item: str, wish: Wish, *, catalog_folder: Path | None = None, licensed: bool = False
) -> Cut:
    """Decide a clip of an item or product; raises what `product_of` and `plan_clip` raise.

    UsageError where a stretch is asked for of what is no picture: it keeps the product's own values.
    """
    if not FORMATS[wish.form].picture and (wish.ranges is not None or wish.gamma != ClipOptions().gamma):
        raise UsageError(
            f"a stretch with format {wish.form}",
            wanted="a picture: jpeg or png",
            do="leave --range and --gamma out",
        )
    path, bands, credit = product_of(item, catalog_folder, licensed=licensed)
    return plan_clip(path, bands, wish, credit)


def write_item_clip(cut: Cut, out: Path, tell: TellPixels, *, overwrite: bool = False) -> ClipFacts:
    """Write a clip and tell what it is; ExistsError where the file is there already."""
    if out.exists() and not overwrite:
        raise ExistsError("there is such a file", do="choose another, or --overwrite", path=str(out))
    write_clip(cut, out, tell)
    row0, row1, col0, col1 = cut.native
    return {
        "out": str(out),
        "bytes": out.stat().st_size,
        "window": [row0, col0, row1 - row0, col1 - col0],
        "height": cut.spec.height,
        "width": cut.spec.width,
        "bands": list(cut.spec.descriptions),
        "resampled": cut.image.warped,
        "attribution": cut.spec.tags.get("TIFFTAG_COPYRIGHT", ""),
    }


def product_of(item: str, folder: Path | None, *, licensed: bool) -> tuple[Path, list[str], Credit]:
    """Return a product's file, its bands' names and what a clip of it says of where it is from.

    `item` is an id in the catalogue `folder`, an item's .json, or a product's .tif. Raises AccessError for an
    item that may only be looked at, unless `licensed`; VerifyError for a product that is damaged; UsageError.
    """
    if folder is not None:
        entry = catalog.find_item(folder, item)
        return _of_item(folder / entry.href, catalog.load(folder, entry), licensed=licensed)
    path = Path(item)
    if path.suffix == ".json":
        found = read_json(path)
        if found is None or found.get("type") != "Feature" or "data" not in found.get("assets", {}):
            raise UsageError("no STAC item", wanted="an item that `geofuse publish` made", path=item)
        return _of_item(path, found, licensed=licensed)
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise UsageError(
            f"{item!r:.80} is no item", wanted="an item's .json, a product's .tif, or --catalog DIR"
        )
    if licensed:
        raise UsageError(
            "--licensed with a product's file", wanted="an item of a catalogue", do="or leave it out"
        )
    return _of_product(path)


def _of_item(path: Path, item: StacJson, *, licensed: bool) -> tuple[Path, list[str], Credit]:
    said, asset = item["properties"], item["assets"]["data"]
    if said["geofuse:access"] == "view-only" and not licensed:
        raise AccessError(
            f"{item['id']} may only be looked at",
            do="where the licence is yours, say --licensed",
            path=str(path),
        )
    if not intact(path.parent, asset):
        raise VerifyError(
            "its product is not what the item says",
            do="publish it again",
            path=str(path.parent / asset["href"]),
        )
    rights = said.get("geofuse:rights") or {}
    credit = Credit(
        item=item["id"],
        title=str(said.get("title", item["id"])),
        attribution=str(said.get("attribution") or ""),
        license=str(said.get("license") or ""),
        terms=str(rights.get("terms_url") or rights.get("terms") or ""),
        acquired=str(said.get("datetime") or said.get("start_datetime") or ""),
    )
    return path.parent / asset["href"], [str(band["name"]) for band in asset["bands"]], credit


def _of_product(path: Path) -> tuple[Path, list[str], Credit]:
    facts = inspect(str(path))
    names = [name or str(at) for at, name in enumerate(facts.descriptions, 1)]
    try:
        record = json.loads(json_path(path).read_text())
        scene = record["scene"]
        rights = rights_of(scene["sensor"])
        names = [str(name) for name in record["parameters"]["bands"]]
        about = f"{scene['id']}: {', '.join(names)} by {record['method']['name']}"
        owed, terms = rights.attribution, rights.terms_url or rights.terms
        return path, names, Credit(path.stem, about, owed, rights.license, terms, scene["acquired"] or "")
    except (OSError, ValueError, KeyError, TypeError):
        about = facts.tags.get("TIFFTAG_IMAGEDESCRIPTION", path.name)
        return path, names, Credit(path.stem, about, facts.tags.get("TIFFTAG_COPYRIGHT", ""))
