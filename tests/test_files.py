"""Files written whole or not at all, their permissions, digests, and sizes as people write them."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from pathlib import Path

import pytest

from geofuse.errors import ReadError, WriteError
from geofuse.files import parse_bytes, replacing, sha256_by, sha256_of, write_bytes, write_json


def test_a_fault_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_bytes(b"before")
    with pytest.raises(KeyError):
        _broken_off(target)
    assert target.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["a.txt"]
    with pytest.raises(WriteError, match="cannot write"):
        write_bytes(tmp_path / "no" / "such.txt", b"")


def _broken_off(target: Path) -> None:
    with replacing(target) as draft:
        draft.write_bytes(b"half")
        raise KeyError


def test_writers_at_once_do_not_share_a_draft(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    values = [bytes([number]) * 100_000 for number in range(8)]
    writers = [threading.Thread(target=write_bytes, args=(target, value)) for value in values]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert target.read_bytes() in values
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_secret_is_never_readable_by_others(tmp_path: Path) -> None:
    target = tmp_path / "keys.json"
    with replacing(target, mode=0o600) as draft:
        assert stat.S_IMODE(draft.stat().st_mode) == 0o600
        draft.write_bytes(b"{}")
    write_json(target, {"tokens": []}, mode=0o600)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_digests_are_those_of_the_bytes(tmp_path: Path) -> None:
    data = os.urandom(3_000_001)
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    assert sha256_of(path) == sha256_of(str(path)) == hashlib.sha256(data).hexdigest()
    assert sha256_by(lambda at, count: data[at : at + count], len(data)) == sha256_of(path)
    assert sha256_by(lambda at, count: data[at : at + count], len(data) + 9) == sha256_of(path)
    with pytest.raises(ReadError):
        sha256_of(tmp_path / "none")


def test_sizes_as_people_write_them() -> None:
    for text, wanted in (
        *(("0", 0), ("512", 512), ("4GiB", 4 << 30), (" 512 MB ", 512 << 20), ("1g", 1 << 30)),
        *((".5k", 512), ("1.5t", 3 << 39), ("1e3", 1000), ("12b", 12)),
    ):
        assert parse_bytes(text) == wanted, text
    for text in ("", "-4g", "4x", "g", "4 GiB!", "0x10", "nan", "inf", "1e-3", "٤g"):
        with pytest.raises(ValueError, match="no size such as 4GiB"):
            parse_bytes(text)
