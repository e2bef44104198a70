"""Tile and Plan: what will be done, pixel by pixel and byte by byte, before any pixel is read. JSON both ways."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from geofuse.errors import MethodError
from geofuse.geometry import AxisMap
from geofuse.methods.base import Options
from geofuse.methods.observation import Observation
from geofuse.nouns import GeoJson, from_json, to_json
from geofuse.rasters.block_cache import ROOM_BYTES, cell_shape
from geofuse.rasters.cog import CogSpec, spec_from_json, spec_to_json
from geofuse.rasters.image import Band, Grid, Image
from geofuse.rasters.opening.sniffing import Identity
from geofuse.run.plans.tiles import Tile, tiles_of
from geofuse.run.records.documents import CalibrationReport
from geofuse.scenes.scene import Scene
from geofuse.showing import html, line
from geofuse.tables import Plugin

COLLECT_PX = 1024
"""Blocks of the first pass: anchored at the output's origin, whatever the tiles are."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A guide and the target that takes its detail: how they lie to one another, and how the target came to be."""

    guide: Image
    """The fine image, on whose grid the output lies."""
    guide_bands: tuple[int, ...]
    """Indices into guide.bands: those that are looked at."""
    target: Image
    """The coarse image that is sharpened, on the grid that it is read on."""
    bands: tuple[int, ...]
    """Indices into target.bands, in the order of the output."""
    origin: tuple[int, int]
    """The guide's pixel of the output's first pixel."""
    axis_y: AxisMap
    """Coarse row of an output row."""
    axis_x: AxisMap
    """Coarse column of an output column."""
    observation: Observation
    """How the target came from what the guide shows."""

    @property
    def guide_band(self) -> Band:
        """The band of a guide of one, such as PAN; MethodError where more are looked at."""
        if len(self.guide_bands) != 1:
            raise MethodError(f"{len(self.guide_bands)} guide bands", wanted="a guide of one band")
        return self.guide.bands[self.guide_bands[0]]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a run does, decided beforehand."""

    scene: Scene
    """The inputs."""
    pairs: tuple[Pair, ...]
    """What is fused with what, in the order of the output's bands."""
    grid: Grid
    """The output's grid: PAN's, cut to the area."""
    method: str
    """Name of the method."""
    options: Options
    """What the method is told besides the pixels."""
    spec: CogSpec
    """The product."""
    mask: CogSpec | None
    """The mask asset, where there is a quality band."""
    reach: tuple[int, int]
    """Halo, in fine and in coarse pixels."""
    tile_px: int
    """Side of a tile's core: 512 times a power of two."""
    workers: int
    """Tasks at a time."""
    bytes_per_task: int
    """Peak memory of one task."""
    area: GeoJson | None
    """The area asked for, as it was asked."""
    inputs: tuple[Identity, ...]
    """Every input file."""
    notes: tuple[str, ...] = field(default=())
    """What an operator should know."""
    margin_px: int = 0
    """Fine pixels around a tile's core that are fused too, for back-projection; the halo comes on top."""
    shares: tuple[float, ...] = ()
    """Share of the method's detail that each band keeps; empty: all of it."""
    rounds: int = 0
    """Rounds of back-projection."""
    sample: tuple[tuple[int, int, int, int], ...] = ()
    """Cores of the windows that calibration and sampled fits look at."""
    calibration: CalibrationReport | None = None
    """What calibration found, as it is reported."""
    sample_bytes: int = 0
    """Memory that calibration's sample takes."""
    plugins: tuple[Plugin, ...] = ()
    """What of it is not geofuse's own: packages and versions."""

    @property
    def pair(self) -> Pair:
        """The first pair: the only one of a plan for a method that takes one."""
        return self.pairs[0]

    @property
    def band_count(self) -> int:
        """Bands of the output that are fused: of all pairs."""
        return sum(len(pair.bands) for pair in self.pairs)

    def __repr__(self) -> str:
        size = f"{self.grid.height} x {self.grid.width} px"
        return line("Plan", self.scene.scene_id, self.method, size, f"tiles of {self.tile_px} px")

    def _repr_html_(self) -> str:
        rows: list[tuple[str, object]] = [
            ("method", self.method),
            ("bands", list(self.options.names)),
            ("size", f"{self.grid.height} x {self.grid.width} px"),
            ("tile", f"{self.tile_px} px, {self.workers} at a time"),
            ("rounds of back-projection", self.rounds),
            ("notes", list(self.notes)),
        ]
        return html(f"plan for {self.scene.scene_id}", rows)


