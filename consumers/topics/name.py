"""What a topic is called: its most frequent problem, or its most typical quote, and the words that set it apart.

Words are ranked by class-based TF-IDF (Grootendorst 2022, https://arxiv.org/abs/2203.05794): how
often the topic says a word, times log(1 + words of an average topic / how often all say it). It
does not know vectors or ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from consumers.topics.embed import Told

WORDS = 6
_LONGEST = 120


def named(members: Sequence[Sequence[Told]]) -> list[tuple[str, list[str]]]:
    """Per topic its name and its words, best first.

    Args:
        members: per topic its issues, the most typical first; none empty.
    """
    words = _words(members)
    names = [_name(of) for of in members]
    twice = Counter(names)
    # Two topics may share their problem; their words tell them apart.
    return [
        (f"{name} ({', '.join(own[:2])})" if twice[name] > 1 and own else name, own)
        for name, own in zip(names, words, strict=True)
    ]


def _name(issues: Sequence[Told]) -> str:
    """A problem where half of the issues have one, the most frequent; else the first quote."""
    problems = Counter(issue.problem for issue in issues if issue.problem)
    if 2 * problems.total() >= len(issues):
        # Counter keeps the order of first sight, so of equals the more typical one wins.
        return str(problems.most_common(1)[0][0])
    quote = " ".join(issues[0].quote.split())
    return f"“{quote}”" if len(quote) <= _LONGEST else f"“{quote[: _LONGEST - 1].rstrip()}…”"


def _words(members: Sequence[Sequence[Told]]) -> list[list[str]]:
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(stop_words="english", token_pattern=r"(?u)\b[^\W\d_]{3,}\b")
    texts = ["\n".join(issue.quote for issue in of) for of in members]
    try:
        counts = counter.fit_transform(texts).toarray().astype(float)
    except ValueError:  # nothing but stop words and numbers
        return [[] for _ in members]
    average = counts.sum() / len(members)
    weights = counts * np.log(1 + average / counts.sum(axis=0))
    vocabulary = counter.get_feature_names_out()
    # A word said once is chance, unless the topic says nothing twice.
    out = []
    for row, said in zip(weights, counts, strict=True):
        best = [i for i in np.argsort(-row, kind="stable") if said[i] > 1] or [
            i for i in np.argsort(-row, kind="stable") if said[i] > 0
        ]
        out.append([str(vocabulary[i]) for i in best[:WORDS]])
    return out
