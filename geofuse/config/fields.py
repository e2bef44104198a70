"""The sections of a configuration, and their fields: checked when they are made, frozen afterwards."""

from __future__ import annotations

import os
import re
from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationInfo
from pydantic.dataclasses import dataclass

from geofuse.files import parse_bytes

STRICT = ConfigDict(extra="forbid")
_TIMES = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _seconds(value: Any) -> Any:
    """Read a time such as 10m, 90s, 1.5h or 7d; a plain number is seconds."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", value)
    if match is None:
        raise ValueError("a time such as 90s, 10m, 6h or 7d was wanted")
    return float(match[1]) * _TIMES[match[2] or "s"]


def _bytes(value: Any) -> Any:
    """Read a size such as 4GiB or 512MB; a plain number is bytes."""
    if not isinstance(value, str):
        return value
    try:
        return parse_bytes(value)
    except ValueError as error:
        raise ValueError("a size such as 4GiB was wanted") from error


def _place(value: str, info: ValidationInfo) -> str:
    """Make a path absolute: relative ones are relative to the configuration's own folder."""
    base = (info.context or {}).get("base")
    if base is None or not value or "://" in value:
        return value
    return os.path.normpath(os.path.join(base, os.path.expanduser(value)))


def _profile_place(value: str, info: ValidationInfo) -> str:
    """Make a profile's path absolute; a plain name is one of those that come along."""
    return _place(value, info) if value.endswith((".yaml", ".yml")) else value


Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0)]
Size = Annotated[int, BeforeValidator(_bytes), Field(gt=0)]
Place = Annotated[str, AfterValidator(_place)]
Access = Literal["open", "view-only", "internal"]


@dataclass(frozen=True, slots=True, config=STRICT)
class SceneConfig:
    """Which scene, which bands, which area; the inbox and batches fill in the files themselves."""

    path: Place = ""
    """Scene folder or .tar."""
    pan: Place = ""
    """Fine image, instead of `path`."""
    ms: tuple[Place, ...] = ()
    """Coarse image: one file of many bands, or several of one."""
    bands: tuple[str, ...] | None = None
    """Bands of the output, in its order; the sensor's own where not given."""
    nodata: float | None = None
    """Value that marks invalid pixels in all inputs."""
    bbox: Annotated[tuple[float, ...], Field(min_length=4, max_length=4)] | None = None
    """West, south, east, north in degrees."""
    aoi: Place | None = None
    """Vector file whose bounding window is fused."""
    window: Annotated[tuple[int, ...], Field(min_length=4, max_length=4)] | None = None
    """Row, column, height, width in PAN pixels."""


@dataclass(frozen=True, slots=True, config=STRICT)
class FuseConfig:
    """How it is fused."""

    method: str = "auto"
    """Name of the method; auto: by hold-out on the scene."""
    weights: tuple[float, ...] | None = None
    """Intensity weights of brovey."""
    calibrate: bool = True
    """Measure shift, blur and the method's gain on the scene."""
    shift_px: Annotated[tuple[float, ...], Field(min_length=2, max_length=2)] | None = None
    """Given shift (dy, dx) instead of a measured one."""
    back_projections: Annotated[int, Field(ge=0)] | None = None
    """Rounds of consistency with the coarse image; by confidence where not given."""
    force: bool = False
    """Go on with images that do not match."""
    network: str | None = None
    """Weights of a method that is a network: a file, or a shipped name; those that fit best where not given."""
    adapt: bool = False
    """Let the weights of pan-gan-ms learn from the scene first."""


@dataclass(frozen=True, slots=True, config=STRICT)
class EncodeConfig:
    """How the product is encoded."""

    compress: Literal["zstd", "deflate", "lzw", "none", "lerc"] = "zstd"
    """Codec."""
    level: int | None = None
    """Its level."""
    max_error: Annotated[float, Field(ge=0)] = 0.0
    """Largest error lerc may make."""
    predictor: Literal["auto", "none", "2", "3"] = "auto"
    """What a block goes through before its codec."""
    interleave: Literal["auto", "pixel", "band"] = "auto"
    """How bands lie in the file."""
    validity: Literal["nodata", "alpha", "mask"] = "nodata"
    """What marks invalid pixels."""
    sparse: bool = False
    """Leave blocks without a valid pixel out."""
    bigtiff: bool = False
    """BigTIFF even where the file is small."""


