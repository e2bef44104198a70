"""What is refused before GDAL sees it: things that are no rasters, paths, TIFF headers, archives."""

from __future__ import annotations

import os
import re
import socket
import struct
import tarfile
import time
import zipfile

import numpy as np
import pytest
import rasterio
from readings import read_all

from geofuse.errors import CorruptError, FormatError
from geofuse.rasters import pixels
from geofuse.rasters.opening import sniffing
from geofuse.rasters.opening.headers import check_tiff
from geofuse.rasters.pixels import inspect

SECONDS = 5.0


def raster(path, value=7, **options):
    profile = {"driver": "GTiff", "count": 1, "height": 64, "width": 64, "dtype": "uint8"}
    with rasterio.open(
        path, "w", **(profile | options), crs="EPSG:32633", transform=rasterio.Affine(1, 0, 5, 0, -1, 5)
    ) as file:
        file.write(np.full((1, 64, 64), value, "uint8"))
    return str(path)


def _zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.tif", b"II*\0")


def _socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


MADE = {
    "empty": (lambda path: path.write_bytes(b""), "an empty file"),
    "one byte": (lambda path: path.write_bytes(b"I"), "unknown format"),
    "text": (lambda path: path.write_bytes(b"hello\n" * 99), "unknown format"),
    "html": (lambda path: path.write_bytes(b"\n<!DOCTYPE HTML><html>404"), "an HTML page"),
    "bom": (lambda path: path.write_bytes(b"\xef\xbb\xbf<html>"), "an HTML page"),
    "vrt": (lambda path: path.write_bytes(b'<VRTDataset rasterXSize="1">'), "a VRT"),
    "vrt with prolog": (lambda path: path.write_bytes(b'<?xml version="1.0"?>\n<VRTDataset>'), "a VRT"),
    "wms": (lambda path: path.write_bytes(b"<GDAL_WMS><Service/></GDAL_WMS>"), "a WMS description"),
    "zip": (_zip, "a ZIP archive.*unpack"),
    "png": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"), "a PNG"),
    "hdf": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n"), "an HDF5"),
    "tar": (lambda path: tarfile.open(path, "w").close(), "unknown format"),
    "directory": (lambda path: path.mkdir(), "a directory"),
    "fifo": (os.mkfifo, "a FIFO"),
    "socket": (_socket, "a socket"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "a device"),
    "nothing": (lambda path: None, "no such file"),
    "broken link": (lambda path: path.symlink_to("nowhere.tif"), "no such file, or a link"),
    "looping link": (lambda path: path.symlink_to(path.name), "leads back to itself"),
}


@pytest.mark.parametrize("kind", MADE)
def test_what_is_no_raster_is_called_by_its_name(tmp_path, kind):
    make, found = MADE[kind]
    path = tmp_path / "a.tif"
    make(path)
    for call in (inspect, pixels.identity, pixels.input_sha256):
        if call is not inspect and path.is_file() and path.stat().st_size:
            continue
        with pytest.raises(FormatError, match=found) as caught:
            call(str(path))
        assert caught.value.path == str(path)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("", "empty path"),
        ("/vsicurl/http://a/b.tif", "'/vsi'"),
        ("/vsizip/a.zip/b.tif", "'/vsi'"),
        ("http://example.org/a.tif", "'://'"),
        ("s3://bucket/a.tif", "'://'"),
        ("<VRTDataset/>", "'<'"),
        ("a\0b.tif", "0"),
        ("a\nb.tif", "n"),
        ("a\udcff.tif", "not UTF-8"),
        ("tar:relative.tar!a.tif", "tar:/absolute"),
        ("tar:/a.tar", "tar:/absolute"),
        ("tar:/a.tar!", "tar:/absolute"),
        ("tar:/vsicurl/a.tar!b.tif", "'/vsi'"),
        ("tar:/no/such.tar!b.tif", "no such file"),
        ("GTIFF_DIR:1:a.tif", "no such file"),
        ("a" * 5000, "longer than"),
        ("/etc/hostname/a.tif", "not a directory"),
    ],
)
def test_paths_that_mean_more_than_a_file_are_refused(path, found):
    with pytest.raises(FormatError, match=found) as caught:
        inspect(path)
    assert "\n" not in str(caught.value)


