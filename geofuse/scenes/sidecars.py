"""The honest sidecars: world files, .RPB and _RPC.TXT, .IMD, read by strict allow-list parsers.

Nothing in them is followed or evaluated. A file that is too big, not plain ASCII or off its grammar is
ignored as a whole, with a warning.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from geofuse.errors import FormatError, GeofuseError
from geofuse.geometry import Transform
from geofuse.rasters.opening import sniffing

SMALL_BYTES = 64 << 10
LARGE_BYTES = 1 << 20

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", re.ASCII)
_TOKEN = re.compile(r'\s*(?:"([^"\n]*)"|([=;(),])|([^\s=;(),"]+))', re.ASCII)
_RPC_LINE = re.compile(r"\s*([A-Z_]+?)(?:_(\d{1,2}))?\s*:\s*(\S+)(?:\s+[A-Za-z]+)?\s*", re.ASCII)

# The .RPB name of each item, and GDAL's.
_RPC_SCALARS = {
    "lineOffset": "LINE_OFF",
    "sampOffset": "SAMP_OFF",
    "latOffset": "LAT_OFF",
    "longOffset": "LONG_OFF",
    "heightOffset": "HEIGHT_OFF",
    "lineScale": "LINE_SCALE",
    "sampScale": "SAMP_SCALE",
    "latScale": "LAT_SCALE",
    "longScale": "LONG_SCALE",
    "heightScale": "HEIGHT_SCALE",
}
_RPC_ERRORS = {"errBias": "ERR_BIAS", "errRand": "ERR_RAND"}
_RPC_VECTORS = {
    "lineNumCoef": "LINE_NUM_COEFF",
    "lineDenCoef": "LINE_DEN_COEFF",
    "sampNumCoef": "SAMP_NUM_COEFF",
    "sampDenCoef": "SAMP_DEN_COEFF",
}
_IMD_BANDS = {
    "BAND_P": "pan",
    "BAND_C": "coastal",
    "BAND_B": "blue",
    "BAND_G": "green",
    "BAND_Y": "yellow",
    "BAND_R": "red",
    "BAND_RE": "rededge",
    "BAND_N": "nir",
    "BAND_N1": "nir",
    "BAND_N2": "nir2",
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Imd:
    """What geofuse takes from a DigitalGlobe .IMD file."""

    satellite: str | None
    """`satId`, such as "WV02"."""
    acquired: str | None
    """Time of the first line, else the earliest time of the mosaic; ISO 8601 UTC."""
    sun_azimuth_deg: float | None
    """Mean sun azimuth."""
    sun_elevation_deg: float | None
    """Mean sun elevation."""
    off_nadir_deg: float | None
    """Mean view angle off nadir."""
    cloud_cover_percent: float | None
    """Cloud cover, 0 to 100."""
    bands: tuple[str, ...]
    """Canonical names of the bands described, in file order."""


def read_small(path: str, limit_bytes: int) -> bytes:
    """Read a whole file or tar member of at most `limit_bytes`; never waits on a pipe or a device.

    Raises FormatError for anything but a regular file that holds something, and for one over the limit;
    ReadError where the storage fails.
    """
    with sniffing.opened(path) as span:
        data = sniffing.bytes_at(span, 0, limit_bytes + 1)
    if len(data) > limit_bytes:
        raise FormatError("too big", wanted=f"at most {limit_bytes} bytes", path=path)
    return data


def world_beside(path: str) -> tuple[Transform | None, tuple[str, ...]]:
    """Return the transform of the world file beside an image, at pixel corners, and warnings."""
    extension = os.path.splitext(path)[1][1:]
    suffixes = (".tfw", f".{extension}w", ".wld") if extension else (".tfw", ".wld")
    return _beside(path, suffixes, SMALL_BYTES, parse_world)


def rpcs_beside(path: str) -> tuple[dict[str, str] | None, tuple[str, ...]]:
    """Return the RPCs of the .RPB or _RPC.TXT beside an image, as GDAL's RPC items, and warnings."""
    found, warnings = _beside(path, (".RPB",), SMALL_BYTES, parse_rpb)
    if found is not None:
        return found, warnings
    text, more = _beside(path, ("_RPC.TXT",), SMALL_BYTES, parse_rpc_text)
    return text, (*warnings, *more)


