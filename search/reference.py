"""What a fit must know of the text side of an encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fsearch.diagnoser.reference_bank import Reference
from fsearch.diagnoser.support import Floors
from fsearch.indexer.embedding.encoder import Encoder
from fsearch.search.hypotheses import from_phrases, read_hypotheses
from fsearch.search.query import embed

_FOLDER = Path(__file__).parents[1] / "data" / "hypotheses"
PHOTOGRAPHS, PORTRAITS = _FOLDER / "reference.txt", _FOLDER / "portraits.csv"


def text_side(encoder: Encoder, templates: Sequence[str] = ()) -> Reference:
    """Reference phrases in words that `encoder` knows, its temperature, and its floors where they were measured."""
    if encoder.vocabulary is None:
        phrases = from_phrases(PHOTOGRAPHS.read_text(encoding="utf-8").splitlines())
    else:
        phrases = read_hypotheses(PORTRAITS)
    floors = Floors(*encoder.support) if encoder.support else None
    return Reference(embed(encoder, phrases, templates), encoder.logit_scale, floors)
