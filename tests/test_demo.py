"""The demo's promises: a really biased model fails where it was biased, and the encoder knows its words."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import fsearch
from fsearch.cli import app
from fsearch.data.blackbox import model as blackbox
from fsearch.data.portraits import draw, named_in, phrases, sample
from fsearch.data.training.measure import auroc
from fsearch.indexer.embedding.encoder import Encoder
from fsearch.indexer.embedding.open_clip_encoder import DEMO_FOLDER
from fsearch.search.demo import STARTER, run_demo


@pytest.fixture(scope="module")
def portraits() -> list[object]:
    return sample(1500, 90_210)  # a seed of the tests' own


@pytest.mark.slow
def test_the_encoder_knows_its_own_phrases_on_unseen_portraits(encoder: Encoder, portraits: list) -> None:
    prepared = [encoder.prepare(draw(p)) for p in portraits]
    images = np.concatenate([encoder.embed_images(prepared[i : i + 250]) for i in range(0, len(prepared), 250)])
    words = list(phrases())
    texts = encoder.embed_texts([w for w, _ in words])
    found = {}
    for (word, concept), text in zip(words, texts, strict=True):
        found[word] = auroc(images @ text, np.array([concept.holds(p) for p in portraits]))
    assert np.mean(list(found.values())) >= 0.95
    low = min(found, key=found.__getitem__)
    assert found[low] >= 0.80, low


def test_the_model_card_states_what_was_measured() -> None:
    card = (DEMO_FOLDER / "MODEL_CARD.md").read_text()
    table = dict(re.findall(r"^\| [^|]+ \| ([^|]+) \| [\d.]+ \| ([\d.]+) \|$", card, re.M))
    assert set(table) == {w for w, _ in phrases()}
    stated = float(re.search(r"phrases: \*\*([\d.]+)\*\*", card).group(1))  # type: ignore[union-attr]
    assert stated == pytest.approx(np.mean([float(v) for v in table.values()]), abs=0.001)


@pytest.mark.slow
def test_the_black_box_fails_on_dark_skin(portraits: list) -> None:
    smiling = np.array([p.expression == "smiling" for p in portraits])
    judged = blackbox.judge(blackbox.load(), [draw(p) for p in portraits], smiling)
    dark = np.array([p.skin_tone >= 7 for p in portraits])
    right = (judged.smiling > 0.5) == smiling
    assert right[~dark].mean() > 0.95
    assert right[dark].mean() < right[~dark].mean() - 0.08
    assert judged.losses[dark].mean() > 3 * judged.losses[~dark].mean()


@pytest.mark.parametrize(
    ("phrase", "names"),
    [
        ("Dark skin tone", ["dark skin"]),
        ("very dark skin", ["very dark skin"]),
        ("sunglasses at night", ["sunglasses", "city at night"]),
        ("a bald person with a beard", ["a beard", "bald"]),
        ("no hat", ["no hat"]),
        ("a wheelchair", []),
    ],
)
def test_a_phrase_names_its_concepts(phrase: str, names: list[str]) -> None:
    assert sorted(c.name for c in named_in(phrase)) == sorted(names)


def test_each_wording_names_its_own_concept() -> None:
    for wording, concept in phrases():
        assert [c.holds for c in named_in(wording)] == [concept.holds], wording


@pytest.mark.slow
def test_the_demo_finds_dark_skin_and_can_be_run_again() -> None:
    ws = fsearch.open("w")
    report = run_demo(ws, Path("demo"), count=1200)
    top = [a.text for a in report.ranking.answers[:3]]
    assert any("dark skin" in t for t in top)
    answers = {a.text: a for a in report.ranking.answers}
    assert answers["dark skin tone"].verdict == "fails"
    assert answers["light skin tone"].verdict in ("fine", "unclear")
    assert answers["dark skin tone"].lift > answers["light skin tone"].lift + 0.1
    assert report.fit.signal
    losses = ws.sql(
        "SELECT avg(loss) FILTER (skin_tone >= 7) AS dark, avg(loss) AS all_ FROM worst_images"
    ).to_pylist()[0]
    assert losses["dark"] > losses["all_"]
    assert list(report.truths) == [a.text for a in report.ranking.answers]
    assert report.truths["dark skin tone"] > 0.15 > 0 > report.truths["light skin tone"]
    assert np.mean([a.lo <= report.truths[a.text] <= a.hi for a in report.ranking.answers]) >= 0.8
    again = run_demo(ws, Path("demo"), count=1200)
    assert [a.text for a in again.ranking.answers] == [a.text for a in report.ranking.answers]
    assert again.ranking.run_id == report.ranking.run_id + 2  # the discovery is a run, too
    stopped = {check.subject: check for check in report.gate.checks}
    assert report.gate.outcome == "fails"
    assert {name: str(check.outcome) for name, check in stopped.items()} == {"skin_tone": "fails", "eyewear": "passes"}
    worse, better = re.findall(r"(\d+) loses .* more than (\d+)$", stopped["skin_tone"].reason)[0]
    assert int(worse) >= 7 > int(better)  # as the black box was trained to
    assert ws.gate("demo/gate.yaml").checks == report.gate.checks
    assert report.discovery.concepts[0].head.verdict == "fails"
    assert any("dark" in c.head.text or "skin_tone" in c.head.text for c in report.discovery.concepts[:3])


GOLDEN_HEAD = "rank hypothesis verdict lift 90% interval observed adjusted vs group n eff q true lift"
GOLDEN_TAIL = """\
 weights: trees # (# a member), linear #
 out of bag: Spearman #, R# # (Spearman with permuted losses: #)
 repeats: #,# images in #,# groups of near-duplicates, the largest of #
 render # s, black box # s, index # s, fit # s, discover # s, rank # s, gate # s

