"""Entry script of prefect.yaml: what retention lets go."""

from geofuse.flows.cleanup import clean_up

__all__ = ["clean_up"]
