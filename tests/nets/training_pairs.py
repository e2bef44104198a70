"""Small pairs whose missing detail can be learnt: it follows from PAN's detail under each coarse pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geofuse.nets.arch.ms_residual import MsSpec
from geofuse.nets.training.data import PairFacts, TrainingPair, make_pair

SPEC = MsSpec(ratio=2, width=8, blocks=1, trunk=1)


def pair(
    seed: int, *, bands: int = 3, size: int = 40, usable: NDArray[np.bool_] | None = None
) -> TrainingPair:
    """Return a pair of `size` x `size` coarse pixels at ratio 2."""
    rng = np.random.default_rng(seed)
    ratio = SPEC.ratio
    pan = rng.normal(0.0, 1.0, (1, size * ratio, size * ratio))
    planes = pan.reshape(size, ratio, size, ratio).transpose(1, 3, 0, 2).reshape(ratio**2, size, size)
    common = np.concatenate([planes, planes, np.zeros((2, size, size))])
    own = rng.normal(0.0, 1.0, (bands, 2 + ratio**2, size, size))
    own[:, 2:] = 0.5 * planes
    base = 100.0 + rng.normal(0.0, 3.0, (bands, size * ratio, size * ratio))
    about = PairFacts(
        f"made {seed}",
        "simulated",
        ratio,
        tuple("abcdefgh"[:bands]),
        (0.3,) * bands,
        ((0.0, 0.0),) * bands,
        (-0.25, -0.25),
    )
    return make_pair(
        about,
        inputs=(common, own),
        truth=base + 2.0 * np.tanh(2.0 * pan),
        base=base,
        pan=pan,
        usable=np.ones((size, size), bool) if usable is None else usable,
        levels=(np.full(bands, 2.0), np.full(bands, 100.0)),
    )
