"""The page docs/schema.md, made from the schema: python -m fsearch.indexer.storage.schema > docs/schema.md."""

from __future__ import annotations

import sys

from fsearch.indexer.storage.schema import TABLES, VERSION
from fsearch.indexer.storage.schema.views import VIEWS


def markdown() -> str:
    """The page docs/schema.md."""
    lines = [
        "# The catalog's schema",
        "",
        f"Schema version {VERSION}. Made from the code by `python -m fsearch.indexer.storage.schema > docs/schema.md`.",
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
    sys.stdout.write(markdown())
