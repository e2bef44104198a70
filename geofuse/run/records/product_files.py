"""A product's files on a disk: their names, whether they are there and whole, and their check against the record."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeGuard

from geofuse.errors import DiskSpaceError, ExistsError, UsageError, VerifyError, WriteError
from geofuse.files import read_json, sha256_of
from geofuse.rasters.cog import validate_cog
from geofuse.rasters.ledger import json_path, mask_path, parts_dir, png_path, staged_path
from geofuse.rasters.opening.sniffing import Identity
from geofuse.rasters.pixels import file_of, inspect
from geofuse.run.records.documents import ProductRecord


class Shelf(Protocol):
    """Where a product may be already: a folder, a bucket."""

    @property
    def place(self) -> str:
        """The product's own path or address."""
        ...

    @property
    def name(self) -> str:
        """Its file name."""
        ...

    def settle(self) -> None:
        """Finish what a run that died while it published left undone."""
        ...

    def record(self) -> ProductRecord | None:
        """Return its record; None where there is none, or something else."""
        ...

    def has_product(self) -> bool:
        """Whether something lies under the product's name."""
        ...

    def companions(self, *, mask: bool) -> list[str]:
        """Name what lies where its companions would."""
        ...

    def is_whole(self, record: ProductRecord) -> bool:
        """Whether all assets are there with the recorded checksums."""
        ...


class OnDisk:
    """A product in a folder."""

    def __init__(self, out: Path) -> None:
        self.out, self.place, self.name = out, str(out), out.name

    def settle(self) -> None:
        """Give companions their names where a run died right after the product got its own."""
        finish_half_pair(self.out)

    def record(self) -> ProductRecord | None:
        """Return its record."""
        return read_record(json_path(self.out))

    def has_product(self) -> bool:
        """Whether there is a file."""
        return self.out.exists()

    def companions(self, *, mask: bool) -> list[str]:
        """Name what lies beside it."""
        return [path.name for path in companions(self.out, mask=mask) if path.exists()]

    def is_whole(self, record: ProductRecord) -> bool:
        """Whether all assets are there, by their checksums."""
        paths = asset_paths(self.out, record)
        return all(path.is_file() and sha256_of(path) == checksum for path, checksum in paths)


def already_there(shelf: Shelf, key: str, *, mask: bool, overwrite: bool) -> ProductRecord | None:
    """Return the record of the same product; None where there is nothing, or what may be overwritten.

    Raises ExistsError for another product, and for files that are none of an earlier run.
    """
    shelf.settle()
    record = shelf.record()
    if shelf.has_product():
        if record is not None and record["fingerprint"] == key and shelf.is_whole(record):
            return record
        found = "is there already, made from other inputs or parameters"
    else:
        there = shelf.companions(mask=mask)
        if not there or (record is not None and record["assets"]["data"].get("name") == shelf.name):
            return None
        found = f"{there[0]} is there already, and not of an earlier run"
    if overwrite:
        return None
    raise ExistsError(
        found, wanted="a new name", do="choose another --out, or say --overwrite", path=shelf.place
    )


def check_place(out: Path, inputs: Sequence[Identity], *, mask: bool) -> None:
    """Refuse a place for a product that is none, or where it or a companion would replace an input."""
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise UsageError(f"--out {out.name!r}", wanted="a name that ends in .tif", path=str(out))
    if not out.absolute().parent.is_dir():
        raise WriteError(
            "no such folder", wanted="an existing folder for --out", path=str(out.absolute().parent)
        )
    if out.is_dir():
        raise UsageError("--out is a folder", wanted="the name of a file", path=str(out))
    read = {os.path.realpath(file_of(item["path"])) for item in inputs}
    for path in (out, *companions(out, mask=mask)):
        if os.path.realpath(path) in read:
            raise UsageError("--out would replace an input", wanted="another name", path=str(path))


