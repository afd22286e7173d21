"""What labels teach: temperature, slope of the truth, thresholds; and how a calibration is kept and refused."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fsearch.diagnoser.centring import centred_similarity, mean_vector
from fsearch.diagnoser.label_calibration import learn, likeliest_scale
from fsearch.diagnoser.label_check import leave_one_out
from fsearch.diagnoser.label_thresholds import prediction_bound, thresholds
from fsearch.diagnoser.labelled import Labelled, auroc, usable
from fsearch.diagnoser.lift import MEMBERSHIP_ERROR
from fsearch.diagnoser.membership import anchor_similarity, membership
from fsearch.diagnoser.reference_bank import ReferenceBank
from fsearch.diagnoser.retrieval_quality import RetrievalQuality
from fsearch.diagnoser.rivals import rivalry
from fsearch.diagnoser.support import Support, SupportThresholds
from fsearch.diagnoser.truth_slope import Slopes, pooled_slope, slopes_of_truth
from fsearch.indexer.storage.vectors import unit
from fsearch.indexer.vector_index.exact_search import ExactSearch
from fsearch.indexer.workspace.calibration import Calibration, in_force, shipped
from fsearch.indexer.workspace.encoder_spec import EncoderSpec

VIT = EncoderSpec("ViT-B-32", "openai", "tag:openai", 512)
KNOWN = Calibration("labels.csv", 300, 20, "2025-01-01", VIT.identity, (), 100.0, 1.1, 0.2, 0.25, 25.0)
numbers = st.floats(0.1, 10.0)


def labelled(shows: np.ndarray, texts: np.ndarray | None = None) -> Labelled:
    q, m = shows.shape
    return Labelled(np.zeros((q, 2), np.float32) if texts is None else texts, np.arange(m), shows, np.ones_like(shows))


@given(st.text(), st.integers(1, 10**6), st.lists(st.text(), max_size=3), numbers, numbers, st.none() | numbers)
def test_a_calibration_is_read_back_as_it_was_kept(
    labels: str, images: int, templates: list[str], scale: float, slope: float, bound: float | None
) -> None:
    full = None if bound is None else 2 * bound
    bound = None if bound is None else bound / 10
    known = Calibration(labels, images, 5, "2025-01-01", "x", tuple(templates), scale, slope, 0.2, bound, full)
    assert Calibration.from_json(known.as_json()) == known
    assert Calibration.from_json("") is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("slope", 0.0), ("slope", float("nan")), ("slope", True), ("slope", "1"), ("logit_scale", 1e9),
        ("log_mean_exp", None), ("centred_similarity", 3.0), ("images", -1), ("templates", "a"), ("templates", [1]),
        ("labels", 3), ("encoder", None), ("other", 1),
    ],
)  # fmt: skip
def test_a_calibration_that_nobody_could_have_learnt_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match="calibration"):
        Calibration.from_json(json.dumps(asdict(KNOWN) | {field: value}))


def test_a_calibration_is_of_one_encoder_and_its_templates() -> None:
    assert in_force(KNOWN, VIT, ()) == KNOWN
    other = EncoderSpec("RN50", "openai", "tag:openai", 512)
    assert in_force(KNOWN, other, ()) is None
    assert in_force(KNOWN, VIT, ("a photo of {}",)) is None
    assert in_force(None, VIT, ()) == shipped(VIT)


def test_what_is_shipped_is_for_exactly_one_architecture_and_tag() -> None:
    found = shipped(VIT)
    assert found is not None
    assert found.images > 4000
    assert found.phrases > 100
    assert 0.0 < found.slope_error < MEMBERSHIP_ERROR * 1.5
    for other in (
        EncoderSpec("ViT-B-32", "laion2b_s34b_b79k", "tag:laion2b_s34b_b79k", 512),
        EncoderSpec("ViT-B-16", "openai", "tag:openai", 512),
        EncoderSpec("ViT-B-32", "openai", "a" * 64, 512),  # a local file of that name
        EncoderSpec("ViT-B-32", "openai", "tag:openai", 512, config="{}"),
        EncoderSpec("demo", None, "b" * 64, 128),
    ):
        assert shipped(other) is None


def told(chance: np.ndarray, some: Labelled, everywhere: np.ndarray) -> Slopes:
    """The slopes from labelled images with memberships `chance`, (q, m), among images with `everywhere`, (q, n)."""
    n = everywhere.shape[1]
    return slopes_of_truth(chance, some, RetrievalQuality.of(everywhere, np.ones_like(everywhere, np.float32), n), n)


@pytest.mark.parametrize("shown", [1e-12, 1.0])
def test_a_phrase_that_all_images_show_alike_teaches_no_slope(shown: float) -> None:
    rng = np.random.default_rng(0)
    chance = rng.random((2, 400))
    shows = rng.random((2, 400)) < chance
    alike = np.full((1, 400), shown), rng.random((1, 400)) < 0.5
    with_it = told(np.vstack([chance, alike[0]]), labelled(np.vstack([shows, alike[1]])), np.vstack([chance, alike[0]]))
    alone = told(chance, labelled(shows), chance)
    np.testing.assert_array_equal(with_it.values, alone.values)
    np.testing.assert_array_equal(with_it.noise, alone.noise)
    none = told(alike[0], labelled(alike[1]), alike[0])
    assert pooled_slope(none.values, none.noise)[0] == 1.0


@given(st.integers(0, 100), st.floats(0.2, 1.0))
def test_the_slope_of_the_truth_is_one_over_what_memberships_overstate(seed: int, factor: float) -> None:
    """With every image labelled it is least squares; with a random sample of them it is that, within its noise."""
    rng = np.random.default_rng(seed)
    chance = rng.random((3, 2000))
    shows = rng.random((3, 2000)) < chance * factor
    whole = told(chance, labelled(shows), chance)
    x = chance - chance.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(whole.values, (x * shows).sum(axis=1) / (x**2).sum(axis=1))
    assert whole.noise.max() == 0.0
    rows = rng.choice(2000, 300, replace=False)
    part = told(chance[:, rows], labelled(shows[:, rows]), chance)
    assert part.at_random
    assert (np.abs(part.values - whole.values) < 5 * np.sqrt(part.noise)).all()
    assert (np.abs(whole.values - factor) < 0.25).all()


def test_images_that_were_picked_are_learnt_from_alone() -> None:
    """Half of the labelled images show the phrase, of all images one in fifty."""
    rng = np.random.default_rng(2)
    true = np.arange(10_000) < 200
    chance = np.where(true, rng.uniform(0.5, 1.0, 10_000), rng.uniform(0.0, 0.05, 10_000))[None]
    rows = np.r_[:150, 9000:9150]
    found = told(chance[:, rows], labelled(true[None, rows]), chance)
    assert not found.at_random
    x = chance[0, rows] - chance[0, rows].mean()
    assert found.values[0] == pytest.approx((x * true[rows]).sum() / (x**2).sum())


def test_images_of_which_it_is_not_known_take_no_part() -> None:
    rng = np.random.default_rng(0)
    chance, shows = rng.random((1, 200)), rng.random((1, 200)) < 0.5
    known = np.arange(200)[None] < 120
    some = Labelled(np.zeros((1, 2), np.float32), np.arange(200), shows, known)
    other = replace(some, shows=np.where(known, shows, ~shows))
    everywhere = rng.random((1, 5000))
    for population in (everywhere, everywhere / 3):  # at random, and not
        first, second = (told(chance, s, population) for s in (some, other))
        assert (first.values, first.noise) == (second.values, second.noise)
    assert auroc(chance.astype(np.float32), some) == auroc(chance.astype(np.float32), other)


def test_no_labels_leave_what_was_assumed_and_many_replace_it() -> None:
    none = np.empty(0)
    mean, error = pooled_slope(none, none)
    assert mean == 1.0
    assert error == pytest.approx(MEMBERSHIP_ERROR * np.sqrt(1.25))
    slopes = np.random.default_rng(0).normal(0.8, 0.08, 2000)
    mean, error = pooled_slope(slopes, np.zeros(2000))
    assert mean == pytest.approx(0.8, abs=0.01)
    assert error == pytest.approx(0.1, abs=0.01)
    noisy = slopes + np.random.default_rng(1).normal(0, 0.3, 2000)
    assert pooled_slope(noisy, np.full(2000, 0.09))[1] == pytest.approx(0.1, abs=0.04)
    assert pooled_slope(noisy, np.zeros(2000))[1] > 0.3


@given(arrays(np.float64, 12, elements=st.floats(-1, 1)), st.floats(0.1, 5), st.floats(-3, 3))
def test_the_bound_moves_with_the_values(values: np.ndarray, scale: float, shift: float) -> None:
    expected = scale * prediction_bound(values) + shift
    assert prediction_bound(scale * values + shift) == pytest.approx(expected, abs=1e-9)
    assert prediction_bound(values) <= values.mean() + 1e-12


@pytest.mark.parametrize("n", [8, 30])
def test_a_further_draw_lies_below_the_bound_once_in_twenty(n: int) -> None:
    drawn = np.random.default_rng(3).normal(0.3, 0.05, (4000, n + 1))
    below = np.mean([row[-1] < prediction_bound(row[:-1]) for row in drawn])
    assert below == pytest.approx(0.05, abs=0.012)


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.7])
def test_the_temperature_that_made_the_labels_is_found(factor: float) -> None:
    rng = np.random.default_rng(5)
    cosines = -np.sort(-rng.normal(0.2, 0.03, (20, 3000)).astype(np.float32), axis=1)
    true = 100.0 * factor
    shows = rng.random(cosines.shape) < membership(cosines, anchor_similarity(cosines, true), true)
    found = likeliest_scale(cosines, cosines, labelled(shows), 100.0)
    assert found == pytest.approx(true, rel=0.2)


def cones(rng: np.random.Generator, kinds: int, images: int, d: int = 64) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images of several kinds in one narrow cone and a phrase for each in another; (n,) the kind of each image.

    Phrases differ in how near they are to all images alike, as in CLIP.
    """
    axes = np.linalg.qr(rng.normal(size=(d, d)))[0].T
    concepts = unit(rng.normal(size=(kinds, d - 2))) @ axes[2:]
    kind = rng.integers(0, kinds, images)
    vectors = unit(1.5 * axes[0] + 0.6 * concepts[kind] + 0.07 * rng.normal(size=(images, d)))
    liked = rng.normal(0.3, 0.05, (kinds, 1)) * axes[0]
    return vectors, unit(1.5 * axes[1] + 0.6 * concepts + liked), kind


