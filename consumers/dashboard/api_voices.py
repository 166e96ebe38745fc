"""/v1/voices: how each business speaks in replies. It does not know how replies are composed or where voices are kept."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import ConfigDict, Field
from sqlalchemy import Connection

from consumers.dashboard.access import Reader, Writer
from consumers.dashboard.answering import Reading, answer, engine_of, problems
from consumers.record.database import writing
from consumers.record.queries_themes import meta
from consumers.record.scope import Scope
from consumers.replies.drafts import set_voice, voice_of
from shared.replies.compose import Tone, Voice
from shared.review import Frozen

router = APIRouter(prefix="/v1/voices", tags=["people"])
Business = Annotated[
    str,
    Query(max_length=200, description='exact name; "" (the default): reviews that name none'),
]


class NewVoice(Frozen):
    """How a business is to speak."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"tone": "formal", "signature": "Greta Linde\nHotel Linde"}]
        }
    )
    tone: Tone = "warm"
    signature: str = Field(default="", max_length=500, description="the last lines of each reply")


class VoiceOf(NewVoice):
    """How a business speaks."""

    business: str = Field(description='"": reviews that name none')


class VoiceList(Frozen):
    """Voices, businesses with most reviews first, at most 200."""

    voices: tuple[VoiceOf, ...]


@router.get("", response_model=VoiceList, responses=problems(304), summary="Reply voices")
def get_voices(request: Request, scope: Reader, connection: Reading) -> Response:
    """Of every business that you see; warm and unsigned where nobody has said otherwise."""
    return answer(request, all_voices(connection, scope))


@router.put("", response_model=VoiceOf, responses=problems(422), summary="Set a reply voice")
def put_voice(request: Request, scope: Writer, body: NewVoice, business: Business = "") -> Response:
    """Replies that are drafted from now on speak so. A token of one business sets its own."""
    name = own_business(scope, business)
    with writing(engine_of(request)) as connection:
        set_voice(connection, scope, name, Voice(body.tone, body.signature))
        return answer(request, _told(connection, name))


def all_voices(connection: Connection, scope: Scope) -> VoiceList:
    """The voices of the businesses in the scope."""
    names = [b.name or "" for b in meta(connection, scope).businesses]
    return VoiceList(voices=tuple(_told(connection, name) for name in names))


def own_business(scope: Scope, asked: str) -> str:
    """The business that is meant: the scope's own where it has one; "" is that of reviews which name none.

    Raises:
        Forbidden: another business than the scope's is asked for.
    """
    return asked if scope.business is None else scope.narrow(asked or None) or ""


def _told(connection: Connection, business: str) -> VoiceOf:
    voice = voice_of(connection, business)
    return VoiceOf(business=business, tone=voice.tone, signature=voice.signature)
