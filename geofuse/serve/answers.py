"""What the server answers as JSON, by name: the words of the page's own interface.

STAC and OGC API documents are others' (`geofuse.nouns.Foreign`); these are ours. Times are ISO 8601 with Z, boxes west,
south, east, north in degrees, sizes bytes.
"""

from __future__ import annotations

from typing import Literal, TypedDict

from geofuse.metrics.metric import MetricRow, ShownIn
from geofuse.nouns import GeoJson, Json, StacJson


class BasemapAnswer(TypedDict):
    """The map under the scenes."""

    url: str
    attribution: str
    max_zoom: int


class FormatAnswer(TypedDict):
    """A form a clip may take."""

    id: str
    label: str
    extension: str


class LimitsAnswer(TypedDict):
    """What is the most at once."""

    clip_px: int
    clip_bytes: int
    upload_bytes: int


class ServedMetric(MetricRow):
    """A row of the table of metrics, and where it stands although there is room for few."""

    shown: list[ShownIn]


class ConfigAnswer(TypedDict):
    """What the page needs to know of the server."""

    version: str
    title: str
    basemap: BasemapAnswer | None
    formats: list[FormatAnswer]
    metrics: list[ServedMetric]
    limits: LimitsAnswer


class SessionAnswer(TypedDict):
    """Whether a token is wanted, and who is signed in."""

    required: bool
    authenticated: bool
    user: str | None


class ItemFacts(TypedDict):
    """What is said of an item wherever it is named."""

    title: str
    datetime: str
    sensor: str
    collection: str
    cloud_cover: float | None
    verdict: str | None
    method: str | None
    version: str
    gsd_m: float | None
    width: int
    height: int
    access: str
    attribution: str
    license: str
    bytes: int | None
    quality: dict[str, Json]
    quicklook: str
    updated: str | None
    has_input: bool
    scale: int


class SummaryAnswer(ItemFacts):
    """What the list says of an item."""

    bands: list[str]


class FeatureAnswer(TypedDict):
    """An item as the list has it: a GeoJSON feature."""

    type: Literal["Feature"]
    id: str
    geometry: GeoJson
    bbox: list[float]
    properties: SummaryAnswer


class CountAnswer(TypedDict):
    """A value that can be chosen, and how many items have it."""

    id: str
    count: int


class TimesAnswer(TypedDict):
    """How many items lie between each two moments."""

    edges: list[str]
    counts: list[int]


class FacetsAnswer(TypedDict):
    """What may be chosen from."""

    sensors: list[CountAnswer]
    verdicts: list[CountAnswer]
    datetime: list[str] | None
    histogram: TimesAnswer | None


class ValuesAnswer(TypedDict):
    """How often values lie between each two edges."""

    counts: list[int]
    edges: list[float]


class StatsAnswer(TypedDict):
    """A band's values, as its overview has them."""

    min: float
    max: float
    p2: float
    p98: float
    mean: float
    histogram: ValuesAnswer


class BandAnswer(TypedDict):
    """A band of an item."""

    name: str
    index: int
    nm: float | None
    dtype: str
    nodata: float | str | None
    scale: float
    offset: float
    unit: str
    stats: StatsAnswer


class PresetAnswer(TypedDict):
    """A combination of bands that analysts have a name for."""

    id: str
    label: str
    bands: list[str]


class InputAnswer(TypedDict):
    """The unsharpened input beside a product."""

    width: int
    height: int
    gsd_m: float
    ratio: float


class RightsAnswer(TypedDict):
    """What may be done with an item."""

    view: bool
    clip: bool
    download: bool
    native: bool


class DownloadAnswer(TypedDict):
    """A file that may be fetched."""

    asset: str
    title: str
    bytes: int | None
    url: str
    media_type: str


class DetailAnswer(ItemFacts):
    """The whole of an item."""

    id: str
    geometry: GeoJson
    bbox: list[float]
    item: StacJson
    crs: str | None
    crs_name: str
    wkt: str
    transform: list[float]
    bounds_lonlat: list[float]
    bounds_3857: list[float] | None
    bands: list[BandAnswer]
    presets: list[PresetAnswer]
    input: InputAnswer | None
    min_zoom: int
    max_zoom: int
    rights: RightsAnswer
    downloads: list[DownloadAnswer]
    report: str | None
    provenance: str
    links: dict[str, str]


class PointBandAnswer(TypedDict):
    """A band at a place: as stored and as physical value, in the product and in its input."""

    name: str
    dn: float | None
    physical: float | None
    input_dn: float | None
    input_physical: float | None


class MaskAnswer(TypedDict):
    """What a mask says of a pixel."""

    flags: list[str]
    cloud_edge: bool


class PointAnswer(TypedDict):
    """What the pixel at a place says."""

    mask: MaskAnswer | None

    row: int | None
    col: int | None
    valid: bool
    scale: int
    bands: list[PointBandAnswer]


class RangesAnswer(TypedDict):
    """Black and white of bands by what is in a box."""

    bands: list[str]
    ranges: list[list[float]]


class AreaAnswer(TypedDict):
    """An area that was sent in."""

    name: str
    features: int
    geometry: GeoJson
    area_km2: float


class EstimateAnswer(TypedDict):
    """What a clip would be, and whether it may be."""

    window: list[int] | None
    width: int
    height: int
    bytes_estimate: int
    limit_px: int
    limit_bytes: int
    allowed: bool
    reason: str | None


class ClipAnswer(TypedDict):
    """A clip that is made, or was."""

    id: str
    state: str
    progress: float
    message: str | None
    bytes: int | None
    filename: str | None
    url: str | None


class LinkAnswer(TypedDict, total=False):
    """A link as STAC and OGC API write it."""

    rel: str
    href: str
    type: str
    method: str
    body: dict[str, Json]


class VisitorNote(TypedDict):
    """Who asks, as the audit log has it."""

    user: str | None
    client: str | None


class FetchNote(TypedDict, total=False):
    """What was fetched, as the audit log has it."""

    item: str
    version: str
    asset: str
    clip: list[int]
    format: str
