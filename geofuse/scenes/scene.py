"""The noun of a scene: what was delivered. Picklable, JSON both ways, no open handles."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from geofuse.rasters.image import Quality, Source, grid_from_json, source_from_json


@dataclass(frozen=True, slots=True)
class Scene:
    """A fine image, a coarse image, and what is known of their making."""

    scene_id: str
    """The provider's name of the scene, or the PAN file's stem."""
    sensor: str
    """Key into the sensor table; "generic" where unknown."""
    fine: Source
    """PAN: one band."""
    coarse: Source
    """MS: one band or more, all on one grid."""
    acquired: str | None = None
    """Acquisition time, ISO 8601 UTC."""
    quality: Quality | None = None
    """Quality band, if the delivery has one."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """Sun and view angles, cloud cover, path/row, level, attribution: JSON values only."""
    warnings: tuple[str, ...] = ()
    """What was noticed on opening and belongs into the provenance."""


def scene_to_json(scene: Scene) -> dict[str, Any]:
    """Turn a scene into JSON values."""
    return asdict(scene)


def scene_from_json(value: dict[str, Any]) -> Scene:
    """Rebuild a scene from `scene_to_json`'s values, also after a trip through JSON text."""
    quality = value["quality"]
    return Scene(
        **{
            **value,
            "fine": source_from_json(value["fine"]),
            "coarse": source_from_json(value["coarse"]),
            "quality": Quality(**{**quality, "grid": grid_from_json(quality["grid"])}) if quality else None,
            "warnings": tuple(value["warnings"]),
        }
    )
