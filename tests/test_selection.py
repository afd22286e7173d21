"""A selection on the map: points in a polygon against a second way to tell, and intervals that cover the truth."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fsearch.diagnoser.selection import mean_interval, within

coordinate = st.floats(-1, 1, allow_nan=False, width=32)


@given(st.lists(st.tuples(coordinate, coordinate), min_size=1, max_size=30), st.tuples(*[coordinate] * 4))
def test_a_rectangle_holds_what_lies_between_its_sides(
    points: list[tuple[float, float]], sides: tuple[float, ...]
) -> None:
    (x0, x1), (y0, y1) = sorted(sides[:2]), sorted(sides[2:])
    found = within(np.array(points), np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]))
    for (x, y), inside in zip(points, found, strict=True):
        if x0 < x < x1 and y0 < y < y1:
            assert inside
        if not (x0 <= x <= x1 and y0 <= y <= y1):
            assert not inside


@given(st.integers(3, 12), st.integers(0, 10**6))
def test_a_star_shaped_polygon_holds_the_points_nearer_than_its_edge(corners: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners)) + np.arange(corners) * 1e-3
    if np.diff(angles, append=angles[0] + 2 * np.pi).max() >= np.pi:  # its middle would lie outside
        return
    polygon = np.column_stack([np.cos(angles), np.sin(angles)])
    weights = rng.dirichlet(np.ones(corners), 20)
    assert within(0.999 * weights @ polygon, polygon).all()
    assert not within(1.001 * polygon / np.abs(polygon).max(axis=1, keepdims=True), polygon).any()


def test_intervals_of_repeated_images_cover_the_mean_and_plain_ones_do_not() -> None:
    rng = np.random.default_rng(5)
    covered = plain = 0
    for _ in range(400):
        groups = np.repeat(np.arange(30), 8)
        values = rng.gamma(2, 0.5, 30)[groups] + rng.normal(0, 0.1, 240)
        lo, hi = mean_interval(values, groups) or (1.0, 1.0)
        covered += lo <= 1 <= hi
        lo, hi = mean_interval(values, np.arange(240)) or (1.0, 1.0)
        plain += lo <= 1 <= hi
    assert 0.85 <= covered / 400 <= 0.94
    assert plain / 400 < 0.6


def test_one_group_has_no_interval() -> None:
    assert mean_interval(np.array([1.0, 2.0]), np.array([4, 4])) is None
