"""Which networks there are: geofuse's own, then those of installed packages. Reading it loads no torch.

A network is a family's file in `geofuse.nets.arch` and a row here. What the rest of the house must know of a network
is said in its row: nothing else knows one by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from geofuse.errors import MethodError, PluginError
from geofuse.tables import Origin, Row, Table, imported

if TYPE_CHECKING:
    from collections.abc import Callable

    from geofuse.nets.arch.base import Example, Generator, Spec


@dataclass(frozen=True, slots=True)
class Network:
    """A kind of network: what it works on, learns from and is trusted with. "module:function" where it says so."""

    name: str
    """As on the command line, in configurations and in weights' cards; the row's name."""
    title: str
    """One phrase."""
    paper: str
    """Where it comes from."""
    grid: Literal["coarse", "fine"]
    """"coarse": R x R fine pixels of each coarse one, as a residual on ridge; "fine": the product of U(M) and PAN."""
    build: str
    """Its function from a spec, as JSON values, to a `Generator`."""
    ratios: tuple[float, float] = (1.0, 8.0)
    """Smallest and largest resolution ratio; whole numbers only on the coarse grid."""
    learns_from: Literal["pairs", "windows"] = "pairs"
    """"pairs": windows whose fusion is known (`TrainingPair`); "windows": a scene as it is (`Full`)."""
    design: str = ""
    """Its function from a configuration's network section to a spec; empty: `geofuse train` cannot train it."""
    trainer: str = ""
    """Its function from (generator, learnt, held, `nets.training.schedule.Lesson`) to a `Trainer`; empty: the same."""
    example: str = ""
    """Its function from a generator to an `Example`; empty: `geofuse export` cannot write it."""
    any_bands: bool = False
    """One can be made for any number of any bands."""
    yields: bool = False
    """Where the scene's hold-out does not confirm a gain on ridge, the product is ridge's; else that is only said."""
    adapts: bool = False
    """Its weights can be adapted to a scene by the scene itself."""


PAN_GAN = Network(
    "pan-gan",
    "Pan-GAN's generator on the fine grid, trained without a reference",
    "Ma, Yu, Chen, Liang, Guo and Jiang 2020, Information Fusion 62",
    grid="fine",
    build="geofuse.nets.arch.pan_gan:build",
    learns_from="windows",
    design="geofuse.nets.arch.pan_gan:design",
    trainer="geofuse.nets.training.pan_gan:trainer_of",
    example="geofuse.nets.arch.pan_gan:example",
)
PAN_GAN_MS = Network(
    "pan-gan-ms",
    "a residual on ridge from the MS grid, kept where the scene's hold-out gains by it",
    "after Ma et al. 2020, Information Fusion 62; Shi et al. 2016, CVPR (sub-pixel convolution)",
    grid="coarse",
    build="geofuse.nets.arch.ms_residual:build",
    ratios=(2.0, 8.0),
    design="geofuse.nets.arch.ms_residual:design",
    trainer="geofuse.nets.training.residual:trainer_of",
    example="geofuse.nets.arch.ms_residual:example",
    any_bands=True,
    yields=True,
    adapts=True,
)


def _named(row: Row, made: Network) -> None:
    if made.name != row.name:
        raise PluginError(
            f"network {row.name!r} of {row.source} calls itself {made.name!r}", wanted="one name"
        )


TORCH = "geofuse[neural]"
NETWORKS: Table[Network] = Table(
    "geofuse.networks",
    (
        Row(PAN_GAN.name, "geofuse.nets.table:PAN_GAN", PAN_GAN.title, TORCH),
        Row(PAN_GAN_MS.name, "geofuse.nets.table:PAN_GAN_MS", PAN_GAN_MS.title, TORCH),
    ),
    noun="network",
    fault=MethodError,
    wants=tuple(Network.__dataclass_fields__),
    test=_named,
)
"""All kinds of networks there are."""


def network_of(name: str, *, origin: Origin | None = None) -> Network:
    """Return a network's row; the table's faults otherwise. ``origin`` is the package it was in, if known."""
    return NETWORKS.load(name, origin=origin)


def _part(name: str, target: str, what: str) -> Callable[..., Any]:
    row = NETWORKS.row(name)
    if not target:
        raise MethodError(f"the network {name} of {row.source} has no {what}", wanted=f"one with a {what}")
    found: Callable[..., Any] = imported(row, target, noun="network")  # type: ignore[assignment]
    return found


def build(name: str, spec: Mapping[str, Any], *, origin: Origin | None = None) -> Generator:
    """Make a network from its spec as JSON values; TypeError and the like where they are not its."""
    made: Generator = _part(name, network_of(name, origin=origin).build, "build")(spec)
    return made


def designed(name: str, settings: Mapping[str, Any]) -> Spec:
    """Return the spec that a training configuration's network section asks for."""
    made: Spec = _part(name, network_of(name).design, "training of its own")(settings)
    return made


def trainer_of(name: str) -> Callable[..., Any]:
    """Return what makes a trainer of (generator, learnt, held, `nets.training.schedule.Lesson`)."""
    return _part(name, network_of(name).trainer, "trainer")


def example_of(name: str, net: Generator) -> Example:
    """Return what an exporter traces a network with."""
    made: Example = _part(name, network_of(name).example, "export")(net)
    return made


def spec_values(spec: Spec) -> Mapping[str, Any]:
    """Return a spec as JSON values, as a weights' card holds it."""
    return asdict(spec)
