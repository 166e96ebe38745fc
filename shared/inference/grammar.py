"""Constrained decoding for the `issues` task: every answer parses, quotes verbatim, and names a known theme.

llguidance (https://github.com/guidance-ai/llguidance) turns the Lark text that servers get, too,
into masks over the vocabulary, for a whole batch in parallel and outside of Python. Here each quote
has a grammar of its own, over what earlier ones left of the review, so that evidence never
overlaps. Cost: benchmarks/grammar.py. It does not know models; it sees token ids only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from shared.errors import ModelUnavailable
from shared.inference.issue_lark import (
    AFTER_QUOTE,
    FIRST,
    LATER,
    MIN_EVIDENCE,
    NONE,
    quotable,
    quote,
    shortest_quote,
)
from shared.inference.prompts import MAX_ISSUES


class Vocabulary:
    """A tokenizer as llguidance reads it, made once a model (half a second).

    Args:
        tokenizer: any fast one: byte-level BPE (phi-2, SmolLM2), SentencePiece (Mistral), ...
        size: the model's vocabulary, which may be larger than the tokenizer's.
        ends: ids that end an answer.

    Raises:
        ModelUnavailable: it is not a fast tokenizer.
    """

    def __init__(self, tokenizer: Any, size: int, ends: Collection[int]) -> None:
        import llguidance
        import llguidance.hf

        try:
            self._words = llguidance.hf.from_tokenizer(
                tokenizer, n_vocab=max(size, len(tokenizer)), eos_token=sorted(ends)
            )
        except ValueError as error:
            raise ModelUnavailable(
                f"constrained decoding needs a fast tokenizer: {error}"
            ) from error
        self._executor = llguidance.LLExecutor()
        self._compilers = ThreadPoolExecutor(thread_name_prefix="grammar")
        self._unspelt = self._bytes_without_token()
        self.first, self.later = self.matcher(FIRST), self.matcher(LATER)
        self.after_quote = self.matcher(AFTER_QUOTE)

    def matcher(self, grammar: str) -> Any:
        """A matcher of that grammar, at its beginning; other threads run meanwhile."""
        from llguidance import LLMatcher

        made = LLMatcher(self._words, grammar)
        if made.is_error():
            raise ValueError(f"{made.get_error()} in {grammar[:300]}")
        return made

    def _bytes_without_token(self) -> frozenset[int]:
        """SmolLM2 has no token for some bytes of characters that Unicode has not assigned."""
        spelt = {
            said[0] for i in range(self._words.vocab_size) if len(said := self._bytes([i])) == 1
        }
        return frozenset(range(256)) - spelt

    def pieces(self, text: str) -> list[str]:
        """The text without the characters that no tokens spell: parts that can be quoted."""
        if not self._unspelt.isdisjoint(text.encode()):
            text = "".join(c if self._unspelt.isdisjoint(c.encode()) else "\0" for c in text)
        return text.split("\0")

    def text(self, tokens: Sequence[int]) -> str:
        """What the tokens say, byte for byte."""
        return self._bytes(tokens).decode(errors="replace")

    def _bytes(self, tokens: Sequence[int]) -> bytes:
        said: bytes = self._words.decode_bytes(list(tokens))
        return said

    def masks(self, grammars: Sequence[IssueGrammar]) -> np.ndarray:
        """Which tokens may come next in each answer, none of which is done: bool [rows, vocabulary]."""
        from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask_par

        list(self._compilers.map(IssueGrammar.compile, [one for one in grammars if one.due]))
        bits = allocate_token_bitmask(len(grammars), self._words.vocab_size)
        rows = [(grammar.matcher, row) for row, grammar in enumerate(grammars)]
        fill_next_token_bitmask_par(self._executor, rows, bits)
        # Bit j of word i tells of token 32 i + j.
        flat: np.ndarray = np.unpackbits(bits.view(np.uint8), axis=1, bitorder="little")
        return flat.view(bool)


class IssueGrammar:
    """What one answer over one fenced review may say: `Vocabulary.masks`, choose, `advance`, until `done`.

    An answer is followed part by part (issue_lark.py), because only quotes have a grammar of their
    own, which takes milliseconds to compile.

    Attributes:
        matcher: of the part that is being written.
        due: it must be compiled yet.
        done: nothing may follow, so no end token needs to be asked for.
        whole: how many of the tokens so far make whole issues.
    """

    def __init__(self, vocabulary: Vocabulary, fenced_review: str) -> None:
        self._vocabulary, self._issues = vocabulary, 0
        self._pieces = vocabulary.pieces(fenced_review)
        self._shortest = shortest_quote(self._pieces)
        self._written: list[int] = []
        self._length = self.whole = 0
        self.due = self.done = False
        can = quotable(self._pieces, self._shortest)
        self.matcher = vocabulary.first.deep_copy() if can else vocabulary.matcher(NONE)
        self._then: Callable[[str], None] = self._at_quote

    def advance(self, token: int) -> None:
        """Take the chosen token, which must be an allowed one and no end token."""
        self.matcher.consume_token(token)
        self._written.append(token)
        self._length += 1
        if self.matcher.is_stopped():
            said, self._written = self._vocabulary.text(self._written), []
            self._then(said)

    def compile(self) -> None:
        """Make the matcher of a quote: 1 to 10 ms, by the review's length, in any thread."""
        self.matcher = self._vocabulary.matcher(quote(self._pieces, self._shortest))
        self.due = False

    def _at_quote(self, said: str) -> None:
        if said == "none":
            self.done, self.whole = True, self._length
            return
        self.due, self._then = True, self._after_quote

    def _after_quote(self, said: str) -> None:
        self._take(said[1:-1])
        self.matcher, self._then = self._vocabulary.after_quote.deep_copy(), self._after_issue

    def _after_issue(self, _said: str) -> None:
        self._issues, self.whole, self._shortest = self._issues + 1, self._length, MIN_EVIDENCE
        self.done = self._issues == MAX_ISSUES or not quotable(self._pieces)
        self.matcher, self._then = self._vocabulary.later.deep_copy(), self._at_quote

    def _take(self, quoted: str) -> None:
        """Cut the quote out of the piece that has it; what is left beside it may be quoted yet."""
        for i, piece in enumerate(self._pieces):
            before, found, after = piece.partition(quoted)
            if found:
                self._pieces[i : i + 1] = [before, after]
                return
