"""geofuse's own sensors, one YAML file a family, read when one of them is asked for.

``families.landsat`` is the family's sensors by key. These files come with the package and are checked by its tests
(`geofuse.scenes.sensors.checking`), so that reading them needs no more than the YAML loader.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import yaml

from geofuse.nouns import from_json
from geofuse.scenes.sensors.sensor import Sensor

FOLDER = Path(__file__).parent
Family = Mapping[str, Sensor]
"""Sensors of one maker, by key."""


def __getattr__(name: str) -> Family:
    if name.startswith("_") or not (FOLDER / f"{name}.yaml").is_file():
        raise AttributeError(name)
    return _own(name)


@cache
def _own(name: str) -> Family:
    text = (FOLDER / f"{name}.yaml").read_text("utf-8")
    return family_from(yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def family_from(values: Mapping[str, Mapping[str, object]]) -> Family:
    """Return the sensors that a family's file describes; what they share stands for what they do not say."""
    shared = values.get("shared", {})
    made: dict[str, Sensor] = {}
    for key, own in values["sensors"].items():
        told = own if isinstance(own, Mapping) else {}
        made[key] = from_json(Sensor, {**shared, **told, "key": key})
    return made
