"""Clips as jobs: one at a time, with progress, cancelled when asked, kept for a while, then gone."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from geofuse.clips.clip import Cut
from geofuse.clips.clip_files import write_clip
from geofuse.errors import BusyError, DiskSpaceError, GeofuseError, MissingError
from geofuse.serve.answers import ClipAnswer
from geofuse.serve.settings import ServeLimits

RESERVE_BYTES = 512 << 20
"""Disk that is left to others."""
_log = logging.getLogger(__name__)


class Cancelled(Exception):
    """The job is not wanted any more."""


@dataclass(slots=True)
class ClipJob:
    """A clip that is waiting, at work, or over."""

    id: str
    """Not to be guessed."""
    owner: str | None
    """The user who asked; None: whoever knows the id."""
    item: str
    """Id of the item."""
    cut: Cut
    """What is cut."""
    name: str
    """What the file is saved as."""
    path: Path
    """Where it is made."""
    state: str = "queued"
    """queued, running, done, failed or cancelled."""
    done: float = 0.0
    """0 to 1."""
    message: str | None = None
    """What went wrong."""
    bytes: int | None = None
    """Of the finished file."""
    ended: float | None = None
    """When it was over, by the monotonic clock."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set to cancel it."""


class Jobs:
    """All clips of a server."""

    def __init__(self, limits: ServeLimits, check: Callable[[str], None]) -> None:
        self.limits, self.check = limits, check
        self.folder = Path(tempfile.mkdtemp(prefix="geofuse-clips-"))
        self.threads = ThreadPoolExecutor(limits.clips_at_once, "clip")
        self._jobs: dict[str, ClipJob] = {}
        self._lock = threading.Lock()

    def add(self, cut: Cut, item: str, owner: str | None) -> ClipJob:
        """Take a clip on; raises BusyError where too many wait, DiskSpaceError where it would not fit."""
        self.sweep()
        with self._lock:
            waiting = [job for job in self._jobs.values() if job.state in ("queued", "running")]
            if len(waiting) >= self.limits.clips_waiting:
                raise BusyError(f"{len(waiting)} clips are waiting", do="try again later")
            wanted = sum(2 * job.cut.estimate_bytes for job in waiting) + 2 * cut.estimate_bytes
            if shutil.disk_usage(self.folder).free < wanted + RESERVE_BYTES:
                raise DiskSpaceError("too little disk for this clip", do="try a smaller one")
            key = secrets.token_urlsafe(18)
            name = f"{item}_clip{cut.form.extension}"
            path = self.folder / f"{key}{cut.form.extension}"
            job = ClipJob(key, owner, item, cut, name, path)
            self._jobs[key] = job
        self.threads.submit(self._run, job)
        return job

    def get(self, key: str, owner: str | None) -> ClipJob:
        """Return a job; raises MissingError where there is none, or another's."""
        self.sweep()
        job = self._jobs.get(key)
        if job is None or job.owner != owner:
            raise MissingError("no such clip, or not any more")
        return job

    def cancel(self, job: ClipJob) -> None:
        """Stop a job that is not over, forget one that is."""
        job.stop.set()
        with self._lock:
            if job.state == "queued":
                self._end(job, "cancelled")
            elif job.state == "done":
                job.path.unlink(missing_ok=True)
                self._end(job, "cancelled")

    def _run(self, job: ClipJob) -> None:
        if job.stop.is_set():
            return
        job.state = "running"

        def tell(done: int, total: int) -> None:
            job.done = 0.98 * done / max(total, 1)
            if job.stop.is_set():
                raise Cancelled

        try:
            self.check(job.item)
            write_clip(job.cut, job.path, tell)
            with self._lock:
                job.bytes = os.stat(job.path).st_size
                job.done = 1.0
                self._end(job, "done")
        except Cancelled:
            self._end(job, "cancelled")
        except GeofuseError as fault:
            _log.warning("clip of %s: %s", job.item, fault)
            job.message = fault.found
            self._end(job, "failed")
        except Exception:
            _log.exception("clip of %s", job.item)
            job.message = "the server failed; it is in its log"
            self._end(job, "failed")

    def _end(self, job: ClipJob, state: str) -> None:
        job.state, job.ended = state, time.monotonic()

    def sweep(self) -> None:
        """Remove what is over and old, and the oldest where they take too much disk."""
        with self._lock:
            over = sorted(
                (job for job in self._jobs.values() if job.ended is not None),
                key=lambda job: job.ended or 0.0,
            )
            held = sum(job.bytes or 0 for job in over if job.state == "done")
            for job in over:
                old = time.monotonic() - (job.ended or 0.0) > self.limits.clips_kept_s
                if old or held > self.limits.clips_kept_bytes:
                    held -= job.bytes or 0
                    job.path.unlink(missing_ok=True)
                    del self._jobs[job.id]

    def close(self) -> None:
        """Stop everything and remove the files."""
        for job in self._jobs.values():
            job.stop.set()
        self.threads.shutdown(wait=True, cancel_futures=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def clip_answer(job: ClipJob) -> ClipAnswer:
    """Return a job as clients see it."""
    done = job.state == "done"
    return {
        "id": job.id,
        "state": job.state,
        "progress": round(job.done, 4),
        "message": job.message,
        "bytes": job.bytes,
        "filename": job.name,
        "url": f"/api/clips/{job.id}/file" if done else None,
    }
