"""Tables of comparisons: two models on the same images, and what changed for each phrase."""

from __future__ import annotations

from fsearch.indexer.storage.schema.table import Table

COMPARISON_TABLES: tuple[Table, ...] = (
    Table(
        "comparisons",
        "One row a stored comparison of two models on the same images (fsearch compare).",
        (
            ("comparison_id", "BIGINT", "identity, rising"),
            ("created_at", "TIMESTAMP", "when"),
            ("before", "VARCHAR", "the model that is compared with"),
            ("after", "VARCHAR", "the model that is compared"),
            ("source", "VARCHAR", "the hypothesis file, 'run N', or 'api'"),
            ("condition", "VARCHAR", "the SQL predicate of --where, if any"),
            ("correction", "VARCHAR", "how p-values became q-values: bh or by"),
            ("standardised", "BOOLEAN", "whether losses are in each model's standard deviations, less its mean"),
            ("encoder", "VARCHAR", "the encoder"),
            ("templates", "VARCHAR", "JSON: the workspace's templates"),
            ("seed", "BIGINT", "seed of the random signs"),
            ("permutations", "INTEGER", "how many sets of them"),
            ("versions", "VARCHAR", "JSON: versions of fsearch and the engines under it"),
            ("images", "BIGINT", "images with a loss of both models: these take part"),
            ("either", "BIGINT", "images with a loss of one or both"),
            ("options", "VARCHAR", "JSON: every option"),
        ),
        "comparison_id",
    ),
    Table(
        "changes",
        "The rows of comparisons: what changed for each phrase, what got worse first.",
        (
            ("comparison_id", "BIGINT", "the comparison"),
            ("rank", "INTEGER", "1 got worse most surely; 0 is the change of all images"),
            ("hypothesis_id", "BIGINT", "the hypothesis; null for all images"),
            ("hypothesis", "VARCHAR", "its text"),
            ("verdict", "VARCHAR", "worse, better, same, unseen or unclear"),
            ("change", "DOUBLE", "mean loss after less mean loss before, on images that show it"),
            ("lo", "DOUBLE", "lower end of the 90% interval of the change"),
            ("hi", "DOUBLE", "upper end"),
            ("before", "DOUBLE", "mean loss before on images that show it"),
            ("after", "DOUBLE", "mean loss after"),
            ("n_effective", "DOUBLE", "how many groups of images carry the evidence (Kish)"),
            ("p_value", "DOUBLE", "two-sided p of the change under random signs, by groups of images"),
            (
                "q_value",
                "DOUBLE",
                "one-sided p adjusted for all phrases: share of false ones among those that changed the same way",
            ),
            ("reason", "VARCHAR", "the rule that gave the verdict"),
            ("simpson", "BOOLEAN", "whether it got worse and the whole better, or the other way round"),
            ("shown", "DOUBLE", "expected number of images with both losses that show it"),
            ("share", "DOUBLE", "prevalence: expected share of the images that show it"),
            ("purity", "DOUBLE", "precision: expected share of images that show it among those it is judged by"),
            ("paired", "DOUBLE", "share of the images that show it, with a loss of either model, that have both"),
            ("standard_error", "DOUBLE", "of the change"),
            ("min_effect", "DOUBLE", "smallest change that matters (minimum effect)"),
            (
                "origin",
                "VARCHAR",
                "where it came from, if nobody listed it: vocabulary, captions, column, conjunction or region",
            ),
            ("concept", "INTEGER", "rank of the phrase that heads its concept; its own, where it does; null if listed"),
            ("proposed_change", "DOUBLE", "its change beyond the rest in the half that proposed it: too large"),
        ),
        "comparison_id, rank",
    ),
    Table(
        "changed_images",
        "All images of the regions and conjunctions that changed and that nobody listed.",
        (
            ("comparison_id", "BIGINT", "the comparison"),
            ("rank", "INTEGER", "as in changes"),
            ("image_id", "BIGINT", "the image"),
            ("membership", "DOUBLE", "chance that it is of the region or conjunction, a half or more"),
        ),
        "comparison_id, rank, image_id",
        with_image="kept",
        with_pixels="kept",
    ),
)
