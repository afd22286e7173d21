"""The catalog's views: common questions in one line of SQL. Part of the public schema."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from fsearch.indexer.storage.schema import TABLES
from fsearch.indexer.storage.schema.table import comments
from fsearch.indexer.storage.sql import quoted

_MEANINGS = {(t.name, name): meaning for t in TABLES for name, _, meaning in t.columns}


_METADATA = "LEFT JOIN metadata m USING (image_id) LEFT JOIN model_metadata o USING (model, image_id)"
NUMBERS = ("BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE")


def wider(kind: str, other: str) -> str:
    """The SQL type that holds values of both: any number, else text."""
    return kind if kind == other else "DOUBLE" if {kind, other} <= set(NUMBERS) else "VARCHAR"


@dataclass(frozen=True, slots=True)
class OwnColumns:
    """The user's own columns, name and SQL type: of `images`, and of the losses of `models`."""

    images: dict[str, str]
    models: dict[str, str]

    def selected(self) -> str:
        """What a view selects of tables m and o, a comma behind each; a model's own value stands before the image's."""
        of_models = {name.lower(): name for name in self.models}
        parts = []
        for name, kind in self.images.items():
            twin = of_models.pop(name.lower(), None)
            if name.lower() == "label":  # see `label`
                continue
            value = f"m.{quoted(name)}"
            if twin is not None:
                both = wider(kind, self.models[twin])
                value = f"coalesce(CAST(o.{quoted(twin)} AS {both}), CAST({value} AS {both})) AS {quoted(name)}"
            parts.append(value)
        return "".join(f"{part}, " for part in [*parts, *(f"o.{quoted(name)}" for name in of_models.values())])

    def label(self) -> str:
        """A source may bring a column `label` of its own: it stands where the losses have none."""
        labelled = any(name.lower() == "label" for name in self.images)
        return "coalesce(l.label, CAST(m.label AS VARCHAR)) AS label" if labelled else "l.label"


@dataclass(frozen=True, slots=True)
class View:
    """A view: what it answers, and its query.

    Attributes
    ----------
    tables : the tables that it shows columns of; a column of several means what it means in the first.
    own : the meaning of columns that it computes or renames.
    """

    name: str
    about: str
    query: str
    tables: tuple[str, ...]
    own: dict[str, str] = field(default_factory=dict)

    def ddl(self, own: OwnColumns, *, temporary: bool = False) -> str:
        """The CREATE statement; views are made anew whenever the user's `own` columns change."""
        query = self.query.format(own=own.selected(), label=own.label(), metadata=_METADATA)
        return f"CREATE OR REPLACE {'TEMP ' if temporary else ''}VIEW {self.name} AS {query}"

    def comments(self, columns: Iterable[str]) -> list[str]:
        """The COMMENT statements of the view and of those of its `columns` that are not the user's own."""
        known = {c: meaning for c in columns if (meaning := self.meaning(c)) is not None}
        return comments("VIEW", self.name, self.about, known)

    def meaning(self, column: str) -> str | None:
        """What a column means; None for the user's own columns."""
        if column in self.own:
            return self.own[column]
        return next((m for t in self.tables if (m := _MEANINGS.get((t, column))) is not None), None)


