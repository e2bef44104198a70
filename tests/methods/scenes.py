"""Random scenes with correlated bands and a textured PAN, and patches cut out of them, in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import AxisMap, covered, moved, nearest
from geofuse.methods.base import Method, Options, Params, Patch, Target, fused_core
from geofuse.methods.observation import Observation
from geofuse.methods.sums import merge
from geofuse.methods.table import get
from tests.methods import reference

BLOCK_PX = 1024
GAINS = (0.34, 0.32, 0.30, 0.22, 0.35, 0.35, 0.28, 0.27)
NAMES = ("coastal", "blue", "green", "yellow", "red", "red_edge", "nir", "nir2")
DN_MAX = 2047.0


@dataclass(frozen=True, slots=True)
class Scene:
    """Two whole images on two grids; invalid pixels are 0."""

    fine: NDArray
    """(1, H, W), float64, whole numbers."""
    fine_valid: NDArray[np.bool_]
    """(H, W)."""
    coarse: NDArray
    """(B, h, w), float64, whole numbers."""
    coarse_valid: NDArray[np.bool_]
    """(h, w)."""
    axes: tuple[AxisMap, AxisMap]
    """Rows, columns."""
    observation: Observation
    """The sensor."""
    options: Options
    """What a method is told."""


def aligned(ratio: float) -> AxisMap:
    """Grids whose outer edges coincide."""
    return AxisMap(1.0 / ratio, 0.5 / ratio - 0.5)


LANDSAT = AxisMap(0.5, -0.5)
JILIN = aligned(2.0 / 0.498)


def texture(rng: np.random.Generator, height: int, width: int, falloff: float) -> NDArray:
    """A random field of mean 0 and standard deviation 1 whose spectrum falls as 1 / f^falloff."""
    rows = np.fft.fftfreq(height)[:, None]
    cols = np.fft.rfftfreq(width)[None]
    spectrum = np.fft.rfft2(rng.standard_normal((height, width)))
    field = np.fft.irfft2(spectrum / (np.hypot(rows, cols) + 2e-3) ** falloff, (height, width))
    return (field - field.mean()) / field.std()


def make_scene(
    axes: tuple[AxisMap, AxisMap],
    coarse_size: tuple[int, int],
    *,
    names: tuple[str, ...] = ("blue", "green", "red", "nir"),
    gains: tuple[float, ...] | None = None,
    holes: bool = False,
    seed: int = 0,
) -> Scene:
    """An 11-bit scene: bands share smooth and textured parts, PAN is their mixture and light of its own."""
    rng = np.random.default_rng(seed)
    bands = len(names)
    gains = gains or GAINS[:bands]
    spans = [
        covered(axis, round(size / axis.scale) + 8, size)
        for axis, size in zip(axes, coarse_size, strict=True)
    ]
    axes = moved(axes[0], spans[0][0]), moved(axes[1], spans[1][0])
    height, width = (stop - start for start, stop in spans)
    shared = [texture(rng, height, width, falloff) for falloff in (2.0, 1.5, 0.8)]
    truth = np.empty((bands, height, width))
    for band in range(bands):
        mix = np.array([0.6, 0.5, 0.35]) * rng.uniform(0.6, 1.4, 3)
        own = texture(rng, height, width, 1.3)
        truth[band] = np.tensordot(mix, shared, 1) + 0.35 * own
    truth = (truth * 0.22 + 1.0) * rng.uniform(250.0, 600.0, bands)[:, None, None]
    pan = np.tensordot(rng.dirichlet(np.full(bands, 4.0)), truth, 1) + 12.0 * shared[2]
    coarse = _observed(truth, axes, coarse_size, gains) + rng.normal(0.0, 1.5, (bands, *coarse_size))
    fine = np.clip(np.rint(pan + rng.normal(0.0, 1.5, pan.shape)), 1.0, DN_MAX)
    coarse = np.clip(np.rint(coarse), 1.0, DN_MAX)
    fine_valid, coarse_valid = _validity(rng, fine.shape, coarse_size, axes) if holes else (None, None)
    scene = Scene(
        fine[None],
        np.ones(fine.shape, np.bool_) if fine_valid is None else fine_valid,
        coarse,
        np.ones(coarse_size, np.bool_) if coarse_valid is None else coarse_valid,
        axes,
        Observation(gains),
        Options(
            names,
            2.0 / (axes[0].scale + axes[1].scale),
            largest_ratio=1.0 / min(axes[0].scale, axes[1].scale),
        ),
    )
    return zeroed(scene)


def _observed(
    truth: NDArray, axes: tuple[AxisMap, AxisMap], size: tuple[int, int], gains: tuple[float, ...]
) -> NDArray:
    pads = [round(8 / axis.scale) for axis in axes]
    padded = reference.symmetric(truth, (pads[0], pads[1]))
    planes = []
    for plane, gain in zip(padded, gains, strict=True):
        rows, cols = (
            reference.gaussian_matrix((axis.scale, axis.offset), gain, (0, coarse), -pad, fine)
            for axis, coarse, pad, fine in zip(axes, size, pads, plane.shape, strict=True)
        )
        planes.append(rows @ plane @ cols.T)
    return np.stack(planes)


def _validity(
    rng: np.random.Generator,
    fine_size: tuple[int, ...],
    coarse_size: tuple[int, int],
    axes: tuple[AxisMap, AxisMap],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """A slanted border in both images, discs and single pixels of nodata, and a thin sliver of valid PAN."""
    y, x = np.meshgrid(*(np.linspace(0.0, 1.0, size) for size in fine_size), indexing="ij")
    y += rng.normal(0.0, 1.5 / fine_size[0], y.shape)  # ragged: no mask halves a filter's weight exactly
    fine = y + 0.17 * x > 0.093
    for _ in range(5):
        row, col, radius = rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9), rng.uniform(0.01, 0.07)
        fine &= np.hypot(y - row, x - col) > radius
    fine &= rng.random(fine.shape) > 5e-4
    away = np.abs(y - 0.75 - 0.35 * x)
    gap = (away < 5.0 / coarse_size[0]) & (x + 0.4 * y < 0.55)
    fine = np.where(gap, away < 0.7 / fine_size[0], fine)
    y, x = np.meshgrid(*(np.linspace(0.0, 1.0, size) for size in coarse_size), indexing="ij")
    coarse = x - 0.11 * y < 0.94
    coarse &= np.hypot(y - 0.35, x - 0.6) > 0.05
    coarse &= rng.random(coarse.shape) > 2e-3
    return fine, coarse


def zeroed(scene: Scene) -> Scene:
    """Put 0 under every invalid pixel, as pixels arrive in a patch."""
    return replace(
        scene,
        fine=np.where(scene.fine_valid, scene.fine, 0.0),
        coarse=np.where(scene.coarse_valid, scene.coarse, 0.0),
    )


def pair_of(scene: Scene) -> reference.Pair:
    """Return the scene as the references take it."""
    return reference.Pair(
        pan=scene.fine[0],
        pan_valid=scene.fine_valid,
        ms=scene.coarse,
        ms_valid=scene.coarse_valid,
        rows=(scene.axes[0].scale, scene.axes[0].offset),
        cols=(scene.axes[1].scale, scene.axes[1].offset),
        gains=scene.observation.mtf_gain,
        names=scene.options.names,
        weights=scene.options.weights,
        ratio_floor=0.5 if scene.options.whole else 1e-6,
    )


class Cutter:
    """Cuts patches out of a scene: what a method asks for, and ``spare`` fine and coarse pixels more."""

    def __init__(
        self, scene: Scene, method: Method, dtype: str = "float32", *, spare: tuple[int, int] = (0, 0)
    ) -> None:
        self.scene = scene
        reach = method.halo(scene.observation, options=scene.options)
        self.fine_px, self.coarse_cpx = reach.fine_px + spare[0], reach.coarse_cpx + spare[1]
        self.pad_cpx = self.coarse_cpx + 1
        self.fine = reference.symmetric(scene.fine.astype(dtype), self.fine_px)
        self.fine_valid = reference.symmetric(scene.fine_valid, self.fine_px)
        self.coarse = reference.symmetric(scene.coarse.astype(dtype), self.pad_cpx)
        self.coarse_valid = reference.symmetric(scene.coarse_valid, self.pad_cpx)

    def cut(self, core: tuple[int, int, int, int]) -> Patch:
        """Return the patch of a core."""
        row0, row1, col0, col1 = core
        sizes = self.scene.coarse_valid.shape
        under_y = nearest(self.scene.axes[0], row0, row1, sizes[0])
        under_x = nearest(self.scene.axes[1], col0, col1, sizes[1])
        fine = slice(row0, row1 + 2 * self.fine_px), slice(col0, col1 + 2 * self.fine_px)
        (top, rows), (left, cols) = self._around(under_y), self._around(under_x)
        return Patch(
            guides=self.fine[:, *fine].copy(),
            guides_valid=self.fine_valid[fine].copy(),
            guides_origin=(row0 - self.fine_px, col0 - self.fine_px),
            targets=(
                Target(
                    self.coarse[:, rows, cols].copy(),
                    self.coarse_valid[rows, cols].copy(),
                    (top, left),
                    *self.scene.axes,
                ),
            ),
            core=core,
            valid=self.scene.fine_valid[row0:row1, col0:col1]
            & self.scene.coarse_valid[np.ix_(under_y, under_x)],
        )

    def _around(self, under: NDArray[np.int64]) -> tuple[int, slice]:
        first, last = int(under[0]) - self.coarse_cpx, int(under[-1]) + self.coarse_cpx
        return first, slice(first + self.pad_cpx, last + 1 + self.pad_cpx)


def cores(size: tuple[int, ...], tile: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Yield the cores of a tiling in row-major order."""
    for row in range(0, size[0], tile[0]):
        for col in range(0, size[1], tile[1]):
            yield row, min(row + tile[0], size[0]), col, min(col + tile[1], size[1])


