"""What a user writes: checked by mypy --strict, run by tests/test_python_api.py on a small pair."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import geofuse


def work_through(pan: Path, ms: Path, folder: Path) -> dict[str, float]:
    """Measure, plan, fuse, assess, publish, search and cut; returns some figures."""
    scene: geofuse.Scene = geofuse.open_pair(pan, ms)
    seen: geofuse.Report = geofuse.inspect(scene, window=(0, 0, 512, 512))
    found: geofuse.Report = geofuse.calibrate(scene, bands=["1", "2"], force=True)
    planned: geofuse.Planned = geofuse.plan(scene, method="gsa", tile_px=512, memory="4GiB", level=3)
    product: geofuse.Product = geofuse.fuse_to(
        folder / "sharp.tif",
        scene,
        method="brovey",
        weights=(1.0, 1.0, 1.0, 1.0),
        compress="deflate",
        level=1,
        attribution="me",
        scheduler="serial",
        workers=1,
    )
    lazy = geofuse.fuse(scene, method="gsa", calibrate=False, tile_px=512)
    judged: geofuse.Assessment = geofuse.assess(product, scene, workers=1)
    put: geofuse.Report = geofuse.publish(product, folder / "archive", access="open", acquired="2024-05-12")
    items: geofuse.Report = geofuse.search(folder / "archive", datetime="2024-05-01/..", limit=3)
    part: geofuse.Report = geofuse.clip(product, folder / "part.tif", window=(0, 0, 64, 64), format="gtiff")
    options: geofuse.MethodKeywords = {"method": "gsa", "shift_px": (0.0, 0.0)}
    again: geofuse.Planned = geofuse.plan(scene, **options)
    try:
        geofuse.plan(scene, method="gsa", network="any-x4")
    except geofuse.GeofuseError as fault:
        status = fault.exit_status
    return {
        "status": float(status),
        "ratio": float(seen["relation"]["ratio"][0]),
        "r2": float(found["r2"]),
        "tiles": float(planned["tiles"]),
        "height": float(again["grid"]["height"]),
        "bands": float(lazy.sizes["band"]),
        "valid": float(product.record["counts"]["valid"]),
        "own": geofuse.measure("sam", fused=np.ones((2, 8, 8)), reference=np.full((2, 8, 8), 2.0)) + 1.0,
        "metrics": float(len(judged.values["metrics"])),
        "items": float(items["numberReturned"]),
        "version": float(str(put["version"])),
        "clip": float(part["bytes"]),
        "methods": float(len(geofuse.list_methods()["methods"]) + len(geofuse.list_networks())),
    }
