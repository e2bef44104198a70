"""What the headers say of a scene that is to be fused: read once, whatever is then decided on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from geofuse.errors import AreaError
from geofuse.geometry import AxisMap, Window, moved
from geofuse.nouns import GeoJson
from geofuse.rasters.image import Grid, Image, files_of
from geofuse.rasters.opening.sniffing import Identity
from geofuse.rasters.pixels import identity
from geofuse.run.plans.request import Request
from geofuse.scenes.aoi import window_of
from geofuse.scenes.bands import with_nodata
from geofuse.scenes.relating import Relation, relate
from geofuse.scenes.scene import Scene


@dataclass(frozen=True, slots=True, eq=False)
class Headers:
    """A scene, how its images lie to one another, and what of them is wanted."""

    scene: Scene
    """With the nodata asked for; without a quality image that does not lie on the target's grid."""
    relation: Relation
    """How the target lies on the guide."""
    grid: Grid
    """The output's grid: the guide's, cut to the area."""
    origin: tuple[int, int]
    """The guide's pixel of the output's first pixel."""
    axis_y: AxisMap
    """Coarse row of an output row."""
    axis_x: AxisMap
    """Coarse column of an output column."""
    asked: GeoJson | None
    """The area, as it was asked for."""
    known: dict[str, Identity] = field(default_factory=dict)
    """Who the input files are: each one looked at once."""


def headers_of(scene: Scene, request: Request) -> Headers:
    """Read the headers; raises the errors of inputs and area."""
    if request.scene.nodata is not None:
        scene = with_nodata(scene, request.scene.nodata)
    relation = relate(scene)
    if relation.target.warped and scene.find("quality"):
        note = "MS is warped: its quality band, which is not, is left out"
        kept = tuple(image for image in scene.images if image.role != "quality")
        scene = replace(scene, images=kept, warnings=(*scene.warnings, note))
    area, asked = window_of(
        relation.guide.grid, bbox=request.scene.bbox, aoi=request.scene.aoi, window=request.scene.window
    )
    rows, cols = _cut(relation.rows, relation.cols, area)
    return Headers(
        scene,
        relation,
        grid=_grid(relation.guide.grid, rows, cols),
        origin=(rows[0], cols[0]),
        axis_y=moved(relation.axis_y, rows[0]),
        axis_x=moved(relation.axis_x, cols[0]),
        asked=asked,
    )


def identities(headers: Headers, paths: Sequence[str]) -> tuple[Identity, ...]:
    """Return who files are, as they were when they were first asked for."""
    for path in paths:
        if path not in headers.known:
            headers.known[path] = identity(path)
    return tuple(headers.known[path] for path in paths)


def input_paths(relation: Relation, quality: Image | None, bands: Sequence[int]) -> list[str]:
    """Return every file the plan reads, each once: bands before masks, the guide's before the target's."""
    paths = [*files_of(relation.guide), *files_of(relation.target, bands)]
    paths += files_of(quality) if quality else []
    return list(dict.fromkeys(paths))


def _cut(
    rows: tuple[int, int], cols: tuple[int, int], area: Window | None
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Cut the covered part of PAN to the area."""
    if area is None:
        return rows, cols
    row0, row1 = max(rows[0], area[0]), min(rows[1], area[1])
    col0, col1 = max(cols[0], area[2]), min(cols[1], area[3])
    if row0 >= row1 or col0 >= col1:
        raise AreaError(
            f"rows {area[0]}..{area[1]}, columns {area[2]}..{area[3]} hold nothing of what both images cover",
            wanted=f"some of rows {rows[0]}..{rows[1]}, columns {cols[0]}..{cols[1]}",
            do="choose another area",
        )
    return (row0, row1), (col0, col1)


def _grid(pan: Grid, rows: tuple[int, int], cols: tuple[int, int]) -> Grid:
    a, b, c, d, e, f = pan.transform
    corner = (c + a * cols[0] + b * rows[0], f + d * cols[0] + e * rows[0])
    return Grid(pan.crs, (a, b, corner[0], d, e, corner[1]), rows[1] - rows[0], cols[1] - cols[0])
