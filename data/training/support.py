"""Measure from what support on the demo encoder's concepts are there at all, and write data/encoder/support.json.

    python -m fsearch.data.training.support

Each concept's portraits are taken out of an index; its phrases are then absent, and so are sentences that name it
beside an expression, which resemble portraits of the expression alone. All other phrases are present.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsearch.data.portraits import CONCEPTS, Concept, draw_many, phrases, sample
from fsearch.data.training.measure import embed_pixels
from fsearch.diagnoser.membership import anchor_similarity, membership
from fsearch.diagnoser.support import Support
from fsearch.indexer.embedding.encoder import Encoder, identify, load_encoder

FILE = Path(__file__).parents[1] / "encoder" / "support.json"
SEED, POOL, INDEXED, RARE = 515_151, 8000, 3000, 30
FOUND = 0.95  # share of absent phrases to be recognised
MARGIN = 0.1  # nats below the least mass of a phrase that is there


def main() -> None:
    """Measure, write, and print what the floors do."""
    encoder = load_encoder(identify("demo", None), "cpu")
    portraits = sample(POOL, SEED)
    images = embed_pixels(encoder, list(draw_many(portraits)))
    words = list(phrases())
    texts = encoder.embed_texts([w for w, _ in words])
    rng = np.random.default_rng(SEED)
    present = _support(encoder, texts, images[rng.choice(POOL, INDEXED, replace=False)])
    absent, rare = [], []
    for concept in CONCEPTS:
        holds = np.array([concept.holds(p) for p in portraits])
        if holds.mean() > 0.5:
            continue
        own = np.concatenate(
            [texts[[i for i, (_, c) in enumerate(words) if c is concept]], encoder.embed_texts(_sentences(concept))]
        )
        without = rng.choice(np.flatnonzero(~holds), INDEXED, replace=False)
        few = np.append(without[RARE:], rng.choice(np.flatnonzero(holds), RARE, replace=False))
        absent.append(_support(encoder, own, images[without]))
        rare.append(_support(encoder, own, images[few]))
    gone, seldom = np.concatenate(absent), np.concatenate(rare)
    mass = float(present[:, 1].min()) - MARGIN
    light = gone[gone[:, 1] < mass, 0]
    wanted = min(1.0, FOUND * len(gone) / len(light))
    similarity = float(np.quantile(light, wanted))
    FILE.write_text(json.dumps({"similarity": round(similarity, 4), "mass": round(mass, 3)}) + "\n")
    for name, rows in (("present", present), ("absent", gone), (f"present, but {RARE} of {INDEXED:,} images", seldom)):
        unseen = (rows[:, 0] < similarity) & (rows[:, 1] < mass)
        print(f"{name}: {unseen.mean():.1%} of {len(rows)} phrases called unseen")


def _sentences(concept: Concept) -> list[str]:
    kinds = ("smiling", "not smiling", "frowning") if concept.family != "expression" else ("bald", "bearded")
    return [f"a {kind} {_rest(concept)}" for kind in kinds]


def _rest(concept: Concept) -> str:
    """The concept as the end of a sentence that begins with an adjective."""
    if concept.subjects:
        return concept.subjects[0]
    if concept.nouns:
        return f"person with {concept.nouns[0]}"
    if concept.leads:
        return f"{concept.leads[0]} person"
    return f"person {(concept.places or concept.shots)[0]}"


def _support(encoder: Encoder, texts: NDArray[np.float32], images: NDArray[np.float32]) -> NDArray[np.float64]:
    """(q, 2) similarity and mass of each phrase in an index of `images`."""
    cosines = -np.sort(-(texts @ images.T), axis=1)
    reference = anchor_similarity(cosines, encoder.logit_scale)
    share = membership(cosines, reference, encoder.logit_scale).mean(axis=1)
    found = Support.of(reference, share, encoder.logit_scale, np.full(len(texts), np.nan))
    return np.column_stack([found.similarity, found.log_mean_exp])


if __name__ == "__main__":
    main()
