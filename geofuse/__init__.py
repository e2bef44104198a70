"""geofuse: the separate images of a satellite scene into one sharp, georeferenced product, at any size.

>>> import geofuse
>>> sorted(name for name in dir(geofuse) if name in ("fuse", "open_scene"))
['fuse', 'open_scene']
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from geofuse.version import __version__

if TYPE_CHECKING:
    from geofuse.api.answers import Planned, Product, Report
    from geofuse.api.archive import ClipKeywords, SearchKeywords, clip, publish, search
    from geofuse.api.fusing import (
        adapt,
        calibrate,
        calibrate_scene,
        fuse,
        fuse_to,
        plan,
        verify,
    )
    from geofuse.api.judging import LookKeywords, assess, bench, demo, simulate, simulate_from
    from geofuse.api.lists import (
        list_methods,
        list_metrics,
        list_networks,
        list_readers,
        option_table,
    )
    from geofuse.api.measuring import MetricImages, measure
    from geofuse.api.scenes import PathText, inspect, open_pair, open_scene
    from geofuse.clips.clip import TellPixels
    from geofuse.config.errands import ClipFormat, Protocol
    from geofuse.config.sections import Access, Compress, Interleave, Predictor, Validity
    from geofuse.errors import GeofuseError
    from geofuse.nets.training.schedule import TellStep
    from geofuse.quality.assessment.values import Assessment
    from geofuse.quality.bench import Bench
    from geofuse.run.plans.plan import Plan
    from geofuse.run.plans.request import (
        AreaKeywords,
        BandsKeywords,
        EncodeKeywords,
        LazyKeywords,
        MeasureKeywords,
        MethodKeywords,
        PlanKeywords,
        Request,
        RequestKeywords,
        WorkKeywords,
    )
    from geofuse.run.progress import Progress
    from geofuse.run.records.documents import CalibrationReport, ProductRecord
    from geofuse.scenes.scene import Scene

_NAMES = {
    "api.answers": ("Report", "Planned", "Product"),
    "api.archive": ("ClipKeywords", "SearchKeywords", "clip", "publish", "search"),
    "api.fusing": (*("adapt", "calibrate", "calibrate_scene", "fuse", "fuse_to", "plan", "verify"),),
    "api.judging": ("LookKeywords", "assess", "bench", "demo", "simulate", "simulate_from"),
    "api.lists": ("list_methods", "list_metrics", "list_networks", "list_readers", "option_table"),
    "api.measuring": ("MetricImages", "measure"),
    "api.scenes": ("PathText", "inspect", "open_pair", "open_scene"),
    "clips.clip": ("TellPixels",),
    "config.errands": ("ClipFormat", "Protocol"),
    "config.sections": ("Access", "Compress", "Interleave", "Predictor", "Validity"),
    "errors": ("GeofuseError",),
    "nets.training.schedule": ("TellStep",),
    "quality.assessment.values": ("Assessment",),
    "quality.bench": ("Bench",),
    "run.progress": ("Progress",),
    "run.records.documents": ("CalibrationReport", "ProductRecord"),
    "run.plans.plan": ("Plan",),
    "run.plans.request": (
        *("AreaKeywords", "BandsKeywords", "EncodeKeywords", "LazyKeywords", "MeasureKeywords"),
        *("MethodKeywords", "PlanKeywords", "Request", "RequestKeywords", "WorkKeywords"),
    ),
    "scenes.scene": ("Scene",),
}
"""The public names, by the module that is imported when one is first used."""
_HOMES = {name: f"geofuse.{module}" for module, names in _NAMES.items() for name in names}
__all__ = [
    "Access",
    "AreaKeywords",
    "Assessment",
    "BandsKeywords",
    "Bench",
    "CalibrationReport",
    "ClipFormat",
    "ClipKeywords",
    "Compress",
    "EncodeKeywords",
    "GeofuseError",
    "Interleave",
    "LazyKeywords",
    "LookKeywords",
    "MeasureKeywords",
    "MethodKeywords",
    "MetricImages",
    "PathText",
    "Plan",
    "PlanKeywords",
    "Planned",
    "Predictor",
    "Product",
    "ProductRecord",
    "Progress",
    "Protocol",
    "Report",
    "Request",
    "RequestKeywords",
    "Scene",
    "SearchKeywords",
    "TellPixels",
    "TellStep",
    "Validity",
    "WorkKeywords",
    "__version__",
    "adapt",
    "assess",
    "bench",
    "calibrate",
    "calibrate_scene",
    "clip",
    "demo",
    "fuse",
    "fuse_to",
    "inspect",
    "list_methods",
    "list_metrics",
    "list_networks",
    "list_readers",
    "measure",
    "open_pair",
    "open_scene",
    "option_table",
    "plan",
    "publish",
    "search",
    "simulate",
    "simulate_from",
    "verify",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'geofuse' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
