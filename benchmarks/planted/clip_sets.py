"""Labelled real CLIP sets: class names as phrases, losses planted on what some of them show, concepts taken away whole.

All lie in the space of OpenAI's ViT-B/32 in a folder that the user names (`--clip`); nothing of it is part of this
repository. Files: NAME.npz (`images`, `labels`), labels_and_phrases.json (the classes that show each phrase, by hand)
and text_bank_vitb32.npz ("a {name}" for 2,148 names).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from benchmarks.planted.world import ENOUGH, World, truth

from fsearch.diagnoser.reference_bank import ReferenceBank
from fsearch.diagnoser.retrieval import Retriever
from fsearch.diagnoser.rivals import Rivalry, rivalry
from fsearch.diagnoser.support import Support
from fsearch.indexer.storage.vectors import unit
from fsearch.indexer.vector_index.exact_search import ExactSearch
from fsearch.search.query import vocabulary

LOGIT_SCALE = 100.0  # of every CLIP that OpenAI trained
ENCODER = "ViT-B-32 openai"
LOW, HIGH = 0.1, (0.25, 0.4, 0.6)  # mean loss of most images, and of those of each planted phrase
TAKEN_AWAY = 0.2  # share of the classes
REFERENCE = (
    *(
        "person",
        "human face",
        "man",
        "woman",
        "boy",
        "girl",
        "animal",
        "dog",
        "cat",
        "bird",
        "car",
        "building",
        "house",
    ),
    *("tree", "flower", "apple", "fruit", "street light", "traffic sign", "chair", "table", "bottle", "book", "toy"),
    *("computer monitor", "boat", "coat", "shoe", "plate", "window"),
)
# what these words mean differs between the sets once they are one
AMBIGUOUS = frozenset({"a shellfish", "a fish", "a seafood", "a lobster", "a crab", "a strawberry", "a cat", "a cup"})
SETS = {
    "clip-caltech": ("caltech_val",),
    "clip-food": ("food_keys16",),
    "clip-mixed": ("caltech_val", "food_keys16", "pets_val"),
}
FEW_PHRASES = {"clip-cifar": ("cifar10",), "clip-pets": ("pets_val",)}  # too few of them to plant failures


@dataclass(frozen=True)
class LabelledSet:
    """`images` (n, d) and `texts` (q, d) unit float32, `labels` (n,), `shown` (q, n) bool."""

    images: np.ndarray
    labels: np.ndarray
    phrases: tuple[str, ...]
    texts: np.ndarray
    shown: np.ndarray
    reference: ReferenceBank

    def retriever(self, images: np.ndarray) -> Retriever:
        """Retrieval among `images`, (m, d), as fsearch would retrieve with this encoder."""
        return self.reference.retriever(ExactSearch(images.astype(np.float16)), np.arange(len(images)))

    def asked(self, images: np.ndarray, texts: np.ndarray) -> tuple[Support, Rivalry]:
        """How well `images` support each of `texts`, (q, d), and how it stands against its rivals among them."""
        retriever = self.retriever(images)
        found = retriever.find(texts)
        return found.support, rivalry(found, retriever, self.reference.rivals, LOGIT_SCALE)


@cache
def labelled_set(folder: Path, name: str) -> LabelledSet:
    """One of SETS or FEW_PHRASES; where it is made of several, a phrase shows what it shows in each."""
    bank, _ = text_bank(folder)
    described = json.loads((folder / "labels_and_phrases.json").read_text(encoding="utf-8"))
    images, labels, parts, first = [], [], [], 0
    sources = (SETS | FEW_PHRASES)[name]
    for part in sources:
        with np.load(folder / f"{part}.npz", allow_pickle=False) as held:
            images.append(held["images"].astype(np.float32))
            labels.append(held["labels"] + first)
        parts += [
            (p["phrase"], p["text_row"], np.array(p["positive_classes"]) + first) for p in described[part]["phrases"]
        ]
        first += len(described[part]["classes"])
    own = np.concatenate(labels)
    shows: dict[str, tuple[int, np.ndarray]] = {}
    for phrase, row, classes in parts:
        if len(sources) == 1 or phrase not in AMBIGUOUS:
            before = shows[phrase][1] if phrase in shows else np.zeros(len(own), bool)
            shows[phrase] = row, before | np.isin(own, classes)
    return LabelledSet(
        unit(np.concatenate(images)),
        own,
        tuple(shows),
        bank[[row for row, _ in shows.values()]],
        np.stack([shown for _, shown in shows.values()]),
        reference_bank(folder),
    )


@cache
def text_bank(folder: Path) -> tuple[np.ndarray, list[str]]:
    """(v, d) unit embeddings of "a {name}", and the names."""
    with np.load(folder / "text_bank_vitb32.npz", allow_pickle=False) as held:
        return unit(held["texts"].astype(np.float32)), [str(n) for n in held["names"]]


def reference_bank(folder: Path) -> ReferenceBank:
    """As fsearch would have it: reference phrases, and those names of its vocabulary that were embedded."""
    bank, names = text_bank(folder)
    known = [names.index(n) for n in REFERENCE if n in names]
    rivals = [i for i, n in enumerate(names) if n.lower() in vocabulary()]
    return ReferenceBank(bank[known], LOGIT_SCALE, vocabulary=bank[rivals])


def classes_fail(folder: Path, name: str, seed: int) -> World:
    """A fifth of the classes is taken away; what three phrases show (a class, or several) fails, to unequal degrees."""
    whole = labelled_set(folder, name)
    rng = np.random.default_rng([seed, 20])
    classes = np.unique(whole.labels)
    gone = rng.choice(classes, round(TAKEN_AWAY * len(classes)), replace=False)
    kept = ~np.isin(whole.labels, gone)
    shown = whole.shown[:, kept]
    planted = rng.choice(np.flatnonzero(shown.sum(axis=1) >= ENOUGH), len(HIGH), replace=False)
    expected = np.full(int(kept.sum()), LOW)
    for i, high in zip(planted, HIGH, strict=True):
        expected = np.where(shown[i], np.maximum(expected, high), expected)
    names = tuple(whole.phrases[i] for i in planted)
    return clip_world(name, seed, whole, kept, rng.gamma(1.0, expected), expected, names)


def parts_fail(folder: Path, name: str, seed: int) -> World:
    """The same, but of what each of the three phrases shows only a half fails, the half that looks alike."""
    whole = labelled_set(folder, name)
    rng = np.random.default_rng([seed, 21])
    classes = np.unique(whole.labels)
    kept = ~np.isin(whole.labels, rng.choice(classes, round(TAKEN_AWAY * len(classes)), replace=False))
    shown, images = whole.shown[:, kept], whole.images[kept]
    planted = rng.choice(np.flatnonzero(shown.sum(axis=1) >= 2 * ENOUGH), len(HIGH), replace=False)
    expected = np.full(int(kept.sum()), LOW)
    for i in planted:
        rows = np.flatnonzero(shown[i])
        along = images[rows] @ rng.normal(size=images.shape[1])
        expected[rows[along >= np.median(along)]] = max(HIGH)
    names = tuple(whole.phrases[i] for i in planted)
    return clip_world("clip-halves", seed, whole, kept, rng.gamma(1.0, expected), expected, names)


def clip_world(
    setting: str,
    seed: int,
    whole: LabelledSet,
    kept: np.ndarray,
    losses: np.ndarray,
    expected: np.ndarray,
    planted: tuple[str, ...],
) -> World:
    """The images `kept`, (n,) bool, of a set with the losses of those that are kept."""
    shown = whole.shown[:, kept]
    gaps, lifts = truth(shown, expected)
    return World(
        setting=setting,
        seed=seed,
        vectors=whole.images[kept],
        texts=whole.texts,
        phrases=whole.phrases,
        losses=losses,
        shown=shown,
        gaps=gaps,
        lifts=lifts,
        reference=whole.reference,
        encoder=ENCODER,
        planted=planted,
    )