@dataclass(frozen=True, slots=True, config=STRICT)
class TlsConfig:
    """Certificates of a cluster that speaks TLS."""

    ca: Place
    """Certificate of the authority."""
    cert: Place
    """Own certificate."""
    key: Place
    """Own key."""


@dataclass(frozen=True, slots=True, config=STRICT)
class WorkConfig:
    """Who does the work; changes nothing of the product."""

    scheduler: str = "threads"
    """serial, threads, dask, tcp://HOST:PORT or tls://HOST:PORT."""
    workers: Annotated[int, Field(ge=1)] | None = None
    """Tiles at a time; one for each core where not given."""
    tile_px: Annotated[int, Field(ge=512)] | None = None
    """Side of a tile."""
    memory: Size | None = None
    """What a run may take."""
    tls: TlsConfig | None = None
    """For tls:// schedulers."""
    device: str = "auto"
    """Of the networks: auto, cpu, cuda or cuda:N."""
    retries: Annotated[int, Field(ge=0, le=20)] = 3
    """Times a stage is tried again, where that may help."""
    backoff: Seconds = 10.0
    """Wait before the first of them; each later one is twice as long."""


@dataclass(frozen=True, slots=True, config=STRICT)
class OutputConfig:
    """Where products are made."""

    folder: Place | None = None
    """Folder of the products and their reports; STATE/products where not given."""
    name: str = "{scene}_{method}_{key}"
    """Template: scene, sensor, date, method, config, key (of inputs and configuration)."""
    overwrite: bool = False
    """Replace another product of the same name."""


@dataclass(frozen=True, slots=True, config=STRICT)
class AssessConfig:
    """How a product is measured."""

    enabled: bool = True
    """Measure at all."""
    html: bool = True
    """Write the page of numbers, maps and pictures beside the product."""


@dataclass(frozen=True, slots=True, config=STRICT)
class AcceptConfig:
    """Who decides about a product."""

    profile: Annotated[str, AfterValidator(_profile_place)] = "auto"
    """auto: the sensor's own; a name of those that come along; or a file."""


@dataclass(frozen=True, slots=True, config=STRICT)
class CatalogConfig:
    """Where products are published, and with which rights."""

    folder: Place | None = None
    """The catalogue; nothing is published without."""
    access: Access | None = None
    """Access class, instead of the sensor's."""
    license: Annotated[str, Field(pattern=r"^[\w.+-]+$")] | None = None
    """SPDX identifier or "other", instead of the sensor's."""
    attribution: str | None = None
    """Credit line, instead of the sensor's; also in the TIFF's tags."""
    acquired: str | None = None
    """Time or day of acquisition, where the inputs do not tell it."""


@dataclass(frozen=True, slots=True, config=STRICT)
class StateConfig:
    """What is remembered of scenes."""

    folder: Place | None = None
    """Ledger and records of stages; CATALOG.state where not given."""


@dataclass(frozen=True, slots=True, config=STRICT)
class InboxConfig:
    """Where scenes arrive, and when they are complete."""

    folder: Place | None = None
    """Watched folder: each folder or .tar directly in it is a scene."""
    settle: Seconds = 60.0
    """No file may have grown or changed for so long."""
    patience: Seconds = 6 * 3600.0
    """A scene that rests but lacks something is parked after so long."""
    manifest: Literal["optional", "required"] = "optional"
    """Whether a list of checksums must have come along."""
    attempts: Annotated[int, Field(ge=1)] = 3
    """Times a scene whose run died or failed is taken up, before it is parked."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Scenes taken up at one look."""


@dataclass(frozen=True, slots=True, config=STRICT)
class StacConfig:
    """Scenes from a STAC API or a static STAC catalogue."""

    url: Place
    """Address of the API, or of a catalogue's or collection's JSON; a file too."""
    folder: Place
    """Where the assets are downloaded to."""
    collections: tuple[str, ...] = ()
    """Collections searched; all where none is named."""
    bbox: Annotated[tuple[float, ...], Field(min_length=4, max_length=4)] | None = None
    """West, south, east, north in degrees."""
    aoi: Place | None = None
    """Vector file that items must meet."""
    datetime: str | None = None
    """A/B, A/.. or a day."""
    cloud_cover_max: Annotated[float, Field(ge=0, le=100)] | None = None
    """Percent."""
    assets: tuple[str, ...] = ()
    """Keys of the assets wanted; where none is named, those that make a scene."""
    limit: Annotated[int, Field(ge=1)] = 100
    """Items at most."""