def plan_tiles(plan: Plan) -> tuple[Tile, ...]:
    """Return the plan's tiles."""
    return tiles_of(plan.grid.height, plan.grid.width, plan.tile_px)


def collect_blocks(plan: Plan) -> tuple[Tile, ...]:
    """Return the blocks of the first pass in their order, the same for every tile size."""
    return swaths(plan, tiles_of(plan.grid.height, plan.grid.width, COLLECT_PX), COLLECT_PX)


def swaths(plan: Plan, tiles: Sequence[Tile], side: int) -> tuple[Tile, ...]:
    """Order tiles of a side so that neighbours follow one another: by swaths, each row by row.

    A swath is as wide as the store of decoded pixels allows for one row of tiles and what they look at: so a block
    is decoded once, at the border of two swaths twice, however wide the scene is. A file in strips is one swath.
    """
    across = 0.0
    for source, bands, scale, halo in (
        (plan.pair.guide, len(plan.pair.guide_bands), 1.0, plan.reach[0] + plan.margin_px),
        *((pair.target, len(pair.bands), pair.axis_y.scale, plan.reach[1]) for pair in plan.pairs),
    ):
        rows, cols = cell_shape(source.block, source.grid.width)
        if cols >= source.grid.width:
            return tuple(tiles)
        touched = math.ceil((side * scale + 2 * halo) / rows + 1) * rows
        across += touched * scale * bands * np.dtype(source.bands[0].dtype).itemsize
    wide = max(1, int(0.8 * ROOM_BYTES / across) // side)
    return tuple(sorted(tiles, key=lambda tile: (tile.core[2] // side // wide, tile.core[0], tile.core[2])))


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """Turn a plan into JSON values."""
    value = {each.name: getattr(plan, each.name) for each in fields(plan)}
    specs = {name: spec_to_json(value[name]) if value[name] else None for name in ("spec", "mask")}
    return {**{name: to_json(found) for name, found in value.items() if name not in specs}, **specs}


def plan_from_json(value: Mapping[str, Any]) -> Plan:
    """Rebuild a plan from `plan_to_json`'s values, also after a trip through JSON text."""
    return Plan(
        **{
            **value,
            "scene": from_json(Scene, value["scene"]),
            "pairs": tuple(from_json(Pair, pair) for pair in value["pairs"]),
            "grid": from_json(Grid, value["grid"]),
            "options": from_json(Options, value["options"]),
            "spec": spec_from_json(value["spec"]),
            "mask": spec_from_json(value["mask"]) if value["mask"] else None,
            "reach": tuple(value["reach"]),
            "inputs": tuple(value["inputs"]),
            "notes": tuple(value["notes"]),
            "shares": tuple(value["shares"]),
            "sample": tuple(tuple(core) for core in value["sample"]),
            "plugins": tuple(Plugin(**one) for one in value.get("plugins", ())),
        }
    )


WORK = ("tile_px", "workers", "bytes_per_task", "notes", "reach", "margin_px", "sample_bytes")
"""Fields of a plan that say how it is done, or follow from the others."""


def fingerprint(plan: Plan, version: str) -> str:
    """Return what identifies the product: inputs, parameters, encoding, version; not tiles, workers or notes.

    Of the scene only what is used: its name, its making, the images and bands that are read. Weights are told by
    their checksum, wherever they lie.
    """
    value = plan_to_json(
        replace(plan, scene=_used(plan), pairs=tuple(_used_bands(pair) for pair in plan.pairs))
    )
    for name in WORK:
        del value[name]
    if value["options"]["network"]:
        del value["options"]["network"]["path"]
    text = json.dumps([version, value], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _used(plan: Plan) -> Scene:
    """Return the scene without the images that are not read as they were delivered, and without remarks."""
    kept = [plan.scene.find("quality")] if plan.mask else []
    return replace(plan.scene, images=tuple(image for image in kept if image), warnings=())


def _used_bands(pair: Pair) -> Pair:
    """Return a pair with the bands that are read, in the order in which they are."""
    guide = replace(pair.guide, bands=tuple(pair.guide.bands[index] for index in pair.guide_bands))
    target = replace(pair.target, bands=tuple(pair.target.bands[index] for index in pair.bands))
    return replace(pair, guide=guide, guide_bands=(), target=target, bands=())
