"""Conditions, contrasts, confounding and stored runs, on portraits whose losses were planted on dark skin."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_sources import portraits
from retrievals import shown

import fsearch
from fsearch.diagnoser.confounding import confounding
from fsearch.diagnoser.contrast import contrasts
from fsearch.indexer.errors import BadInputError, NotReadyError
from fsearch.indexer.vector_index.exact_search import ExactSearch
from fsearch.search.hypotheses import Hypothesis
from fsearch.search.workspace import Workspace


@pytest.fixture
def mine(fitted: Path, tmp_path: Path) -> Workspace:
    """A copy of the fitted workspace that a test may write to."""
    shutil.copytree(fitted, tmp_path / "mine.fsearch")
    return fsearch.open(tmp_path / "mine.fsearch")


def test_where_conditions_baseline_images_and_evidence(ws: Workspace) -> None:
    dark = ws.query("a hat", where="skin_tone >= 7", top=20)[0]
    mean = ws.sql("SELECT avg(loss) AS mean FROM examples WHERE skin_tone >= 7")["mean"][0].as_py()
    assert dark.baseline == pytest.approx(mean)
    tones = ws.sql("SELECT key, skin_tone FROM examples").to_pylist()
    tone = {row["key"]: row["skin_tone"] for row in tones}
    assert all(tone[n.key] >= 7 for n in dark.nearest)
    assert dark.baseline > ws.query("a hat")[0].baseline


def test_where_speaks_of_losses_metadata_and_images(ws: Workspace) -> None:
    everything = ws.query("a hat")[0]
    assert ws.query("a hat", where="width = 96 AND key LIKE '%.png' AND coalesce(predicted_loss, 0) > -9")[
        0
    ].lift == pytest.approx(everything.lift, abs=1e-6)
    assert ws.query("a hat", where="loss > 0.1 OR label = 'smiling'")[0].baseline > everything.baseline


def test_a_concept_that_a_condition_rules_out_is_unseen(ws: Workspace) -> None:
    answer = ws.query("dark skin tone", where="skin_tone <= 4")[0]
    assert answer.verdict == "unseen"
    assert answer.share < 0.02


def test_by_asks_within_every_value_and_adjusts_q_over_all(ws: Workspace) -> None:
    answers = ws.query("dark skin tone", "a moustache", by="eyewear")
    values = {a.within for a in answers.answers}
    assert values == {"eyewear = glasses", "eyewear = none", "eyewear = sunglasses"}
    assert len(answers) == 2 * len(values)
    for a in answers.answers:
        inside = ws.sql(f"SELECT avg(loss) AS m FROM examples WHERE eyewear = '{a.within.split(' = ')[1]}'")  # type: ignore[union-attr]
        assert a.baseline == pytest.approx(inside["m"][0].as_py())
    assert all(a.q_value >= a.p_value for a in answers.answers)


def test_by_leaves_small_slices_out_and_says_so(ws: Workspace) -> None:
    answers = ws.query("dark skin tone", by="label", where="eyewear = 'none'")
    assert any("left out, with fewer than 50 images" in note for note in answers.notes)


@pytest.mark.parametrize(
    ("where", "by", "message"),
    [
        ("colour = 'red'", None, "--where: .*colour"),
        ("skin_tone > 3; DROP TABLE runs", None, "--where: "),
        ("(SELECT 1", None, "--where: "),
        (None, "colour", "--by colour: .*colour"),
        (None, "key", "--by key: no value has 50 images"),
    ],
)
def test_a_wrong_condition_is_named(ws: Workspace, where: str | None, by: str | None, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        ws.query("a hat", where=where, by=by)


def test_a_column_of_another_model_has_no_values(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, image in enumerate(portraits()[:2]):
        image.save(folder / f"{i}.png")
    (tmp_path / "a.csv").write_text("image,loss,hat\n0.png,1,cap\n1.png,2,none\n")
    (tmp_path / "b.csv").write_text("image,loss\n0.png,1\n1.png,2\n")
    own = fsearch.open(tmp_path / "w")
    own.index(folder)
    for model in ("a", "b"):
        own.losses.add(model, losses=tmp_path / f"{model}.csv")
    with pytest.raises(BadInputError, match="--by hat: no image of model 'b' has a value there"):
        own.query("a hat", by="hat", model="b")


def test_a_condition_of_few_images_is_refused(ws: Workspace) -> None:
    with pytest.raises(NotReadyError, match="only 0 of the images here now fulfil the condition"):
        ws.query("a hat", where="skin_tone > 100")


def test_a_condition_reads_no_file(ws: Workspace, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a\n1\n")
    with pytest.raises(BadInputError, match="--where"):
        ws.query("a hat", where=f"skin_tone IN (SELECT a FROM read_csv('{tmp_path / 'x.csv'}'))")


def test_siblings_are_contrasted_and_two_sides_are_opposite(ws: Workspace) -> None:
    dark, light, alone = ws.query(Hypothesis("dark skin", "skin"), Hypothesis("light skin", "skin"), "a hat").answers
    assert dark.contrast is not None
    assert light.contrast is not None
    assert dark.contrast == pytest.approx(-light.contrast)
    assert dark.contrast > 0.5
    assert dark.contrast_q is not None
    assert dark.contrast_q < 0.01 < 0.9 < (light.contrast_q or 0)
    assert alone.contrast is None
    assert "against the rest of 'skin'" in str(dark)


def test_contrast_p_is_uniform_without_an_effect() -> None:
    import scipy.stats

    rng = np.random.default_rng(0)
    losses, groups = rng.gamma(1.0, 1.0, 300), np.arange(300)
    p = []
    for i in range(200):
        pair = rng.random((2, 300)) < 0.15
        p.append(contrasts(shown(pair), losses, groups, 200, i).p_value[0])
    assert scipy.stats.kstest(p, "uniform").pvalue > 0.01


def test_a_contrast_is_a_difference_of_means_and_shared_images_cancel() -> None:
    losses, groups = np.arange(10.0), np.arange(10)
    truth = np.zeros((2, 10), bool)
    truth[0, [0, 1, 2, 9]] = truth[1, [3, 4, 5, 9]] = True
    found = contrasts(shown(truth), losses, groups, 100, 0)
    np.testing.assert_allclose(found.difference, [(0 + 1 + 2 - 3 - 4 - 5) / 4, (3 + 4 + 5 - 0 - 1 - 2) / 4], atol=1e-6)
    truth = np.zeros((3, 10), bool)
    truth[0, [0, 1]] = truth[1, [2, 3]] = truth[2, [4, 5]] = True
    three = contrasts(shown(truth), losses, groups, 100, 0)
    np.testing.assert_allclose(three.difference, [0.5 - 3.5, 2.5 - 2.5, 4.5 - 1.5], atol=1e-6)
    assert (three.error > 0).all()


def test_adjusting_takes_the_blame_from_a_hat_worn_in_the_dark() -> None:
    rng = np.random.default_rng(1)
    n = 4000
    dim = rng.random(n) < 0.3
    hat = rng.random(n) < np.where(dim, 0.6, 0.1)
    losses = rng.gamma(1.0, np.where(dim, 1.0, 0.2))
    found = confounding(shown(np.stack([hat, dim])), losses, np.arange(n))
    raw = losses[hat].mean() - losses[~hat].mean()
    assert raw > 0.3
    assert abs(found.adjusted[0]) < 3 * found.error[0] < 0.2
    assert found.adjusted[1] == pytest.approx(0.8, abs=0.1)
    both = (hat & dim).sum() / (hat | dim).sum()
    assert found.overlap[0, 1] == pytest.approx(both, abs=0.01)
    np.testing.assert_allclose(found.overlap, found.overlap.T)


def test_a_phrase_that_the_others_determine_is_not_adjusted() -> None:
    rng = np.random.default_rng(2)
    a = rng.random(2000) < 0.3
    truth = np.stack([a, ~a, rng.random(2000) < 0.2])
    found = confounding(shown(truth), rng.gamma(1.0, np.where(a, 1.0, 0.2)), np.arange(2000))
    assert np.isnan(found.adjusted[:2]).all()
    assert np.isfinite(found.adjusted[2])


def test_wordings_of_one_thing_do_not_explain_each_other_away(ws: Workspace) -> None:
    answers = ws.query("dark skin", "dark skin tone", "a dark complexion").answers
    for a in answers:
        assert a.verdict == "fails"
        assert a.adjusted_lift == pytest.approx(a.observed_lift, rel=0.3)
        assert all(overlap > 0.5 for _, overlap in a.shares_with)
        assert "explained" not in a.reason


def test_the_index_is_asked_once_for_the_phrases_of_a_query(mine: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups, failing phrases and the reference bank ask no more: all of it follows from what was retrieved."""
    asked: list[int] = []
    real = ExactSearch.search

    def search(self: ExactSearch, queries: np.ndarray, *args: object, **options: object) -> object:
        asked.append(len(queries))
        return real(self, queries, *args, **options)  # type: ignore[arg-type]

    mine.query("bald")
    monkeypatch.setattr(ExactSearch, "search", search)
    mine.query("bald")
    assert asked == [1]
    asked.clear()
    answers = mine.query(Hypothesis("dark skin", "tone"), Hypothesis("light skin", "tone"), "very dark skin", "a hat")
    assert sum(a.verdict == "fails" for a in answers.answers) >= 2
    assert answers[0].contrast is not None
    assert answers[0].adjusted_lift is not None
    assert asked == [4]


