"""What a method is: the Patch it sees, the Params it fits, the protocol it keeps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from geofuse.errors import MethodError
from geofuse.geometry import AxisMap, Window
from geofuse.methods.observation import Observation
from geofuse.nets.choice import NetworkChoice


@dataclass(frozen=True, slots=True)
class Target:
    """Bands on a coarse grid that take the guides' detail.

    Values are in DN less the band's pedestal (the DN of zero reflectance, where known); invalid ones are 0.
    """

    values: NDArray[Any]
    """(B, h, w), float32 or float64."""
    valid: NDArray[np.bool_]
    """(h, w): valid in all bands."""
    origin: tuple[int, int]
    """Coarse coordinates of values[:, 0, 0]."""
    axis_y: AxisMap
    """Rows: coarse coordinate of an output row."""
    axis_x: AxisMap
    """Columns: coarse coordinate of an output column."""


@dataclass(frozen=True, slots=True)
class Patch:
    """What a method sees of a scene: a core to answer for, and enough around it on every grid."""

    guides: NDArray[Any]
    """(P, H, W), float32 or float64, as `Target.values`: P = 1 and PAN in pansharpening."""
    guides_valid: NDArray[np.bool_]
    """(H, W): valid in all guide bands."""
    guides_origin: tuple[int, int]
    """Output coordinates of guides[:, 0, 0]."""
    targets: tuple[Target, ...]
    """What is sharpened, one for each pair of the plan."""
    core: Window
    """row0, row1, col0, col1 of the core in output coordinates."""
    valid: NDArray[np.bool_]
    """Validity of the output over the core."""

    @property
    def guide(self) -> NDArray[Any]:
        """The guide (H, W) of a method that takes one band; MethodError where there are more."""
        if len(self.guides) != 1:
            raise MethodError(f"{len(self.guides)} guide bands", wanted="one, for a method that takes one")
        plane: NDArray[Any] = self.guides[0]
        return plane

    @property
    def target(self) -> Target:
        """The target of a method that takes one; MethodError where there are more."""
        if len(self.targets) != 1:
            raise MethodError(f"{len(self.targets)} targets", wanted="one, for a method that takes one")
        return self.targets[0]


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
    network: NetworkChoice | None = None
    """Which weights, and what they run on, where the method is a network."""
    others: tuple[Observation, ...] = ()
    """How the targets after the first came from the guides, where there are several."""


Coefficient = float | list[float] | list[list[float]]
"""What a closed form is fitted to: a number, one a band, or several a band."""


@dataclass(frozen=True, slots=True)
class Params:
    """What a fit found: JSON values, all that `apply` needs."""

    method: str
    """Name of the method."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """Coefficients: numbers and nested lists of numbers."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far beyond its core a method looks."""

    fine_px: int
    """Halo on the fine grid."""
    coarse_cpx: int
    """Halo on the coarse grid, counted from the coarse pixels under the core's edge."""


@dataclass(frozen=True, slots=True)
class Takes:
    """What a method can be given; the runner refuses the rest before a pixel is read."""

    guide_bands: tuple[int, int | None] = (1, 1)
    """Fewest and most bands of a guide; None: any number."""
    targets: tuple[int, int | None] = (1, 1)
    """Fewest and most groups of bands on a grid of their own, at once; None: any number."""
    ratios: tuple[float, float] = (1.0, 8.0)
    """Smallest and largest resolution ratio."""
    whole_ratios: bool = False
    """The ratio must be a whole number, the same along both axes."""


@dataclass(frozen=True, slots=True)
class About:
    """What there is to say of a method, and what the runner must know of it."""

    name: str
    """As on the command line."""
    family: str
    """Component substitution, multi-resolution analysis, ..."""
    paper: str
    """Where it comes from."""
    title: str
    """One phrase."""
    takes: Takes = Takes()
    """What it can be given."""
    hears: frozenset[str] = frozenset()
    """Names of the options that it uses, of those that not every method does: weights, network, device, adapt."""
    sampled: bool = False
    """Its first pass runs over the fixed sample of windows only, not over the whole scene."""
    network: bool = False
    """It needs weights, and torch to run."""
    rival: str = ""
    """Name of the method that it is held against on the scene's hold-out; empty: against upsampling alone."""
    yields: bool = False
    """Where the hold-out does not confirm a gain on its rival, the product is the rival's; else that is only said."""

    @property
    def ratios(self) -> str:
        """The ratios it works at, as a phrase."""
        low, high = self.takes.ratios
        return f"{low:g} to {high:g}" + (", whole numbers" if self.takes.whole_ratios else "")


@dataclass(frozen=True, slots=True)
class Pass:
    """What is collected over a scene in one go."""

    name: str
    """Under which `collect` is asked for it, and `fit` finds it."""
    needed: bool = True
    """Without a single pixel of it the method cannot be fitted; what is collected then has a ``count``."""
    grid: Literal["fine", "coarse"] = "coarse"
    """Whose pixels it counts."""


Strip = tuple[slice, NDArray[Any]]
"""Rows of a core, and their values (B, n, W)."""


@dataclass(frozen=True, slots=True)
class After:
    """What follows a method: how much of its detail stays, and how often the product is back-projected."""

    rounds: int = 0
    """Rounds of back-projection."""
    shares: tuple[float, ...] = ()
    """Share of the method's detail that each band keeps, 0 to 1; empty: all of it."""
    core: Window | None = None
    """What is left of the patch's core after back-projection; None: all of it."""

    @property
    def cuts(self) -> bool:
        """Whether a band keeps less than all."""
        return min(self.shares, default=1.0) < 1.0


@dataclass(frozen=True, slots=True)
class Fused:
    """What `apply` gives: rows from the top in the patch's units and float type, and what was counted meanwhile."""

    strips: Iterator[Strip]
    """Rows of the patch's core; of `After.core` where they are back-projected already."""
    shares_kept: bool = False
    """`After.shares` are in it; else the caller sees to them."""
    back_projected: bool = False
    """`After.rounds` are in it too; else the caller sees to them."""
    counts: dict[str, int] = field(default_factory=dict)
    """What should be told of the making, by name; whole once the strips are through."""


class Method(Protocol):
    """The protocol: collect over the scene, fit once, apply to any patch with the same result for any cut."""

    @property
    def about(self) -> About:
        """What there is to say of it."""
        ...

    def passes(self, options: Options) -> Sequence[Pass]:
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
        self, patch: Patch, params: Params, observation: Observation, *, options: Options, after: After
    ) -> Fused:
        """Fuse the patch's core; what ``after`` asks for may be done at once, where that spares something."""
        ...


NOTHING_AFTER = After()


def fused_core(
    method: Method, patch: Patch, params: Params, observation: Observation, *, options: Options
) -> NDArray[Any]:
    """Return what a method makes of a patch's core (B, H, W): all of its detail, no back-projection."""
    made = method.apply(patch, params, observation, options=options, after=NOTHING_AFTER)
    row0, row1, col0, col1 = patch.core
    bands = sum(len(target.values) for target in patch.targets)
    out = np.empty((bands, row1 - row0, col1 - col0), patch.guides.dtype)
    return joined(made.strips, out)


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
