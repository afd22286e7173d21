"""The parts of a discovery: halves, folding, evidence, conjunctions and their bounds, mixtures, columns, captions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from fsearch.diagnoser.concepts import fold, inside, overlaps
from fsearch.diagnoser.discovery.conjunctions import Bounds, conjunctions
from fsearch.diagnoser.discovery.halves import proposing, require_both
from fsearch.diagnoser.discovery.mixture import fit
from fsearch.diagnoser.discovery.proposing import ProposingHalf
from fsearch.diagnoser.discovery.regions import area, error_aware, words_of
from fsearch.diagnoser.image_sets import given as given_set
from fsearch.diagnoser.membership import ENOUGH
from fsearch.diagnoser.retrieval import EVERY
from fsearch.indexer.errors import NotReadyError
from fsearch.search.discovery.captions import words_of as keywords_of
from fsearch.search.discovery.vocabulary import shipped_phrases

SEEDS = st.integers(0, 2**32 - 1)


def half_of(losses: np.ndarray, groups: np.ndarray | None = None, vectors: np.ndarray | None = None) -> ProposingHalf:
    n = len(losses)
    embeddings = np.zeros((n, 4), np.float32) if vectors is None else vectors
    return ProposingHalf.of(embeddings, np.arange(n), losses, np.arange(n) if groups is None else groups)


@given(st.lists(st.text(max_size=8), max_size=40), st.lists(st.text(max_size=8), max_size=10))
def test_an_image_stays_on_its_side_whatever_comes(identities: list[str], more: list[str]) -> None:
    before = proposing(identities)
    assert np.array_equal(proposing([*identities, *more])[: len(identities)], before)
    assert np.array_equal(proposing(identities[::-1])[::-1], before)


def test_both_halves_are_about_as_large() -> None:
    assert 0.47 < proposing([f"image {i}" for i in range(5000)]).mean() < 0.53


def test_a_half_of_few_groups_is_refused() -> None:
    proposes = np.arange(200) % 2 == 0
    require_both(np.arange(200), proposes, 50)
    with pytest.raises(NotReadyError, match="here 100 in 10 would propose"):
        require_both(np.arange(200) // 20, proposes, 50)


@given(SEEDS)
def test_heads_share_few_images_and_each_other_phrase_shares_many(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.random((12, 30)) ** 4 + np.repeat(rng.random((4, 30)) > 0.7, 3, axis=0)
    overlap = overlaps(weights, weights)
    assert np.allclose(np.diag(overlap), 1)
    assert np.allclose(overlap, overlap.T)
    order = rng.permutation(12)
    head = fold(overlap, order)
    heads = np.unique(head)
    assert (overlap[np.ix_(heads, heads)] - np.eye(len(heads))).max() <= 0.5
    assert head[order[0]] == order[0]
    assert all(head[i] == i or overlap[i, head[i]] > 0.5 for i in range(12))


def test_a_part_lies_inside_the_whole() -> None:
    whole, part = np.array([[1.0, 1, 1, 0]]), np.array([0, 1.0, 0, 0])
    assert inside(part, whole) == 1
    assert inside(whole[0], part[None]) == pytest.approx(1 / 3)
    assert inside(part, np.empty((0, 4))) == 0


def test_evidence_is_the_difference_of_means_for_sure_members() -> None:
    rng = np.random.default_rng(1)
    losses, member = rng.gamma(2.0, 1.0, 400), rng.random(400) < 0.3
    said = half_of(losses).evidence(member[None].astype(float))
    assert said.lift[0] == pytest.approx(losses[member].mean() - losses[~member].mean())
    assert said.images[0] == member.sum()


def test_repeats_are_one_piece_of_evidence() -> None:
    rng = np.random.default_rng(2)
    losses, member = rng.gamma(2.0, 1.0, 100), (rng.random(100) < 0.4).astype(float)
    once = half_of(losses).evidence(member[None])
    often = half_of(np.repeat(losses, 9), np.repeat(np.arange(100), 9)).evidence(np.repeat(member, 9)[None])
    assert often.z[0] == pytest.approx(once.z[0], rel=1e-6)
    assert often.carried[0] == pytest.approx(once.carried[0])


def test_null_evidence_is_about_normal() -> None:
    rng = np.random.default_rng(3)
    losses = rng.gamma(1.0, 1.0, 2000)
    z = half_of(losses).evidence((rng.random((800, 2000)) < 0.1).astype(float)).z
    assert abs(z.mean()) < 0.15
    assert 0.85 < z.std() < 1.15


def test_what_is_pursued_says_something_new() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.random((2, 1500)) < 0.25
    losses = rng.gamma(1.0, 0.3 + 0.6 * a + 0.5 * b)
    twin = a ^ (rng.random(1500) < 0.02)
    weights = np.stack([twin, a, b, a & (rng.random(1500) < 0.5)]).astype(float)
    taken, left = half_of(losses).pursue(weights, np.ones(4, bool), 10, 3.0)
    assert sorted(taken) in ([0, 2], [1, 2])
    assert abs(np.corrcoef(left, b)[0, 1]) < 0.02


def test_a_pair_that_fails_together_is_found_and_its_parts_are_not_paired_with_others() -> None:
    rng = np.random.default_rng(5)
    holds = rng.random((6, 3000)) < 0.3
    losses = rng.gamma(1.0, 0.3 + 1.2 * (holds[1] & holds[4]))
    found = conjunctions(half_of(losses), holds.astype(float), ~np.eye(6, dtype=bool))
    assert found[0].parts == (1, 4)
    additive = rng.gamma(1.0, 0.3 + 0.5 * holds[1] + 0.5 * holds[4])
    assert (1, 4) not in [c.parts for c in conjunctions(half_of(additive), holds.astype(float), ~np.eye(6, dtype=bool))]


def test_a_triple_that_fails_together_is_found() -> None:
    rng = np.random.default_rng(6)
    holds = rng.random((5, 4000)) < 0.4
    losses = rng.gamma(1.0, 0.3 + 2.5 * (holds[0] & holds[2] & holds[3]))
    found = conjunctions(half_of(losses), holds.astype(float), ~np.eye(5, dtype=bool))
    assert max(found, key=lambda c: c.z).parts == (0, 2, 3)


@given(SEEDS)
def test_no_conjunction_exceeds_its_bounds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 200
    half = half_of(rng.gamma(0.5, 2.0, n))
    weights = rng.random((4, n)) ** rng.integers(1, 6)
    bounds = Bounds.of(half, weights)
    product = weights[0] * weights[1]
    if product.sum() >= ENOUGH:
        excess = product @ (half.losses - half.losses.mean()) / product.sum()
        assert excess <= bounds.lift[:2].min() + 1e-9
        assert product.sum() <= bounds.support[:2].min() + 1e-9


def test_a_region_that_nothing_explains_is_found_by_where_it_lies() -> None:
    rng = np.random.default_rng(7)
    centres = rng.normal(size=(12, 24))
    kind = rng.integers(0, 12, 1200)
    vectors = (centres[kind] + 0.5 * rng.normal(size=(1200, 24))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    losses = rng.gamma(1.0, np.where(kind == 3, 1.5, 0.3))
    half = half_of(losses, vectors=vectors)
    found = error_aware(half, losses - losses.mean())
    best = max(found, key=lambda r: half.evidence(r.weights(vectors, half.rows)[None]).z[0])
    weights = best.weights(vectors, half.rows)
    assert weights[kind == 3].mean() > 0.5
    assert weights[kind != 3].mean() < 0.05
    words = words_of(weights, vectors, (centres / np.linalg.norm(centres, axis=1, keepdims=True)).astype(np.float32))
    assert words.phrases[0] == 3
    assert words.areas[0] > 0.9


def test_chances_of_components_sum_to_one_whatever_the_losses() -> None:
    rng = np.random.default_rng(8)
    vectors = rng.normal(size=(300, 16)).astype(np.float32)
    for losses in (np.zeros(300), rng.gamma(0.1, 1e6, 300), np.r_[np.zeros(299), 1e12]):
        posterior = fit(vectors, losses, 6).posterior(vectors)
        assert np.isfinite(posterior).all()
        assert np.allclose(posterior.sum(axis=1), 1)
    same = np.tile(vectors[:1], (300, 1))
    assert np.isfinite(fit(same, np.zeros(300), 4).posterior(same)).all()


@given(SEEDS)
def test_the_area_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, 40).astype(float)
    truth = rng.random(40) < 0.4
    if 0 < truth.sum() < 40:
        assert area(scores, truth.astype(float)) == pytest.approx(roc_auc_score(truth, scores))


def test_a_large_given_set_is_judged_by_a_sample_that_stands_for_all() -> None:
    rng = np.random.default_rng(9)
    weights = (rng.random(EVERY + 3000) < 0.4).astype(float)
    found = given_set(weights, 8, 10.0)
    assert found.copies.sum() == pytest.approx(len(weights))
    assert found.weights.sum() == pytest.approx(weights.sum(), rel=0.05)
    assert len(np.unique(found.neighbours)) == found.neighbours.size
    few = given_set(weights[:100], 8, 10.0)
    assert few.weights.sum() == pytest.approx(weights[:100].sum())


@given(st.text(max_size=200))
def test_keywords_hold_letters_alone(caption: str) -> None:
    assert all(word.replace(" ", "").replace("'", "").isascii() for word in keywords_of(caption))
    assert all(word.isprintable() for word in keywords_of(caption))


def test_the_shipped_phrases_are_some_thousands_none_twice_and_say_where_they_come_from() -> None:
    from fsearch.search.discovery.vocabulary import PHRASES

    found = shipped_phrases()
    assert len(found) > 4000
    assert len({p.lower() for p in found}) == len(found)
    assert all(p.isprintable() and p == p.strip() != "" and "  " not in p for p in found)
    head = PHRASES.read_text().split("##")[0]
    assert "WordNet 3.1 Copyright 2011 by Princeton University" in head
    kinds = {line.split()[1] for line in PHRASES.read_text().splitlines() if line.startswith("## ")}
    assert {"scene", "object", "person", "light", "quality", "composition", "colour", "text", "weather"} <= kinds
