"""Tokens: long random words that name a user until they expire. The file holds their digests only."""

from __future__ import annotations

import hmac
import os
import re
import secrets
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from geofuse.errors import MissingError, TokenError, UsageError, VerifyError
from geofuse.files import read_json, write_json
from geofuse.locks import locked

MARK = "gf"
SECRET_BYTES = 32
MOST_DAYS = 366 * 5
_SHAPE = re.compile(rf"{MARK}_([0-9a-f]{{12}})_([A-Za-z0-9_-]{{40,60}})", re.ASCII)
_USER = re.compile(r"[\w.@+-]{1,64}")
_RECHECK_S = 1.0


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token; not the token."""

    key: str
    """Tells it from others; no secret."""
    user: str
    """Whom it names."""
    created: str
    """ISO 8601, UTC."""
    expires: str
    """ISO 8601, UTC."""
    digest: str
    """SHA-256 of the whole token, hexadecimal."""


def new_token(path: Path, user: str, *, days: float) -> tuple[str, Token]:
    """Add a token to the file, which is made, readable by its owner alone, if it is not there; returns both.

    Raises UsageError for a user or a time that cannot be. The digest is not slowed down: 256 random bits
    are not guessed.
    """
    if not _USER.fullmatch(user):
        raise UsageError(f"user {user!r:.80}", wanted="1 to 64 letters, digits, dots, dashes or @")
    if not 0.0 < days <= MOST_DAYS:
        raise UsageError(f"{days:g} days", wanted=f"more than 0, at most {MOST_DAYS}")
    key = secrets.token_hex(6)
    text = f"{MARK}_{key}_{secrets.token_urlsafe(SECRET_BYTES)}"
    now = datetime.now(UTC).replace(microsecond=0)
    token = Token(key, user, _iso(now), _iso(now + timedelta(days=days)), sha256(text.encode()).hexdigest())
    with locked(path):
        _write(path, [*read_tokens(path), token])
    return text, token


def revoke(path: Path, name: str) -> int:
    """Remove a token by its key, or all of a user; returns how many. Raises MissingError where there is none."""
    with locked(path):
        known = read_tokens(path)
        kept = [token for token in known if name not in (token.key, token.user)]
        if len(kept) == len(known):
            raise MissingError(f"no token {name!r:.80}", do="see `geofuse token list`")
        _write(path, kept)
    return len(known) - len(kept)


def read_tokens(path: Path) -> list[Token]:
    """Return the tokens of a file; none where there is no file. Raises VerifyError for a damaged one."""
    if not path.exists():
        return []
    found = read_json(path)
    try:
        return [Token(**value) for value in (found or {})["tokens"]]
    except (KeyError, TypeError) as fault:
        raise VerifyError("a damaged file of tokens", do="make new tokens", path=str(path)) from fault


def expired(token: Token, now: datetime | None = None) -> bool:
    """Whether a token's time is over."""
    return datetime.fromisoformat(token.expires) <= (now or datetime.now(UTC))


def _write(path: Path, tokens: list[Token]) -> None:
    write_json(path, {"tokens": [_plain(token) for token in tokens]}, mode=0o600)


def _plain(token: Token) -> dict[str, str]:
    return {name: getattr(token, name) for name in Token.__slots__}


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


class Keyring:
    """The tokens of a file as the server asks for them: read again when the file changes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tokens: dict[str, Token] = {}
        self._stamp: tuple[int, int, int] | None = None
        self._checked = -_RECHECK_S
        self._lock = threading.Lock()

    def user_of(self, text: str) -> Token:
        """Return what a token says; raises TokenError for one that is not known, or not any more."""
        shape = _SHAPE.fullmatch(text)
        token = self._current().get(shape[1]) if shape else None
        digest = sha256(text.encode()).hexdigest()
        if token is None or not hmac.compare_digest(digest, token.digest) or expired(token):
            raise TokenError("a token that is wrong or expired", do="ask for a new one")
        return token

    def _current(self) -> dict[str, Token]:
        with self._lock:
            if time.monotonic() - self._checked >= _RECHECK_S:
                self._checked = time.monotonic()
                try:
                    facts = os.stat(self.path)
                    stamp = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
                except FileNotFoundError:
                    stamp = (0, 0, 0)
                if stamp != self._stamp:
                    self._tokens = {token.key: token for token in read_tokens(self.path)}
                    self._stamp = stamp
            return self._tokens
