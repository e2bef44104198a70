"""The server against its own description, by requests that a machine thinks up: none may break it."""

from __future__ import annotations

import logging

import pytest
import schemathesis
from conftest import OPEN, Site
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.generation.modes import GenerationMode


def attacked(site: Site, examples: int) -> int:
    """Send so many made-up requests to each operation; returns how many there were."""
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{site.port}/openapi.json")
    schema.config.generation.modes = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
    sent = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            database=None,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def attack(case: schemathesis.Case) -> None:
            nonlocal sent
            sent += 1
            if "id" in case.path_parameters and sent % 2:
                case.path_parameters["id"] = OPEN
            answer = case.call(timeout=30)
            assert answer.status_code < 500 or answer.status_code == 503, (
                case.as_curl_command(),
                answer.text,
            )
            assert b"Traceback" not in answer.content

        attack()
    return sent


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logging.getLogger("geofuse.serve").setLevel(logging.CRITICAL)


@pytest.mark.filterwarnings("ignore")
def test_no_made_up_request_breaks_it(site: Site) -> None:
    assert attacked(site, 6) > 100


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_nor_do_thousands(site: Site) -> None:
    assert attacked(site, 150) > 3000
