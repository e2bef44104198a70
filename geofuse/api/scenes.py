"""Opening what was delivered, and looking at it: headers only."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

from geofuse.api.answers import Report

if TYPE_CHECKING:
    from geofuse.run.plans.request import AreaKeywords, Request
    from geofuse.scenes.scene import Scene

PathText = str | os.PathLike[str]


def open_scene(path: PathText) -> Scene:
    """Open a scene folder, or an uncompressed .tar in place, by the reader that knows it.

    Raises ProductError where the scene is not whole, FormatError for anything else.

    >>> import geofuse
    >>> geofuse.open_scene("no such folder")
    Traceback (most recent call last):
    geofuse.errors.FormatError: ...
    """
    from geofuse.scenes import opening

    return opening.open_scene(os.fspath(path))


def open_pair(
    pan: PathText | Sequence[PathText],
    ms: PathText | Sequence[PathText],
    *,
    nodata: float | None = None,
) -> Scene:
    """Open any PAN raster, or its tiles, and its MS: one file of several bands, or several files.

    `nodata` marks invalid pixels instead of the files' tags. Raises BandError, PixelError, ProductError or
    GeorefError for files that do not make a pair.
    """
    from geofuse.scenes import opening

    fine = os.fspath(pan) if isinstance(pan, str | os.PathLike) else [os.fspath(each) for each in pan]
    files = [os.fspath(ms)] if isinstance(ms, str | os.PathLike) else [os.fspath(each) for each in ms]
    return opening.open_pair(fine, files, nodata=nodata)


def opened(scene: Scene | PathText, ms: PathText | Sequence[PathText] | None = None) -> Scene:
    """Return a scene: one that is open, a folder or .tar, or a PAN file with `ms`, its MS file or files."""
    from geofuse.errors import UsageError

    if isinstance(scene, str | os.PathLike):
        return open_scene(scene) if ms is None else open_pair(scene, ms)
    if ms is not None:
        raise UsageError("an open scene with MS files", wanted="one of both")
    return scene


def inspect(
    scene: Scene | PathText,
    ms: PathText | Sequence[PathText] | None = None,
    **options: Unpack[AreaKeywords],
) -> Report:
    """Say what a scene is and how its grids relate, as `geofuse inspect --json`; reads headers only."""
    from geofuse.run.plans.request import AreaKeywords, request_for

    return inspected(opened(scene, ms), request_for(AreaKeywords, options))


def inspected(scene: Scene, request: Request) -> Report:
    """Say what a scene is, of the bands and the area of a request."""
    from geofuse.run.plans.inspecting import inspect_scene

    asked = request.scene
    facts = inspect_scene(
        scene,
        bands=asked.bands,
        bbox=asked.bbox,
        aoi=asked.aoi,
        window=asked.window,
        nodata=asked.nodata,
    )
    return Report(f"scene {scene.scene_id}", facts)
