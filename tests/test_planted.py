"""The benchmark's own truth: worlds are what they say, and the measures are right on cases one can count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
SMALL = (400, 300, 200)  # portraits in the index, open to training, and in one training set


@pytest.fixture(scope="module")
def planted_package() -> Any:
    """benchmarks.planted, which is no part of the package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        import benchmarks.planted.measures as measures
        import benchmarks.planted.pool as pools
        import benchmarks.planted.rivals as rivals
        import benchmarks.planted.worlds as worlds

        yield measures, worlds, rivals, pools.make_pool(5, 900)


def test_a_planted_world_fails_where_it_was_planted(planted_package: Any) -> None:
    _, worlds, _, pool = planted_package
    world = worlds.planted_loss(pool, 1, worlds.Sizes(*SMALL))
    for i, phrase in enumerate(pool.phrases):
        if phrase.concepts[0] in world.planted and len(phrase.concepts) == 1:
            assert world.failing[i]
        assert world.gaps[i] * world.lifts[i] >= 0
    assert len(world.rows) == len(world.losses) == 400
    assert world.seed == 1


def test_the_same_seed_plants_the_same_world_and_another_another(planted_package: Any) -> None:
    _, worlds, _, pool = planted_package
    a, b, c = (worlds.planted_loss(pool, s, worlds.Sizes(*SMALL)) for s in (1, 1, 2))
    np.testing.assert_array_equal(a.losses, b.losses)
    assert a.losses[0] != c.losses[0]


def test_nothing_fails_in_a_null_world_and_nothing_is_there_of_what_is_absent(planted_package: Any) -> None:
    _, worlds, _, pool = planted_package
    assert not worlds.null(pool, 3, worlds.Sizes(*SMALL)).failing.any()
    world = worlds.absent(pool, 3, worlds.Sizes(*SMALL))
    assert not pool.where(world.planted[0])[world.rows].any()
    assert world.absent.any()
    assert all(world.planted[0] in pool.phrases[i].concepts for i in np.flatnonzero(world.absent))


def test_only_the_conjunction_fails_in_an_interaction(planted_package: Any) -> None:
    _, worlds, _, pool = planted_package
    world = worlds.interaction(pool, 4, worlds.Sizes(*SMALL))
    both = next(i for i, p in enumerate(pool.phrases) if set(p.concepts) == set(world.planted))
    parts = [i for i, p in enumerate(pool.phrases) if len(p.concepts) == 1 and p.concepts[0] in world.planted]
    assert (world.gaps[both] >= world.gaps[parts]).all()


@pytest.mark.slow
def test_a_noisy_label_harms_a_trained_black_box_there(planted_package: Any) -> None:
    _, worlds, _, pool = planted_package
    world = worlds.noisy_label(pool, 1, worlds.Sizes(*SMALL))
    own = [i for i, p in enumerate(pool.phrases) if p.concepts == world.planted]
    assert (world.gaps[own] > 0).all()


def test_measures_count_what_can_be_counted(planted_package: Any) -> None:
    measures, worlds, _, _ = planted_package
    n = 40
    gaps = np.array([1.0, 1.0, 0.1, 0.0, 0.0])
    world = worlds.World(
        *("x", 0, np.arange(n), np.linspace(0, 3.4641, n), gaps, gaps / 2, np.ones(5, bool), np.zeros(5, bool), ())
    )
    assert world.failing.tolist() == [True, True, False, False, False]
    assert world.harmless.tolist() == [False, False, False, True, True]
    best, worst = (measures.ordering(s, world) for s in (np.array([5, 4, 3, 2, 1.0]), np.array([1, 2, 3, 4, 5.0])))
    assert best.average_precision == 1.0
    assert worst.average_precision == pytest.approx((1 / 3 + 2 / 4) / 2)  # the one in between does not count
    assert measures.discoveries(np.array([True, False, True, True, False]), world) == (pytest.approx(1 / 3), 0.5)
    lo, hi = gaps / 2 - np.array([0.1, 0.1, 0.1, -0.1, 0.1]), gaps / 2 + 0.2
    assert measures.coverage(lo, hi, np.ones(5, bool), world)[0] == pytest.approx(0.8)


def test_the_oracle_reads_the_truth_and_rivals_rank_a_plain_case(planted_package: Any) -> None:
    _, _, rivals, _ = planted_package
    rng = np.random.default_rng(0)
    shows = rng.random((2, 500)) < 0.3
    directions = np.eye(2, 16)
    images = rng.normal(0, 0.3, (500, 16)) + 2 * shows.T @ directions
    images = (images / np.linalg.norm(images, axis=1, keepdims=True)).astype(np.float32)
    losses = rng.gamma(1.0, np.where(shows[0], 2.0, 0.2))
    evidence = rivals.Evidence(images, losses, directions.astype(np.float32), directions.mean(axis=0), shows)
    for name, score in rivals.RIVALS.items():
        found = score(evidence)
        assert found[0] > found[1], name
    expected = losses[shows[0]].mean() - losses[~shows[0]].mean()
    assert rivals.oracle(evidence)[0] == pytest.approx(expected)
