"""What the shell offers at TAB: the models, columns and runs of the workspace that the command line so far names.

The catalog is read, never written or migrated, and not waited for; whatever goes wrong, nothing is offered and nothing
printed. A workspace may be somebody else's, and shells evaluate what they are offered: a name with any character but
letters, digits and a few signs is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import typer

Names = Callable[[typer.Context, str], list[str]]

_SAFE = re.compile(r"[\w.+@%,/-]{1,200}")
_MOST = 200  # names that are offered
_PATIENCE = 0.2  # seconds that another process's writing is waited for
_MODELS = "SELECT DISTINCT model FROM losses ORDER BY model"
_COLUMNS = "SELECT name FROM (DESCRIBE examples) AS columns(name, kind) ORDER BY name"
_SELECTIONS = "SELECT DISTINCT name FROM selections ORDER BY name"
_RUNS = "SELECT run_id FROM runs ORDER BY run_id DESC"


def _names(query: str, *views: str, besides: tuple[str, ...] = ()) -> Names:
    """What completes a word by the first column of `query`, and by `besides`."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        try:
            names = [*besides, *_read(ctx, query, views)]
        except Exception:  # no workspace, a damaged one, one of another version, or one that is being written
            return []
        return [name for name in names if name.startswith(incomplete) and _SAFE.fullmatch(name)][:_MOST]

    return complete


def _read(ctx: typer.Context, query: str, views: tuple[str, ...]) -> list[str]:
    from fsearch.indexer.storage.catalog import Catalog
    from fsearch.indexer.storage.layout import Layout

    layout = Layout(Path(ctx.params.get("workspace") or ".fsearch"))
    if not layout.catalog.is_file():
        return []
    with Catalog(layout).read(*views, patience=_PATIENCE, turn=_PATIENCE) as con:
        return [str(name) for name, *_ in con.execute(query).fetchall()]


models = _names(_MODELS)
columns = _names(_COLUMNS, "examples")
groupings = _names(_COLUMNS, "examples", besides=("near-duplicates",))
runs = _names(_RUNS)
selections = _names(_SELECTIONS)
comparisons = _names("SELECT comparison_id FROM comparisons ORDER BY comparison_id DESC")
models_and_runs = _names(f"({_MODELS}) UNION ALL (SELECT CAST(run_id AS VARCHAR) FROM ({_RUNS}))")
