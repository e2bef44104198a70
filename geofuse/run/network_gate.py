"""The gate at fuse time: a method against its rival + back-projection on the scene's own hold-out, band by band.

What the hold-out does not confirm is not in the product of a method that yields: there a band is the rival's, or the
whole product is. Of the others, published methods whose product is theirs, it is only said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.methods.base import About
from geofuse.methods.hold_out import HeldPart, Trial
from geofuse.metrics.q2n import MeanSums, merge
from geofuse.metrics.unsupported_detail import allowed, reduced_sums, shares
from geofuse.nets.shares import block_sums, judge
from geofuse.run.records.documents import CalibrationReport

BLOCK_CPX = 32
"""Side of the blocks that take turns in being left out."""


@dataclass(slots=True)
class Gate:
    """Watches the hold-out and decides."""

    about: About
    """The method that is held against its rival."""
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

    def __call__(self, part: HeldPart, ok: NDArray[np.bool_], products: Mapping[str, NDArray[Any]]) -> None:
        """Take a held-out part in."""
        if self.about.name not in products or self.about.rival not in products:
            return
        truth = part.window.truth[:, *part.where]
        real, made = reduced_sums(
            (truth, products[self.about.name]),
            part.window.pan[:, *part.where],
            part.plain,
            gains=self.gains,
            ratio=1.0 / part.window.axes[0].scale,
            valid=ok,
        )
        self.real.append(real)
        self.made.append(made)
        self.sums.append(
            block_sums(truth, products[self.about.rival], products[self.about.name], ok, BLOCK_CPX)
        )
        total = truth[:, ok].sum(axis=1, dtype=np.float64)
        self.levels.append(np.array([float(ok.sum()), *total]))

    def decide(self, report: CalibrationReport) -> tuple[str, tuple[float, ...]]:
        """Return the method to fuse with and the network's shares; puts what was found into the report."""
        method, rival = self.about.name, self.about.rival
        if not self.sums:
            report["gate"] = None
            report["warnings"].append(f"too little to hold out: {method} gives way to {rival}")
            return (rival, ()) if self.about.yields else (method, ())
        level = np.sum(self.levels, axis=0)
        verdict = judge(np.concatenate(self.sums), (level[1:] / max(level[0], 1.0)).tolist())
        found, bound = shares(reduce(merge, self.made)), allowed(shares(reduce(merge, self.real)))
        report["gate"] = {**asdict(verdict), "unsupported": list(found), "unsupported_bound": list(bound)}
        invents = [own > most for own, most in zip(found, bound, strict=True)]
        if verdict.used and any(invents):
            report["warnings"].append(
                f"held out, {method} makes more detail than PAN and MS support in band "
                + ", ".join(str(at + 1) for at, over in enumerate(invents) if over)
            )
        if verdict.used:
            kept = [0.0 if over else share for share, over in zip(verdict.shares, invents, strict=True)]
            if not self.about.yields:
                return method, ()
            if any(kept):
                return method, tuple(kept)
        if self.about.yields:
            report["warnings"].append(
                f"held out, {method} does not gain on {rival} + back-projection: the product is {rival}'s"
            )
            return rival, ()
        report["warnings"].append(f"held out, {rival} + back-projection is better than {method}")
        return method, ()

    def kept(
        self, trials: Mapping[str, Trial | None], network_shares: tuple[float, ...]
    ) -> tuple[float, ...]:
        """Return the share of detail each band keeps: the rival's where the method has no part in it."""
        net, plain = trials.get(self.about.name), trials.get(self.about.rival)
        if net is None or plain is None or not self.about.yields:
            return ()
        if not network_shares:
            return plain.shares
        pairs = zip(network_shares, net.shares, plain.shares, strict=True)
        return tuple(own if share > 0.0 else base for share, own, base in pairs)
