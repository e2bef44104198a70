"""A product is planned on one reading of its headers, calibrated or not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import geofuse.rasters.pixels as pixels
import geofuse.run.plans.headers as headers
from geofuse.quality.simulated_pair import SimulatedPair
from geofuse.run.calibrating import calibrated_plan
from geofuse.run.plans.request import make_request
from geofuse.scenes.opening import open_pair


@pytest.mark.parametrize("calibrate", [True, False])
def test_headers_and_identities_are_read_once(
    pair: SimulatedPair, monkeypatch: pytest.MonkeyPatch, calibrate: bool
) -> None:
    seen: Counter[tuple[str, str]] = Counter()
    inspect, identity, relate = pixels.inspect, headers.identity, headers.relate

    def count(what: str, path: object) -> None:
        seen[what, str(path)] += 1

    monkeypatch.setattr(pixels, "inspect", lambda path: (count("header", path), inspect(path))[1])
    monkeypatch.setattr(headers, "identity", lambda path: (count("identity", path), identity(path))[1])
    monkeypatch.setattr(headers, "relate", lambda scene: (count("relation", ""), relate(scene))[1])
    scene = open_pair(str(pair.pan), [str(pair.ms)])
    opened = +seen
    request = make_request(method="gsa", calibrate=calibrate, window=(200, 200, 600, 600))
    plan = calibrated_plan(scene, request)
    assert (plan.calibration is not None) == calibrate
    assert seen - opened == {
        ("relation", ""): 1,
        **{("identity", str(path)): 1 for path in (pair.pan, pair.ms)},
    }
    assert {path for _, path in seen} == {"", *(str(Path(path)) for path in (pair.pan, pair.ms))}
