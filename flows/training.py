"""Entry script of prefect.yaml: a network trained from scenes."""

from geofuse.flows.training import train_scenes

__all__ = ["train_scenes"]