def test_words_of_version_0_1_still_work_with_a_warning(mine: Workspace) -> None:
    run = mine.rank(["dark skin", "a hat"])
    for former, now in (
        (lambda: mine.runs(), mine.runs.list()),
        (lambda: mine.run(run.run_id).rows, mine.runs.show(run.run_id).rows),
        (lambda: mine.diff(run.run_id, run.run_id).rows, mine.runs.diff(run.run_id, run.run_id).rows),
    ):
        with pytest.warns(DeprecationWarning, match="is now"):
            assert former().equals(now)
    with pytest.warns(DeprecationWarning, match="fsearch.BadInput is now fsearch.BadInputError"):
        assert fsearch.BadInput is BadInputError


def test_a_run_is_shown_again_and_two_are_compared(mine: Workspace) -> None:
    first = mine.rank(["dark skin tone", "a hat", "a moustache"], seed=1)
    second = mine.rank(["dark skin tone", "a hat", "bald"], seed=2, where="eyewear = 'none'")
    shown = mine.runs.show(first.run_id)
    assert shown.rows["hypothesis"].to_pylist() == [a.text for a in first.answers]
    assert shown.settings["bridge"] == "membership"
    versions = json.loads(shown.settings["versions"])
    assert versions["fsearch"] == fsearch.__version__
    assert versions["xgboost"]
    changed = mine.runs.diff(first.run_id, second.run_id)
    assert {name for name, *_ in changed.settings} >= {"seed", "condition", "images"}
    rows = {r["hypothesis"]: r for r in changed.rows.to_pylist()}
    assert rows["bald"]["rank_before"] is None
    assert rows["a moustache"]["rank_after"] is None
    assert rows["dark skin tone"]["rank_before"] == 1
    assert [r["run_id"] for r in mine.runs.list().to_pylist()][:2] == [second.run_id, first.run_id]
    with pytest.raises(BadInputError, match="no run 99; list them with: fsearch runs"):
        mine.runs.show(99)


