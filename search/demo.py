"""The whole story in one call: render portraits, let the biased black box judge them, index, fit, rank, discover.

Nothing is prepared: the black box's losses are computed here and now, on portraits of a seed it was not trained on.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fsearch.data.portraits import Portrait, draw_many, named_in, sample
from fsearch.diagnoser.discovery.propose import Origin
from fsearch.diagnoser.fit_report import FitReport
from fsearch.diagnoser.verdict import Verdict
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.files import write_atomic
from fsearch.indexer.storage.layout import Layout
from fsearch.search.answer import Ranking
from fsearch.search.discovery.result import Concept, Discovery
from fsearch.search.gate.outcome import GateResult
from fsearch.search.options import Progress
from fsearch.search.workspace import Workspace

STARTER = Path(__file__).parents[1] / "data" / "hypotheses" / "portraits.csv"
COUNT = 3000
SEED = 20_261
MODEL = "smile-classifier"
_FOLDER = "portraits"
_RULES = f"""\
# fsearch gate: what a release must keep, see docs/ci.md
model: {MODEL}
rules:
  - by: skin_tone
    max_gap: 0.2
  - by: eyewear
    max_gap: 0.2
"""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What the demo did.

    Attributes
    ----------
    gate : what its rules came to: skin tones, and kinds of eyewear, must lose about the same.
    truths : by hypothesis, the true lift: what the portraits that were drawn to show it lose beyond the mean of all.
    seconds : wall time of each stage, in order.
    """

    accuracy: float
    mean_loss: float
    fit: FitReport
    ranking: Ranking
    discovery: Discovery
    gate: GateResult
    truths: dict[str, float]
    seconds: dict[str, float]

    @property
    def unlisted(self) -> Concept | None:
        """What fails most surely, by itself, and no line of the list names: in words, or else a region without."""
        listed = {_meaning(a.text) for a in self.ranking.answers}
        heads = [c for c in self.discovery.concepts if c.head.explained_by is None]
        fails = [c for c in heads if c.head.verdict == Verdict.FAILS]
        regions = [c for c in fails if c.head.origin == Origin.REGION]
        words = [c for c in fails if c not in regions]
        new = [c for c in words if not listed & {_meaning(w.text) for w in (c.head, *c.wordings)}]
        return min(new or regions, key=lambda c: c.head.q_value, default=None)


def run_demo(
    workspace: Workspace, folder: Path, progress: Progress | None = None, count: int = COUNT, seed: int = SEED
) -> DemoReport:
    """Run the demo with `count` portraits of `seed` in `folder`.

    Raises BadInputError where the workspace holds other images.
    """
    _refuse_foreign(workspace, folder)
    seconds: dict[str, float] = {}

    def timed(stage: str, work: Callable[[], _T]) -> _T:
        began = time.perf_counter()
        result = work()
        seconds[stage] = time.perf_counter() - began
        return result

    portraits = sample(count, seed)
    images = timed("render", lambda: _render(portraits, folder / _FOLDER, progress))
    accuracy, judged = timed("black box", lambda: _judge(portraits, images, folder / "losses.csv"))
    losses = folder / "losses.csv"
    timed(
        "index",
        lambda: workspace.index(folder / _FOLDER, losses, model=MODEL, split="held-out", progress=progress),
    )
    fit = timed("fit", lambda: workspace.fit(MODEL, progress=progress))
    discovery = timed("discover", lambda: workspace.discover(model=MODEL, progress=progress))
    ranking = timed("rank", lambda: workspace.rank(STARTER, model=MODEL, progress=progress))
    rules = folder / "gate.yaml"
    write_atomic(rules, _RULES.encode())
    gate = timed("gate", lambda: workspace.gate(rules))
    truths = true_lifts(portraits, judged, [a.text for a in ranking.answers])
    return DemoReport(accuracy, float(judged.mean()), fit, ranking, discovery, gate, truths, seconds)


def true_lifts(portraits: Sequence[Portrait], losses: NDArray[np.float64], texts: Sequence[str]) -> dict[str, float]:
    """Of each phrase in words of the renderer, how much the portraits that show it lose beyond the mean of all."""
    found = {}
    for text in texts:
        concepts = named_in(text)
        shows = np.array([all(c.holds(p) for c in concepts) for p in portraits])
        if concepts and shows.any():
            found[text] = float(losses[shows].mean() - losses.mean())
    return found


def _refuse_foreign(workspace: Workspace, folder: Path) -> None:
    if not Layout(workspace.root).catalog.exists():
        return
    sources = workspace.sql("SELECT DISTINCT source FROM images")["source"].to_pylist()
    if any(source != str((folder / _FOLDER).resolve()) for source in sources):
        raise BadInputError(
            f"the workspace {workspace.root} holds other images; give the demo its own with --workspace"
        )


def _meaning(text: str) -> frozenset[str]:
    """The attributes of portraits that a phrase names, in whatever words; itself, where it names none."""
    return frozenset(c.name for c in named_in(text)) or frozenset({text})


def _name(i: int) -> str:
    return f"portrait-{i:04d}.png"


def _render(portraits: list[Portrait], folder: Path, progress: Progress | None) -> list[Image.Image]:
    """Draw every portrait and save it, unless its file holds the same bytes already."""
    folder.mkdir(parents=True, exist_ok=True)
    images = []
    for i, pixels in enumerate(draw_many(portraits)):
        images.append(Image.fromarray(pixels))
        path, data = folder / _name(i), io.BytesIO()
        images[-1].save(data, format="PNG", compress_level=1)
        if not path.exists() or path.read_bytes() != data.getvalue():
            path.write_bytes(data.getvalue())
        if progress:
            progress("rendering", i + 1, len(portraits))
    return images


def _judge(portraits: list[Portrait], images: list[Image.Image], losses: Path) -> tuple[float, NDArray[np.float64]]:
    """Let the black box judge every portrait and write its losses, with the true attributes as further columns."""
    from fsearch.data.blackbox.model import judge, load

    smiling = np.array([p.expression == "smiling" for p in portraits])
    judged = judge(load(), images, smiling)
    says = judged.smiling > 0.5
    words = np.array(["not smiling", "smiling"])
    rows = [
        {
            "image": _name(i),
            "loss": f"{judged.losses[i]:.6f}",
            "label": words[int(smiling[i])],
            "prediction": words[int(says[i])],
            **portrait.as_row(),
        }
        for i, portrait in enumerate(portraits)
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(losses, text.getvalue().encode())
    return float((says == smiling).mean()), np.asarray(judged.losses, np.float64)
