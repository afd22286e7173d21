"""Synthetic portraits whose truth is known: sampled attributes, a Pillow renderer, and captions.

The demo, the demo encoder's training and the benchmarks all draw from here. Nothing here knows about
fsearch's workspace, models or statistics; only numpy and Pillow are needed.
"""

from fsearch.data.portraits.attributes import EVEN, Mix, Portrait, sample
from fsearch.data.portraits.captions import caption, known_words
from fsearch.data.portraits.concept import Concept
from fsearch.data.portraits.concepts import CONCEPTS, phrases
from fsearch.data.portraits.draw import SIZE, draw, draw_many, pixels
from fsearch.data.portraits.naming import named_in

__all__ = [
    "CONCEPTS",
    "EVEN",
    "SIZE",
    "Concept",
    "Mix",
    "Portrait",
    "caption",
    "draw",
    "draw_many",
    "known_words",
    "named_in",
    "phrases",
    "pixels",
    "sample",
]