def test_the_same_run_twice_differs_in_nothing(mine: Workspace) -> None:
    one, two = (mine.rank(["dark skin tone", "a hat"], seed=4) for _ in range(2))
    changed = mine.runs.diff(one.run_id, two.run_id)
    assert changed.settings == ()
    assert all(r["lift_before"] == r["lift_after"] for r in changed.rows.to_pylist())


def test_shared_images_and_adjusted_lifts_are_stored(mine: Workspace) -> None:
    mine.rank(["dark skin", "dark skin tone", "a hat"])
    pairs = mine.sql("SELECT hypothesis, other, overlap FROM shared_images").to_pylist()
    assert {(p["hypothesis"], p["other"]) for p in pairs} == {
        ("dark skin", "dark skin tone"),
        ("dark skin tone", "dark skin"),
    }
    stored = mine.sql("SELECT hypothesis, adjusted_lift FROM latest_ranking ORDER BY hypothesis").to_pylist()
    assert stored[0] == {"hypothesis": "a hat", "adjusted_lift": None}
    assert stored[1]["adjusted_lift"] > 0


def test_one_text_in_two_templates_is_stored(mine: Workspace) -> None:
    twice = [Hypothesis("dark skin", None, t) for t in ("a photo of {}", "a person with {}")]
    ranking = mine.rank([*twice, "dark skin tone"])
    assert [a.verdict for a in ranking.answers] == ["fails"] * 3
    assert mine.sql("SELECT count(*) AS n FROM latest_ranking")["n"].to_pylist() == [3]


