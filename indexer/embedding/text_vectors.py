"""Phrases without a text tower: embeddings that the user computed, and the absence of a text side."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.embedding.custom_encoder import DEFAULT_LOGIT_SCALE, unit_rows
from fsearch.indexer.errors import BadInputError, EncoderError
from fsearch.indexer.storage.files import DamagedArrayError, load_array
from fsearch.indexer.workspace.encoder_spec import EncoderSpec

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, slots=True)
class NoTextEncoder:
    """Stands for the encoder of a workspace of precomputed embeddings whose text side is declared absent."""

    spec: EncoderSpec
    logit_scale: float = DEFAULT_LOGIT_SCALE
    vocabulary: frozenset[str] | None = None
    only_side: int | None = None
    support: tuple[float, float] | None = None

    def prepare(self, image: Image.Image) -> Any:
        """Raises EncoderError: it has no image tower."""
        raise EncoderError("this workspace holds precomputed embeddings; give those of new images: --embeddings FILE")

    def embed_images(self, prepared: Sequence[Any]) -> NDArray[np.float32]:
        """See `prepare`."""
        return np.asarray(self.prepare(prepared[0]))

    def embed_texts(
        self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """Raises EncoderError."""
        raise EncoderError(
            "this workspace holds precomputed embeddings without a text encoder; give the embedding of each phrase: "
            "--text-vector FILE.npy, or text_vectors= in Python"
        )

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """None are known to be unknown."""
        return ()


@dataclass(frozen=True, slots=True)
class GivenTextVectors(NoTextEncoder):
    """Embeds as many phrases as it was given vectors, in order."""

    vectors: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))

    @classmethod
    def of(cls, spec: EncoderSpec, given: Any) -> GivenTextVectors:
        """From a (d,) or (q, d) array, or the path of a .npy file that holds one. Raises BadInputError."""
        where = "text vectors"
        if isinstance(given, str | os.PathLike):
            where = f"--text-vector {os.fspath(given)}"
            try:
                given = load_array(Path(given))
            except OSError as error:
                raise BadInputError(f"{where} cannot be read: {error.strerror}") from error
            except DamagedArrayError as error:
                raise BadInputError(f"{where} cannot be read: {error}") from error
        try:
            rows = np.atleast_2d(np.asarray(given))
        except ValueError as error:
            raise BadInputError(f"{where}: rows of different lengths; give one embedding for each phrase") from error
        if rows.ndim != 2 or rows.shape[1] != spec.dim or not np.issubdtype(rows.dtype, np.floating):
            raise BadInputError(
                f"{where}: {rows.dtype} {rows.shape}; give floats of shape ({spec.dim},) or (phrases, {spec.dim})"
            )
        vectors = unit_rows(rows)
        bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(bad):
            raise BadInputError(f"{where}: row {bad[0] + 1} is zero or not finite")
        return cls(spec, vectors=vectors)

    def embed_texts(
        self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """The vectors. Raises BadInputError unless there is one for each phrase."""
        if len(texts) != len(self.vectors):
            raise BadInputError(f"{len(self.vectors)} text vectors for {len(texts)} phrases; give one for each")
        return self.vectors
