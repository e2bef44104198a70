"""What went in and what came out: the JSON beside a product, and the check of a product against it."""

from __future__ import annotations

import math
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from geofuse.errors import ChangedError, GeofuseError, ReadError, VerifyError
from geofuse.files import read_json, sha256_of
from geofuse.rasters.cog import encoding_of, validate_cog
from geofuse.rasters.image import Band
from geofuse.rasters.ledger import json_path, mask_path, parts_dir, png_path, publish, staged_path
from geofuse.rasters.pixels import identity, inspect
from geofuse.run.plan import Plan
from geofuse.version import __version__

LIBRARIES = ("numpy", "numba", "rasterio", "imagecodecs", "scipy")


def provenance(
    plan: Plan, *, fingerprint: str, fit: dict[str, Any], assets: dict[str, Any], counts: dict[str, int]
) -> dict[str, Any]:
    """Return the record of a product: inputs with checksums, parameters, versions, warnings. No clock in it."""
    bands = [plan.target.bands[index] for index in plan.bands]
    warnings = list(plan.notes)
    if counts["saturated"]:
        warnings.append(f"{counts['saturated']} values were outside {plan.spec.dtype} and saturate")
    if counts.get("network_halved"):
        warnings.append(f"the GPU's memory made less of a batch or tile {counts['network_halved']} times")
    if counts.get("network_on_cpu"):
        warnings.append(
            f"{counts['network_on_cpu']} tiles went to the CPU: the GPU's memory or its values failed"
        )
    if counts["moved"]:
        warnings.append(f"{counts['moved']} valid values equal to nodata were moved by one step")
    return {
        "geofuse": __version__,
        "fingerprint": fingerprint,
        "scene": {
            "id": plan.scene.scene_id,
            "sensor": plan.scene.sensor,
            "acquired": plan.scene.acquired,
            "metadata": plan.scene.metadata,
        },
        "inputs": [
            {"path": item["path"], "bytes": item["size"], "sha256": item["sha256"]} for item in plan.inputs
        ],
        "method": {"name": plan.method, **fit, "injection": _injection(plan)},
        "observation": plan.observation,
        "calibration": plan.calibration,
        "radiometry": {
            "pan": radiometry(plan.guide.bands[0]),
            "bands": [radiometry(band) for band in bands],
        },
        "parameters": {
            "bands": list(plan.options["names"]),
            "area": plan.area,
            "weights": plan.options["weights"],
            "network": plan.options["network"],
            "back_projections": plan.rounds,
            **encoding_of(plan.spec),
        },
        "grid": {
            "crs": plan.grid.crs,
            "transform": list(plan.grid.transform),
            "height": plan.grid.height,
            "width": plan.grid.width,
            "ratio": plan.options["ratio"],
            "origin_px": list(plan.origin),
        },
        "nodata": _plain(plan.spec.nodata),
        "counts": counts,
        "assets": assets,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
        "warnings": warnings,
    }


def _injection(plan: Plan) -> dict[str, float]:
    """Return the share of the method's detail that each band got."""
    shares = plan.shares or (1.0,) * len(plan.options["names"])
    return dict(zip(plan.options["names"], shares, strict=True))


def radiometry(band: Band) -> dict[str, Any]:
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


def check_unchanged(plan: Plan) -> None:
    """Raise ChangedError where an input is not what it was when the plan was made."""
    for item in plan.inputs:
        try:
            now = identity(item["path"])
        except ReadError:
            raise
        except GeofuseError as error:
            raise ChangedError(
                f"vanished or unreadable during the run ({error.found})", path=item["path"]
            ) from error
        if (now["size"], now["mtime_ns"]) != (item["size"], item["mtime_ns"]):
            raise ChangedError(
                "changed during the run", wanted="inputs that rest", do="run again", path=item["path"]
            )


def companions(out: Path, *, mask: bool) -> list[Path]:
    """Return what lies beside a product, in the order it gets its names: the record last."""
    return [png_path(out), *([mask_path(out)] if mask else []), json_path(out)]


def read_record(path: Path) -> dict[str, Any] | None:
    """Read a product's record; None where there is none, or where it is torn or something else."""
    record = read_json(path)
    return record if record is not None and is_record(record) else None


def is_record(value: dict[str, Any]) -> bool:
    """Whether JSON has what a product's record must have."""
    assets, grid = value.get("assets"), value.get("grid")
    return (
        isinstance(value.get("fingerprint"), str)
        and isinstance(assets, dict)
        and "data" in assets
        and all(isinstance(asset, dict) and isinstance(asset.get("sha256"), str) for asset in assets.values())
        and isinstance(grid, dict)
        and grid.keys() >= {"height", "width", "transform"}
    )


def asset_paths(out: Path, record: dict[str, Any]) -> list[tuple[Path, str]]:
    """Return where the assets of a record lie, by their roles, and their checksums; the data first."""
    places = {"data": out, "mask": mask_path(out), "quicklook": png_path(out)}
    assets = record["assets"]
    return [(place, assets[role]["sha256"]) for role, place in places.items() if role in assets]


def finish_half_pair(out: Path) -> None:
    """Give companions their names where a run died right after the product got its own."""
    if not out.is_file():
        return
    for staged in sorted(parts_dir(out).glob("*.json")):
        record = read_record(staged)
        if record is None or record["assets"]["data"]["sha256"] != sha256_of(out):
            continue
        for final in companions(out, mask="mask" in record["assets"]):
            waiting = staged_path(out, final, record["fingerprint"])
            if waiting.exists():
                waiting.replace(final)


def verify(out: Path) -> dict[str, Any]:
    """Check a product against its provenance: checksums, COG structure, georeferencing; returns the record.

    A product that was renamed with its companions is still that product. Raises VerifyError with the first
    thing that is wrong.
    """
    if not out.is_file():
        raise VerifyError("there is no such product", path=str(out))
    finish_half_pair(out)
    record = read_record(json_path(out))
    if record is None:
        raise VerifyError(
            "its provenance is missing or unreadable",
            wanted=f"a record in {json_path(out).name}",
            do="fuse again with --overwrite",
            path=str(out),
        )
    for path, checksum in asset_paths(out, record):
        _verify_asset(path, checksum)
    for path in (out, *([mask_path(out)] if "mask" in record["assets"] else [])):
        _verify_raster(path, record)
    return record


def _verify_asset(path: Path, checksum: str) -> None:
    if not path.is_file():
        raise VerifyError("is missing", wanted="every asset of the record", path=str(path))
    found = sha256_of(path)
    if found != checksum:
        raise VerifyError(
            f"has checksum {found[:12]}...",
            wanted=f"{checksum[:12]}... as its record says",
            do="it was damaged or replaced: fuse again with --overwrite",
            path=str(path),
        )


def _verify_raster(path: Path, record: dict[str, Any]) -> None:
    problems = validate_cog(str(path))
    if problems:
        raise VerifyError(f"is no valid COG: {problems[0]}", path=str(path))
    facts, grid = inspect(str(path)), record["grid"]
    found = (facts.grid.height, facts.grid.width, list(facts.grid.transform))
    if found != (grid["height"], grid["width"], grid["transform"]) or not facts.grid.crs:
        raise VerifyError(
            f"lies on another grid ({found[0]} x {found[1]})",
            wanted=f"{grid['height']} x {grid['width']} at the recorded place",
            path=str(path),
        )


def publish_product(out: Path, fingerprint: str, draft: Path, *, mask: bool) -> None:
    """Make a finished product visible."""
    publish(out, fingerprint, companions(out, mask=mask), draft)
