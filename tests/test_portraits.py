"""The generator: the same seed gives the same pixels, captions are true, phrases cover what is drawn."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsearch.data.portraits import CONCEPTS, EVEN, SIZE, Mix, Portrait, caption, draw, known_words, phrases, sample

LATER = ("sex", "age", "eyes")
NAMED = {c.name: c for c in CONCEPTS}
SEEDS = st.integers(0, 2**31)


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


@pytest.mark.parametrize(
    ("mix", "digest"),
    [(EVEN, "f36a1cf7b368a1455b56"), (EVEN.with_dark_skin(0.05), "47e15c081c506b082eaa")],
    ids=["even", "few dark"],
)
def test_later_attributes_leave_the_earlier_ones_of_a_seed_alone(mix: Mix, digest: str) -> None:
    """The digests are those of portraits that had no sex, age or eyes yet."""
    rows = [{**p.as_row(), "details": p.details} for p in sample(500, 5, mix)]
    earlier = [{k: v for k, v in row.items() if k not in LATER} for row in rows]
    assert hashlib.sha256(json.dumps(earlier).encode()).hexdigest().startswith(digest)


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_no_face_contradicts_itself(seed: int) -> None:
    children = EVEN.with_shares(age={"child": 1.0}, sex={"woman": 1.0})
    for p in (*sample(30, seed), *sample(30, seed, children)):
        assert p.sex == "man" or p.beard == "none"
        if p.age == "child":
            assert (p.beard, p.hair_style == "bald", p.hair_colour == "grey") == ("none", False, False)
        assert (p.eyes == "hidden") == (p.eyewear == "sunglasses")


def test_the_mix_sets_the_later_attributes_too() -> None:
    old = sample(200, 4, EVEN.with_shares(age={"old": 1.0}, sex={"man": 1.0}, eyes={"monolid": 1.0}))
    assert {(p.sex, p.age) for p in old} == {("man", "old")}
    assert {p.eyes for p in old} == {"monolid", "hidden"}


@pytest.mark.parametrize(
    ("attribute", "values"),
    [("sex", ("woman", "man")), ("age", ("child", "adult", "old")), ("eyes", ("round", "monolid"))],
)
def test_each_value_of_a_later_attribute_is_drawn_differently(attribute: str, values: tuple[str, ...]) -> None:
    bare = {"beard": "none", "hair_style": "short", "hair_colour": "black", "eyewear": "none", "blurry": False}
    face = replace(sample(1, 8)[0], lighting="normal", sex="man", age="adult", eyes="round", **bare)  # type: ignore[arg-type]
    drawn = [np.asarray(draw(replace(face, **{attribute: v})), np.float64) for v in values]
    for i, one in enumerate(drawn):
        for other in drawn[:i]:
            assert (np.abs(one - other).max(axis=2) > 40).sum() >= 30  # pixels that plainly differ


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_the_people_of_a_portrait_are_named_once_each(seed: int) -> None:
    (p,) = sample(1, seed)
    holds = {name for name, concept in NAMED.items() if concept.holds(p)}
    assert len(holds & {"man", "woman", "boy", "girl"}) == 1
    assert ("child" in holds) == bool(holds & {"boy", "girl"}) == ("adult" not in holds)
    assert ("old" in holds) != ("young" in holds)
    assert len(holds & {"white", "Asian", "dark skin"}) <= 1


def test_people_are_the_subject_of_a_caption_and_stand_alone() -> None:
    rng = np.random.default_rng(1)
    old = replace(
        sample(1, 2)[0], sex="woman", age="old", skin_tone=9, beard="none", expression="smiling", background="city"
    )
    told = {caption(old, rng) for _ in range(6000)}
    assert {"woman", "women", "old", "elderly", "an old woman", "black"} <= told
    assert any(re.search(r"\ba (photo|picture) of an old woman\b", t) for t in told)
    assert any(re.search(r"\ba (smiling|happy) (black )?(woman|female)\b.* at night", t) for t in told)
    assert not any(re.search(r"\ba [aeiou]|\ban [^aeiou]|\bas? (women|people|adults)\b", t) for t in told)
    assert not any(re.search(r"\b(man|men|male|boy|girl|kid|child|young|white|asian)\b", t) for t in told)


def test_a_portrait_without_the_later_attributes_is_complete() -> None:
    row = {k: v for k, v in sample(1, 6)[0].as_row().items() if k not in LATER}
    assert Portrait(**row, details=1).age == "adult"


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
