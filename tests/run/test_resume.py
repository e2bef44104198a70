"""Killed, torn, flipped, raced: the product is the old one or the new one, whole, and work is never lost."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from geofuse.cli import main
from geofuse.errors import LockedError
from geofuse.landscape.camera import make_truth
from geofuse.locks import locked
from geofuse.quality.simulated_pair import SimulatedPair, write_pair
from geofuse.rasters.ledger import json_path, mask_path, parts_dir, staged_path
from geofuse.run.records.product_files import verify
from tests.conftest import CAMERA


def arguments(pair: SimulatedPair, out: Path, *more: str, calibrated: bool = False) -> list[str]:
    """A fuse command with many small tiles."""
    base = ["fuse", "--pan", str(pair.pan), "--ms", str(pair.ms), "--out", str(out), "--no-progress"]
    look = [] if calibrated else ["--no-calibrate"]
    usual = {"--tile": "512", "--workers": "2", "--level": "3"}
    kept = [word for flag, value in usual.items() if flag not in more for word in (flag, value)]
    return [*base, *kept, *look, *more]


def started(pair: SimulatedPair, out: Path, *more: str, calibrated: bool = False) -> subprocess.Popen[bytes]:
    """The same in a process of its own."""
    words = arguments(pair, out, *more, calibrated=calibrated)
    return subprocess.Popen([sys.executable, "-m", "geofuse.cli", *words])


PIECE = ("--window", "200", "200", "600", "600")
"""Four tiles, and a quarter of the windows that calibration looks at."""


def checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> SimulatedPair:
    """A pair that takes long enough to be killed in: PAN 1600 x 1600, 16 tiles."""
    truth = make_truth(1600, rng=np.random.default_rng(5))
    return write_pair(tmp_path_factory.mktemp("large"), truth, CAMERA, slant_deg=8.0, seed=5)


def kill_and_resume(
    pair: SimulatedPair, folder: Path, kills: int, *more: str, seed: int, calibrated: bool
) -> int:
    """Kill a run at random moments, each followed by the same command; return how many died unfinished."""
    rng, reference = np.random.default_rng(seed), folder / "reference.tif"
    begun = time.monotonic()
    assert started(pair, reference, *more, calibrated=calibrated).wait() == 0
    undisturbed = time.monotonic() - begun
    unfinished = 0
    for number in range(kills):
        out = folder / f"{number}.tif"
        run = started(pair, out, *more, calibrated=calibrated)
        time.sleep(rng.uniform(0.3, 1.0) * undisturbed)
        run.send_signal(signal.SIGKILL)
        unfinished += run.wait() == -signal.SIGKILL
        if out.exists():
            assert checksum(out) == checksum(reference), "a torn file under the final name"
        assert started(pair, out, *more, calibrated=calibrated).wait() == 0
        assert checksum(out) == checksum(reference)
        assert verify(out)["fingerprint"]
        assert not parts_dir(out).exists()
        out.unlink()
    return unfinished


def test_killed_runs_go_on_to_the_same_bytes(large: SimulatedPair, tmp_path: Path) -> None:
    assert kill_and_resume(large, tmp_path, 3, seed=1, calibrated=False) >= 1


def test_runs_killed_while_they_calibrate_or_later_go_on_to_the_same_bytes(
    pair: SimulatedPair, tmp_path: Path
) -> None:
    assert kill_and_resume(pair, tmp_path, 2, *PIECE, seed=1, calibrated=True) >= 1


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_kills(large: SimulatedPair, tmp_path: Path) -> None:
    assert kill_and_resume(large, tmp_path, 24, seed=2, calibrated=True) >= 20 * 0.5


def test_sigterm_stops_soon_and_says_so(large: SimulatedPair, tmp_path: Path) -> None:
    out = tmp_path / "x.tif"
    run = subprocess.Popen(
        [sys.executable, "-m", "geofuse.cli", *arguments(large, out, "--level", "19")],
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(parts_dir(out).glob("*.part")):
        time.sleep(0.05)
        assert run.poll() is None
    run.terminate()
    _, text = run.communicate(timeout=10)
    assert run.returncode == 130
    assert "interrupted" in text
    assert "Traceback" not in text
    assert not out.exists()


def test_the_same_command_again_does_nothing(pair: SimulatedPair, tmp_path: Path) -> None:
    out = tmp_path / "x.tif"
    assert main(arguments(pair, out)) == 0
    before = out.stat()
    assert main(arguments(pair, out, "--tile", "1024")) == 0
    assert out.stat().st_mtime_ns == before.st_mtime_ns
    assert out.stat().st_ino == before.st_ino


def test_another_product_of_that_name_is_refused_unless_overwritten(
    pair: SimulatedPair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.tif"
    assert main(arguments(pair, out)) == 0
    first = checksum(out)
    assert main(arguments(pair, out, "--method", "gsa")) == 2
    assert "[exists]" in capsys.readouterr().err
    assert checksum(out) == first
    assert main(arguments(pair, out, "--method", "gsa", "--overwrite")) == 0
    assert checksum(out) != first
    assert verify(out)["method"]["name"] == "gsa"


def test_a_foreign_file_is_never_replaced_unasked(pair: SimulatedPair, tmp_path: Path) -> None:
    out = tmp_path / "x.tif"
    out.write_bytes(b"somebody's notes")
    assert main(arguments(pair, out)) == 2
    assert out.read_bytes() == b"somebody's notes"


def test_a_second_run_is_refused_while_the_first_lives(
    pair: SimulatedPair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.tif"
    with locked(out.absolute()):
        assert main(arguments(pair, out)) == 4
        assert "[locked]" in capsys.readouterr().err
        with pytest.raises(LockedError), locked(out.absolute()):
            pass
    assert main(arguments(pair, out)) == 0
    assert not list(tmp_path.glob(".*")), "nothing stays behind"


def test_two_at_once_make_one_product(large: SimulatedPair, tmp_path: Path) -> None:
    out = tmp_path / "x.tif"
    first, second = started(large, out), started(large, out)
    statuses = {first.wait(), second.wait()}
    assert 0 in statuses
    assert statuses <= {0, 4}
    verify(out)


def interrupted(pair: SimulatedPair, out: Path, *more: str, calibrated: bool = False) -> Path:
    """Leave a run's folder with all its parts but without a product."""
    import geofuse.rasters.ledger as module

    original = module.give_names
    try:
        module.give_names = lambda *args, **kwargs: (_ for _ in ()).throw(KeyboardInterrupt)
        assert main(arguments(pair, out, *more, calibrated=calibrated)) == 130
    finally:
        module.give_names = original
    return parts_dir(out)


