"""Where candidates come from: the vocabulary, captions, columns, and a language model if the user named one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.diagnoser.discovery.propose import Candidate, Origin
from fsearch.diagnoser.discovery.proposing import ProposingHalf
from fsearch.diagnoser.discovery.shortlist import shortlist, weigh
from fsearch.indexer.embedding.phrases import TextEncoder
from fsearch.indexer.sources.decode import RejectedImageError
from fsearch.indexer.workspace.image_reader import ImageReader
from fsearch.indexer.workspace.store import Store
from fsearch.search.discovery.captions import keywords, words_of
from fsearch.search.discovery.columns import Columns, repeating
from fsearch.search.discovery.language_model import LanguageModel, Said, rounds
from fsearch.search.discovery.vocabulary import phrases_for
from fsearch.search.hypotheses import Hypothesis
from fsearch.search.options import DiscoverOptions, Progress, named
from fsearch.search.phrases import embed
from fsearch.search.query import FOREIGN_IMAGES

Singles = NDArray[np.float32]

_SHOWN, _SIDE = 6, 192  # pictures of either kind that a language model sees, and their side in pixels
_TOLD = 40  # phrases whose lifts it is told at first


@dataclass(slots=True)
class Searched:
    """What was searched.

    Attributes
    ----------
    candidates : worth a closer look; `counts` : how many of each kind were tried.
    phrases, texts : every phrase, and their unit embeddings, (q, d): names for regions.
    hypotheses : of phrases, by their text; `notes` : what the reader must know.
    """

    dim: int
    candidates: list[Candidate] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    phrases: list[str] = field(default_factory=list)
    texts: Singles = field(init=False)
    hypotheses: dict[str, Hypothesis] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.texts = np.empty((0, self.dim), np.float32)


@dataclass(frozen=True, slots=True)
class Candidates:
    """What may fail, of the images of one model; the `half` that proposes has the only losses that are looked at.

    `foreign` says that the encoder was not made for these images: then words mean nothing, and none is tried.
    """

    store: Store
    model: str
    whole: Diagnosis
    half: ProposingHalf
    encoder: TextEncoder
    foreign: bool
    columns: Columns

    def search(self, options: DiscoverOptions, reader: ImageReader, progress: Progress | None) -> Searched:
        """Every candidate. Raises BadInputError for a language model that is not there."""
        model = LanguageModel(options.llm, options.llm_model) if options.llm else None
        found = Searched(self.whole.artifact.reference.texts.shape[1])
        speaks = self.store.encoder.has_text and not self.foreign
        if self.foreign:
            found.notes.append(FOREIGN_IMAGES)
        columns = self.columns
        self._columns(found, columns, keep=options.columns is not None)
        captions = {name: self._captions(columns, name) for name in columns.captions()}
        if speaks:
            phrases = phrases_for(self.encoder)
            self._try(found, phrases, Origin.VOCABULARY, progress)
            for words in captions.values():
                self._try(found, [w for w in words if not self.encoder.unknown_words(w)], Origin.CAPTIONS, progress)
            if model is not None:
                self._ask(found, model, options, reader, progress)
        else:
            for name, words in captions.items():
                self._mentions(found, columns, name, words)
            if model is not None:
                found.notes.append("the language model was not asked: phrases need a text encoder")
        return found

    def _columns(self, found: Searched, columns: Columns, keep: bool) -> None:
        own = columns.candidates()
        told = repeating(own, self.half.rows, self.half.losses)
        for name, candidate in told.items():
            rest = "" if keep else f"; it was left out (--column {name} tries it)"
            found.notes.append(
                f"the column {name!r} tells the loss by itself ({candidate}): it may repeat it, or say what the model "
                f"did{rest}"
            )
        for name, candidates in own.items():
            if keep or name not in told:
                found.candidates += candidates
                found.counts["values of columns"] += len(candidates)

    def _captions(self, columns: Columns, name: str) -> list[str]:
        position = np.searchsorted(columns.rows, self.half.rows)
        return keywords(columns.table[name].take(position).to_pylist(), self.half)

    def _mentions(self, found: Searched, columns: Columns, name: str, words: Sequence[str]) -> None:
        """Keywords as they are mentioned, where no encoder can say which images show them."""
        held = [words_of(caption) for caption in columns.table[name].to_pylist()]
        found.candidates += [
            Candidate(f"{name} mentions {word!r}", Origin.CAPTIONS, columns.chosen(np.array([word in h for h in held])))
            for word in words
        ]
        found.counts["keywords of captions"] += len(words)

    def _try(self, found: Searched, phrases: Sequence[str], origin: Origin, progress: Progress | None) -> None:
        """Embed phrases that were not tried yet, and keep those that the proposing half says something of."""
        have = {p.lower() for p in found.phrases}
        fresh = [p for p in dict.fromkeys(phrases) if p.lower() not in have]
        if not fresh:
            return
        hypotheses = [Hypothesis(p) for p in fresh]
        texts = embed(self.encoder, hypotheses, self.store.templates, named(progress, "embedding"))
        kept = shortlist(self.whole, self.half, texts, named(progress, "searching"))
        found.candidates += [Candidate(fresh[i], origin, definition) for i, definition in kept]
        found.counts[_PLURAL[origin]] += len(fresh)
        found.phrases += fresh
        found.texts = np.concatenate([found.texts, texts])
        found.hypotheses |= {h.text: h for h in hypotheses}

    def _ask(
        self,
        found: Searched,
        model: LanguageModel,
        options: DiscoverOptions,
        reader: ImageReader,
        progress: Progress | None,
    ) -> None:
        def say(phrases: list[str]) -> list[Said]:
            known = [p for p in phrases if not self.encoder.unknown_words(p)]
            if not known:
                return []
            texts = embed(self.encoder, [Hypothesis(p) for p in known], self.store.templates)
            said, _ = weigh(self.whole, self.half, texts)
            spread = max(float(self.half.losses.std()), 1e-300)
            return [Said(p, float(v) / spread, float(n)) for p, v, n in zip(known, said.lift, said.images, strict=True)]

        told = say([c.name for c in found.candidates if c.name in found.hypotheses][:_TOLD])
        pictures = self._pictures(reader) if options.send_images else ((), ())
        phrases, notes = rounds(model, options.rounds, told, say, pictures)
        if options.send_images and not any(pictures):
            notes.append("no picture could be read to be sent; where the workspace was received: fsearch trust")
        known = [p for p in phrases if not self.encoder.unknown_words(p)]
        if len(known) < len(phrases):
            notes.append(f"{len(phrases) - len(known)} phrases of the language model are in words the encoder lacks")
        self._try(found, known, Origin.LLM, progress)
        found.notes += notes

    def _pictures(self, reader: ImageReader) -> tuple[list[bytes], list[bytes]]:
        """Small pictures of the proposing half: those of the highest losses, and of the lowest."""
        order = np.argsort(-self.half.losses, kind="stable")
        ids = dict(zip(self.whole.retriever.rows.tolist(), self.whole.image_ids.tolist(), strict=True))
        shown = []
        for some in (order[:_SHOWN], order[::-1][:_SHOWN]):
            wanted = np.array([ids[r] for r in self.half.rows[some].tolist()], np.int64)
            shown.append([p for i in reader.described(self.model, wanted).values() if (p := _picture(reader, i))])
        return shown[0], shown[1]


def _picture(reader: ImageReader, image: object) -> bytes:
    try:
        return reader.thumbnail(image.source, image.key, _SIDE)  # type: ignore[attr-defined]
    except RejectedImageError:
        return b""


_PLURAL = {
    Origin.VOCABULARY: "phrases",
    Origin.CAPTIONS: "keywords of captions",
    Origin.LLM: "phrases of the language model",
}
