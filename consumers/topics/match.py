"""The same topic has the same id in every run: new centres are paired with old ones. Pure arithmetic.

The pairs are the assignment with the highest sum of cosines (the Hungarian method; Kuhn 1955), and
count where the cosine is at least the floor. It does not know what a topic says.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from consumers.topics.group import Groups

# Runs over two halves of the same reviews put the centres of one topic at 0.9 and more.
FLOOR = 0.8


def paired(new: np.ndarray, old: np.ndarray) -> list[int | None]:
    """Per new centre (unit, [topics, width]) the index of the old one that it continues, or None.

    None twice.
    """
    out: list[int | None] = [None] * len(new)
    if not len(new) or not len(old):
        return out
    from scipy.optimize import linear_sum_assignment

    cosines = new @ old.T
    # What is under the floor must not cost a true pair its place.
    for row, column in zip(
        *linear_sum_assignment(-np.where(cosines < FLOOR, 0, cosines)), strict=True
    ):
        if cosines[row, column] >= FLOOR:
            out[int(row)] = int(column)
    return out


def carried(
    found: Groups, old_ids: Sequence[str], old: np.ndarray
) -> tuple[Groups, list[str | None]]:
    """Found topics with the ids of those that they continue, and old ones that nothing continues.

    An old topic that lies near none of the new ones stays as a candidate: a sample may have missed
    it. It goes when too few issues reach it (the caller counts them).

    Returns:
        All topics, and per topic its old id, None for a new one.
    """
    pairs = paired(found.centres, old)
    ids: list[str | None] = [None if of is None else old_ids[of] for of in pairs]
    if not len(old):
        return found, ids
    near = (old @ found.centres.T).max(axis=1) if len(found.centres) else np.zeros(len(old))
    left = [index for index in range(len(old)) if index not in pairs and near[index] < FLOOR]
    reach = float(np.median(found.reach)) if len(found.reach) else FLOOR
    return (
        Groups(
            np.concatenate([found.centres, old[left]]),
            np.concatenate([found.reach, np.full(len(left), reach, np.float32)]),
        ),
        [*ids, *(old_ids[index] for index in left)],
    )