@dataclass(frozen=True, slots=True, config=STRICT)
class RetentionConfig:
    """How long what is no product is kept."""

    parts: Seconds = 7 * 86400.0
    """Parts and records of runs that nobody took up again."""
    downloads: Seconds = 14 * 86400.0
    """Downloaded assets of scenes that are done."""
    products: Seconds | None = None
    """Copies in the output folder of what is published; kept where not given."""
    superseded: Annotated[int, Field(ge=0)] | None = None
    """Old versions of an item that are kept; all where not given."""


@dataclass(frozen=True, slots=True, config=STRICT)
class HookConfig:
    """What is called when something happens: one of both."""

    command: tuple[str, ...] = ()
    """Program and arguments; the event comes as JSON on its standard input."""
    webhook: Annotated[str, Field(pattern=r"^https?://")] | None = None
    """Address the event is posted to as JSON."""
    timeout: Seconds = 30.0
    """It is given up after so long."""


@dataclass(frozen=True, slots=True, config=STRICT)
class HooksConfig:
    """Who is told."""

    on_failure: tuple[HookConfig, ...] = ()
    """Of a scene that failed or was parked."""
    on_review: tuple[HookConfig, ...] = ()
    """Of a product that waits for a decision."""


@dataclass(frozen=True, slots=True, config=STRICT)
class EventsConfig:
    """What is written down and offered to others of what happens."""

    log: Place | None = None
    """File of JSON lines; STATE/events.jsonl where not given."""
    metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """Port on loopback for Prometheus; none where not given."""


@dataclass(frozen=True, slots=True, config=STRICT)
class ScheduleConfig:
    """When the inbox is looked at, and how much at a time."""

    every: Seconds = 600.0
    """Interval between looks."""
    cron: str | None = None
    """Times as cron writes them, instead of the interval."""
    timezone: str = "UTC"
    """Of the cron times."""
    concurrency: Annotated[int, Field(ge=1)] = 1
    """Scenes at a time."""
    gpu_limit: str | None = None
    """Name of the global limit that a scene holds while it uses the GPU."""


@dataclass(frozen=True, slots=True, config=STRICT)
class RunConfig:
    """All that is wanted of a run."""

    name: str = "geofuse"
    """Short name, shown to people and usable in names of products."""
    scene: SceneConfig = field(default_factory=SceneConfig)
    """Which scene."""
    fuse: FuseConfig = field(default_factory=FuseConfig)
    """How."""
    encode: EncodeConfig = field(default_factory=EncodeConfig)
    """In which bytes."""
    work: WorkConfig = field(default_factory=WorkConfig)
    """By whom."""
    output: OutputConfig = field(default_factory=OutputConfig)
    """Where to."""
    assess: AssessConfig = field(default_factory=AssessConfig)
    """How measured."""
    accept: AcceptConfig = field(default_factory=AcceptConfig)
    """How judged."""
    catalog: CatalogConfig = field(default_factory=CatalogConfig)
    """Where published."""
    state: StateConfig = field(default_factory=StateConfig)
    """Where remembered."""
    inbox: InboxConfig = field(default_factory=InboxConfig)
    """Where scenes come from."""
    stac: StacConfig | None = None
    """Or from there."""
    retention: RetentionConfig = field(default_factory=RetentionConfig)
    """What is cleaned up."""
    hooks: HooksConfig = field(default_factory=HooksConfig)
    """Who is told."""
    events: EventsConfig = field(default_factory=EventsConfig)
    """What is written down."""
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    """When."""


@dataclass(frozen=True, slots=True, config=STRICT)
class Limits:
    """From where on a number means a look by a person, or no publication."""

    review_below: float | None = None
    """A smaller value is looked at."""
    review_above: float | None = None
    """A larger value is looked at."""
    reject_below: float | None = None
    """A smaller value is refused."""
    reject_above: float | None = None
    """A larger value is refused."""
    unknown: Literal["pass", "review", "reject"] = "pass"
    """What it means that it could not be measured."""
    why: str = ""
    """Why these limits."""


@dataclass(frozen=True, slots=True, config=STRICT)
class AcceptProfile:
    """Limits that a product is held against."""

    profile: str
    """Its name."""
    version: Annotated[int, Field(ge=1)]
    """Raised with every change of a limit."""
    checks: dict[str, Limits]
    """Limits by the name of a metric, or ``name@variant``."""
    sensors: tuple[str, ...] = ()
    """Sensors it is the own profile of."""
