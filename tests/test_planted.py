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
    for concepts, gap in zip(world.concepts, world.gaps, strict=True):
        if concepts[0] in world.planted and len(concepts) == 1:
            assert gap >= world.min_effect
    assert (world.gaps * world.lifts >= 0).all()
    assert len(world.vectors) == len(world.losses) == world.shown.shape[1] == 400
    assert world.seed == 1


def test_the_same_seed_plants_the_same_world_and_another_another(planted_package: Any) -> None:
    _, worlds, _, pool = planted_package
    a, b, c = (worlds.planted_loss(pool, s, worlds.Sizes(*SMALL)) for s in (1, 1, 2))
    np.testing.assert_array_equal(a.losses, b.losses)
    assert a.losses[0] != c.losses[0]


def test_nothing_fails_in_a_null_world_and_nothing_is_there_of_what_is_absent(planted_package: Any) -> None:
    _, worlds, _, pool = planted_package
    null = worlds.null(pool, 3, worlds.Sizes(*SMALL))
    assert null.null
    assert np.abs(null.gaps).max() < 1e-9
    world = worlds.absent(pool, 3, worlds.Sizes(*SMALL))
    gone = [world.planted[0] in concepts for concepts in world.concepts]
    assert any(gone)
    assert not world.shown[gone].any()


def test_only_the_conjunction_fails_in_an_interaction(planted_package: Any) -> None:
    _, worlds, _, pool = planted_package
    world = worlds.interaction(pool, 4, worlds.Sizes(*SMALL))
    both = next(i for i, concepts in enumerate(world.concepts) if set(concepts) == set(world.planted))
    parts = [i for i, concepts in enumerate(world.concepts) if len(concepts) == 1 and concepts[0] in world.planted]
    assert (world.gaps[both] >= world.gaps[parts]).all()


@pytest.mark.slow
def test_a_noisy_label_harms_a_trained_black_box_there(planted_package: Any) -> None:
    _, worlds, _, pool = planted_package
    world = worlds.noisy_label(pool, 1, worlds.Sizes(*SMALL))
    own = [i for i, concepts in enumerate(world.concepts) if concepts == world.planted]
    assert (world.gaps[own] > 0).all()


def counted_world(n: int = 200, groups: np.ndarray | None = None) -> Any:
    """Six phrases about `n` images in two dimensions; the last is absent, the one before is shown by five images."""
    from benchmarks.planted.world import World, truth

    from fsearch.diagnoser.reference_bank import ReferenceBank

    shown = np.zeros((6, n), bool)
    shown[0, :50] = shown[1, :40] = shown[2, 60:120] = shown[3, 100:] = shown[4, :5] = True
    expected = np.where(np.arange(n) < 50, 1.0, 0.0)
    gaps, lifts = truth(shown, expected)
    angles = np.linspace(0, 1, n)
    return World(
        setting="counted",
        seed=0,
        vectors=np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32),
        texts=np.tile(np.array([[1.0, 0.0]], np.float32), (6, 1)),
        phrases=tuple("abcdef"),
        losses=expected,
        shown=shown,
        gaps=gaps,
        lifts=lifts,
        reference=ReferenceBank(np.eye(2, dtype=np.float32), 10.0),
        encoder="none",
        groups=groups,
        unknown=np.array([False] * 5 + [True]),
        planted=("a",),
    )


def answers(words: list[str], lo: np.ndarray, hi: np.ndarray, rank: np.ndarray) -> Any:
    from benchmarks.planted.method import Answers

    return Answers(np.array(words), lo, hi, rank, rank, rank, rank, True, 1.0, None, np.full(len(words), ""))


