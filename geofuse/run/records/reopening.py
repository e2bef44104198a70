"""A product's scene, opened again from its record alone; files that moved with the product are found beside it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from geofuse.errors import ChangedError, ProductError
from geofuse.rasters.image import files_of
from geofuse.rasters.opening.sniffing import TAR, file_of
from geofuse.rasters.pixels import input_sha256
from geofuse.run.records.documents import ProductRecord
from geofuse.run.records.since_03 import opened_of_03
from geofuse.scenes.bands import select_bands
from geofuse.scenes.opening import open_given
from geofuse.scenes.relating import target_of
from geofuse.scenes.scene import Given, Scene
from geofuse.tables import Origin


@dataclass(frozen=True, slots=True)
class Recorded:
    """How a product's scene was opened, and the files it was made of."""

    reader: str
    """The reader's name."""
    origin: Origin | None
    """The package the reader is from; None for geofuse's own."""
    given: tuple[Given, ...]
    """What it was given."""
    files: tuple[tuple[str, str], ...]
    """Path and SHA-256 of each input file."""


def recorded_scene(record: ProductRecord, beside: Path | None = None) -> Recorded:
    """Return how the scene of a record is opened again, also of one that release 0.3 wrote.

    A file that is not where the record says is looked for in the folder `beside`. Raises ProductError for a
    scene that no reader opened.
    """
    scene = record["scene"]
    files = tuple((_found(str(one["path"]), beside), str(one["sha256"])) for one in record["inputs"])
    paths = [path for path, _ in files]
    if "reader" not in scene:
        reader, given = opened_of_03(str(scene["sensor"]), paths)
        return Recorded(reader, None, given, files)
    if not scene["reader"]:
        raise ProductError(f"{scene['id']} was put together by hand", wanted="a scene that a reader opened")
    source = (Given(str(one["role"]), str(one["path"])) for one in scene["source"])
    given = tuple(replace(one, path=_given_path(one, paths, beside)) for one in source)
    return Recorded(str(scene["reader"]), _origin(record, str(scene["reader"])), given, files)


def _origin(record: ProductRecord, reader: str) -> Origin | None:
    """Return the package that a record says its reader is from."""
    named = (one for one in record.get("plugins", ()) if (one["table"], one["name"]) == ("readers", reader))
    one = next(named, None)
    return None if one is None else Origin(package=str(one["package"]), version=str(one["version"]))


def is_there(recorded: Recorded) -> bool:
    """Whether all input files are where they were, or beside the product; nothing is read."""
    return bool(recorded.files) and all(os.path.exists(file_of(path)) for path, _ in recorded.files)


def reopened(record: ProductRecord, beside: Path) -> tuple[Scene, tuple[int, ...]]:
    """Open the scene of a record, and find the target's bands that were fused.

    Raises ChangedError where a file of theirs has other bytes now, and what opening raises.
    """
    found = recorded_scene(record, beside)
    scene = open_given(found.given, reader=found.reader, origin=found.origin)
    chosen = select_bands(scene, record["parameters"]["bands"])
    known = {_name(path): sha256 for path, sha256 in found.files}
    for path in sorted(files_of(target_of(scene), chosen)):
        if input_sha256(path) != known.get(_name(path)):
            raise ChangedError("no longer what the product was made from", path=path)
    return scene, chosen


def _found(path: str, beside: Path | None) -> str:
    """Return where an input is: relative paths were so to the folder in which the product was made."""
    if beside is None or path.startswith(TAR) or os.path.exists(path):
        return path
    near = beside / Path(path).name
    return str(near) if near.is_file() else path


def _given_path(given: Given, inputs: list[str], beside: Path | None) -> str:
    """Return where a file, folder or archive is that was given to a reader."""
    if given.role or beside is None or os.path.exists(given.path):
        return _found(given.path, beside)
    near = beside / Path(given.path).name
    if near.exists():
        return str(near)
    # the folder's files without the folder
    held = inputs and all(Path(path).parent == beside for path in inputs)
    return str(beside) if held else given.path


def _name(path: str) -> str:
    return path if path.startswith(TAR) else os.path.realpath(path)
