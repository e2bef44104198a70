"""Which scene: its files by path and by content, small enough to be sent anywhere."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from geofuse.config import RunConfig, config_digest
from geofuse.errors import UsageError
from geofuse.files import read_json
from geofuse.nouns import Json, from_json, to_json
from geofuse.rasters.pixels import input_sha256
from geofuse.scenes.opening import given_of, match_files, open_given
from geofuse.scenes.readers.base import list_folder, listed
from geofuse.scenes.scene import Given, Scene

STAC_ITEM = "stac-item.json"
"""What a downloaded scene's item is kept as, beside its assets."""
Sum = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class SceneRef:
    """A scene that is to be worked on."""

    name: str
    """What people call it."""
    path: str | None = None
    """Scene folder or archive; None where its files are named."""
    files: tuple[Given, ...] = ()
    """Files with the roles of their images, where they are named."""
    reader: str = ""
    """The reader that opens it; empty: the one that knows the files."""
    digest: str = ""
    """Of the contents of its files; empty where they were not read yet."""
    origin: dict[str, str | None] = field(default_factory=dict)
    """Where it came from, carried along."""


def ref_to_json(ref: SceneRef) -> Json:
    """Turn a reference into JSON values."""
    return to_json(ref)


def ref_from_json(value: Mapping[str, object]) -> SceneRef:
    """Rebuild a reference, also after a trip through JSON text; also one that release 0.3 wrote."""
    if "pan" in value:
        return from_json(SceneRef, _of_03(value))
    return from_json(SceneRef, value)


def _of_03(value: Mapping[str, object]) -> dict[str, object]:
    """Give the files of a reference of release 0.3, PAN apart from MS, their roles."""
    kept = {name: held for name, held in value.items() if name not in ("pan", "ms")}
    pan, ms = value["pan"], value["ms"]
    named = [pan, *(ms if isinstance(ms, (list, tuple)) else ())] if pan else []
    files = [{"role": "ms" if at else "pan", "path": path} for at, path in enumerate(named)]
    return {**kept, "files": files}


def scene_ref(config: RunConfig, *, digest: bool = True) -> SceneRef:
    """Return the scene that a configuration names; raises UsageError where it names none."""
    scene = config.scene
    if scene.path:
        found = ref_of_path(scene.path)
    elif scene.pan and scene.ms:
        found = SceneRef(Path(scene.pan).stem, None, given_of(None, scene.pan, scene.ms))
    else:
        raise UsageError("no scene", wanted="scene.path, or scene.pan and scene.ms")
    return with_digest(found) if digest else found


def ref_of_path(path: str) -> SceneRef:
    """Return a folder or .tar as a reference, by the reader that knows its files; an archive is not looked into.

    Raises ProductError where no reader knows a folder's files, and what listing raises.
    """
    place = os.path.abspath(path)
    name = Path(place).name
    if not os.path.isdir(place):
        return SceneRef(re.sub(r"\.tar$", "", name, flags=re.IGNORECASE), place)
    match = match_files(list_folder(place))
    if any(not one.role for one in match.given):
        return SceneRef(name, place)
    return SceneRef(name, None, match.given, origin={"folder": place, **_stac_item(place)})


def _stac_item(folder: str) -> dict[str, str | None]:
    """Return what the STAC item says that a pair was downloaded with: its id and its time."""
    item = read_json(Path(folder) / STAC_ITEM)
    if item is None:
        return {}
    return {"stac_item": item.get("id"), "acquired": (item.get("properties") or {}).get("datetime")}


def files_of(ref: SceneRef) -> list[tuple[str, str]]:
    """Return the base names and paths of the files that make the scene, sorted."""
    if ref.path is None:
        return sorted((Path(one.path).name, one.path) for one in ref.files)
    match = match_files(listed(ref.path), reader=ref.reader or None)
    return sorted((entry.name, entry.path) for entry in match.files)


def with_digest(ref: SceneRef, summed: Sum = input_sha256) -> SceneRef:
    """Return the reference with the digest of its contents, the same for a folder, its copy and its .tar.

    `summed` returns a file's SHA-256; reads every file to its end.
    """
    text = json.dumps([[name, summed(path)] for name, path in files_of(ref)])
    return replace(ref, digest=hashlib.sha256(text.encode()).hexdigest())


def scene_key(config: RunConfig, ref: SceneRef) -> str:
    """Return what identifies the work: the contents of the inputs, and the configuration."""
    known = ref if ref.digest else with_digest(ref)
    return hashlib.sha256(f"{known.digest} {config_digest(config)}".encode()).hexdigest()[:32]


def source_of(ref: SceneRef) -> str:
    """Return where a scene lies, in one line: what a ledger knows it by."""
    return ref.path or str(ref.origin.get("folder") or "|".join(one.path for one in ref.files))


def opened(ref: SceneRef) -> Scene:
    """Open the scene; reads headers only."""
    given = (Given("", ref.path),) if ref.path else ref.files
    return open_given(given, reader=ref.reader or None)
