"""The migrations from schema 9 on. One is never changed once released; see `migrations`."""

from __future__ import annotations

from fsearch.indexer.storage.catalog import Connection

NEW_IN_9 = {
    "contrast_lo": "DOUBLE",
    "contrast_hi": "DOUBLE",
    "adjusted_lo": "DOUBLE",
    "adjusted_hi": "DOUBLE",
    "shown": "DOUBLE",
    "margin": "DOUBLE",
    "margin_threshold": "DOUBLE",
    "winners": "INTEGER",
}


def m009_presence_and_intervals(con: Connection) -> None:
    """In rankings, intervals of contrasts and adjusted lifts, and how a phrase stands against its rivals."""
    for name, kind in NEW_IN_9.items():
        con.execute(f"ALTER TABLE rankings ADD COLUMN {name} {kind}")


def m010_columns_of_models(con: Connection) -> None:
    """The table of columns that came with a black box's losses; those of before stay with the images."""
    con.execute("CREATE TABLE model_metadata (model VARCHAR, image_id BIGINT, PRIMARY KEY (model, image_id))")


def m011_votes(con: Connection) -> None:
    """The table of whether images show a phrase, as people said."""
    con.execute(
        "CREATE TABLE votes (text VARCHAR, image_id BIGINT, shows BOOLEAN, voted_at TIMESTAMP, "
        "PRIMARY KEY (text, image_id))"
    )


def m012_discoveries(con: Connection) -> None:
    """The tables of discoveries."""
    con.execute(
        "CREATE TABLE discoveries (run_id BIGINT, rank INTEGER, concept INTEGER, origin VARCHAR, proposed_lift DOUBLE, "
        "PRIMARY KEY (run_id, rank))"
    )
    con.execute(
        "CREATE TABLE discovered_images (run_id BIGINT, rank INTEGER, image_id BIGINT, membership DOUBLE, "
        "PRIMARY KEY (run_id, rank, image_id))"
    )


def m013_comparisons(con: Connection) -> None:
    """The tables of comparisons of two models."""
    con.execute(
        "CREATE TABLE comparisons (comparison_id BIGINT, created_at TIMESTAMP, before VARCHAR, after VARCHAR, "
        "source VARCHAR, condition VARCHAR, correction VARCHAR, standardised BOOLEAN, encoder VARCHAR, "
        "templates VARCHAR, seed BIGINT, permutations INTEGER, versions VARCHAR, images BIGINT, "
        "either BIGINT, options VARCHAR, PRIMARY KEY (comparison_id))"
    )
    con.execute(
        "CREATE TABLE changes (comparison_id BIGINT, rank INTEGER, hypothesis_id BIGINT, hypothesis VARCHAR, "
        "verdict VARCHAR, change DOUBLE, lo DOUBLE, hi DOUBLE, before DOUBLE, after DOUBLE, n_effective DOUBLE, "
        "p_value DOUBLE, q_value DOUBLE, reason VARCHAR, simpson BOOLEAN, shown DOUBLE, share DOUBLE, purity DOUBLE, "
        "paired DOUBLE, standard_error DOUBLE, min_effect DOUBLE, PRIMARY KEY (comparison_id, rank))"
    )


def m014_calibration(con: Connection) -> None:
    """In rankings, the similarity that a calibration decides presence by; in runs, the calibration itself."""
    for name in ("centred_similarity", "centred_threshold"):
        con.execute(f"ALTER TABLE rankings ADD COLUMN {name} DOUBLE")
    con.execute("ALTER TABLE runs ADD COLUMN calibration VARCHAR")


def m015_account_of_questions(con: Connection) -> None:
    """The table of questions asked of a fit one at a time."""
    con.execute(
        "CREATE TABLE questions (model VARCHAR, fitted_at TIMESTAMP, number BIGINT, hypothesis VARCHAR, "
        "prompts VARCHAR, condition VARCHAR, within VARCHAR, p_value DOUBLE, asked_at TIMESTAMP, "
        "PRIMARY KEY (model, fitted_at, number))"
    )


def m016_selections(con: Connection) -> None:
    """The table of parts of the images that somebody kept."""
    con.execute(
        "CREATE TABLE selections (name VARCHAR, image_id BIGINT, created_at TIMESTAMP, PRIMARY KEY (name, image_id))"
    )


def m017_nearest_p(con: Connection) -> None:
    """In rankings, the p-value of the nearest few images."""
    con.execute("ALTER TABLE rankings ADD COLUMN nearest_p DOUBLE")


def m018_unlisted_changes(con: Connection) -> None:
    """In changes, where one came from that nobody listed; and the table of images of those that no phrase tells."""
    for name, kind in (("origin", "VARCHAR"), ("concept", "INTEGER"), ("proposed_change", "DOUBLE")):
        con.execute(f"ALTER TABLE changes ADD COLUMN {name} {kind}")
    con.execute(
        "CREATE TABLE changed_images (comparison_id BIGINT, rank INTEGER, image_id BIGINT, membership DOUBLE, "
        "PRIMARY KEY (comparison_id, rank, image_id))"
    )
