"""Tables of discoveries: where each hypothesis of such a run came from, and the images of those that have no words."""

from __future__ import annotations

from fsearch.indexer.storage.schema.table import Table

DISCOVERY_TABLES: tuple[Table, ...] = (
    Table(
        "discoveries",
        "What a discovery proposed: one row a hypothesis of such a run, beside its row of rankings.",
        (
            ("run_id", "BIGINT", "the run"),
            ("rank", "INTEGER", "as in rankings"),
            ("concept", "INTEGER", "rank of the hypothesis that heads its concept; its own, where it does"),
            (
                "origin",
                "VARCHAR",
                "where it came from: vocabulary, captions, column, llm, conjunction (of several), or region (unnamed)",
            ),
            (
                "proposed_lift",
                "DOUBLE",
                "observed lift in the half of the images that proposed it: too high, since it was chosen by it",
            ),
        ),
        "run_id, rank",
    ),
    Table(
        "discovered_images",
        "All images of the discovered regions and conjunctions, which no phrase or column alone tells.",
        (
            ("run_id", "BIGINT", "the run"),
            ("rank", "INTEGER", "as in rankings"),
            ("image_id", "BIGINT", "the image"),
            ("membership", "DOUBLE", "chance that it is of the region or conjunction, a half or more"),
        ),
        "run_id, rank, image_id",
        with_image="kept",
        with_pixels="kept",
    ),
)
