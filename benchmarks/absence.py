"""Concepts that are in an index, and the same with all their images taken away: what the margin over rivals tells.

    python -m benchmarks.absence FOLDER    (of the labelled real CLIP sets)

What is shipped as the absent level (diagnoser/rivals.py) and the doubt above it (diagnoser/support.py) was chosen here.
Only those names of the shipped vocabulary take part of which the sets have an embedding: about half of them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from benchmarks.planted.clip_sets import LOGIT_SCALE, SETS, LabelledSet, labelled_set

from fsearch.diagnoser.rivals import Rivalry, level, rivalry
from fsearch.diagnoser.support import ABSENT_WINNERS, DOUBTFUL, DOUBTFUL_WINNERS, UNCERTAIN
from fsearch.indexer.vector_index.index import exact_index

LEAST = 5  # images of a concept


def main() -> None:
    folder = Path(sys.argv[1])
    print("| set | concepts | absent: lost / caught | doubtful: lost / caught | uncertain: lost / caught |")
    print("|---|---:|---:|---:|---:|")
    for name, parts in SETS.items():
        if len(parts) == 1:
            _row(folder, name)


def _row(folder: Path, name: str) -> None:
    whole = labelled_set(folder, name)
    asked = np.flatnonzero((whole.shown.sum(axis=1) >= LEAST) & (whole.shown.mean(axis=1) <= 0.5))
    there = _ask(whole, whole.images, whole.texts[asked])
    gone = [_ask(whole, whole.images[~whole.shown[i]], whole.texts[[i]]) for i in asked]
    away = Rivalry(*(np.concatenate([getattr(g, f) for g in gone]) for f in Rivalry._fields))
    cut = level(len(whole.reference.rivals))
    cells = []
    for above, winners in ((0.0, ABSENT_WINNERS), (DOUBTFUL, DOUBTFUL_WINNERS), (UNCERTAIN, 0)):
        lost, caught = (np.mean((r.margin < cut + above) & (r.winners >= winners)) for r in (there, away))
        cells.append(f"{lost:.2f} / {caught:.2f}")
    print(f"| {name} | {len(asked)} | {' | '.join(cells)} |")


def _ask(whole: LabelledSet, images: np.ndarray, texts: np.ndarray) -> Rivalry:
    vectors = images.astype(np.float16)
    index = exact_index(vectors, vectors.shape[1])
    index.add([vectors])
    retriever = whole.reference.retriever(index, np.arange(len(vectors)))
    return rivalry(retriever.find(texts), retriever, whole.reference.rivals, LOGIT_SCALE)


if __name__ == "__main__":
    main()
