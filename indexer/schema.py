"""The public schema of the catalog, as data: `docs/schema.md` and the DDL are both made from it.

python -m fsearch.indexer.schema > docs/schema.md
"""

from __future__ import annotations

from dataclasses import dataclass

VERSION = 1


@dataclass(frozen=True, slots=True)
class Table:
    """A table: what it is for, and its columns as (name, SQL type, meaning)."""

    name: str
    about: str
    columns: tuple[tuple[str, str, str], ...]
    key: str

    def ddl(self) -> str:
        """The CREATE statement."""
        columns = ", ".join(f'"{name}" {kind}' for name, kind, _ in self.columns)
        return f"CREATE TABLE {self.name} ({columns}, PRIMARY KEY ({self.key}))"


@dataclass(frozen=True, slots=True)
class View:
    """A view: what it answers, and its query."""

    name: str
    about: str
    query: str

    def ddl(self) -> str:
        """The CREATE statement; views are made anew whenever the columns of `metadata` change."""
        return f"CREATE OR REPLACE VIEW {self.name} AS {self.query}"


TABLES: tuple[Table, ...] = (
    Table(
        "settings",
        "What the workspace is: schema version, encoder, dimension.",
        (("name", "VARCHAR", "setting"), ("value", "VARCHAR", "its value")),
        "name",
    ),
    Table(
        "images",
        "One row an image file.",
        (
            ("image_id", "BIGINT", "identity, kept while the file keeps its source and key"),
            ("source", "VARCHAR", "folder the image came from"),
            ("key", "VARCHAR", "path below the source, '/' between parts"),
            ("sha256", "VARCHAR", "hash of the file's bytes"),
            ("width", "INTEGER", "pixels, upright"),
            ("height", "INTEGER", "pixels, upright"),
            ("bytes", "BIGINT", "size of the file"),
            ("mtime_ns", "BIGINT", "time of last change when read, nanoseconds"),
            ("row", "BIGINT", "global row of its embedding: shards one under the other"),
            ("status", "VARCHAR", "'present', or 'missing' when the last index run did not find the file"),
            ("indexed_at", "TIMESTAMP", "when it was embedded"),
        ),
        "image_id",
    ),
    Table(
        "shards",
        "Committed embedding shards; a file that is not listed here does not count.",
        (
            ("shard", "INTEGER", "number, also the file name"),
            ("first_row", "BIGINT", "global row of its first embedding"),
            ("rows", "INTEGER", "embeddings in it"),
            ("sha256", "VARCHAR", "hash of the file"),
        ),
        "shard",
    ),
    Table(
        "rejected",
        "Files that could not be used, with the reason.",
        (
            ("source", "VARCHAR", "folder"),
            ("key", "VARCHAR", "path below it"),
            ("reason", "VARCHAR", "why"),
            ("bytes", "BIGINT", "size of the file"),
            ("mtime_ns", "BIGINT", "time of last change when read"),
            ("rejected_at", "TIMESTAMP", "when"),
        ),
        "source, key",
    ),
    Table(
        "losses",
        "One row a black box and image.",
        (
            ("model", "VARCHAR", "name of the black box"),
            ("image_id", "BIGINT", "the image"),
            ("loss", "DOUBLE", "its task loss; higher is worse"),
            ("label", "VARCHAR", "the losses file's column 'label', if any"),
            ("prediction", "VARCHAR", "the losses file's column 'prediction', if any"),
        ),
        "model, image_id",
    ),
    Table(
        "metadata",
        "The user's own columns, added as the losses files bring them.",
        (("image_id", "BIGINT", "the image"),),
        "image_id",
    ),
    Table(
        "models",
        "One row a fitted ensemble.",
        (
            ("model", "VARCHAR", "name of the black box"),
            ("fitted_at", "TIMESTAMP", "when"),
            ("images", "BIGINT", "images with a loss in the fit"),
            ("mean_loss", "DOUBLE", "their mean loss, the baseline"),
            ("members", "INTEGER", "ensemble members"),
            ("spearman", "DOUBLE", "out-of-bag rank correlation of predicted and real loss"),
            ("r2", "DOUBLE", "out-of-bag share of variance explained"),
            ("spearman_permuted", "DOUBLE", "the same rank correlation, fitted to permuted losses"),
            ("signal", "BOOLEAN", "whether the fit is clearly above what permuted losses give"),
            ("seed", "BIGINT", "seed of the fit"),
        ),
        "model",
    ),
    Table(
        "predictions",
        "What the ensemble predicts for each image, from members that did not train on it.",
        (
            ("model", "VARCHAR", "name of the black box"),
            ("image_id", "BIGINT", "the image"),
            ("predicted_loss", "DOUBLE", "out-of-bag prediction, in units of the loss"),
        ),
        "model, image_id",
    ),
    Table(
        "hypotheses",
        "Every phrase ever ranked.",
        (
            ("hypothesis_id", "BIGINT", "identity"),
            ("text", "VARCHAR", "the phrase as written"),
            ("group", "VARCHAR", "the file's column 'group', if any"),
            ("template", "VARCHAR", "the file's column 'template', if any"),
        ),
        "hypothesis_id",
    ),
    Table(
        "runs",
        "One row a ranking, with all it takes to make it again.",
        (
            ("run_id", "BIGINT", "identity, rising"),
            ("created_at", "TIMESTAMP", "when"),
            ("model", "VARCHAR", "name of the black box"),
            ("bridge", "VARCHAR", "how text was taken to image space"),
            ("encoder", "VARCHAR", "the encoder"),
            ("seed", "BIGINT", "seed of the permutations"),
            ("permutations", "INTEGER", "how many"),
            ("source", "VARCHAR", "the hypothesis file"),
            ("versions", "VARCHAR", "JSON: versions of fsearch and the engines under it"),
        ),
        "run_id",
    ),
    Table(
        "rankings",
        "One row a hypothesis of a run.",
        (
            ("run_id", "BIGINT", "the run"),
            ("rank", "INTEGER", "1 is worst: by the lower bound of the lift"),
            ("hypothesis_id", "BIGINT", "the hypothesis"),
            ("hypothesis", "VARCHAR", "its text"),
            ("predicted_loss", "DOUBLE", "loss the ensemble expects on such images"),
            ("baseline", "DOUBLE", "loss it expects over all images"),
            ("lift", "DOUBLE", "predicted_loss - baseline"),
            ("lo", "DOUBLE", "lower end of the 90% interval of the lift"),
            ("hi", "DOUBLE", "upper end"),
            ("observed_lift", "DOUBLE", "mean real loss of such images less that of the rest"),
            ("n_effective", "DOUBLE", "how many images carry the evidence (Kish)"),
            ("p_value", "DOUBLE", "one-sided permutation p of observed_lift"),
            ("q_value", "DOUBLE", "p after Benjamini-Hochberg within the run"),
            ("verdict", "VARCHAR", "fails, suspect, fine, unseen or unclear"),
            ("reason", "VARCHAR", "the rule that gave the verdict"),
        ),
        "run_id, rank",
    ),
    Table(
        "evidence",
        "The nearest images of each hypothesis of a run.",
        (
            ("run_id", "BIGINT", "the run"),
            ("hypothesis_id", "BIGINT", "the hypothesis"),
            ("image_id", "BIGINT", "the image"),
            ("similarity", "DOUBLE", "cosine to the phrase"),
            ("loss", "DOUBLE", "its real loss"),
        ),
        "run_id, hypothesis_id, image_id",
    ),
)

