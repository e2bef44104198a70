"""What went in and what came out: the JSON beside a product."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, cast

from geofuse.nouns import to_json
from geofuse.rasters.cog import encoding_of
from geofuse.rasters.image import Band
from geofuse.rasters.opening.sniffing import Identity
from geofuse.run.plans.plan import Pair, Plan
from geofuse.run.records.documents import (
    Asset,
    ObservationRecord,
    PluginRecord,
    ProductRecord,
    Radiometry,
    RadiometryRecord,
)
from geofuse.run.records.record_inputs import Used, input_records, scene_record
from geofuse.version import __version__

LIBRARIES = ("numpy", "numba", "rasterio", "imagecodecs", "scipy")


def provenance(
    plan: Plan,
    *,
    inputs: Sequence[Identity],
    fingerprint: str,
    paper: str,
    params: dict[str, Any],
    assets: Mapping[str, Asset],
    counts: Mapping[str, int],
) -> ProductRecord:
    """Return the record of a product: inputs with checksums, parameters, versions, warnings. No clock in it."""
    used = images_read(plan)
    warnings = list(plan.notes)
    if counts["saturated"]:
        bits = plan.spec.tags.get("NBITS")
        room = f"the detector's {bits} bits" if bits else plan.spec.dtype
        warnings.append(f"{counts['saturated']} values were outside {room} and saturate")
    if counts.get("network_halved"):
        warnings.append(f"the GPU's memory made less of a batch or tile {counts['network_halved']} times")
    if counts.get("network_on_cpu"):
        warnings.append(
            f"{counts['network_on_cpu']} tiles went to the CPU: the GPU's memory or its values failed"
        )
    if counts["moved"]:
        warnings.append(f"{counts['moved']} valid values equal to nodata were moved by one step")
    told: ProductRecord = {
        "geofuse": __version__,
        "fingerprint": fingerprint,
        "scene": scene_record(plan.scene, used),
        "inputs": input_records(used, inputs),
        "method": {"name": plan.method, "paper": paper, "params": params, "injection": _injection(plan)},
        "observation": cast(ObservationRecord, to_json(plan.pair.observation)),
        "plugins": [
            PluginRecord(table=one.table, name=one.name, package=one.package, version=one.version)
            for one in plan.plugins
        ],
        "calibration": plan.calibration,
        "radiometry": _radiometry(plan.pairs),
        "parameters": {
            "bands": list(plan.options.names),
            "area": plan.area,
            "weights": to_json(plan.options.weights),
            "network": to_json(plan.options.network),
            "back_projections": plan.rounds,
            **encoding_of(plan.spec),
        },
        "grid": {
            "crs": plan.grid.crs,
            "transform": list(plan.grid.transform),
            "height": plan.grid.height,
            "width": plan.grid.width,
            "ratio": plan.options.ratio,
            "origin_px": list(plan.pair.origin),
        },
        "nodata": _plain(plan.spec.nodata),
        "counts": dict(counts),
        "assets": dict(assets),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
        "warnings": warnings,
    }
    if len(plan.pairs) > 1:
        each = [cast(ObservationRecord, to_json(pair.observation)) for pair in plan.pairs]
        told["observations"] = each
    return told


def images_read(plan: Plan) -> tuple[Used, ...]:
    """Return the images that a plan reads, and which of their bands."""
    read: list[Used] = []
    for pair in plan.pairs:
        both: tuple[Used, Used] = (pair.guide, pair.guide_bands), (pair.target, pair.bands)
        read += [one for one in both if one not in read]
    quality = plan.scene.find("quality")
    return (*read, *([(quality, (0,))] if quality else []))


def _radiometry(pairs: Sequence[Pair]) -> Radiometry:
    """Return what is known of the scales: PAN's, or that of every band of a wider guide, and the targets'."""
    pair = pairs[0]
    known = [radiometry(pair.guide.bands[index]) for index in pair.guide_bands]
    bands = [radiometry(each.target.bands[index]) for each in pairs for index in each.bands]
    return {"pan": known[0], "bands": bands} if len(known) == 1 else {"guides": known, "bands": bands}


def _injection(plan: Plan) -> dict[str, float]:
    """Return the share of the method's detail that each band got."""
    shares = plan.shares or (1.0,) * len(plan.options.names)
    return dict(zip(plan.options.names, shares, strict=True))


def radiometry(band: Band) -> RadiometryRecord:
    """Return what is known of a band's physical scale."""
    known = band.gain is not None and band.offset is not None
    return {
        "band": band.name,
        "gain": band.gain,
        "offset": band.offset,
        "pedestal_dn": -band.offset / band.gain if known and band.gain and band.offset is not None else 0.0,
        "known": known,
    }


def _plain(nodata: float | None) -> float | str | None:
    return str(nodata) if nodata is not None and not math.isfinite(nodata) else nodata