Nobody listed this, and it fails (fsearch discover: lift #, q #):
 NAME

Would it be released? The gate fails (fsearch gate fsearch-demo/gate.yaml):
 fails skin_tone: # loses # [#, #] more than #
 passes eyewear: none loses # [#, #] more than sunglasses

Try next:
 fsearch query "dark skin tone"
 fsearch query "dark skin in dim light" vs "light skin in dim light"
 fsearch sql "SELECT skin_tone, avg(loss) AS mean_loss FROM worst_images GROUP BY # ORDER BY #"
 fsearch serve"""


@pytest.mark.slow
def test_the_demo_prints_its_story(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["fsearch"])
    result = CliRunner().invoke(app, ["demo", "--truth"])
    assert result.exit_code == 0, result.output[-500:]
    lines = result.stdout.splitlines()
    assert " ".join(lines[0].split()) == GOLDEN_HEAD
    assert "dark skin" in lines[1]
    assert " fails " in lines[1]
    assert len(lines[1:51]) == 50
    assert all(line.split()[0] == str(i) for i, line in enumerate(lines[1:51], start=1))
    assert all(len(line) <= 80 for line in lines[-13:-5]), lines[-13:-5]
    listed = [row["text"] for row in csv.DictReader(STARTER.read_text().splitlines())]
    found = {c.name for c in named_in(lines[-11])}
    assert "unnamed: these " in lines[-11] or all(found != {c.name for c in named_in(text)} for text in listed)
    lines[-11] = "  NAME"
    tail = [line.replace("q < ", "q ") for line in lines[-17:]]
    assert [" ".join(re.sub(r"[+-]?\d+(\.\d+)?", "#", line).split()) for line in tail] == [
        " ".join(line.split()) for line in GOLDEN_TAIL.splitlines()
    ]


def test_the_demo_does_not_mix_with_a_users_workspace(fitted: Path) -> None:
    with pytest.raises(fsearch.BadInputError, match="holds other images; give the demo its own with --workspace"):
        run_demo(fsearch.open(fitted), Path("demo"))
    assert not Path("demo").exists()
