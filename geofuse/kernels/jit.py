"""How every kernel is compiled: once, kept on disk, without the GIL, IEEE arithmetic, nothing reordered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit
from numba.core.registry import cpu_target


def start() -> None:
    """Let the compiler load what it needs before its first kernel."""
    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a loop at its first call and keep the machine code beside the source or in the user's cache.

    Division follows numpy: by zero gives inf or NaN, no exception, so that loops become vectors. Where nothing may
    be written, as in a read-only container without a home, the code is compiled anew in each process.
    """
    options = {"nogil": True, "fastmath": False, "error_model": "numpy"}
    try:
        return njit(function, cache=True, **options)  # type: ignore[no-any-return]
    except RuntimeError:  # numba found no place for its cache
        return njit(function, **options)  # type: ignore[no-any-return]
