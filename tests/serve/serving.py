"""A real `geofuse serve` on a free port of this machine, and small catalogues for it."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STARTS_IN_S = 60.0
_ADDRESS = re.compile(r"running on (http://[0-9a-z.:]+)")


@contextmanager
def served(folder: Path, *options: str) -> Iterator[str]:
    """Serve a catalogue in a process of its own; gives the address, and ends the process."""
    command = [sys.executable, "-m", "geofuse.cli", "serve", str(folder), "--port", "0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said: list[str] = []
    watch = threading.Timer(STARTS_IN_S, process.kill)
    watch.start()
    address = None
    try:
        for line in process.stderr:
            said.append(line)
            if found := _ADDRESS.search(line):
                address = found[1]
                break
        watch.cancel()
        assert address, "".join(said)
        rest = threading.Thread(target=lambda: said.extend(process.stderr or ()), daemon=True)
        rest.start()
        yield address
    finally:
        watch.cancel()
        process.terminate()
        process.wait(timeout=20)
        if address:
            rest.join()
        process.stderr.close()
    assert not [line for line in said if "Traceback" in line], "".join(said)
