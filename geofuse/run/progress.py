"""How far a run is: what is called on the way."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int, int], None]
"""Called with stage, pixels done, pixels in all, pixels taken over from an earlier run."""


def silent(stage: str, done: int, total: int, resumed: int) -> None:
    """Show nothing."""
