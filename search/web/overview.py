"""What stands above a ranking: the model, the data, the fit in a sentence, what fails in a few, and how it was made."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fsearch.diagnoser.choices import Correction
from fsearch.diagnoser.verdict import Q_LEVEL, Verdict
from fsearch.indexer.storage.schema import columns_of
from fsearch.indexer.storage.sql import quoted
from fsearch.indexer.workspace.store import Store
from fsearch.search.answer import Answer, Ranking

CORRECTIONS: dict[Correction, str] = {"bh": "Benjamini-Hochberg", "by": "Benjamini-Yekutieli"}
_STRONG, _FAIR = 0.5, 0.2  # rank correlations

_MODEL, _RUN = (", ".join(map(quoted, columns_of(table))) for table in ("models", "runs"))
_FACTS = (
    "SELECT count(*) AS images, avg(loss) AS mean_loss, list_sort(list(DISTINCT source)) AS sources, "
    "list_sort(list(DISTINCT loss_split) FILTER (loss_split IS NOT NULL)) AS splits FROM examples WHERE model = ?"
)
_ABSENT = (
    "SELECT count(*) FILTER (status <> 'present') AS absent, (SELECT count(*) FROM rejected) AS rejected FROM images"
)


@dataclass(frozen=True, slots=True)
class Overview:
    """The facts above a ranking.

    Attributes
    ----------
    images, mean_loss : of the model's losses as they are now; `splits` : what was said of them.
    absent, rejected : images that are missing or damaged, and files that could not be read: nothing is known of them.
    fit : the row of the table `models`; empty before a fit.
    """

    model: str
    encoder: str
    images: int
    mean_loss: float
    sources: tuple[str, ...]
    splits: tuple[str, ...]
    absent: int
    rejected: int
    fit: dict[str, Any]

    @classmethod
    def of(cls, store: Store, model: str) -> Overview:
        """The facts of one black box."""

        def one(query: str, *values: object) -> dict[str, Any]:
            rows: list[dict[str, Any]] = store.catalog.sql(query, values).to_pylist()
            return rows[0] if rows else {}

        facts, counts = one(_FACTS, model), one(_ABSENT)
        return cls(
            model,
            str(store.encoder),
            facts["images"],
            facts["mean_loss"] or 0.0,
            tuple(facts["sources"] or ()),
            tuple(facts["splits"] or ()),
            counts["absent"] or 0,
            counts["rejected"] or 0,
            one(f"SELECT {_MODEL} FROM models WHERE model = ?", model),
        )

    @property
    def fit_sentence(self) -> str:
        """How far the losses can be predicted from the images, in words."""
        if not self.fit:
            return "Not fitted yet: run fsearch fit."
        found, chance = self.fit["spearman"], self.fit["spearman_permuted"]
        if not self.fit["signal"]:
            return f"The fit is no better than chance (rank correlation {found:.2f}): no phrase can be judged by it."
        how = "well" if found >= _STRONG else "fairly" if found >= _FAIR else "weakly"
        shuffled = f"{chance:.2f}".replace("-", "\u2212")
        return (
            f"Losses are predicted {how} from what images show: rank correlation {found:.2f} on images that were not "
            f"trained on, {shuffled} with shuffled losses."
        )

    @property
    def split_sentence(self) -> str:
        """What was said of the images' part in training."""
        if self.fit.get("training_share"):
            return f"{self.fit['training_share']:.0%} of the losses are of the model's own training images."
        return (
            "Images the model did not train on."
            if self.splits == ("held-out",)
            else "Whether they were trained on was not said."
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """A ranking in a few sentences.

    Attributes
    ----------
    causes : failing phrases that no other explains; `explained` : failing ones with the phrase that mostly does.
    counts : how many phrases have each verdict.
    """

    causes: tuple[Answer, ...]
    explained: tuple[tuple[Answer, str], ...]
    counts: Counter[Verdict]
    total: int
    correction: Correction

    @classmethod
    def of(cls, answers: Sequence[Answer], correction: Correction = "bh") -> Summary:
        """The summary of answers in order of rank."""
        failing = [a for a in answers if a.verdict == Verdict.FAILS]
        explained = [(a, by) for a in failing if (by := a.explained_by) is not None]
        others = {id(a) for a, _ in explained}
        causes = tuple(a for a in failing if id(a) not in others)
        return cls(causes, tuple(explained), Counter(a.verdict for a in answers), len(answers), correction)

    @property
    def fails(self) -> int:
        """How many phrases fail."""
        return self.counts[Verdict.FAILS]

    @property
    def certainty(self) -> str:
        """What the false discovery rate promises."""
        share = round(1 / Q_LEVEL)
        return (
            f"Of the phrases called \u201cfails\u201d, at most one in {share} is expected to be a false alarm "
            f"({CORRECTIONS[self.correction]} at {Q_LEVEL:.0%}); each also has a 90% interval above zero."
        )


@dataclass(frozen=True, slots=True)
class Making:
    """How a stored run was made: (name, value) in words, and the command that makes it again.

    It is None where the phrases were typed into a page, or are of a program.
    """

    created_at: datetime
    rows: tuple[tuple[str, str], ...]
    command: str | None

    @classmethod
    def of(cls, store: Store, ranking: Ranking) -> Making:
        """From the run's row of the table `runs`."""
        (run,) = store.catalog.sql(f"SELECT {_RUN} FROM runs WHERE run_id = ?", [ranking.run_id]).to_pylist()
        versions = json.loads(run.pop("versions") or "{}")
        templates = json.loads(run.pop("templates") or "[]")
        skipped = ("run_id", "created_at", "options", "model")
        rows = [
            (name.replace("_", " "), str(value))
            for name, value in run.items()
            if value is not None and name not in skipped
        ]
        rows += [("templates", ", ".join(templates))] if templates else []
        rows.append(("versions", ", ".join(f"{name} {version}" for name, version in versions.items())))
        return cls(ranking.created_at, tuple(rows), _command(run))


DISCOVER = "discover"  # the source of a run that nobody listed the hypotheses of


def _command(run: dict[str, Any]) -> str | None:
    import shlex

    if run["source"] == "api":
        return None
    words = ["fsearch", "discover"] if run["source"] == DISCOVER else ["fsearch", "rank", run["source"]]
    for name, option in (("condition", "--where"), ("by", "--by")):
        if run[name]:
            words += [option, run[name]]
    if run["seed"]:
        words += ["--seed", str(run["seed"])]
    return shlex.join(words)
