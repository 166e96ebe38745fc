"""One GET or POST to somebody else, bounded in time and size whatever the other side does.

It knows HTTP: what a status means for us, redirects, Retry-After. It knows no credentials' form, no
pages and no reviews.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import httpx

from shared.backoff import asked_seconds
from shared.errors import Malformed, Misconfigured, Overloaded, TemporaryFailure

# The largest documented page (200 reviews of App Store Connect) is below 1 MiB.
MAX_BYTES = 8 << 20
# Of a whole request, from name lookup to the last byte: nobody's page takes so long.
TOTAL_SECONDS = 30.0
_CONNECT_SECONDS = 10.0
_REDIRECTS = 3
# A source may ask us to wait, but not for ever: a mistyped date must not end the polling.
MAX_HOLD_SECONDS = 86400


class Refused(Misconfigured):
    """The source understood and said no: address, secret or permission must change. `status`: HTTP."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Answer:
    """Status 200 with a body, or 304 with none. Header names are lower case; `url` after redirects."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


@dataclass(frozen=True)
class Limits:
    """How much of a source we take."""

    max_bytes: int = MAX_BYTES
    total_seconds: float = TOTAL_SECONDS


def send(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None = None,
    params: Mapping[str, str] | None = None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> Answer:
    """The answer to one request, whatever its status; redirects are not followed.

    Raises:
        TemporaryFailure: no answer, or not the whole one in time.
        Malformed: the body is larger than the limit; reading stopped there.
        Misconfigured: the address is none.
    """
    try:
        return asyncio.run(_send(method, url, headers, body, params, limits))
    except TimeoutError:
        raise TemporaryFailure(
            f"{place(url)}: not answered completely within {limits.total_seconds:g} s"
        ) from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise Misconfigured(f"{place(url)}: no address that can be fetched: {error}") from None
    except httpx.DecodingError as error:
        raise Malformed(f"{place(url)}: the body cannot be unpacked: {error}") from None
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        raise TemporaryFailure(f"{place(url)}: not reached: {reason}") from None


@functools.cache
def _authorities() -> ssl.SSLContext:
    """Whom we trust; read once, because that takes longer than most requests."""
    return httpx.create_ssl_context()


async def _send(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None,
    params: Mapping[str, str] | None,
    limits: Limits,
) -> Answer:
    timeout = httpx.Timeout(limits.total_seconds, connect=_CONNECT_SECONDS)
    client = httpx.AsyncClient(timeout=timeout, verify=_authorities())
    async with asyncio.timeout(limits.total_seconds), client:
        # httpx would drop the address's own query for `params={}`.
        request = client.build_request(method, url, headers=dict(headers), content=body)
        if params:
            request.url = request.url.copy_merge_params(dict(params))
        answer = await client.send(request, stream=True)
        parts, size = [], 0
        try:
            async for part in answer.aiter_bytes(1 << 16):
                size += len(part)
                if size > limits.max_bytes:
                    raise Malformed(
                        f"{place(url)}: the body is larger than {limits.max_bytes} bytes"
                    )
                parts.append(part)
        finally:
            await answer.aclose()
    return Answer(answer.status_code, dict(answer.headers), b"".join(parts), url)


def get(
    url: str,
    headers: Mapping[str, str],
    proof: Mapping[str, str],
    params: Mapping[str, str],
    limits: Limits = Limits(),  # noqa: B008 - frozen
    clock: Callable[[], float] = time.time,
) -> Answer:
    """A page, or 304.

    Args:
        url: of the page.
        headers: conditions and the like; sent wherever a redirect leads.
        proof: credentials as headers; never sent to another origin, nor over plain HTTP except to
            this machine.
        params: credentials as query parameters; likewise.
        limits: of each request.
        clock: seconds since 1970, for a Retry-After that names a date.

    Raises:
        Overloaded: 429, or 503 with Retry-After; its `retry_after_seconds` is what the source said.
        TemporaryFailure: no answer, or 5xx, 408, 425.
        Refused: any other status.
        Malformed: too large, or not to be unpacked.
    """
    origin = _origin(url)
    secret = bool(proof or params)
    if secret and urlsplit(url).scheme != "https" and not _is_here(url):
        raise Misconfigured(f"{place(url)}: a secret is only sent over https")
    for _ in range(_REDIRECTS + 1):
        same = _origin(url) == origin
        sent = {**headers, **(proof if same else {})}
        answer = send("GET", url, sent, params=params if same else None, limits=limits)
        target = answer.headers.get("location")
        if answer.status not in (301, 302, 303, 307, 308) or not target:
            return _judged(answer, clock)
        url = urljoin(url, target)
        if urlsplit(url).scheme not in ("http", "https"):
            raise Refused(f"{place(answer.url)}: redirects to {place(url)}", answer.status)
    raise Refused(f"{place(url)}: more than {_REDIRECTS} redirects", answer.status)


def _judged(answer: Answer, clock: Callable[[], float]) -> Answer:
    status, where = answer.status, place(answer.url)
    if status in (200, 304):
        return answer
    wait = asked_seconds(answer.headers.get("retry-after", ""), clock())
    if wait is not None:
        wait = min(wait, MAX_HOLD_SECONDS)
    if status == 429 or (status == 503 and wait is not None):
        said = f", and says to wait {wait:g} s" if wait is not None else ""
        raise Overloaded(f"{where}: answers {status}{said}", int(wait or 0))
    if status >= 500 or status in (408, 425):
        raise TemporaryFailure(f"{where}: answers {status}")
    hint = {
        401: "; the secret is wrong or has run out",
        403: "; the secret may not read this",
        404: "; look at url and values",
    }.get(status, "")
    raise Refused(f"{where}: answers {status}{hint}", status)


def place(url: str) -> str:
    """An address without its query, where secrets and names may stand; for messages."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"


def same_origin(url: str, other: str) -> bool:
    """Do both addresses lead to the same scheme, host and port?"""
    return _origin(url) == _origin(other)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        return parts.scheme, parts.hostname, port
    except ValueError as error:
        raise Misconfigured(f"no address that can be fetched: {error}") from None


def _is_here(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost")
