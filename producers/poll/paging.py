"""From a page to the next: addresses of a walk, by number, cursor or link. It sends nothing and reads no reviews."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

import httpx

from producers.fetch import Answer, place, same_origin
from producers.platforms.reading import compiled
from producers.poll.description import Description, filled
from shared.errors import Malformed


class Pager:
    """The addresses of one source.

    Args:
        owner: the source, for messages.
        description: its file.
        secret_params: query parameters that carry credentials; they never stay in an address, for
            addresses are stored.

    Raises:
        Misconfigured: a path of the description is none.
    """

    def __init__(self, owner: str, description: Description, secret_params: set[str]) -> None:
        self._about, self._secret_params = description, secret_params
        self._next = compiled(owner, description.paging.next)
        self._cursor = compiled(owner, description.paging.cursor)

    def first(self, since: datetime | None) -> str:
        """The address that a walk begins with."""
        about = self._about
        query = {k: filled(v, about.values) for k, v in about.query.items()}
        if about.since and since:
            moment = since - timedelta(seconds=about.since.overlap_seconds)
            query[about.since.param] = {
                "iso": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "seconds": str(int(moment.timestamp())),
                "milliseconds": str(int(moment.timestamp() * 1000)),
            }[about.since.form]
        url = filled(about.url, about.values)
        url = str(httpx.URL(url).copy_merge_params(query)) if query else url
        return self._numbered(url, about.paging.first) if about.paging.by == "page" else url

    def following(self, value: Any, answer: Answer, url: str) -> str | None:
        """The next page's address, without credentials; None at the end.

        Args:
            value: the page as JSON.
            answer: the page as received.
            url: what was asked for.

        Raises:
            Malformed: the page names one on another server, where credentials do not belong.
        """
        paging = self._about.paging
        if paging.by == "link":
            target = _matched(self._next, value) if self._next else _link(answer)
            if not target:
                return None
            following = urljoin(answer.url, target)
            if not same_origin(following, url):
                raise Malformed(
                    f"{place(url)}: its next page is on another server: {place(following)}"
                )
            return _without(following, self._secret_params)
        if paging.by == "cursor":
            cursor = _matched(self._cursor, value)
            if not cursor:
                return None
            return str(httpx.URL(url).copy_set_param(paging.param, cursor))
        if paging.by == "page":
            number = self._number(url) + 1
            return None if paging.last and number > paging.last else self._numbered(url, number)
        return None

    def _numbered(self, url: str, number: int) -> str:
        if "{page}" in self._about.url:
            base = filled(self._about.url, {**self._about.values, "page": str(number)})
            query = urlsplit(url).query
            return urlunsplit(urlsplit(base)._replace(query=query)) if query else base
        return str(httpx.URL(url).copy_set_param(self._about.paging.param, str(number)))

    def _number(self, url: str) -> int:
        paging = self._about.paging
        if "{page}" not in self._about.url:
            return int(dict(parse_qsl(urlsplit(url).query)).get(paging.param, paging.first))
        path = filled(self._about.url, self._about.values)
        before, _, after = path.partition("{page}")
        return int(url.partition("?")[0].removeprefix(before).removesuffix(after.partition("?")[0]))


def _matched(path: Any, value: Any) -> str:
    match = path.match(value) if path else None
    return str(match.obj) if match is not None and match.obj not in (None, "", False) else ""


def _link(answer: Answer) -> str:
    links = httpx.Response(200, headers={"link": answer.headers.get("link", "")}).links
    return str(links.get("next", {}).get("url", ""))


def _without(url: str, params: set[str]) -> str:
    """An address without parameters that carry credentials: addresses are stored, secrets are not."""
    parts = urlsplit(url)
    kept = [(k, v) for k, v in parse_qsl(parts.query, keep_blank_values=True) if k not in params]
    return urlunsplit(parts._replace(query=urlencode(kept))) if params else url
