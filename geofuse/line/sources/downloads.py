"""A file over HTTP, whole or not at all: resumed where it broke off, checked by size and checksum."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from geofuse.errors import CorruptError, ReadError, WriteError
from geofuse.files import read_json, sync, write_faults, write_json
from geofuse.line.sources.manifest import digest_of
from geofuse.line.sources.web import Answer, Web

CHECK_BYTES = 64 << 20
"""Between two looks at the room on the disk."""
ATTEMPTS = 4
BACKOFF_S = 1.0
RESERVE_BYTES = 256 << 20
"""Of the disk that a download leaves to the others."""
log = logging.getLogger(__name__)


def download(
    url: str,
    target: Path,
    said: Mapping[str, Any],
    *,
    web: Web,
    progress: Callable[[str, int, int, int], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Download a file to `target`, going on where an earlier attempt broke off, if it is still the same file.

    `said` is what is known of it: size, kind and digest of a checksum. Raises ReadError where it cannot be had
    now, CorruptError where what came is not what was said, twice.
    """
    if target.is_file():
        try:
            return check_whole(target, said, url)
        except CorruptError:
            target.unlink()
    part = target.with_name(f".{target.name}.part")
    for attempt in range(ATTEMPTS):
        try:
            _go_on(url, part, said.get("size"), web, progress)
            check_whole(part, said, url)
        except (CorruptError, ReadError) as fault:
            if isinstance(fault, CorruptError):
                _forget(part)
            last = attempt == ATTEMPTS - 1 or (isinstance(fault, CorruptError) and attempt > 0)
            if last or (fault.code == "read" and "HTTP 4" in fault.found):
                raise
            log.warning("%s; attempt %d of %d", fault, attempt + 2, ATTEMPTS)
            sleep(BACKOFF_S * 2.0**attempt)
            continue
        with write_faults(target):
            sync(part)
            part.replace(target)
            _note(part).unlink(missing_ok=True)
        return None
    return None


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _go_on(
    url: str,
    part: Path,
    size: int | None,
    web: Web,
    progress: Callable[[str, int, int, int], None] | None,
) -> None:
    """Fetch what is missing of a file; `If-Range` makes a server that has another file now send all of it."""
    have = part.stat().st_size if part.exists() else 0
    validator = (read_json(_note(part)) or {}).get("validator")
    headers = {"Range": f"bytes={have}-", "If-Range": validator} if have and validator else {}
    with web.opened(url, headers=headers) as answer:
        if answer.status == 416:
            _forget(part)  # longer than the file is now
        if answer.status not in (200, 206):
            raise ReadError(f"HTTP {answer.status}", do="try again later", path=url)
        begin = have if answer.status == 206 and _starts_at(answer, have) else 0
        length = answer.headers.get("content-length", "")
        total = begin + int(length) if length.isdigit() else None
        if size is not None and total not in (None, size):
            raise CorruptError(f"{total} bytes are offered", wanted=f"{size} bytes", path=url)
        _check_room(part, (total or size or begin) - begin)
        _keep_note(part, answer)
        _write(answer, part, begin, total if size is None else size, progress)


def _check_room(part: Path, more: int) -> None:
    """Raise WriteError where the disk has no room for so many bytes more."""
    with write_faults(part):
        free = shutil.disk_usage(part.parent).free
    if free < more + RESERVE_BYTES:
        raise WriteError(
            f"{free / 2**30:.2f} GiB free",
            wanted=f"{(more + RESERVE_BYTES) / 2**30:.2f} GiB",
            do="free space, then run the same command again",
            path=str(part.parent),
        )


def _starts_at(answer: Answer, have: int) -> bool:
    return str(answer.headers.get("content-range", "")).startswith(f"bytes {have}-")


def _keep_note(part: Path, answer: Answer) -> None:
    """Note by what the same file is known again; a weak validator is none."""
    etag = answer.headers.get("etag")
    strong = etag if etag and not etag.startswith("W/") else answer.headers.get("last-modified")
    write_json(_note(part), {"validator": strong})


def _write(
    answer: Answer,
    part: Path,
    begin: int,
    total: int | None,
    progress: Callable[[str, int, int, int], None] | None,
) -> None:
    done = begin
    with write_faults(part):
        handle = part.open("r+b" if begin else "wb")
    with handle:
        handle.seek(begin)
        checked = done
        for piece in answer.pieces:
            done += len(piece)
            if total is not None and done > total:
                raise CorruptError(f"more than the {total} bytes that were said")
            if done - checked >= CHECK_BYTES:
                _check_room(part, (total or done) - done)
                checked = done
            with write_faults(part):
                handle.write(piece)
            if progress is not None:
                progress(f"download {part.name[1:-5]}", done, max(total or 0, done), begin)
        with write_faults(part):
            handle.truncate()
            handle.flush()
            os.fsync(handle.fileno())
    if total is not None and done < total:
        raise ReadError(f"the download broke off at {done} of {total} bytes", do="try again later")


def check_whole(path: Path, said: Mapping[str, Any], url: str) -> None:
    """Raise CorruptError where a file is not of the size and checksum that were said."""
    size = said.get("size")
    if size is not None and path.stat().st_size != size:
        raise CorruptError(f"{path.stat().st_size} bytes", wanted=f"{size} bytes", path=url)
    if said.get("digest"):
        found = digest_of(str(path), said["kind"])
        if found != said["digest"]:
            raise CorruptError(
                f"{said['kind']} {found[:12]}...", wanted=f"{said['digest'][:12]}...", path=url
            )
