"""Pairs of losses: the images that have both, the scales that do not go together, and a model without mistakes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fsearch.diagnoser import artifact
from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.diagnoser.pairing import Side, different_scales, pair
from fsearch.diagnoser.verdict import minimum_effect
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.workspace.store import Store

N = 200


def side(model: str, losses: np.ndarray, task: str | None = None, first: int = 0) -> Side:
    """A model's losses on images from row `first` on."""
    return Side(model, task, np.arange(first, first + len(losses)), losses, np.zeros(len(losses)))


def gamma(seed: int, scale: float = 1.0, n: int = N) -> np.ndarray:
    return np.random.default_rng(seed).gamma(1.0, scale, n)


@pytest.fixture
def base(released: Path) -> Diagnosis:
    store = Store.open(released)
    return Diagnosis(artifact.load(store.layout, "old"), store.losses("old"), store.index())


def test_only_images_with_both_losses_are_paired(base: Diagnosis) -> None:
    found = pair(side("a", gamma(1)), side("b", gamma(2), first=50), base)
    assert found.rows.tolist() == list(range(50, 200))
    assert found.either.tolist() == list(range(250))
    np.testing.assert_allclose(found.change, gamma(2)[:150] - gamma(1)[50:])
    assert found.min_effect == minimum_effect(gamma(1)[50:])
    part = found.within(np.arange(100, 230))
    assert (part.rows.tolist(), part.either.tolist()) == (list(range(100, 200)), list(range(100, 230)))


def test_too_few_pairs_are_refused(base: Diagnosis) -> None:
    with pytest.raises(BadInputError, match=r"only 40 images have a loss of both 'a' and 'b'"):
        pair(side("a", gamma(1)), side("b", gamma(2), first=160), base)
    with pytest.raises(BadInputError, match=r"only 49 images fulfil the condition"):
        pair(side("a", gamma(1)), side("b", gamma(2)), base).within(np.arange(49))


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_losses_that_are_no_numbers_are_refused(base: Diagnosis, wrong: float) -> None:
    losses = gamma(2)
    losses[7] = wrong
    with pytest.raises(BadInputError, match="are no numbers"):
        pair(side("a", gamma(1)), side("b", losses), base)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (side("a", gamma(1), "cross-entropy"), side("b", gamma(2), "cross-entropy"), None),
        (side("a", gamma(1), "cross-entropy"), side("b", gamma(2), "top-k k=5"), "cross-entropy, top-k k=5"),
        (side("a", gamma(1), "squared"), side("b", gamma(2, 1e4), "squared"), None),
        (side("a", gamma(1)), side("b", gamma(2), "cross-entropy"), None),
        (side("a", gamma(1)), side("b", gamma(2, 100.0)), "hardly on one scale"),
        (side("a", gamma(1, 100.0)), side("b", gamma(2)), "hardly on one scale"),
        (side("a", gamma(1)), side("b", (gamma(2) > 1).astype(float)), "take two values"),
        (side("a", (gamma(1) > 1).astype(float)), side("b", (gamma(2) > 1).astype(float)), None),
        (side("a", gamma(1)), side("b", np.zeros(N)), None),
        (side("a", (gamma(1) > 1).astype(float)), side("b", np.zeros(N)), None),
    ],
)
def test_two_scales_are_refused_where_anything_tells(
    base: Diagnosis, before: Side, after: Side, said: str | None
) -> None:
    reason = different_scales(before, after)
    if said is None:
        assert reason is None
        assert len(pair(before, after, base).rows) == N
        return
    assert said in str(reason)
    with pytest.raises(BadInputError, match="--standardise"):
        pair(before, after, base)


def test_standardised_losses_know_no_scale_and_no_mean(base: Diagnosis) -> None:
    a, b = side("a", gamma(1), "x"), side("b", gamma(2), "y")
    found = pair(a, b, base, standardise=True)
    other = pair(a, replace(b, losses=b.losses * 1000 + 7, predicted=b.predicted * 1000 + 7), base, standardise=True)
    np.testing.assert_allclose(found.change, other.change, atol=1e-9)
    assert found.change.mean() == pytest.approx(0.0, abs=1e-12)
    assert found.before.std() == pytest.approx(1.0)
    with pytest.raises(BadInputError, match=r"all losses of model 'c' are equal \(0\)"):
        pair(a, side("c", np.zeros(N)), base, standardise=True)


def test_what_matters_is_measured_on_the_losses_before(base: Diagnosis) -> None:
    mistakes, none = side("a", gamma(1)), side("b", np.zeros(N))
    assert pair(mistakes, none, base).min_effect == minimum_effect(gamma(1))
    assert pair(none, mistakes, base).min_effect == minimum_effect(gamma(1))  # a model without mistakes has no spread
