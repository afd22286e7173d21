"""The strength by which findings are ranked."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsearch.diagnoser.finding import Finding

PLAIN = {f.name: 0.5 for f in fields(Finding) if f.default is MISSING}
p_values = st.floats(0.0, 1.0)
lifts = st.floats(-5.0, 5.0)


def strength(**values: Any) -> float:
    return Finding(**{**PLAIN, "standard_error": 1.0, **values}).strength


def test_three_looks_that_agree_are_one() -> None:
    looks = {"lift": 1.644853626951472, "p_value": 0.05}
    assert strength(**looks, nearest_p=0.05) == pytest.approx(1.644853626951472)
    assert strength(**looks) == pytest.approx(1.644853626951472)


@given(lift=lifts, p=p_values, near=p_values, less=p_values)
def test_it_grows_with_each_look(lift: float, p: float, near: float, less: float) -> None:
    now = strength(lift=lift, p_value=p, nearest_p=near)
    assert strength(lift=lift + 0.1, p_value=p, nearest_p=near) > now
    assert strength(lift=lift, p_value=p * less, nearest_p=near) >= now
    assert strength(lift=lift, p_value=p, nearest_p=near * less) >= now


@given(lift=lifts, p=p_values, near=st.floats(0.5, 1.0))
def test_a_dozen_images_without_an_error_are_no_evidence_of_less(lift: float, p: float, near: float) -> None:
    assert strength(lift=lift, p_value=p, nearest_p=near) == strength(lift=lift, p_value=p, nearest_p=0.5)


@given(near=p_values)
def test_the_nearest_images_count_half(near: float) -> None:
    """Whatever they say moves a strength by no more than a fifth of what it moves a score."""
    base = strength(lift=0.0, p_value=0.5)
    assert abs(strength(lift=0.0, p_value=0.5, nearest_p=near) - base) <= 38 / 5


@given(lift=lifts, p=p_values)
def test_what_perhaps_no_image_shows_counts_less_and_never_more(lift: float, p: float) -> None:
    sure = strength(lift=lift, p_value=p, margin=2.0, margin_threshold=-0.5, winners=12)
    doubted = strength(lift=lift, p_value=p, margin=0.5, margin_threshold=-0.5, winners=12)
    assert doubted == pytest.approx(min(sure, 0.7 * sure))
    assert strength(lift=lift, p_value=p, margin=0.5, margin_threshold=-0.5, winners=2) == sure
    assert strength(lift=lift, p_value=p, margin=None, margin_threshold=None, winners=None) == sure
