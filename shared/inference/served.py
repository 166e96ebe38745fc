"""A language model behind an OpenAI-compatible server: vLLM, SGLang, llama-server, `transformers serve`.

Sends prompts and tells whose fault a failure is: the server's state (TemporaryFailure) or this one
prompt (Refused). Where a status does not tell, a harmless request does. 429 and 503 are waited out
as long as the server says. Safe to call from many threads. It does not know reviews or queues.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import httpx

from shared.backoff import asked_seconds
from shared.errors import Misconfigured, TemporaryFailure
from shared.inference.served_grammar import DIALECTS, Body, Dialect
from shared.settings import Settings

# Too large, unprocessable: this prompt will never pass, if another one does.
_THE_PROMPTS_OWN_FAULT = frozenset({400, 413, 422})
_BUSY = frozenset({429, 503})
# 500, or an answer that breaks off: the prompt may have provoked it, or the server is broken.
_UNCLEAR = frozenset({500})
# How often a busy server is asked again, and the longest wait that it may ask for, in seconds: what
# takes longer is an outage, for which claims are better given back.
_BUSY_TRIES, _LONGEST_WAIT_SECONDS = 6, 60.0
# Of the watchdog's time, so that a request ends before it bites.
_OF_HANG = 0.8
_ODD_WORD = "qzxv7"


class Refused(Exception):
    """The server will not answer for this prompt; others are not concerned."""


class NoSuchModel(TemporaryFailure):
    """The server knows no model or adapter of the name asked for."""


class ServedModel:
    """One server.

    Args:
        settings: `openai_*`, and `hang_seconds`.
        client: for tests; its timeout stays as it is.
        pause: waits for so many seconds.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        settings: Settings,
        client: httpx.Client | None = None,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        key = settings.openai_key.get_secret_value() if settings.openai_key else "none"
        self.url, self.model = (settings.openai_url or "").rstrip("/"), settings.openai_model
        seconds = min(settings.openai_seconds, _OF_HANG * settings.hang_seconds)
        self._client = client or httpx.Client(
            timeout=httpx.Timeout(seconds, connect=min(10.0, seconds), pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=256),
        )
        self._headers = {"Authorization": f"Bearer {key}"}
        bare = settings.openai_route == "completions" or settings.openai_adapters
        self._path = "completions" if bare else "chat/completions"
        self._pause, self._clock = pause, clock
        self._lock, self._not_before, self._signs = threading.Lock(), 0.0, 0
        self._wanted: str = settings.openai_grammar
        self._dialect: Dialect | None = None

    @property
    def signs_of_life(self) -> int:
        """Grows with each answer, whatever it says, and with each second of a wait that the server asked for."""
        return self._signs

    @property
    def dialect(self) -> str:
        """How grammars are sent ("none": not at all); known after `learn_grammar`."""
        return self._dialect.name if self._dialect else "none"

    def learn_grammar(self) -> None:
        """Find out, once, how this server takes grammars; call it before `ask`.

        Raises:
            TemporaryFailure: the server is away.
            Misconfigured: BEYOND_OPENAI_GRAMMAR names a way that this server does not obey.
        """
        if self._wanted in ("", "none"):
            return
        offered = [d for d in DIALECTS if self._wanted in ("auto", d.name)]
        self._dialect = next((d for d in offered if self._obeys(d)), None)
        if self._dialect is None and self._wanted != "auto":
            raise Misconfigured(
                f"BEYOND_OPENAI_GRAMMAR={self._wanted}: the server at {self.url} answers as if there "
                "were no grammar; set auto or none"
            )
        self._wanted = ""

    def _obeys(self, dialect: Dialect) -> bool:
        body = dialect.body(dialect.word(_ODD_WORD))
        try:
            return self._said(self._send(self._body("Say hello.", self.model, 24, 0.0) | body))[
                0
            ].strip() == (_ODD_WORD)
        except (Refused, httpx.HTTPError, ValueError):
            return False

    def ask(
        self,
        prompt: str,
        *,
        model: str,
        most_tokens: int,
        temperature: float = 0.0,
        fenced: str | None = None,
    ) -> str:
        """The answer to one prompt; with `fenced` it obeys the grammar, where the server has one.

        An answer that ran out of tokens loses its last, half-written issue.

        Raises:
            Refused: this prompt's fault; a harmless one passes.
            TemporaryFailure: the server is away, busy for too long, or refuses whatever it is asked.
        """
        body = self._body(prompt, model, most_tokens, temperature)
        if fenced is not None and self._dialect is not None:
            body |= self._dialect.body(self._dialect.issues(fenced))
        try:
            text, ended = self._said(self._send(body))
        except (Refused, httpx.HTTPError, ValueError) as error:
            if not self._well(
                model
            ):  # also where a status blames the prompt: so says a wrong model
                raise self._away(error) from error
            if isinstance(error, Refused):
                raise
            raise Refused(
                f"the insight server failed at this review alone: {type(error).__name__}"
            ) from error
        last = text.rfind("evidence: ")
        return text if ended or last <= 0 else text[:last]

    def _body(self, prompt: str, model: str, most_tokens: int, temperature: float) -> Body:
        body: Body = {"model": model, "max_tokens": most_tokens, "temperature": temperature}
        if self._path == "completions":
            return body | {"prompt": prompt}
        return body | {"messages": [{"role": "user", "content": prompt}]}

    def _said(self, answer: httpx.Response) -> tuple[str, bool]:
        """Text, and whether the model ended it. ValueError where the answer has another form."""
        try:
            choice = answer.json()["choices"][0]
            text = choice["text"] if self._path == "completions" else choice["message"]["content"]
            return str(text or ""), choice.get("finish_reason") != "length"
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f"unexpected form of answer: {error}") from error

    def _well(self, model: str) -> bool:
        """Whether the server answers a prompt that nobody can object to."""
        try:
            self._said(self._send(self._body("Hello", model, 1, 0.0)))
            return True
        except (httpx.HTTPError, ValueError, Refused, TemporaryFailure):
            return False

    def _send(self, body: Body, path: str = "") -> httpx.Response:
        """The server's answer with status 200.

        Raises:
            httpx.HTTPError: unclear whose fault; Refused, TemporaryFailure: clear.
        """
        for tries in range(_BUSY_TRIES):
            self._rest()
            try:
                answer = self._client.post(
                    f"{self.url}/{path or self._path}", json=body, headers=self._headers
                )
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
                raise self._away(error) from error
            finally:
                self._signs += 1
            if answer.status_code not in _BUSY:
                break
            self._told_to_wait(answer, 0.5 * 2**tries)
        code = answer.status_code
        if code in _THE_PROMPTS_OWN_FAULT:
            raise Refused(
                f"the insight server refused this review: HTTP {code}: {answer.text[:200]}"
            )
        if code == 404:
            raise NoSuchModel(
                f"{self.url}/{path or self._path} does not know {body.get('model')}: {answer.text[:200]}"
            )
        if code >= 300 and code not in _UNCLEAR:
            raise self._away(ValueError(f"HTTP {code}: {answer.text[:200]}"))
        answer.raise_for_status()
        return answer

    def post(self, path: str, body: Body) -> httpx.Response:
        """Any other route, e.g. `load_lora_adapter`; the answer whatever its status.

        Raises:
            TemporaryFailure: no answer.
        """
        try:
            return self._client.post(f"{self.url}/{path}", json=body, headers=self._headers)
        except httpx.HTTPError as error:
            raise self._away(error) from error
        finally:
            self._signs += 1

    def _told_to_wait(self, answer: httpx.Response, otherwise_seconds: float) -> None:
        """All threads wait: the server means this client, not one of its requests."""
        asked = asked_seconds(answer.headers.get("retry-after", ""), time.time())
        seconds = otherwise_seconds if asked is None else asked
        if seconds > _LONGEST_WAIT_SECONDS:
            raise self._away(ValueError(f"HTTP {answer.status_code}, again in {seconds:.0f} s"))
        with self._lock:
            self._not_before = max(self._not_before, self._clock() + seconds)

    def _rest(self) -> None:
        while (left := self._not_before - self._clock()) > 0:
            self._pause(min(1.0, left))
            self._signs += 1

    def _away(self, error: Exception) -> TemporaryFailure:
        return TemporaryFailure(
            f"the insight server at {self.url} failed: {type(error).__name__}: {error}"
        )
