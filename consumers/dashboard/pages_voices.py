"""How each business speaks in replies, as pages: tone and signature, with an example of what comes of it.

It does not know how replies are composed or where voices are kept (consumers/replies does).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from consumers.dashboard.access import Writer
from consumers.dashboard.answering import Reading, engine_of
from consumers.dashboard.api_voices import all_voices, own_business
from consumers.dashboard.pages_frame import render
from consumers.record.database import writing
from consumers.replies.drafts import set_voice, voice_of
from shared.errors import InvalidRequest
from shared.replies.compose import TONES, Voice, compose
from shared.review import EMOTIONS, Analysis, Emotions, Insight, Issue, Review

router = APIRouter(include_in_schema=False, prefix="/voices")
_TONES = {
    "warm": "as a host speaks to a guest",
    "formal": "as a letter is written",
    "brief": "warm, in two or three sentences",
}
assert tuple(_TONES) == TONES


@router.get("")
def voices_page(request: Request, scope: Writer, record: Reading) -> Response:
    """Every business that the reader sees, with its voice."""
    return render(request, "voices.html", "Voices", rows=all_voices(record, scope).voices)


@router.get("/one")
def voice_page(
    request: Request, scope: Writer, record: Reading, business: str = "", told: str = ""
) -> Response:
    """One business's voice, and how it sounds.

    Raises:
        Forbidden: another business than the reader's own.
    """
    name = own_business(scope, business)
    said = "Saved. Replies are drafted with it from now on." if told == "saved" else ""
    return _page(request, name, voice_of(record, name), told=said)


@router.post("/one")
def change_voice(
    request: Request,
    scope: Writer,
    business: Annotated[str, Form(max_length=200)] = "",
    tone: Annotated[str, Form(max_length=20)] = "warm",
    signature: Annotated[str, Form(max_length=2000)] = "",
) -> Response:
    """Keep tone and signature; what cannot be kept is said beside them.

    Raises:
        Forbidden: another business than the reader's own.
    """
    name, lines = own_business(scope, business), signature.replace("\r\n", "\n").strip()
    wanted = Voice(tone, lines)  # type: ignore[arg-type]
    try:
        with writing(engine_of(request)) as connection:
            set_voice(connection, scope, name, wanted)
    except InvalidRequest as error:
        return _page(request, name, wanted, problem=str(error)[:1].upper() + str(error)[1:])
    query = urlencode({"business": name, "told": "saved"})
    return RedirectResponse(f"/voices/one?{query}", 303)


def _page(
    request: Request, business: str, voice: Voice, *, told: str = "", problem: str = ""
) -> Response:
    values: dict[str, Any] = {
        "business": business,
        "voice": voice,
        "tones": _TONES,
        "said": _EXAMPLE.text,
        "example": "" if problem else _sounds(voice, business),
        "told": told,
        "problem": problem,
    }
    return render(request, "voice.html", "Voices", status_code=400 if problem else 200, **values)


_EXAMPLE = Review(
    id="example",
    source="example",
    text="The food was lovely, but we waited 45 minutes for a table that we had booked.",
    rating=3,
    category="food",
    language="en",
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
)


def _sounds(voice: Voice, business: str) -> str:
    """A reply to the example, as `draft` would compose it."""
    quote = "we waited 45 minutes for a table that we had booked"
    start = _EXAMPLE.text.index(quote)
    issue = Issue(theme="waiting", evidence=quote, start=start, end=start + len(quote))
    insight = Insight(
        issues=(issue,), urgency="normal", urgency_reason="", adapter="", prompt_version=""
    )
    felt = Emotions(probabilities=dict.fromkeys(EMOTIONS, 0.0), present=("disappointment",))
    review = _EXAMPLE.model_copy(update={"business": business or None})
    analysis = Analysis(
        review_id=review.id, emotions=felt, insight=insight, analysed_at=review.created_at
    )
    return compose(review, analysis, voice)