VIEWS: tuple[View, ...] = (
    View(
        "worst_images",
        "Images by real loss, worst first, with the user's own columns.",
        "SELECT l.model, i.key, l.loss, p.predicted_loss, l.label, l.prediction, m.* EXCLUDE (image_id), l.image_id "
        "FROM losses l JOIN images i USING (image_id) LEFT JOIN predictions p USING (model, image_id) "
        "LEFT JOIN metadata m USING (image_id) WHERE i.status = 'present' ORDER BY l.loss DESC, l.image_id",
    ),
    View(
        "latest_ranking",
        "The last run, in order of rank.",
        'SELECT r.rank, r.hypothesis, h."group", r.verdict, r.lift, r.lo, r.hi, r.observed_lift, r.n_effective, '
        "r.p_value, r.q_value, r.reason FROM rankings r JOIN hypotheses h USING (hypothesis_id) "
        "WHERE r.run_id = (SELECT max(run_id) FROM runs) ORDER BY r.rank",
    ),
    View(
        "latest_evidence",
        "The images behind the last run, nearest first within each hypothesis.",
        "SELECT r.rank, r.hypothesis, r.verdict, i.key, e.similarity, e.loss FROM evidence e "
        "JOIN rankings r USING (run_id, hypothesis_id) JOIN images i USING (image_id) "
        "WHERE e.run_id = (SELECT max(run_id) FROM runs) ORDER BY r.rank, e.similarity DESC",
    ),
    View(
        "model_summary",
        "Each black box in one line.",
        "SELECT l.model, count(*) AS images, avg(l.loss) AS mean_loss, median(l.loss) AS median_loss, "
        "quantile_cont(l.loss, 0.95) AS p95_loss, any_value(f.spearman) AS spearman, any_value(f.signal) AS signal "
        "FROM losses l JOIN images i USING (image_id) LEFT JOIN models f USING (model) "
        "WHERE i.status = 'present' GROUP BY l.model ORDER BY l.model",
    ),
)


def markdown() -> str:
    """The page docs/schema.md."""
    lines = [
        "# The catalog's schema",
        "",
        f"Schema version {VERSION}. Made from the code by `python -m fsearch.indexer.schema > docs/schema.md`.",
        "`fsearch sql` reads all of it; nothing in it can be written from there.",
        "",
    ]
    for table in TABLES:
        lines += [f"## {table.name}", "", f"{table.about} Key: {table.key}.", "", "| column | type | meaning |"]
        lines += ["|---|---|---|", *(f"| {n} | {k} | {m} |" for n, k, m in table.columns), ""]
    lines += ["## Views", "", "| view | answers |", "|---|---|"]
    lines += [f"| {v.name} | {v.about} |" for v in VIEWS]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(markdown())
