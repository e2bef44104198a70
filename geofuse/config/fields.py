"""The sections of a configuration, and their fields: checked when they are made, frozen afterwards."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo
from pydantic.dataclasses import dataclass

from geofuse.config.option import Place, Seconds, placed
from geofuse.config.sections import CatalogOptions, EncodeOptions, FuseOptions, SceneOptions, WorkOptions

STRICT = ConfigDict(extra="forbid")


def _profile_place(value: str, info: ValidationInfo) -> object:
    """Make a profile's path absolute; a plain name is one of those that come along."""
    return placed(value, info) if value.endswith((".yaml", ".yml")) else value


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
    scene: SceneOptions = field(default_factory=SceneOptions)
    """Which scene."""
    fuse: FuseOptions = field(default_factory=FuseOptions)
    """How."""
    encode: EncodeOptions = field(default_factory=EncodeOptions)
    """In which bytes."""
    work: WorkOptions = field(default_factory=WorkOptions)
    """By whom."""
    output: OutputConfig = field(default_factory=OutputConfig)
    """Where to."""
    assess: AssessConfig = field(default_factory=AssessConfig)
    """How measured."""
    accept: AcceptConfig = field(default_factory=AcceptConfig)
    """How judged."""
    catalog: CatalogOptions = field(default_factory=CatalogOptions)
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
