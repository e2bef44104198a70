"""What all generators have in common: a spec of JSON values, a halo, valid convolutions.

No normalisation layers and no pooling: a pixel depends on a finite neighbourhood of it, so tiles agree. All
convolutions of a generator are valid: a halo goes in, nothing is made up at a border.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import Field
from typing import Any, ClassVar, NamedTuple, Protocol

from torch import Tensor, nn


class Spec(Protocol):
    """What a generator is made of: a frozen dataclass of JSON values."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def bands(self) -> int:
        """Bands it was made for; 0: any number, each by itself with the same weights."""
        ...

    @property
    def halo(self) -> int:
        """Pixels of its grid that go in around what comes out."""
        ...


class BlockSpec(Spec, Protocol):
    """The same of a generator on the coarse grid, which makes R x R fine pixels of each place."""

    @property
    def ratio(self) -> int:
        """Fine pixels per coarse pixel along each axis."""
        ...

    @property
    def common(self) -> tuple[str, ...]:
        """Inputs that all bands share, of `COMMON`."""
        ...

    @property
    def own(self) -> tuple[str, ...]:
        """Inputs of each band, of `OWN`."""
        ...


COMMON = ("pan", "detail", "phase")
"""Inputs that all bands share: scaled PAN and its detail (R^2 planes each), where the blocks lie (2)."""
OWN = ("ms", "back", "ridge")
"""Inputs of each band: scaled MS, what back-projection would add (1 each), ridge's detail (R^2)."""


def channels(names: Sequence[str], ratio: int) -> int:
    """Return how many planes inputs take together.

    >>> channels(("pan", "phase"), 4)
    18
    """
    sizes = {"pan": ratio**2, "detail": ratio**2, "phase": 2, "ms": 1, "back": 1, "ridge": ratio**2}
    return sum(sizes[name] for name in names)


class Generator(nn.Module):
    """A network that fuses. On the fine grid: (N, B + 1, H + 2k, W + 2k), scaled U(M) and P, to (N, B, H, W), scaled.

    On the coarse grid: common (N, Cc, h + 2k, w + 2k) and own (N, B, Cb, h + 2k, w + 2k) to (N, B, R h, R w), a
    residual in units of each band's scale. k is the spec's halo.
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec

    @property
    def halo(self) -> int:
        """Pixels of its grid that go in around what comes out."""
        return self.spec.halo


class Example(NamedTuple):
    """What an exporter traces a generator with."""

    inputs: tuple[Tensor, ...]
    """One batch of each input."""
    names: tuple[str, ...]
    """Their names."""
    free: dict[str, dict[int, str]]
    """Axes of any size, by input and for "fused", with their names."""


def plain(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a spec's values as its dataclass takes them, from JSON: lists become tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
