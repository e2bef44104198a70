"""Landsat-like deliveries with known faults, small, as they arrive in an inbox: whole folders with metadata."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scenery
from numpy.typing import NDArray

from geofuse.geometry import AxisMap
from geofuse.landscape.camera import Camera, observe

HALF = AxisMap(0.5, -0.5)
"""Landsat's PAN begins half a PAN pixel inside its MS."""
CAMERA = Camera(
    mtf_gains=(0.3, 0.3, 0.3, 0.3),
    pan_weights=(0.2, 0.4, 0.4, 0.0),
    ratio=2.0,
    noise_sigma=8.0,
    axis_y=HALF,
    axis_x=HALF,
)
LEVEL, SPAN = 7000.0, 6.0
"""Stored number = LEVEL + SPAN * simulated DN, so that they lie where Landsat's do."""
CLEAR, CLOUD = 21824, 22280
"""Of the quality band of collection 2."""
MTL = """GROUP = LANDSAT_METADATA_FILE
  GROUP = PRODUCT_CONTENTS
    LANDSAT_PRODUCT_ID = "{name}"
    PROCESSING_LEVEL = "L1TP"
    COLLECTION_NUMBER = 02
{files}
  END_GROUP = PRODUCT_CONTENTS
  GROUP = IMAGE_ATTRIBUTES
    SPACECRAFT_ID = "LANDSAT_8"
    WRS_PATH = {path}
    WRS_ROW = 24
    DATE_ACQUIRED = {day}
    SCENE_CENTER_TIME = "10:02:05.2500000Z"
    CLOUD_COVER = {clouds:.2f}
    ROLL_ANGLE = -0.001
    SUN_AZIMUTH = 148.5
    SUN_ELEVATION = 57.25
    EARTH_SUN_DISTANCE = 1.0101
  END_GROUP = IMAGE_ATTRIBUTES
  GROUP = LEVEL1_RADIOMETRIC_RESCALING
{radiometry}
  END_GROUP = LEVEL1_RADIOMETRIC_RESCALING
END_GROUP = LANDSAT_METADATA_FILE
END
"""
BANDS = {"B2": 0, "B3": 1, "B4": 2, "B5": 3}


@dataclass(frozen=True, slots=True)
class Planted:
    """A scene in the inbox, and what must become of it."""

    folder: Path
    """Where it is."""
    fault: str
    """What was planted; empty for a good one."""
    state: str
    """State in the ledger at the end."""
    verdict: str = ""
    """PASS or REJECT, where it is judged."""
    code: str = ""
    """Code of the fault, where it is parked."""


def name_of(number: int) -> str:
    """Return a scene's name."""
    return f"LC08_L1TP_{193 + number % 30:03d}024_202405{1 + number % 28:02d}_20240528_02_T1"


def deliver(
    folder: Path, truth: NDArray[np.float32], number: int, *, side: int = 512, fault: str = ""
) -> Path:
    """Write a scene folder: bands 2 to 5 and 8, quality, metadata; the landscape is a window of `truth`."""
    name = name_of(number)
    folder.mkdir(parents=True)
    rng = np.random.default_rng(number)
    scene = _window(truth, number, side)
    pan, ms = observe(scene, CAMERA, rng=rng)
    if fault == "wrong_pan":
        pan, _ = observe(_window(truth[:, ::-1, ::-1], number + 7, side), CAMERA, rng=rng)
    cloudy = fault == "cloud"
    if cloudy:
        pan, ms = 2000.0 + 5.0 * pan / pan.max(), 2000.0 + 5.0 * ms / ms.max()
    crs = None if fault == "no_crs" else scenery.UTM
    corner = (400_000.0 + 20_000.0 * number, 5_600_000.0)
    fine = scenery.north_up(15.0, corner=(corner[0] + 7.5, corner[1] - 7.5))
    coarse = scenery.north_up(30.0, corner=corner)
    options = {"crs": crs, "tiled": True, "blockxsize": 256, "blockysize": 256}
    scenery.write(folder / f"{name}_B8.TIF", _stored(pan), fine, **options)
    for band, at in BANDS.items():
        scenery.write(folder / f"{name}_{band}.TIF", _stored(ms[at : at + 1]), coarse, **options)
    quality = np.full((1, *ms.shape[1:]), CLOUD if cloudy else CLEAR, np.uint16)
    scenery.write(folder / f"{name}_QA_PIXEL.TIF", quality, coarse, **options)
    if fault == "truncated":
        band = folder / f"{name}_B4.TIF"
        band.write_bytes(band.read_bytes()[: band.stat().st_size // 2])
    if fault != "no_metadata":
        (folder / f"{name}_MTL.txt").write_text(metadata(number, clouds=100.0 if cloudy else 1.5))
    return folder


def metadata(number: int, *, clouds: float) -> str:
    """Return a scene's metadata file."""
    name = name_of(number)
    files = [f'    FILE_NAME_BAND_{band[1:]} = "{name}_{band}.TIF"' for band in (*BANDS, "B8")]
    radiometry = [
        f"    REFLECTANCE_{key}_BAND_{band[1:]} = {value}"
        for band in (*BANDS, "B8")
        for key, value in (("MULT", "2.0000E-05"), ("ADD", "-0.100000"))
    ]
    return MTL.format(
        name=name,
        files="\n".join(files),
        radiometry="\n".join(radiometry),
        path=193 + number % 30,
        day=f"2024-05-{1 + number % 28:02d}",
        clouds=clouds,
    )


def _window(truth: NDArray[np.float32], number: int, side: int) -> NDArray[np.float32]:
    room = truth.shape[1] - side
    row, col = (97 * number) % (room + 1), (61 * number) % (room + 1)
    return truth[:, row : row + side, col : col + side]


def _stored(image: NDArray[np.float32]) -> NDArray[np.uint16]:
    return np.clip(np.rint(LEVEL + SPAN * image), 1, 65535).astype(np.uint16)


def planted_set(
    inbox: Path,
    truth: NDArray[np.float32],
    *,
    good: int = 32,
    side: int = 512,
    each: Callable[[Planted], None] | None = None,
) -> list[Planted]:
    """Write good scenes and eight faulty ones, in an order that mixes them; `each` is told of every one."""
    faults = {
        "truncated": ("parked", "", "corrupt"),
        "no_metadata": ("parked", "", "scene"),
        "wrong_pan": ("parked", "", "match"),
        "cloud": ("rejected", "REJECT", ""),
        "no_crs": ("parked", "", "georef"),
        "disk_full": ("published", "PASS", ""),
        "killed": ("published", "PASS", ""),
        "duplicate": ("duplicate", "", ""),
    }
    total = good + len(faults)
    places = dict(zip(np.linspace(1, total - 1, len(faults)).astype(int).tolist(), faults, strict=True))
    found: list[Planted] = []
    for number in range(total):
        fault = places.get(number, "")
        folder = inbox / f"{number:02d}_{fault or name_of(number)}"
        if fault == "duplicate":
            shutil.copytree(found[0].folder, folder)
        else:
            deliver(folder, truth, number, side=side, fault=fault)
        planted = Planted(folder, fault, *faults.get(fault, ("published", "PASS", "")))
        found.append(planted)
        if each:
            each(planted)
    return found


def bundle(folder: Path, target: Path) -> Path:
    """Pack a folder's files into an uncompressed tar, as Landsat's are delivered."""
    with tarfile.open(target, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, path.name)
    return target
