"""Bring a workspace of an older fsearch up to this schema: a copy of the catalog first, then one transaction.

A migration is a numbered function that is never changed once released; it takes a connection inside the transaction.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable

from fsearch.indexer.errors import WorkspaceError
from fsearch.indexer.storage.catalog import Catalog, Connection
from fsearch.indexer.storage.inside import new_file
from fsearch.indexer.storage.rows import comment_tables, make_views, version_settings, write_settings
from fsearch.indexer.storage.schema import VERSION
from fsearch.indexer.storage.schema.later_migrations import (
    m009_presence_and_intervals,
    m010_columns_of_models,
    m011_votes,
    m012_discoveries,
    m013_comparisons,
    m014_calibration,
    m015_account_of_questions,
    m016_selections,
    m017_nearest_p,
    m018_unlisted_changes,
)

_NEW_IN_2 = {
    "losses": {"split": "VARCHAR"},
    "models": {
        "target": "VARCHAR",
        "trees": "DOUBLE",
        "linear": "DOUBLE",
        "sampled": "BIGINT",
        "training_share": "DOUBLE",
    },
    "runs": {
        "condition": "VARCHAR",
        "by": "VARCHAR",
        "correction": "VARCHAR",
        "templates": "VARCHAR",
        "images": "BIGINT",
        "fit_seed": "BIGINT",
        "fit_images": "BIGINT",
    },
    "rankings": {
        "predicted_lift": "DOUBLE",
        "percentile": "DOUBLE",
        "share": "DOUBLE",
        "purity": "DOUBLE",
        "within": "VARCHAR",
        "contrast": "DOUBLE",
        "contrast_q": "DOUBLE",
        "adjusted_lift": "DOUBLE",
    },
}


def m002_conditions_contrasts_and_confounding(con: Connection) -> None:
    """Columns for conditions, contrasts, adjusted lifts and the split of the losses; the table of shared images."""
    for table, columns in _NEW_IN_2.items():
        for name, kind in columns.items():
            con.execute(f'ALTER TABLE {table} ADD COLUMN "{name}" {kind}')
    con.execute(
        "CREATE TABLE shared_images (run_id BIGINT, within VARCHAR, hypothesis VARCHAR, other VARCHAR, overlap DOUBLE, "
        "PRIMARY KEY (run_id, within, hypothesis, other))"
    )


def m003_sources_and_black_boxes(con: Connection) -> None:
    """Tables of where images and losses come from, of losses under way, and of predictions that failed."""
    con.execute("ALTER TABLE losses ADD COLUMN target_digest VARCHAR")
    con.execute("CREATE TABLE sources (source VARCHAR, location VARCHAR, options VARCHAR, PRIMARY KEY (source))")
    con.execute(
        "CREATE TABLE black_boxes (model VARCHAR, task VARCHAR, origin VARCHAR, fingerprint VARCHAR, "
        "added_at TIMESTAMP, PRIMARY KEY (model))"
    )
    con.execute(
        "CREATE TABLE pending_losses (model VARCHAR, fingerprint VARCHAR, image_id BIGINT, target_digest VARCHAR, "
        "loss DOUBLE, label VARCHAR, prediction VARCHAR, reason VARCHAR, PRIMARY KEY (model, image_id))"
    )
    con.execute(
        "CREATE TABLE prediction_errors (model VARCHAR, image_id BIGINT, reason VARCHAR, PRIMARY KEY (model, image_id))"
    )
    # until now every source was a folder, and its name the folder's path
    con.execute("INSERT INTO sources (source, location, options) SELECT DISTINCT source, source, '{}' FROM images")


def m004_vector_index(con: Connection) -> None:
    """The table of what is known of the index file."""
    con.execute(
        "CREATE TABLE vector_index (kind VARCHAR, rows BIGINT, lists INTEGER, probes INTEGER, bytes BIGINT, "
        "recall_100 DOUBLE, recall_2048 DOUBLE, target DOUBLE, measured_rows BIGINT, queries INTEGER, sha256 VARCHAR, "
        "saved_at TIMESTAMP, PRIMARY KEY (kind))"
    )


NEW_IN_5 = {
    "contrast_p": "DOUBLE",
    "shrinkage": "DOUBLE",
    "standard_error": "DOUBLE",
    "conformal": "DOUBLE",
    "similarity": "DOUBLE",
    "log_mean_exp": "DOUBLE",
    "similarity_threshold": "DOUBLE",
    "log_mean_exp_threshold": "DOUBLE",
    "calibrated": "BOOLEAN",
    "observed_error": "DOUBLE",
    "min_effect": "DOUBLE",
    "loss_std": "DOUBLE",
}


def m005_findings(con: Connection) -> None:
    """In rankings, every number behind a verdict, and `expected_loss` for `predicted_loss`; in runs, the options.

    predicted_loss is the ensemble's own prediction, as in the table of predictions; this is corrected by real losses.
    """
    con.execute("ALTER TABLE rankings RENAME COLUMN predicted_loss TO expected_loss")
    for name, kind in NEW_IN_5.items():
        con.execute(f"ALTER TABLE rankings ADD COLUMN {name} {kind}")
    con.execute("ALTER TABLE runs ADD COLUMN options VARCHAR")


def m006_groups_of_repeated_images(con: Connection) -> None:
    """In images, the group of repeated images, which the next fit finds; in models, how many groups were fitted."""
    con.execute("ALTER TABLE images ADD COLUMN group_id BIGINT")
    con.execute("ALTER TABLE models ADD COLUMN groups BIGINT")
    con.execute("ALTER TABLE models ADD COLUMN largest_group BIGINT")


def m007_evidence(con: Connection) -> None:
    """In evidence, why an image is shown, in which slice and place; the table of histograms.

    What was stored are the nearest images; in a run with --by, no row said of which slice.
    """
    con.execute("ALTER TABLE evidence RENAME TO evidence_6")
    con.execute(
        "CREATE TABLE evidence (run_id BIGINT, within VARCHAR, hypothesis_id BIGINT, kind VARCHAR, place INTEGER, "
        "image_id BIGINT, similarity DOUBLE, membership DOUBLE, loss DOUBLE, "
        "PRIMARY KEY (run_id, within, hypothesis_id, kind, image_id))"
    )
    con.execute(
        "INSERT INTO evidence (run_id, within, hypothesis_id, kind, place, image_id, similarity, loss) "
        "SELECT run_id, within, hypothesis_id, 'nearest', row_number() OVER (PARTITION BY run_id, within, "
        "hypothesis_id ORDER BY similarity DESC, image_id), image_id, similarity, loss FROM (SELECT DISTINCT "
        "e.run_id, coalesce(r.within, '') AS within, e.hypothesis_id, e.image_id, e.similarity, e.loss "
        "FROM evidence_6 e LEFT JOIN rankings r USING (run_id, hypothesis_id))"
    )
    con.execute("DROP TABLE evidence_6")
    con.execute(
        "CREATE TABLE loss_histograms (run_id BIGINT, rank INTEGER, edges DOUBLE[], shows DOUBLE[], rest DOUBLE[], "
        "PRIMARY KEY (run_id, rank))"
    )


def m008_text_vectors(con: Connection) -> None:
    """The table of embeddings of phrases."""
    con.execute("CREATE TABLE text_vectors (encoder VARCHAR, text VARCHAR, vector BLOB, PRIMARY KEY (encoder, text))")


MIGRATIONS: dict[int, Callable[[Connection], None]] = {
    2: m002_conditions_contrasts_and_confounding,
    3: m003_sources_and_black_boxes,
    4: m004_vector_index,
    5: m005_findings,
    6: m006_groups_of_repeated_images,
    7: m007_evidence,
    8: m008_text_vectors,
    9: m009_presence_and_intervals,
    10: m010_columns_of_models,
    11: m011_votes,
    12: m012_discoveries,
    13: m013_comparisons,
    14: m014_calibration,
    15: m015_account_of_questions,
    16: m016_selections,
    17: m017_nearest_p,
    18: m018_unlisted_changes,
}


def migrate(catalog: Catalog, version: int) -> None:
    """Migrate from schema `version` to this one. Call while holding the workspace for writing.

    The old catalog stays beside the new one as catalog.vN.duckdb, N being its version.
    """
    path = catalog.layout.catalog
    with catalog.write() as con:
        con.execute("SELECT 1")  # opening for writing and closing folds the write-ahead log in
    if catalog.layout.write_ahead_log.exists():
        raise WorkspaceError(f"{path} cannot be written (is the disk full?), so it cannot be migrated yet")
    part, backup = path.with_name("catalog.backup.part"), path.with_name(f"catalog.v{version}.duckdb")
    with path.open("rb") as old, new_file(part) as copy:
        shutil.copyfileobj(old, copy)
    part.replace(backup)
    with catalog.write() as con:
        for number in range(version + 1, VERSION + 1):
            MIGRATIONS[number](con)
        write_settings(con, version_settings())
        comment_tables(con)
        make_views(con)
