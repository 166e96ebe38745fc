"""One run over the record: group a sample of its issues, continue the topics of the run before, link every issue.

Memory holds the sample's vectors and one short number an issue, whatever the record holds. Given
the same record and the same topics before it, a run gives the same topics. It does not know where
vectors come from.
"""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np
from sqlalchemy import Connection, Engine

from consumers.record.database import writing
from consumers.topics.embed import Told, Vectors
from consumers.topics.group import Groups, group, least_size
from consumers.topics.match import carried
from consumers.topics.name import named
from consumers.topics.tables import IssueText, Topic, kept, newest_day, replace, sample, walk

# HDBSCAN compares all pairs: 20,000 issues take 10 s of one core, 40,000 would take 40.
SAMPLE = 20_000
# So many of a topic's issues are kept for its name and words, the most typical of each chunk.
_NAMED_BY = 200


class _Links:
    """Which issue belongs to which topic, 22 bytes each; and what names and counts the topics."""

    def __init__(self, topics: int) -> None:
        self.ids: list[np.ndarray] = []
        self.topic: list[np.ndarray] = []
        self.days: list[list[int]] = [[] for _ in range(topics)]
        self.typical: list[list[tuple[float, str, Told]]] = [[] for _ in range(topics)]
        self.size = np.zeros(topics, dtype=np.int64)

    def add(self, issues: list[IssueText], topic: np.ndarray, cosine: np.ndarray) -> None:
        """One chunk of issues, with the topic of each (-1: none) and how near it lies."""
        inside = np.flatnonzero(topic >= 0)
        self.ids.append(np.array([issues[i].id.encode() for i in inside], dtype="S20"))
        self.topic.append(topic[inside].astype(np.int16))
        nearest = defaultdict(list)
        for i in inside:
            nearest[int(topic[i])].append((-round(float(cosine[i]), 5), issues[i].id, issues[i]))
        for of, found in nearest.items():
            days = [issue.day for _, _, issue in found]
            self.days[of] = [min(self.days[of][:1] + days), max(self.days[of][1:] + days)]
            self.size[of] += len(found)
            best = [*self.typical[of], *((far, i, issue.told) for far, i, issue in found)]
            self.typical[of] = sorted(best)[:_NAMED_BY]

    def pairs(self, ids: dict[int, str]) -> Iterator[tuple[str, str]]:
        """(topic id, issue id) of those topics that have an id."""
        for some, topic in zip(self.ids, self.topic, strict=True):
            for issue, of in zip(some.tolist(), topic.tolist(), strict=True):
                if of in ids:
                    yield ids[of], issue.decode()


def run(
    engine: Engine,
    vectors: Vectors,
    days: int,
    say: Callable[[str], None] = lambda text: None,
    clock: Callable[[], float] = time.time,
) -> list[Topic]:
    """Find the topics of the last `days` days that have issues, and write them into the record.

    Largest first.
    """
    with engine.connect() as connection:
        last = newest_day(connection)
        since = 0 if last is None else last - days + 1
        old = kept(connection)
        drawn = sample(connection, since, SAMPLE)
        say(f"{len(drawn)} issues drawn; embedding")
        found = group(vectors.issues([issue.told for issue in drawn])) if drawn else _none(old)
        centres = np.array([topic.centre for topic in old], np.float32)
        groups, before = carried(found, [topic.id for topic in old], centres)
        say(f"{len(found.centres)} groups; linking issues")
        links = _link(connection, since, vectors, groups)
    topics, ids = _topics(groups, before, links, least_size(len(drawn)))
    with writing(engine) as connection:
        replace(connection, topics, links.pairs(ids), int(clock()))
    return topics


def _none(old: list[Topic]) -> Groups:
    width = len(old[0].centre) if old else 0
    return Groups(np.zeros((0, width), np.float32), np.zeros(0, np.float32))


def _link(connection: Connection, since: int, vectors: Vectors, groups: Groups) -> _Links:
    links = _Links(len(groups.centres))
    for issues in walk(connection, since):
        topic, cosine = groups.nearest(vectors.issues([issue.told for issue in issues]))
        links.add(issues, topic, cosine)
    return links


def _topics(
    groups: Groups, before: list[str | None], links: _Links, least: int
) -> tuple[list[Topic], dict[int, str]]:
    """Those that enough issues reach, largest first, and the id of each by its place among the groups."""
    alive = [n for n in range(len(groups.centres)) if links.size[n] >= least]
    alive.sort(key=lambda n: (-int(links.size[n]), links.typical[n][0][1]))
    taken = {str(before[n]) for n in alive if before[n]}
    names = named([[told for _, _, told in links.typical[n]] for n in alive])
    out, ids = [], {}
    for n, (name, words) in zip(alive, names, strict=True):
        ids[n] = before[n] or _new_id(links.typical[n][0][1], taken)
        taken.add(ids[n])
        first, last = links.days[n]
        size = int(links.size[n])
        out.append(Topic(ids[n], name, tuple(words), size, first, last, groups.centres[n]))
    return out, ids


def _new_id(issue_id: str, taken: set[str]) -> str:
    """Twenty hex characters of the most typical issue: the same in a run over the same record."""
    seen = issue_id
    while (found := hashlib.blake2b(seen.encode(), digest_size=10).hexdigest()) in taken:
        seen = found
    return found
