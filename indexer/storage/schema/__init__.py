"""The public schema of the catalog, as data: the DDL, DuckDB's comments and `docs/schema.md` are all made from it."""

from __future__ import annotations

from fsearch.indexer.storage.schema.comparisons import COMPARISON_TABLES
from fsearch.indexer.storage.schema.discoveries import DISCOVERY_TABLES
from fsearch.indexer.storage.schema.inputs import DATA_TABLES
from fsearch.indexer.storage.schema.results import ANSWER_TABLES
from fsearch.indexer.storage.schema.table import Table

VERSION = 18

TABLES: tuple[Table, ...] = (*DATA_TABLES, *ANSWER_TABLES, *DISCOVERY_TABLES, *COMPARISON_TABLES)
DELETED_WITH_IMAGE = tuple(t.name for t in TABLES if t.with_image == "deleted")
DELETED_WITH_PIXELS = tuple(t.name for t in TABLES if t.with_pixels == "deleted")
DELETED_WITH_MODEL = tuple(t.name for t in TABLES if t.with_model == "deleted")


def columns_of(name: str) -> tuple[str, ...]:
    """Names of the columns of one table, in order."""
    return next(tuple(column for column, *_ in table.columns) for table in TABLES if table.name == name)
