"""What the shipped weights promise, measured by the product's own path; slow."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from geofuse.nets.weights import shipped
from tests.benchmarks import neural_quality as quality

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]


def rows(make, folder: Path) -> list[dict]:
    return [quality.row(name, place, None) for name, place in make(folder)]


def test_shipped_weights_beat_ridge_on_drawn_scenes(tmp_path: Path) -> None:
    for row in rows(quality.drawn, tmp_path):
        assert row["network"]["ergas"] < 0.97 * row["ridge"]["ergas"], row["name"]
        assert row["adapted"]["ergas"] < 0.97 * row["ridge"]["ergas"], row["name"]


@pytest.mark.usefixtures("data_dir")
def test_nothing_real_becomes_worse_and_adapting_helps_half_of_it(tmp_path: Path) -> None:
    found = [*rows(quality.landsat, tmp_path), *rows(quality.sentinel, tmp_path)]
    for row in found:
        assert row["network"]["ergas"] <= 1.005 * row["ridge"]["ergas"], row["name"]
        assert row["adapted"]["ergas"] <= 1.005 * row["ridge"]["ergas"], row["name"]
        assert row["adapted"]["adapt_cpu_s"] < 60.0
    better = [row["adapted"]["ergas"] < row["ridge"]["ergas"] for row in found]
    assert 2 * sum(better) >= len(better)


@pytest.mark.usefixtures("data_dir")
def test_pan_gan_beats_upsampling_by_a_fifth(tmp_path: Path) -> None:
    from geofuse.run.plans.request import make_request

    _, place = next(quality.landsat(tmp_path))
    for rounds in (0, 3):
        plain = quality.judged(place, make_request(method="exp", back_projections=rounds), f"exp{rounds}")
        weights = str(shipped()["landsat-pan-gan"])
        asked = make_request(method="pan-gan", network=weights, device="cpu", back_projections=rounds)
        made = quality.judged(place, asked, f"gan{rounds}")
        assert made["ergas"] < 0.8 * plain["ergas"]
        assert 1.0 - made["scc"] < 0.8 * (1.0 - plain["scc"])
