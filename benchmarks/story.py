"""Whether the demo tells the same story on portraits of fresh seeds.

    python -m benchmarks.story [SEEDS]      SEEDS seeds (10), none of them the demo's own

The story: the planted failures come out, which are dark skin and, hidden by it, dim light and hats, as far as the black
box truly loses more there; light skin does not; and nothing is said to fail that truly does not, as the renderer knows.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import fsearch
from fsearch.data.portraits import sample
from fsearch.search.answer import Answer
from fsearch.search.demo import COUNT, run_demo, true_lifts

FIRST = 31_001
HIDDEN = ("in dim light", "a hat")
TRULY = 0.02  # a true lift that a story must tell; one of less may be told or not
SAID = ("fails", "suspect")


@dataclass(frozen=True, slots=True)
class Told:
    """What the demo said of one seed: lines to print, and what is missing from the story or wrong in it."""

    lines: list[str]
    wrong: list[str]


def main() -> None:
    count = int(sys.argv[1]) if sys.argv[1:] else 10
    same = 0
    for seed in range(FIRST, FIRST + count):
        told = tell(seed)
        same += not told.wrong
        print(f"seed {seed}: {'the story' if not told.wrong else '; '.join(told.wrong)}")
        for line in told.lines:
            print(f"  {line}", flush=True)
    print(f"same story on {same} of {count} seeds, {COUNT:,} portraits each")


def tell(seed: int) -> Told:
    """Run the demo on portraits of `seed` and compare what it says with what is true."""
    with tempfile.TemporaryDirectory() as name:
        workspace = fsearch.open(f"{name}/demo.fsearch")
        ranking = (report := run_demo(workspace, Path(name) / "demo", seed=seed)).ranking
        losses = workspace.sql("SELECT loss FROM examples ORDER BY key")["loss"].to_numpy()
    portraits = sample(COUNT, seed)
    light = np.array([p.skin_tone < 7 for p in portraits])
    apart = true_lifts([p for p in portraits if p.skin_tone < 7], losses[light], [a.text for a in ranking])
    listed, hidden = {a.text: a for a in ranking}, {a.text: a for a in ranking.hidden}
    lines = [_line(listed[t], report.truths[t]) for t in ("dark skin tone", "light skin tone", "a moustache")]
    wrong = [] if listed["dark skin tone"].verdict == "fails" else ["dark skin tone does not fail"]
    wrong += [f"light skin tone {word}"] if (word := listed["light skin tone"].verdict) in SAID else []
    for text in HIDDEN:
        lines.append(_line(listed[text], report.truths[text]))
        said = [a for a in (listed[text], hidden.get(text)) if a and a.verdict in SAID]
        lines.append(
            f"{text}, apart from dark skin: {hidden[text].verdict if text in hidden else '-'}, true {apart[text]:+.3f}"
        )
        if apart[text] >= TRULY and not said:
            wrong.append(f"{text} is not told")
    wrong += [f"{a.text} fails, and truly not" for a in listed.values() if _false(a, report.truths)]
    wrong += [f"{a.title} fails, and truly not" for a in hidden.values() if _false(a, apart)]
    return Told(lines, wrong)


def _false(answer: Answer, truths: dict[str, float]) -> bool:
    """Whether it is called failing though what shows it truly loses no more than all."""
    return answer.verdict == "fails" and truths.get(answer.text, np.inf) <= 0


def _line(answer: Answer, truth: float) -> str:
    return f"{answer.text}: {answer.verdict}, lift {answer.lift:+.3f}, true {truth:+.3f}"


if __name__ == "__main__":
    main()
