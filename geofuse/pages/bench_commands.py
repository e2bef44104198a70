"""The command lines that repeat a bench, its pair, and the product of its first row."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from geofuse.run.plans.request import Request
from geofuse.scenes.scene import Scene


def commands_of(
    scene: Scene,
    request: Request,
    found: Mapping[str, Any],
    *,
    methods: Sequence[str],
    rounds: Sequence[int],
    out: str,
) -> list[str]:
    """Return the commands; ``found`` is what the bench found: its window, protocol, and rows, best first."""
    named = _scene_words(scene, request)
    area = ["--window", *(str(number) for number in found["pan_window"])]
    asked = ["--methods", ",".join(methods), "--protocol", found["protocol"]]
    asked += ["--back-projections", ",".join(map(str, rounds))]
    calibrate = [] if request.fuse.calibrate else ["--no-calibrate"]
    lines = [["bench", *named, *area, *asked, *calibrate, "--out", out]]
    if found["protocol"] == "reduced":
        lines.append(["simulate", *named, *area, *calibrate, "--out", "pair"])
    best = found["rows"][0]
    if "error" not in best:
        method = ["--method", best["is"], "--back-projections", str(best["back_projections"])]
        lines.append(["fuse", *named, *area, *method, *calibrate, "--out", "best.tif"])
    return [shlex.join(["geofuse", *words]) for words in lines]


def _scene_words(scene: Scene, request: Request) -> list[str]:
    """Return the words that name the scene's files, and what of them is read."""
    words: list[str] = []
    for given in scene.source:
        words += [f"--{given.role}", given.path] if given.role else [given.path]
    asked = request.scene
    words += ["--bands", ",".join(asked.bands)] if asked.bands else []
    words += ["--nodata", f"{asked.nodata:g}"] if asked.nodata is not None else []
    return words
