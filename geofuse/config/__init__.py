"""Configurations, checked at the door: one YAML for a run, profiles of acceptance, and what the machine says.

Nothing below reads YAML or asks the machine. A key that is not known is refused, naming the nearest that is; so
are a key given twice and a value of the wrong kind. Relative paths are relative to the file they stand in.
"""

from geofuse.config.fields import (
    AcceptProfile,
    HookConfig,
    Limits,
    RunConfig,
    SceneConfig,
    StacConfig,
)
from geofuse.config.reading import (
    accept_profile,
    config_digest,
    config_from,
    config_to_json,
    configs_folder,
    load_config,
    output_folder,
    state_folder,
)
from geofuse.config.surroundings import Surroundings, child_surroundings, surroundings
from geofuse.config.training import RealConfig, TrainConfig, load_training, training_to_json

__all__ = [
    "AcceptProfile",
    "HookConfig",
    "Limits",
    "RealConfig",
    "RunConfig",
    "SceneConfig",
    "StacConfig",
    "Surroundings",
    "TrainConfig",
    "accept_profile",
    "child_surroundings",
    "config_digest",
    "config_from",
    "config_to_json",
    "configs_folder",
    "load_config",
    "load_training",
    "output_folder",
    "state_folder",
    "surroundings",
    "training_to_json",
]
