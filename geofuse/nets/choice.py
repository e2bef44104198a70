"""Which weights a plan fuses with, and what they run on; known without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PrecisionChoice:
    """How a network's precision was chosen."""

    precision: str
    """"float32" or "bfloat16"."""
    share_within: float | None = None
    """Share of the sample's values whose error in bfloat16 the scene's noise hides; None: not measured."""
    noise_sigma: tuple[float, ...] | None = None
    """Standard deviation of each band's noise, in DN."""
    reason: str = ""
    """Why it is float32; empty where it is not."""


@dataclass(frozen=True, slots=True)
class NetworkChoice:
    """Weights, and with what they are run."""

    name: str
    """As the weights' card calls them."""
    path: str
    """Where they lie on this machine; no part of a product's identity."""
    sha256: str
    """Digest of the file, hexadecimal."""
    ratio: int
    """Fine pixels per coarse pixel they were made for; 0: any."""
    halo: int
    """How far the network looks to each side, on its own grid."""
    device: str
    """"cpu" or "cuda:N"."""
    precision: str
    """"float32" or "bfloat16"."""
    runs_on: str
    """What decides the bits: the processor's kind and torch's release."""
    inner_px: int
    """Side of the inner tile, in output pixels."""
    shares: tuple[float, ...] | None = None
    """Share of the residual that each band gets; None: all of it."""
    measured: PrecisionChoice | None = None
    """How the precision was chosen; None before that."""
