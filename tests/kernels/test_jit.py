"""Kernels work where nothing may be cached."""

from __future__ import annotations

import os
import subprocess
import sys


def test_without_a_place_for_the_cache_kernels_still_compile() -> None:
    """A cache that has no locator: numba refuses, the kernel must not."""
    script = (
        "import numba.core.caching as caching\n"
        "for cache in (caching.CacheImpl,):\n"
        "    cache._locator_classes = []\n"
        "import numpy as np\n"
        "from geofuse.kernels.resample import fill\n"
        "values = np.array([[[2.0, 0.0]]]); valid = np.array([[True, False]])\n"
        "print(fill(values, valid, 1)[0, 0, 1])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == 2.0
