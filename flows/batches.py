"""Entry script of prefect.yaml: lists of scenes, and what of a catalogue is out of date."""

from geofuse.flows.batches import fuse_batch, reprocess

__all__ = ["fuse_batch", "reprocess"]
