"""The grammar of a whole `issues` answer as servers read it: Lark (vLLM's guidance) and GBNF (llama-server, SGLang, xgrammar).

The Lark text is the one that is obeyed in process, too (issue_lark.py); GBNF says the same. A
dialect says under which name a server takes which text. It does not know models or HTTP.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.inference.issue_lark import MAX_LINE, MIN_EVIDENCE, MIN_LINE, answer
from shared.inference.prompts import MAX_ISSUES
from shared.review import THEMES

Body = dict[str, Any]
# What `shorten` puts where it cuts: no quote may run across it.
_CUT = " [...] "
# A word, or one sign, with the blanks before it; quotes begin and end between two of them.
_UNIT = re.compile(r"\s*(?:\w+|[^\w\s])")


@dataclass(frozen=True)
class Dialect:
    """How one kind of server takes a grammar.

    Attributes:
        name: as BEYOND_OPENAI_GRAMMAR spells it.
        issues: fenced review -> grammar of its answer.
        word: a word -> the grammar that allows nothing else, for asking whether grammars are obeyed.
        body: grammar -> what the request holds beside prompt and model.
    """

    name: str
    issues: Callable[[str], str]
    word: Callable[[str], str]
    body: Callable[[str], Body]


def _lark(fenced: str) -> str:
    return answer(fenced.split(_CUT))


def gbnf(fenced: str) -> str:
    """The same for llama.cpp's and xgrammar's EBNF; a rule a word, so its length grows with the review's."""
    quotes, tails = [], []
    for number, piece in enumerate(fenced.split(_CUT)):
        units = _units(piece)
        for i in _starts(units):
            end = i + 1
            while len("".join(units[i:end]).strip()) < MIN_EVIDENCE:
                end += 1
            said = _string("".join(units[i:end]).lstrip())
            quotes.append(f"{said} t{number}-{end}?" if end < len(units) else said)
        for i, unit in enumerate(units):
            more = f" t{number}-{i + 1}?" if i + 1 < len(units) else ""
            tails.append(f"t{number}-{i} ::= {_string(unit)}{more}")
    if not quotes:
        return 'root ::= "none"\n'
    blocks = "block" + " (block" * (MAX_ISSUES - 1) + ")?" * (MAX_ISSUES - 1)
    lines = [
        f'root ::= "none" | {blocks}',
        r'block ::= "evidence: " quote "\ntheme: " theme "\nproblem: " line "\naction: " line "\n"',
        "quote ::= " + " | ".join(quotes),
        *tails,
        "theme ::= " + " | ".join(f'"{theme}"' for theme in THEMES),
        rf"line ::= [^ \n<] [^\n<]{{{MIN_LINE - 1},{MAX_LINE - 1}}}",
    ]
    return "\n".join(lines) + "\n"


def _units(piece: str) -> list[str]:
    return _UNIT.findall(piece)


def _starts(units: list[str]) -> list[int]:
    """Units with a letter or digit from which a shortest quote still fits."""
    left, out = 0, []
    for i in range(len(units) - 1, -1, -1):
        left += len(units[i])
        if units[i].strip()[0].isalnum() and left - _blanks(units[i]) >= MIN_EVIDENCE:
            out.append(i)
    return out[::-1]


def _blanks(unit: str) -> int:
    return len(unit) - len(unit.lstrip())


def _string(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _lark_word(word: str) -> str:
    # With a part that only llguidance knows: a server that runs xgrammar must not pass for one.
    return f'start: WORD\nWORD: %regex {{"substring_words": {json.dumps(word)}}} & /.{{{len(word)}}}/\n'


def _gbnf_word(word: str) -> str:
    return f'root ::= "{word}"\n'


# In the order in which they are asked for. vllm-guided: versions before 0.12.
DIALECTS = (
    Dialect("vllm-lark", _lark, _lark_word, lambda text: {"structured_outputs": {"grammar": text}}),
    Dialect("vllm-gbnf", gbnf, _gbnf_word, lambda text: {"structured_outputs": {"grammar": text}}),
    Dialect("vllm-guided", _lark, _lark_word, lambda text: {"guided_grammar": text}),
    Dialect("llama", gbnf, _gbnf_word, lambda text: {"grammar": text}),
    Dialect("sglang", gbnf, _gbnf_word, lambda text: {"ebnf": text}),
)
