"""What a table of the catalog is, to the code and to its page in docs."""

from __future__ import annotations

from dataclasses import dataclass


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
