"""Entry script of prefect.yaml: a look at the inbox."""

from geofuse.flows.inbox import watch_inbox

__all__ = ["watch_inbox"]
