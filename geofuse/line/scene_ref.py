"""Which scene: its files by path and by content, small enough to be sent anywhere."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from geofuse.config import RunConfig, config_digest
from geofuse.errors import ProductError, UsageError
from geofuse.files import read_json
from geofuse.rasters.pixels import input_sha256
from geofuse.scenes.opening import open_pair, open_scene
from geofuse.scenes.readers import landsat
from geofuse.scenes.scene import Scene

STAC_ITEM = "stac-item.json"
"""What a downloaded scene's item is kept as, beside its assets."""
RASTERS = (".tif", ".tiff", ".jp2")
_PAN = re.compile(r"(?:^|[_.-])pan(?:[_.-]|$)|panchromatic", re.IGNORECASE)
Sum = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class SceneRef:
    """A scene that is to be worked on."""

    name: str
    """What people call it."""
    path: str | None = None
    """Scene folder or .tar; None for a pair."""
    pan: str | None = None
    """Fine image of a pair."""
    ms: tuple[str, ...] = ()
    """Coarse image of a pair."""
    digest: str = ""
    """Of the contents of its files; empty where they were not read yet."""
    origin: dict[str, Any] = field(default_factory=dict)
    """Where it came from: JSON values, carried along."""


def ref_to_json(ref: SceneRef) -> dict[str, Any]:
    """Turn a reference into JSON values."""
    return {**asdict(ref), "ms": list(ref.ms)}


def ref_from_json(value: Mapping[str, Any]) -> SceneRef:
    """Rebuild a reference, also after a trip through JSON text."""
    return SceneRef(**{**value, "ms": tuple(value["ms"])})


def scene_ref(config: RunConfig, *, digest: bool = True) -> SceneRef:
    """Return the scene that a configuration names; raises UsageError where it names none."""
    scene = config.scene
    if scene.path:
        found = ref_of_path(scene.path)
    elif scene.pan and scene.ms:
        found = SceneRef(Path(scene.pan).stem, None, scene.pan, tuple(scene.ms))
    else:
        raise UsageError("no scene", wanted="scene.path, or scene.pan and scene.ms")
    return with_digest(found) if digest else found


def ref_of_path(path: str) -> SceneRef:
    """Return a folder or .tar as a reference: a Landsat delivery, or a folder that holds a PAN and its MS.

    Raises ProductError where the folder is neither, and what listing raises.
    """
    place = os.path.abspath(path)
    name = Path(place).name
    if not os.path.isdir(place):
        return SceneRef(re.sub(r"\.tar$", "", name, flags=re.IGNORECASE), place)
    listing = landsat.list_folder(place)
    if landsat.scene_files(listing):
        return SceneRef(name, place)
    rasters = [(base, full) for base, full in listing.files if base.lower().endswith(RASTERS)]
    fine = [full for base, full in rasters if _PAN.search(Path(base).stem)]
    coarse = tuple(full for base, full in rasters if not _PAN.search(Path(base).stem))
    if len(fine) != 1 or not coarse:
        raise ProductError(
            f"{len(rasters)} rasters, {len(fine)} of them named PAN",
            wanted="a Landsat scene, or one raster with pan in its name and its MS",
            path=place,
        )
    return SceneRef(name, None, fine[0], coarse, origin={"folder": place, **_stac_item(place)})


def _stac_item(folder: str) -> dict[str, Any]:
    """Return what the STAC item says that a pair was downloaded with: its id and its time."""
    item = read_json(Path(folder) / STAC_ITEM)
    if item is None:
        return {}
    return {"stac_item": item.get("id"), "acquired": (item.get("properties") or {}).get("datetime")}


def files_of(ref: SceneRef) -> list[tuple[str, str]]:
    """Return the base names and paths of the files that make the scene, sorted."""
    if ref.path is None:
        return sorted((Path(path).name, path) for path in (str(ref.pan), *ref.ms))
    listed = landsat.list_folder if os.path.isdir(ref.path) else landsat.list_tar
    return sorted(landsat.scene_files(listed(ref.path)))


def with_digest(ref: SceneRef, summed: Sum = input_sha256) -> SceneRef:
    """Return the reference with the digest of its contents, the same for a folder, its copy and its .tar.

    `summed` returns a file's SHA-256; reads every file to its end.
    """
    text = json.dumps([[name, summed(path)] for name, path in files_of(ref)])
    return SceneRef(
        ref.name,
        ref.path,
        ref.pan,
        ref.ms,
        hashlib.sha256(text.encode()).hexdigest(),
        ref.origin,
    )


def scene_key(config: RunConfig, ref: SceneRef) -> str:
    """Return what identifies the work: the contents of the inputs, and the configuration."""
    known = ref if ref.digest else with_digest(ref)
    return hashlib.sha256(f"{known.digest} {config_digest(config)}".encode()).hexdigest()[:32]


def source_of(ref: SceneRef) -> str:
    """Return where a scene lies, in one line: what a ledger knows it by."""
    return ref.path or str(ref.origin.get("folder") or "|".join([str(ref.pan), *ref.ms]))


def opened(ref: SceneRef) -> Scene:
    """Open the scene; reads headers only."""
    return open_scene(ref.path) if ref.path else open_pair(str(ref.pan), ref.ms)
