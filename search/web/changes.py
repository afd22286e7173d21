"""A stored comparison of two models, as pages and reports show it: changes with their numbers, and how it was made."""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from fsearch.diagnoser.change_verdict import ChangeVerdict
from fsearch.diagnoser.changes import Change
from fsearch.diagnoser.discovery.propose import Origin
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.schema import TABLES, columns_of
from fsearch.indexer.storage.sql import quoted
from fsearch.indexer.workspace.store import Store
from fsearch.search.compare.question import DISCOVER
from fsearch.search.compare.result import COLUMNS
from fsearch.search.hypotheses import Hypothesis
from fsearch.search.options import CompareOptions
from fsearch.search.web.plots import Axis

_HEAD = f"SELECT {', '.join(map(quoted, columns_of('comparisons')))} FROM comparisons WHERE comparison_id = ?"
_ROWS = (
    f'SELECT r.rank, r.origin, r.concept, h."group", h.template, {", ".join(f"r.{quoted(name)}" for name in COLUMNS)} '
    "FROM changes r LEFT JOIN hypotheses h USING (hypothesis_id) WHERE r.comparison_id = ? ORDER BY r.rank"
)
_MEANINGS = {name: about for table in TABLES if table.name == "changes" for name, _, about in table.columns}
_IN_WORDS = {"hypothesis", "group", "template", "rank", "verdict", "reason", "simpson", "origin", "concept"}
_IN_WORDS |= {"wording_of", "wordings"}
_HALVES = "what nobody listed was proposed by one half of the images and judged by the other"
_IMAGES = "SELECT image_id, membership FROM changed_images WHERE comparison_id = ? AND rank = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredChange(Change):
    """A row of the table `changes`, with the phrase's group and template; rank 0 is all images.

    Attributes
    ----------
    origin, concept : of one that nobody listed, where it came from and the rank of what heads its concept.
    wording_of : that head, where it is another phrase; wordings : of a head, the other wordings.
    """

    rank: int
    group: str | None
    template: str | None
    origin: str | None = None
    concept: int | None = None
    wording_of: str | None = None
    wordings: tuple[str, ...] = ()

    @property
    def lift(self) -> float:
        """The change: what an axis has its place for."""
        return self.change

    @property
    def title(self) -> str:
        """The phrase; of rank 0, what it is about."""
        return self.hypothesis if self.rank else "All images"

    @property
    def numbers(self) -> list[tuple[str, Any, str]]:
        """Every number behind the verdict: its name, its value and what it means."""
        names = [f.name for f in fields(self) if f.name not in _IN_WORDS]
        return [(name.replace("_", " "), getattr(self, name), _MEANINGS[name]) for name in names]

    @property
    def head(self) -> bool:
        """Whether it is no other wording of a phrase above it."""
        return self.wording_of is None

    @property
    def marks(self) -> str:
        """What stands beside the phrase."""
        return ", ".join(("found",) * bool(self.origin) + ("against the whole",) * self.simpson)

    def shown_by(self, store: Store, comparison: int) -> Hypothesis | str | dict[int, float] | None:
        """What tells the images it is of: a phrase, an SQL predicate, ids with their chances; None for all images."""
        if self.rank == 0:
            return None
        if self.origin == Origin.COLUMN:
            return self.hypothesis
        told = store.catalog.sql(_IMAGES, [comparison, self.rank]).to_pylist() if self.origin else []
        if told or self.origin in (Origin.REGION, Origin.CONJUNCTION):
            return {row["image_id"]: row["membership"] for row in told}
        return Hypothesis(self.hypothesis, self.group, self.template)


@dataclass(frozen=True, slots=True)
class StoredComparison:
    """A row of the table `comparisons`, `head`, with its changes in order of rank: all images first."""

    head: dict[str, Any]
    changes: tuple[StoredChange, ...]

    @classmethod
    def of(cls, store: Store, number: int) -> StoredComparison:
        """A comparison by its number. Raises BadInputError where there is none."""
        heads: list[dict[str, Any]] = store.catalog.sql(_HEAD, [number]).to_pylist()
        if not heads:
            raise BadInputError(f"no comparison {number}; list them with: fsearch sql 'FROM comparisons'")
        rows = store.catalog.sql(_ROWS, [number]).to_pylist()
        texts, below = {r["rank"]: r["hypothesis"] for r in rows}, defaultdict[int, list[str]](list)
        for r in rows:
            r["verdict"] = ChangeVerdict(r["verdict"])
            if r["concept"] not in (None, r["rank"]):
                r["wording_of"] = texts[r["concept"]]
                below[r["concept"]].append(r["hypothesis"])
        return cls(heads[0], tuple(StoredChange(**r, wordings=tuple(below[r["rank"]])) for r in rows))

    @property
    def heads(self) -> list[StoredChange]:
        """The phrases in order of rank, without other wordings of what was found."""
        return [c for c in self.changes[1:] if c.head]

    @property
    def discovered(self) -> bool:
        """Whether changes that nobody listed were looked for."""
        return bool(json.loads(self.head["options"]).get("discover"))

    @property
    def whole(self) -> StoredChange:
        """The change of all images."""
        return self.changes[0]

    def called(self, *verdicts: ChangeVerdict) -> list[StoredChange]:
        """The phrases with one of these verdicts, in order of rank."""
        return [c for c in self.heads if c.verdict in verdicts]

    def making(self, program: str) -> list[tuple[str, str]]:
        """How it was made, in words, and the command of `program` that makes it again."""
        head = self.head
        words = [program, "compare", head["before"], head["after"]]
        given = head["source"] not in ("api", DISCOVER) and not head["source"].startswith("run ")
        words += [head["source"]] * given + ["--discover"] * self.discovered
        words += ["--where", head["condition"]] if head["condition"] else []
        words += ["--standardise"] if head["standardised"] else []
        words += ["--fdr", head["correction"]] if head["correction"] != CompareOptions().fdr else []
        words += ["--seed", str(head["seed"])] if head["seed"] else []
        when: datetime = head["created_at"]
        rows = [("made", when.strftime("%Y-%m-%d %H:%M")), ("phrases of", head["source"])]
        rows += [("discovery", _HALVES)] if self.discovered else []
        rows += [("only images that fulfil", head["condition"])] if head["condition"] else []
        rows += [("images", f"{head['images']:,} with a loss of both, of {head['either']:,} with a loss of one")]
        rows += [("encoder", head["encoder"]), ("correction", head["correction"]), ("seed", str(head["seed"]))]
        return [*rows, ("permutations", f"{head['permutations']:,}"), ("to make it again", shlex.join(words))]

    def values(self) -> dict[str, Any]:
        """What the templates of a comparison show, but for its images."""
        seen = [c for c in (self.whole, *self.heads) if c.verdict != ChangeVerdict.UNSEEN]
        return {
            "comparison": self.head,
            "whole": self.whole,
            "rows": [c for c in seen if c.rank],
            "unseen": self.called(ChangeVerdict.UNSEEN),
            "axis": Axis.of(seen),
            "discovered": self.discovered,
        }
