"""The product as a lazy array: the same tiles as the command line's file, one dask chunk a tile."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import xarray
from numpy.typing import NDArray

from geofuse.errors import ConfigError, UsageError
from geofuse.methods.base import Params
from geofuse.run.calibrating import calibrated_plan
from geofuse.run.executors import Serial, Threads
from geofuse.run.findings import Findings, findings_of
from geofuse.run.fuse import fit_plan, fuse_core
from geofuse.run.patch_reading import job_of
from geofuse.run.plans.plan import Plan, fingerprint, plan_from_json, plan_to_json
from geofuse.run.plans.planning import make_plan
from geofuse.run.plans.request import Request
from geofuse.run.plans.tiles import tiles_of
from geofuse.run.records.documents import ProductRecord
from geofuse.scenes.scene import Scene
from geofuse.tables import check_plugins, plugins_in
from geofuse.version import __version__

DataArray = xarray.DataArray
"""What a lazy product is."""
_FITS: dict[str, Params] = {}
_FITTING = threading.Lock()


def lazy_product(scene: Scene, request: Request, record: ProductRecord | None = None) -> xarray.DataArray:
    """Fuse lazily: a dask-backed (band, y, x) array in the source's type, with CRS, transform, nodata, band names.

    Without a product's ``record`` calibration looks at a sample of the scene at once, and the first compute measures
    the scene once; with it neither is needed. Raises ConfigError for the record of another method or other bands.
    """
    if record is None:
        return _lazy(calibrated_plan(scene, request), None)
    found, fitted = _given(record)
    if request.fuse.method not in ("auto", found.method):
        raise ConfigError(f"parameters of {found.method}", wanted=f"those of {request.fuse.method}")
    plan = make_plan(scene, request, found)
    names = record["parameters"]["bands"]
    if names != list(plan.options.names):
        raise ConfigError(
            f"parameters of {found.method} for {', '.join(names)}",
            wanted=f"those for {', '.join(plan.options.names)}",
        )
    return _lazy(plan, fitted)


def write_array(array: xarray.DataArray, path: Path) -> Path:
    """Write an array (band, y, x) with CRS and transform as a plain GeoTIFF; UsageError for what is none."""
    import rioxarray  # noqa: F401  (the .rio accessor)

    if not isinstance(array, xarray.DataArray) or array.rio.crs is None:
        raise UsageError(
            f"a {type(array).__name__} without a coordinate system",
            wanted="a file, or an xarray.DataArray (band, y, x) with CRS and transform",
        )
    array.rio.to_raster(path)
    return path


def _given(record: ProductRecord) -> tuple[Findings, Params]:
    """Return what a product's record says was found and fitted; PluginError where what made it is not here."""
    check_plugins(plugins_in(record))
    try:
        return findings_of(record), Params(record["method"]["name"], record["method"]["params"])
    except (KeyError, TypeError) as error:
        raise ConfigError("no fitted parameters in it", wanted="a product's OUT.json") from error


def _lazy(plan: Plan, params: Params | None) -> xarray.DataArray:
    import dask.array
    import rioxarray  # noqa: F401  (the .rio accessor)

    text = json.dumps(plan_to_json(plan))
    bands, height, width = plan.band_count, plan.grid.height, plan.grid.width
    side = plan.tile_px
    chunks = ((bands,), _steps(height, side), _steps(width, side))
    data = dask.array.map_blocks(
        _chunk,
        chunks=chunks,
        dtype=plan.spec.dtype,
        meta=np.empty((0, 0, 0), plan.spec.dtype),
        name=f"geofuse-{fingerprint(plan, __version__)}-{side}",
        text=text,
        params=params,
    )
    array: xarray.DataArray = xarray.DataArray(
        data,
        dims=("band", "y", "x"),
        name="fused",
        coords={"band": list(plan.options.names), **_coordinates(plan)},
    )
    array = array.rio.write_crs(plan.grid.crs)
    array = array.rio.write_transform(_affine(plan))
    if plan.spec.nodata is not None:
        array = array.rio.write_nodata(np.dtype(plan.spec.dtype).type(plan.spec.nodata))
    array.attrs["long_name"] = tuple(plan.options.names)
    scales = set(zip(plan.spec.scales, plan.spec.offsets, strict=True))
    if len(scales) == 1 and scales != {(1.0, 0.0)}:  # what xarray and rioxarray know holds for all bands
        array.attrs["scale_factor"], array.attrs["add_offset"] = scales.pop()
    return array


def _steps(size: int, side: int) -> tuple[int, ...]:
    return tuple(min(side, size - start) for start in range(0, size, side))


def _affine(plan: Plan) -> Any:
    from affine import Affine

    return Affine(*plan.grid.transform)


def _coordinates(plan: Plan) -> dict[str, tuple[str, NDArray[np.floating[Any]]]]:
    """Pixel centres; none for a rotated grid, whose transform says it all."""
    a, b, c, d, e, f = plan.grid.transform
    if b or d:
        return {}
    return {
        "y": ("y", f + e * (np.arange(plan.grid.height) + 0.5)),
        "x": ("x", c + a * (np.arange(plan.grid.width) + 0.5)),
    }


def _chunk(*, text: str, params: Params | None, block_id: tuple[int, int, int]) -> NDArray[Any]:
    """Compute one tile (B, rows, cols)."""
    plan = plan_from_json(json.loads(text))
    tiles = tiles_of(plan.grid.height, plan.grid.width, plan.tile_px)
    columns = len(_steps(plan.grid.width, plan.tile_px))
    core = tiles[block_id[1] * columns + block_id[2]].core
    pixels = fuse_core(plan, job_of(plan), params or _fitted(plan), core).pixels
    return np.moveaxis(pixels, -1, 0)


def _fitted(plan: Plan) -> Params:
    """Measure the scene at the first need; later chunks and computes of this process find it done."""
    key = fingerprint(plan, __version__)
    with _FITTING:
        if key not in _FITS:
            runner = Threads(plan.workers) if plan.workers > 1 else Serial()
            _FITS[key] = fit_plan(plan, runner)
        return _FITS[key]
