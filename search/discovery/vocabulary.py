"""The phrases that a discovery starts from: a few thousand common things, and how pictures are taken.

An encoder that knows only some words is asked only in these, and in phrases made of them.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from fsearch.indexer.embedding.phrases import TextEncoder
from fsearch.search.query import vocabulary

PHRASES = Path(__file__).parents[2] / "data" / "phrases.txt"
_ARTICLE = re.compile(r"^(a|an|the) ")


def phrases_for(encoder: TextEncoder) -> list[str]:
    """The phrases that `encoder` can be asked about, none twice."""
    known = [p for p in shipped_phrases() if not encoder.unknown_words(p)]
    if encoder.vocabulary is None:
        return known
    from fsearch.data.portraits import phrases  # what the one encoder of few words was taught

    return list(dict.fromkeys([*(text for text, _ in phrases()), *known]))


@cache
def shipped_phrases() -> tuple[str, ...]:
    """data/phrases.txt, then the names of data/vocabulary.txt that it lacks."""
    lines = PHRASES.read_text(encoding="utf-8").splitlines()
    found = [phrase.strip() for line in lines if not line.startswith("#") for phrase in line.split(",")]
    have = {_ARTICLE.sub("", phrase.lower()) for phrase in found}
    return (*found, *(_named(name) for name in sorted(vocabulary()) if name not in have))


def _named(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
