"""Parts are trusted only whole; a full disk, a bad part or a kill leaves no product that is not one."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from geofuse.errors import CorruptError, UsageError, WriteError
from geofuse.rasters.cog import (
    CogSpec,
    EncodedTile,
    assemble,
    check_part,
    encode_tile,
    make_spec,
    validate_cog,
    write_cog,
    write_part,
)

SPEC = make_spec(height=700, width=1000, bands=2, dtype="uint16", nodata=0, level=1)


def pixels() -> NDArray[np.uint16]:
    row, col = np.mgrid[:700, :1000]
    noise = np.random.default_rng(0).integers(1, 50, (700, 1000, 2))
    return (noise + (row // 9 + col // 11)[..., None]).astype(np.uint16)


def tiles(spec: CogSpec = SPEC) -> list[EncodedTile]:
    return [
        encode_tile(
            pixels()[512 * row :, 512 * col :][:512, :512], spec, tile_row=row, tile_col=col, tile_px=512
        )
        for row, col in np.ndindex(2, 2)
    ]


@pytest.fixture(scope="module")
def made() -> list[EncodedTile]:
    return tiles()


@pytest.fixture
def parts(tmp_path: Path, made: list[EncodedTile]) -> list[Path]:
    (tmp_path / "parts").mkdir()
    paths = [tmp_path / "parts" / f"{index}.part" for index in range(4)]
    for path, tile in zip(paths, made, strict=True):
        write_part(path, [tile], fingerprint="abc", extra={"valid": 3, "moved": 0})
    return paths


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_part_gives_its_extra_back(parts: list[Path]) -> None:
    assert check_part(parts[0], fingerprint="abc") == {"valid": 3, "moved": 0}
    assert names(parts[0].parent) == [path.name for path in parts]


def test_absent_foreign_and_other_parts_are_none(parts: list[Path], tmp_path: Path) -> None:
    assert check_part(parts[0], fingerprint="abd") is None
    assert check_part(tmp_path / "absent", fingerprint="abc") is None
    assert check_part(tmp_path, fingerprint="abc") is None
    for text in (b"", b"II*\0", b"geofuse1", b"geofuse1" + b"\xff" * 8, parts[0].read_bytes() + b"\0"):
        (tmp_path / "foreign").write_bytes(text)
        assert check_part(tmp_path / "foreign", fingerprint="abc") is None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_cut_and_every_flipped_bit_is_found(parts: list[Path], data: st.DataObject) -> None:
    whole = parts[0].read_bytes()
    bad = parts[0].with_name("bad")
    at = data.draw(st.integers(0, len(whole) - 1) | st.integers(0, 400))
    bad.write_bytes(whole[:at])
    assert check_part(bad, fingerprint="abc") is None
    flipped = bytearray(whole)
    flipped[at] ^= 1 << data.draw(st.integers(0, 7))
    bad.write_bytes(flipped)
    assert check_part(bad, fingerprint="abc") is None


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_assembly_names_the_bad_part_and_leaves_nothing(parts: list[Path], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, 3))
    whole = parts[index].read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1) | st.integers(0, 400))
    spoilt = bytearray(whole)
    spoilt[at] ^= 1 << data.draw(st.integers(0, 7))
    parts[index].write_bytes(data.draw(st.sampled_from([bytes(spoilt), whole[:at]])))
    out = parts[0].parent.parent / "out.tif"
    try:
        with pytest.raises(CorruptError) as caught:
            assemble(out, SPEC, parts, tile_px=512)
    finally:
        parts[index].write_bytes(whole)
    assert caught.value.path == str(parts[index])
    assert caught.value.do
    assert not out.exists()


def test_parts_of_another_place_product_or_number_are_refused(
    parts: list[Path], tmp_path: Path, made: list[EncodedTile]
) -> None:
    out = tmp_path / "out.tif"
    swapped = [parts[1], parts[0], *parts[2:]]
    with pytest.raises(CorruptError, match="another tile"):
        assemble(out, SPEC, swapped, tile_px=512)
    with pytest.raises(CorruptError):
        assemble(out, replace(SPEC, nodata=1.0), parts, tile_px=512)
    with pytest.raises(CorruptError):
        assemble(out, SPEC, parts, tile_px=512, image=1)
    with pytest.raises(CorruptError, match="missing"):
        assemble(out, SPEC, [*parts[:3], tmp_path / "absent"], tile_px=512)
    with pytest.raises(UsageError, match="4 parts"):
        assemble(out, SPEC, parts, tile_px=1024)
    assert not out.exists()
    other = {"tags": {"A": "b"}}  # tags are the coordinator's: the blocks do not know them
    assert assemble(out, replace(SPEC, **other), parts, tile_px=512).size_bytes > 0


def test_a_folder_that_is_not_there_is_a_write_error(tmp_path: Path, made: list[EncodedTile]) -> None:
    gone = tmp_path / "gone"
    with pytest.raises(WriteError) as caught:
        write_part(gone / "part", made[:1], fingerprint="abc", extra={})
    assert caught.value.path == str(gone / "part")
    with pytest.raises(WriteError):
        write_cog(gone / "out.tif", pixels(), SPEC)


LIMITED = """
import resource, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_cog_parts import SPEC, pixels, tiles
from geofuse.errors import WriteError
from geofuse.rasters.cog import assemble, write_cog, write_part

folder = Path(sys.argv[1])
made = tiles()
paths = [folder / f"{index}.part" for index in range(4)]
for path, tile in zip(paths, made):
    write_part(path, [tile], fingerprint="abc", extra={})
old = write_cog(folder / "old.tif", pixels(), SPEC)
for limit in (1000, 100_000, old.size_bytes - 1):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    for name, fails in {
        "part": lambda: write_part(folder / "new.part", made, fingerprint="abc", extra={}),
        "array": lambda: write_cog(folder / "old.tif", pixels(), SPEC),
        "assembly": lambda: assemble(folder / "new.tif", SPEC, paths, tile_px=512),
    }.items():
        try:
            fails()
            print(name, limit, "written")
        except WriteError as fault:
            print(name, limit, "refused", fault.exit_status)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert assemble(folder / "again.tif", SPEC, paths, tile_px=512) == old
"""


def run(code: str, *arguments: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments), str(Path(__file__).parent)]
    return subprocess.run(command, capture_output=True, text=True, check=True)


def test_a_full_disk_is_a_write_error_and_leaves_what_was_there(tmp_path: Path) -> None:
    lines = run(LIMITED, tmp_path).stdout.split("\n")[:-1]
    assert len(lines) == 9
    assert all(line.endswith("refused 4") for line in lines), lines
    assert names(tmp_path) == ["0.part", "1.part", "2.part", "3.part", "again.tif", "old.tif"]
    assert (tmp_path / "old.tif").read_bytes() == (tmp_path / "again.tif").read_bytes()


FOREVER = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_cog_parts import SPEC, pixels, tiles
from geofuse.rasters.cog import write_cog, write_part

folder = Path(sys.argv[1])
made, array = tiles()[:1], pixels()
while True:
    write_part(folder / "a.part", made, fingerprint="abc", extra={})
    write_cog(folder / "a.tif", array, SPEC)
    print("once", flush=True)
"""


def test_killed_while_writing_leaves_whole_files(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FOREVER, str(tmp_path), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.23)
        child.kill()
    assert check_part(tmp_path / "a.part", fingerprint="abc") == {}
    assert validate_cog(tmp_path / "a.tif") == []
    assert all(name.endswith(".tmp") for name in names(tmp_path) if name not in ("a.part", "a.tif"))
