"""How well images are ordered by a phrase, by the share of the mean phrase taken off it (diagnoser/centring.py).

python -m benchmarks.retrieval FOLDER    (of the labelled real CLIP sets)

Average precision, mean over phrases that at least LEAST images show, and the slope of the truth on membership: its 10%,
50% and 90% quantiles over phrases. 1 says that memberships are right on average.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from benchmarks.measure import machine
from benchmarks.planted.clip_sets import FEW_PHRASES, SETS, LabelledSet, labelled_set
from sklearn.metrics import average_precision_score

from fsearch.diagnoser.retrieval import Retriever
from fsearch.indexer.vector_index.exact_search import ExactSearch

SHARES = (0.0, 0.35, 0.5, 0.7, 1.0)
LEAST = 10


def main() -> None:
    print(f"retrieval by centred phrases; {machine()}\n")
    print(f"| set | phrases | {' | '.join(f'{share:g} taken off' for share in SHARES)} |")
    print(f"|---|---:|{'---|' * len(SHARES)}")
    for name in SETS | FEW_PHRASES:
        whole = labelled_set(Path(sys.argv[1]), name)
        common = whole.shown.mean(axis=1)
        some = np.flatnonzero((whole.shown.sum(axis=1) >= LEAST) & (common < 0.6))
        asked = replace(whole, texts=whole.texts[some], shown=whole.shown[some])
        print(f"| {name} | {len(some)} | {' | '.join(_cell(asked, share) for share in SHARES)} |", flush=True)


def _cell(whole: LabelledSet, share: float) -> str:
    generic = np.asarray(share * whole.reference.rivals.mean(axis=0), np.float32)
    index, rows = ExactSearch(whole.images.astype(np.float16)), np.arange(len(whole.images))
    found = Retriever(index, rows, whole.reference.logit_scale, generic=generic).find(whole.texts)
    truth = np.take_along_axis(whole.shown, found.neighbours, axis=1)
    precision = [average_precision_score(t, s) for t, s in zip(truth, found.similarities, strict=True)]
    centred = found.memberships - found.memberships.mean(axis=1, keepdims=True)
    slopes = (centred * truth).sum(axis=1) / (centred**2).sum(axis=1)
    return f"{np.mean(precision):.3f}; {' '.join(f'{v:.2f}' for v in np.quantile(slopes, (0.1, 0.5, 0.9)))}"


if __name__ == "__main__":
    main()
