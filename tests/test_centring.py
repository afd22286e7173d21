"""What all phrases share is taken off them before images are compared with them, and weak encoders are trusted less."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import fsearch
from fsearch.diagnoser.lift import MEMBERSHIP_ERROR
from fsearch.diagnoser.reference_bank import ReferenceBank
from fsearch.diagnoser.rivals import rivalry
from fsearch.indexer.storage.vectors import unit
from fsearch.indexer.vector_index.exact_search import ExactSearch
from fsearch.indexer.workspace.calibration import Calibration

LEARNT = Calibration("labels", 500, 20, "2026-01-01", "", (), 40.0, 0.9, 0.3, 0.2, 3.0)


def bank(logit_scale: float, rivals: int = 50) -> ReferenceBank:
    """Phrases of a narrow cone, the first axis of which they share."""
    rng = np.random.default_rng(3)
    texts = unit(np.eye(32, dtype=np.float32)[:1] + 0.1 * rng.normal(size=(rivals + 5, 32)).astype(np.float32))
    return ReferenceBank(texts[:5], logit_scale, vocabulary=texts[5:] if rivals else None)


def test_an_image_near_to_every_phrase_does_not_come_first_whatever_is_asked() -> None:
    axes = np.eye(32, dtype=np.float32)
    phrase = unit(axes[:1] + 0.3 * axes[1:2])
    hub, shows = axes[0], unit(axes[:1] + axes[1:2])[0]
    others = unit(np.random.default_rng(1).normal(size=(60, 32)).astype(np.float32) * 0.3 + axes[:1] * 0.2)
    images = np.concatenate([[hub, shows], others])
    index, rows = ExactSearch(images.astype(np.float16)), np.arange(len(images))
    plain = ReferenceBank(bank(100.0).texts, 100.0).retriever(index, rows).find(phrase)
    centred = bank(100.0).retriever(index, rows).find(phrase)
    assert plain.neighbours[0, :2].tolist() == [0, 1]
    assert centred.neighbours[0, :2].tolist() == [1, 0]
    np.testing.assert_allclose(centred.directions, phrase - bank(100.0).generic, atol=1e-6)


def test_chances_of_all_images_and_of_those_judged_are_one_reading() -> None:
    rng = np.random.default_rng(2)
    images = unit(rng.normal(size=(300, 32)).astype(np.float32))
    retriever = bank(20.0).retriever(ExactSearch(images), np.arange(300))
    found = retriever.find(unit(rng.normal(size=(3, 32)).astype(np.float32)))
    for i in range(3):
        every = retriever.memberships(found, i)
        np.testing.assert_allclose(every[found.neighbours[i]], found.memberships[i], rtol=1e-4)


def test_a_margin_over_rivals_is_what_it_is_without_centring() -> None:
    """What is taken off a phrase is taken off its rivals as well."""
    rng = np.random.default_rng(5)
    images = unit(rng.normal(size=(40, 32)).astype(np.float32))  # fewer than are looked at: the same images either way
    index, rows, texts = ExactSearch(images), np.arange(40), unit(rng.normal(size=(4, 32)).astype(np.float32))
    centred = bank(60.0)
    plain = ReferenceBank(centred.texts, 60.0)
    margins = [
        rivalry(retriever.find(texts), retriever, centred.rivals, 60.0).margin
        for retriever in (centred.retriever(index, rows), plain.retriever(index, rows))
    ]
    np.testing.assert_allclose(*margins, atol=1e-3)


def test_nothing_is_taken_off_where_there_is_no_vocabulary() -> None:
    assert not bank(100.0, rivals=0).generic.any()


@given(st.floats(0.5, 500.0), st.floats(0.5, 500.0))
def test_an_encoder_is_the_weaker_the_lower_its_temperature(one: float, other: float) -> None:
    low, high = sorted((one, other))
    weak, sure = bank(low), bank(high)
    assert 0 <= sure.weakness <= weak.weakness <= 1
    assert np.linalg.norm(weak.generic) >= np.linalg.norm(sure.generic)
    assert weak.scale(1.0, 0.5).dilution >= sure.scale(1.0, 0.5).dilution >= MEMBERSHIP_ERROR
    assert weak.scale(1.0, 0.5).trust <= sure.scale(1.0, 0.5).trust <= 1


def test_what_labels_taught_stands_in_place_of_the_doubt_about_a_weak_encoder() -> None:
    """But phrases are compared with images as they were when it was learnt."""
    weak = bank(12.5)
    taught = weak.calibrated(LEARNT)
    assert taught.logit_scale == 40.0
    np.testing.assert_array_equal(taught.generic, weak.generic)
    scale = taught.scale(1.0, 0.5)
    assert (scale.membership_error, scale.dilution, scale.trust) == (0.3, 0.3, 1.0)
    np.testing.assert_array_equal(taught.calibrated(LEARNT).generic, weak.generic)


def test_an_encoder_whose_thresholds_were_measured_is_no_weak_one() -> None:
    assert bank(12.5, rivals=0).scale(1.0, 0.5).trust == 1.0


def test_intervals_reach_further_away_from_zero(fitted: Path) -> None:
    asked = fsearch.open(fitted).query(["very dark skin", "a hat", "glasses", "an old person", "light skin", "a child"])
    signs = set()
    for answer in asked:
        far, near = answer.hi - answer.lift, answer.lift - answer.lo
        if answer.lift < 0:
            far, near = near, far
        signs.add(answer.lift > 0)
        assert far >= near + MEMBERSHIP_ERROR * abs(answer.lift) - 1e-9
    assert len(signs) == 2
