"""What a method is: the Patch it sees, the Params it fits, the protocol it keeps, and the names there are."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from geofuse.errors import MethodError
from geofuse.geometry import AxisMap, Window
from geofuse.methods.observation import Observation

METHODS = {
    "exp": "geofuse.methods.sharpen.multires:EXP",
    "brovey": "geofuse.methods.sharpen.substitution:BROVEY",
    "ihs": "geofuse.methods.sharpen.substitution:IHS",
    "pca": "geofuse.methods.sharpen.substitution:PCA",
    "gs": "geofuse.methods.sharpen.substitution:GS",
    "gsa": "geofuse.methods.sharpen.substitution:GSA",
    "bt-h": "geofuse.methods.sharpen.substitution:BT_H",
    "bdsd-pc": "geofuse.methods.sharpen.substitution:BDSD_PC",
    "pracs": "geofuse.methods.sharpen.substitution:PRACS",
    "hpf": "geofuse.methods.sharpen.multires:HPF",
    "sfim": "geofuse.methods.sharpen.multires:SFIM",
    "awlp": "geofuse.methods.sharpen.multires:AWLP",
    "mtf-glp": "geofuse.methods.sharpen.multires:MTF_GLP",
    "mtf-glp-fs": "geofuse.methods.sharpen.multires:MTF_GLP_FS",
    "mtf-glp-hpm": "geofuse.methods.sharpen.multires:MTF_GLP_HPM",
    "mtf-glp-hpm-r": "geofuse.methods.sharpen.multires:MTF_GLP_HPM_R",
    "ridge": "geofuse.methods.sharpen.ridge:RIDGE",
}
NETWORKS = {
    "pan-gan": "geofuse.methods.sharpen.neural:PAN_GAN",
    "pan-gan-ms": "geofuse.methods.sharpen.neural:PAN_GAN_MS",
}
"""Methods that need weights, and torch to run."""
AUTO = "mtf-glp-hpm-r"
"""What "auto" means where the scene is not looked at."""
CANDIDATES = ("ridge", "mtf-glp-hpm-r", "gsa")
"""What "auto" chooses from by hold-out; the first where a scene is too small to choose by: best on every one so far."""


@dataclass(frozen=True, slots=True)
class Patch:
    """What a method sees of a scene: a core to answer for, and enough around it on both grids.

    Values are in DN less the band's pedestal (the DN of zero reflectance, where known); invalid ones are 0.
    """

    fine: NDArray[Any]
    """PAN (1, H, W), float32 or float64."""
    fine_valid: NDArray[np.bool_]
    """(H, W)."""
    coarse: NDArray[Any]
    """MS (B, h, w), float32 or float64."""
    coarse_valid: NDArray[np.bool_]
    """(h, w): valid in all bands."""
    fine_origin: tuple[int, int]
    """Output coordinates of fine[:, 0, 0]."""
    coarse_origin: tuple[int, int]
    """Coarse coordinates of coarse[:, 0, 0]."""
    axis_y: AxisMap
    """Rows: coarse coordinate of an output row."""
    axis_x: AxisMap
    """Columns: coarse coordinate of an output column."""
    core: Window
    """row0, row1, col0, col1 of the core in output coordinates."""
    valid: NDArray[np.bool_]
    """Validity of the output over the core."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a method is told of the pair besides the pixels."""

    names: tuple[str, ...]
    """Band names, in the order of the coarse planes."""
    ratio: float
    """Fine pixels per coarse pixel (mean of both axes)."""
    whole: bool = True
    """The stored type is an integer type."""
    weights: tuple[float, ...] | None = None
    """Given intensity weights (brovey); None: equal."""
    largest_ratio: float | None = None
    """The larger of the two axes' ratios, which haloes must cover; None: both are `ratio`."""
    network: dict[str, Any] | None = None
    """Which weights, and what they run on, where the method is a network: JSON values."""


@dataclass(frozen=True, slots=True)
class Params:
    """What a fit found: JSON values, all that `apply` needs."""

    method: str
    """Name of the method."""
    values: dict[str, Any] = field(default_factory=dict)
    """Coefficients: numbers and nested lists of numbers."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far beyond its core a method looks."""

    fine_px: int
    """Halo on the fine grid."""
    coarse_cpx: int
    """Halo on the coarse grid, counted from the coarse pixels under the core's edge."""


@dataclass(frozen=True, slots=True)
class About:
    """What there is to say of a method."""

    name: str
    """As on the command line."""
    family: str
    """Component substitution, multi-resolution analysis, ..."""
    paper: str
    """Where it comes from."""
    title: str
    """One phrase."""
    ratios: str = "1 to 8"
    """Resolution ratios it works at."""


class Method(Protocol):
    """The protocol: collect over the scene, fit once, apply to any patch with the same result for any cut."""

    @property
    def about(self) -> About:
        """What there is to say of it."""
        ...

    @property
    def sampled(self) -> bool:
        """Whether its first pass runs over the fixed sample of windows only, not over the whole scene."""
        ...

    def passes(self, options: Options) -> Sequence[str]:
        """Name what to collect over the scene, in order; empty where nothing is needed."""
        ...

    def collect(
        self, name: str, patch: Patch, observation: Observation, *, options: Options, state: Mapping[str, Any]
    ) -> Any:
        """Collect pass ``name`` over a patch's core, knowing the merged results of the passes before it."""
        ...

    def fit(self, collected: Mapping[str, Any], observation: Observation, *, options: Options) -> Params:
        """Turn what was collected over the whole scene into parameters."""
        ...

    def halo(self, observation: Observation, *, options: Options) -> Reach:
        """Say how far beyond its core a patch must reach."""
        ...

    def apply(
        self, patch: Patch, params: Params, observation: Observation, *, options: Options
    ) -> NDArray[Any]:
        """Return the fused core (B, rows, cols) in the patch's units and float type."""
        ...


Strip = tuple[slice, NDArray[Any]]
"""Rows of a core, and their values (B, n, W)."""


class Stripwise(Protocol):
    """What a method may have beside `apply`: its core strip by strip, so that no plane of floats is ever whole."""

    def strips(
        self,
        patch: Patch,
        params: Params,
        observation: Observation,
        *,
        options: Options,
        shares: Sequence[float] = (),
    ) -> Iterator[Strip]:
        """Yield the fused core from its top; ``shares`` of the detail are kept per band (empty: all)."""
        ...


def joined(strips: Iterable[Strip], out: NDArray[Any]) -> NDArray[Any]:
    """Lay strips into an array (B, H, W) and return it."""
    for rows, part in strips:
        out[:, rows] = part
    return out


def keep_shares(plain: NDArray[Any], fused: NDArray[Any], shares: Sequence[float]) -> None:
    """Leave ``shares`` of what a method added to plain upsampling, in place: both (B, n, W)."""
    for own, line, share in zip(plain, fused, shares, strict=True):
        if share < 1.0:
            line -= own
            line *= line.dtype.type(share)
            line += own


def get(name: str) -> Method:
    """Return the method called ``name`` ("auto": the default); MethodError names the nearest otherwise."""
    key = AUTO if name == "auto" else name
    known = {**METHODS, **NETWORKS}
    if key not in known:
        near = get_close_matches(name, [*known, "auto"], 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else "see `geofuse methods`"
        raise MethodError(
            f"there is no method {name!r}", wanted="auto or one of " + ", ".join(known), do=hint
        )
    module, attribute = known[key].split(":")
    method: Method = getattr(importlib.import_module(module), attribute)
    return method
