"""The public schema of the catalog, as data: the DDL and `docs/schema.md` are both made from it."""

from __future__ import annotations

from fsearch.indexer.storage.schema.inputs import DATA_TABLES
from fsearch.indexer.storage.schema.results import ANSWER_TABLES
from fsearch.indexer.storage.schema.table import Table

VERSION = 4

TABLES: tuple[Table, ...] = (*DATA_TABLES, *ANSWER_TABLES)
OF_IMAGES = ("losses", "predictions", "metadata", "pending_losses", "prediction_errors")  # go when their image goes


def columns_of(name: str) -> tuple[str, ...]:
    """Names of the columns of one table, in order."""
    return next(tuple(column for column, *_ in table.columns) for table in TABLES if table.name == name)