def imd_beside(path: str) -> tuple[Imd | None, tuple[str, ...]]:
    """Return what the .IMD beside an image says, and warnings."""
    return _beside(path, (".IMD",), LARGE_BYTES, parse_imd)


def _beside(
    path: str, suffixes: tuple[str, ...], limit_bytes: int, parse: Callable[[str], T]
) -> tuple[T | None, tuple[str, ...]]:
    if path.startswith("tar:"):
        return None, ()
    stem = os.path.splitext(path)[0]
    for suffix in suffixes:
        for sidecar in dict.fromkeys((stem + suffix, stem + suffix.lower(), stem + suffix.upper())):
            if os.path.lexists(sidecar):
                try:
                    return parse(read_small(sidecar, limit_bytes).decode("ascii")), ()
                except UnicodeDecodeError:
                    return None, (f"{sidecar}: not plain text; ignored",)
                except GeofuseError as fault:
                    return None, (f"{sidecar}: {fault.found}; ignored",)
    return None, ()


def parse_world(text: str) -> Transform:
    """Return a world file's transform at pixel corners; its six lines place the centre of the first pixel.

    >>> parse_world("30\\n0\\n0\\n-30\\n15\\n85\\n")
    (30.0, 0.0, 0.0, 0.0, -30.0, 100.0)
    """
    lines = text.split()
    if len(lines) != 6:
        raise FormatError(f"{len(lines)} numbers", wanted="the 6 of a world file")
    a, d, b, e, x, y = (_number(line) for line in lines)
    if a * e - b * d == 0.0:
        raise FormatError("pixels of no size", wanted="a world file with a pixel size")
    return (a, b, x - 0.5 * (a + b), d, e, y - 0.5 * (d + e))


def parse_rpb(text: str) -> dict[str, str]:
    """Return a DigitalGlobe .RPB file's coefficients as GDAL's RPC items.

    Only the RPC00B order of coefficients is taken. Source: NIMA, The Compendium of Controlled Extensions for
    NITF, STDI-0002, section 8.2.4 (RPC00B).
    """
    found: dict[str, str] = {}
    for key, values in _statements(text):
        if key == "SpecId" and values != ["RPC00B"]:
            raise FormatError(f"SpecId {' '.join(values)[:20]}", wanted="RPC00B")
        if key in _RPC_SCALARS or key in _RPC_ERRORS:
            name = _RPC_SCALARS.get(key) or _RPC_ERRORS[key]
            _once(found, name, _numeral(values, 1))
        elif key in _RPC_VECTORS:
            _once(found, _RPC_VECTORS[key], _numeral(values, 20))
    return _whole_rpc(found)


def parse_rpc_text(text: str) -> dict[str, str]:
    """Return an _RPC.TXT file's coefficients as GDAL's RPC items."""
    scalars: dict[str, str] = {}
    vectors: dict[str, dict[int, str]] = {name: {} for name in _RPC_VECTORS.values()}
    known = {*_RPC_SCALARS.values(), *_RPC_ERRORS.values()}
    for line in text.splitlines():
        if not line.strip():
            continue
        match = _RPC_LINE.fullmatch(line)
        if match is None:
            raise FormatError("a line that is not NAME: number", wanted="an RPC text file")
        name, place, value = match.groups()
        if place is None and name in known:
            _once(scalars, name, _numeral([value], 1))
        elif place is not None and name in vectors:
            row = vectors[name]
            if int(place) in row or not 1 <= int(place) <= 20:
                raise FormatError(f"{name}_{place} twice or out of place", wanted="1 to 20, once each")
            row[int(place)] = _numeral([value], 1)
    whole = {name: " ".join(row[k] for k in sorted(row)) for name, row in vectors.items() if len(row) == 20}
    return _whole_rpc({**scalars, **whole})