@given(st.integers(0, 1000))
def test_the_centred_similarity_is_that_of_all_images_if_enough_are_looked_at(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, texts, _ = cones(rng, 5, 60)
    near = np.argsort(-(texts @ vectors.T), axis=1)
    means = mean_vector(vectors), mean_vector(texts)
    found = centred_similarity(texts, near, vectors.__getitem__, *means)
    cosines = unit(texts - means[1]) @ unit(vectors - means[0]).T
    np.testing.assert_allclose(found, np.median(np.sort(cosines, axis=1)[:, -10:], axis=1), atol=1e-6)


def test_labels_teach_which_concepts_are_absent() -> None:
    """Half of forty concepts are labelled; of the others, half have no image."""
    rng = np.random.default_rng(1)
    vectors, texts, kind = cones(rng, 40, 4000)
    kept = (kind < 30) | (kind >= 40)
    vectors, kind = vectors[kept], kind[kept]
    reference = ReferenceBank(texts, 40.0)
    rows = np.sort(rng.choice(len(vectors), 600, replace=False))
    shows = kind[rows] == np.arange(20)[:, None]
    index = ExactSearch(vectors.astype(np.float16))
    labels = replace(labelled(shows, texts[:20]), rows=rows)
    learnt = learn(index, np.arange(len(vectors)), reference, labels)
    known = replace(
        KNOWN, logit_scale=learnt.logit_scale, centred_similarity=learnt.centred_similarity,
        log_mean_exp=learnt.log_mean_exp,
    )  # fmt: skip
    bank = reference.calibrated(known)
    found = bank.retriever(index, np.arange(len(vectors))).find(texts)
    presence = bank.in_force.presence(
        found.support, np.full(40, np.inf), np.zeros(40, np.int64), np.ones(40), np.ones(40)
    )
    assert presence.absent[30:].mean() >= 0.9
    assert presence.absent[:30].mean() <= 0.1
    assert learnt.auroc > 0.95
    assert learnt.check.phrases == 20
    assert learnt.check.lost <= 2
    assert learnt.check.caught >= 18


def test_the_check_of_labels_obeys_the_rules_that_a_query_obeys() -> None:
    """Each phrase asked as a query would ask with a calibration by the others, rivals included."""
    rng = np.random.default_rng(2)
    vectors, texts, kind = cones(rng, 60, 1500)
    reference = ReferenceBank(texts[20:30], 40.0, vocabulary=texts[20:])
    shows = kind == np.arange(20)[:, None]
    labels = labelled(shows, texts[:20])
    whole = reference.retriever(ExactSearch(vectors.astype(np.float16)), np.arange(1500))
    retrieved = whole.find(texts[:20])
    found = leave_one_out(whole, retrieved, labels, np.arange(20), 40.0, reference)
    plain = retrieved.support
    absent = np.zeros((2, 20), bool)
    for i in range(20):
        centred, mass = thresholds(plain, np.delete(np.arange(20), i))
        taught = replace(KNOWN, logit_scale=40.0, slope=1.0, centred_similarity=centred, log_mean_exp=mass)
        bank = reference.calibrated(taught)
        for k, images in enumerate((vectors, vectors[~shows[i]])):
            retriever = bank.retriever(ExactSearch(images.astype(np.float16)), np.arange(len(images)))
            asked = retriever.find(texts[[i]])
            stands = rivalry(asked, retriever, bank.rivals, 40.0)
            absent[k, i] = bank.in_force.presence(asked.support, *stands).absent[0]
    assert found == (20, *absent.sum(axis=1))
    assert absent[1].sum() > absent[0].sum()


def test_a_concept_is_not_lost_because_few_labelled_images_show_it() -> None:
    """A query asks all images, of which a few are labelled: what it loses is counted there."""
    rng = np.random.default_rng(3)
    vectors, texts, kind = cones(rng, 60, 6000)
    index, everything = ExactSearch(vectors.astype(np.float16)), np.arange(6000)
    reference = ReferenceBank(texts, 40.0, vocabulary=texts)
    rows = np.sort(np.concatenate([rng.choice(np.flatnonzero(kind == i), 4, replace=False) for i in range(60)]))
    labels = replace(labelled(kind[rows] == np.arange(20)[:, None], texts[:20]), rows=rows)
    learnt = learn(index, everything, reference, labels)
    taught = replace(
        KNOWN, logit_scale=learnt.logit_scale, slope=1.0, centred_similarity=learnt.centred_similarity,
        log_mean_exp=learnt.log_mean_exp,
    )  # fmt: skip
    bank = reference.calibrated(taught)
    retriever = bank.retriever(index, everything)
    found = retriever.find(texts[:20])
    lost = bank.in_force.presence(found.support, *rivalry(found, retriever, bank.rivals, learnt.logit_scale)).absent
    assert learnt.check.phrases == 20
    assert abs(learnt.check.lost - lost.sum()) <= 1  # a phrase that is left out teaches nothing of itself
    assert lost.mean() < 0.5  # among the labelled images alone all would be
    assert learnt.check.caught >= 18


def test_a_concept_that_most_images_show_is_not_absent_though_nothing_stands_out_from_it() -> None:
    taught = SupportThresholds(-1.0, 25.0, centred=0.25)
    support = Support(np.full(3, 0.3, np.float32), np.array([24.0, 26.0, 24.0]), np.array([0.1, 0.1, 0.3]))
    found = taught.presence(support, np.full(3, np.inf), np.zeros(3, np.int64), np.ones(3), np.ones(3))
    assert found.absent.tolist() == [True, False, False]
    assert taught.calibrated


def test_a_calibrated_encoder_is_still_doubted_where_rivals_win() -> None:
    taught = SupportThresholds(-1.0, 25.0, margin=-0.5, centred=0.25)
    support = Support(np.full(4, 0.3, np.float32), np.full(4, 24.0), np.array([0.1, 0.3, 0.3, 0.1]))
    margin, winners = np.array([0.5, -3.0, 2.0, 9.0]), np.array([0, 12, 12, 0])
    found = taught.presence(support, margin, winners, *np.ones((2, 4)))
    assert found.absent.tolist() == [True, True, False, False]  # the last wins over its rivals, so it is there
    assert found.doubtful.tolist() == [True, True, False, False]
    assert found.uncertain.tolist() == [True, True, True, False]


@given(arrays(np.float64, (2, 50), elements=st.floats(0.01, 1.0)), st.floats(0.3, 2.0))
def test_precision_lies_above_prevalence_by_the_slope(chances: np.ndarray, slope: float) -> None:
    ones = np.ones((2, 50), np.float32)
    plain = RetrievalQuality.of(chances, ones, 50)
    found = plain.corrected(slope)
    assert plain.corrected(1.0) is plain
    away = plain.precision - plain.prevalence
    np.testing.assert_allclose(found.precision - found.prevalence, slope * away, atol=1e-12)
    np.testing.assert_array_equal(found.prevalence, plain.prevalence)
    assert ((found.purity >= 0) & (found.purity <= 1)).all()


def test_phrases_need_images_that_show_them_and_others() -> None:
    shows = np.array([[1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0], [1, 1, 1, 0, 0, 0]], bool)
    known = np.ones_like(shows)
    known[3, 5] = False
    assert usable(shows, known).tolist() == [0]
