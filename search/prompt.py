"""The interactive SQL prompt: a statement ends with ';', a wrong one says so and the prompt goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from fsearch.indexer.errors import BadInputError
from fsearch.search.workspace import Workspace

HELP = "SQL ends with ';'.  .tables lists tables and views, .quit (or Ctrl-D) leaves."
_TABLES = "SELECT table_name AS name, table_type AS kind FROM information_schema.tables ORDER BY kind, name"


def prompt(workspace: Workspace, show: Callable[[Any], None], say: Callable[[str], None]) -> None:
    """Read statements from the terminal until it closes; `show` prints rows, `say` prints a line."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  (line editing and history for input())
    say(HELP)
    pending = ""
    while True:
        try:
            line = input("   ...> " if pending else "fsearch> ").strip()
        except EOFError:
            say("")
            return
        if not pending and line in (".quit", ".exit"):
            return
        if not pending and line.startswith("."):
            line = f"{_TABLES};" if line == ".tables" else ""
            if not line:
                say(HELP)
                continue
        pending = f"{pending}\n{line}".strip()
        if pending.endswith(";"):
            statement, pending = pending, ""
            try:
                show(workspace.sql(statement))
            except BadInputError as error:
                say(str(error))
