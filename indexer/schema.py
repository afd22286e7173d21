"""The public schema of the catalog, as data: `docs/schema.md` and the DDL are both made from it.

python -m fsearch.indexer.schema > docs/schema.md
"""

from __future__ import annotations

from fsearch.indexer.answer_tables import ANSWER_TABLES
from fsearch.indexer.data_tables import DATA_TABLES
from fsearch.indexer.table import Table
from fsearch.indexer.views import VIEWS

VERSION = 4

TABLES: tuple[Table, ...] = (*DATA_TABLES, *ANSWER_TABLES)
OF_IMAGES = ("losses", "predictions", "metadata", "pending_losses", "prediction_errors")  # go when their image goes


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