def test_copies_of_an_image_in_two_slices_are_stored(mine: Workspace, planted: object, tmp_path: Path) -> None:
    """Identical bytes share an embedding; with another label each copy stands in a slice of its own."""
    folder = tmp_path / "copies"
    shutil.copytree(planted.folder, folder)  # type: ignore[attr-defined]
    values = np.random.default_rng(0).gamma(1.0, 1.0, 320)
    lines = ["image,loss,half"]
    for i in range(320):
        shutil.copy(folder / f"{i:03d}.png", folder / f"copy-{i:03d}.png")
        lines += [f"{i:03d}.png,{values[i]},a", f"copy-{i:03d}.png,{values[i]},b"]
    (tmp_path / "l.csv").write_text("\n".join(lines))
    ws = fsearch.open(tmp_path / "copies.fsearch")
    ws.index(folder, tmp_path / "l.csv")
    ws.fit()
    ranking = ws.rank(["dark skin"], by="half")
    assert {a.within for a in ranking.answers} == {"half = a", "half = b"}
    assert sorted(ws.sql("SELECT DISTINCT within FROM evidence")["within"].to_pylist()) == ["half = a", "half = b"]


def test_benjamini_yekutieli_is_stricter(ws: Workspace) -> None:
    phrases = ["dark skin", "a hat", "bald", "a moustache"]
    plain, strict = ws.rank(phrases), ws.rank(phrases, fdr="by")
    assert all(strict[text].q_value >= plain[text].q_value for text in phrases)
    assert strict["dark skin"].q_value > plain["dark skin"].q_value
    assert strict.correction == "by"


def test_a_lift_has_a_percentile_among_reference_phrases(ws: Workspace) -> None:
    dark, light = ws.query("dark skin tone", "light skin tone").answers
    assert dark.percentile > 90
    assert light.percentile < 30


def with_losses(planted: object, path: Path, order: np.ndarray | None = None) -> Path:
    """The planted losses, in another order if given."""
    head, *body = csv.reader(planted.losses.read_text().splitlines())  # type: ignore[attr-defined]
    values = [r[1] for r in body]
    for i, r in enumerate(body):
        r[1] = values[order[i]] if order is not None else values[i]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *body])
    return path


def test_losses_of_the_wrong_images_are_found_out(mine: Workspace, planted: object, tmp_path: Path) -> None:
    """If losses slipped to other images, nothing may be said to fail; this breaks where rows are matched wrongly."""
    order = np.random.default_rng(0).permutation(320)
    wrong = with_losses(planted, tmp_path / "wrong.csv", order)
    mine.index(planted.folder, wrong, model="slipped")  # type: ignore[attr-defined]
    report = mine.fit("slipped")
    assert not report.signal
    assert mine.query("dark skin tone", model="slipped")[0].verdict == "unclear"
    assert mine.query("dark skin tone", model="planted")[0].verdict == "fails"


def test_the_split_is_kept_and_training_losses_are_warned_of(mine: Workspace, planted: object, tmp_path: Path) -> None:
    mine.index(planted.folder, with_losses(planted, tmp_path / "l.csv"), model="planted", split="train")  # type: ignore[attr-defined]
    assert set(mine.sql("SELECT DISTINCT split FROM losses")["split"].to_pylist()) == {"train"}
    report = mine.fit("planted")
    assert report.training_share == 1.0
    assert "come from images the model was trained on" in str(report)
    assert any("trained on" in note for note in mine.query("bald").notes)
    assert "TRAINING LOSSES" in str(mine.info())


def test_a_split_column_says_it_too(mine: Workspace, planted: object, tmp_path: Path) -> None:
    path = with_losses(planted, tmp_path / "l.csv")
    lines = path.read_text().splitlines()
    marked = [lines[0] + ",split"] + [f"{line},{'Train' if i < 80 else 'val'}" for i, line in enumerate(lines[1:])]
    path.write_text("\n".join(marked) + "\n")
    mine.index(planted.folder, path, model="planted")  # type: ignore[attr-defined]
    assert mine.fit("planted").training_share == pytest.approx(0.25)


def test_templates_are_averaged_stored_and_part_of_a_run(mine: Workspace, planted: object) -> None:
    bare = mine.query("dark skin")[0]
    mine.index(planted.folder, templates=["a photo of a person with {}", "{}"])  # type: ignore[attr-defined]
    assert mine.info().templates == ("a photo of a person with {}", "{}")
    worded = mine.query("dark skin")[0]
    assert worded.nearest[0].similarity != bare.nearest[0].similarity
    assert worded.verdict == "fails"
    run = mine.runs.show(mine.rank(["dark skin"]).run_id)
    assert json.loads(run.settings["templates"]) == ["a photo of a person with {}", "{}"]
    with pytest.raises(BadInputError, match="--template: the template 'a photo' must hold"):
        mine.index(planted.folder, templates=["a photo"])  # type: ignore[attr-defined]
