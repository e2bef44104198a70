"""A real server over a real catalogue, and a real browser in front of it, for the tests of the page."""

from __future__ import annotations

import contextlib
import io
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--force-prefers-reduced-motion"),
]
UP_S = 60.0


@contextlib.contextmanager
def served(catalog: Path, *options: str) -> Iterator[str]:
    """Serve a catalogue in a process of its own; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "geofuse.cli", "serve", str(catalog), "--port", str(port), *options]
    log = catalog.parent / f"serve-{port}.log"
    with log.open("w") as said:
        server = subprocess.Popen(command, stdout=said, stderr=said)
    try:
        _await(url, server, log)
        yield url
    finally:
        server.terminate()
        server.wait(20)


def _await(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + UP_S
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text()
        try:
            with urlopen(f"{url}/healthz", timeout=5) as answer:
                assert answer.status == 200
                return
        except (URLError, ConnectionError):
            time.sleep(0.1)
    raise AssertionError(f"no answer within {UP_S} s: {log.read_text()}")


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A real Chromium, headless; skips where none is installed."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@dataclass(slots=True)
class Watch:
    """What a page said and asked while it was looked at."""

    home: str
    """The server's address."""
    said: list[str] = field(default_factory=list)
    """Console messages and faults."""
    asked: list[str] = field(default_factory=list)
    """Addresses of all requests."""

    def follow(self, view: Any) -> None:
        """Listen to a page."""
        view.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        view.on("pageerror", lambda error: self.said.append(str(error)))
        view.on("request", lambda request: self.asked.append(request.url))

    def outside(self) -> list[str]:
        """Requests to anybody but the server."""
        own = urlsplit(self.home).netloc
        schemes = ("data", "blob")
        return [
            url for url in self.asked if urlsplit(url).netloc != own and urlsplit(url).scheme not in schemes
        ]


@contextlib.contextmanager
def looking(
    browser: Any, home: str, *, width: int = 1440, height: int = 900, **options: Any
) -> Iterator[Any]:
    """Open a page; afterwards it must have said nothing and asked nobody else."""
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    context.set_default_timeout(30_000)
    view = context.new_page()
    watch = Watch(home)
    watch.follow(view)
    yield view
    context.close()
    assert not watch.said, watch.said
    assert not watch.outside(), watch.outside()
    assert watch.asked


def until(view: Any, expression: str, *, limit_s: float = 30.0) -> None:
    """Wait until an expression is true in the page; the page's own rules forbid Playwright's way to wait for one."""
    end = time.monotonic() + limit_s
    while not view.evaluate(expression):
        assert time.monotonic() < end, f"not within {limit_s} s: {expression}"
        view.wait_for_timeout(60)


def settle(view: Any) -> None:
    """Wait until the map has loaded and drawn what it shows."""
    view.wait_for_load_state("networkidle")
    idle = "document.querySelector('.map').getAttribute('aria-busy') !== 'true'"
    for _ in range(2):
        view.wait_for_timeout(200)
        until(view, idle)


def seen(view: Any, box: dict[str, float]) -> NDArray[np.float64]:
    """What a part of the page looks like, as (row, column, channel)."""
    picture = Image.open(io.BytesIO(view.screenshot(clip=box))).convert("RGB")
    return np.asarray(picture, np.float64)