VIEWS: tuple[View, ...] = (
    View(
        "examples",
        "Every present image with its loss, the user's own columns and its size: what --where and --by speak about.",
        "SELECT l.model, i.key, l.loss, {label}, l.prediction, {own}l.split AS loss_split, "
        "l.image_id, i.row AS embedding_row, p.predicted_loss, i.source, i.width, i.height FROM losses l "
        "JOIN images i USING (image_id) LEFT JOIN predictions p USING (model, image_id) "
        "{metadata} WHERE i.status = 'present'",
        ("losses", "images", "predictions"),
        {
            "loss_split": _MEANINGS["losses", "split"],
            "embedding_row": _MEANINGS["images", "row"],
        },
    ),
    View(
        "worst_images",
        "Images by real loss, worst first, with the user's own columns.",
        "SELECT l.model, i.key, l.loss, p.predicted_loss, {label}, l.prediction, {own}l.image_id "
        "FROM losses l JOIN images i USING (image_id) LEFT JOIN predictions p USING (model, image_id) "
        "{metadata} WHERE i.status = 'present' ORDER BY l.loss DESC, l.image_id",
        ("losses", "images", "predictions"),
    ),
    View(
        "image_groups",
        "Groups of repeated images, largest first; an image that is repeated nowhere is not in it.",
        "SELECT group_id, count(*) AS images, arg_min(key, image_id) AS key FROM images "
        "WHERE status = 'present' AND group_id IS NOT NULL GROUP BY group_id HAVING count(*) > 1 "
        "ORDER BY images DESC, group_id",
        ("images",),
        {"images": "images in it", "key": "the first of them"},
    ),
    View(
        "latest_ranking",
        "The last run, in order of rank.",
        'SELECT r.rank, r.hypothesis, h."group", r.within, r.verdict, r.lift, r.lo, r.hi, r.observed_lift, '
        "r.n_effective, r.p_value, r.q_value, r.adjusted_lift, r.contrast, r.contrast_q, r.reason "
        "FROM rankings r JOIN hypotheses h USING (hypothesis_id) "
        "WHERE r.run_id = (SELECT max(run_id) FROM runs) ORDER BY r.rank",
        ("rankings", "hypotheses"),
    ),
    View(
        "latest_discovery",
        "The last discovery: each concept at its rank, the other wordings of it below.",
        "SELECT r.rank, d.concept, r.hypothesis, d.origin, r.verdict, r.lift, r.lo, r.hi, r.observed_lift, "
        "d.proposed_lift, r.n_effective, r.p_value, r.q_value, r.reason "
        "FROM discoveries d JOIN rankings r USING (run_id, rank) "
        "WHERE d.run_id = (SELECT max(run_id) FROM discoveries) ORDER BY r.rank",
        ("discoveries", "rankings"),
    ),
    View(
        "latest_comparison",
        "The last comparison of two models: rank 0 is all images, then what got worse first.",
        'SELECT c.before AS before_model, c.after AS after_model, r.rank, r.hypothesis, h."group", r.verdict, '
        "r.change, r.lo, r.hi, r.before, r.after, r.n_effective, r.q_value, r.simpson, r.origin, r.concept, r.paired, "
        "r.reason "
        "FROM changes r JOIN comparisons c USING (comparison_id) LEFT JOIN hypotheses h USING (hypothesis_id) "
        "WHERE r.comparison_id = (SELECT max(comparison_id) FROM comparisons) ORDER BY r.rank",
        ("changes", "hypotheses"),
        {"before_model": "the model compared with", "after_model": "the model compared"},
    ),
    View(
        "latest_evidence",
        "The images shown with the last run: of each hypothesis the failing, the passing and the nearest, in order.",
        "SELECT r.rank, r.hypothesis, r.within, r.verdict, e.kind, e.place, i.key, e.loss, {label}, l.prediction, "
        "e.similarity, e.membership, e.image_id, i.source FROM evidence e JOIN runs u USING (run_id) "
        "JOIN rankings r ON r.run_id = e.run_id AND r.hypothesis_id = e.hypothesis_id "
        "AND coalesce(r.within, '') = e.within JOIN images i ON i.image_id = e.image_id "
        "LEFT JOIN losses l ON l.model = u.model AND l.image_id = e.image_id "
        "LEFT JOIN metadata m ON m.image_id = e.image_id "
        "WHERE e.run_id = (SELECT max(run_id) FROM runs) ORDER BY r.rank, e.kind, e.place",
        ("evidence", "rankings", "images", "losses"),
    ),
    View(
        "model_summary",
        "Each black box in one line.",
        "SELECT l.model, count(*) AS images, avg(l.loss) AS mean_loss, median(l.loss) AS median_loss, "
        "quantile_cont(l.loss, 0.95) AS p95_loss, any_value(f.spearman) AS spearman, any_value(f.signal) AS signal "
        "FROM losses l JOIN images i USING (image_id) LEFT JOIN models f USING (model) "
        "WHERE i.status = 'present' GROUP BY l.model ORDER BY l.model",
        ("losses", "models"),
        {
            "images": "present images with a loss",
            "mean_loss": "their mean loss",
            "median_loss": "their median loss",
            "p95_loss": "95th percentile of their losses",
        },
    ),
)