def check_disk(out: Path, size_bytes: int) -> None:
    """Refuse when the parts and a product of a size will not fit on the output's disk."""
    folder = next(parent for parent in out.absolute().parents if parent.exists())
    free = shutil.disk_usage(folder).free
    needed = 2 * size_bytes
    if free < needed:
        raise DiskSpaceError(
            f"{free / 2**30:.2f} GiB free",
            wanted=f"{needed / 2**30:.2f} GiB for parts and product",
            do="free some space or choose another disk for --out",
            path=str(folder),
        )


def companions(out: Path, *, mask: bool) -> list[Path]:
    """Return what lies beside a product, in the order it gets its names: the record last."""
    return [png_path(out), *([mask_path(out)] if mask else []), json_path(out)]


def read_record(path: Path) -> ProductRecord | None:
    """Read a product's record; None where there is none, or where it is torn or something else."""
    record = read_json(path)
    return record if record is not None and is_record(record) else None


def is_record(value: Mapping[str, object]) -> TypeGuard[ProductRecord]:
    """Whether JSON has what a product's record must have."""
    assets, grid = value.get("assets"), value.get("grid")
    return (
        isinstance(value.get("fingerprint"), str)
        and isinstance(assets, dict)
        and "data" in assets
        and all(isinstance(asset, dict) and isinstance(asset.get("sha256"), str) for asset in assets.values())
        and isinstance(grid, dict)
        and grid.keys() >= {"height", "width", "transform"}
    )


def asset_paths(out: Path, record: ProductRecord) -> list[tuple[Path, str]]:
    """Return where the assets of a record lie, by their roles, and their checksums; the data first."""
    places = {"data": out, "mask": mask_path(out), "quicklook": png_path(out)}
    assets = record["assets"]
    return [(place, assets[role]["sha256"]) for role, place in places.items() if role in assets]


def finish_half_pair(out: Path) -> None:
    """Give companions their names where a run died right after the product got its own."""
    if not out.is_file():
        return
    for staged in sorted(parts_dir(out).glob("*.json")):
        record = read_record(staged)
        if record is None or record["assets"]["data"]["sha256"] != sha256_of(out):
            continue
        for final in companions(out, mask="mask" in record["assets"]):
            waiting = staged_path(out, final, record["fingerprint"])
            if waiting.exists():
                waiting.replace(final)


def verify(out: Path) -> ProductRecord:
    """Check a product against its provenance: checksums, COG structure, georeferencing; returns the record.

    A product that was renamed with its companions is still that product. Raises VerifyError with the first
    thing that is wrong.
    """
    if not out.is_file():
        raise VerifyError("there is no such product", path=str(out))
    finish_half_pair(out)
    record = read_record(json_path(out))
    if record is None:
        raise VerifyError(
            "its provenance is missing or unreadable",
            wanted=f"a record in {json_path(out).name}",
            do="fuse again with --overwrite",
            path=str(out),
        )
    for path, checksum in asset_paths(out, record):
        _verify_asset(path, checksum)
    for path in (out, *([mask_path(out)] if "mask" in record["assets"] else [])):
        _verify_raster(path, record)
    return record


def _verify_asset(path: Path, checksum: str) -> None:
    if not path.is_file():
        raise VerifyError("is missing", wanted="every asset of the record", path=str(path))
    found = sha256_of(path)
    if found != checksum:
        raise VerifyError(
            f"has checksum {found[:12]}...",
            wanted=f"{checksum[:12]}... as its record says",
            do="it was damaged or replaced: fuse again with --overwrite",
            path=str(path),
        )


def _verify_raster(path: Path, record: ProductRecord) -> None:
    problems = validate_cog(str(path))
    if problems:
        raise VerifyError(f"is no valid COG: {problems[0]}", path=str(path))
    facts, grid = inspect(str(path)), record["grid"]
    found = (facts.grid.height, facts.grid.width, list(facts.grid.transform))
    if found != (grid["height"], grid["width"], grid["transform"]) or not facts.grid.crs:
        raise VerifyError(
            f"lies on another grid ({found[0]} x {found[1]})",
            wanted=f"{grid['height']} x {grid['width']} at the recorded place",
            path=str(path),
        )