def collected(
    scene: Scene,
    method: Method,
    *,
    dtype: str = "float32",
    block_px: int = BLOCK_PX,
    spare: tuple[int, int] = (0, 0),
) -> Mapping[str, Any]:
    """Run the first pass: every block, merged in row-major order."""
    cutter = Cutter(scene, method, dtype, spare=spare)
    state: dict[str, Any] = {}
    for name in (one.name for one in method.passes(scene.options)):
        state[name] = reduce(
            merge,
            (
                method.collect(
                    name, cutter.cut(core), scene.observation, options=scene.options, state=dict(state)
                )
                for core in cores(scene.fine_valid.shape, (block_px, block_px))
            ),
        )
    return state


def fitted(scene: Scene, name: str, *, dtype: str = "float32", block_px: int = BLOCK_PX) -> Params:
    """Collect and fit; the parameters make a trip through JSON, as in a resumed run."""
    method = get(name)
    state = collected(scene, method, dtype=dtype, block_px=block_px)
    params = method.fit(state, scene.observation, options=scene.options)
    return Params(params.method, json.loads(json.dumps(params.values)))


def applied(
    scene: Scene,
    name: str,
    params: Params,
    *,
    tile: tuple[int, int] | None = None,
    dtype: str = "float32",
    spare: tuple[int, int] = (0, 0),
) -> NDArray:
    """Run the second pass tile by tile: the whole product (B, H, W), meaningless where invalid."""
    method = get(name)
    cutter = Cutter(scene, method, dtype, spare=spare)
    size = scene.fine_valid.shape
    out = np.empty((scene.coarse.shape[0], *size), dtype)
    for core in cores(size, tile or (size[0], size[1])):
        row0, row1, col0, col1 = core
        out[:, row0:row1, col0:col1] = fused_core(
            method, cutter.cut(core), params, scene.observation, options=scene.options
        )
    return out


def fused(scene: Scene, name: str, *, dtype: str = "float32") -> NDArray:
    """Both passes."""
    return applied(scene, name, fitted(scene, name, dtype=dtype), dtype=dtype)
