"""Configurations, checked at the door: one YAML for a run, profiles of acceptance, and what the machine says.

Nothing below reads YAML or asks the machine. A key that is not known is refused, naming the nearest that is; so
are a key given twice and a value of the wrong kind. Relative paths are relative to the file they stand in.
pydantic is loaded when a configuration is read, not before: options and their sections do without.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from geofuse.config.sections import (
    CatalogOptions,
    EncodeOptions,
    FuseOptions,
    SceneOptions,
    WorkOptions,
)
from geofuse.config.surroundings import Surroundings, child_surroundings, surroundings

if TYPE_CHECKING:
    from geofuse.config.fields import AcceptProfile, HookConfig, Limits, RunConfig, StacConfig
    from geofuse.config.reading import (
        accept_profile,
        config_digest,
        config_from,
        config_to_json,
        config_with,
        configs_folder,
        load_config,
        output_folder,
        state_folder,
    )
    from geofuse.config.training import RealConfig, TrainConfig, load_training, training_to_json

_HOMES = {
    "fields": ("AcceptProfile", "HookConfig", "Limits", "RunConfig", "StacConfig"),
    "reading": (
        *("accept_profile", "config_digest", "config_from", "config_to_json", "config_with"),
        *("configs_folder", "load_config", "output_folder", "state_folder"),
    ),
    "training": ("RealConfig", "TrainConfig", "load_training", "training_to_json"),
}
__all__ = [
    "AcceptProfile",
    "CatalogOptions",
    "EncodeOptions",
    "FuseOptions",
    "HookConfig",
    "Limits",
    "RealConfig",
    "RunConfig",
    "SceneOptions",
    "StacConfig",
    "Surroundings",
    "TrainConfig",
    "WorkOptions",
    "accept_profile",
    "child_surroundings",
    "config_digest",
    "config_from",
    "config_to_json",
    "config_with",
    "configs_folder",
    "load_config",
    "load_training",
    "output_folder",
    "state_folder",
    "surroundings",
    "training_to_json",
]


def __getattr__(name: str) -> object:
    """Import a name of a module that loads pydantic when it is first used (PEP 562)."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"geofuse.config.{module}"), name)
    raise AttributeError(f"module 'geofuse.config' has no attribute {name!r}")
