"""What went in, as a product's record holds it: enough to open the scene again, and to tell whether it is the same."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NotRequired, TypedDict

from geofuse.rasters.image import Image, Piece, files_of
from geofuse.rasters.opening.sniffing import TAR, Identity
from geofuse.scenes.scene import Given, Scene

Used = tuple[Image, tuple[int, ...]]
"""An image that was read, and which of its bands, counted from 0."""


class PieceRecord(TypedDict):
    """Where a band lies, or a part of it."""

    path: str
    index: int
    subdataset: NotRequired[str]
    window: NotRequired[list[int]]


class BandRecord(TypedDict):
    """A band that was read."""

    name: str
    pieces: list[PieceRecord]


class ImageRecord(TypedDict):
    """An image that was read."""

    role: str
    bands: list[BandRecord]


class GivenRecord(TypedDict):
    """What the scene was opened by: a folder or archive, whose role is empty, or a file of an image."""

    role: str
    path: str


class SceneRecord(TypedDict):
    """The scene, and how it is opened again, which release 0.3 did not say."""

    id: str
    sensor: str
    acquired: str | None
    metadata: dict[str, str | int | float]
    reader: NotRequired[str]
    source: NotRequired[list[GivenRecord]]
    images: NotRequired[list[ImageRecord]]


class InputRecord(TypedDict):
    """An input file: whose image it is of, and its bytes."""

    path: str
    role: str
    bytes: int
    sha256: str


def scene_record(scene: Scene, used: Sequence[Used]) -> SceneRecord:
    """Return what a record says of the scene and of the images that were read."""
    return SceneRecord(
        id=scene.scene_id,
        sensor=scene.sensor,
        acquired=scene.acquired,
        metadata=scene.metadata,
        reader=scene.reader,
        source=[GivenRecord(role=one.role, path=_shown(one)) for one in scene.source],
        images=[
            ImageRecord(
                role=image.role,
                bands=[
                    BandRecord(
                        name=image.bands[index].name, pieces=list(map(_piece, image.bands[index].pieces))
                    )
                    for index in indices
                ],
            )
            for image, indices in used
        ],
    )


def input_records(used: Sequence[Used], inputs: Sequence[Identity]) -> list[InputRecord]:
    """Return every input file with the role of the image it is of and the digest of all its bytes."""
    roles: dict[str, str] = {}
    for image, indices in used:
        for path in files_of(image, indices):
            roles.setdefault(path, image.role)
    return [
        InputRecord(path=one["path"], role=roles[one["path"]], bytes=one["size"], sha256=one["sha256"])
        for one in inputs
    ]


def _piece(piece: Piece) -> PieceRecord:
    found = PieceRecord(path=piece.path, index=piece.index)
    if piece.subdataset:
        found["subdataset"] = piece.subdataset
    if piece.window is not None:
        found["window"] = list(piece.window)
    return found


def _shown(given: Given) -> str:
    """Return a path that is known for one at sight, also that of a folder: who shows records cuts paths to names."""
    if given.role or given.path.startswith(TAR) or os.path.isabs(given.path):
        return given.path
    return os.path.join(os.curdir, given.path)