def test_a_flipped_bit_in_a_part_is_found_and_only_that_tile_made_again(
    pair: SimulatedPair, tmp_path: Path
) -> None:
    assert main(arguments(pair, tmp_path / "reference.tif")) == 0
    out = tmp_path / "x.tif"
    parts = sorted(interrupted(pair, out).glob("*.part"))
    assert len(parts) == 9
    kept = {part.name: part.stat().st_mtime_ns for part in parts}
    data = bytearray(parts[4].read_bytes())
    data[len(data) // 2] ^= 1
    parts[4].write_bytes(data)
    os.utime(parts[4], ns=(0, 0))
    ages: dict[str, int] = {}
    import geofuse.rasters.ledger as module

    original = module.give_names

    def look(*args: object, **kwargs: object) -> None:
        ages.update({part.name: part.stat().st_mtime_ns for part in parts})
        original(*args, **kwargs)

    module.give_names = look
    try:
        assert main(arguments(pair, out)) == 0
    finally:
        module.give_names = original
    assert checksum(out) == checksum(tmp_path / "reference.tif")
    again = {name for name, age in ages.items() if age != kept[name]}
    assert again == {parts[4].name}


@pytest.mark.parametrize(("share", "calibrated"), [(0.0, False), (0.3, True), (0.9, False)])
def test_a_torn_ledger_is_rebuilt(
    pair: SimulatedPair, tmp_path: Path, share: float, calibrated: bool
) -> None:
    """And with it what calibration found, which is measured again."""
    assert main(arguments(pair, tmp_path / "reference.tif", *PIECE, calibrated=calibrated)) == 0
    out = tmp_path / "x.tif"
    ledger = interrupted(pair, out, *PIECE, calibrated=calibrated) / "ledger.json"
    data = ledger.read_bytes()
    ledger.write_bytes(data[: int(len(data) * share)])
    assert main(arguments(pair, out, *PIECE, calibrated=calibrated)) == 0
    assert checksum(out) == checksum(tmp_path / "reference.tif")


def test_killed_between_product_and_record_is_finished_by_verify_and_by_the_next_run(
    landsat: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x.tif"
    command = ["fuse", str(landsat), "--out", str(out), "--no-progress"]
    assert main(command) == 0
    key = verify(out)["fingerprint"]
    for finish in (lambda: main(["verify", str(out)]), lambda: main(command)):
        parts_dir(out).mkdir(exist_ok=True)
        for final in (json_path(out), mask_path(out)):
            final.replace(staged_path(out, final, key))
        assert finish() == 0
        assert verify(out)["fingerprint"] == key
    assert not parts_dir(out).exists()


def test_an_input_that_changes_during_the_run_is_named(
    pair: SimulatedPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import geofuse.run.fuse as module

    copy = SimulatedPair(tmp_path / "pan.tif", pair.ms, pair.truth)
    copy.pan.write_bytes(pair.pan.read_bytes())
    original = module.fit_plan

    def meddle(*args: object, **kwargs: object) -> object:
        os.utime(copy.pan, ns=(1, 1))
        return original(*args, **kwargs)

    monkeypatch.setattr(module, "fit_plan", meddle)
    out = tmp_path / "x.tif"
    assert main(arguments(copy, out)) == 4
    text = capsys.readouterr().err
    assert "[changed]" in text
    assert "pan.tif" in text
    assert not out.exists()


def test_an_input_that_changes_after_calibration_looked_at_it_is_named(
    pair: SimulatedPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import geofuse.run.calibrating as module

    copy = SimulatedPair(tmp_path / "pan.tif", pair.ms, pair.truth)
    copy.pan.write_bytes(pair.pan.read_bytes())
    original = module.calibrate

    def meddle(*args: Any, **kwargs: Any) -> Any:
        os.utime(copy.pan, ns=(1, 1))
        return original(*args, **kwargs)

    monkeypatch.setattr(module, "calibrate", meddle)
    out = tmp_path / "x.tif"
    assert main(arguments(copy, out, "--method", "exp", calibrated=True)) == 4
    text = capsys.readouterr().err
    assert "[changed]" in text
    assert "pan.tif" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pan.tif"]


def test_verify_finds_a_flipped_bit_a_lost_record_and_a_foreign_tail(
    pair: SimulatedPair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.tif"
    assert main(arguments(pair, out)) == 0
    assert main(["verify", str(out)]) == 0
    good = out.read_bytes()
    bad = bytearray(good)
    bad[len(bad) * 2 // 3] ^= 4
    for data in (bytes(bad), good + b"x", good[:-1]):
        out.write_bytes(data)
        assert main(["verify", str(out)]) == 2
        assert "[verify]" in capsys.readouterr().err
    out.write_bytes(good)
    assert main(["verify", str(out)]) == 0
    record = json_path(out)
    text = record.read_text()
    changed = json.loads(text)
    changed["grid"]["transform"][2] += 1.0
    record.write_text(json.dumps(changed))
    assert main(["verify", str(out)]) == 2
    record.unlink()
    assert main(["verify", str(out)]) == 2
    assert main(["verify", str(tmp_path / "none.tif")]) == 2


def test_a_full_disk_is_an_error_and_the_run_goes_on_afterwards(pair: SimulatedPair, tmp_path: Path) -> None:
    out, reference = tmp_path / "x.tif", tmp_path / "reference.tif"
    assert main(arguments(pair, reference)) == 0
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({reference.stat().st_size // 2},) * 2);"
        "from geofuse.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments(pair, out)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 4, done.stderr
    assert "[write]" in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()
    assert len(list(parts_dir(out).glob("*.part"))) == 9, "it was full while the product was laid down"
    assert main(arguments(pair, out)) == 0
    assert checksum(out) == checksum(reference)
    with rasterio.open(out) as product:
        assert product.read().any()
