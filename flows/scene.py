"""Entry script of prefect.yaml: a scene through all its stages."""

from geofuse.flows.scene import fuse_scene

__all__ = ["fuse_scene"]
