"""The vocabulary: Review, Emotions, Issue, Insight, Analysis. Frozen pydantic models and nothing else.

It does not know where reviews come from, how they are stored, or which model reads them.
"""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime
from itertools import repeat
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

Theme = Literal[
    "staff",
    "waiting",
    "quality",
    "accuracy",
    "price",
    "billing",
    "delivery",
    "booking",
    "cleanliness",
    "safety",
    "facilities",
    "communication",
    "digital",
    "description",
    "availability",
    "policy",
    "other",
]
THEMES: tuple[str, ...] = Theme.__args__  # type: ignore[attr-defined]

# Trades by the words that fit them: a restaurant has a menu, an app has none.
Trade = Literal["food", "lodging", "product", "clothing", "attraction", "travel", "app", "service"]
TRADES: tuple[str, ...] = Trade.__args__  # type: ignore[attr-defined]

# Order of GoEmotions (Demszky et al. 2020, https://arxiv.org/abs/2005.00547); "neutral" is the
# last.
EMOTIONS: tuple[str, ...] = (
    "admiration",
    "amusement",
    "anger",
    "annoyance",
    "approval",
    "caring",
    "confusion",
    "curiosity",
    "desire",
    "disappointment",
    "disapproval",
    "disgust",
    "embarrassment",
    "excitement",
    "fear",
    "gratitude",
    "grief",
    "joy",
    "love",
    "nervousness",
    "optimism",
    "pride",
    "realization",
    "relief",
    "remorse",
    "sadness",
    "surprise",
    "neutral",
)
# The paper's sentiment grouping, less the ambiguous ones.
NEGATIVE = frozenset(
    "anger annoyance disappointment disapproval disgust embarrassment fear grief nervousness remorse sadness".split()
)
POSITIVE = frozenset(
    "admiration amusement approval caring desire excitement gratitude joy love optimism pride relief".split()
)

MAX_TEXT_CHARS = 20_000
_ID = r"^[A-Za-z0-9_-]{1,80}$"
# C0 controls except tab, newline and carriage return: never part of a review, and NUL breaks many
# readers.
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Frozen(BaseModel):
    """Immutable base.

    Unknown fields are an error, because a misspelt field would otherwise vanish silently.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


def _clean(value: object) -> object:
    return _CONTROLS.sub(" ", value).strip() if isinstance(value, str) else value


CleanText = Annotated[str, BeforeValidator(_clean)]


# What stands for the date in the id of a review without one. Version 0.1 stored such reviews with
# this date; keeping it keeps their ids, so that importing their file again finds them.
_UNDATED = "2000-01-01T00:00:00+00:00"


def review_id(
    source: str,
    external_id: str | None,
    text: str,
    created_at: datetime | None,
    about: tuple[str, ...] = (),
) -> str:
    """Deterministic id: 20 characters of base 32, 96 bits of SHA-256 over what identifies the review.

    Source and external_id where the platform gives one; otherwise source, text and created_at.
    Without a date (None) source, text and `about` (business and author, as far as known) must do:
    the time of import would give the same review another id at every import.
    """
    if external_id:
        parts = [source, external_id]
    elif created_at is None:
        parts = [source, text, _UNDATED, *about]
    else:
        parts = [source, text, created_at.astimezone(UTC).isoformat()]
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()[:12]
    return base64.b32encode(digest).decode().rstrip("=").lower()


class Review(Frozen):
    """One review as it is stored. Times are aware UTC; rating is 1-5 stars or none; author is a keyed hash.

    `category` is the trade of the business; the models infer it where it is None.
    `excerpt`: the text is only the beginning of the review.
    `dated` is False where nobody knows when it was written; created_at is then the time of import.
    """

    id: str = Field(pattern=_ID)
    source: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_.-]{1,40}$")]
    external_id: str | None = Field(default=None, max_length=200)
    text: CleanText = Field(min_length=1, max_length=MAX_TEXT_CHARS)
    rating: float | None = Field(default=None, ge=1, le=5)
    title: CleanText | None = Field(default=None, max_length=500)
    business: str | None = Field(default=None, max_length=200)
    category: Trade | None = Field(default=None, exclude_if=lambda trade: trade is None)
    author: str | None = Field(default=None, max_length=64)
    url: str | None = Field(default=None, max_length=2000)
    created_at: datetime
    # Left out of records while true: stored reviews without it have a date, and stay as small.
    dated: bool = Field(default=True, exclude_if=lambda dated: bool(dated))
    # True where the source gives only the beginning of what was written (Yelp).
    excerpt: bool = Field(default=False, exclude_if=lambda excerpt: not excerpt)
    # ISO 639-1, found at intake; none where that is not sure. Neither id nor version depend on it.
    language: str | None = Field(
        default=None, pattern=r"^[a-z]{2}$", exclude_if=lambda language: language is None
    )

    @field_validator("created_at")
    @classmethod
    def _utc(cls, value: datetime) -> datetime:
        # A date without zone is taken as UTC: platforms that omit the zone export UTC, and guessing
        # local is worse.
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    @model_validator(mode="before")
    @classmethod
    def _fill_id(cls, values: object) -> object:
        if isinstance(values, dict) and not values.get("id"):
            created = values.get("created_at")
            if isinstance(created, str):
                created = datetime.fromisoformat(created)
            if isinstance(created, datetime) and isinstance(values.get("text"), str):
                external = values.get("external_id")
                source = str(values.get("source", ""))
                moment = created if created.tzinfo else created.replace(tzinfo=UTC)
                text = str(_clean(values["text"]))
                external = str(external) if external else None
                known = [str(values[k]) for k in ("business", "author") if values.get(k)]
                undated = str(values.get("dated", True)).lower() in {"false", "0"}
                identity = review_id(
                    source, external, text, None if undated else moment, tuple(known)
                )
                return {**values, "id": identity, "external_id": external}
        return values

    @property
    def version(self) -> str:
        """Twelve hex characters that change whenever text, title or rating change.

        An analysis belongs to one.
        """
        seen = f"{self.text}\x1f{self.title or ''}\x1f{self.rating or ''}"
        return hashlib.blake2b(seen.encode(), digest_size=6).hexdigest()


class Emotions(Frozen):
    """Probabilities in [0, 1] for all 28 labels, and `present`: those over their own tuned threshold.

    `present` is ordered by probability, descending; "neutral" stands in it only when nothing else
    does.
    """

    probabilities: dict[str, float]
    present: tuple[str, ...]

    @property
    def negative_weight(self) -> float:
        """Sum of the negative labels' probabilities less that of the positive ones; > 0: the review leans negative."""
        weigh = self.probabilities.get
        return sum(map(weigh, NEGATIVE, repeat(0.0))) - sum(map(weigh, POSITIVE, repeat(0.0)))


