"""Signing in from the page: a token becomes a cookie that scripts cannot read and other sites cannot send."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from geofuse.nouns import Foreign
from geofuse.serve.answers import SessionAnswer
from geofuse.serve.http.dependencies import Door, TheDoor, TheVisitor
from geofuse.serve.http.faults import RESPONSES
from geofuse.serve.http.guard import COOKIE
from geofuse.serve.http.tokens import Token

router = APIRouter(prefix="/api/session", tags=["session"], responses=RESPONSES)


class SignIn(BaseModel):
    """A token, as `geofuse token` made it."""

    token: str = Field(max_length=200)
    """The whole of it."""


@router.get("", response_model=Foreign)
async def session(door: TheDoor, visitor: TheVisitor) -> SessionAnswer:
    """Whether a token is wanted, and who is signed in."""
    return _session_answer(door, visitor.user)


@router.post("")
async def sign_in(door: TheDoor, body: SignIn) -> Response:
    """Take a token for this browser."""
    token = await door.aside(door.keyring.user_of, body.token)
    answer = JSONResponse(_session_answer(door, token.user))
    _set_cookie(answer, door, body.token, token)
    return answer


@router.delete("")
async def sign_out(door: TheDoor) -> Response:
    """Forget the token in this browser."""
    answer = JSONResponse(_session_answer(door, None))
    answer.delete_cookie(
        COOKIE, path="/", httponly=True, samesite="strict", secure=door.settings.secure_cookie
    )
    return answer


def _set_cookie(answer: Response, door: Door, text: str, token: Token) -> None:
    left = datetime.fromisoformat(token.expires) - datetime.now(UTC)
    answer.set_cookie(
        COOKIE,
        text,
        max_age=max(0, int(left.total_seconds())),
        path="/",
        httponly=True,
        samesite="strict",
        secure=door.settings.secure_cookie,
    )


def _session_answer(door: Door, user: str | None) -> SessionAnswer:
    return {"required": door.settings.token_required, "authenticated": user is not None, "user": user}