def test_a_name_that_gdal_would_read_as_a_command_is_only_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("GTIFF_DIR:1:a.tif", "zip+http:a.tif", "a.tif?query#part", "C:a,b.tif"):
        os.rename(raster(tmp_path / "plain.tif", 9), name)
        values, _ = read_all(name)
        assert values[0, 0, 0] == 9.0


def test_links_are_followed(tmp_path):
    raster(tmp_path / "a.tif")
    (tmp_path / "b.tif").symlink_to("a.tif")
    assert inspect(str(tmp_path / "b.tif")).path == str(tmp_path / "b.tif")
    assert pixels.locate(str(tmp_path / "b.tif"))[0] == os.path.realpath(tmp_path / "a.tif")


def test_a_file_that_may_not_be_read_is_named(tmp_path):
    path = raster(tmp_path / "a.tif")
    os.chmod(path, 0)
    was = os.geteuid()
    if was == 0:  # to whom nothing is forbidden
        os.seteuid(65534)
    try:
        with pytest.raises(FormatError, match="permission denied"):
            inspect(path)
    finally:
        os.seteuid(was)


# ---- TIFF headers


def tiff(*directories, order="<", loop=None, size=4096):
    """Build a classic TIFF: directories of {tag: (type, values)} one after the other, data at byte 2048."""
    marks = {"<": b"II*\0", ">": b"MM\0*"}
    out = bytearray(marks[order] + struct.pack(order + "I", 8))
    at = 8
    for number, tags in enumerate(directories):
        following = at + 2 + 12 * len(tags) + 4
        out += struct.pack(order + "H", len(tags))
        for code, (kind, count, value) in sorted(tags.items()):
            packed = (
                struct.pack(order + "H", value) + b"\0\0" if kind == 3 else struct.pack(order + "I", value)
            )
            out += struct.pack(order + "HHI", code, kind, count) + packed
        last = number == len(directories) - 1
        out += struct.pack(order + "I", (loop or 0) if last else following)
        at = following
    return bytes(out) + bytes(max(0, size - len(out)))


PLAIN = {
    256: (4, 1, 16),
    257: (4, 1, 16),
    258: (3, 1, 8),
    259: (3, 1, 1),
    262: (3, 1, 1),
    273: (4, 1, 2048),
    277: (3, 1, 1),
    278: (4, 1, 16),
    279: (4, 1, 256),
}
SUN = PLAIN | {322: (4, 1, 1 << 15), 323: (4, 1, 1 << 15), 259: (3, 1, 50000)}
HEADERS = {
    "cut header": (tiff(PLAIN)[:6], "cut inside its header"),
    "cut big header": (b"II+\0\x08\0\0\0", "cut inside its header"),
    "odd offsets": (b"II+\0\x04\0\0\0" + bytes(90), "not 8 bytes"),
    "no directory": (b"II*\0" + bytes(90), "without a directory"),
    "directory beyond": (b"II*\0" + struct.pack("<I", 9999) + bytes(90), "beyond the file's end"),
    "directory cut": (tiff(PLAIN)[:50], "cut inside a directory"),
    "no tags": (b"II*\0" + struct.pack("<IH", 8, 0) + bytes(90), "directory of 0 tags"),
    "many tags": (b"MM\0*" + struct.pack(">IH", 8, 65535) + bytes(9999), "directory of 65535 tags"),
    "loop": (tiff(PLAIN, PLAIN, loop=8), "loop"),
    "loop to itself": (tiff(PLAIN, PLAIN, loop=8 + 2 + 12 * len(PLAIN) + 4), "loop"),
    "long chain": (tiff(PLAIN, *[{254: (4, 1, 1)}] * 1000), "more than 1000"),
    "wide": (tiff(PLAIN | {256: (4, 1, 2**31)}), "2147483648 x 16 pixels"),
    "no height": (tiff(PLAIN | {257: (4, 1, 0)}), "16 x 0 pixels"),
    "many bands": (tiff(PLAIN | {277: (3, 1, 65535)}), "65535 bands"),
    "many strips": (tiff(PLAIN | {257: (4, 1, 2**31 - 1), 278: (4, 1, 1)}), "2147483647 blocks"),
    "table overruns": (
        tiff(PLAIN | {278: (4, 1, 1), 273: (4, 16, 4090), 279: (4, 16, 4090)}),
        "16 entries that overruns",
    ),
    "huge table": (
        tiff(PLAIN | {257: (4, 1, 2**31 - 1), 278: (4, 1, 1), 273: (4, 2**31, 9), 279: (4, 2**31, 9)}),
        "overruns",
    ),
    "strip beyond": (tiff(PLAIN | {273: (4, 1, 5000)}), "strip 0 of 1 lies outside"),
    "strip cut": (tiff(PLAIN | {273: (4, 1, 4000)}), "strip 0 of 1 lies outside"),
    "text as width": (tiff(PLAIN | {256: (2, 1, 16)}), "field type 2"),
    "negative": (tiff(PLAIN | {273: (9, 1, 2**32 - 9)}), "negative"),
    "zero tile": (tiff(PLAIN | {322: (4, 1, 0), 323: (4, 1, 16)}), "blocks of 0 x 16"),
    "bomb": (tiff(SUN), "1073741824 bytes decoded"),
    "bomb in the mask": (tiff(PLAIN, SUN | {254: (4, 1, 4)}), "1073741824 bytes decoded"),
}


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_plain_header_the_hostile_ones_are_made_from_is_read(tmp_path, order):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(PLAIN, order=order)[:2048] + bytes(range(256)))
    values, _ = read_all(str(path))
    assert values.ravel().tolist() == list(range(256))


