"""Constrained decoding for the `issues` task: every answer parses, quotes verbatim, and names a known theme.

A small automaton per answer tells which tokens may come next. Literals and themes are byte strings
to spell out; evidence is any word-aligned span of the review that overlaps no earlier evidence;
problem and action are free until the line ends. It works on the bytes of byte-level BPE
vocabularies (GPT-2 family: SmolLM2, phi-2, ...), so a token may end inside a character. Cf. Willard
& Louf 2023, https://arxiv.org/abs/2307.09702, which this specialises. It does not know models; it
sees token ids only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from shared.errors import ModelUnavailable
from shared.inference.prompts import MAX_ISSUES
from shared.review import THEMES

MIN_EVIDENCE, MAX_EVIDENCE = 12, 220  # bytes
MAX_FREE_TOKENS = 48
MIN_FREE_TOKENS = 3


class Vocabulary:
    """Bytes of every token of a byte-level BPE tokenizer, and which tokens free text may use."""

    def __init__(self, tokenizer: Any, size: int) -> None:
        decoder = _byte_decoder()
        pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        special = set(tokenizer.all_special_ids)
        self.bytes: list[bytes] = []
        for number, piece in enumerate(pieces):
            ok = number not in special and piece is not None and all(c in decoder for c in piece)
            self.bytes.append(bytes(decoder[c] for c in piece) if ok else b"")
        self.ids = {piece: i for i, piece in reversed(list(enumerate(self.bytes))) if piece}
        if b"\n" not in self.ids or b" the" not in self.ids:
            raise ModelUnavailable(
                "constrained decoding needs a byte-level BPE tokenizer (GPT-2 family)"
            )
        self.longest = max(map(len, self.bytes))
        self.newline, self.eos = self.ids[b"\n"], int(tokenizer.eos_token_id)
        # Free text: any printable piece; a line ends with the one newline token, never inside
        # another.
        self.free = np.zeros(size, dtype=bool)
        for number, piece in enumerate(self.bytes):
            self.free[number] = (
                bool(piece) and b"<" not in piece and not any(byte < 32 for byte in piece)
            )
        # After "problem:" comes a space and a word, as in every example that was learned.
        self.first = np.zeros(size, dtype=bool)
        for number in np.flatnonzero(self.free).tolist():
            self.first[number] = (
                self.bytes[number][:1] == b" " and self.bytes[number][1:2].isalnum()
            )


def _byte_decoder() -> dict[str, int]:
    """GPT-2's reversible map from printable characters to bytes (Radford et al. 2019, encoder.py)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    out = {chr(b): b for b in plain}
    extra = [b for b in range(256) if b not in plain]
    return out | {chr(256 + i): b for i, b in enumerate(extra)}


