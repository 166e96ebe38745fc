"""A model that knows nothing: it says, token by token, anything that a grammar allows.

What of that cannot be parsed is the grammar's fault.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from llguidance import LLMatcher
from llguidance.gbnf_to_lark import any_to_lark
from llguidance.hf import from_tokenizer
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask

from tests.tiny import tokenizer

_PLAIN = 2000  # common tokens, which are preferred: rare ones make quotes of single letters


class RandomSpeech:
    """Speaks by grammars, in Lark or GBNF."""

    def __init__(self) -> None:
        self._tokenizer = tokenizer()
        self._words = from_tokenizer(self._tokenizer)

    def say(self, grammar: str, most_tokens: int, seed: int = 0) -> tuple[str, bool]:
        """Random text of the grammar, and whether it came to an end.

        Raises:
            ValueError: it is no grammar.
        """
        matcher = LLMatcher(self._words, any_to_lark(grammar))
        if matcher.is_error():
            raise ValueError(matcher.get_error())
        chance, said = random.Random(seed), []
        bits = allocate_token_bitmask(1, self._words.vocab_size)
        while len(said) < most_tokens:
            fill_next_token_bitmask(matcher, bits)
            allowed: Any = np.flatnonzero(np.unpackbits(bits.view(np.uint8), bitorder="little"))
            token = int(chance.choice(allowed))
            ends = token in self._tokenizer.all_special_ids
            if not ends:
                said.append(token)
                matcher.consume_token(token)
            if ends or matcher.is_stopped():
                return self._decoded(said), True
        return self._decoded(said), False

    def _decoded(self, tokens: list[int]) -> str:
        return str(self._tokenizer.decode(tokens, clean_up_tokenization_spaces=False))
