"""The embeddings that a user has of the images, beside what `fsearch index` is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fsearch.indexer.embedding.precomputed import EmbeddingFile, read_embeddings
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.matching import match, read_keys
from fsearch.indexer.sources.resolve import Images
from fsearch.search.options import IndexOptions


@dataclass(frozen=True, slots=True)
class GivenEmbeddings:
    """A file of embeddings, and the row of each image that it has, by key."""

    file: EmbeddingFile
    rows: dict[str, int]


def given_embeddings(options: IndexOptions, images: Images, keys: Sequence[str] | None) -> GivenEmbeddings | None:
    """The embeddings of `images` that the user has. Raises BadInputError where they cannot be used."""
    if options.embeddings is None:
        for option, value in (("--keys", options.keys), ("--no-text-encoder", options.no_text_encoder)):
            if value:
                raise BadInputError(f"{option} is for embeddings that you have: --embeddings FILE")
        return None
    if options.engine != "local":
        raise BadInputError("--embeddings runs no encoder, so there is nothing to distribute; leave --engine out")
    if options.no_text_encoder and (options.encoder is not None or options.weights is not None):
        raise BadInputError("give --no-text-encoder, or the text side's --encoder; not both")
    file = read_embeddings(Path(options.embeddings), None if options.keys is None else Path(options.keys), read_keys)
    names = keys if keys is not None else [item.key for item in images.source.items()]
    matched = match(file.keys, names, file.path, images.base, partial=not images.whole)
    return GivenEmbeddings(file, {names[i]: row for row, i in enumerate(matched) if i is not None})