def parse_imd(text: str) -> Imd:
    """Return what geofuse takes from a DigitalGlobe .IMD file; of several images, the first counts."""
    first: dict[str, str] = {}
    bands: list[str] = []
    for key, values in _statements(text):
        if key == "BEGIN_GROUP" and values[0] in _IMD_BANDS:
            bands.append(_IMD_BANDS[values[0]])
        elif len(values) == 1:
            first.setdefault(key, values[0])
    satellite = first.get("satId")
    if satellite is not None and not re.fullmatch(r"[A-Z]{2}\d{2}", satellite, re.ASCII):
        raise FormatError("a satId that is none", wanted="a satId such as WV02")
    time = first.get("firstLineTime") or first.get("earliestAcqTime")
    cover = _within(first, ("cloudCover",), 0.0, 1.0)
    return Imd(
        satellite,
        utc(time) if time else None,
        _within(first, ("meanSunAz", "sunAz"), -360.0, 360.0),
        _within(first, ("meanSunEl", "sunEl"), -90.0, 90.0),
        _within(first, ("meanOffNadirViewAngle", "offNadirViewAngle"), 0.0, 90.0),
        None if cover is None else 100.0 * cover,
        tuple(bands),
    )


def utc(text: str) -> str:
    """Return an ISO 8601 UTC time with at most microseconds; raises FormatError for anything else.

    >>> utc("2015-08-04T16:19:21.7917421Z")
    '2015-08-04T16:19:21.791742Z'
    """
    match = _TIME.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        whole = datetime.strptime(match[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        raise FormatError("a time that is none", wanted="a time such as 2015-08-04T16:19:21.79Z") from None
    fraction = (match[2] or "0").ljust(6, "0")[:6]
    return whole.replace(microsecond=int(fraction)).isoformat().replace("+00:00", "Z")


def _statements(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield `key = value;` of the provider's notation with its values flattened, groups by their name."""
    tokens = _tokens(text)
    for kind, key in tokens:
        if kind != "word":
            raise FormatError(f"{key[:20]!r} where a name belongs", wanted="name = value;")
        if key == "END":
            return
        if next(tokens, None) != ("mark", "="):
            raise FormatError(f"{key[:40]!r} without a value", wanted="name = value;")
        values = _values(tokens)
        yield key, values
        if key not in ("BEGIN_GROUP", "END_GROUP") and next(tokens, None) != ("mark", ";"):
            raise FormatError(f"{key[:40]!r} without its closing ;", wanted="name = value;")
    raise FormatError("no END", wanted="a whole file")


def _values(tokens: Iterator[tuple[str, str]]) -> list[str]:
    kind, text = next(tokens, ("mark", ""))
    if kind != "mark":
        return [text]
    if text != "(":
        raise FormatError("no value", wanted="name = value;")
    depth, values = 1, []
    for kind, text in tokens:
        if kind != "mark":
            values.append(text)
        elif text in "()":
            depth += 1 if text == "(" else -1
            if depth == 0:
                return values
        elif text != ",":
            break
    raise FormatError("a list without its end", wanted="name = ( ... );")


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    place, stop = 0, len(text.rstrip())
    while place < stop:
        match = _TOKEN.match(text, place)
        if match is None:
            raise FormatError("a quotation mark without its pair", wanted='name = "value";')
        place = match.end()
        string, mark, word = match.groups()
        yield ("mark", mark) if mark else ("word", word) if word else ("string", string)


def _number(text: str) -> float:
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise FormatError("a number that is none", wanted="a finite decimal number")
    return value


def _numeral(values: list[str], count: int) -> str:
    if len(values) != count:
        raise FormatError(f"{len(values)} numbers", wanted=f"{count} numbers")
    for value in values:
        _number(value)
    return " ".join(values)


def _once(found: dict[str, str], name: str, value: str) -> None:
    if name in found:
        raise FormatError(f"{name} twice", wanted="it once")
    found[name] = value


def _whole_rpc(found: dict[str, str]) -> dict[str, str]:
    lacking = {*_RPC_SCALARS.values(), *_RPC_VECTORS.values()} - found.keys()
    if lacking:
        raise FormatError(f"no {min(lacking)}", wanted="a whole set of RPCs")
    return found


def _within(first: dict[str, str], keys: tuple[str, ...], low: float, high: float) -> float | None:
    """Return a number of the allowed range; the provider writes -999 or the like where it knows none."""
    text = next((first[key] for key in keys if key in first), None)
    if text is None:
        return None
    value = _number(text)
    return value if low <= value <= high else None
