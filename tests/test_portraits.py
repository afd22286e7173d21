"""The generator: the same seed gives the same pixels, captions are true, phrases cover what is drawn."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsearch.data.portraits import CONCEPTS, EVEN, SIZE, caption, draw, known_words, phrases, sample


def test_equal_seeds_give_equal_portraits_and_pixels() -> None:
    assert sample(20, 5) == sample(20, 5)
    assert sample(20, 5) != sample(20, 6)
    first, second = (np.asarray(draw(p)) for p in (sample(3, 5)[2], sample(3, 5)[2]))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (SIZE, SIZE, 3)


def test_shares_follow_the_mix() -> None:
    dark = np.mean([p.skin_tone >= 7 for p in sample(4000, 1, EVEN.with_dark_skin(0.05))])
    assert 0.03 < dark < 0.07
    with pytest.raises(ValueError, match="no such portrait attribute: shoes"):
        EVEN.with_shares(shoes={"red": 1.0})


def test_phrases_are_many_and_unique() -> None:
    words = [w for w, _ in phrases()]
    assert len(words) >= 100
    assert max(Counter(words).values()) == 1
    assert len({c.name for c in CONCEPTS}) >= 40
    assert {"bald", "no hair", "dark skin tone", "deeply pigmented skin"} <= set(words)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31))
def test_captions_are_true_and_use_known_words(seed: int) -> None:
    rng = np.random.default_rng(seed)
    portrait = sample(1, seed)[0]
    text = caption(portrait, rng)
    assert set(text.replace("-", " ").replace(",", " ").split()) <= known_words()
    hat = portrait.hat != "none"
    if "bareheaded" in text or "without a hat" in text or "no hat" in text:
        assert not hat
    if "headwear" in text or "something on the head" in text:
        assert hat
    if "dark-skinned" in text:
        assert portrait.skin_tone >= 7


@pytest.mark.parametrize("concept", CONCEPTS, ids=lambda c: c.name)
def test_every_concept_is_sometimes_true_and_sometimes_not(concept: object) -> None:
    held = np.mean([concept.holds(p) for p in sample(600, 3)])  # type: ignore[attr-defined]
    assert 0.02 < held < 0.98
