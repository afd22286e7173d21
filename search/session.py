"""What a workspace keeps loaded between questions, and drops as soon as something was committed.

A question reads the catalog in one go (`scope`); everything that is loaded or computed comes after, with the catalog
closed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.device import Device
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.catalog import Catalog
from fsearch.indexer.storage.layout import Layout
from fsearch.indexer.workspace.calibration import in_force
from fsearch.indexer.workspace.store import Losses, Store
from fsearch.search.account import Account
from fsearch.search.options import Named, QueryOptions

if TYPE_CHECKING:  # a command that asks nothing of a fit or an encoder does not load what they need
    from fsearch.diagnoser.artifact import FitArtifact
    from fsearch.diagnoser.diagnosis import Diagnosis
    from fsearch.indexer.embedding.encoder import Encoder
    from fsearch.indexer.embedding.phrases import TextEncoder
    from fsearch.indexer.storage.vectors import Vectors
    from fsearch.indexer.vector_index.exact_search import NearestImages
    from fsearch.indexer.workspace.image_places import ImagePlaces
    from fsearch.search.hypotheses import Hypothesis

MOST_SLICES = 100


@dataclass(frozen=True, slots=True)
class Scope:
    """The images that a question is about, as the catalog has them.

    Attributes
    ----------
    rows : global rows of the images that fulfil the condition; None where there is none, or they are known already.
    values : global rows by value of the column of `--by`; None without it.
    sides : the least and the greatest side of an image, in pixels.
    account : the questions asked of the fit one at a time.
    phrases : embeddings that are kept, (dim,) float32, of what the encoder is to read; None where there is none.
    """

    store: Store
    model: str
    rows: NDArray[np.int64] | None
    values: dict[str, NDArray[np.int64]] | None
    sides: tuple[int, int]
    account: Account
    phrases: Mapping[str, NDArray[np.float32] | None]

    def foreign(self, side: int | None) -> bool:
        """Whether there are images of other than `side` x `side` pixels, the only size that an encoder knows."""
        return side is not None and self.sides != (side, side)


class Session:
    """The encoder, the fits, the losses, the index and the diagnoses of one workspace."""

    def __init__(self, named: Named | None = None) -> None:
        self.named = named
        self._images: tuple[Store, ImagePlaces] | None = None
        self._encoder: Encoder | None = None
        self._texts: TextEncoder | None = None
        self._generation: tuple[int, ...] | None = None
        self._forget()

    def _forget(self) -> None:
        self._store: Store | None = None
        self._vectors: Vectors | None = None
        self._sides: tuple[int, int] | None = None
        self._losses: dict[str, Losses] = {}
        self._fits: dict[str, FitArtifact] = {}
        self._index: NearestImages | None = None
        self._diagnoses: dict[tuple[str, str | None], Diagnosis] = {}

    def store(self, root: Path) -> Store:
        """The open workspace; everything of it is read anew only when something was committed since."""
        now = Layout(root).generation()
        if self._store is None or now != self._generation:
            self._forget()
            self._store, self._generation = Store.open(root), now
        return self._store

    def name(self, encoder: Named | None) -> None:
        """Note that the caller names its encoder: code runs only then. See `load_encoder`."""
        if encoder is not None:
            self.named = encoder
            if not isinstance(encoder, str):
                self._encoder = None

    def keep(self, encoder: Encoder) -> None:
        """Use an encoder that was loaded already."""
        self._encoder = encoder

    def permitted(self, store: Store) -> Named | None:
        """What names the encoder of `store`. Raises EncoderError where it may not be loaded; see `permitted`."""
        from fsearch.indexer.embedding.encoder import permitted

        return permitted(store.encoder, store.layout.root, self.named)

    def images(self, store: Store) -> ImagePlaces:
        """What is known of the images of `store`, as it is now."""
        from fsearch.indexer.workspace.image_places import ImagePlaces

        if self._images is None or self._images[0] is not store:
            self._images = store, ImagePlaces(store)
        return self._images[1]

    def encoder(self, store: Store, device: Device = "auto") -> Encoder:
        """The encoder of `store`; on `device`, if it is not loaded yet."""
        from fsearch.indexer.embedding.encoder import load_encoder

        named = self.permitted(store)
        if self._encoder is None or self._encoder.spec != store.encoder:
            self._encoder = load_encoder(store.encoder, device, named=named)
        return self._encoder

    def text_encoder(
        self,
        store: Store,
        device: Device = "auto",
        vectors: Any = None,
        looked_up: Mapping[str, NDArray[np.float32] | None] | None = None,
        account: Account | None = None,
    ) -> TextEncoder:
        """What embeds phrases: the encoder of `store`, or `vectors` that the caller gives for them.

        `looked_up` : the `phrases` of a Scope. What is new is kept with the next entry in the `account`; at once,
        without one.
        """
        from fsearch.indexer.embedding.encoder import load_texts
        from fsearch.indexer.embedding.phrases import KeptTexts
        from fsearch.indexer.embedding.text_vectors import GivenTextVectors
        from fsearch.indexer.workspace.text_vectors import keep_texts

        if vectors is not None:
            return GivenTextVectors.of(store.encoder, vectors)
        if store.encoder.is_code or not store.encoder.has_text:
            return self.encoder(store, device)
        self.permitted(store)

        def load() -> TextEncoder:
            if self._encoder is not None and self._encoder.spec == store.encoder:
                return self._encoder
            if self._texts is None or self._texts.spec != store.encoder:
                self._texts = load_texts(store.encoder, device)
            return self._texts

        def keep(vectors: Mapping[str, NDArray[np.float32]]) -> None:
            if (before := keep_texts(store, vectors)) is not None:
                self.kept(before, store)

        return KeptTexts(store, load, keep if account is None else account.embedded, looked_up)

    def kept(self, before: tuple[int, ...], store: Store) -> None:
        """A ranking, question or embedding was stored in the catalog of generation `before`: no fit, no loss."""
        if before == self._generation:
            self._generation = store.layout.generation()

    def fitted(self, store: Store, model: str) -> FitArtifact:
        """The fit of `model`, read by the calibration in force."""
        from fsearch.diagnoser import artifact as fits

        if model not in self._fits:
            calibration = in_force(store.calibration, store.encoder, store.templates)
            self._fits[model] = fits.load(store.layout, model, store.encoder.dim).calibrated(calibration)
        return self._fits[model]

    def scope(self, root: Path, model: str | None, options: QueryOptions, asked: Sequence[Hypothesis] = ()) -> Scope:
        """What the catalog says of a question about `asked`, read in one go."""
        from fsearch.indexer.workspace.text_vectors import known_texts
        from fsearch.search.phrases import prompts

        with Catalog(Layout(root)).shared():
            store = self.store(root)
            name = store.only_model(model)
            self._read(store, name)
            self.images(store)
            assert self._sides is not None
            known = options.by is None and (name, options.where) in self._diagnoses
            rows = None if options.where is None or known else store.rows_where(name, options.where)
            values = None if options.by is None else store.rows_by(name, options.by)
            account = Account(store, name, lambda before: self.kept(before, store))
            account.read()
            texts = prompts(asked, store.templates)
            kept = known_texts(store, texts) if texts else {}
        return Scope(store, name, rows, values, self._sides, account, {text: kept.get(text) for text in texts})

    def _read(self, store: Store, model: str) -> None:
        """Read of the catalog what a diagnosis needs, where it is not here yet."""
        if self._vectors is None:
            self._vectors, self._sides = store.vectors(), store.sides()
        if model not in self._losses:
            self._losses[model] = store.losses(model)

    def slices(self, scope: Scope, options: QueryOptions) -> tuple[dict[str | None, Diagnosis], tuple[str, ...]]:
        """The diagnoses to ask: of all images, of those that fulfil a condition, or one for each value of a column."""
        from fsearch.diagnoser.diagnosis import MIN_FIT_IMAGES

        whole = self.diagnosis(scope.store, scope.model, options.device)
        if scope.values is None:
            key = scope.model, options.where
            if key not in self._diagnoses:
                assert scope.rows is not None
                self._diagnoses[key] = whole.within(scope.rows)
            return {None: self._diagnoses[key]}, ()
        slices: dict[str | None, Diagnosis] = {}
        small = []
        for value, rows in scope.values.items():
            if scope.rows is not None:
                rows = np.intersect1d(rows, scope.rows)
            if len(rows) < MIN_FIT_IMAGES:
                small.append(value)
            else:
                slices[f"{options.by} = {value}"] = whole.within(rows)
            if len(slices) > MOST_SLICES:
                raise BadInputError(
                    f"--by {options.by}: more than {MOST_SLICES} values; use a column of few, or --where"
                )
        if not slices:
            raise BadInputError(f"--by {options.by}: no value has {MIN_FIT_IMAGES} images")
        left = f"--by {options.by}: left out, with fewer than {MIN_FIT_IMAGES} images: {', '.join(small[:8])}"
        return slices, (left,) if small else ()

    def diagnosis(self, store: Store, model: str, device: Device = "auto") -> Diagnosis:
        """The diagnosis of `model` on all images, kept until something changes."""
        from fsearch.diagnoser.diagnosis import Diagnosis

        if (model, None) not in self._diagnoses:
            fitted = self.fitted(store, model)
            self._read(store, model)
            if self._index is None:
                self._index = store.index(device, self._vectors)
            self._diagnoses[model, None] = Diagnosis(fitted, self._losses[model], self._index)
        return self._diagnoses[model, None]
