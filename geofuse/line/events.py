"""What a run tells while it goes: one small event after the other, to whoever listens; and how it tells a fault."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Unpack

from geofuse.errors import ChangedError, GeofuseError
from geofuse.line.answers import EventData, FaultDocument
from geofuse.run.progress import Progress

EVERY_S = 0.5
"""Progress is told so often at most, and always at its beginning and its end."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a scene."""

    kind: str
    """scene_started, stage_started, progress, stage_ended, stage_failed, verdict, published, scene_ended."""
    scene: str
    """Name of the scene."""
    key: str
    """Of its inputs and its configuration."""
    stage: str = ""
    """Name of the stage, where it is one's."""
    time_s: float = 0.0
    """Seconds since 1970."""
    data: EventData = field(default_factory=EventData)
    """What belongs to the kind."""


Tell = Callable[[Event], None]
"""Called in the thread of the run; what it raises ends the run."""


def quiet(event: Event) -> None:
    """Listen to nothing."""


def now_event(kind: str, scene: str, key: str, stage: str = "", **data: Unpack[EventData]) -> Event:
    """Return an event of this moment."""
    return Event(kind, scene, key, stage, time.time(), data)


def told_progress(tell: Tell, scene: str, key: str, stage: str) -> Progress:
    """Return a progress callback that tells events, not too many of them."""
    last = {"what": "", "at": 0.0}

    def show(what: str, done: int, total: int, resumed: int) -> None:
        moment = time.monotonic()
        if what == last["what"] and done < total and moment - float(str(last["at"])) < EVERY_S:
            return
        last.update(what=what, at=moment)
        tell(
            now_event(
                "progress", scene, key, stage, what=what, done_px=done, total_px=total, resumed_px=resumed
            )
        )

    return show


def may_retry(fault: BaseException) -> bool:
    """Say whether the same stage may succeed later: storage, lost workers, a full disk; not bad input."""
    if isinstance(fault, ChangedError):
        return False  # other inputs are another scene: whoever finds scenes must look again
    return isinstance(fault, GeofuseError) and (fault.exit_status == 4 or fault.code == "disk")


def fault_to_json(fault: GeofuseError) -> FaultDocument:
    """Turn a fault into JSON values."""
    return {
        "code": fault.code,
        "message": str(fault),
        "do": fault.do,
        "exit_status": fault.exit_status,
        "may_retry": may_retry(fault),
    }
