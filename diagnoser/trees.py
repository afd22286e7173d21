"""The members' trees as plain arrays: what a fit stores of them. XGBoost reads no file.

A fit may come from somebody else, and XGBoost believes what its own files say of children and features. Here the arrays
are checked before they are followed, and a prediction is a few look-ups a tree in NumPy. The split rule is XGBoost's:
left where the value, as float32, is below the threshold.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_DEPTH = 32
_BLOCK = 1024  # points that are predicted together
NODE = np.dtype([("left", "<i4"), ("feature", "<i4"), ("threshold", "<f4"), ("value", "<f4")])


@dataclass(frozen=True, slots=True)
class Trees:
    """The trees of b members.

    Attributes
    ----------
    nodes : (n,) of NODE. The right child is `left` + 1; a leaf is its own left child, below a threshold of infinity.
    roots : (t,) int32 nodes, the trees of one member after those of another.
    counts : (b,) int32, how many trees each member has.
    base : (b,) float32, what each member adds to the sum of its leaves.
    """

    nodes: NDArray[Any]
    roots: NDArray[np.int32]
    counts: NDArray[np.int32]
    base: NDArray[np.float32]

    @classmethod
    def of(cls, boosters: Sequence[Any], dim: int) -> Trees:
        """The trees of XGBoost's boosters, which were trained here on (n, `dim`) points."""
        nodes: list[tuple[int, int, float, float]] = []
        roots: list[int] = []
        counts = []
        for booster in boosters:
            model = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]
            for tree in model["trees"]:
                roots.append(len(nodes))
                _append(tree, nodes)
            counts.append(len(model["trees"]))
        found = cls(
            np.array(nodes, NODE), np.array(roots, np.int32), np.array(counts, np.int32), np.zeros(len(counts), "f4")
        )
        zero = np.zeros((1, dim), np.float32)
        margins = np.array([b.inplace_predict(zero, predict_type="margin")[0] for b in boosters], np.float32)
        return cls(found.nodes, found.roots, found.counts, margins - found.predict(zero)[:, 0])

    def require_sound(self, members: int, dim: int) -> None:
        """Raise ValueError unless these are the trees of so many members, on points of length `dim`."""
        kinds = [(self.nodes, NODE), (self.roots, np.int32), (self.counts, np.int32), (self.base, np.float32)]
        if any(a.ndim != 1 or a.dtype != kind for a, kind in kinds) or len(self.counts) != members:
            raise ValueError("the trees are no arrays of trees")
        if len(self.base) != members or (self.counts < 0).any() or int(self.counts.sum()) != len(self.roots):
            raise ValueError("the trees are not those of the members")
        left, here = self.nodes["left"].astype(np.int64), np.arange(len(self.nodes))
        inner = left != here
        if (left[inner] <= here[inner]).any() or (left[inner] + 1 >= len(left)).any():
            raise ValueError("a tree has a child out of range")
        feature, threshold = self.nodes["feature"], self.nodes["threshold"]
        if (feature < 0).any() or (feature >= dim).any():
            raise ValueError("a tree asks for a dimension that is not there")
        finite = np.isfinite(self.nodes["value"]).all() and np.isfinite(self.base).all()
        if not finite or not np.isfinite(threshold[inner]).all() or not np.isposinf(threshold[~inner]).all():
            raise ValueError("a tree holds what is no number")
        self._require_each_node_once(left)

    def _require_each_node_once(self, left: NDArray[np.int64]) -> None:
        """Raise ValueError unless every node is in one tree, in one place, at most MAX_DEPTH below its root."""
        level = self.roots.astype(np.int64)
        if (level < 0).any() or (level >= len(left)).any():
            raise ValueError("a tree has no root")
        seen = np.zeros(len(left), bool)
        for _ in range(MAX_DEPTH + 1):
            if len(np.unique(level)) != len(level) or seen[level].any():
                raise ValueError("two trees share a node")
            seen[level] = True
            children = left[level[left[level] != level]]
            level = np.concatenate([children, children + 1])
            if not len(level):
                break
        if len(level) or not seen.all():
            raise ValueError("a tree is too deep, or a node in none")

    def predict(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """(b, m) sums of the leaves that `points`, (m, d) finite, fall into, with each member's base."""
        found = np.empty((len(self.counts), len(points)), np.float32)
        ends = np.cumsum(self.counts)
        for start in range(0, len(points), _BLOCK):
            columns = points[start : start + _BLOCK].astype(np.float32).T
            for b, (end, count) in enumerate(zip(ends, self.counts, strict=True)):
                values = self._leaves(self.roots[end - count : end], columns)
                found[b, start : start + _BLOCK] = values.sum(axis=0, dtype=np.float32) + self.base[b]
        return found

    def _leaves(self, roots: NDArray[np.int32], columns: NDArray[np.float32]) -> NDArray[np.float32]:
        """(t, m) the value of the leaf of each tree that each of `columns`, (d, m), falls into."""
        left, feature, threshold = (self.nodes[name] for name in ("left", "feature", "threshold"))
        points = np.arange(columns.shape[1])
        at = np.repeat(roots[:, None], len(points), axis=1)
        while True:
            below = left[at] + (columns[feature[at], points] >= threshold[at])
            if np.array_equal(below, at):
                return np.asarray(self.nodes["value"][at])
            at = below


def _append(tree: dict[str, Any], nodes: list[tuple[int, int, float, float]]) -> None:
    """Append one tree of XGBoost's JSON, breadth first, so that two children lie side by side."""
    left, right = tree["left_children"], tree["right_children"]
    feature, threshold = tree["split_indices"], tree["split_conditions"]
    order = [0]
    free = len(nodes) + 1
    for node in order:
        here = len(nodes)
        if left[node] < 0:
            nodes.append((here, 0, np.inf, threshold[node]))  # a leaf's value stands where others have a threshold
            continue
        nodes.append((free, feature[node], threshold[node], 0.0))
        order += [left[node], right[node]]
        free += 2
