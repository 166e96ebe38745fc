"""One poll of a source: page after page from where the last one stopped, each page stored whole.

After each page the state is saved, so a kill repeats one page at most, which changes nothing: reviews
are known by the source's own ids. A bad review is kept aside with its reason; a page of which none
can be read is a fault of the description and stops the walk. It does not know schedules or Redis.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel

from producers.doorway import arrival, newest
from producers.fetch import Answer, Refused, get, place
from producers.platforms.reading import Reader
from producers.poll.auth import Credentials
from producers.poll.description import Description, filled
from producers.poll.pages import value_of
from producers.poll.paging import Pager
from shared.errors import InvalidReview, Malformed
from shared.stream.arrivals import Arrival, Arrived

# More than any page we know holds (200): what one script stores at once.
MAX_PAGE_REVIEWS = 1000
# Pages of one turn; a longer source goes on in the next turn, so that its lease stays short.
TURN_PAGES = 50
_REMEMBERED_REJECTS = 500


class State(BaseModel):
    """What is kept of a source between polls. Times are aware UTC.

    `position`: the next page of an unfinished walk. `newest`: the latest review of all finished ones.
    `first_page`: what its first page's answer can be asked for again by; `validated`: of the last
    finished walk.
    """

    position: str | None = None
    newest: datetime | None = None
    walk_newest: datetime | None = None
    validated: dict[str, str] = {}
    first_page: dict[str, str] = {}
    rejected: list[str] = []
    failures: int = 0
    succeeded_at: datetime | None = None
    error: str | None = None


# Stores the arrivals of a page, all or none, and says what became of each.
Take = Callable[[Sequence[Arrival]], list[Arrived]]


@dataclass(frozen=True)
class Bad:
    """An item that is no review: its number on the page, and why."""

    number: int
    reason: str
    item: dict[str, Any]

    @property
    def mark(self) -> str:
        """Tells the item from others, without keeping what it says."""
        return hashlib.sha256(json.dumps(self.item, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Page:
    """What was read of a page: arrivals, one per review; what could not be; how many items stood there."""

    arrivals: list[Arrival]
    bad: list[Bad]
    items: int


@dataclass
class Counts:
    """Reviews of a walk by what became of them; `finished`: there is no further page."""

    pages: int = 0
    rejected: int = 0
    unchanged: bool = False
    finished: bool = False
    outcomes: dict[str, int] = field(default_factory=dict)


class Walk:
    """Reads one source.

    Args:
        name: of the source.
        description: its file.
        credentials: its secret.
        author_key, categories: for intake.
        take, reject: where reviews go, and what are none.

    Raises:
        Misconfigured: a path of the description is none.
    """

    def __init__(
        self,
        name: str,
        description: Description,
        credentials: Credentials,
        author_key: bytes,
        categories: dict[str, str],
        take: Take,
        reject: Callable[[Bad], None],
    ) -> None:
        owner, source = f"source {name}", description.source or name
        business = filled(description.business or "", description.values) or None
        fields = description.fields
        self._reader = Reader(owner, source, description.read, fields, business)
        self._one = Reader(owner, source, description.one, fields, business)
        self._pager = Pager(owner, description, set(credentials.query()))
        self._about, self._credentials = description, credentials
        self._author_key, self._categories = author_key, categories
        self._take, self._reject = take, reject

    def run(self, state: State, save: Callable[[State], None]) -> Counts:
        """Read pages until the end, what the last walk read, or TURN_PAGES; `state` is changed and saved.

        Raises:
            Overloaded, TemporaryFailure, Refused, Malformed: pages before stay stored, and `state`
                says where to go on.
        """
        counts = Counts()
        url = state.position or self._pager.first(state.newest)
        resumed = state.position is not None
        seen: set[str] = set()
        while counts.pages < TURN_PAGES:
            try:
                answer = self._get(url, {} if state.position else self._conditions(state, url))
            except Refused as error:
                if resumed and counts.pages == 0 and error.status in (400, 404, 410):
                    state.position, resumed = None, False  # no longer valid: from the start
                    url = self._pager.first(state.newest)
                    continue
                raise
            if answer.status == 304:
                counts.unchanged = counts.finished = True
                break
            seen.add(url)
            if state.position is None:
                state.first_page = _validators(url, answer)
            following = self._page(state, answer, url, counts)
            if following in seen:
                raise Malformed(f"{place(url)}: its pages lead in a circle")
            state.position = following
            counts.pages += 1
            if following is None:
                counts.finished = True
                break
            save(state)
            url = following
        if counts.finished:
            _finish(state, counts)
        save(state)
        return counts

    def one(self, name: str) -> Arrived | None:
        """Fetch and store the review that a notification named; None where it is gone or has no text.

        Raises:
            Overloaded, TemporaryFailure, Refused, Malformed, InvalidReview: nothing was stored.
        """
        if ".." in name.split("/"):
            raise InvalidReview("the name of a review leads out of its place")
        values = {**self._about.values, "name": quote(name, safe="/")}
        url = filled(self._about.one_url, values)
        try:
            answer = self._get(url, {})
        except Refused as error:
            if error.status in (404, 410):
                return None
            raise
        value = value_of(self._about.format, answer.body, answer.headers)
        events = [self._one.event(item) for item in self._one.items(value)]
        found = [arrival(e, self._author_key, self._categories) for e in events if e is not None]
        return self._take(newest(found))[0] if found else None

    def fetch_first(self) -> Answer:
        """The page that a first walk begins with; raises as `run` does."""
        return self._get(self._pager.first(None), {})

    def read(self, value: Any) -> Page:
        """What a page's value holds.

        Raises:
            Malformed: more items than any page has, or some but none of them can be read.
        """
        items = self._reader.items(value)
        if len(items) > MAX_PAGE_REVIEWS:
            raise Malformed(f"{len(items)} reviews on a page; at most {MAX_PAGE_REVIEWS}")
        good: list[Arrival] = []
        bad: list[Bad] = []
        for number, item in enumerate(items, 1):
            try:
                event = self._reader.event(item)
                if event is not None:
                    good.append(arrival(event, self._author_key, self._categories))
            except InvalidReview as error:
                bad.append(Bad(number, str(error), item))
        if bad and len(bad) == len(items):
            raise Malformed(f"no review of the page can be read; the first: {bad[0].reason}")
        return Page(newest(good), bad, len(items))

    def _page(self, state: State, answer: Answer, url: str, counts: Counts) -> str | None:
        """Store a page; the next one's address, or None at the end."""
        value = value_of(self._about.format, answer.body, answer.headers)
        page = self.read(value)
        following = self._pager.following(value, answer, url)
        outcomes = self._take(page.arrivals) if page.arrivals else []
        for outcome in outcomes:
            counts.outcomes[outcome] = counts.outcomes.get(outcome, 0) + 1
        for bad in page.bad:
            if bad.mark not in state.rejected:
                state.rejected = [*state.rejected, bad.mark][-_REMEMBERED_REJECTS:]
                self._reject(bad)
                counts.rejected += 1
        times = [moment for one in page.arrivals if (moment := _moment(one)) is not None]
        if self._is_old(state, outcomes, times):
            return None
        state.walk_newest = max(
            [*times, *([state.walk_newest] if state.walk_newest else [])], default=None
        )
        return following if page.items else None

    def _is_old(self, state: State, outcomes: list[Arrived], times: list[datetime]) -> bool:
        """Does the page, and so all after it, lie behind the last finished walk?

        That all of it is known does not suffice: an unfinished walk stored it, or a notification.
        """
        if not (self._about.paging.newest_first and state.newest and times):
            return False
        return not set(outcomes) - {"same", "stale"} and max(times) <= state.newest

    def _get(self, url: str, conditions: dict[str, str]) -> Answer:
        credentials = self._credentials
        headers = {**self._about.headers, **conditions}
        return get(url, headers, credentials.headers(), credentials.query())

    def _conditions(self, state: State, url: str) -> dict[str, str]:
        """Headers that let the source say "unchanged", where the last finished walk began here."""
        kept = state.validated
        if kept.get("url") != url:
            return {}
        names = {"etag": "if-none-match", "last-modified": "if-modified-since"}
        return {names[n]: kept[n] for n in names if n in kept}


def _finish(state: State, counts: Counts) -> None:
    if not counts.unchanged:
        times = [t for t in (state.newest, state.walk_newest) if t]
        state.newest = max(times, default=None)
        state.validated = state.first_page
    state.position, state.walk_newest, state.first_page = None, None, {}


def _validators(url: str, answer: Answer) -> dict[str, str]:
    found = {n: answer.headers[n] for n in ("etag", "last-modified") if n in answer.headers}
    return {"url": url, **found} if found else {}


def _moment(one: Arrival) -> datetime | None:
    return one.happened_at or (one.review.created_at if one.review else None)
