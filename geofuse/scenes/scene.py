"""The noun of a scene: what was delivered. Picklable, JSON both ways, no open handles."""

from __future__ import annotations

from dataclasses import dataclass, field

from geofuse.errors import ProductError
from geofuse.rasters.image import Image
from geofuse.showing import html, line

ROLES = (
    *("pan", "ms", "swir", "hs", "vnir", "thermal"),
    *("quality", "infrared", "visible", "near", "far"),
)
"""What an image may be in its scene."""


@dataclass(frozen=True, slots=True)
class Given:
    """Something that was named to open a scene by."""

    role: str
    """The role of the image it holds; empty for a folder or an archive that holds the whole scene."""
    path: str
    """File, folder or archive."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The images of one place that came together, and what is known of their making.

    Which of them is fine and which is coarse is no property of a scene: `geofuse.scenes.relating` says how two
    of its images lie to one another.
    """

    scene_id: str
    """The provider's name of the scene, or the PAN file's stem."""
    sensor: str
    """Key into the sensor table; "generic" where unknown."""
    images: tuple[Image, ...]
    """What was delivered, each with a role, no role twice."""
    reader: str = ""
    """Name of the reader that opened it; empty for one that was put together by hand."""
    source: tuple[Given, ...] = ()
    """What that reader was given: with `reader` all that is needed to open the scene again."""
    acquired: str | None = None
    """Acquisition time, ISO 8601 UTC."""
    metadata: dict[str, str | int | float] = field(default_factory=dict)
    """Sun and view angles, cloud cover, path/row, level, attribution."""
    warnings: tuple[str, ...] = ()
    """What was noticed on opening and belongs into the provenance."""

    def __repr__(self) -> str:
        images = (f"{image.role} {image.grid.height} x {image.grid.width}" for image in self.images)
        return line("Scene", self.scene_id, self.sensor, *images)

    def _repr_html_(self) -> str:
        sizes = [
            (
                image.role,
                f"{', '.join(band.name for band in image.bands)}: {image.grid.height} x {image.grid.width} px",
            )
            for image in self.images
        ]
        known = [("sensor", self.sensor), ("acquired", self.acquired), ("reader", self.reader)]
        return html(self.scene_id, [*known, *sizes, ("warnings", list(self.warnings))])

    def find(self, role: str) -> Image | None:
        """Return the image of that role, None where the scene has none."""
        return next((image for image in self.images if image.role == role), None)

    def image(self, role: str) -> Image:
        """Return the image of that role; raises ProductError, naming the roles there are, where there is none."""
        found = self.find(role)
        if found is None:
            there = ", ".join(image.role for image in self.images) or "no image"
            raise ProductError(f"no {role} image in {self.scene_id}", wanted=f"one beside {there}")
        return found