@pytest.mark.parametrize("kind", HEADERS)
def test_hostile_headers_are_refused_by_our_own_walk(tmp_path, kind):
    data, found = HEADERS[kind]
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    began = time.process_time()
    with (
        sniffing.opened(str(path)) as span,
        pytest.raises(CorruptError, match=re.escape(found)) as caught,
    ):
        check_tiff(span)
    assert caught.value.path == str(path)
    with pytest.raises(CorruptError, match=re.escape(found)):
        inspect(str(path))
    assert time.process_time() - began < SECONDS


# ---- tar


def header(name, size, kind=b"0"):
    """One tar header block."""
    made = tarfile.TarInfo(name)
    made.size, made.type = size, kind
    return made.tobuf(tarfile.USTAR_FORMAT)


BOMB = bytearray(header("x", 0, b"x"))
BOMB[124:136] = b"77777777777\0"
BOMB[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(BOMB))[0]
BACKWARDS = bytearray(header("x", 0))
BACKWARDS[124:136] = b"\xff" * 10 + b"\xfc\x00"  # base 256: minus 1024
BACKWARDS[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(BACKWARDS))[0]
TARS = {
    "cut": (header("a.tif", 5000) + bytes(100), CorruptError, "damaged tar"),
    "absurd extended header": (bytes(BOMB) + bytes(1024), CorruptError, "absurd size"),
    "negative size": (bytes(BACKWARDS) * 4 + bytes(1024), CorruptError, "before the file|loops"),
    "many members": (header("a", 0) * 20_001, CorruptError, "too many members"),
    "no tar": (b"hello" * 999, CorruptError, "none"),
    "gzip": (b"\x1f\x8b" + bytes(1000), CorruptError, "none"),
    "link": (header("a.tif", 0, b"2") + bytes(1024), FormatError, "no such regular"),
    "folder": (header("a.tif", 0, b"5") + bytes(1024), FormatError, "no such regular"),
}


@pytest.mark.parametrize("kind", TARS)
def test_hostile_archives_are_refused_in_seconds(tmp_path, kind):
    data, error, found = TARS[kind]
    path = tmp_path / "a.tar"
    path.write_bytes(data)
    began = time.process_time()
    with pytest.raises(error, match=found):
        inspect(f"tar:{path}!a.tif")
    assert time.process_time() - began < SECONDS
