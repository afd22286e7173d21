"""Absent concepts, the fitting sample, the blend and the linear member."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsearch.diagnoser import ridge as linear
from fsearch.diagnoser.fit import learn
from fsearch.diagnoser.reference_bank import ReferenceBank, percentile
from fsearch.diagnoser.retrieval import Retriever
from fsearch.diagnoser.rivals import rivalry
from fsearch.diagnoser.stacking import Stacking
from fsearch.diagnoser.standing import background, standing
from fsearch.diagnoser.subsample import fitting_rows
from fsearch.diagnoser.support import Support, SupportThresholds, level
from fsearch.indexer.storage.vectors import unit
from fsearch.indexer.vector_index.exact_search import ExactSearch
from fsearch.indexer.vector_index.index import exact_index

NONE = np.full(4, np.inf), np.zeros(4, np.int64), np.ones(4), np.full(4, np.inf)


def test_a_phrase_is_unseen_only_below_both_measured_floors() -> None:
    floors = SupportThresholds(0.2, 7.0)
    support = Support(np.array([0.1, 0.3, 0.1, 0.3], np.float32), np.array([6.0, 6.0, 8.0, 8.0]), np.full(4, np.nan))
    found = floors.presence(support, *NONE)
    assert found.absent.tolist() == [True, False, False, False]
    assert found.uncertain.tolist() == found.doubtful.tolist() == found.absent.tolist()


def test_without_measured_floors_a_margin_over_rivals_tells_and_each_doubt_implies_the_next() -> None:
    thresholds = SupportThresholds.of_rivals(1000)
    assert not thresholds.calibrated
    margin = np.array([-3.0, -3.0, -3.0, 0.0, 2.0, 9.0, np.inf])
    winners = np.array([12, 5, 2, 12, 12, 12, 0])
    support = Support(np.full(7, 0.25, np.float32), np.full(7, 20.0), np.full(7, np.nan))
    found = thresholds.presence(support, margin, winners, np.ones(7), np.full(7, np.inf))
    assert found.absent.tolist() == [True, False, False, False, False, False, False]
    assert found.doubtful.tolist() == [True, True, False, True, False, False, False]
    assert found.uncertain.tolist() == [True, True, True, True, True, False, True]  # nothing was asked of the last


def test_what_is_doubtful_and_stands_out_from_nothing_is_absent() -> None:
    thresholds = SupportThresholds.of_rivals(1000)
    margin, standing = np.array([0.0, 0.0, 2.0, 9.0]), np.array([0.95, 0.3, 0.3, 0.3])
    support = Support(np.full(4, 0.25, np.float32), np.full(4, 20.0), np.full(4, np.nan))
    found = thresholds.presence(support, margin, np.full(4, 12), standing, np.full(4, np.inf))
    assert found.absent.tolist() == [False, True, False, False]
    assert found.doubtful.tolist() == [True, True, False, False]
    fitting = thresholds.presence(support, margin + 9, np.zeros(4, int), standing, np.array([0.0, 0.01, 0.02, 1.0]))
    assert fitting.absent.tolist() == [True, True, False, False]  # no more than the mean of common things


def test_a_phrase_stands_by_the_better_of_its_two_ranks_among_common_things() -> None:
    rng = np.random.default_rng(4)
    images = unit(rng.normal(size=(300, 16)).astype(np.float32))
    words = unit(rng.normal(size=(60, 16)).astype(np.float32))
    reference = ReferenceBank(words[:5], 30.0, vocabulary=words[5:])
    retriever = reference.retriever(ExactSearch(images), np.arange(300))
    common = background(retriever, reference.rivals)
    assert common.shape == (2, 55)
    assert (np.diff(common) >= 0).all()
    found = retriever.find(reference.rivals)
    stands = standing(found, common)
    best = np.median(np.sort(found.directions @ images.T)[:, -10:], axis=1)
    by_hand = [[np.mean(own < v - 1e-7) for v in own] for own in (best, found.support.centred)]
    np.testing.assert_allclose(stands, np.max(by_hand, axis=0), atol=1.5 / 55)
    assert (standing(found, common[:, :0]) == 1).all()
    again = retriever.best(reference.rivals)
    np.testing.assert_allclose(again, [best, found.support.centred], atol=1e-6)


def test_an_absent_concept_loses_to_its_rivals_and_a_present_one_does_not() -> None:
    """Five kinds of image in orthogonal directions; a phrase near none of them is answered by many rivals."""
    rng = np.random.default_rng(4)
    axes = np.eye(40, dtype=np.float32)
    kind = rng.integers(0, 20, 2000)
    images = unit(axes[kind] + 0.15 * rng.normal(size=(2000, 40))).astype(np.float16)
    index = exact_index(images, 40)
    index.add([images])
    retriever = Retriever(index, np.arange(2000), 40.0)
    texts = np.stack([axes[3], axes[30]])
    vocabulary = axes[np.r_[0:3, 4:20]]
    found = rivalry(retriever.find(texts), retriever, vocabulary, 40.0)
    assert found.margin[0] > 0 > found.margin[1]
    assert found.winners[1] >= 7
    assert np.isinf(rivalry(retriever.find(texts), retriever, vocabulary[:0], 40.0).margin).all()


def test_more_rivals_ask_for_less() -> None:
    assert level(2000) < level(1000) < level(500)


@given(st.integers(0, 300))
def test_the_fitting_sample_keeps_every_stratum_s_share(seed: int) -> None:
    rng = np.random.default_rng(seed)
    embeddings = unit(rng.normal(size=(2000, 8)))
    losses = rng.gamma(0.5, 1.0, 2000)
    rows = fitting_rows(embeddings, losses, seed, limit=500)
    assert len(rows) == len(np.unique(rows)) == 500
    assert (np.diff(rows) > 0).all()
    high = losses >= np.quantile(losses, 0.9)
    assert high[rows].mean() == pytest.approx(0.1, abs=0.02)
    assert losses[rows].mean() == pytest.approx(losses.mean(), rel=0.15)


def test_a_small_set_is_taken_whole() -> None:
    assert fitting_rows(np.ones((10, 2)), np.arange(10.0), 0).tolist() == list(range(10))


def test_a_fit_on_a_sample_predicts_for_all_and_says_so() -> None:
    rng = np.random.default_rng(3)
    embeddings = unit(rng.normal(size=(900, 16)) + 0.3)
    losses = np.exp(2 * embeddings[:, 0]) * rng.gamma(3.0, 1 / 3, 900)
    bagged, report = learn(embeddings, losses, model="m", limit=400)
    assert (report.images, report.sampled) == (900, 400)
    assert "trained on a stratified sample of 400" in str(report)
    assert bagged.members.shape == (10, 900)
    assert bagged.out_of_bag.sum(axis=0).max() == 10  # images left out are out of every bag
    assert report.signal
    assert report.spearman > 0.3


def test_ridge_is_weighted_least_squares_without_a_penalty() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(200, 4)).astype(np.float32), rng.poisson(1.0, 200).astype(np.float32)
    y = x @ np.array([1.0, -2.0, 0.5, 0.0]) + 3 + rng.normal(0, 0.1, 200)
    found = linear.ridge(x, y, w, penalty=0.0)
    design = np.column_stack([x, np.ones(200)]) * np.sqrt(w)[:, None]
    np.testing.assert_allclose(found, np.linalg.lstsq(design, y * np.sqrt(w), rcond=None)[0], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(linear.predict(found[None], x)[0], x @ found[:-1] + found[-1])


def test_ridge_goes_to_the_mean_where_nothing_is_to_be_learned() -> None:
    rng = np.random.default_rng(1)
    x = unit(rng.normal(size=(50, 40)))
    y = rng.normal(5, 1, 50)
    assert linear.predict(linear.ridge(x, y, np.ones(50, np.float32))[None], x)[0].std() < y.std()


def test_the_blend_takes_the_better_side_and_neither_without_signal() -> None:
    rng = np.random.default_rng(2)
    losses = rng.gamma(1.0, 1.0, 5000)
    good = losses + rng.normal(0, 0.5, 5000)
    blend = Stacking.of(rng.normal(0, 1, 5000), good, losses)
    assert blend.linear > 0.5
    assert blend.trees < 0.05
    nothing = Stacking.of(rng.normal(0, 1, 5000), rng.normal(0, 1, 5000), losses)
    assert nothing.level + nothing.mix(np.array([3.0]), np.array([3.0]))[0] == pytest.approx(losses.mean(), abs=0.2)


@pytest.mark.parametrize("level", [0.0, 0.1, 1e-10, 1e8])
def test_equal_losses_are_their_mean_whatever_was_predicted(level: float) -> None:
    rng = np.random.default_rng(3)
    blend = Stacking.of(rng.normal(0, 100, 60), rng.normal(0, 100, 60), np.full(60, level))
    assert level + blend.mix(np.array([3.0]), np.array([3.0]))[0] == pytest.approx(level, abs=1e-12)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=20), st.integers(-6, 6))
def test_percentile_is_scipys_mean_rank(bank: list[int], value: int) -> None:
    import scipy.stats

    expected = scipy.stats.percentileofscore(bank, value, kind="mean")
    assert percentile(np.array([float(value)]), np.array(bank, float))[0] == pytest.approx(expected)
