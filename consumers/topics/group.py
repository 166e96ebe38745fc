"""Vectors to groups: dense regions are topics, what lies alone belongs to none. Pure arithmetic.

HDBSCAN (Campello, Moulavi & Sander 2013) over a few principal components: in 384 dimensions
everything is about as far from everything else, and distances cost 25 times as much. A topic
reaches as far as nine tenths of its own members lie; what lies nearer to its centre than that
belongs to it, whether it was in the sample or not. It does not know texts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_COMPONENTS = 15
# A centre this near to another tells of the same: the two are one topic. Different ones lie at 0.8
# and less ("waited for food", "waited to be seated").
_SAME_COSINE = 0.85
_OUTSIDE = 0.1  # of its own members a topic leaves out: those that lie at its rim
# A group whose members lie this far from its centre has nothing in common: few components make
# neighbours of strangers. Real topics reach 0.5 and more.
_LOOSE_COSINE = 0.45


@dataclass(frozen=True)
class Groups:
    """Topics: unit centres float32 [topics, width], and the least cosine at which each still counts."""

    centres: np.ndarray
    reach: np.ndarray

    def nearest(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Per vector (unit, [n, width]) the index of its topic, -1 where it is out of reach of all, and its cosine."""
        if not len(self.centres):
            return np.full(len(vectors), -1), np.zeros(len(vectors), dtype=np.float32)
        cosines = vectors @ self.centres.T
        # Of those that reach it the nearest, not the nearest of all: that may reach less far.
        within = np.where(cosines >= self.reach, cosines, -2)
        best = within.argmax(axis=1)
        found = within[np.arange(len(vectors)), best]
        return np.where(found > -2, best, -1), found


def least_size(issues: int) -> int:
    """How many issues make a topic: 5 in a small shop, one in 250 in a large one, never more than 40."""
    return max(5, min(40, issues // 250))


def group(vectors: np.ndarray) -> Groups:
    """The topics among unit vectors [n, width], n of some ten thousand at most; largest first."""
    width, least = vectors.shape[1], least_size(len(vectors))
    if len(vectors) < 2 * least:
        return Groups(np.zeros((0, width), np.float32), np.zeros(0, np.float32))
    from sklearn.cluster import HDBSCAN

    labels = HDBSCAN(
        min_cluster_size=least,
        min_samples=min(5, least),
        cluster_selection_method="leaf",  # the finest: "eom" joins half of all complaints into one
        copy=True,
    ).fit_predict(_reduced(vectors))
    members = _joined(vectors, [np.flatnonzero(labels == n) for n in range(labels.max() + 1)])
    members.sort(key=lambda of: (-len(of), int(of[0])))
    centres = np.array([_centre(vectors[of]) for of in members], np.float32).reshape(-1, width)
    reach = [
        np.quantile(vectors[of] @ centre, _OUTSIDE)
        for of, centre in zip(members, centres, strict=True)
    ]
    close = np.flatnonzero(np.array(reach) >= _LOOSE_COSINE)
    return Groups(centres[close], np.array(reach, np.float32)[close])


def _reduced(vectors: np.ndarray) -> np.ndarray:
    from sklearn.decomposition import PCA

    parts = min(_COMPONENTS, *vectors.shape)
    # The full solver: others draw random numbers, or round otherwise on another machine's cores.
    found = PCA(parts, svd_solver="covariance_eigh").fit_transform(vectors)
    return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9))


def _joined(vectors: np.ndarray, members: list[np.ndarray]) -> list[np.ndarray]:
    """Groups whose centres say the same become one, the nearest first."""
    members = list(members)
    while len(members) > 1:
        centres = np.array([_centre(vectors[of]) for of in members])
        cosines = np.triu(centres @ centres.T, 1)
        one, other = np.unravel_index(int(cosines.argmax()), cosines.shape)
        if cosines[one, other] < _SAME_COSINE:
            break
        members[one] = np.sort(np.concatenate([members[one], members.pop(int(other))]))
    return members


def _centre(vectors: np.ndarray) -> np.ndarray:
    mean = vectors.mean(axis=0)
    unit: np.ndarray = mean / max(float(np.linalg.norm(mean)), 1e-9)
    return unit
