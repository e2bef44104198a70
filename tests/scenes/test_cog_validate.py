"""The structural check: silent on sound files, ours and GDAL's; it names what is wrong with others."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile
from rasterio.shutil import copy

from geofuse.errors import ReadError
from geofuse.rasters.cog import make_spec, validate_cog, write_cog
from geofuse.rasters.cog.directory import read_directory, values
from geofuse.rasters.cog.layout import lay_out
from geofuse.rasters.cog.spec import blocks_of, levels, planes

pytestmark = pytest.mark.filterwarnings(
    f"ignore::{NotGeoreferencedWarning.__module__}.NotGeoreferencedWarning"
)


def write_ours(path: Path, **fields: Any) -> bytes:
    spec = make_spec(**{"height": 1100, "width": 600, "bands": 1, "dtype": "uint8", "level": 1, **fields})
    row, col = np.mgrid[: spec.height, : spec.width]
    image = np.repeat(((row * col) % 251)[..., None], spec.bands, axis=2).astype(spec.dtype)
    write_cog(path, image, spec)
    return path.read_bytes()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_ours(tmp_path_factory.mktemp("sound") / "sound.tif")


@pytest.mark.parametrize(
    ("bands", "options"),
    [
        (1, {"compress": "LZW"}),
        (3, {"compress": "ZSTD", "predictor": "YES", "bigtiff": "YES"}),
        (3, {"compress": "DEFLATE", "sparse_ok": "TRUE"}),
        (4, {"compress": "JPEG"}),
    ],
)
def test_gdal_s_cogs_are_sound(tmp_path: Path, bands: int, options: dict[str, str]) -> None:
    with MemoryFile() as memory:
        colors = {"photometric": "RGB"} if bands > 2 else {}
        with memory.open(
            driver="GTiff", width=1030, height=700, count=bands, dtype="uint8", nodata=None, **colors
        ) as image:
            row, col = np.mgrid[:700, :1030]
            image.write(np.repeat(((row // 3 + col) % 255)[None].astype(np.uint8), bands, axis=0))
        with memory.open() as image:
            copy(image, tmp_path / "gdal.tif", driver="COG", **options)
    assert validate_cog(tmp_path / "gdal.tif") == []


@pytest.mark.parametrize("layout", [{}, {"tiled": True, "blockxsize": 512, "blockysize": 512}])
def test_plain_tiffs_are_not(tmp_path: Path, layout: dict[str, Any]) -> None:
    profile = {"driver": "GTiff", "width": 600, "height": 700, "count": 1, "dtype": "uint8", **layout}
    with rasterio.open(tmp_path / "plain.tif", "w", **profile) as image:
        image.write(np.ones((1, 700, 600), np.uint8))
    problems = " ".join(validate_cog(tmp_path / "plain.tif"))
    assert ("no ghost area" in problems and "smallest overview" in problems) or "not tiled" in problems


def test_what_is_no_tiff_is_not(tmp_path: Path) -> None:
    for text in (b"", b"II", b"<html>", b"MM\0*\0\0\0\x08", b"II*\0\0\0\0\0", b"II*\0" + b"\xff" * 60):
        (tmp_path / "other.tif").write_bytes(text)
        assert validate_cog(tmp_path / "other.tif")
    with pytest.raises(ReadError):
        validate_cog(tmp_path / "absent.tif")


def changed(sound: bytes, at: int, data: bytes) -> bytes:
    return sound[:at] + data + sound[at + len(data) :]


def test_damage_is_named(tmp_path: Path, sound: bytes) -> None:
    path = tmp_path / "bad.tif"
    path.write_bytes(sound)
    with tifffile.TiffFile(path) as file:
        pages = [file.pages.first, *file.pages.first.pages] if file.pages.first.pages else list(file.pages)
        block, size = pages[0].dataoffsets[0], pages[0].databytecounts[0]
        places = pages[0].tags["TileOffsets"].valueoffset
        widths = [page.tags["ImageWidth"].valueoffset for page in pages]
        nodes = [page.offset for page in pages]
    first = struct.unpack("<I", sound[4:8])[0]
    last_link = nodes[-1] + 2 + 12 * struct.unpack("<H", sound[nodes[-1] : nodes[-1] + 2])[0]
    two = sound[places : places + 8]
    bad = {
        "leader": changed(sound, block - 4, struct.pack("<I", size + 1)),
        "trailer": changed(sound, block + size, bytes([sound[block + size] ^ 1])),
        "does not end": sound + b"more",
        "beyond the end": sound[:-9],
        "out of order": changed(sound, places, two[4:] + two[:4]),
        "before the end of the directories": changed(sound, places, struct.pack("<I", first)),
        "no ghost area": changed(sound, 8, b"X"),
        "lacks BLOCK_ORDER": sound.replace(b"ROW_MAJOR", b"ROW_MINOR"),
        "lacks KNOWN_INCOMPATIBLE_EDITION=NO": sound.replace(b"EDITION=NO\n ", b"EDITION=YES\n"),
        "not half of (550, 300)": changed(sound, widths[2], struct.pack("<I", 152)),
        "blocks for": changed(sound, widths[0], struct.pack("<I", 2000)),
        "is out of order": changed(sound, last_link, struct.pack("<I", nodes[0])),
        "claims": changed(sound, nodes[0], b"\xff\xff"),
        "beyond the file": changed(sound, last_link, struct.pack("<I", 2**32 - 8)),
    }
    for named, data in bad.items():
        path.write_bytes(data)
        assert named in " ".join(validate_cog(path)), named


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 1200), value=st.binary(min_size=1, max_size=8))
def test_no_damage_to_the_head_makes_it_raise(tmp_path: Path, sound: bytes, at: int, value: bytes) -> None:
    (tmp_path / "bad.tif").write_bytes(changed(sound, at, value))
    assert isinstance(validate_cog(tmp_path / "bad.tif"), list)
    (tmp_path / "bad.tif").write_bytes(sound[:at])
    assert validate_cog(tmp_path / "bad.tif")


@pytest.mark.parametrize(("fields", "bands"), [({}, 4), ({"interleave": "band"}, 3)])
def test_the_exact_total_decides_for_bigtiff(fields: dict[str, Any], bands: int) -> None:
    spec = make_spec(height=20000, width=30000, bands=bands, dtype="uint16", **fields)
    shapes = [(planes(spec), *blocks_of(size)) for size in levels(spec)]
    blocks = sum(int(np.prod(shape)) for shape in shapes)
    for each, big in ((2**31 // blocks, False), (2**32 // blocks, True)):
        sizes = [np.full(shape, each, np.uint32) for shape in shapes]
        layout = lay_out(spec, sizes)
        assert layout.big is big
        assert layout.size_bytes == len(layout.head) + blocks * (each + 8)
        head = layout.head
        offset = struct.unpack("<Q", head[8:16])[0] if big else struct.unpack("<I", head[4:8])[0]
        found = []
        while offset:
            entries, offset, _ = read_directory(
                lambda at, count, head=head: head[at : at + count], offset, big=big
            )
            found.append({entry.tag: entry for entry in entries})
        assert len(found) == len(shapes)
        wanted = len(head) + 4
        for level in reversed(found):
            offsets = values(level[324])
            np.testing.assert_array_equal(offsets, wanted + (each + 8) * np.arange(offsets.size))
            wanted += (each + 8) * offsets.size
        assert wanted - 4 == layout.size_bytes


def test_sparse_blocks_have_neither_place_nor_size() -> None:
    spec = make_spec(height=600, width=600, bands=1, dtype="uint8", nodata=0, sparse=True)
    layout = lay_out(spec, [np.array([[[9, 0], [0, 7]]], np.uint32), np.zeros((1, 1, 1), np.uint32)])
    assert layout.size_bytes == len(layout.head) + 9 + 7 + 16
    head = layout.head
    entries, _, _ = read_directory(
        lambda at, size: head[at : at + size], struct.unpack("<I", head[4:8])[0], big=False
    )
    offsets = next(values(entry).tolist() for entry in entries if entry.tag == 324)
    assert offsets == [len(head) + 4, 0, 0, len(head) + 9 + 8 + 4]
