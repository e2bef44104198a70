"""The table of sensors: geofuse's own families, then what installed packages add as YAML of the same form.

A package adds a sensor by an entry point of the group ``geofuse.sensors``, named as the sensor's key, whose value is
the path of the family's file; it is checked when the sensor is first asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from geofuse.errors import ProductError
from geofuse.scenes.sensors.families import Family
from geofuse.scenes.sensors.sensor import Sensor
from geofuse.tables import Row, Table

GENERIC = "generic"
"""The sensor of which nothing is known."""


def _row(key: str, family: str, title: str) -> Row:
    return Row(key, f"geofuse.scenes.sensors.families:{family}", title)


SENSORS: Table[Family | Path | str] = Table(
    "geofuse.sensors",
    (
        _row("landsat8", "landsat", "Landsat 8 OLI/TIRS"),
        _row("landsat9", "landsat", "Landsat 9 OLI-2/TIRS-2"),
        _row("quickbird", "maxar", "QuickBird"),
        _row("ikonos", "maxar", "IKONOS"),
        _row("geoeye1", "maxar", "GeoEye-1"),
        _row("worldview2", "maxar", "WorldView-2"),
        _row("worldview3", "maxar", "WorldView-3"),
        _row("worldview4", "maxar", "WorldView-4"),
        _row("pleiades", "airbus", "Pléiades"),
        _row("spot6", "airbus", "SPOT 6/7"),
        _row("gf2", "cresda", "GaoFen-2"),
        _row("prisma", "prisma", "PRISMA"),
        _row("sentinel2", "sentinel2", "Sentinel-2 MSI"),
        _row(GENERIC, "generic", "unknown sensor"),
    ),
    noun="sensor",
    fault=ProductError,
)


def sensor(key: str) -> Sensor:
    """Return a sensor; ProductError, with the nearest, where there is none, ConfigError for a file that is off."""
    made = SENSORS.load(key)
    family = _checked(str(made)) if isinstance(made, (str, Path)) else made
    if key not in family:
        raise ProductError(f"no sensor {key} in its family", wanted=", ".join(family), path=str(made)[:200])
    return family[key]


def sensor_or_generic(key: str) -> Sensor:
    """Return a sensor, or the generic one where nobody here knows it: a record outlives the package of its sensor."""
    return sensor(key if key in SENSORS else GENERIC)


def sensor_of_satellite(satellite_id: str) -> Sensor:
    """Return the sensor that a provider's metadata name, such as "WV03"; the generic one where none is so named."""
    known = (one for one in sensors() if satellite_id in one.satellite_ids)
    return next(known, None) or sensor(GENERIC)


def sensors() -> Iterator[Sensor]:
    """Yield every sensor, in the table's order."""
    return (sensor(name) for name in SENSORS.names())


@lru_cache(maxsize=64)
def _checked(path: str) -> Family:
    from geofuse.scenes.sensors.checking import checked_family  # pydantic: only for files from outside

    return checked_family(Path(path))