class IssueGrammar:
    """The automaton of one answer over one fenced review. Call `allowed`, choose, `advance`, until `done`.

    `allowed()` returns the ids that may come next (int64 array), or None where free text goes on by
    `mask`.
    """

    def __init__(self, vocabulary: Vocabulary, fenced_review: str) -> None:
        self._v = vocabulary
        self._text = fenced_review.encode()
        self._starts = _word_starts(self._text)
        self._taken: list[tuple[int, int]] = []
        self._blocks = 0
        self.done = False
        self._choose(
            [(b"none", "end"), (b"evidence:", "span")] if self._starts else [(b"none", "end")]
        )

    def _choose(self, options: Sequence[tuple[bytes, str]], eos: bool = False) -> None:
        self._state, self._options, self._eos_ok = "choice", list(options), eos

    def allowed(self) -> np.ndarray | None:
        """Ids that may come next, or None: any of `mask`, and the newline once `may_end_line`."""
        if self._state == "choice":
            out = self._prefixes(rest for rest, _ in self._options)
            return np.array([*out, self._v.eos] if self._eos_ok else out, dtype=np.int64)
        if self._state == "span":
            return np.array(self._span_tokens(), dtype=np.int64)
        if self._state == "free":
            return (
                np.array([self._v.newline], dtype=np.int64)
                if self._used >= MAX_FREE_TOKENS
                else None
            )
        return np.array([self._v.eos], dtype=np.int64)

    @property
    def mask(self) -> np.ndarray:
        """In free text: bool per token, whether it may come next."""
        return self._v.free if self._used else self._v.first

    @property
    def may_end_line(self) -> bool:
        """In free text: whether the newline is allowed besides `mask`."""
        return self._state == "free" and self._used >= MIN_FREE_TOKENS

    def advance(self, token: int) -> None:
        """Take the chosen token, which must be an allowed one."""
        if token == self._v.eos:
            self.done = True
        elif self._state == "choice":
            piece = self._v.bytes[token]
            self._options = [
                (rest[len(piece) :], after)
                for rest, after in self._options
                if rest.startswith(piece)
            ]
            self._eos_ok = False
            if len(self._options) == 1 and not self._options[0][0]:
                self._enter(self._options[0][1])
        elif self._state == "span":
            self._advance_span(token)
        elif token == self._v.newline:
            self._after_line()
        else:
            self._used += 1

    def _enter(self, state: str) -> None:
        self._state = state
        if state == "span":
            free = [s for s in self._starts if not any(a <= s < b for a, b in self._taken)]
            self._ends: list[tuple[int, int]] = [
                (s, s) for s in free
            ]  # (start, end) of each live candidate
            self._lead = b" "
        elif state in ("problem", "action"):
            self._line, self._used, self._state = state, 0, "free"
        elif state == "end":
            self._state = "end"

    def _after_line(self) -> None:
        if self._line == "problem":
            self._choose([(b"action:", "action")])
            return
        self._blocks += 1
        more = self._blocks < MAX_ISSUES and any(
            not any(a <= s < b for a, b in self._taken) for s in self._starts
        )
        self._choose([(b"evidence:", "span")] if more else [], eos=True)

    def _prefixes(self, strings: Any) -> list[int]:
        out: set[int] = set()
        for rest in strings:
            for length in range(1, min(len(rest), self._v.longest) + 1):
                token = self._v.ids.get(rest[:length])
                if token is not None:
                    out.add(token)
        return sorted(out)

    def _limit(self, start: int) -> int:
        later = [a for a, _ in self._taken if a >= start]
        return min([len(self._text), start + MAX_EVIDENCE, *later])

    def _span_tokens(self) -> list[int]:
        fresh = self._ends[0][0] == self._ends[0][1]
        window = self._v.longest
        if fresh:  # the label is followed by a space, which the review may not have at that place
            return self._prefixes_skip_space(
                [
                    self._lead + self._text[s : min(s + window, self._limit(s))]
                    for s, _ in self._ends
                ]
            )
        out = set(
            self._prefixes(self._text[e : min(e + window, self._limit(s))] for s, e in self._ends)
        )
        if any(self._may_stop(s, e) for s, e in self._ends) or not out:
            out.add(self._v.newline)
        return sorted(out)

    def _prefixes_skip_space(self, strings: list[bytes]) -> list[int]:
        space, found = self._v.ids.get(b" "), self._prefixes(strings)
        # The space alone only where no token joins it to what follows: a script that the vocabulary
        # spells byte by byte.
        return [t for t in found if t != space] or found

    def _may_stop(self, start: int, end: int) -> bool:
        return end - start >= min(MIN_EVIDENCE, len(self._text)) and _boundary(self._text, end)

    def _advance_span(self, token: int) -> None:
        if token == self._v.newline:
            best = next((p for p in self._ends if self._may_stop(*p)), self._ends[0])
            self._taken.append(best)
            self._choose([(f"theme: {theme}\nproblem:".encode(), "problem") for theme in THEMES])
            return
        piece = self._v.bytes[token]
        if self._ends[0][0] == self._ends[0][1]:
            word, self._lead = piece[len(self._lead) :], b""
            self._ends = [
                (s, s + len(word)) for s, _ in self._ends if self._text.startswith(word, s)
            ]
        else:
            self._ends = [
                (s, e + len(piece)) for s, e in self._ends if self._text.startswith(piece, e)
            ]


def _wordish(byte: int) -> bool:
    return byte >= 128 or chr(byte).isalnum()


def _boundary(text: bytes, at: int) -> bool:
    return at >= len(text) or not _wordish(text[at]) or not _wordish(text[at - 1])


def _word_starts(text: bytes) -> list[int]:
    """Byte offsets where a word begins, far enough from the end for a shortest piece of evidence."""
    last = max(1, len(text) - MIN_EVIDENCE)
    return [
        i
        for i in range(min(last, len(text)))
        if text[i] != 32 and (i == 0 or not _wordish(text[i - 1])) and _wordish(text[i])
    ]
