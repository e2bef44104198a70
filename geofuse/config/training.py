"""What a network is trained for, from what, and how: one YAML for `geofuse train`."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from geofuse.config.fields import STRICT
from geofuse.config.option import Place
from geofuse.config.reading import _adapter, _checked, read_yaml
from geofuse.config.sections import SceneOptions
from geofuse.errors import ConfigError

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=0)]
Some = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0.0)]


@dataclass(frozen=True, slots=True, config=STRICT)
class NetworkConfig:
    """The network."""

    ratio: Annotated[int, Field(ge=2, le=8)]
    """Fine pixels per coarse pixel."""
    bands: tuple[str, ...] | None = None
    """Bands it is made for, in their order; any number of any bands where not given (pan-gan-ms only)."""
    width: Annotated[int, Field(ge=4, le=256)] = 32
    """Channels (pan-gan-ms)."""
    blocks: Annotated[int, Field(ge=1, le=16)] = 2
    """Residual blocks for each band (pan-gan-ms)."""
    trunk: Annotated[int, Field(ge=0, le=16)] = 2
    """Residual blocks that all bands share (pan-gan-ms)."""
    act: Literal["gelu", "relu", "silu"] = "gelu"
    """Activation (pan-gan-ms)."""
    first: Annotated[int, Field(ge=4, le=256)] = 64
    """Channels of the first layer (pan-gan)."""
    second: Annotated[int, Field(ge=4, le=256)] = 32
    """Channels of the second layer (pan-gan)."""
    residual: bool = False
    """Add to the upsampled MS instead of making all of the product (pan-gan)."""
    settings: dict[str, bool | int | float | str] = field(default_factory=dict)
    """What networks of installed packages are told besides: their documentation says."""


@dataclass(frozen=True, slots=True, config=STRICT)
class RealConfig:
    """A scene to learn from."""

    scene: SceneOptions
    """Files, bands, area."""
    credit: str
    """Whose data it is, as it must be said."""
    license: str
    """Under which terms."""
    reduced: bool = True
    """Learn from the scene one scale down (Wald's protocol); pan-gan learns from the scene itself."""
    cameras: Count = 0
    """Simulated cameras, each of its own blur, shift and spectrum, that look at the scene's MS as if it were fine."""
    hold_out: Share = 0.3
    """Share of the rows, the last ones, that is never learnt from."""
    share: Weight = 1.0
    """How often it is drawn, against the others."""


@dataclass(frozen=True, slots=True, config=STRICT)
class SimulatedConfig:
    """Drawn landscapes before simulated cameras."""

    scenes: Count = 0
    """Scenes to learn from."""
    held: Count = 3
    """Scenes that are never learnt from."""
    size_cpx: Annotated[int, Field(ge=48, le=1024)] = 128
    """Side of each MS."""
    seed: Count = 0
    """Of the first; a scene has its number added."""
    share: Weight = 1.0
    """How often one of them is drawn, against the others."""


@dataclass(frozen=True, slots=True, config=STRICT)
class DataConfig:
    """What is learnt from."""

    scenes: tuple[RealConfig, ...] = ()
    """Real scenes."""
    simulated: SimulatedConfig = field(default_factory=SimulatedConfig)
    """Simulated ones."""


@dataclass(frozen=True, slots=True, config=STRICT)
class LossConfig:
    """What is minimised."""

    error: Literal["l1", "l2", "huber", "ergas"] = "huber"
    """pan-gan-ms: the error, in units of what ridge + back-projection misses."""
    q2n: Weight = 0.0
    """pan-gan-ms: weight of 1 - Q2n."""
    correlation: Weight = 0.0
    """pan-gan-ms: weight of the local correlation with PAN."""
    spectral_adversary: Weight = 0.0
    """pan-gan-ms: weight of the spectral discriminator."""
    spatial_adversary: Weight = 0.0
    """pan-gan-ms: weight of the spatial discriminator."""
    form: Literal["paper", "released", "matched"] = "paper"
    """pan-gan: the paper's terms and weights, the released code's, or the paper's with PAN matched to the bands."""


@dataclass(frozen=True, slots=True, config=STRICT)
class StepsConfig:
    """How long, how fast, how often."""

    steps: Some = 6000
    """Steps."""
    rate: Annotated[float, Field(gt=0.0, le=1.0)] = 1e-3
    """Highest learning rate."""
    warm: Count = 50
    """Steps until it is reached."""
    batch: Some = 6
    """Crops a step, over all processes."""
    crop_cpx: Annotated[int, Field(ge=8, le=256)] = 24
    """Side of a crop in MS pixels."""
    bands: Some = 4
    """Bands a step at most."""
    average: Share = 0.998
    """Decay of the moving average of the weights."""
    judge_every: Count = 500
    """Steps between looks at what is held out: a row of the curve, a picture."""
    patience: Count = 0
    """Looks without a better one after which it stops; 0: never."""
    save_every: Count = 250
    """Steps between checkpoints."""
    seed: Count = 0
    """Of the weights and of what is drawn."""


@dataclass(frozen=True, slots=True, config=STRICT)
class TrainConfig:
    """A training: `geofuse train CONFIG.yaml` makes NAME.safetensors and its card of it."""

    name: Annotated[str, Field(pattern=r"^[\w.+-]+$")]
    """Name of the weights."""
    method: str
    """Network they are for: see `geofuse plugins`."""
    network: NetworkConfig
    """The network."""
    data: DataConfig
    """What it learns from."""
    losses: LossConfig = field(default_factory=LossConfig)
    """What is minimised."""
    schedule: StepsConfig = field(default_factory=StepsConfig)
    """How long."""
    folder: Place = "trained"
    """Folder of checkpoints, curve, pictures and weights."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: mixed precision."""
    tensorboard: bool = False
    """Write TensorBoard's events beside the CSV, where tensorboard is installed."""


def load_training(path: str | Path) -> TrainConfig:
    """Read a training's configuration; raises ConfigError naming the file, the key and what was wanted."""
    place = Path(path).absolute()
    config: TrainConfig = _checked(TrainConfig, read_yaml(place), place.parent, str(path))
    return checked_training(config, str(path))


def checked_training(config: TrainConfig, where: str = "") -> TrainConfig:
    """Refuse what does not go together."""
    if not config.data.scenes and not config.data.simulated.scenes:
        raise ConfigError(
            "data: nothing to learn from", wanted="scenes or simulated.scenes", path=where or None
        )
    return config


def training_to_json(config: TrainConfig) -> dict[str, Any]:
    """Turn a configuration into JSON values."""
    found: dict[str, Any] = _adapter(TrainConfig).dump_python(config, mode="json")
    return found