def test_measures_count_what_can_be_counted(planted_package: Any) -> None:
    measures, _, _, _ = planted_package
    world = counted_world()
    # truth: a and b fail; c (no image of the failing fifty) and d do not; e is shown by five images; f by none
    np.testing.assert_allclose(world.gaps[:4], [1.0, 1 - 10 / 160, -50 / 140, -0.5])
    np.testing.assert_allclose(world.lifts[:4], [0.75, 0.75, -0.25, -0.25])
    words = ["fails", "fine", "fails", "fine", "unclear", "fails"]
    lo, hi = world.lifts - 0.1, world.lifts + 0.1
    lo[1] += 0.15
    scorers = {"other": -world.gaps, "fsearch, a part of it": world.gaps}
    found = measures.outcome(world, answers(words, lo, hi, np.array([6.0, 4, 3, 2, 1, 5])), scorers)
    assert found.failing.tolist() == [True, True, False, False, False, False]
    assert found.harmless.tolist() == [False, False, True, True, False, False]
    assert found.present.tolist() == [True] * 4 + [False] * 2
    assert found.absent.tolist() == [False] * 5 + [True]
    assert found.scores["fsearch"][:2] == (1.0, pytest.approx((1 + 2 / 3) / 2))
    assert found.scores["other"][0] == pytest.approx((1 / 3 + 2 / 4) / 2)
    figures = measures.summary([found])
    assert figures["false"] == pytest.approx(2 / 3)
    assert figures["false_absent"] == pytest.approx(1 / 3)
    assert figures["power"] == figures["power_by_lift"] == figures["power_strong"] == 0.5
    assert figures["fine_by_gap"] == figures["fine_by_lift"] == 0.5
    assert figures["coverage"] == 0.75
    assert figures["absent_held_back"] == figures["unseen_absent"] == figures["unseen_absent_unknown"] == 0.0
    assert np.isnan(figures["unseen_absent_known"])
    assert np.isnan(figures["alarms"])
    assert figures["ap_best_rival"] == found.scores["other"][0]
    prevalence = [n for _, n in measures.strata([found])["prevalence"]]
    assert prevalence == [0, 0, 0, 3, 1]


def test_what_is_unseen_is_no_interval_and_no_discovery(planted_package: Any) -> None:
    measures, _, _, _ = planted_package
    world = counted_world()
    wide = np.full(6, 2.0)
    found = measures.outcome(world, answers(["unseen"] * 6, -wide, wide, np.arange(6.0)), {})
    figures = measures.summary([found])
    assert np.isnan(figures["coverage"])
    assert np.isnan(figures["false"])
    assert figures["unseen_absent"] == figures["absent_held_back"] == figures["unseen_present"] == 1.0
    assert figures["power"] == 0.0


def test_a_concept_in_few_clips_is_not_present_however_many_frames_show_it(planted_package: Any) -> None:
    measures, _, _, _ = planted_package
    world = counted_world(groups=np.arange(200) // 10)
    assert world.units.tolist() == [5, 4, 6, 10, 1, 0]
    found = measures.outcome(world, answers(["fine"] * 6, -world.gaps, world.gaps, world.gaps), {})
    assert found.present.tolist() == [False, False, False, True, False, False]


def test_the_smallest_effect_does_not_hang_on_the_sign_of_the_mean(planted_package: Any) -> None:
    from dataclasses import replace

    world = counted_world()
    assert world.min_effect == pytest.approx(0.2 * world.losses.std())
    few = replace(world, losses=np.where(np.arange(200) < 2, 1.0, 0.0))  # binary at 1%: half the mean is less
    assert few.min_effect == pytest.approx(0.005)
    assert few.harmless < few.min_effect
    signed = replace(world, losses=world.losses - world.losses.mean() + 1e-6)
    assert signed.min_effect == pytest.approx(0.2 * world.losses.std())


def test_the_oracle_reads_the_truth_and_rivals_rank_a_plain_case(planted_package: Any) -> None:
    from dataclasses import replace

    from fsearch.diagnoser.reference_bank import ReferenceBank

    _, _, rivals, _ = planted_package
    rng = np.random.default_rng(0)
    shows = rng.random((2, 500)) < 0.3
    directions = np.eye(2, 16)
    images = rng.normal(0, 0.3, (500, 16)) + 2 * shows.T @ directions
    images = (images / np.linalg.norm(images, axis=1, keepdims=True)).astype(np.float32)
    losses = rng.gamma(1.0, np.where(shows[0], 2.0, 0.2))
    reference = ReferenceBank(directions.astype(np.float32), 10.0)
    texts = directions.astype(np.float32)
    world = replace(counted_world(), vectors=images, losses=losses, texts=texts, reference=reference, shown=shows)
    for name, score in rivals.RIVALS.items():
        found = score(world)
        assert found[0] > found[1], name
    expected = losses[shows[0]].mean() - losses[~shows[0]].mean()
    assert rivals.oracle(world)[0] == pytest.approx(expected)
