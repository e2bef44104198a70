"""The door for sensors from outside: a family's YAML, checked key by key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from geofuse.config.reading import read_yaml
from geofuse.errors import ConfigError
from geofuse.scenes.sensors.families import Family, family_from

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*$", max_length=40)]
Text = Annotated[str, Field(max_length=200)]
Gain = Annotated[float, Field(gt=0.0, lt=1.0)]
Url = Annotated[str, Field(pattern=r"^https://[^\s]+$", max_length=400)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Band(_Strict):
    """`geofuse.scenes.sensors.sensor.SensorBand`, as a file says it."""

    name: Name
    wavelength_nm: Annotated[float, Field(ge=100.0, le=1e6)]
    mtf_gain: Gain
    aliases: list[Annotated[str, Field(min_length=1, max_length=40)]] = []
    thermal: bool = False


class _Told(_Strict):
    """`geofuse.scenes.sensors.sensor.Sensor`, as far as a sensor or what a family shares says it."""

    title: Annotated[str, Field(min_length=1, max_length=80)] | None = None
    bands: list[_Band] | None = None
    pan: _Band | None = None
    mtf_gain: Gain | None = None
    ratio: Annotated[float, Field(ge=1.0, le=100.0)] | None = None
    bits: Annotated[int, Field(ge=1, le=32)] | None = None
    fill: float | None = None
    default: list[Name] | None = None
    licence: Text | None = None
    attribution: Text | None = None
    access: Literal["open", "registered", "commercial", "unknown"] | None = None
    terms_url: Url | None = None
    provider: Text | None = None
    provider_url: Url | None = None
    quantity: Annotated[str, Field(min_length=1, max_length=40)] | None = None
    satellite_ids: list[Annotated[str, Field(pattern=r"^[A-Z0-9]+$", max_length=20)]] | None = None


NEEDED = (
    *("title", "bands", "pan", "mtf_gain", "ratio", "bits", "fill"),
    *("default", "licence", "attribution", "access"),
)


class _File(_Strict):
    """A family's file."""

    sources: list[Annotated[str, Field(min_length=1, max_length=400)]]
    shared: _Told = _Told()
    sensors: Annotated[dict[Name, _Told], Field(min_length=1)]

    @model_validator(mode="after")
    def _whole(self) -> _File:
        for key, sensor in self.sensors.items():
            said = self.shared.model_fields_set | sensor.model_fields_set
            lacking = [name for name in NEEDED if name not in said]
            if lacking:
                raise ValueError(f"sensor {key} without {lacking[0]}")
            bands = sensor.bands if "bands" in sensor.model_fields_set else self.shared.bands
            default = sensor.default if "default" in sensor.model_fields_set else self.shared.default
            names = [band.name for band in bands or []]
            twice = next((name for at, name in enumerate(names) if name in names[:at]), None)
            if twice:
                raise ValueError(f"sensor {key}: band {twice} twice")
            unknown = next((name for name in default or [] if name not in names), None)
            if unknown:
                raise ValueError(f"sensor {key}: no band {unknown}, which is a default")
        return self


def checked_family(path: Path) -> Family:
    """Read a family's file by the safe YAML loader and check it; raises ConfigError, naming file and key."""
    values = read_yaml(path)
    try:
        _File.model_validate(values)
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(map(str, first["loc"])) or "sensors"
        raise ConfigError(
            f"{where}: {first['msg'].removeprefix('Value error, ')}",
            wanted="a family of sensors, as those in geofuse/scenes/sensors",
            path=str(path),
        ) from fault
    return family_from(values)
