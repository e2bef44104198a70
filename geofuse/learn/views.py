"""Windows with a truth: a scene one scale down, simulated cameras before a scene, drawn landscapes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import Window
from geofuse.landscape.camera import BANDS, Camera, camera_axes, make_truth, observe
from geofuse.methods.hold_out import Reduced, reduce_window, reduced_observation
from geofuse.methods.observation import Observation
from geofuse.run.patch_reading import job_of
from geofuse.run.plans.plan import Plan
from geofuse.run.sampling import read_sample

if TYPE_CHECKING:
    pass

WINDOW_CPX = 640
"""Side of a window of a real scene, in MS pixels."""
MOST_WINDOWS = 8
"""Windows of a real scene at most."""
GAIN_JITTER, SHIFT_JITTER_PX = 0.05, 0.03
"""How far off a simulated scene's model is, as a calibration would be: relative, and in pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A window with a truth, before a network's inputs are made of it."""

    name: str
    """Which scene, which window."""
    origin: str
    """"simulated", "reduced" or "camera"."""
    names: tuple[str, ...]
    """Bands."""
    reduced: Reduced
    """PAN, MS, truth."""
    observation: Observation
    """How the MS came from the truth."""


def scene_windows(plan: Plan) -> list[Window]:
    """Return the windows of a real scene that are learnt from, in output pixels: all of it, or some spread over it."""
    side = [max(1, round(WINDOW_CPX / axis.scale)) for axis in (plan.pair.axis_y, plan.pair.axis_x)]
    rows, cols = (
        max(1, round(size / one)) for size, one in zip((plan.grid.height, plan.grid.width), side, strict=True)
    )
    edges = [
        np.linspace(0, size, count + 1).astype(int).tolist()
        for size, count in ((plan.grid.height, rows), (plan.grid.width, cols))
    ]
    cells = [
        (edges[0][r], edges[0][r + 1], edges[1][c], edges[1][c + 1]) for r in range(rows) for c in range(cols)
    ]
    if len(cells) <= MOST_WINDOWS:
        return cells
    return [cells[at] for at in np.linspace(0, len(cells) - 1, MOST_WINDOWS).round().astype(int)]


def reduced_views(plan: Plan, name: str) -> list[View]:
    """Read a scene's windows and degrade each once more by the plan's model: the MS is the truth."""
    job = job_of(plan)
    reach = (plan.reach[0] + plan.margin_px + 32, plan.reach[1] + 16)
    out = []
    for number, core in enumerate(scene_windows(plan)):
        patch, usable = read_sample(plan, core, reach)
        reduced = reduce_window(patch, usable, job.observation)
        if reduced is None:
            continue
        model = reduced_observation(job.observation, reduced.axes)
        out.append(View(f"{name}/{number}", "reduced", job.options.names, reduced, model))
    return out


def camera_views(views: Sequence[View], ratio: int, cameras: int, *, seed: int) -> Iterator[View]:
    """Put simulated cameras before a scene's MS: its pixels are the truth, PAN is a mix of them."""
    for number in range(cameras):
        view = views[number % len(views)]
        rng = np.random.default_rng((seed, number))
        keep = sorted(
            rng.choice(len(view.names), rng.integers(min(3, len(view.names)), len(view.names) + 1), False)
        )
        truth = view.reduced.truth[keep].astype(np.float32)
        sigma = float(truth.std(axis=(1, 2)).mean() / 60.0 * rng.uniform(0.0, 1.0))
        yield _seen(
            truth,
            view.reduced.judged,
            ratio,
            name=f"{view.name}/camera {number}",
            origin="camera",
            names=tuple(view.names[at] for at in keep),
            sigma=sigma,
            rng=rng,
        )


def simulated_view(number: int, ratio: int, size_cpx: int, *, seed: int, own_spectra: bool) -> View:
    """Draw a landscape at a scale, in a direction and with bands of its own, and see it through a camera of its own.

    ``own_spectra``: half of the scenes get bands that are mixtures, so that materials are not learnt by heart.
    """
    rng = np.random.default_rng((seed, number))
    size, zoom = size_cpx * ratio, int(rng.choice([1, 1, 2, 3]))
    truth = make_truth(size * zoom, rng=rng, bands=len(BANDS))
    truth = truth.reshape(len(BANDS), size, zoom, size, zoom).mean(axis=(2, 4))
    keep = (
        list(range(4)) if rng.random() < 2 / 3 else rng.permutation(len(BANDS))[: rng.integers(4, 9)].tolist()
    )
    truth = np.rot90(truth[keep], int(rng.integers(4)), (1, 2))
    truth = truth[:, ::-1] if rng.random() < 0.5 else truth
    if own_spectra and rng.random() < 0.5:
        mixed = np.eye(len(keep)) + rng.uniform(-0.25, 0.25, (len(keep),) * 2) * (1.0 - np.eye(len(keep)))
        mean = truth.mean(axis=(1, 2), keepdims=True)
        lively = np.tensordot(mixed, truth - mean, 1) * rng.uniform(0.5, 2.0, (len(keep), 1, 1))
        truth = np.maximum(lively + mean * rng.uniform(0.8, 1.6, (len(keep), 1, 1)), 1.0)
    return _seen(
        np.ascontiguousarray(truth, dtype=np.float32),
        None,
        ratio,
        name=f"drawn {seed}.{number}",
        origin="simulated",
        names=tuple(BANDS[at] for at in keep),
        sigma=float(rng.choice([0.0, 1.5, 3.0, 6.0])),
        rng=rng,
    )


def _seen(
    truth: NDArray[np.float32],
    judged: NDArray[np.bool_] | None,
    ratio: int,
    *,
    name: str,
    origin: str,
    names: tuple[str, ...],
    sigma: float,
    rng: np.random.Generator,
) -> View:
    """See a truth through a camera of its own; the model that is told is off by what a calibration is off by."""
    bands = len(truth)
    weights = rng.uniform(0.02, 1.0, bands)
    if "nir" in names:
        weights[names.index("nir")] *= rng.choice([0.1, 1.0])
    extra = float(rng.choice([0.0, 0.0, 0.1, 0.2])) if bands > 1 else 0.0
    gains = np.clip(rng.uniform(0.22, 0.42) + rng.normal(0.0, 0.02, bands), 0.15, 0.5)
    shift = rng.uniform(-1.5, 1.5, 2)
    camera = Camera(
        tuple(gains.tolist()),
        tuple((weights / weights.sum() * (1.0 - extra)).tolist()),
        extra,
        float(ratio),
        (float(shift[0]), float(shift[1])),
        (),
        sigma,
    )
    pan, ms = observe(truth, camera, rng=rng)
    rows, cols = ms.shape[1] * ratio, ms.shape[2] * ratio
    ok = np.ones((rows, cols), np.bool_) if judged is None else judged[:rows, :cols].copy()
    told = shift + rng.normal(0.0, SHIFT_JITTER_PX, 2)
    model = Observation(
        tuple(np.clip(gains * (1.0 + rng.normal(0.0, GAIN_JITTER, bands)), 0.12, 0.6).tolist()),
        (float(told[0]), float(told[1])),
        (),
        "simulated",
    )
    reduced = Reduced(
        pan[:, :rows, :cols],
        np.ones((rows, cols), np.bool_),
        truth[:, :rows, :cols],
        ok,
        ms,
        np.ones(ms.shape[1:], np.bool_),
        camera_axes(camera),
    )
    return View(name, origin, names, reduced, model)
