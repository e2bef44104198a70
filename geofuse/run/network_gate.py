"""The gate at fuse time: a network against ridge + back-projection on the scene's own hold-out, band by band.

What the hold-out does not confirm is not in the product: there a band is ridge's, or the whole product is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.methods.hold_out import Part, Trial
from geofuse.metrics.q2n import MeanSums, merge
from geofuse.metrics.unsupported_detail import allowed, reduced_sums, shares
from geofuse.nets.shares import block_sums, judge

BASE = "ridge"
"""What a network has to beat."""
BLOCK_CPX = 32
"""Side of the blocks that take turns in being left out."""
GATED = ("pan-gan-ms",)
"""Networks that give way to ridge; the others are published methods, whose product is theirs: it is only said."""


@dataclass(slots=True)
class Gate:
    """Watches the hold-out and decides."""

    method: str
    """The network's method."""
    gains: tuple[float, ...]
    """MTF gain of each band."""
    sums: list[NDArray[np.float64]] = field(default_factory=list)
    """`block_sums` of each part."""
    levels: list[NDArray[np.float64]] = field(default_factory=list)
    """Pixels and sum of truth (1 + B,) of each part."""
    real: list[MeanSums] = field(default_factory=list)
    """Unsupported detail of the truth, each part."""
    made: list[MeanSums] = field(default_factory=list)
    """The same of the network's product."""

    def __call__(self, part: Part, ok: NDArray[np.bool_], products: Mapping[str, NDArray[Any]]) -> None:
        """Take a held-out part in."""
        if self.method not in products or BASE not in products:
            return
        truth = part.window.truth[:, *part.where]
        real, made = reduced_sums(
            (truth, products[self.method]),
            part.window.pan[:, *part.where],
            part.plain,
            gains=self.gains,
            ratio=1.0 / part.window.axes[0].scale,
            valid=ok,
        )
        self.real.append(real)
        self.made.append(made)
        self.sums.append(block_sums(truth, products[BASE], products[self.method], ok, BLOCK_CPX))
        total = truth[:, ok].sum(axis=1, dtype=np.float64)
        self.levels.append(np.array([float(ok.sum()), *total]))

    def decide(self, report: dict[str, Any]) -> tuple[str, tuple[float, ...]]:
        """Return the method to fuse with and the network's shares; puts what was found into the report."""
        if not self.sums:
            report["gate"] = None
            report["warnings"].append(f"too little to hold out: {self.method} gives way to {BASE}")
            return (BASE, ()) if self.method in GATED else (self.method, ())
        level = np.sum(self.levels, axis=0)
        verdict = judge(np.concatenate(self.sums), (level[1:] / max(level[0], 1.0)).tolist())
        found, bound = shares(reduce(merge, self.made)), allowed(shares(reduce(merge, self.real)))
        report["gate"] = {**asdict(verdict), "unsupported": found, "unsupported_bound": bound}
        invents = [own > most for own, most in zip(found, bound, strict=True)]
        if verdict.used and any(invents):
            report["warnings"].append(
                f"held out, {self.method} makes more detail than PAN and MS support in band "
                + ", ".join(str(at + 1) for at, over in enumerate(invents) if over)
            )
        if verdict.used:
            kept = [0.0 if over else share for share, over in zip(verdict.shares, invents, strict=True)]
            if self.method not in GATED:
                return self.method, ()
            if any(kept):
                return self.method, tuple(kept)
        if self.method in GATED:
            report["warnings"].append(
                f"held out, {self.method} does not gain on {BASE} + back-projection: the product is {BASE}'s"
            )
            return BASE, ()
        report["warnings"].append(f"held out, {BASE} + back-projection is better than {self.method}")
        return self.method, ()

    def kept(
        self, trials: Mapping[str, Trial | None], network_shares: tuple[float, ...]
    ) -> tuple[float, ...]:
        """Return the share of detail each band keeps: ridge's where the network has no part in it."""
        net, plain = trials.get(self.method), trials.get(BASE)
        if net is None or plain is None or self.method not in GATED:
            return ()
        if not network_shares:
            return plain.shares
        pairs = zip(network_shares, net.shares, plain.shares, strict=True)
        return tuple(own if share > 0.0 else base for share, own, base in pairs)