class Issue(Frozen):
    """One thing that went wrong. `evidence` is `text[start:end]` of the review, character offsets.

    `problem` and `action` are None where no written line says it well enough: then the quote speaks
    for itself. `confidence`: the probability that a careful reader agrees with quote and theme; None
    where the writer gives none.
    """

    theme: Theme
    problem: str | None = Field(default=None, min_length=1, max_length=400)
    evidence: str = Field(min_length=1, max_length=600)
    start: int = Field(ge=0)
    end: int = Field(gt=0)
    action: str | None = Field(default=None, min_length=1, max_length=400)
    flags: tuple[str, ...] = ()
    confidence: float | None = Field(default=None, ge=0, le=1)

    @property
    def told(self) -> str:
        """The problem in one sentence, or where to find it."""
        return self.problem or READ_THE_QUOTE


READ_THE_QUOTE = "No written line fits this well enough: read the quote."
Urgency = Literal["low", "normal", "high"]
URGENCIES: tuple[str, ...] = Urgency.__args__  # type: ignore[attr-defined]


class Insight(Frozen):
    """0-3 issues, most important first; urgency by rule, with its reason; which adapter and prompt wrote it.

    `unsure`: what the writer found but is not sure enough of to show, for people who want recall.
    """

    issues: tuple[Issue, ...] = Field(max_length=3)
    unsure: tuple[Issue, ...] = Field(default=(), max_length=3)
    urgency: Urgency
    urgency_reason: str
    adapter: str
    prompt_version: str


class Analysis(Frozen):
    """What is stored for one review.

    Exactly one of `insight` and `insight_reason` (why there is none) is set.
    """

    review_id: str
    emotions: Emotions
    insight: Insight | None = None
    insight_reason: str | None = None
    models: dict[str, str] = {}
    seconds: dict[str, float] = {}
    analysed_at: datetime

    @model_validator(mode="after")
    def _why(self) -> Analysis:
        if (self.insight is None) == (self.insight_reason is None):
            raise ValueError(
                "an Analysis carries either an insight or the reason why there is none"
            )
        return self
