"""One vote a concept: plain Benjamini-Hochberg where nothing is alike, and no gain from saying a thing again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from retrievals import retrieval, shown

from fsearch.diagnoser.discoveries import concept_q_values, directed_q_values, q_values
from fsearch.diagnoser.retrieval import EVERY, Retriever
from fsearch.diagnoser.shared_evidence import concepts
from fsearch.indexer.vector_index.exact_search import ExactSearch

P = st.floats(1e-9, 1.0)
PHRASES = st.lists(st.tuples(P, st.integers(0, 6), st.booleans()), min_size=1, max_size=40)
CORRECTIONS = st.sampled_from(["bh", "by"])


def arrays(phrases: list[tuple[float, int, bool]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    p, concept, tested = (np.array(column) for column in zip(*phrases, strict=True))
    return p, concept, tested


@given(st.lists(P | st.sampled_from([0.01, 0.5]), max_size=60), CORRECTIONS)
def test_q_values_are_those_of_scipy_to_the_last_bit(p: list[float], correction: Any) -> None:
    values = np.array(p)
    np.testing.assert_array_equal(
        q_values(values, correction), scipy.stats.false_discovery_control(values, method=correction)
    )


@given(st.lists(P, min_size=1, max_size=40), CORRECTIONS)
def test_one_phrase_a_concept_is_plain(p: list[float], correction: Any) -> None:
    values = np.array(p)
    found = concept_q_values(values, np.arange(len(p)), np.ones(len(p), bool), correction)
    np.testing.assert_allclose(found, scipy.stats.false_discovery_control(values, method=correction))


@given(st.lists(P, min_size=1, max_size=40, unique=True), CORRECTIONS)
def test_one_concept_of_all_is_plain_too(p: list[float], correction: Any) -> None:
    values = np.array(p)
    found = concept_q_values(values, np.zeros(len(p), int), np.ones(len(p), bool), correction)
    np.testing.assert_allclose(found, scipy.stats.false_discovery_control(values, method=correction))


@given(PHRASES, CORRECTIONS, st.randoms())
def test_the_order_of_phrases_and_names_of_concepts_do_not_matter(phrases: Any, correction: Any, random: Any) -> None:
    p, concept, tested = arrays(phrases)
    before = concept_q_values(p, concept, tested, correction)
    order = list(range(len(p)))
    random.shuffle(order)
    after = concept_q_values(p[order], 100 - concept[order], tested[order], correction)
    np.testing.assert_allclose(after, before[order])


@given(PHRASES, CORRECTIONS, st.data())
def test_a_phrase_that_is_repeated_changes_nothing(phrases: Any, correction: Any, data: st.DataObject) -> None:
    p, concept, tested = arrays(phrases)
    again = data.draw(st.lists(st.integers(0, len(p) - 1), max_size=60))
    more = np.append(np.arange(len(p)), np.array(again, int))
    found = concept_q_values(p[more], concept[more], tested[more], correction)
    np.testing.assert_allclose(found[: len(p)], concept_q_values(p, concept, tested, correction))


@given(PHRASES, CORRECTIONS)
def test_what_is_not_tested_has_no_vote_and_the_q_value_of_one_more(phrases: Any, correction: Any) -> None:
    p, concept, tested = arrays(phrases)
    found = concept_q_values(p, concept, tested, correction)
    np.testing.assert_allclose(
        found[tested], concept_q_values(p[tested], concept[tested], tested[tested], correction) if tested.any() else []
    )
    for i in np.flatnonzero(~tested):
        alone = np.append(np.flatnonzero(tested), i)
        beside = concept_q_values(p[alone], np.append(concept[tested], 99), np.ones(len(alone), bool), correction)
        assert found[i] == pytest.approx(beside[-1])


@given(PHRASES, CORRECTIONS)
def test_q_is_between_p_and_one_and_rises_with_p_within_a_concept(phrases: Any, correction: Any) -> None:
    p, concept, tested = arrays(phrases)
    found = concept_q_values(p, concept, tested, correction)
    assert (found <= 1).all()
    assert (found[tested] >= p[tested] * (1 - 1e-12)).all()
    for c in np.unique(concept[tested]):
        own = np.flatnonzero(tested & (concept == c))
        assert (np.diff(found[own[np.argsort(p[own])]]) >= -1e-12).all()


@given(st.lists(st.tuples(P, st.sampled_from([-1.0, 1.0]), st.integers(0, 6)), min_size=1, max_size=40), CORRECTIONS)
def test_rises_and_falls_are_adjusted_each_by_its_own(changes: list[tuple[float, float, int]], correction: Any) -> None:
    p, values, concept = (np.array(column) for column in zip(*changes, strict=True))
    tested = np.ones(len(p), bool)
    found = directed_q_values(p, values, concept, tested, correction)
    np.testing.assert_allclose(found, directed_q_values(p, -values, concept, tested, correction))
    one_sided = concept_q_values(np.where(values > 0, p / 2, 1 - p / 2), concept, tested, correction)
    np.testing.assert_allclose(found[values > 0], one_sided[values > 0])
    assert ((found >= p / 2 * (1 - 1e-12)) & (found <= 1)).all()


def test_true_rises_make_no_room_for_false_falls() -> None:
    rng = np.random.default_rng(4)
    tested, apart, together = np.ones(60, bool), [], []
    for _ in range(400):
        z = rng.normal(size=60) + np.where(np.arange(60) < 25, 5.0, 0.0)
        p = 2 * scipy.stats.norm.sf(np.abs(z))
        apart.append(((directed_q_values(p, z, np.arange(60), tested) <= 0.1) & (z < 0)).any())
        together.append(((q_values(p) <= 0.1) & (z < 0)).any())
    assert np.mean(apart) <= 0.1
    assert np.mean(together) > 2 * np.mean(apart)


def test_sixty_paraphrases_of_a_failure_make_no_room_for_false_alarms() -> None:
    rng = np.random.default_rng(2)
    plain, voted, once = [], [], []
    for _ in range(300):
        null, failure = rng.random(50), rng.random(60) * 1e-6
        p, concept = np.append(null, failure), np.append(np.arange(50), np.full(60, 50))
        tested = np.ones(110, bool)
        plain.append((q_values(p)[:50] <= 0.1).sum())
        voted.append((concept_q_values(p, concept, tested)[:50] <= 0.1).sum())
        once.append((concept_q_values(p[:51], concept[:51], tested[:51])[:50] <= 0.1).sum())
    assert np.mean(plain) > 2
    assert np.mean(voted) <= np.mean(once) < 0.3


def test_few_phrases_of_the_concepts_found_are_false() -> None:
    """Twenty concepts of five phrases that depend on each other; three fail, and of one of these only two phrases."""
    rng = np.random.default_rng(3)
    concept = np.repeat(np.arange(20), 5)
    fails = np.isin(concept, [0, 1])
    fails[10:12] = True
    shares = []
    for _ in range(300):
        z = 0.8 * rng.normal(size=20)[concept] + 0.6 * rng.normal(size=100) + 4.5 * fails
        found = concept_q_values(scipy.stats.norm.sf(z), concept, np.ones(100, bool)) <= 0.1
        each = [(found & ~fails & (concept == c)).sum() / max(found[concept == c].sum(), 1) for c in range(20)]
        shares.append(sum(each) / max(len(np.unique(concept[found])), 1))
    assert 0 < np.mean(shares) < 0.1


def test_phrases_of_the_same_images_are_one_concept_and_independent_ones_are_not() -> None:
    rng = np.random.default_rng(4)
    truth = rng.random((6, 800)) < np.array([0.1, 0.1, 0.3, 0.8, 0.8, 0.5])[:, None]
    near = truth[0] ^ (rng.random(800) < 0.01)
    found = concepts(shown(np.stack([*truth, near, truth[5], ~truth[5]])))
    assert found[0] == found[6]
    assert found[5] == found[7]
    assert len(np.unique(found)) == 7


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.randoms())
def test_concepts_do_not_hang_on_the_order(seed: int, random: Any) -> None:
    rng = np.random.default_rng(seed)
    base = rng.random((4, 200))
    chances = np.clip(base[rng.integers(0, 4, 12)] + rng.normal(0, 0.2, (12, 200)), 1e-6, 1)
    order = list(range(12))
    random.shuffle(order)
    here = np.tile(np.arange(200), (12, 1))
    one, two = concepts(retrieval(chances, here, 200)), concepts(retrieval(chances[order], here, 200))
    np.testing.assert_array_equal(one[order][:, None] == one[order][None], two[:, None] == two[None])


def test_many_images_are_folded_and_give_the_same_concepts() -> None:
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(EVERY + 4000, 16))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    texts = vectors[:8] + 0.02 * rng.normal(size=(3, 8, 16))
    texts = texts.reshape(-1, 16).astype(np.float32)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    found = concepts(Retriever(ExactSearch(vectors), np.arange(len(vectors)), 8.0).find(texts))
    assert (found.reshape(3, 8) == found[:8]).all()
    assert len(np.unique(found)) == 8
