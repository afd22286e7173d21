"""What a table of the catalog is, to the code, to DuckDB's own comments and to its page in docs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fsearch.indexer.storage.sql import literal, quoted

Fate = Literal["deleted", "kept"]


@dataclass(frozen=True, slots=True)
class Table:
    """A table: what it is for, and its columns as (name, SQL type, meaning).

    Attributes
    ----------
    with_image, with_pixels : what happens to a row when the image of its column image_id is removed, and when that
        image gets other pixels; None without the column.
    with_model : what happens to a row when the black box of its column model is removed; None without the column.
    """

    name: str
    about: str
    columns: tuple[tuple[str, str, str], ...]
    key: str
    with_image: Fate | None = None
    with_pixels: Fate | None = None
    with_model: Fate | None = None

    def ddl(self) -> str:
        """The CREATE statement."""
        columns = ", ".join(f'"{name}" {kind}' for name, kind, _ in self.columns)
        return f"CREATE TABLE {self.name} ({columns}, PRIMARY KEY ({self.key}))"

    def comments(self) -> list[str]:
        """The COMMENT statements of the table and its columns."""
        return comments("TABLE", self.name, self.about, {name: meaning for name, _, meaning in self.columns})


def comments(kind: Literal["TABLE", "VIEW"], name: str, about: str, meanings: dict[str, str]) -> list[str]:
    """The COMMENT statements of a table or view, and of those of its columns that `meanings` names."""
    columns = [
        f"COMMENT ON COLUMN {quoted(name)}.{quoted(column)} IS {literal(meaning)}"
        for column, meaning in meanings.items()
    ]
    return [f"COMMENT ON {kind} {quoted(name)} IS {literal(about)}", *columns]
