"""The examples in docstrings run and give what they say."""

from __future__ import annotations

import doctest
import importlib

from imports import sources


def test_examples_in_docstrings_give_what_they_say() -> None:
    faults, tried = [], 0
    for module, path in sources().items():
        if ">>> " in path.read_text():
            found = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
            tried += found.attempted
            if found.failed:
                faults.append(f"{module}: {found.failed} of {found.attempted}; python -m doctest -v {path}")
    assert not faults
    assert tried > 75
