"""The version of this geofuse: in every record, page and answer, and in the package's own metadata."""

from __future__ import annotations

__version__ = "0.4.0.dev0"
