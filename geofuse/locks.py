"""One writer for each output: a lock of the file system, or where that has none, a file that says who holds it.

Ground floor: the standard library only.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from geofuse.errors import LockedError
from geofuse.files import write_faults

NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL})
"""What a file system without locks answers: some of FUSE, SMB and NFS."""
BEAT_S = 15.0
"""A holder's file is touched so often."""
STALE_S = 120.0
"""A holder that has not touched its file for so long is gone."""


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold the output's lock; LockedError while another living process has it. Died processes hold nothing."""
    path = out.with_name(f".{out.name}.lock")
    while True:
        with write_faults(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)  # less the umask: a group shares it
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as fault:
            os.close(descriptor)
            if fault.errno not in NO_LOCKS:
                raise _held(out) from fault
            with _named(out, path):
                yield
            return
        if _same_file(descriptor, path):
            break
        os.close(descriptor)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _held(out: Path) -> LockedError:
    return LockedError(
        "another run is writing this output",
        wanted="one run for each output",
        do="wait for it, or choose another --out",
        path=str(out),
    )


def _same_file(descriptor: int, path: Path) -> bool:
    """Whether the locked file still is the one by that name: its last holder removed it on leaving."""
    try:
        here, there = os.fstat(descriptor), os.stat(path)
    except FileNotFoundError:
        return False
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


@contextmanager
def _named(out: Path, lock: Path) -> Iterator[None]:
    """Hold by a file that only one can make; its holder touches it, so that a dead one's is known."""
    path = lock.with_name(f"{lock.name}.held")
    own = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "born": _born(os.getpid())}).encode()
    while not _made(path, own):
        known = _read(path)
        if known is None:
            continue  # its holder left in this moment
        if not _gone(path, known):
            raise _held(out)
        _taken_away(path, known)
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, stop), daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()
        path.unlink(missing_ok=True)
        lock.unlink(missing_ok=True)


def _made(path: Path, own: bytes) -> bool:
    """Make the file, whole at once: it is written under a name of its own and linked, or opened as new."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
    with write_faults(path):
        draft.write_bytes(own)
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
        except OSError:  # no hard links here either
            try:
                with open(path, "xb") as file:
                    file.write(own)
            except FileExistsError:
                return False
        finally:
            draft.unlink(missing_ok=True)
    return True


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _gone(path: Path, known: bytes) -> bool:
    """Whether a holder is dead: by its process on this host, by its silence on another."""
    try:
        told = json.loads(known)
        host, pid, born = told["host"], int(told["pid"]), told["born"]
    except (ValueError, KeyError, TypeError):
        host, pid, born = "", 0, None  # torn: its maker died, or is at it
    if host == socket.gethostname() and born is not None:
        return bool(_born(pid) != born)
    try:
        return _now(path) - path.stat().st_mtime > STALE_S
    except FileNotFoundError:
        return False


def _now(path: Path) -> float:
    """Return the file system's own time: another host's clock may differ from ours."""
    probe = path.with_name(f"{path.name}.time.{os.getpid()}")
    try:
        probe.write_bytes(b"")
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _born(pid: int) -> str | None:
    """Return when a process of this host began, in its own words; None where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None if not _lives(pid) else "?"


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _taken_away(path: Path, known: bytes) -> None:
    """Remove a dead holder's file, unless it is another's by now: that goes back to its name."""
    aside = path.with_name(f"{path.name}.old.{os.getpid()}.{threading.get_ident()}")
    with suppress(FileNotFoundError):
        os.replace(path, aside)
        if aside.read_bytes() != known:
            with suppress(OSError):
                os.link(aside, path)
        aside.unlink()


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(BEAT_S):
        with suppress(OSError):
            os.utime(path)
