"""Which reviews are asked for: query parameters to one frozen Filters, and back to a shareable query string.

It does not know SQL (conditions.py turns Filters into it) nor who asks (scope.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlencode

from pydantic import BeforeValidator, Field, StringConstraints, ValidationError, model_validator

from consumers.record.schema import STATUSES
from shared.errors import InvalidRequest
from shared.review import EMOTIONS, Frozen, Theme, Trade, Urgency

Status = Literal["open", "in progress", "done", "not an issue"]
assert get_args(Status) == STATUSES
Emotion = Literal[EMOTIONS]  # type: ignore[valid-type]


_YEARS = range(1900, 2201)


def _day(value: object) -> object:
    # Pydantic would take "2026" for seconds since 1970.
    if not isinstance(value, str):
        return value
    found = date.fromisoformat(value)
    if found.year not in _YEARS:  # the period before must be dates as well
        raise ValueError(f"a year from {_YEARS[0]} to {_YEARS[-1]}, not {found.year}")
    return found


Day = Annotated[date, BeforeValidator(_day)]
# Of these a day sums up (schema.rollups): overview pages take no others.
ROLLUP_FIELDS = frozenset({"business", "source", "category", "since", "until"})


class Filters(Frozen):
    """All that are set must hold; within a list, any one. Dates are UTC days, both included."""

    business: str | None = Field(default=None, max_length=200, description="exact name")
    source: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z0-9_.-]{1,40}$")], ...] = ()
    category: tuple[Trade, ...] = Field(default=(), description="trade of the business")
    rating: tuple[Annotated[int, Field(ge=1, le=5)], ...] = Field(
        default=(), description="stars, rounded half up"
    )
    rating_min: float | None = Field(default=None, ge=1, le=5)
    rating_max: float | None = Field(default=None, ge=1, le=5)
    emotion: tuple[Emotion, ...] = Field(default=(), description="present in the review")
    theme: tuple[Theme, ...] = Field(default=(), description="of a shown issue")
    topic: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_-]{1,20}$",
        description="id of a recurring pain point (/v1/topics) that a shown issue tells of",
    )
    urgency: tuple[Urgency, ...] = ()
    status: tuple[Status, ...] = Field(default=(), description="of a shown issue")
    language: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")], ...] = Field(
        default=(), description="ISO 639-1"
    )
    since: Day | None = Field(default=None, description="first day")
    until: Day | None = Field(default=None, description="last day")
    min_confidence: float | None = Field(
        default=None, ge=0, le=1, description="of a shown issue; one without confidence fails"
    )
    q: str | None = Field(default=None, min_length=1, max_length=200, description="full text")
    state: Literal["analysed", "waiting"] | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Filters:
        if self.since and self.until and self.since > self.until:
            raise ValueError(f"since ({self.since}) is after until ({self.until})")
        if self.rating_min and self.rating_max and self.rating_min > self.rating_max:
            raise ValueError(f"rating_min ({self.rating_min}) is above rating_max")
        return self

    @property
    def query(self) -> str:
        """The query string that `parse` turns into these filters again; "" where none is set."""
        return urlencode(self.pairs())

    def pairs(self) -> list[tuple[str, str]]:
        """Parameter names and values in the order of the fields; lists repeat their name."""
        out = []
        for name in type(self).model_fields:
            value = getattr(self, name)
            values = value if isinstance(value, tuple) else () if value is None else (value,)
            out += [(name, f"{v:g}" if isinstance(v, float) else str(v)) for v in values]
        return out

    def given(self) -> set[str]:
        """Names of the fields that are set."""
        return {name for name, _ in self.pairs()}

    def but(self, **changes: Any) -> Filters:
        """The same with some fields changed."""
        return Filters(**{**self.model_dump(), **changes})

    def only_rollups(self) -> Filters:
        """These filters, if daily counts can answer them.

        Raises:
            InvalidRequest: a field is set that only the list of reviews can filter by.
        """
        if extra := sorted(self.given() - ROLLUP_FIELDS):
            raise InvalidRequest(
                f"{extra[0]}: sums are kept by {', '.join(sorted(ROLLUP_FIELDS))} only; "
                "leave it out, or ask for the list of reviews"
            )
        return self


LISTS = frozenset(n for n, f in Filters.model_fields.items() if f.default == ())


def parse(parameters: Iterable[tuple[str, str]], beside: Iterable[str] = ()) -> Filters:
    """Filters from query parameters. Empty values mean "not set", as forms send them.

    Args:
        parameters: (name, value) pairs; lists repeat their name or separate values by commas.
        beside: names that the route itself reads (cursor, limit).

    Raises:
        InvalidRequest: an unknown name, a value without meaning, or one name given twice; the text
            names it.
    """
    found: dict[str, Any] = {}
    ours, skipped = Filters.model_fields, set(beside)
    for name, value in parameters:
        if name in skipped or not value.strip():
            continue
        if name not in ours:
            known = ", ".join([*ours, *sorted(skipped)])
            raise InvalidRequest(f"{name}: no such parameter; there are {known}")
        if name in LISTS:
            parts = (part.strip() for part in value.split(","))
            kept = found.setdefault(name, [])
            kept += [part for part in parts if part and part not in kept]
        elif name in found:
            raise InvalidRequest(f"{name}: given twice; it takes one value")
        else:
            found[name] = value.strip()
    try:
        return Filters(**found)
    except ValidationError as error:
        first = error.errors()[0]
        where = str(first["loc"][0]) if first["loc"] else "filters"
        got = f" (got {first['input']!r})" if first["loc"] else ""
        raise InvalidRequest(f"{where}: {first['msg']}{got}") from None
