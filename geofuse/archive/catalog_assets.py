"""The files of an item: copied in whole, kept by version, and swept where a killed run left them.

An item's folder is DIR/SENSOR/ID: ID.json is the item, v1, v2, ... hold the files of its versions. A version's
folder gets its name when it is complete, the item is replaced when all it names is there: so the item always
leads to whole files, and what nothing leads to may go.

Files are copied, never hard-linked: another program that writes into the original would write into the
catalogue. Where the file system can share blocks until one side changes (XFS, Btrfs, NFS 4.2), the kernel's own
copy does that.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geofuse.archive.stac_item import AssetFile, multihash
from geofuse.errors import ChangedError
from geofuse.files import read_faults, replacing, sha256_of, sync, write_faults
from geofuse.nouns import StacJson

COPY_BYTES = 1 << 30
_VERSION = re.compile(r"v([1-9]\d*)")
_DRAFT = re.compile(r"\..+\.tmp")
"""What `replacing`, `stage_version` and `write_footprints` call what is not complete yet."""


@dataclass(frozen=True, slots=True)
class AssetSource:
    """A file that is to be copied into the catalogue."""

    key: str
    """Its name among the item's assets."""
    role: str
    """One of `stac_item.ROLES`."""
    path: Path
    """Where it is."""
    name: str
    """What it is called in the catalogue."""
    sha256: str | None = None
    """What its bytes must be; None where nobody recorded it."""


def stage_version(item_folder: Path, version: int, sources: Sequence[AssetSource]) -> list[AssetFile]:
    """Copy a version's files into its folder, which appears when all are there; returns them.

    Raises ChangedError where a file is not what its record says, WriteError, ReadError.
    """
    name = f"v{version}"
    staged = item_folder / f".{name}.tmp"
    with write_faults(item_folder):
        staged.mkdir(parents=True)
    files = [_copied(source, staged, f"./{name}") for source in sources]
    with write_faults(item_folder / name):
        sync(staged)
        staged.replace(item_folder / name)
        sync(item_folder)
    return files


def add_files(item_folder: Path, version: int, sources: Sequence[AssetSource]) -> list[AssetFile]:
    """Copy files into a version's folder that is there, each appearing, or replacing another, in one step."""
    name = f"v{version}"
    with write_faults(item_folder / name):
        (item_folder / name).mkdir(parents=True, exist_ok=True)
    return [_copied(source, item_folder / name, f"./{name}") for source in sources]


def _copied(source: AssetSource, folder: Path, href: str) -> AssetFile:
    target = folder / source.name
    with replacing(target) as draft:
        _copy(source.path, draft)
        digest, size = sha256_of(draft), draft.stat().st_size
        if source.sha256 not in (None, digest):
            raise ChangedError(
                "changed while it was copied",
                wanted="a product that rests",
                do="publish it again",
                path=str(source.path),
            )
    return AssetFile(source.key, source.role, f"{href}/{source.name}", size, digest)


def _copy(source: Path, target: Path) -> None:
    with read_faults(source), source.open("rb") as given, write_faults(target), target.open("xb") as made:
        try:
            while os.copy_file_range(given.fileno(), made.fileno(), COPY_BYTES):
                pass
        except (AttributeError, OSError):  # not on this system, or not between these file systems
            for handle in (given.fileno(), made.fileno()):
                os.lseek(handle, 0, os.SEEK_SET)
            os.ftruncate(made.fileno(), 0)
            shutil.copyfileobj(given, made, 1 << 20)


def intact(item_folder: Path, asset: StacJson) -> bool:
    """Whether a file of an item is there with the size and checksum the item says."""
    path = item_folder / asset["href"]
    if not path.is_file() or path.stat().st_size != asset["file:size"]:
        return False
    return bool(multihash(sha256_of(path)) == asset["file:checksum"])


def file_of_asset(key: str, asset: StacJson) -> AssetFile:
    """Return an item's asset as the file it is."""
    digest = asset["file:checksum"].removeprefix(multihash(""))
    return AssetFile(key, asset["roles"][0], asset["href"], asset["file:size"], digest)


def old_versions(item_folder: Path, item: StacJson | None) -> list[Path]:
    """Return the folders of the versions that an item supersedes, oldest first."""
    if item is None or predecessor(item) is None:
        return []
    newest = int(item["properties"]["version"])
    return [path for number, path in _versions(item_folder) if number < newest]


def predecessor(item: StacJson) -> str | None:
    """Return the link of an item to the version it supersedes, if it has one."""
    found = (link["href"] for link in item["links"] if link["rel"] == "predecessor-version")
    return next(found, None)


def sweep(item_folder: Path, item: StacJson | None) -> None:
    """Remove what killed runs left in an item's folder: drafts, versions and reports that nothing leads to.

    `item` is None where there is none. What others have put there stays.
    """
    keep = {path.name for path in old_versions(item_folder, item)}
    if item is not None:
        keep.add(f"v{item['properties']['version']}")
        _sweep_reports(item_folder, item)
    remove_drafts(item_folder)
    gone = [path for _, path in _versions(item_folder) if path.name not in keep and _is_ours(path)]
    with write_faults(item_folder):
        for path in gone:
            shutil.rmtree(path)
        if item is None and item_folder.is_dir() and not any(item_folder.iterdir()):
            item_folder.rmdir()


def _is_ours(version: Path) -> bool:
    """Whether a folder holds nothing but what publishing puts into a version's."""
    return all(path.name.startswith((version.parent.name, ".")) for path in version.iterdir())


def remove_drafts(folder: Path) -> None:
    """Remove the drafts directly in a folder that killed runs left; the lock's holder has none of its own."""
    if not folder.is_dir():
        return
    with write_faults(folder):
        for path in [path for path in folder.iterdir() if _DRAFT.fullmatch(path.name)]:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _sweep_reports(item_folder: Path, item: StacJson) -> None:
    """Remove the reports that newer ones replaced."""
    named = {Path(asset["href"]).name for asset in item["assets"].values()}
    folder = item_folder / f"v{item['properties']['version']}"
    remove_drafts(folder)
    with write_faults(folder):
        for pattern in ("report-*", "record-*", "json"):
            for path in folder.glob(f"{item_folder.name}.{pattern}"):
                if path.name not in named:
                    path.unlink()


def _versions(item_folder: Path) -> list[tuple[int, Path]]:
    inside = item_folder.iterdir() if item_folder.is_dir() else ()
    return sorted((int(path.name[1:]), path) for path in inside if _VERSION.fullmatch(path.name))
