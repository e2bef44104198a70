"""Lists of checksums that come along with a scene, as sha256sum, md5sum and their like write them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from geofuse.errors import CorruptError, ProductError
from geofuse.rasters.opening.sniffing import bytes_at, opened
from geofuse.scenes import sidecars
from geofuse.scenes.readers.base import Listing, list_folder, list_tar

MANIFEST_BYTES = 4 << 20
CHUNK_BYTES = 1 << 20
_NAME = re.compile(
    r"(?:(?:sha\d*|md5)sums?|checksums?|manifest)(?:\.(?:txt|sha\d*|md5))?|.*\.(?:sha\d+|md5)", re.I
)
_LINE = re.compile(r"\\?([0-9a-fA-F]{32,128})\s[\s*](.+)")
_BY_LENGTH = {32: "md5", 40: "sha1", 64: "sha256", 96: "sha384", 128: "sha512"}


def check_manifest(source: str, *, required: bool = False) -> int:
    """Check every file that a scene's lists of checksums name; returns how many there were.

    The lists lie in the folder or archive, or beside an archive (BUNDLE.tar.sha256). Raises ProductError for a
    list that names what is not there or cannot be read, and where a list is required and none is there;
    CorruptError for a file with another checksum.
    """
    count = lists = 0
    for path, files in _lists(source):
        lists += 1
        for digest, name in _entries(path):
            place = files.get(os.path.basename(name))
            if place is None:
                raise ProductError(f"no {name}, which {os.path.basename(path)} names", path=source)
            kind = _BY_LENGTH.get(len(digest))
            if kind is None:
                raise ProductError(
                    f"a checksum of {len(digest)} digits", wanted="MD5, SHA-1 or SHA-2", path=path
                )
            found = digest_of(place, kind)
            if found != digest.lower():
                raise CorruptError(
                    f"{kind} {found[:12]}...",
                    wanted=f"{digest[:12]}... as {os.path.basename(path)} says",
                    do="deliver it again",
                    path=place,
                )
            count += 1
    if required and not lists:
        raise ProductError(
            "no list of checksums", wanted="SHA256SUMS, MD5SUMS, *.sha256 or *.md5 with it", path=source
        )
    return count


def digest_of(path: str, kind: str) -> str:
    """Return a file's or archive member's digest of a kind, as hex."""
    digest = hashlib.new(kind, usedforsecurity=False)
    with opened(path) as span:
        for at in range(0, span.size, CHUNK_BYTES):
            digest.update(bytes_at(span, at, CHUNK_BYTES))
    return digest.hexdigest()


def _lists(source: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each list and the files it may name, by their base names."""
    if os.path.isdir(source):
        files = _by_name(list_folder(source))
    else:
        place = Path(source)
        for suffix in (".sha256", ".sha512", ".md5"):
            beside = place.with_name(place.name + suffix)
            if beside.is_file():
                yield str(beside), {place.name: source}
        files = _by_name(list_tar(source)) if source.lower().endswith(".tar") else {}
    for name, path in files.items():
        if _NAME.fullmatch(name):
            yield path, {**files, name: path}


def _by_name(listing: Listing) -> dict[str, str]:
    return {entry.name: entry.path for entry in listing.entries}


def _entries(path: str) -> Iterator[tuple[str, str]]:
    text = sidecars.read_small(path, MANIFEST_BYTES).decode("utf-8", "replace")
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.rstrip())
        if match is None:
            raise ProductError(
                f"line {number} is no checksum and name", wanted="as sha256sum writes them", path=path
            )
        yield match[1], match[2]
