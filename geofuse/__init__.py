"""geofuse: the separate images of a satellite scene into one sharp, georeferenced product, at any size.

>>> import geofuse
>>> sorted(name for name in dir(geofuse) if name in ("fuse", "open_scene"))
['fuse', 'open_scene']
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from geofuse.version import __version__

if TYPE_CHECKING:
    from geofuse.errors import GeofuseError
    from geofuse.quality.assess import assess
    from geofuse.run.arrays import fuse
    from geofuse.run.calibrating import calibrate_scene
    from geofuse.scenes.opening import open_pair, open_scene

_HOMES = {
    "GeofuseError": "geofuse.errors",
    "assess": "geofuse.quality.assess",
    "calibrate_scene": "geofuse.run.calibrating",
    "fuse": "geofuse.run.arrays",
    "open_pair": "geofuse.scenes.opening",
    "open_scene": "geofuse.scenes.opening",
}
__all__ = [
    "GeofuseError",
    "__version__",
    "assess",
    "calibrate_scene",
    "fuse",
    "open_pair",
    "open_scene",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'geofuse' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
