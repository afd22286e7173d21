"""The harder settings of the benchmark are what they say: clips, a failure beside others, real CLIP sets, scenes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module", autouse=True)
def _benchmarks_importable() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        yield


@pytest.fixture(scope="module")
def pool() -> Any:
    from benchmarks.planted.pool import make_pool

    return make_pool(5, 300)


def test_frames_of_a_clip_share_their_losses_as_much_as_is_said() -> None:
    from benchmarks.planted.drawn import clip_losses

    clip, mean = np.arange(2000).repeat(2), np.full(4000, 0.3)
    for correlation, low, high in ((1.0, 1.0, 1.0), (0.5, 0.3, 0.6), (0.0, -0.1, 0.1)):
        losses = clip_losses(mean, clip, correlation, np.random.default_rng(1))
        assert losses.mean() == pytest.approx(0.3, rel=0.1)
        assert low - 1e-9 <= np.corrcoef(losses[::2], losses[1::2])[0, 1] <= high + 1e-9


def test_frames_are_near_duplicates_and_a_null_world_of_them_plants_nothing(pool: Any) -> None:
    from benchmarks.planted.drawn import frames

    world = frames(pool, 1, 40, 3, 1.0, False)
    assert world.null
    assert len(np.unique(world.groups)) == 40
    assert np.ptp(world.losses.reshape(40, 3), axis=1).max() == 0.0
    cosines = world.vectors @ world.vectors.T
    same = world.groups[:, None] == world.groups[None]
    assert np.median(cosines[same]) > 0.95 > np.median(cosines[~same])
    assert (world.units <= world.shown.sum(axis=1)).all()
    failing = frames(pool, 1, 40, 3, 1.0, True)
    np.testing.assert_array_equal(failing.vectors, world.vectors)
    assert failing.planted


def test_a_failure_beside_two_others_matters_one_and_a_half_times(pool: Any) -> None:
    from benchmarks.planted.drawn import BESIDE, beside

    world = beside(pool, 3, 300)
    own = [g for c, g in zip(world.concepts, world.gaps, strict=True) if c == world.planted[:1]]
    assert own[0] / world.min_effect == pytest.approx(BESIDE, rel=0.6)  # 300 portraits: chance brings others along


def test_what_is_hidden_fails_only_where_the_worst_failure_is_not(pool: Any) -> None:
    from benchmarks.planted.drawn import hidden

    world = hidden(pool, 2, True, 300)
    worst, other = (world.concepts.index((name,)) for name in world.planted)
    rest = world.without(worst)
    assert world.gaps[worst] >= world.min_effect
    assert world.gaps[other] < world.harmless
    assert rest.gaps[other] >= rest.min_effect
    assert rest.units[worst] == 0
    assert len(rest.losses) == len(rest.vectors) == rest.shown.shape[1] < len(world.losses)
    nothing = hidden(pool, 2, False, 300)
    assert nothing.without(nothing.concepts.index(nothing.planted[:1])).gaps.max() < 1e-9


def test_names_families_and_prefixes_choose_settings_and_others_are_refused() -> None:
    from benchmarks.planted.settings import SETTINGS, chosen

    assert chosen("frames-100x30") == [n for n in SETTINGS if n.startswith("frames-100x30-")]
    assert len(chosen("frames")) == 18
    assert chosen("null,absent,null") == ["null", "absent"]
    with pytest.raises(ValueError, match="no setting 'frame'"):
        chosen("frame")


def test_a_labelled_set_loses_whole_classes_and_fails_where_it_was_planted(tmp_path: Path) -> None:
    from benchmarks.planted.clip_sets import HIGH, LOW, REFERENCE, classes_fail

    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 20)
    images = np.eye(16)[labels] + rng.normal(0, 0.1, (200, 16))
    np.savez(tmp_path / "caltech_val.npz", images=images.astype(np.float16), labels=labels)
    texts = np.concatenate([np.eye(16)[:10], rng.normal(size=(len(REFERENCE), 16))])
    names = np.array([*(f"thing {i}" for i in range(10)), *REFERENCE])
    np.savez(tmp_path / "text_bank_vitb32.npz", texts=texts.astype(np.float16), names=names)
    phrases = [{"phrase": f"a thing {i}", "text_row": i, "positive_classes": [i]} for i in range(10)]
    described = {"caltech_val": {"classes": [str(i) for i in range(10)], "phrases": phrases}}
    (tmp_path / "labels_and_phrases.json").write_text(json.dumps(described))
    world = classes_fail(tmp_path, "clip-caltech", 4)
    assert (world.shown.sum(axis=1) == 0).sum() == 2
    assert len(world.losses) == 160
    for phrase, high in zip(world.planted, HIGH, strict=True):
        i = world.phrases.index(phrase)
        assert world.lifts[i] == pytest.approx(high - (5 * LOW + sum(HIGH)) / 8)
        assert world.gaps[i] > 0
    assert np.nanmin(world.aurocs()) > 0.99


def test_scenes_and_captions_follow_the_attributes() -> None:
    from benchmarks.scenes.concepts import CONCEPTS, UNKNOWN, caption, pairs, sample
    from benchmarks.scenes.draw import SIZE, draw_all

    scenes = sample(40, 3)
    pixels = draw_all(scenes)
    assert pixels.shape == (40, SIZE, SIZE, 3)
    np.testing.assert_array_equal(pixels, draw_all(sample(40, 3)))
    assert len(pairs()) == 40
    rng = np.random.default_rng(0)
    for scene in scenes:
        words = caption(scene, rng)
        true = [w for c in CONCEPTS if c.holds(scene) for w in c.wordings]
        assert any(w in words for w in true)
    known = {w for c in CONCEPTS for phrase in c.wordings for w in phrase.split()}
    assert all(set(phrase.split()) - known for phrase in UNKNOWN)
