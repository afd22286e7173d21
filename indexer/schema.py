"""The public schema of the catalog, as data: `docs/schema.md` and the DDL are both made from it.

python -m fsearch.indexer.schema > docs/schema.md
"""

from __future__ import annotations

from dataclasses import dataclass

from fsearch.indexer.views import VIEWS

VERSION = 2


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
            (
                "split",
                "VARCHAR",
                "'train' where the model was trained on the image, 'held-out' where not, if it was said",
            ),
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
            ("target", "VARCHAR", "what was learned: identity, log1p or logistic"),
            ("trees", "DOUBLE", "weight of the trees in the ensemble"),
            ("linear", "DOUBLE", "weight of the linear members"),
            ("sampled", "BIGINT", "images the ensemble was trained on; the others were only predicted"),
            (
                "training_share",
                "DOUBLE",
                "share of the losses that are of the model's own training images, if it was said",
            ),
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
            ("condition", "VARCHAR", "the predicate of --where, if any"),
            ("by", "VARCHAR", "the column of --by, if any"),
            ("correction", "VARCHAR", "how p became q: bh (Benjamini-Hochberg) or by (Benjamini-Yekutieli)"),
            ("templates", "VARCHAR", "JSON: the workspace's templates"),
            ("images", "BIGINT", "images that took part"),
            ("fit_seed", "BIGINT", "seed of the fit"),
            ("fit_images", "BIGINT", "images the ensemble was trained on"),
        ),
        "run_id",
    ),
    Table(
        "rankings",
        "One row a hypothesis of a run.",
        (
            ("run_id", "BIGINT", "the run"),
            ("rank", "INTEGER", "1 is worst: by the lift; what cannot be judged stands last"),
            ("hypothesis_id", "BIGINT", "the hypothesis"),
            ("hypothesis", "VARCHAR", "its text"),
            ("predicted_loss", "DOUBLE", "loss expected on such images: baseline + lift"),
            ("baseline", "DOUBLE", "mean loss of all images asked about"),
            ("lift", "DOUBLE", "what the ensemble predicts above the baseline, corrected by real losses"),
            ("lo", "DOUBLE", "lower end of the 90% interval of the lift"),
            ("hi", "DOUBLE", "upper end"),
            ("observed_lift", "DOUBLE", "mean real loss of images that show it less that of the rest"),
            ("n_effective", "DOUBLE", "how many images carry the evidence (Kish)"),
            ("p_value", "DOUBLE", "one-sided permutation p of observed_lift"),
            ("q_value", "DOUBLE", "p adjusted for all phrases of the run"),
            ("verdict", "VARCHAR", "fails, suspect, fine, unseen or unclear"),
            ("reason", "VARCHAR", "the rule that gave the verdict"),
            ("predicted_lift", "DOUBLE", "lift by the ensemble alone"),
            ("percentile", "DOUBLE", "of the lift among reference phrases, 0 to 100"),
            ("share", "DOUBLE", "expected share of the images that show it"),
            ("purity", "DOUBLE", "expected share of images that show it among those found"),
            ("within", "VARCHAR", "the slice of --by, if any"),
            (
                "contrast",
                "DOUBLE",
                "mean real loss of its images less that of its group's other phrases, if it has a group",
            ),
            ("contrast_q", "DOUBLE", "q of the contrast"),
            ("adjusted_lift", "DOUBLE", "observed lift with the other failing phrases held equal, if it fails"),
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
    Table(
        "shared_images",
        "How far the failing phrases of a run share their images, each pair once in either order.",
        (
            ("run_id", "BIGINT", "the run"),
            ("within", "VARCHAR", "the slice of --by; empty without"),
            ("hypothesis", "VARCHAR", "a failing phrase"),
            ("other", "VARCHAR", "another"),
            ("overlap", "DOUBLE", "weighted Jaccard index of the images that show them, 0 to 1"),
        ),
        "run_id, within, hypothesis, other",
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
