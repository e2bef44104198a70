"""Where a training stands, on disk: tensors as safetensors, JSON that names them, the curve as CSV."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from geofuse.errors import WeightsError
from geofuse.files import write_bytes
from geofuse.nets.training.averaged import under

CHECKPOINT = "checkpoint"
CURVE = "curve.csv"


@dataclass(slots=True)
class TrainingState:
    """Where a run stands: JSON values beside a checkpoint's tensors."""

    step: int = 0
    """Steps made."""
    best: float = math.inf
    """The best look so far."""
    best_step: int = 0
    """When it was."""
    worse: int = 0
    """Looks since then."""
    curve: list[dict[str, float]] = field(default_factory=list)
    """A row for each look: step, rate, losses (means since the last), held_out."""
    sums: dict[str, float] = field(default_factory=dict)
    """Losses since the last look, summed."""
    count: int = 0
    """Steps since then."""


def write_checkpoint(
    folder: Path,
    progress: TrainingState,
    tensors: Mapping[str, Tensor],
    kept: Mapping[str, Tensor] | None,
    key: str,
) -> None:
    """Write tensors under the step's name, then the JSON that names them, then drop the older ones."""
    from safetensors.torch import save

    name = f"{CHECKPOINT}-{progress.step:07d}.safetensors"
    best = {f"kept.{label}": value for label, value in (kept or {}).items()}
    write_bytes(folder / name, save({**{f"now.{label}": value for label, value in tensors.items()}, **best}))
    about = {
        "key": key,
        "file": name,
        "step": progress.step,
        "best": progress.best if math.isfinite(progress.best) else None,
        "best_step": progress.best_step,
        "worse": progress.worse,
        "curve": progress.curve,
        "sums": progress.sums,
        "count": progress.count,
    }
    write_curve(folder / CURVE, progress.curve)
    write_bytes(folder / f"{CHECKPOINT}.json", json.dumps(about, indent=1).encode())
    for old in folder.glob(f"{CHECKPOINT}-*.safetensors"):
        if old.name != name:
            old.unlink(missing_ok=True)


def read_checkpoint(
    folder: Path, key: str
) -> tuple[TrainingState, dict[str, Tensor], dict[str, Tensor] | None] | None:
    """Return progress, state and the best state; None where there is none; WeightsError where it is another's."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / f"{CHECKPOINT}.json"
    if not path.exists():
        return None
    try:
        about = json.loads(path.read_text())
        if about["key"] != key:
            raise WeightsError(
                "a checkpoint of another training: other settings or other data",
                wanted="an empty folder",
                do="remove it, or say --overwrite",
                path=str(folder),
            )
        tensors = load_file(folder / about["file"])
    except (SafetensorError, ValueError, KeyError, OSError) as error:
        raise WeightsError(
            f"its checkpoint cannot be read ({error})", do="remove it, or say --overwrite", path=str(folder)
        ) from error
    best = math.inf if about["best"] is None else about["best"]
    names = ("step", "best_step", "worse", "curve", "sums", "count")
    progress = TrainingState(**{name: about[name] for name in names}, best=best)
    kept = under(tensors, "kept.")
    return progress, under(tensors, "now."), kept or None


def write_curve(path: Path, curve: list[dict[str, float]]) -> None:
    """Write the curve as CSV, a column for each value."""
    names = list(dict.fromkeys(name for row in curve for name in row))
    lines = [",".join(names)]
    lines += [",".join(f"{row[name]:.6g}" if name in row else "" for name in names) for row in curve]
    write_bytes(path, ("\n".join(lines) + "\n").encode())
